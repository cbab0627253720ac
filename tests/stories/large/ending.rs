//! An answer whose last piece meets a full socket.

use std::net::SocketAddr;

use super::*;
use crate::tunnels::full::taken;

/// Small enough to go out in a batch with the end (`SMALL_BYTES`).
const PIECE: usize = 16_000;
/// More of them than sockets hold.
const MANY: usize = 2_000;
/// Less than what is moved at once.
const STEP: usize = 48 * 1024;

impl Scene {
    /// A client that reads nothing yet has asked, and the answer has begun.
    async fn begun(connection: &str) -> Self {
        let mut scene = Self::with(|settings| settings.set("http", "workers", 1)).await;
        scene.narrow().await;
        scene.client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n")).await;
        scene.head().await;
        assert!(scene.panel.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await);
        scene
    }

    /// Sends a piece, and waits until the door has done with it what it can: what came later was answered.
    async fn piece(&mut self, end: &str) {
        let piece = [format!("{PIECE:x}\r\n").as_bytes(), &pattern(PIECE), b"\r\n", end.as_bytes()].concat();
        assert!(self.panel.send(&piece).await);
        others_are_answered(self.door.http().await).await;
    }

    async fn taken(&self) -> usize {
        taken(self.door.http().await, self.client.stream.local_addr().unwrap()).await
    }

    /// How many pieces the socket takes whole.
    async fn room() -> usize {
        let mut scene = Self::begun("close").await;
        let before = scene.taken().await;
        for number in 1..MANY {
            scene.piece("").await;
            if scene.taken().await - before < number * PIECE {
                return number - 1;
            }
        }
        panic!("the socket is not full after {MANY} pieces");
    }
}

/// The door has had two turns more.
pub(super) async fn others_are_answered(door: SocketAddr) {
    for _ in 0..2 {
        let mut other = Connection::open(door).await;
        other.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(other.answer().await.status(), 400);
    }
}

#[tokio::test]
async fn the_last_piece_that_met_a_full_socket_is_whole_before_the_end() {
    is_whole("close").await;
}

#[tokio::test]
async fn the_last_piece_that_met_a_full_socket_is_whole_before_the_next_request() {
    is_whole("keep-alive").await;
}

async fn is_whole(connection: &str) {
    let room = Scene::room().await;
    assert!(room > 2, "nothing fits");
    for number in room.saturating_sub(2)..room + 3 {
        let mut scene = Scene::begun(connection).await;
        for _ in 0..number {
            scene.piece("").await;
        }
        scene.piece("0\r\n\r\n").await;

        let reading = async {
            let answer = scene.client.answer().await;
            assert!(answer.body.chunks(PIECE).all(|piece| piece == pattern(PIECE)), "other bytes came");
            assert_eq!(answer.body.len(), (number + 1) * PIECE, "it has room for {room}");
            if connection == "close" {
                assert!(scene.client.rest().await.is_empty());
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("all of it, and the end");
    }
}

#[tokio::test]
async fn what_is_moved_is_whole_wherever_the_socket_is_full() {
    let room = Scene::room().await * PIECE;
    let mut scene = Scene::with(|settings| settings.set("http", "workers", 1)).await;
    let door = scene.door.http().await;
    for length in (room / 2..2 * room).step_by(STEP) {
        scene.narrow().await;
        scene.get("/").await;
        scene.head().await;
        scene.answer(length, "").await;
        let (body, client) = (pattern(length), &mut scene.client);
        let address = client.stream.local_addr().unwrap();
        let reading = async {
            while {
                let before = taken(door, address).await;
                others_are_answered(door).await;
                taken(door, address).await > before
            } {}
            assert!(client.answer().await.body == body, "{length}: other bytes came");
        };
        let (sent, read) = tokio::join!(scene.panel.send(&body), tokio::time::timeout(SOON, reading));
        read.unwrap_or_else(|_| panic!("{length}: not whole"));
        assert!(sent);
    }
    assert_eq!(scene.panel.opened, 1);
}
