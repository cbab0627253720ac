//! Debian's Pebble is older than the current one: it knows neither profiles nor renewal windows. What else holds before
//! that one holds before this.

use super::faults::{self, Faulty};
use super::{ORDER, issuing, moment, with_certificate};
use crate::support::doorman::Doorman;
use crate::support::fault_proxy::Resource;
use crate::support::free_port;
use crate::support::pebble::{Pebble, Terms, Version};
use crate::support::upstream::Upstream;

#[tokio::test]
async fn it_knows_neither_profiles_nor_windows_and_issues_all_the_same() {
    let faulty = Faulty::of(Terms::of_debian, |settings| settings, |_| {}).await;

    let status = faulty.door.reaches("valid", ORDER).await;

    let orders = faulty.proxy.payloads(Resource::NewOrder);
    assert!(
        orders.iter().all(|order| order["profile"].is_null() && order["replaces"].is_null()),
        "{orders:#?}"
    );
    assert_eq!(faulty.proxy.asked(Resource::RenewalInfo), 0);
    let certificate = &status["certificate"];
    let (from, to) = (moment(&certificate["not_before"]), moment(&certificate["not_after"]));
    let part = (moment(&status["next_renewal_at"]) - from) / (to - from);
    assert!((0.47..0.53).contains(&part), "renewed after {part} of its life");
}

#[tokio::test]
async fn a_second_certificate_comes_with_the_same_account_and_again_without_a_profile() {
    let faulty = Faulty::of(Terms::of_debian, |settings| settings, |_| {}).await;
    let first = faulty.door.reaches("valid", ORDER).await;

    let renewed = faulty.door.command(&["renew", "--force"]).await;

    assert!(renewed.status.success(), "{renewed:?}");
    let second = faulty.door.reaches("valid", ORDER).await;
    let fingerprint = "fingerprint_sha256";
    assert_ne!(first["certificate"][fingerprint], second["certificate"][fingerprint]);
    assert_eq!((faulty.pebble.issued(), faulty.pebble.accounts()), (2, 1));
    let orders = faulty.proxy.payloads(Resource::NewOrder);
    assert!(orders.len() == 2 && orders.iter().all(|order| order["profile"].is_null()), "{orders:#?}");
}

#[tokio::test]
async fn while_it_is_down_it_is_tried_again_and_its_certificate_comes_when_it_is_back() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let mut pebble = Pebble::stopped(Terms::quick(port).of_debian());
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    door.until("a failure", ORDER * 2, |status| status["failures"] == 1).await;

    pebble.run().await;

    let status = door.reaches("valid", ORDER * 4).await; // a minute until the next try
    assert_eq!((&status["failures"], pebble.issued(), pebble.accounts()), (&0.into(), 1, 1));
}

#[tokio::test]
async fn a_storm_of_bad_nonces_is_lived_through() {
    faults::refuses_nonces(Version::Debian).await;
}

#[tokio::test]
async fn a_validation_that_it_remembers_is_not_made_again() {
    issuing::remembers_the_validation(Version::Debian).await;
}

#[tokio::test]
async fn a_long_retry_after_is_when_the_next_try_begins() {
    faults::is_put_off(Version::Debian).await;
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for_within_the_try() {
    faults::is_waited_for(Version::Debian).await;
}

#[tokio::test]
async fn a_page_instead_of_json_is_a_failure_that_names_the_status() {
    faults::answers_in_html(Version::Debian).await;
}

#[tokio::test]
async fn that_it_cannot_reach_us_is_said_with_the_address_it_tried() {
    faults::cannot_reach_us(Version::Debian).await;
}

#[tokio::test]
async fn one_certificate_holds_the_v4_and_the_v6_address() {
    issuing::issues_for_both_families(Version::Debian).await;
}
