//! An upload that is not all sent when the body of its answer comes.

use tokio::net::{TcpListener, TcpSocket};

use super::ending::others_are_answered;
use super::*;
use crate::tunnels::full::taken;

/// Small enough to go out in a batch (`SMALL_BYTES`).
const PIECE: usize = 8_200;
/// More of them than sockets hold.
const MANY: usize = 4_000;
/// Large enough to be moved.
const ANSWER: usize = 1 << 20;

/// A panel that does not read the body of a request which it has begun to answer.
struct Upload {
    door: Doorman,
    client: Connection<TcpStream>,
    panel: Connection<TcpStream>,
    _listener: TcpListener,
}

impl Upload {
    async fn of(length: usize) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let settings = Settings::panel(format!("http://{}", listener.local_addr().unwrap()));
        let door = Doorman::start(&settings.set("http", "workers", 1)).await;
        let mut client = Connection::open(door.http().await).await;
        client.stream.set_nodelay(true).unwrap();
        client.send(post(length)).await;
        let mut panel = Connection::over(listener.accept().await.unwrap().0);
        panel.head().await.unwrap();
        panel.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ANSWER}\r\n\r\n")).await;
        client.head().await.unwrap();
        Self { door, client, panel, _listener: listener }
    }

    async fn piece(&mut self) {
        self.client.send(pattern(PIECE)).await;
        others_are_answered(self.door.http().await).await;
    }

    /// What the sockets between the door and the panel hold.
    async fn taken(&self) -> usize {
        let stream = &self.panel.stream;
        taken(stream.peer_addr().unwrap(), stream.local_addr().unwrap()).await
    }

    /// How many pieces they take whole.
    async fn room() -> usize {
        let mut upload = Self::of(MANY * PIECE).await;
        for number in 1..MANY {
            upload.piece().await;
            if upload.taken().await < number * PIECE {
                return number - 1;
            }
        }
        panic!("the sockets are not full after {MANY} pieces");
    }
}

#[tokio::test]
async fn the_last_of_an_upload_that_met_a_full_socket_arrives_beside_the_answer() {
    let room = Upload::room().await;
    assert!(room > 2, "nothing fits");
    for number in room - 2..room + 3 {
        let mut upload = Upload::of(number * PIECE).await;
        for _ in 0..number {
            upload.piece().await;
        }
        let body = pattern(ANSWER);
        let (first, last) = body.split_at(5);
        upload.panel.send(first).await;
        assert_eq!(upload.client.bytes(first.len()).await, first);
        let uploaded = tokio::time::timeout(SOON, upload.panel.bytes(number * PIECE)).await;
        let uploaded = uploaded.unwrap_or_else(|_| panic!("{number} of {room}: it stays behind"));
        assert!(uploaded.chunks(PIECE).all(|piece| piece == pattern(PIECE)), "other bytes came");
        let ((), rest) = tokio::join!(upload.panel.send(last), upload.client.bytes(last.len()));
        assert!(rest == last, "other bytes came back");
    }
}
