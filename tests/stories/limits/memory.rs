//! How much memory clients can make the door use, and that it is given back.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::SOON;
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::until;
use crate::support::upstream::{Upstream, plain};

const CONNECTIONS: u64 = 5000;

/// What an idle connection costs, before its first request and after it: a task, a timer, a socket.
const IDLE_BYTES: u64 = 4096;

/// What is left when all have gone: what the allocator keeps for the next.
const LEFT_KIB: u64 = 6 * 1024;

const DOWNLOADS: u64 = 200;

/// What a download holds whose reader has stopped: at most a full buffer (128 KiB) on each side, twice while one is
/// being moved into the other, and the state of two connections.
const STALLED_KIB: u64 = 600;

/// What the process takes that nobody is connected to, and what grows with the first clients whoever they are.
const BASE_KIB: u64 = 8 * 1024;

#[tokio::test]
async fn five_thousand_idle_connections_cost_4_kib_each_and_are_given_back() {
    let panel = Upstream::answering(|_| plain(200, "ok")).await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let http = door.http().await;
    // What is set up once is not divided among them.
    drop(Connection::open(http).await.get("/").await);
    gone(&door).await;
    let start = door.process.memory_kib("RssAnon");
    let more = async || door.process.memory_kib("RssAnon").saturating_sub(start);

    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Connection::open(http).await;
        client.buffer = Vec::new();
        clients.push(client);
    }
    parked(&door).await;
    let unused = more().await;
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(status(&client.stream).await, 200);
    }
    parked(&door).await;
    let bound = CONNECTIONS * IDLE_BYTES / 1024;
    let used = settles("idle connections are small", bound, &more).await;
    drop(clients);
    gone(&door).await;
    let left = settles("the memory is given back", LEFT_KIB, &more).await;

    println!(
        "{start} KiB at the start; {CONNECTIONS} idle connections held {unused} KiB more before their first request, \
         {used} KiB after it; {left} KiB were left"
    );
    assert!(unused < bound, "{unused} KiB, more than {bound}");
}

#[tokio::test]
async fn the_code_that_only_the_start_needed_does_not_stay() {
    let panel = Upstream::answering(|_| plain(200, "ok")).await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let http = door.http().await;
    assert_eq!(Connection::open(http).await.get("/").await.status(), 200);
    until("most of the code is unmapped", SOON, async || {
        let (all, resident) = code_kib(door.process.id());
        (resident < all / 4).then_some(())
    })
    .await;
    assert_eq!(Connection::open(http).await.get("/").await.status(), 200);
}

/// The process's own code as it is mapped, and how much of it is.
fn code_kib(pid: u32) -> (u64, u64) {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut lines = maps.lines().skip_while(|line| !(line.contains(" r-xp ") && line.ends_with("/doorman")));
    let mut kib = |field: &str| {
        let line = lines.find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (kib("Size:"), kib("Rss:"))
}

#[tokio::test]
async fn two_hundred_downloads_whose_readers_stop_hold_a_bounded_amount() {
    let (tell, _) = watch::channel(0u64);
    let sent = tell.clone();
    let panel = Upstream::with(move |mut client| {
        let tell = tell.clone();
        async move {
            use tokio::io::AsyncWriteExt;
            client.head().await;
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
            let piece = vec![b'x'; 1 << 16];
            loop {
                // Nothing taken for that long: every buffer on the way is full.
                match tokio::time::timeout(Duration::from_secs(1), client.stream.write_all(&piece)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => break,
                }
            }
            tell.send_modify(|full| *full += 1);
            client.rest().await;
        }
    })
    .await;
    let settings = Settings::panel(panel.url()).set("http", "body_timeout", "10m");
    let door = Doorman::start(&settings).await;
    let start = door.process.memory_kib("RssAnon");
    let mut readers = Vec::new();
    for _ in 0..DOWNLOADS {
        let mut client = Connection::open(door.http().await).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        readers.push(client);
    }

    let mut full = sent.subscribe();
    let all = full.wait_for(|full| *full == DOWNLOADS);
    tokio::time::timeout(4 * SOON, all).await.expect("all buffers are full").unwrap();
    let more = async || door.process.memory_kib("RssAnon").saturating_sub(start);
    let held = more().await;
    drop(readers);
    gone(&door).await;
    let left = settles("the memory is given back", LEFT_KIB, &more).await;

    println!(
        "{DOWNLOADS} stalled downloads held {held} KiB, {} KiB each; {left} KiB were left",
        held / DOWNLOADS
    );
    let bound = BASE_KIB + DOWNLOADS * STALLED_KIB;
    assert!(held < bound, "{held} KiB, more than {bound}");
}

/// Waits until so many KiB are not exceeded, and says how many there are then.
async fn settles(what: &str, bound: u64, now: &impl AsyncFn() -> u64) -> u64 {
    until(what, SOON, async || Some(now().await).filter(|kib| *kib < bound)).await
}

async fn parked(door: &Doorman) {
    until("all connections are parked", SOON, async || {
        (door.metric("doorman_connections_parked").await == CONNECTIONS).then_some(())
    })
    .await;
}

async fn gone(door: &Doorman) {
    until("all connections are gone", SOON, async || {
        (door.metric("doorman_connections").await == 0).then_some(())
    })
    .await;
}

/// The status of a small answer, read without a buffer that stays.
async fn status(stream: &TcpStream) -> u16 {
    let mut head = [0; 512];
    stream.readable().await.unwrap();
    let length = stream.try_read(&mut head).unwrap_or(0);
    let text = std::str::from_utf8(&head[..length]).unwrap();
    text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line")
}
