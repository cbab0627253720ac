//! Owning a port: who has it, waiting for it, letting it go.

mod holders;
mod joiners;
mod sandbox;

use std::io::ErrorKind;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::support::client::{Connection, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::free_port;
use crate::support::recorder::Recorder;
use crate::support::upstream::{Upstream, plain};

const SOON: Duration = Duration::from_secs(20);

/// What requests in flight have at the end (`FAREWELL`).
const FAREWELL: Duration = Duration::from_secs(3);

/// Has the kernel refuse something to the program that it becomes.
const WITHOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/without.py");

#[tokio::test]
async fn the_second_doorman_says_who_has_the_port_and_takes_over_when_the_first_ends() {
    let (first_panel, second_panel) = (
        Upstream::answering(|_| plain(200, "the first")).await,
        Upstream::answering(|_| plain(200, "the second")).await,
    );
    let address = format!("127.0.0.1:{}", free_port());
    let at = |panel: &Upstream| Settings::panel(panel.url()).set("http", "listen", vec![address.clone()]);
    let mut first = Doorman::start(&at(&first_panel)).await;
    let second = Doorman::start_waiting(&at(&second_panel)).await;

    let status = second.until("it waits", SOON, |status| status["listeners"][0]["state"] == "waiting").await;
    let holder = &status["listeners"][0]["holder"];
    assert_eq!(holder["pid"], first.process.id(), "{status:#}");
    assert_eq!(holder["program"], "doorman", "{status:#}");
    for _ in 0..50 {
        assert_eq!(get(address.parse().unwrap(), "/").await.text(), "the first", "it must not take a share");
    }

    first.process.signal(Signal::TERM);
    assert!(first.process.ended(SOON).await.success());
    let status =
        second.until("it listens", SOON, |status| status["listeners"][0]["state"] == "listening").await;

    assert!(status["listeners"][0]["holder"].is_null(), "{status:#}");
    assert_eq!(get(second.http().await, "/").await.text(), "the second");
}

#[tokio::test]
async fn any_other_program_on_the_port_is_named_and_left_alone() {
    let panel = Upstream::panel().await;
    let holder = Upstream::answering(|_| plain(200, "mine")).await;
    let settings = Settings::panel(panel.url()).set("http", "listen", vec![holder.address.to_string()]);
    let door = Doorman::start_waiting(&settings).await;

    let status = door.until("it waits", SOON, |status| status["listeners"][0]["state"] == "waiting").await;

    assert_eq!(status["listeners"][0]["holder"]["pid"], std::process::id(), "{status:#}");
    assert_eq!(get(holder.address, "/").await.text(), "mine");
    let address = holder.address;
    drop(holder);
    door.until("it listens", SOON, |status| status["listeners"][0]["state"] == "listening").await;
    assert_eq!(get(address, "/").await.text(), "the panel: GET / HTTP/1.1");
}

#[tokio::test]
async fn a_listener_whose_port_is_taken_keeps_no_other_waiting() {
    let panel = Upstream::panel().await;
    let holder = Upstream::panel().await;
    let settings = Settings::panel(panel.url()).set(
        "http",
        "listen",
        vec![holder.address.to_string(), "[::1]:0".to_owned()],
    );

    let door = Doorman::start(&settings).await;

    assert!(door.http().await.is_ipv6());
    assert_eq!(get(door.http().await, "/").await.status(), 200);
}

#[tokio::test]
async fn ipv4_and_ipv6_are_separate_doors_at_the_same_port() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let both = vec![format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    let door = Doorman::start(&Settings::panel(panel.url()).set("http", "listen", both.clone())).await;
    door.until("both listen", SOON, |status| {
        status["listeners"].as_array().is_some_and(|all| all.iter().all(|one| one["state"] == "listening"))
    })
    .await;

    for address in both {
        assert_eq!(get(address.parse().unwrap(), "/").await.status(), 200);
    }
}

#[tokio::test]
async fn many_connections_at_once_reach_every_worker_and_none_is_lost() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url()).set("http", "workers", 4)).await;
    let address = door.http().await;

    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..400 {
        visits.spawn(get(address, "/"));
    }

    for answer in visits.join_all().await {
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let (release, released) = tokio::sync::watch::channel(false);
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let panel = Upstream::with(move |mut client| {
        let (mut released, arrived) = (released.clone(), arrived.clone());
        async move {
            client.head().await;
            arrived.send(()).unwrap();
            released.wait_for(|released| *released).await.unwrap();
            client.send(plain(200, "in time")).await;
        }
    })
    .await;
    let mut door = Doorman::start(&Settings::panel(panel.url())).await;
    let address = door.http().await;
    let mut client = Connection::open(address).await;
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    arrival.recv().await.expect("the request is in flight");

    let asked = Instant::now();
    door.process.signal(Signal::TERM);
    crate::support::until("it accepts no more", SOON, async || {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    release.send(true).unwrap();

    assert_eq!(client.answer().await.text(), "in time");
    assert!(door.process.ended(SOON).await.success());
    assert!(asked.elapsed() < FAREWELL, "it waited for nobody");
}

#[tokio::test]
async fn a_request_that_is_never_answered_has_three_seconds_more() {
    let mut panel = Recorder::listen().await;
    let mut door = Doorman::start(&Settings::panel(panel.url.clone())).await;
    let mut client = Connection::open(door.http().await).await;
    client.send("GET /never HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(panel.take(4, SOON).await, b"GET ");

    let asked = Instant::now();
    door.process.signal(Signal::TERM);
    assert!(client.rest().await.is_empty());
    let waited = asked.elapsed();

    assert!(door.process.ended(SOON).await.success());
    assert!((FAREWELL..2 * FAREWELL).contains(&waited), "it was cut after {waited:?}");
}

#[tokio::test]
async fn neither_a_tunnel_nor_a_download_keeps_it_from_ending() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe beginning").await;
        client.rest().await;
    })
    .await;
    let mut door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;
    client.send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.head().await;

    door.process.signal(Signal::INT);

    assert!(door.process.ended(Duration::from_secs(10)).await.success());
}

#[tokio::test]
async fn an_answer_of_which_only_the_end_tells_the_length_is_not_cut_so_that_it_looks_whole() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbeginning\r\n").await;
        client.rest().await;
    })
    .await;
    let mut door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;
    client.send("GET /endless HTTP/1.0\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.bytes(9).await, b"beginning");

    door.process.signal(Signal::TERM);

    let end = client.stream.read(&mut [0; 9]).await;
    assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    assert!(door.process.ended(SOON).await.success());
}
