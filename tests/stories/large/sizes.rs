//! Answers around the sizes from which on they are moved, in any order over one connection.

use super::*;

/// Around what is read with a head, what is moved, and what a piece is.
const SIZES: [usize; 12] =
    [0, 1, 900, 16_000, 16_384, 32_767, 33_900, 65_536, 70_000, 131_072, 200_000, 300_000];

/// How an answer is sent: where it is cut, after how many bytes of its head and body.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// All at once.
    Nowhere,
    /// The head by itself.
    AfterHead,
    /// Within the body.
    Within,
}

impl Scene {
    /// One exchange, with a head that is longer than the first look at one, or not.
    async fn exchange(&mut self, size: usize, cut: Cut, long_head: bool) {
        let body = pattern(size);
        let padding =
            if long_head { "X-Padding: ".to_owned() + &"p".repeat(3000) + "\r\n" } else { String::new() };
        let head = format!("HTTP/1.1 200 OK\r\n{padding}Content-Length: {size}\r\n\r\n");
        let answer = [head.as_bytes(), &body].concat();
        let (first, second) = answer.split_at(match cut {
            Cut::Nowhere => answer.len(),
            Cut::AfterHead => head.len(),
            Cut::Within => head.len() + size / 3,
        });
        self.get("/").await;
        self.head().await;
        let (panel, client) = (&mut self.panel, &mut self.client);
        let sending = async {
            assert!(panel.send(first).await);
            // What was sent first has gone on its way alone when the client has its head.
            client.head().await.unwrap();
            let (sent, got) = tokio::join!(panel.send(second), client.bytes(size));
            assert!(sent && got == body, "{size} {cut:?}: other bytes came");
        };
        tokio::time::timeout(SOON, sending).await.unwrap_or_else(|_| panic!("{size} {cut:?}: not whole"));
    }
}

#[tokio::test]
async fn answers_of_all_sizes_follow_each_other_over_one_connection() {
    let mut scene = Scene::open().await;
    for (turn, size) in SIZES.into_iter().enumerate() {
        for other in SIZES {
            let cut = [Cut::Nowhere, Cut::AfterHead, Cut::Within][turn % 3];
            scene.exchange(size, cut, turn % 2 == 0).await;
            scene.exchange(other, Cut::Nowhere, false).await;
        }
    }
    assert_eq!(scene.panel.opened, 1);
}

#[tokio::test]
async fn they_follow_each_other_beside_many_connections_too() {
    /// From here on pieces are small.
    const MANY: usize = 20;
    let mut scene = Scene::with(|settings| settings.set("http", "workers", 1)).await;
    let mut waiting = Vec::new();
    for _ in 0..MANY {
        let mut client = Connection::open(scene.door.http().await).await;
        client.send(get("/waits")).await;
        scene.head().await;
        waiting.push(client);
    }
    for size in SIZES {
        for cut in [Cut::Nowhere, Cut::AfterHead, Cut::Within] {
            scene.exchange(size, cut, false).await;
        }
    }
    assert_eq!(scene.panel.opened, MANY + 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_a_while_gets_all_of_many_answers_of_64_kib() {
    const TIMES: usize = 100;
    let mut scene = Scene::open().await;
    scene.narrow().await;
    let body = pattern(65_536);
    scene.client.send(get("/").repeat(TIMES)).await;
    for _ in 0..TIMES {
        scene.head().await;
        scene.answer(body.len(), "").await;
        let (panel, client) = (&mut scene.panel, &mut scene.client);
        let reading = async {
            client.head().await.unwrap();
            client.bytes(body.len()).await
        };
        let (sent, got) = tokio::join!(panel.send(&body), reading);
        assert!(sent && got == body, "other bytes came");
    }
    assert_eq!(scene.panel.opened, 1);
}
