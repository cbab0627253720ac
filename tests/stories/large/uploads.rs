//! Large requests, and answers that come before they are complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::{HUGE, LARGE, SOON, Scene, get, post};
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::{pattern, until};

/// Looks in a row that find nothing new.
const STILL: usize = 5;

#[tokio::test]
async fn a_client_that_leaves_an_upload_cancels_it() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    scene.client.send(post(2 * LARGE)).await;
    scene.head().await;
    scene.body_goes_up(&body).await;

    drop(scene.client);

    assert!(scene.panel.is_ended(SOON).await, "the panel still waits for the rest");
    assert!(scene.panel.take(1, Duration::ZERO).await.is_empty(), "the rest was made up");
}

#[tokio::test]
async fn a_client_that_stops_in_its_upload_is_told_so_in_time() {
    let mut scene = Scene::with(|settings| settings.set("http", "body_timeout", "1s")).await;
    let body = pattern(LARGE);
    scene.client.send(post(2 * LARGE)).await;
    scene.head().await;
    scene.body_goes_up(&body).await;

    let answer = scene.client.answer().await;
    assert_eq!((answer.status(), answer.field("connection")), (408, Some("close")));
}

#[tokio::test]
async fn an_upload_goes_on_while_a_large_answer_to_it_comes() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    let (first, last) = body.split_at(LARGE / 2);
    scene.client.send(post(LARGE)).await;
    scene.head().await;
    scene.body_goes_up(first).await;
    scene.answer(LARGE, "").await;
    assert_eq!(scene.client.head().await.unwrap().status(), 200);
    scene.body_arrives(first).await;
    scene.body_goes_up(last).await;
    scene.body_arrives(last).await;
    assert_eq!(scene.client.rest().await, b"", "it is the last one");
}

#[tokio::test]
async fn an_early_answer_to_an_upload_leaves_nothing_that_passes_for_a_request() {
    let mut scene = Scene::open().await;
    let mut body = pattern(LARGE);
    body.extend(get("/forged").repeat(1000).bytes());
    scene.client.send(post(body.len())).await;
    scene.head().await;
    scene.body_goes_up(&body[..LARGE]).await;
    scene.answer(5, "").await;
    scene.panel.send(b"enough").await;

    let answer = scene.client.head().await.unwrap();
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    assert_eq!(scene.client.bytes(5).await, b"enoug");
    scene.client.send(&body[LARGE..]).await;
    assert_eq!(scene.client.rest().await, b"");
    assert!(scene.panel.is_ended(SOON).await);
    scene.panel.catch_up();
    assert_eq!((scene.panel.opened, String::from_utf8_lossy(&scene.panel.received)), (1, "".into()));
}

/// The panel reads nothing more, so that some of what hyper takes for read is still in the client's socket.
#[tokio::test]
async fn an_early_answer_of_a_panel_that_reads_nothing_is_the_last_of_its_connection() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let door = Doorman::start(&Settings::panel(format!("http://{}", listener.local_addr().unwrap()))).await;
    let (mut hears, mut says) = Connection::open(door.http().await).await.stream.into_split();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        says.write_all(post(HUGE).as_bytes()).await.unwrap();
        let forged = get("/forged").repeat(HUGE / get("/forged").len() + 1);
        for piece in forged.as_bytes()[..HUGE].chunks(4096) {
            if says.write_all(piece).await.is_err() {
                return;
            }
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    let mut panel = Connection::over(listener.accept().await.unwrap().0);
    assert!(panel.head().await.unwrap().start.starts_with("POST /up "));
    let (mut before, mut looks) = (0, 0);
    until("the sockets are full and nothing moves", SOON, async || {
        let now = sent.load(Ordering::Relaxed);
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
        (now > 0 && looks == STILL).then_some(())
    })
    .await;
    assert!(before < HUGE, "that was less than the sockets hold");

    panel.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;

    let mut answer = Vec::new();
    let _ = hears.read_to_end(&mut answer).await; // a reset after it is an end, too
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    sending.await.unwrap();
    assert_eq!(door.metric("doorman_responses_total{class=\"2xx\"}").await, 1);
}
