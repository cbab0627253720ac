//! A connection that ends with an answer whose last piece meets a full socket.

use super::*;
use crate::tunnels::full::taken;

/// Small enough to go out in a batch with the end (`SMALL_BYTES`).
const PIECE: usize = 16_000;
/// More of them than sockets hold.
const MANY: usize = 2_000;

impl Scene {
    /// A client that reads nothing yet has asked, and the answer has begun.
    async fn begun() -> Self {
        let mut scene = Self::with(|settings| settings.set("http", "workers", 1)).await;
        scene.narrow().await;
        scene.client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        scene.head().await;
        assert!(scene.panel.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await);
        scene
    }

    /// Sends a piece, and waits until the door has done with it what it can: what came later was answered.
    async fn piece(&mut self, end: &str) {
        let piece = [format!("{PIECE:x}\r\n").as_bytes(), &pattern(PIECE), b"\r\n", end.as_bytes()].concat();
        assert!(self.panel.send(&piece).await);
        for _ in 0..2 {
            let mut other = Connection::open(self.door.http().await).await;
            other.send("GET / HTTP/1.1\r\n\r\n").await;
            assert_eq!(other.answer().await.status(), 400);
        }
    }

    async fn taken(&self) -> usize {
        taken(self.door.http().await, self.client.stream.local_addr().unwrap()).await
    }

    /// How many pieces the socket takes whole.
    async fn room() -> usize {
        let mut scene = Self::begun().await;
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

#[tokio::test]
async fn the_last_piece_that_met_a_full_socket_is_whole_before_the_end() {
    let room = Scene::room().await;
    assert!(room > 2, "nothing fits");
    for number in room.saturating_sub(2)..room + 3 {
        let mut scene = Scene::begun().await;
        for _ in 0..number {
            scene.piece("").await;
        }
        scene.piece("0\r\n\r\n").await;

        let reading = async {
            let answer = scene.client.answer().await;
            assert!(answer.body.chunks(PIECE).all(|piece| piece == pattern(PIECE)), "other bytes came");
            assert_eq!(answer.body.len(), (number + 1) * PIECE, "it has room for {room}");
            assert!(scene.client.rest().await.is_empty());
        };
        tokio::time::timeout(SOON, reading).await.expect("all of it, and the end");
    }
}
