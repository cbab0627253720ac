//! What the CA will refuse until the configuration changes: asked once, said, and tried at once when it has changed.

use std::time::Duration;

use ::doorman::shared::clock;
use serde_json::Value;

use super::faults::Faulty;
use super::{ORDER, moment};
use crate::support::doorman::Settings;
use crate::support::fault_proxy::{Fault, Resource};
use crate::support::pebble::{Binding, Terms};

const HOUR: Duration = Duration::from_secs(3600);

const BINDING: Binding =
    Binding { id: "kid-1", key: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W" };

#[tokio::test]
async fn an_address_or_a_profile_that_the_ca_refuses_waits_for_other_settings() {
    for kind in ["rejectedIdentifier", "invalidProfile"] {
        let refuse = Fault::problem(400, kind, "");
        let mut faulty =
            Faulty::start(|proxy| proxy.plan(Resource::NewOrder, usize::MAX, refuse.clone())).await;
        is_blocked(&faulty).await;
        faulty.door.stop().await;
        faulty.door.start_again().await;
        is_blocked(&faulty).await;
        assert_eq!(faulty.proxy.asked(Resource::NewOrder), 1, "{kind}: a restart is no reason to ask again");

        faulty.proxy.heal();
        let other = faulty.settings.clone().set("ip_cert", "email", "admin@example.com");
        is_tried_with(&mut faulty, &other).await;
    }
}

#[tokio::test]
async fn a_refusal_leaves_a_good_certificate_alone_until_it_is_critical() {
    let faulty = Faulty::start(|_| {}).await;
    let first = faulty.door.reaches("valid", ORDER).await["certificate"].clone();
    faulty.proxy.plan(Resource::NewOrder, usize::MAX, Fault::problem(403, "rejectedIdentifier", ""));

    let renewed = faulty.door.command(&["renew", "--force"]).await;

    assert!(!renewed.status.success(), "{renewed:?}");
    let status = is_blocked(&faulty).await;
    assert_eq!(status["certificate"], first);
    let critical_from = moment(&first["not_after"]) - HOUR * 24;
    let off = moment(&status["next_renewal_at"]) - critical_from;
    assert!(off.unsigned_abs() < Duration::from_secs(1), "{status:#}");
}

#[tokio::test]
async fn a_profile_that_is_named_must_be_one_of_the_cas() {
    let named = |settings: Settings| settings.set("ip_cert", "profile", "tlsserver");
    for terms in [|terms| terms, Terms::of_debian] {
        let mut faulty = Faulty::of(terms, named, |_| {}).await;

        let status = is_blocked(&faulty).await;

        let said = status["last_error"].as_str().unwrap();
        assert!(said.contains("tlsserver") && said.contains("ip_cert.profile"), "{said}");
        assert_eq!(faulty.proxy.asked(Resource::NewOrder), 0, "another profile was not asked for");
        let none = faulty.settings.clone().set("ip_cert", "profile", "");
        is_tried_with(&mut faulty, &none).await;
    }
}

#[tokio::test]
async fn a_ca_that_wants_another_account_bound_gets_that_or_is_not_asked_again() {
    let bound = Faulty::of(wanting_it_bound, |settings| bound_to(settings, BINDING), |_| {}).await;
    bound.door.reaches("valid", ORDER).await;

    let unbound = Faulty::of(wanting_it_bound, |settings| settings, |_| {}).await;
    gives_no_account(&unbound).await;
}

#[tokio::test]
async fn a_binding_that_the_ca_does_not_know_waits_for_other_settings() {
    let unknown = Binding { id: "kid-2", ..BINDING };
    let wrong =
        Binding { key: "yWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", ..BINDING };
    for binding in [unknown, wrong] {
        let mut faulty = Faulty::of(wanting_it_bound, |settings| bound_to(settings, binding), |_| {}).await;

        let status = gives_no_account(&faulty).await;

        let said = status["last_error"].as_str().unwrap();
        assert!(said.contains("ip_cert.eab_kid"), "{said}");
        let known = bound_to(faulty.settings.clone(), BINDING);
        is_tried_with(&mut faulty, &known).await;
    }
}

fn wanting_it_bound(terms: Terms) -> Terms {
    Terms { binding: Some(BINDING), ..terms }
}

fn bound_to(settings: Settings, binding: Binding) -> Settings {
    settings.set("ip_cert", "eab_kid", binding.id).set("ip_cert", "eab_hmac_key", binding.key)
}

async fn gives_no_account(faulty: &Faulty) -> Value {
    let status = is_blocked(faulty).await;
    assert_eq!((faulty.pebble.accounts(), faulty.proxy.asked(Resource::NewAccount)), (0, 1));
    status
}

/// One failure, that of the configuration; and a day at least until the CA is asked again.
async fn is_blocked(faulty: &Faulty) -> Value {
    let status = faulty.failed().await;
    assert_eq!(status["last_error_class"], "configuration", "{status:#}");
    assert!(moment(&status["next_renewal_at"]) > clock::now() + HOUR * 23, "{status:#}");
    let refused = faulty.door.admin("POST", "/renew").await;
    assert_eq!(refused.status(), 409, "{}", refused.text());
    let said: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(said["reason"], "refused", "{said:#}");
    status
}

/// Other settings are a reason to ask again at once.
async fn is_tried_with(faulty: &mut Faulty, settings: &Settings) {
    faulty.door.change(settings);
    faulty.door.stop().await;
    faulty.door.start_again().await;
    faulty.door.reaches("valid", ORDER).await;
}
