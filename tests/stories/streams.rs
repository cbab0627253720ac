//! What does not end soon: large bodies, events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};

use crate::support::upstream::{Stream, Upstream, plain};
use crate::support::{pattern, until};

const SOON: Duration = Duration::from_secs(30);
const GIB: usize = 1 << 30;
/// 40 MB.
const MEMORY_LIMIT_KIB: u64 = 40_000_000 / 1024;
/// The body repeats after this many bytes: not a multiple of any buffer's size.
const PERIOD: usize = 1_000_003;

/// Answers for one connection whose client reads none before all are asked for: more than sockets hold.
const PIPELINED: usize = 2_000;
/// Looks in a row that find nothing new.
const STILL: usize = 5;

#[tokio::test]
async fn small_answers_wait_for_a_reader_that_comes_late() {
    let body = |target: &str| format!("{target} ").repeat(800);
    let asked = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&asked);
    let panel = Upstream::with(move |mut client| {
        let heard = Arc::clone(&heard);
        async move {
        while let Some(request) = client.head().await {
            heard.fetch_add(1, Ordering::Relaxed);
            let target = request.start.split(' ').nth(1).unwrap();
            if target == "/tunnel" {
                let switches =
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                client.send(format!("{switches}the first frame")).await;
                return;
            }
            client.send(plain(200, &body(target))).await;
        }}
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Connection::over(socket.connect(door.http().await).await.unwrap());

    for number in 0..PIPELINED {
        client.send(format!("GET /{number:07} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    }
    client.send("GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    nothing_moves(&asked).await;
    assert!(asked.load(Ordering::Relaxed) < PIPELINED, "that was less than the sockets hold");

    for number in 0..PIPELINED {
        assert_eq!(client.answer().await.text(), body(&format!("/{number:07}")), "answer {number}");
    }
    assert_eq!(client.head().await.unwrap().status(), 101);
    assert_eq!(client.rest().await, b"the first frame");
}

/// The end of what goes through HTTP is the end of what the door sends by itself: what the socket does not take of the
/// handshake must not be left behind. So it meets a socket that is full, or about to be.
#[tokio::test]
async fn a_handshake_waits_for_a_reader_that_comes_late() {
    /// Longer than an answer, so that it does not fit where one more answer did not.
    const PAD: usize = 12_000;
    const ANSWER: usize = 4000;
    let asked = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&asked);
    let panel = Upstream::with(move |mut client| {
        let heard = Arc::clone(&heard);
        async move {
            while let Some(request) = client.head().await {
                heard.fetch_add(1, Ordering::Relaxed);
                if request.field("upgrade").is_some() {
                    let pad = "p".repeat(PAD);
                    let switches =
                        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket";
                    client.send(format!("{switches}\r\nX-Pad: {pad}\r\n\r\nthe first frame")).await;
                    return;
                }
                client.send(plain(200, &"x".repeat(ANSWER))).await;
            }
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let address = door.http().await;

    let mut measure = late_reader(address, PIPELINED).await;
    nothing_moves(&asked).await;
    let fit = asked.load(Ordering::Relaxed);
    assert!(fit < PIPELINED, "that was less than the sockets hold");
    measure.answer().await;
    drop(measure);

    for number in fit - 3..=fit {
        asked.store(0, Ordering::Relaxed);
        let mut client = late_reader(address, number).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        nothing_moves(&asked).await;
        for _ in 0..number {
            assert_eq!(client.answer().await.body.len(), ANSWER);
        }
        let switched = client.head().await.expect("the handshake comes whole");
        assert_eq!((switched.status(), switched.field("x-pad").map(str::len)), (101, Some(PAD)));
        assert_eq!(client.rest().await, b"the first frame", "after {number} of {fit} answers");
    }
}

/// A client with a small window that has asked so many times, and reads nothing yet.
async fn late_reader(address: SocketAddr, times: usize) -> Connection<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Connection::over(socket.connect(address).await.unwrap());
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(times)).await;
    client
}

/// Waits until the sockets are full, or nothing is left to ask.
async fn nothing_moves(asked: &AtomicUsize) {
    let (mut before, mut looks) = (0, 0);
    until("the sockets are full and nothing moves", SOON, async || {
        let now = asked.load(Ordering::Relaxed);
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
        (now > 0 && looks == STILL).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_gibibyte_comes_down_whole_in_little_memory() {
    let panel = Upstream::with(|mut client| async move {
        while let Some(request) = client.request().await {
            if request.start.contains("chunked") {
                client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                send_pattern(&mut client, true).await;
            } else {
                client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n")).await;
                send_pattern(&mut client, false).await;
            }
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("GET /length HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    receive_pattern(&mut client).await;

    client.send("GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().field("transfer-encoding"), Some("chunked"));
    receive_chunked_pattern(&mut client).await;

    stayed_small(&door);
}

#[tokio::test]
async fn a_gibibyte_goes_up_whole_in_little_memory() {
    let panel = Upstream::with(|mut client| async move {
        while let Some(head) = client.head().await {
            if head.field("transfer-encoding").is_some() {
                receive_chunked_pattern(&mut client).await;
            } else {
                assert_eq!(head.field("content-length"), Some(GIB.to_string().as_str()));
                receive_pattern(&mut client).await;
            }
            client.send(plain(200, "got it")).await;
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {GIB}\r\n\r\n")).await;
    send_pattern(&mut client, false).await;
    assert_eq!(client.answer().await.text(), "got it");

    client.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    send_pattern(&mut client, true).await;
    assert_eq!(client.answer().await.text(), "got it");

    stayed_small(&door);
}

#[tokio::test]
async fn each_server_sent_event_arrives_before_the_next_is_sent() {
    const EVENTS: usize = 40;
    let (ask, asked) = mpsc::unbounded_channel::<usize>();
    let asked = Arc::new(tokio::sync::Mutex::new(asked));
    let panel = Upstream::with(move |mut client| {
        let asked = Arc::clone(&asked);
        async move {
            client.head().await;
            client.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            while let Some(number) = asked.lock().await.recv().await {
                let event = format!("data: {number}\n\n");
                client.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            }
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;
    client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().field("content-type"), Some("text/event-stream"));

    let mut delays = Vec::new();
    for number in 0..EVENTS {
        let sent = Instant::now();
        ask.send(number).unwrap();
        assert_eq!(client.chunk().await, format!("data: {number}\n\n").as_bytes());
        delays.push(sent.elapsed());
    }

    delays.sort();
    let (median, longest) = (delays[EVENTS / 2], delays[EVENTS - 1]);
    println!("an event took {median:?}, the slowest {longest:?}");
    assert!(median < Duration::from_millis(50), "an event took {median:?}");
}

async fn send_pattern(connection: &mut Connection<impl Stream>, chunked: bool) {
    let block = pattern(PERIOD);
    let mut left = GIB;
    while left > 0 {
        let part = &block[..left.min(PERIOD)];
        if chunked {
            connection.send(format!("{:x}\r\n", part.len())).await;
        }
        connection.send(part).await;
        if chunked {
            connection.send("\r\n").await;
        }
        left -= part.len();
    }
    if chunked {
        connection.send("0\r\n\r\n").await;
    }
}

async fn receive_pattern(connection: &mut Connection<impl Stream>) {
    let mut expected = Expected::new();
    while expected.offset < GIB {
        if connection.buffer.is_empty() {
            assert!(connection.more().await, "the body ended after {} bytes", expected.offset);
        }
        expected.take(&connection.buffer);
        connection.buffer.clear();
    }
    assert_eq!(expected.offset, GIB);
}

async fn receive_chunked_pattern(connection: &mut Connection<impl Stream>) {
    let mut expected = Expected::new();
    loop {
        let chunk = connection.chunk().await;
        if chunk.is_empty() {
            break;
        }
        expected.take(&chunk);
    }
    assert_eq!(connection.bytes(2).await, b"\r\n");
    assert_eq!(expected.offset, GIB);
}

/// What must come next.
struct Expected {
    block: Vec<u8>,
    offset: usize,
}

impl Expected {
    fn new() -> Self {
        Self { block: pattern(PERIOD), offset: 0 }
    }

    fn take(&mut self, mut got: &[u8]) {
        while !got.is_empty() {
            let rest = &self.block[self.offset % PERIOD..];
            let length = rest.len().min(got.len());
            assert!(
                rest[..length] == got[..length],
                "other bytes than were sent, near offset {}",
                self.offset
            );
            self.offset += length;
            got = &got[length..];
        }
    }
}

fn stayed_small(door: &Doorman) {
    let peak = door.process.memory_kib("VmHWM");
    println!("doorman's memory at its peak: {peak} KiB");
    assert!(peak < MEMORY_LIMIT_KIB, "doorman used {peak} KiB");
}
