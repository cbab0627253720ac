//! What does not end soon: large bodies, events.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::pattern;
use crate::support::upstream::{Stream, Upstream, plain};

const GIB: usize = 1 << 30;
/// 40 MB.
const MEMORY_LIMIT_KIB: u64 = 40_000_000 / 1024;
/// The body repeats after this many bytes: not a multiple of any buffer's size.
const PERIOD: usize = 1_000_003;

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
    let asked = std::sync::Arc::new(tokio::sync::Mutex::new(asked));
    let panel = Upstream::with(move |mut client| {
        let asked = std::sync::Arc::clone(&asked);
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
