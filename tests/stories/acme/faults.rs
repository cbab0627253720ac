//! A CA that is down, busy, slow, or answers nonsense: what doorman makes of it, and that it costs no order too many.

use std::time::Duration;

use ::doorman::shared::clock;
use serde_json::Value;

use super::{ORDER, Visitor, moment, with_certificate};
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::fault_proxy::{Fault, FaultProxy, Resource};
use crate::support::pebble::{Pebble, Terms, Version};
use crate::support::upstream::Upstream;
use crate::support::{free_port, tls, until};

/// A doorman whose CA is down when it starts.
pub(super) struct Faulty {
    pub(super) door: Doorman,
    pub(super) proxy: FaultProxy,
    pub(super) pebble: Pebble,
    pub(super) settings: Settings,
    _panel: Upstream,
}

impl Faulty {
    pub(super) async fn start(plan: impl FnOnce(&FaultProxy)) -> Self {
        Self::with(Version::Current, plan).await
    }

    pub(super) async fn with(version: Version, plan: impl FnOnce(&FaultProxy)) -> Self {
        Self::of(|terms| Terms { version, ..terms }, |settings| settings, plan).await
    }

    pub(super) async fn of(
        terms: impl FnOnce(Terms) -> Terms,
        settings: impl FnOnce(Settings) -> Settings,
        plan: impl FnOnce(&FaultProxy),
    ) -> Self {
        let panel = Upstream::panel().await;
        let port = free_port();
        let pebble = Pebble::start(terms(Terms::quick(port))).await;
        let proxy = FaultProxy::before(&pebble).await;
        plan(&proxy);
        let settings = settings(with_certificate(&panel, &pebble, port).through(&proxy));
        let door = Doorman::start(&settings).await;
        Self { door, proxy, pebble, settings, _panel: panel }
    }

    /// The first try has failed: what status says then.
    pub(super) async fn failed(&self) -> Value {
        self.door.until("a failure", ORDER * 2, |status| status["failures"] == 1).await
    }

    /// The CA is well again, and somebody insists.
    pub(super) async fn heals(&self) {
        self.proxy.heal();
        let renewed = self.door.command(&["renew", "--force"]).await;
        assert!(renewed.status.success(), "{renewed:?}");
        let status = self.door.reaches("valid", ORDER).await;
        assert_eq!((&status["failures"], &status["last_error"]), (&Value::from(0), &Value::Null));
    }
}

#[tokio::test]
async fn a_long_retry_after_is_when_the_next_try_begins() {
    is_put_off(Version::Current).await;
}

pub(super) async fn is_put_off(version: Version) {
    for (fault, class) in [
        (Fault::page(503, "Retry-After: 7200\r\n", "<html>busy</html>"), "ca"),
        (Fault::problem(429, "rateLimited", "Retry-After: 7200\r\n"), "rate_limit"),
    ] {
        let told = clock::now();
        let faulty = Faulty::with(version, |proxy| proxy.plan(Resource::NewOrder, 1, fault)).await;

        let status = faulty.failed().await;

        assert_eq!((&status["state"], &status["last_error_class"]), (&"failed".into(), &class.into()));
        let pause = moment(&status["next_renewal_at"]) - told;
        assert!((7200..7300).contains(&pause.whole_seconds()), "{pause}: {status:#}");
        assert!(
            !status["last_error"].as_str().unwrap().contains('<'),
            "a page is not for people: {status:#}"
        );
        let refused = faulty.door.admin("POST", "/renew").await;
        assert_eq!(refused.status(), 409, "{}", refused.text());
        assert_eq!(faulty.proxy.asked(Resource::NewOrder), 1, "a refused request asks nobody");
        faulty.heals().await;
    }
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for_within_the_try() {
    is_waited_for(Version::Current).await;
}

pub(super) async fn is_waited_for(version: Version) {
    let busy = Fault::page(503, "Retry-After: 1\r\n", "busy");
    let faulty = Faulty::with(version, |proxy| proxy.plan(Resource::NewOrder, 2, busy)).await;

    let status = faulty.door.reaches("valid", ORDER).await;

    assert_eq!((&status["failures"], faulty.proxy.asked(Resource::NewOrder)), (&Value::from(0), 3));
    assert_eq!(faulty.pebble.issued(), 1);
}

#[tokio::test]
async fn a_page_instead_of_json_is_a_failure_that_names_the_status() {
    answers_in_html(Version::Current).await;
}

pub(super) async fn answers_in_html(version: Version) {
    let page = Fault::page(500, "Content-Type: text/html\r\n", "<html><h1>Oops</h1></html>");
    let faulty = Faulty::with(version, |proxy| proxy.break_down(page)).await;

    let status = faulty.failed().await;

    let said = status["last_error"].as_str().unwrap();
    assert!(said.contains("500") && !said.contains('<'), "{said}");
    assert_eq!(status["last_error_class"], "ca");
    let shown = faulty.door.command(&["status"]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("500"), "{shown:?}");
    faulty.heals().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_anywhere_costs_no_second_certificate_and_no_second_account() {
    for [one, two, three] in [
        [Resource::Directory, Resource::NewNonce, Resource::NewAccount],
        [Resource::NewOrder, Resource::Authorization, Resource::Challenge],
        [Resource::Order, Resource::Finalize, Resource::Certificate],
    ] {
        tokio::join!(is_lost_once(one), is_lost_once(two), is_lost_once(three));
    }
}

async fn is_lost_once(resource: Resource) {
    let faulty = Faulty::start(|proxy| proxy.plan(resource, 1, Fault::LoseAnswer)).await;
    let over = |status: &Value| status["failures"] == 1 || status["state"] == "valid";
    let status = faulty.door.until("the first try's end", ORDER * 2, over).await;
    if status["state"] != "valid" {
        faulty.heals().await;
    }
    assert_eq!((faulty.pebble.issued(), faulty.pebble.accounts()), (1, 1), "{resource:?}");
    let most = if resource == Resource::NewOrder { 2 } else { 1 };
    let orders = faulty.proxy.asked(Resource::NewOrder);
    assert!(orders <= most, "{resource:?}: {orders} orders; {:#?}", faulty.pebble.log());
}

#[tokio::test]
async fn an_answer_that_is_lost_while_the_ca_is_on_its_way_costs_nothing_at_all() {
    let slowly = |terms| Terms { sleep: 3, ..terms };
    for resource in [Resource::Challenge, Resource::Order] {
        let lose = |proxy: &FaultProxy| proxy.plan(resource, 1, Fault::LoseAnswer);
        let faulty = Faulty::of(slowly, |settings| settings, lose).await;

        let status = faulty.door.reaches("valid", ORDER).await;

        assert_eq!(status["failures"], 0, "{resource:?}");
        let orders = faulty.proxy.asked(Resource::NewOrder);
        assert_eq!((orders, faulty.pebble.count("set INVALID")), (1, 0), "{resource:?}");
    }
}

#[tokio::test]
async fn a_ca_that_breaks_down_on_its_way_to_us_finds_the_token_all_the_same() {
    let slowly = |terms| Terms { sleep: 3, ..terms };
    let lose = |proxy: &FaultProxy| proxy.plan(Resource::Challenge, 1, Fault::LoseAnswer);
    let faulty = Faulty::of(slowly, |settings| settings, lose).await;
    until("the CA is told", ORDER, async || (faulty.proxy.asked(Resource::Challenge) == 1).then_some(()))
        .await;
    faulty.proxy.break_down(Fault::page(500, "", "down"));

    faulty.failed().await;

    until("the CA has come", ORDER, async || {
        (faulty.pebble.count("by completed challenge") > 0).then_some(())
    })
    .await;
    faulty.heals().await;
    let orders = faulty.proxy.asked(Resource::NewOrder);
    assert_eq!((orders, faulty.pebble.count("set INVALID")), (1, 0), "{:#?}", faulty.pebble.log());
}

#[tokio::test]
async fn a_storm_of_bad_nonces_is_lived_through() {
    refuses_nonces(Version::Current).await;
}

pub(super) async fn refuses_nonces(version: Version) {
    let terms = |terms| Terms { nonce_reject: 60, version, ..terms };
    let faulty = Faulty::of(terms, |settings| settings, |_| {}).await;

    faulty.door.reaches("valid", ORDER * 2).await;

    let renewed = faulty.door.command(&["renew", "--force"]).await;
    assert!(renewed.status.success(), "{renewed:?}");
    assert_eq!((faulty.pebble.issued(), faulty.pebble.accounts()), (2, 1));
}

#[tokio::test]
async fn a_path_that_is_broken_here_costs_the_ca_nothing() {
    const PLACES: usize = 8; // Pebble comes with three connections at once
    let few = |settings: Settings| settings.set("http", "max_connections", PLACES);
    let hold = |proxy: &FaultProxy| proxy.plan(Resource::NewOrder, 1, Fault::Hold);
    let faulty = Faulty::of(|terms| terms, few, hold).await;
    let mut visitors = Vec::new();
    for _ in 0..PLACES {
        let mut visitor = Connection::open(faulty.door.http().await).await;
        assert_eq!(visitor.get("/").await.status(), 200);
        visitors.push(visitor);
    }
    faulty.proxy.release();

    let status = faulty.failed().await;

    let said = status["last_error"].as_str().unwrap();
    assert!(said.contains("the token is not served at") && said.contains("http.max_connections"), "{said}");
    assert_eq!(
        (&status["last_error_class"], faulty.proxy.asked(Resource::Challenge)),
        (&"validation".into(), 0)
    );
    let state = std::fs::read_to_string(faulty.door.stored("state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["budget"]["whole_at"], Value::Null, "{state:#}");
    drop(visitors);
    faulty.heals().await;
    assert_eq!(faulty.proxy.asked(Resource::NewOrder), 1, "the order was still good");
}

#[tokio::test]
async fn a_ca_that_hangs_is_given_up_after_half_a_minute_and_the_panel_never_notices() {
    let faulty = Faulty::start(|proxy| proxy.plan(Resource::NewOrder, 1, Fault::Hold)).await;
    let visitor = Visitor::of(faulty.door.http().await);

    let status = faulty.failed().await;

    let said = status["last_error"].as_str().unwrap();
    assert!(said.contains("30 s"), "{said}");
    assert_eq!(status["last_error_class"], "network");
    visitor.was_always_answered().await;
    faulty.heals().await;
}

#[tokio::test]
async fn a_ca_that_cannot_reach_us_is_said_with_the_address_it_tried() {
    cannot_reach_us(Version::Current).await;
}

pub(super) async fn cannot_reach_us(version: Version) {
    let nobody = free_port();
    let terms = |terms| Terms { http_port: nobody, version, ..terms };
    let faulty = Faulty::of(terms, |settings| settings, |_| {}).await;

    let status = faulty.failed().await;

    assert_eq!(status["last_error_class"], "validation");
    let said = status["last_error"].as_str().unwrap();
    assert!(said.contains("127.0.0.1") && said.contains("/.well-known/acme-challenge/"), "{said}");
    assert_eq!(faulty.pebble.issued(), 0);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_said_and_costs_no_order() {
    let faulty = Faulty::start(|proxy| proxy.set_clock_ahead(Duration::from_secs(5 * 3600))).await;

    let status = faulty.failed().await;

    assert_eq!(status["last_error_class"], "clock", "{status:#}");
    assert_eq!(faulty.proxy.asked(Resource::NewOrder), 0);
    faulty.proxy.set_clock_ahead(Duration::ZERO);
    faulty.heals().await;
}

#[tokio::test]
async fn another_address_gets_another_certificate_and_the_old_one_serves_until_then() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let proxy = FaultProxy::before(&pebble).await;
    let settings = with_certificate(&panel, &pebble, port).through(&proxy).set(
        "http",
        "listen",
        vec![format!("127.0.0.1:{port}"), format!("[::1]:{port}")],
    );
    let mut door = Doorman::start(&settings).await;
    let before = door.reaches("valid", ORDER).await["certificate"].clone();
    door.process.signal(rustix::process::Signal::TERM);
    assert!(door.process.ended(Duration::from_secs(10)).await.success());

    proxy.plan(Resource::NewOrder, 1, Fault::Hold);
    door.change(&settings.set("ip_cert", "ip", "::1"));
    door.start_again().await;
    door.reaches("renewing", ORDER).await;

    let anybody = tls::trusting_anybody(&[]);
    let served = tls::leaf(&tls::connect(door.https().await, &anybody).await.unwrap());
    assert_eq!(before["fingerprint_sha256"], tls::fingerprint(&served));
    proxy.release();
    let after = door.reaches("valid", ORDER).await;
    assert_eq!(after["certificate"]["identifiers"], serde_json::json!(["::1"]));
    assert_eq!((pebble.issued(), pebble.accounts()), (2, 1));
}
