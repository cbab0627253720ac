//! The CA's limits, kept by doorman itself: over a restart, and whatever an administrator asks for politely.

use std::time::Duration;

use ::doorman::shared::clock::now;
use serde_json::Value;

use super::life::Clock;
use super::{ORDER, moment, with_certificate};
use crate::support::doorman::Doorman;
use crate::support::fault_proxy::{FaultProxy, Resource};
use crate::support::free_port;
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::Upstream;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_fifth_certificate_in_seven_days_needs_force_and_a_restart_changes_nothing() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let proxy = FaultProxy::before(&pebble).await;
    let clock = Clock::new();
    let launcher = clock.launcher();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let settings = with_certificate(&panel, &pebble, port).through(&proxy);
    let mut door = Doorman::start_by(&launcher, &settings).await;
    door.reaches("valid", ORDER).await;
    let renewed = door.command(&["renew"]).await;
    assert!(renewed.status.success(), "two are not too many: {renewed:?}");
    let (until, said) = refused(&door).await;
    assert_eq!(said["reason"], "governor", "{said:#}");
    assert!(moment(&until) > now() + HOUR * 77, "{until}");

    // The third is due, then a fourth, and then a fifth, for this CA's clock does not move.
    let later = HOUR * 90;
    proxy.set_clock_ahead(later);
    clock.set(later);
    door.until("the fourth, and what speaks against a fifth", ORDER, |status| {
        proxy.asked(Resource::NewOrder) == 4
            && status["failures"] == 0
            && status["state"] == "failed"
            && !status["next_renewal_at"].is_null()
    })
    .await;
    let (until, said) = refused(&door).await;
    assert_eq!(said["reason"], "governor", "{said:#}");
    let in_a_week = now() + HOUR * 167;
    assert!(moment(&until) > in_a_week, "{until}");

    door.process.kill();
    door.start_again_by(&launcher).await;

    let (again, said) = refused(&door).await;
    assert_eq!((&again, &said["reason"]), (&until, &"governor".into()), "{said:#}");
    assert_eq!(door.status().await["next_renewal_at"], until);
    assert_eq!(pebble.issued(), 4);
    let forced = door.admin("POST", "/renew?force=true").await;
    assert_eq!(forced.status(), 202, "{}", forced.text());
    door.until("the fifth", ORDER, |_| pebble.issued() == 5).await;
}

#[tokio::test]
async fn when_the_failed_validations_of_the_hour_are_spent_the_next_one_waits() {
    let panel = Upstream::panel().await;
    let (port, nobody) = (free_port(), free_port());
    let mut pebble = Pebble::start(Terms::quick(nobody)).await;
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let failed = async |times: u64| {
        door.until("one more failure", ORDER, |status| status["failures"] == times).await;
    };
    failed(1).await;
    for times in 2..=5 {
        let forced = door.admin("POST", "/renew?force=true").await;
        assert_eq!(forced.status(), 202, "{}", forced.text());
        failed(times).await;
    }
    let (until, said) = refused(&door).await;
    assert_eq!(said["reason"], "backoff", "{said:#}");
    assert_eq!(door.status().await["next_renewal_at"], until);
    // The way is mended, and somebody insists; after that there is nothing to wait for but the budget.
    pebble.stop();
    pebble.set_terms(Terms::quick(port));
    pebble.run().await;
    let forced = door.command(&["renew", "--force"]).await;
    assert!(forced.status.success(), "{forced:?}");

    let (until, said) = refused(&door).await;

    assert_eq!(said["reason"], "budget", "{said:#}");
    let wait = moment(&until) - now();
    assert!(wait.is_positive() && wait <= Duration::from_secs(12 * 60), "{wait}");
    let told = door.command(&["renew"]).await;
    assert_eq!(told.status.code(), Some(69), "{told:?}");
    let told = String::from_utf8_lossy(&told.stderr);
    assert!(told.contains("failed validations"), "{told}");
    assert_eq!(pebble.issued(), 1);
}

/// A polite request is refused: until when, and what was said.
async fn refused(door: &Doorman) -> (Value, Value) {
    let answer = door.admin("POST", "/renew").await;
    assert_eq!(answer.status(), 409, "{}", answer.text());
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    (said["until"].clone(), said)
}
