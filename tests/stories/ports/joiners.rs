//! A program of our own user that listens beside us.

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use super::{SOON, WITHOUT};
use crate::support::client::get;
use crate::support::doorman::{Doorman, Settings};
use crate::support::free_port;
use crate::support::upstream::Upstream;

/// Enough that a share of a third cannot be zero by chance.
const VISITS: usize = 120;

#[tokio::test]
async fn who_joins_our_port_gets_no_connection_and_is_named() {
    for loopback in ["127.0.0.1", "[::1]"] {
        let panel = Upstream::panel().await;
        let door = Doorman::start(&settings(&panel, loopback)).await;
        let address = door.http().await;
        let joiner = join(address);

        let status = door.until("somebody joined", SOON, |status| !joined(status).is_null()).await;

        assert_eq!(joined(&status)["pid"], std::process::id(), "{status:#}");
        assert_eq!(status["listeners"][0]["state"], "listening");
        assert!(status["listeners"][0]["remedy"].is_string(), "{status:#}");
        door.process.says("another program listens on a port of ours too", SOON).await;
        for _ in 0..VISITS {
            assert_eq!(get(address, "/").await.status(), 200);
        }
        assert!(joiner.accept().is_err(), "it got a connection");
        drop(joiner);
        door.until("we are alone again", SOON, |status| joined(status).is_null()).await;
    }
}

#[tokio::test]
async fn who_joins_is_an_alert_and_that_he_is_gone_too() {
    let panel = Upstream::panel().await;
    for certificate in [with_a_certificate, without_one] {
        let door = Doorman::start(&certificate(settings(&panel, "127.0.0.1"))).await;
        let joiner = join(door.http().await);
        door.process.says("alert=\"port_joined\"", SOON).await;
        drop(joiner);
        door.until("we are alone again", SOON, |status| joined(status).is_null()).await;
        if door.status().await["state"] == "disabled" {
            door.process.says("alert=\"recovered\"", SOON).await; // with nothing else to wait for
            assert_eq!(door.status().await["open_alerts"], serde_json::json!([]));
        }
    }
}

#[tokio::test]
async fn who_takes_a_port_that_was_ours_is_an_alert() {
    tokio::join!(is_missed(with_a_certificate), is_missed(without_one));
}

async fn is_missed(certificate: fn(Settings) -> Settings) {
    let panel = Upstream::panel().await;
    let port = free_port();
    let (lost, kept) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    let settings = certificate(Settings::panel(panel.url())).set("http", "listen", vec![&*lost, &*kept]);
    let mut door = Doorman::start(&settings).await;
    door.until("both are ours, and that is written down", SOON, |status| {
        let listening = |at: usize| status["listeners"][at]["state"] == "listening";
        let written = std::fs::read_to_string(door.stored("state.json")).unwrap_or_default();
        listening(0) && listening(1) && written.contains(&lost)
    })
    .await;
    door.process.signal(Signal::TERM);
    assert!(door.process.ended(SOON).await.success());
    let _taken = TcpListener::bind(&lost).unwrap();

    door.start_again().await;

    // A restart is no news: the doorman before may still be there.
    door.process.says("alert=\"port_lost\"", SOON * 3).await;
}

#[tokio::test]
async fn where_the_kernel_does_not_steer_the_door_works_and_the_joiner_is_named_all_the_same() {
    let panel = Upstream::panel().await;
    let launcher = ["python3", WITHOUT, "steering"];
    let door = Doorman::start_by(&launcher, &settings(&panel, "127.0.0.1")).await;
    let address = door.http().await;
    door.process.says("the kernel does not let us steer connections", SOON).await;
    for _ in 0..VISITS {
        assert_eq!(get(address, "/").await.status(), 200);
    }

    let joiner = join(address);

    door.until("somebody joined", SOON, |status| !joined(status).is_null()).await;
    let clients: Vec<_> = (0..VISITS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let taken = std::iter::from_fn(|| joiner.accept().ok()).count();
    assert!((1..clients.len()).contains(&taken), "{taken}: this is what steering is for");
}

pub(super) fn settings(panel: &Upstream, loopback: &str) -> Settings {
    let address = format!("{loopback}:{}", free_port());
    Settings::panel(panel.url()).set("http", "workers", 2).set("http", "listen", vec![address])
}

/// One that no CA will give.
fn with_a_certificate(settings: Settings) -> Settings {
    let nobody = format!("https://127.0.0.1:{}/directory", free_port());
    settings.set("ip_cert", "ip", vec!["127.0.0.1"]).set("ip_cert", "directory", nobody)
}

fn without_one(settings: Settings) -> Settings {
    settings
}

fn joined(status: &serde_json::Value) -> &serde_json::Value {
    &status["listeners"][0]["joined"]
}

/// Listens beside the door, as any program of its user may. It does not block.
pub(super) fn join(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(128).unwrap();
    socket.into()
}
