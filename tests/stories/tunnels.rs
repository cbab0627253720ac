//! Tunnels that carry much, stand still, or end badly.

pub mod full;

use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::Upstream;
use crate::support::{pattern, until};
use crate::wire::tunnels::{ASKS, SWITCHES};

const SOON: Duration = Duration::from_secs(30);

/// More than all buffers on the way hold.
const MUCH: usize = 32 << 20;

/// Tunnels whose visitors do not read.
const STALLED: u64 = 50;

/// What such a tunnel holds: one piece (128 KiB) that was read and not taken.
const STALLED_KIB: u64 = 160;

const IDLE: u64 = 500;

/// What a tunnel costs that says nothing: a task and two sockets, but no buffer.
const IDLE_BYTES: u64 = 4 * 1024;

/// What the process takes that nobody is connected to, and what grows with the first clients whoever they are.
const BASE_KIB: u64 = 8 * 1024;

#[tokio::test]
async fn a_tunnel_carries_much_in_both_directions_at_once() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send(SWITCHES).await;
        assert!(client.buffer.is_empty());
        let (mut reader, mut writer) = tokio::io::split(client.stream);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = enter(&door).await;

    let sent = pattern(MUCH);
    let (mut reader, mut writer) = client.stream.split();
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut echoed = client.buffer;
    let ((), read) = tokio::join!(write, reader.read_to_end(&mut echoed));

    read.unwrap();
    assert!(echoed == sent, "{} of {MUCH} bytes came back, or others", echoed.len());
}

#[tokio::test]
async fn a_visitor_that_has_said_its_last_still_hears_all() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send(SWITCHES).await;
        let sent = pattern(MUCH);
        client.send(&sent[..MUCH / 2]).await;
        assert_eq!(client.rest().await, b"my last");
        client.send(&sent[MUCH / 2..]).await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = enter(&door).await;

    client.send("my last").await;
    client.stream.shutdown().await.unwrap();
    let heard = client.rest().await;

    assert!(heard == pattern(MUCH), "{} of {MUCH} bytes came, or others", heard.len());
    all_gone(&door).await;
}

#[tokio::test]
async fn a_panel_that_has_said_its_last_still_hears_all() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let panel = Upstream::with(move |mut client| {
        let tell = tell.clone();
        async move {
            client.head().await;
            client.send([SWITCHES.as_bytes(), b"my last"].concat()).await;
            client.stream.shutdown().await.unwrap();
            tell.send(client.rest().await).unwrap();
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = enter(&door).await;

    let sent = pattern(MUCH);
    client.send(&sent[..MUCH / 2]).await;
    assert_eq!(client.rest().await, b"my last");
    client.send(&sent[MUCH / 2..]).await;
    client.stream.shutdown().await.unwrap();
    let heard = told.recv().await.unwrap();

    assert!(heard == sent, "{} of {MUCH} bytes came, or others", heard.len());
    all_gone(&door).await;
}

#[tokio::test]
async fn a_reset_in_the_middle_ends_both_sides() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let panel = Upstream::with(move |mut client| {
        let tell = tell.clone();
        async move {
            client.head().await;
            client.send(SWITCHES).await;
            let piece = vec![b'x'; 1 << 16];
            while client.stream.write_all(&piece).await.is_ok() {}
            tell.send(()).unwrap();
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = enter(&door).await;
    client.bytes(1 << 20).await;
    reset(client.stream);
    tokio::time::timeout(SOON, told.recv()).await.expect("the panel hears of it").unwrap();
    all_gone(&door).await;

    // The same from the other side.
    let panel = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = Doorman::start(&Settings::panel(format!("http://{}", panel.local_addr().unwrap()))).await;
    let serve = async {
        let mut client = Connection::over(panel.accept().await.unwrap().0);
        client.head().await;
        client.send(SWITCHES).await;
        client.bytes(1 << 20).await;
        reset(client.stream);
    };
    let visit = async {
        let mut client = enter(&door).await;
        let piece = vec![b'x'; 1 << 16];
        while client.stream.write_all(&piece).await.is_ok() {}
    };
    let both = async { tokio::join!(serve, visit) };
    tokio::time::timeout(SOON, both).await.expect("the visitor hears of it");
    all_gone(&door).await;
}

#[tokio::test]
async fn visitors_that_do_not_read_hold_a_bounded_amount_and_lose_nothing() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let sent: Arc<[u8]> = pattern(MUCH / 2).into();
    let said = Arc::clone(&sent);
    let panel = Upstream::with(move |mut client| {
        let (tell, sent) = (tell.clone(), Arc::clone(&said));
        async move {
            client.head().await;
            client.send(SWITCHES).await;
            let mut length = 0;
            while length < sent.len() {
                let write = client.stream.write(&sent[length..]);
                // Nothing taken for that long: every buffer on the way is full.
                let Ok(written) = tokio::time::timeout(Duration::from_secs(1), write).await else { break };
                length += written.unwrap();
            }
            client.stream.shutdown().await.unwrap();
            tell.send(()).unwrap();
            client.rest().await;
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let start = door.process.memory_kib("RssAnon");
    let mut visitors = Vec::new();
    for _ in 0..STALLED {
        visitors.push(enter(&door).await);
    }
    for _ in 0..STALLED {
        tokio::time::timeout(4 * SOON, told.recv()).await.expect("all buffers are full").unwrap();
    }
    let held = door.process.memory_kib("RssAnon").saturating_sub(start);
    println!("{STALLED} stalled tunnels held {held} KiB, {} KiB each", held / STALLED);
    let bound = BASE_KIB + STALLED * STALLED_KIB;
    assert!(held < bound, "{held} KiB, more than {bound}");

    for mut visitor in visitors {
        let heard = visitor.rest().await;
        assert!(sent.starts_with(&heard) && heard.len() > 1 << 16, "{} bytes came, or others", heard.len());
    }
    all_gone(&door).await;
}

#[tokio::test]
async fn a_tunnel_that_says_nothing_costs_next_to_nothing() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send(SWITCHES).await;
        while client.more().await {
            let said = std::mem::take(&mut client.buffer);
            client.send(said).await;
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    drop(enter(&door).await);
    all_gone(&door).await;
    let start = door.process.memory_kib("RssAnon");
    let mut visitors = Vec::new();
    for _ in 0..IDLE {
        let mut visitor = enter(&door).await;
        visitor.send("ping").await;
        assert_eq!(visitor.bytes(4).await, b"ping");
        visitors.push(visitor);
    }

    let bound = IDLE * IDLE_BYTES / 1024;
    let held = until("idle tunnels are small", SOON, async || {
        let held = door.process.memory_kib("RssAnon").saturating_sub(start);
        (held < bound).then_some(held)
    })
    .await;

    println!("{IDLE} idle tunnels held {held} KiB");
}

/// A tunnel through the door.
async fn enter(door: &Doorman) -> Connection<TcpStream> {
    let mut client = Connection::open(door.http().await).await;
    client.send(ASKS).await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    client
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

async fn all_gone(door: &Doorman) {
    until("no tunnel is left", SOON, async || (door.metric("doorman_tunnels").await == 0).then_some(()))
        .await;
}
