//! Thousands of clients that are slow on purpose, and one that is not.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, interval};

use super::SOON;
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::until;
use crate::support::upstream::{Upstream, plain};

/// Slow clients of each kind: of 2,000 in all.
const CROWD: usize = 500;

/// Requests of the one that is not slow, before and meanwhile.
const REQUESTS: usize = 300;

/// What a request may take beside them: so many times what it took before, and a little for a machine that has the slow
/// clients to run as well.
const SLOWER: u32 = 5;
const LEEWAY: Duration = Duration::from_millis(5);

/// Between two bytes of each slow client.
const DRIP: Duration = Duration::from_secs(2);

#[tokio::test]
async fn two_thousand_slow_clients_do_not_keep_another_from_being_served() {
    let large = "x".repeat(1 << 20);
    let panel = Upstream::with(move |mut client| {
        let large = large.clone();
        async move {
            while let Some(head) = client.head().await {
                let body = match &head.start {
                    start if start.starts_with("POST") => break,
                    start if start.contains("large") => &large,
                    _ => "small",
                };
                if client.stream.write_all(&plain(200, body)).await.is_err() {
                    return;
                }
            }
            client.rest().await; // an upload that never ends
        }
    })
    .await;
    let settings = Settings::panel(panel.url()).set("http", "body_timeout", "10m");
    let door = Doorman::start(&settings).await;
    let http = door.http().await;
    let before = median(http, REQUESTS).await;

    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        // A head that does not end; a body that does not; an answer that is not taken; no word at all.
        crowd.push(slow(http, "GET / HTTP/1.1\r\nHost: h\r\nX: ").await);
        crowd.push(slow(http, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n").await);
        let reader = small_window(http).await;
        crowd.push(reader);
        crowd.push(Connection::open(http).await);
    }
    until("all of them are inside", SOON, async || {
        (door.metric("doorman_connections").await >= 4 * CROWD as u64).then_some(())
    })
    .await;
    let stop = tokio_util::sync::CancellationToken::new();
    let dripping = tokio::spawn(drip(crowd, stop.clone()));

    let meanwhile = median(http, REQUESTS).await;

    println!("{} slow clients: a request took {before:?} before, {meanwhile:?} beside them", 4 * CROWD);
    assert!(
        meanwhile < before * SLOWER + LEEWAY,
        "a request took {before:?} before, {meanwhile:?} beside them"
    );
    assert_eq!(door.metric("doorman_connections_refused_total").await, 0);
    stop.cancel();
    drop(dripping.await.unwrap());
    until("all of them are gone", SOON, async || {
        (door.metric("doorman_connections").await == 0).then_some(())
    })
    .await;
}

/// What a request took in the middle of so many, each on a connection of its own; all of them are answered.
async fn median(http: std::net::SocketAddr, requests: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..requests {
        let asked = Instant::now();
        let mut client = Connection::open(http).await;
        let answer = tokio::time::timeout(SOON, client.get("/")).await.expect("an answer");
        assert_eq!((answer.status(), answer.text()), (200, "small"));
        times.push(asked.elapsed());
    }
    times.sort();
    times[requests / 2]
}

async fn slow(http: std::net::SocketAddr, beginning: &str) -> Connection<TcpStream> {
    let mut client = Connection::open(http).await;
    client.send(beginning).await;
    client
}

/// A reader that asks for more than its socket takes, and takes nothing.
async fn small_window(http: std::net::SocketAddr) -> Connection<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Connection::over(socket.connect(http).await.unwrap());
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client
}

/// A byte of each, now and then.
async fn drip(
    mut crowd: Vec<Connection<TcpStream>>,
    stop: tokio_util::sync::CancellationToken,
) -> Vec<Connection<TcpStream>> {
    let mut tick = interval(DRIP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return crowd,
            _ = tick.tick() => for (number, client) in crowd.iter_mut().enumerate() {
                // Heads and bodies only; the others have said what they have to say.
                if number % 4 < 2 {
                    let _ = client.stream.try_write(b"x");
                }
            },
        }
    }
}
