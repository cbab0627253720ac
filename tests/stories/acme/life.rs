//! A whole life of 160 hours in seconds: the real binary under a clock that the story moves.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::doorman::shared::clock;
use serde_json::Value;
use tempfile::TempDir;

use super::{ORDER, Visitor, moment, with_certificate};
use crate::support::doorman::Doorman;
use crate::support::fault_proxy::{Fault, FaultProxy, Resource};
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::Upstream;
use crate::support::{free_port, tls, until};

const HOUR: Duration = Duration::from_secs(3600);

/// The clock of one process, ahead of the real one; only the time of day, timers run as ever.
pub(crate) struct Clock {
    files: TempDir,
    ahead: Cell<Duration>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self { files: TempDir::new().unwrap(), ahead: Cell::default() };
        clock.set(Duration::ZERO);
        clock
    }

    fn file(&self) -> PathBuf {
        self.files.path().join("clock")
    }

    fn ahead(&self) -> Duration {
        self.ahead.get()
    }

    /// By one rename, so that nobody reads half of it.
    pub(crate) fn set(&self, ahead: Duration) {
        let next = self.files.path().join("next");
        std::fs::write(&next, format!("+{}", ahead.as_secs())).unwrap();
        std::fs::rename(next, self.file()).unwrap();
        self.ahead.set(ahead);
    }

    /// The words that start a program under it.
    pub(crate) fn launcher(&self) -> Vec<String> {
        let library = Path::new("/usr/lib")
            .join(format!("{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH));
        assert!(library.exists(), "libfaketime is missing: tests/run installs it");
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file().display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
    }
}

#[tokio::test]
async fn six_days_without_a_ca_are_told_in_order_and_end_well() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let mut pebble = Pebble::start(Terms::quick(port)).await;
    let proxy = FaultProxy::before(&pebble).await;
    let clock = Clock::new();
    let launcher = clock.launcher();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let door = Doorman::start_by(&launcher, &with_certificate(&panel, &pebble, port).through(&proxy)).await;
    let first = door.reaches("valid", ORDER).await;
    let visitor = Visitor::of(door.http().await);

    proxy.break_down(Fault::page(503, "", "down"));
    let mut words: Vec<(u32, String)> = Vec::new();
    let mut planned = first["next_renewal_at"].clone(); // the CA's own window may be heard after this
    for hour in 1..=162 {
        clock.set(HOUR * hour);
        proxy.set_clock_ahead(HOUR * hour);
        let status = settled(&door, &clock).await;
        let word = status["state"].as_str().unwrap().to_owned();
        if word == "valid" {
            planned = status["next_renewal_at"].clone();
        }
        if words.last().is_none_or(|(_, last)| *last != word) {
            words.push((hour, word));
        }
    }

    let in_order: Vec<&str> = words.iter().map(|(_, word)| word.as_str()).collect();
    assert_eq!(in_order, ["valid", "failed", "critical", "expired"], "{words:?}");
    let (failed, critical, expired) = (words[1].0, words[2].0, words[3].0);
    let hours = (moment(&planned) - moment(&first["certificate"]["not_before"])).as_seconds_f64() / 3600.0;
    assert!((0.0..=1.1).contains(&(f64::from(failed) - hours)), "due after {hours} hours: {words:?}");
    assert!(hours < 88.1, "three days are left at the latest");
    assert!((136..=137).contains(&critical) && (160..=161).contains(&expired), "{words:?}");
    // Every step of the table, then hourly.
    let tries = door.status().await["failures"].as_u64().unwrap();
    assert!((24..=60).contains(&tries), "{tries} tries");
    assert_eq!(told(&door), ["renewal_failing", "critical", "expired"]);
    let status = door.status().await;
    assert_eq!(status["certificate"]["self_signed"], true);
    let stream = tls::connect(door.https().await, &tls::trusting_anybody(&[])).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(chain.len(), 2, "the local CA is in the chain, so that clients can pin it");
    assert_eq!(status["local_ca_sha256"], tls::fingerprint(&chain[1]));
    assert_eq!(status["certificate"]["fingerprint_sha256"], tls::fingerprint(&chain[0]));
    let live = std::fs::read_to_string(door.stored("live/fullchain.pem")).unwrap();
    assert_eq!(live.matches("BEGIN CERTIFICATE").count(), 2, "the files hold the same");

    // A CA whose certificates are good for doorman's idea of the day.
    pebble.stop();
    pebble.set_terms(Terms { life: HOUR * 800, ..Terms::quick(port) });
    pebble.run().await;
    proxy.heal();
    clock.set(HOUR * 164);
    proxy.set_clock_ahead(HOUR * 164);
    let last = until("the way back", ORDER, async || {
        let status = settled(&door, &clock).await;
        (status["state"] == "valid").then_some(status)
    })
    .await;

    assert_eq!(
        (&last["failures"], &last["certificate"]["self_signed"]),
        (&Value::from(0), &Value::from(false))
    );
    assert_ne!(last["certificate"]["serial"], first["certificate"]["serial"]);
    until("it is told", ORDER, async || told(&door).last().filter(|word| *word == "recovered").cloned())
        .await;
    assert_eq!((pebble.issued(), pebble.accounts()), (1, 1));
    assert_eq!(proxy.asked(Resource::NewOrder), 3, "one of them before the forgotten account was made anew");
    visitor.was_always_answered().await;
}

#[tokio::test]
async fn an_expired_certificate_is_kept_when_nothing_is_to_stand_in() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let mut pebble = Pebble::start(Terms::quick(port)).await;
    let clock = Clock::new();
    let launcher = clock.launcher();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let settings = with_certificate(&panel, &pebble, port).set("ip_cert", "fallback_action", "none");
    let door = Doorman::start_by(&launcher, &settings).await;
    let first = door.reaches("valid", ORDER).await["certificate"].clone();
    pebble.stop();

    clock.set(HOUR * 161);

    let status = settled(&door, &clock).await;
    assert_eq!((&status["state"], &status["certificate"]), (&Value::from("expired"), &first));
    let stream = tls::connect(door.https().await, &tls::trusting_anybody(&[])).await.unwrap();
    assert_eq!(first["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    // The clock was wrong: the certificate is as good as it was.
    clock.set(Duration::ZERO);
    door.until("it is good again", ORDER, |status| status["state"] != "expired").await;
}

/// What status says once nothing is due any more by that clock.
async fn settled(door: &Doorman, clock: &Clock) -> Value {
    door.until("nothing is due", ORDER, |status| {
        let renewal = &status["renewal"];
        let waits = moment(&status["next_renewal_at"]) > clock::now() + clock.ahead();
        waits && (renewal.is_null() || !renewal["finished_at"].is_null())
    })
    .await
}

/// The alerts in the log, in order.
fn told(door: &Doorman) -> Vec<String> {
    let kind = |line: &String| {
        let (_, rest) = line.split_once("alert=")?;
        Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
    };
    door.process.log().iter().filter_map(kind).collect()
}
