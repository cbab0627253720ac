//! What survives a restart, a kill, and a store that is broken.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::faults::Faulty;
use super::{ORDER, address, with_certificate};
use crate::support::client::get;
use crate::support::doorman::Doorman;
use crate::support::fault_proxy::{Fault, Resource};
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::Upstream;
use crate::support::{free_port, tls, until};

#[tokio::test]
async fn a_restart_orders_nothing() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let mut door = Doorman::start(&with_certificate(&panel, &pebble, port).set(
        "https",
        "listen",
        vec![address(free_port()).to_string()],
    ))
    .await;
    let before = door.reaches("valid", ORDER).await;

    door.process.signal(Signal::TERM);
    assert!(door.process.ended(Duration::from_secs(10)).await.success());
    door.start_again().await;
    let after = door.reaches("valid", ORDER).await;

    assert_eq!(before["certificate"], after["certificate"]);
    let stream = tls::connect(door.https().await, &tls::trusting(&pebble.root().await, &[])).await.unwrap();
    assert_eq!(after["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    assert_eq!((pebble.issued(), pebble.accounts()), (1, 1));
}

#[tokio::test]
async fn kill_9_at_any_moment_of_a_renewal_leaves_a_whole_pair_and_one_account() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let settings = with_certificate(&panel, &pebble, port).set(
        "https",
        "listen",
        vec![address(free_port()).to_string()],
    );
    let mut door = Doorman::start(&settings).await;
    door.reaches("valid", ORDER).await;

    // Each round dies a little later: after so many things were seen to happen, at the CA or in the store.
    for moment in [0, 2, 5, 8, 11, 14, 17, 20, 24, 30] {
        let before = door.status().await["renewal"].clone();
        let seen = happened(&pebble, &door);
        assert_eq!(door.admin("POST", "/renew?force=true").await.status(), 202);
        until("the moment has come", ORDER, async || {
            let past = happened(&pebble, &door) >= seen + moment;
            let renewal = &door.status().await["renewal"];
            let over = moment > 0 && *renewal != before && !renewal["finished_at"].is_null();
            (past || over).then_some(())
        })
        .await;
        door.process.kill();

        let live = |name: &str| std::fs::read_to_string(door.stored("live").join(name)).unwrap();
        assert!(tls::is_matching_pair(&live("fullchain.pem"), &live("privkey.pem")), "after {moment}");
        door.start_again().await;
        // If the CA was just looking, it met nobody: that is told, and an order is lost; another story is about it.
        let goes_on =
            |status: &Value| status["state"] == "valid" || status["last_error_class"] == "validation";
        if door.until("it goes on", ORDER, goes_on).await["state"] != "valid" {
            let renewed = door.command(&["renew", "--force"]).await;
            assert!(renewed.status.success(), "after {moment}: {renewed:?}");
        }
        let status = door.reaches("valid", ORDER).await;
        let stream =
            tls::connect(door.https().await, &tls::trusting(&pebble.root().await, &[])).await.unwrap();
        assert_eq!(status["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    }

    assert_eq!(pebble.accounts(), 1);
    let renewed = door.command(&["renew", "--force"]).await;
    assert!(renewed.status.success(), "after all that it still renews: {renewed:?}");
}

#[tokio::test]
async fn an_order_that_the_ca_gave_up_while_nobody_listened_is_a_failed_validation() {
    let nobody = free_port();
    let unreachable = |terms| Terms { sleep: 3, http_port: nobody, ..terms };
    let mut faulty = Faulty::of(unreachable, |settings| settings, |_| {}).await;
    until("the CA is told", ORDER, async || (faulty.proxy.asked(Resource::Challenge) == 1).then_some(()))
        .await;
    faulty.door.process.kill();
    until("it has looked", ORDER, async || (faulty.pebble.count("set INVALID") > 0).then_some(())).await;

    faulty.door.start_again().await;

    let status = faulty.failed().await;
    assert_eq!(status["last_error_class"], "validation", "{status:#}");
    assert!(status["last_error"].as_str().unwrap().contains("could not reach http://"), "{status:#}");
    assert_eq!(faulty.proxy.asked(Resource::NewOrder), 1, "and the next one waits");
    let state = until("it is written down", ORDER, async || {
        let state = std::fs::read_to_string(faulty.door.stored("state.json")).unwrap();
        let state: Value = serde_json::from_str(&state).unwrap();
        (state["failures"] == 1).then_some(state)
    })
    .await;
    assert!(state["budget"]["whole_at"].is_string(), "one of five is spent: {state:#}");
    assert_eq!(state["approach"], "rehearsed");
}

#[tokio::test]
async fn what_the_ca_comes_to_see_after_kill_9_is_there_though_the_order_is_not_heard_of_yet() {
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = way.local_addr().unwrap().port();
    let mut faulty =
        Faulty::of(|terms| Terms { http_port: here, ..terms }, |settings| settings, |_| {}).await;
    let address = faulty.door.http().await;
    let (ca, _) = way.accept().await.unwrap();
    faulty.door.process.kill();
    faulty.proxy.break_down(Fault::page(500, "", "down"));

    let first = until("the port is open", ORDER, async || TcpStream::connect(address).await.ok());
    let (first, ()) = tokio::join!(first, faulty.door.start_again());
    tokio::spawn(joined(ca, first));
    let others = tokio::spawn(leads_to(way, address)); // it comes from several places

    until("the CA is content", ORDER, async || (faulty.pebble.count("set VALID") > 0).then_some(())).await;
    assert_eq!(faulty.proxy.asked(Resource::NewOrder), 1);
    faulty.heals().await;
    assert_eq!((faulty.proxy.asked(Resource::NewOrder), faulty.pebble.issued()), (1, 1), "it went on");
    assert!(!faulty.door.stored("answers.json").exists(), "nobody comes any more");
    others.abort();
}

#[tokio::test]
async fn an_order_in_flight_whose_file_is_damaged_goes_on_with_the_copy() {
    for held in [Resource::Finalize, Resource::Certificate] {
        let mut faulty = in_flight(held).await;
        for name in ["state.json", "pending.json"] {
            std::fs::write(faulty.door.stored(name), [0xff; 64]).unwrap(); // not even text
        }

        faulty.door.start_again().await;

        let status = faulty.door.reaches("valid", ORDER).await;
        assert_eq!(status["failures"], 0, "{held:?}: {status:#}");
        for name in ["state.json.bad", "pending.json.bad"] {
            assert!(faulty.door.stored(name).exists(), "{name}");
        }
        faulty.door.process.says("is taken from its copy", ORDER).await;
        let orders = faulty.proxy.asked(Resource::NewOrder);
        assert_eq!((orders, faulty.pebble.issued(), faulty.pebble.accounts()), (1, 1, 1), "{held:?}");
    }
}

#[tokio::test]
async fn an_order_in_flight_that_is_lost_as_a_whole_is_counted_and_costs_one_more() {
    for (held, issued) in [(Resource::Finalize, 1), (Resource::Certificate, 2)] {
        let mut faulty = in_flight(held).await;
        for name in ["state.json", "state.copy.json"] {
            std::fs::remove_file(faulty.door.stored(name)).unwrap();
        }
        for name in ["pending.json", "pending.copy.json"] {
            std::fs::write(faulty.door.stored(name), "{ torn").unwrap();
        }

        faulty.door.start_again().await;

        let status = faulty.failed().await;
        assert!(status["last_error"].as_str().unwrap().contains("is lost, and counts"), "{status:#}");
        let state = std::fs::read_to_string(faulty.door.stored("state.json")).unwrap();
        let state: Value = serde_json::from_str(&state).unwrap();
        assert_eq!(state["ledger"]["issued"][0]["cause"], "lost", "{state:#}");
        faulty.heals().await;
        assert!(!faulty.door.stored("pending.copy.json").exists());
        let orders = faulty.proxy.asked(Resource::NewOrder);
        assert_eq!((orders, faulty.pebble.issued(), faulty.pebble.accounts()), (2, issued, 1), "{held:?}");
    }
}

/// A doorman that was killed while it waited for this answer.
async fn in_flight(held: Resource) -> Faulty {
    let mut faulty = Faulty::start(|proxy| proxy.plan(held, 1, Fault::Hold)).await;
    until("the CA is asked", ORDER, async || (faulty.proxy.asked(held) == 1).then_some(())).await;
    faulty.door.process.kill();
    faulty.proxy.heal();
    faulty
}

#[tokio::test]
async fn a_forced_renewal_makes_a_new_order_where_the_one_of_before_was_given_up() {
    // It takes connections and says nothing, so that the CA gives up after some seconds and not before it is cut off.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = silent.local_addr().unwrap().port();
    let unreachable = |terms| Terms { http_port: elsewhere, ..terms };
    let faulty = Faulty::of(unreachable, |settings| settings, |_| {}).await;
    until("the CA is told", ORDER, async || (faulty.proxy.asked(Resource::Challenge) == 1).then_some(()))
        .await;
    faulty.proxy.break_down(Fault::page(500, "", "down"));
    faulty.failed().await;
    until("it has looked", ORDER, async || (faulty.pebble.count("set INVALID") > 0).then_some(())).await;
    faulty.proxy.heal();
    let way = tokio::spawn(leads_to(silent, faulty.door.http().await));

    let renewed = faulty.door.command(&["renew", "--force"]).await;

    let said = String::from_utf8_lossy(&renewed.stdout);
    assert!(renewed.status.success() && said.contains("a new one is made"), "{renewed:?}");
    assert_eq!((faulty.proxy.asked(Resource::NewOrder), faulty.pebble.issued()), (2, 1));
    let state = std::fs::read_to_string(faulty.door.stored("state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert!(state["budget"]["whole_at"].is_string(), "what the CA saw is counted all the same: {state:#}");
    way.abort();
}

/// Passes on whatever comes.
async fn leads_to(listener: TcpListener, to: SocketAddr) {
    while let Ok((from, _)) = listener.accept().await {
        tokio::spawn(joined(from, TcpStream::connect(to).await.unwrap()));
    }
}

async fn joined(mut one: TcpStream, mut other: TcpStream) {
    let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await; // either may be cut off
}

#[tokio::test]
async fn a_store_that_cannot_be_written_stops_neither_the_door_nor_status() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let files = TempDir::new().unwrap();
    let in_the_way = files.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let door =
        Doorman::start_with_store(&with_certificate(&panel, &pebble, port), &in_the_way.join("store")).await;

    let status = door.reaches("failed", ORDER).await;

    assert!(status["last_error"].as_str().unwrap_or_default().contains("store"), "{status:#}");
    assert_eq!(get(door.http().await, "/").await.status(), 200);
    assert!(tls::connect(door.https().await, &tls::trusting_anybody(&[])).await.is_ok());
    assert_eq!(pebble.count("Added order"), 0, "no order without a place for its certificate");
}

/// How much has visibly happened: requests to the CA, and names in the store.
fn happened(pebble: &Pebble, door: &Doorman) -> usize {
    fn names(directory: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return 0;
        };
        entries
            .flatten()
            .map(|entry| 1 + if entry.path().is_symlink() { 0 } else { names(&entry.path()) })
            .sum()
    }
    pebble.log().len() + names(&door.stored(""))
}
