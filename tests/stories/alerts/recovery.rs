//! With a real CA: that all is well again is said, a success only to those who asked, and neither alerts nor renewals wait
//! for each other. Needs Pebble.

use tokio::net::TcpListener;

use super::*;
use crate::support::pebble::{Pebble, Terms};
use crate::support::telegram::Reply;

/// An order with Pebble takes two or three seconds; a busy machine may need more.
const ORDER: Duration = Duration::from_secs(30);

fn certified(pebble: &Pebble, telegram: &Telegram, port: u16) -> Settings {
    telling(telegram.address, &[ALICE]).certificate(pebble, &["127.0.0.1"]).set(
        "http",
        "listen",
        vec![format!("127.0.0.1:{port}")],
    )
}

/// Waits until it is on the disk that the port's alert was told, or that it is over.
async fn told(door: &Doorman, open: bool) {
    crate::support::until("what was told is written down", SOON, async || {
        let kept = std::fs::read_to_string(door.stored("state.json")).ok()?;
        (kept.contains("port_taken") == open).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_an_alert_it_is_said_once_that_all_is_well_again() {
    let telegram = Telegram::start().await;
    let (held, port) = squatter();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let mut door = Doorman::start_waiting(&certified(&pebble, &telegram, port)).await;
    telegram.hears(ALICE, 1, SOON).await;
    told(&door, true).await;

    drop(held);
    let heard = telegram.hears(ALICE, 2, ORDER).await;
    assert!(heard[0].contains("Another program has port 80"), "{}", heard[0]);
    assert!(heard[1].starts_with("<b>✅ All is well again</b>"), "{}", heard[1]);
    assert!(heard[1].contains("good for another 6 days 1"), "{}", heard[1]);
    told(&door, false).await; // the outbox is written before that, and once more when it is empty
    all_told(&door).await;
    door.process.kill();
    door.start_again().await;
    door.reaches("valid", ORDER).await;
    assert_eq!(telegram.calls().len(), 2, "and not again after a restart");
}

#[tokio::test]
async fn a_success_is_said_only_to_those_who_asked() {
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let quiet = Telegram::start().await;
    let door = Doorman::start(&certified(&pebble, &quiet, port)).await;
    door.reaches("valid", ORDER).await;
    assert_eq!(waiting(&door.status().await), 0);
    drop(door);

    let told = Telegram::start().await;
    let settings = certified(&pebble, &told, port).set("telegram", "notify_success", true);
    let door = Doorman::start(&settings).await;
    let heard = told.hears(ALICE, 1, ORDER).await;
    assert!(heard[0].starts_with("<b>✅ The certificate was renewed</b>"), "{}", heard[0]);
    all_told(&door).await;
    assert_eq!((quiet.calls().len(), told.calls().len()), (0, 1));
}

#[tokio::test]
async fn alerts_that_hang_delay_no_renewal() {
    let telegram = Telegram::scripted(|_, _| Reply::Hanging).await;
    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap(); // it is connected to, and says nothing
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let store = with_alerts(1..=3);
    let settings = certified(&pebble, &telegram, port).set(
        "webhook",
        "url",
        format!("http://{}/", hook.local_addr().unwrap()),
    );
    let door = start(&store, &settings).await;
    telegram.called(1, SOON).await;

    let status = door.reaches("valid", ORDER).await;

    assert_eq!(waiting(&status), 3, "nobody has heard of anything: {status:#}");
    assert_eq!(status["failures"], 0);
}

#[tokio::test]
async fn a_ca_that_hangs_delays_no_alert() {
    let ca = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let telegram = Telegram::start().await;
    let store = with_alerts(1..=3);
    let settings = telling(telegram.address, &[ALICE]).set("ip_cert", "ip", "127.0.0.1").set(
        "ip_cert",
        "directory",
        format!("https://{}/dir", ca.local_addr().unwrap()),
    );
    let door = start(&store, &settings).await;
    door.reaches("renewing", SOON).await;

    assert_eq!(failures(&telegram.hears(ALICE, 3, SOON).await), [1, 2, 3]);
    all_told(&door).await;
    let status = door.status().await;
    assert!(status["renewal"]["finished_at"].is_null(), "the try is still under way: {status:#}");
}
