//! What hostile clients of HTTP/2 do: everything that is cheap for them and dear for a server.

use tokio::io::AsyncWriteExt;
use tokio::time::interval;

use super::{DRIP, SOON, door, soon};
use crate::support::client::Multiplexed;
use crate::support::doorman::Doorman;
use crate::support::frames::{
    self, CONTINUATION, DATA, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame,
};
use crate::support::tls;
use crate::support::until;
use crate::support::upstream::{Upstream, plain};

/// Of each flood.
const FRAMES: u32 = 20_000;

/// How much the process may have grown after one flood. Nothing of a flood is kept but a full buffer of the connection
/// (1 MiB at most, the connection's window) and what the allocator keeps for the next; a server that queues an answer,
/// a stream or a task for each of the 20,000 frames would keep more.
const GROWTH_KIB: u64 = 12 * 1024;

/// Streams of one connection that the door serves at once (`MAX_STREAMS`).
const MAX_STREAMS: u32 = 128;

#[tokio::test]
async fn streams_that_are_opened_and_reset_cost_little_and_end_the_connection() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    withstands(&door, |mut attacker| async move {
        // CVE-2023-44487: many in one write, so that they come faster than they can be served.
        for round in 0..FRAMES / 100 {
            let streams = (0..100).map(|number| 2 * (round * 100 + number) + 1);
            let pairs = streams.flat_map(|id| {
                let reset = frame(RST_STREAM, 0, id, &8u32.to_be_bytes()); // CANCEL
                [frames::get_on(id, "/attack"), reset].concat()
            });
            if !attacker.send(&pairs.collect::<Vec<_>>()).await {
                break;
            }
        }
        let said = attacker.rest().await;
        assert!(said.iter().any(|frame| frame.kind == GOAWAY), "the client is told to calm down");
    })
    .await;
    let attacks = panel.seen().iter().filter(|request| request.start.contains("attack")).count();
    println!("{attacks} of {FRAMES} requests reached the panel");
    assert!(attacks < 1000, "{attacks} requests reached the panel");
}

#[tokio::test]
async fn a_header_block_without_an_end_ends_the_connection() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    withstands(&door, |mut attacker| async move {
        assert!(attacker.send(&frame(HEADERS, END_STREAM, 1, &frames::get("/attack", &[]))).await);
        let piece = frame(CONTINUATION, 0, 1, &[&[0u8, 1][..], b"x", &[100], &[b'a'; 100]].concat());
        for _ in 0..FRAMES {
            if !attacker.send(&piece).await {
                break;
            }
        }
        attacker.rest().await;
    })
    .await;
    // The same with empty pieces, which fill no list.
    withstands(&door, |mut attacker| async move {
        assert!(attacker.send(&frame(HEADERS, END_STREAM, 1, &frames::get("/attack", &[]))).await);
        for _ in 0..FRAMES {
            if !attacker.send(&frame(CONTINUATION, 0, 1, &[])).await {
                break;
            }
        }
        attacker.rest().await;
    })
    .await;
    assert!(!panel.seen().iter().any(|request| request.start.contains("attack")));
}

#[tokio::test]
async fn a_flood_of_pings_and_settings_that_is_not_read_stops_at_the_clients_own_window() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("header_timeout", "2s"), ("idle_timeout", "2s")]).await;
    for (kind, payload) in [(PING, &[0u8; 8][..]), (SETTINGS, &[0, 4, 0, 0, 255, 255])] {
        withstands(&door, |mut attacker| async move {
            // Nothing is read: the answers fill the sockets, and then the door must stop to read.
            let flood = frame(kind, 0, 0, payload).repeat(100);
            let all = async { while attacker.send(&flood).await {} };
            soon("it does not go on for ever", all).await;
        })
        .await;
    }
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_the_others_answered() {
    let panel = Upstream::with(|mut client| async move {
        if client.request().await.is_some_and(|request| !request.start.contains("/held")) {
            client.send(plain(200, "ok")).await;
        }
        client.rest().await;
    })
    .await;
    let door = door(&panel, &[]).await;
    let mut greedy = Frames::open(door.https().await, &[]).await;
    let ids = || (0..2000u32).map(|number| 2 * number + 1);

    let all: Vec<u8> = ids().flat_map(|id| frames::get_on(id, "/held")).collect();
    greedy.send(&all).await;

    let refused = async {
        let mut refused = 0;
        while let Some(frame) = greedy.next().await {
            if frame.kind == RST_STREAM {
                assert_eq!(frame.payload, 7u32.to_be_bytes(), "REFUSED_STREAM");
                refused += 1;
            }
            if frame.kind == GOAWAY || refused == 2000 - MAX_STREAMS {
                return refused;
            }
        }
        refused
    };
    let refused = soon("they are refused", refused).await;
    println!("{refused} of 2000 streams were refused one by one");
    assert!(refused > 0, "none was refused");
    // However it ends for the greedy one: there are never more than its share, and others are served.
    let mut other = Multiplexed::open(door.https().await, &tls::trusting_anybody(&["h2"])).await;
    assert_eq!(other.get("/").await.0, 200);
}

#[tokio::test]
async fn stalled_readers_of_many_streams_hold_a_bounded_amount() {
    static PIECE: [u8; 1 << 16] = [b'x'; 1 << 16];
    /// Each may hold what is in one piece of a body and in the socket's and the connection's buffers.
    const STREAM_KIB: u64 = 512;
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        while client.stream.write_all(&PIECE).await.is_ok() {}
    })
    .await;
    let door = door(&panel, &[("body_timeout", "5s")]).await;
    let before = door.process.memory_kib("RssAnon");
    // The largest windows there are: only the door's own limits hold.
    let mut greedy = Frames::open(door.https().await, &[(4, 0x7fff_ffff)]).await;
    greedy.send(&frame(frames::WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes())).await;
    let all: Vec<u8> = (0..MAX_STREAMS).flat_map(|number| frames::get_on(2 * number + 1, "/large")).collect();
    greedy.send(&all).await;
    greedy.until(DATA).await;

    // It grows until all that may be held is held: then it stays as it is, until the time of the bodies is over.
    let mut peak = 0;
    until("the connection is cut", SOON, async || {
        peak = peak.max(door.process.memory_kib("RssAnon"));
        (door.metric("doorman_connections").await == 0).then_some(())
    })
    .await;
    let held = peak.saturating_sub(before);
    println!("{MAX_STREAMS} stalled streams held {held} KiB, {} KiB each", held / u64::from(MAX_STREAMS));
    assert!(held < u64::from(MAX_STREAMS) * STREAM_KIB, "they held {held} KiB");
    drop(greedy);
}

/// While and after one client attacks, another one is served, and the process has not grown.
async fn withstands<F: Future<Output = ()>>(door: &Doorman, attack: impl FnOnce(Frames) -> F) {
    let https = door.https().await;
    let mut other = Multiplexed::open(https, &tls::trusting_anybody(&["h2"])).await;
    assert_eq!(other.get("/").await.0, 200);
    let before = door.process.memory_kib("RssAnon");
    let attacker = Frames::open(https, &[]).await;
    let mut attack = std::pin::pin!(attack(attacker));

    let served = async {
        let mut tick = interval(DRIP);
        let mut served = 0u32;
        loop {
            tokio::select! {
                () = &mut attack => return served,
                _ = tick.tick() => {
                    let mut other = Multiplexed::open(https, &tls::trusting_anybody(&["h2"])).await;
                    assert_eq!(other.get("/").await.0, 200);
                    served += 1;
                }
            }
        }
    };
    let served = tokio::time::timeout(2 * SOON, served).await.expect("the attack comes to an end");
    let mut other = Multiplexed::open(https, &tls::trusting_anybody(&["h2"])).await;
    assert_eq!(other.get("/").await.0, 200);
    let after = door.process.memory_kib("RssAnon");
    println!("{served} requests of others were served; {before} KiB before, {after} KiB after");
    assert!(after < before + GROWTH_KIB, "it grew from {before} to {after} KiB");
}
