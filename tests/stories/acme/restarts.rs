//! What survives a restart, a kill, and a store that is broken.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

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
async fn an_order_in_flight_that_is_lost_with_the_state_costs_one_more() {
    for (held, issued) in [(Resource::Finalize, 1), (Resource::Certificate, 2)] {
        let mut faulty = Faulty::start(|proxy| proxy.plan(held, 1, Fault::Hold)).await;
        until("the CA is asked", ORDER, async || (faulty.proxy.asked(held) == 1).then_some(())).await;
        faulty.door.process.kill();
        std::fs::remove_file(faulty.door.stored("state.json")).unwrap();
        std::fs::write(faulty.door.stored("pending.json"), "{ torn").unwrap();
        faulty.proxy.heal();

        faulty.door.start_again().await;

        faulty.door.reaches("valid", ORDER).await;
        faulty.door.process.says("put aside", ORDER).await;
        assert!(faulty.door.stored("pending.json.bad").exists());
        let orders = faulty.proxy.asked(Resource::NewOrder);
        assert_eq!((orders, faulty.pebble.issued(), faulty.pebble.accounts()), (2, issued, 1), "{held:?}");
    }
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
