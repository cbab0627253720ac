//! A socket that is full just as the last message comes: what it did not take of it comes later, though nothing follows.

use std::net::SocketAddr;
use std::process::Command;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::SOON;
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::tls::{self, Pair};
use crate::support::upstream::Stream;
use crate::support::{pattern, peer};
use crate::wire::tunnels::{ASKS, SWITCHES};

/// Small enough to go out in a batch, in a record of TLS too (`SMALL_BYTES`).
const MESSAGE: usize = 16_000;

/// More messages than sockets hold.
const MANY: usize = 2_000;

/// What sockets take beforehand of what nobody reads: little.
const WINDOW: u32 = 4096;

type Party = Connection<Box<dyn Stream>>;

/// A tunnel, one party of which does not read.
struct Tunnel {
    speaker: Party,
    listener: Party,
    /// The door's socket towards the listener: its own address, and the other one.
    socket: (SocketAddr, SocketAddr),
    _door: Doorman,
}

#[derive(Clone, Copy)]
enum Transport {
    Plain,
    Tls,
}

#[tokio::test]
async fn a_visitor_gets_the_rest_of_the_last_message_that_met_a_full_socket() {
    let mut tunnel = Tunnel::to_visitor(Transport::Plain).await;
    let said = tunnel.fill().await;
    tunnel.all_comes(&said).await;
}

#[tokio::test]
async fn a_visitor_over_tls_gets_the_rest_of_the_last_message_that_met_a_full_socket() {
    let mut tunnel = Tunnel::to_visitor(Transport::Tls).await;
    let said = tunnel.fill().await;
    tunnel.all_comes(&said).await;
}

#[tokio::test]
async fn a_panel_gets_the_rest_of_the_last_message_that_met_a_full_socket() {
    let mut tunnel = Tunnel::to_panel(Transport::Plain).await;
    let said = tunnel.fill().await;
    tunnel.all_comes(&said).await;
}

#[tokio::test]
async fn a_panel_over_tls_gets_the_rest_of_the_last_message_that_met_a_full_socket() {
    let mut tunnel = Tunnel::to_panel(Transport::Tls).await;
    let said = tunnel.fill().await;
    tunnel.all_comes(&said).await;
}

impl Tunnel {
    /// A visitor who does not read, and a panel without TLS.
    async fn to_visitor(transport: Transport) -> Self {
        let (panel, url) = listen(Transport::Plain);
        let door = Doorman::start(&settings(url)).await;
        let entrance = match transport {
            Transport::Plain => door.http().await,
            Transport::Tls => door.https().await,
        };
        let visitor = narrow().connect(entrance).await.unwrap();
        visitor.set_nodelay(true).unwrap();
        let socket = (entrance, visitor.local_addr().unwrap());
        let visitor = match transport {
            Transport::Plain => party(visitor),
            Transport::Tls => party(tls::over(visitor, &tls::trusting_anybody(&["http/1.1"])).await.unwrap()),
        };
        let (listener, speaker) = agree(visitor, async { party(accept(&panel).await) }).await;
        Self { speaker, listener, socket, _door: door }
    }

    /// A panel that does not read, and a visitor without TLS.
    async fn to_panel(transport: Transport) -> Self {
        let (panel, url) = listen(transport);
        let door = Doorman::start(&settings(url)).await;
        let visitor = TcpStream::connect(door.http().await).await.unwrap();
        visitor.set_nodelay(true).unwrap();
        let mut socket = None;
        let accepted = async {
            let stream = accept(&panel).await;
            socket = Some((stream.peer_addr().unwrap(), stream.local_addr().unwrap()));
            match transport {
                Transport::Plain => party(stream),
                Transport::Tls => {
                    party(Pair::for_names(&["panel.test"]).acceptor().accept(stream).await.unwrap())
                }
            }
        };
        let (speaker, listener) = agree(party(visitor), accepted).await;
        Self { speaker, listener, socket: socket.expect("the panel was asked"), _door: door }
    }

    /// Says one message after the other, until the socket takes less than the whole of one. Says what was said.
    async fn fill(&mut self) -> Vec<u8> {
        let mut said = pattern(MANY * MESSAGE);
        let before = taken(self.socket.0, self.socket.1).await;
        let mut whole = None;
        for number in 1..=MANY {
            let message = (number - 1) * MESSAGE..number * MESSAGE;
            self.speaker.send(&said[message.clone()]).await;
            self.is_handled().await;
            let taken = taken(self.socket.0, self.socket.1).await - before;
            // As much as of the first one, which is more than a message with TLS.
            let whole = *whole.get_or_insert(taken);
            if taken < whole * number {
                println!("the socket took {taken} of {number} messages of {whole}");
                said.truncate(message.end);
                return said;
            }
        }
        panic!("the socket is not full after {MANY} messages");
    }

    /// Waits until the door has done with a message what it can: what comes after it, the other way, has gone through. The
    /// first of two such words may have overtaken it.
    async fn is_handled(&mut self) {
        for word in [b"1", b"2"] {
            self.listener.send(word).await;
            assert_eq!(self.speaker.bytes(1).await, word);
        }
    }

    /// Now everything is read, and nothing more is said.
    async fn all_comes(&mut self, said: &[u8]) {
        let mut heard = 0;
        while heard < said.len() {
            let more = timeout(SOON, self.listener.more()).await;
            let missing = said.len() - heard;
            assert!(matches!(more, Ok(true)), "the last {missing} of {} bytes do not come", said.len());
            let piece = std::mem::take(&mut self.listener.buffer);
            assert!(said[heard..].starts_with(&piece), "others than were said, after {heard} bytes");
            heard += piece.len();
        }
    }
}

/// Bytes that a socket, from the one address to the other, has taken: those that have left it for good, and those that it
/// holds.
pub async fn taken(from: SocketAddr, to: SocketAddr) -> usize {
    let mut command = Command::new("ss");
    command.args(["-Htni", "src", &from.to_string(), "dst", &to.to_string()]);
    let said = String::from_utf8(peer::run(command).await.stdout).unwrap();
    let mut words = said.split_whitespace();
    let held = words.nth(2).and_then(|word| word.parse::<usize>().ok());
    let left = words.find_map(|word| word.strip_prefix("bytes_acked:")).map(str::parse::<usize>);
    match (held, left) {
        (Some(held), Some(Ok(left))) => held + left,
        _ => panic!("not what ss says of one socket: {said}"),
    }
}

fn settings(url: String) -> Settings {
    Settings::panel(url).set("https", "listen", vec!["127.0.0.1:0"]).set("http", "workers", 1)
}

/// A panel whose sockets take little, and its URL.
fn listen(transport: Transport) -> (TcpListener, String) {
    let socket = narrow();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let scheme = match transport {
        Transport::Plain => "http",
        Transport::Tls => "https",
    };
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn narrow() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(WINDOW).unwrap();
    socket
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn party(stream: impl Stream + 'static) -> Party {
    Connection::over(Box::new(stream))
}

/// The handshake of a WebSocket: the visitor, and the panel that was asked.
async fn agree(mut visitor: Party, panel: impl Future<Output = Party>) -> (Party, Party) {
    visitor.send(ASKS).await;
    let mut panel = panel.await;
    panel.head().await.expect("the panel is asked");
    panel.send(SWITCHES).await;
    assert_eq!(visitor.head().await.expect("an answer").status(), 101);
    (visitor, panel)
}
