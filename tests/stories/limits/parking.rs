//! An idle connection is parked: it keeps next to no memory. Nobody notices, whatever comes next.

use std::net::IpAddr;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::{SOON, door, soon};
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::{Upstream, plain};
use crate::support::{network, tls, until};

/// More than fits into all buffers on the way to a client that does not read.
const LONG: usize = 1 << 24;

const FIRST: &str = "GET /first HTTP/1.1\r\nHost: h\r\n\r\n";
const SECOND: &str = "POST /second HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_parked_connection_answers_its_next_request() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    let mut client = Connection::open(door.http().await).await;
    let tls = tls::connect(door.https().await, &tls::trusting_anybody(&["http/1.1"])).await.unwrap();
    let mut over_tls = Connection::over(tls);

    for round in 1..=3 {
        are_parked(&door, 2).await; // the first time before any request
        let target = format!("/{round}");
        assert_eq!(client.get(&target).await.text(), format!("the panel: GET {target} HTTP/1.1"));
        assert_eq!(over_tls.get(&target).await.text(), format!("the panel: GET {target} HTTP/1.1"));
    }
    assert_eq!(door.metric("doorman_connections").await, 2);
}

#[tokio::test]
async fn requests_that_come_together_after_it_are_answered_in_turn() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    let mut client = Connection::open(door.http().await).await;

    client.send(FIRST).await;
    client.answer().await;
    are_parked(&door, 1).await;
    client.send([FIRST, SECOND, FIRST].concat()).await;
    for line in ["GET /first", "POST /second", "GET /first"] {
        assert_eq!(client.answer().await.text(), format!("the panel: {line} HTTP/1.1"));
    }
    assert_eq!(panel.seen()[2].body, b"hello");
}

#[tokio::test]
async fn a_request_that_comes_a_byte_at_a_time_after_it_is_whole() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    let mut client = Connection::open(door.http().await).await;
    client.stream.set_nodelay(true).unwrap();

    for _ in 0..2 {
        are_parked(&door, 1).await;
        for byte in SECOND.as_bytes() {
            client.send([*byte]).await;
        }
        assert_eq!(client.answer().await.text(), "the panel: POST /second HTTP/1.1");
    }
    assert_eq!(panel.seen()[1].body, b"hello");
}

#[tokio::test]
async fn half_a_request_behind_another_is_not_lost_and_has_the_time_of_a_head() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("header_timeout", "2s"), ("idle_timeout", "10m")]).await;
    let mut patient = Connection::open(door.http().await).await;
    let mut silent = Connection::open(door.http().await).await;

    let (beginning, end) = SECOND.split_at(20);
    for client in [&mut patient, &mut silent] {
        client.send(format!("{FIRST}{beginning}")).await;
        client.answer().await;
    }
    idle_ones_are_parked(&door, 1).await;
    patient.send(end).await;
    assert_eq!(patient.answer().await.text(), "the panel: POST /second HTTP/1.1");
    assert!(soon("half a head", silent.rest()).await.is_empty());
}

#[tokio::test]
async fn a_request_larger_than_what_is_read_at_first_is_whole() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    let mut client = Connection::open(door.http().await).await;

    are_parked(&door, 1).await;
    let (field, body) = ("f".repeat(10_000), "b".repeat(300_000));
    let head =
        format!("PUT / HTTP/1.1\r\nHost: h\r\nX-Long: {field}\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}{FIRST}")).await;
    assert_eq!(client.answer().await.text(), "the panel: PUT / HTTP/1.1");
    assert_eq!(client.answer().await.text(), "the panel: GET /first HTTP/1.1");
    assert_eq!(panel.seen()[0].field("x-long"), Some(&*field));
    assert!(panel.seen()[0].body == body.as_bytes());
}

#[tokio::test]
async fn a_parked_connection_ends_after_idle_timeout_counted_from_its_last_answer() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("idle_timeout", "2s"), ("header_timeout", "10m")]).await;
    let mut client = Connection::open(door.http().await).await;

    // Ends when one idle time is over, with nothing said in it.
    let mut silent = Connection::open(door.http().await).await;
    let silent = tokio::spawn(async move { silent.rest().await });
    while !silent.is_finished() {
        assert_eq!(client.get("/").await.status(), 200);
        until("all are parked", SOON, async || {
            let parked = door.metric("doorman_connections_parked").await;
            (parked == door.metric("doorman_connections").await).then_some(())
        })
        .await;
    }
    assert!(soon("a parked connection", client.rest()).await.is_empty());
    until("it is gone", SOON, async || (door.metric("doorman_connections").await == 0).then_some(())).await;
    assert_eq!(door.metric("doorman_connections_parked").await, 0);
}

#[tokio::test]
async fn a_client_that_leaves_while_parked_is_noticed() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    let mut client = Connection::open(door.http().await).await;
    let tls = tls::connect(door.https().await, &tls::trusting_anybody(&["http/1.1"])).await.unwrap();
    let mut over_tls = Connection::over(tls);
    client.get("/").await;
    over_tls.get("/").await;
    are_parked(&door, 2).await;

    client.stream.shutdown().await.unwrap();
    over_tls.stream.shutdown().await.unwrap();
    assert!(soon("the door's end", client.rest()).await.is_empty());
    // With TLS it says so; an end without a word would be an error.
    let said = soon("the door's end", tokio::io::AsyncReadExt::read(&mut over_tls.stream, &mut [0; 8])).await;
    assert_eq!(said.expect("a close_notify"), 0);
    until("they are gone", SOON, async || (door.metric("doorman_connections").await == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn sigterm_ends_parked_connections_at_once() {
    let panel = Upstream::panel().await;
    let mut door = door(&panel, &[]).await;
    let mut used = Connection::open(door.http().await).await;
    used.get("/").await;
    let mut fresh = Connection::open(door.http().await).await;
    are_parked(&door, 2).await;

    door.process.signal(Signal::TERM);
    assert!(soon("a used one", used.rest()).await.is_empty());
    assert!(soon("a fresh one", fresh.rest()).await.is_empty());
    // Less than the time that requests in flight have: nothing was waited for.
    assert!(door.process.ended(Duration::from_millis(2500)).await.success());
}

#[tokio::test]
async fn parked_connections_count_for_their_address() {
    let files = tempfile::TempDir::new().unwrap();
    let socket = files.path().join("panel.sock");
    let _panel = Upstream::on_socket(&socket);
    let settings = Settings::panel(format!("unix:{}", socket.display()))
        .set("http", "listen", network::DOOR.to_vec())
        .set("http", "max_connections_per_ip", 2);
    let door = Doorman::start_by(&network::LAUNCHER, &settings).await;
    let guest: IpAddr = "192.0.2.7".parse().unwrap();
    let to = network::DOOR[0].parse().unwrap();

    let mut first = network::connect(&door.process, guest, to).await;
    let second = network::connect(&door.process, guest, to).await;
    assert_eq!(first.get("/").await.status(), 200);
    are_parked(&door, 2).await;
    let mut third = network::connect(&door.process, guest, to).await;
    assert!(String::from_utf8(third.rest().await).unwrap().starts_with("HTTP/1.1 503 "));
    assert_eq!(first.get("/").await.status(), 200, "who is in stays in");

    drop(second);
    until("the place is free", SOON, async || {
        let mut client = network::connect(&door.process, guest, to).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        (client.answer().await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_slow_to_come_or_to_leave_is_not_parked() {
    let (tell, told) = watch::channel(0);
    let panel = Upstream::with(move |mut client| {
        let mut told = told.clone();
        async move {
            while let Some(request) = client.request().await {
                let length = if request.start.starts_with("GET /slow ") {
                    let round: u32 = request.field("round").unwrap().parse().unwrap();
                    told.wait_for(|told| *told >= round).await.unwrap();
                    LONG
                } else {
                    2
                };
                client.send(plain(200, &"x".repeat(length))).await;
            }
        }
    })
    .await;
    let door = door(&panel, &[]).await;
    let mut client = Connection::open(door.http().await).await;

    for round in 1..=2 {
        client.send(format!("GET /slow HTTP/1.1\r\nHost: h\r\nRound: {round}\r\n\r\n")).await;
        idle_ones_are_parked(&door, 1).await;
        tell.send_replace(round);
        assert_eq!(client.head().await.expect("an answer").status(), 200);
        idle_ones_are_parked(&door, 1).await; // most of it is on the way
        assert!(client.bytes(LONG).await.iter().all(|byte| *byte == b'x'));
        are_parked(&door, 1).await;
    }
}

/// Others that come are parked, twice, and those that are open and not idle are not.
async fn idle_ones_are_parked(door: &Doorman, others: u64) {
    let mut idle = Connection::open(door.http().await).await;
    for _ in 0..2 {
        assert_eq!(idle.get("/").await.status(), 200);
        are_parked(door, others).await;
    }
}

async fn are_parked(door: &Doorman, connections: u64) {
    until("they are parked", SOON, async || {
        (door.metric("doorman_connections_parked").await == connections).then_some(())
    })
    .await;
}
