//! The window in which the CA wants a certificate renewed (RFC 9773), and naming the one that is replaced.

use std::time::Duration;

use ::doorman::shared::clock;
use rustix::process::Signal;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::life::Clock;
use super::{ORDER, address, moment, with_certificate};
use crate::support::doorman::Doorman;
use crate::support::fault_proxy::{Fault, FaultProxy, Resource};
use crate::support::free_port;
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::Upstream;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_window_that_has_passed_renews_at_once_and_once() {
    let (_panel, pebble, proxy, settings) = behind_a_proxy().await;
    proxy.plan(Resource::RenewalInfo, 1, Fault::Hold);
    let door = Doorman::start(&settings).await;
    let first = door.reaches("valid", ORDER).await["certificate"]["serial"].clone();

    let chain = std::fs::read_to_string(door.stored("live/fullchain.pem")).unwrap();
    let now = clock::now();
    pebble.set_renewal_info(&chain, &window(now - HOUR / 2, now - HOUR / 4)).await;
    proxy.release();

    let status = door
        .until("the next certificate, and its own window", ORDER, |status| {
            status["certificate"]["serial"] != first
                && status["state"] == "valid"
                && proxy.asked(Resource::RenewalInfo) == 2
        })
        .await;
    assert_eq!((pebble.issued(), pebble.accounts()), (2, 1));
    let about = proxy.paths(Resource::RenewalInfo);
    let about: Vec<_> = about.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert_ne!(about[0], about[1], "asked about the certificate of the moment");
    let orders = proxy.payloads(Resource::NewOrder);
    let named: Vec<_> = orders.iter().map(|order| order["replaces"].as_str()).collect();
    assert_eq!(named, [None, Some(about[0])]);
    let profiles: Vec<_> = orders.iter().map(|order| order["profile"].as_str()).collect();
    assert_eq!(profiles, [Some("shortlived"); 2]);
    assert!(moment(&status["next_renewal_at"]) > now + HOUR * 70, "the old window means nothing now");
}

#[tokio::test]
async fn the_moment_lies_in_the_window_and_survives_a_restart() {
    let (_panel, _pebble, proxy, settings) = behind_a_proxy().await;
    let now = clock::now();
    let (start, end) = (now + HOUR * 40, now + HOUR * 41);
    proxy.plan(Resource::RenewalInfo, 9, renewal_info(&window(start, end)));
    let mut door = Doorman::start(&settings).await;
    let in_the_window = |status: &Value| {
        let at = moment(&status["next_renewal_at"]);
        status["state"] == "valid" && start <= at && at <= end
    };
    let before = door.until("a moment in the window", ORDER, in_the_window).await;

    door.process.signal(Signal::TERM);
    assert!(door.process.ended(Duration::from_secs(10)).await.success());
    door.start_again().await;

    let after = door.reaches("valid", ORDER).await;
    assert_eq!(after["next_renewal_at"], before["next_renewal_at"]);
    assert_eq!(proxy.asked(Resource::RenewalInfo), 1, "the CA said: in six hours");
}

#[tokio::test]
async fn a_window_that_is_moved_forward_renews_once_however_long_the_order_takes() {
    let (_panel, pebble, proxy, settings) = behind_a_proxy().await;
    let now = clock::now();
    proxy.plan(Resource::RenewalInfo, 1, renewal_info(&window(now + HOUR * 40, now + HOUR * 41)));
    let time = Clock::new();
    let launcher = time.launcher();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let door = Doorman::start_by(&launcher, &settings).await;
    let before = door
        .until("a moment in the window", ORDER, |status| {
            let at = moment(&status["next_renewal_at"]);
            now + HOUR * 40 <= at && at <= now + HOUR * 41
        })
        .await["certificate"]["serial"]
        .clone();

    // An incident at the CA, of which doorman hears when it asks again, in six hours.
    proxy.plan(Resource::RenewalInfo, 1, renewal_info(&window(now + HOUR * 5, now + HOUR * 6)));
    proxy.plan(Resource::NewOrder, 1, Fault::Hold);
    proxy.set_clock_ahead(HOUR * 8);
    time.set(HOUR * 8);
    door.until("that an order is held", ORDER, |_| proxy.asked(Resource::NewOrder) == 2).await;
    proxy.set_clock_ahead(HOUR * 9);
    time.set(HOUR * 9);
    door.reaches("renewing", ORDER).await;
    assert_eq!((proxy.asked(Resource::RenewalInfo), proxy.asked(Resource::NewOrder)), (2, 2));
    proxy.release();

    door.until("the next certificate", ORDER, |status| {
        status["state"] == "valid" && status["certificate"]["serial"] != before
    })
    .await;
    assert_eq!((pebble.issued(), proxy.asked(Resource::NewOrder)), (2, 2));
}

#[tokio::test]
async fn a_window_that_makes_no_sense_means_half_of_the_life() {
    let (_panel, _pebble, proxy, settings) = behind_a_proxy().await;
    let now = clock::now();
    let nonsense = window(now + HOUR * 100, now + HOUR * 200);
    proxy.plan(Resource::RenewalInfo, 1, renewal_info(&nonsense));
    let door = Doorman::start(&settings).await;
    door.reaches("valid", ORDER).await;

    door.process.says("the CA's renewal window is not known", ORDER).await;

    let at = moment(&door.status().await["next_renewal_at"]);
    let (earliest, latest) = (now + HOUR * 80 - HOUR * 2, now + HOUR * 80 + HOUR * 2);
    assert!(earliest < at && at < latest, "{at} is not half of 160 hours, give or take 2 %");
}

#[tokio::test]
async fn a_ca_that_dislikes_the_replacement_is_asked_once_without_it() {
    for kind in ["alreadyReplaced", "malformed"] {
        let (_panel, pebble, proxy, settings) = behind_a_proxy().await;
        let door = Doorman::start(&settings).await;
        door.reaches("valid", ORDER).await;
        let status = if kind == "malformed" { 400 } else { 409 };
        proxy.plan(Resource::NewOrder, 1, Fault::problem(status, kind, ""));

        let renewed = door.command(&["renew", "--force"]).await;

        assert!(renewed.status.success(), "{kind}: {renewed:?}");
        let orders = proxy.payloads(Resource::NewOrder);
        let named: Vec<_> = orders.iter().map(|order| order["replaces"].is_string()).collect();
        assert_eq!(named, [false, true, false], "{kind}");
        assert_eq!(pebble.issued(), 2);
        assert_eq!(door.status().await["failures"], 0);
    }
}

/// A panel, a CA whose wishes can be changed on the way, and the settings that put doorman between them.
async fn behind_a_proxy() -> (Upstream, Pebble, FaultProxy, crate::support::doorman::Settings) {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let proxy = FaultProxy::before(&pebble).await;
    let settings = with_certificate(&panel, &pebble, port).through(&proxy).set(
        "https",
        "listen",
        vec![address(free_port()).to_string()],
    );
    (panel, pebble, proxy, settings)
}

fn window(start: OffsetDateTime, end: OffsetDateTime) -> Value {
    let text = |at: OffsetDateTime| at.format(&Rfc3339).unwrap();
    json!({ "suggestedWindow": { "start": text(start), "end": text(end) } })
}

fn renewal_info(answer: &Value) -> Fault {
    Fault::page(200, "Content-Type: application/json\r\nRetry-After: 21600\r\n", &answer.to_string())
}
