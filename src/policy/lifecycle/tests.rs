//! Every cell of the table in `docs/lifecycle.md`, for every health.

mod failures;
mod governor;
mod window;

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::policy::alert::Kind;
use crate::policy::renewal_info::{Advice, Window};
use crate::policy::schedule::Life;
use crate::policy::sentence::Sentence;

const DOCUMENT: &str = include_str!("../../../docs/lifecycle.md");
const NOW: OffsetDateTime = datetime!(2026-03-01 00:00 UTC);
const HOUR: Duration = Duration::from_secs(3600);
const HEALTHS: [Health; 4] = [Health::Valid, Health::Critical, Health::Expired, Health::Missing];

fn terms() -> Terms {
    Terms {
        name: "ca profile 192.0.2.1".to_owned(),
        counted: "ca 192.0.2.1".to_owned(),
        asking: String::new(),
        auto_renew: true,
        renew_threshold: HOUR * 72,
        check_interval: HOUR * 6,
        fallback: Fallback::SelfSigned,
    }
}

/// A certificate of 160 h that has this health now.
fn held(health: Health) -> Option<Held> {
    let left = match health {
        Health::Valid => HOUR * 100,
        Health::Critical => HOUR,
        Health::Expired => Duration::ZERO,
        Health::Missing => return None,
    };
    Some(Held {
        fingerprint: "f".to_owned(),
        certificate_id: Some("aki.f".to_owned()),
        life: Life { not_before: NOW + left - HOUR * 160, not_after: NOW + left },
        of_these_terms: true,
    })
}

fn in_hand() -> Fate {
    Fate::InHand { fingerprint: "new".to_owned() }
}

fn fresh() -> Held {
    Held {
        fingerprint: "new".to_owned(),
        certificate_id: Some("aki.new".to_owned()),
        life: Life { not_before: NOW, not_after: NOW + HOUR * 160 },
        of_these_terms: true,
    }
}

fn activity(name: &str, until: OffsetDateTime) -> Activity {
    let blocked = |by| Activity::Blocked { by };
    match name {
        "waiting" => Activity::Waiting { until: Some(until) },
        "renewing" => Activity::Renewing { since: NOW, insistence: Insistence::Polite },
        "forced" => Activity::Renewing { since: NOW, insistence: Insistence::Forced },
        "backing off" => Activity::BackingOff { since: NOW, until, reason: Reason::Failure },
        "blocked by the port" => blocked(Obstacle::Port),
        "blocked by the governor" => blocked(Obstacle::Governor { until }),
        "blocked by a refusal" => blocked(Obstacle::Refusal { since: NOW, until }),
        other => panic!("no activity is called {other:?}"),
    }
}

fn name(activity: Activity) -> &'static str {
    match activity {
        Activity::Waiting { .. } => "waiting",
        Activity::Renewing { .. } => "renewing",
        Activity::BackingOff { .. } => "backing off",
        Activity::Blocked { by } => match by {
            Obstacle::Port => "blocked by the port",
            Obstacle::Governor { .. } => "blocked by the governor",
            Obstacle::Refusal { .. } => "blocked by a refusal",
        },
    }
}

/// A lifecycle in the situation that a row of the table begins with, and the event of that row.
fn situation(health: Health, from: &str, event: &str) -> (Lifecycle, Event) {
    let mut parts = event.split(", ");
    let event = parts.next().unwrap_or_default();
    let conditions: Vec<_> = parts.collect();
    let due = conditions.contains(&"due");
    let until = if due { NOW } else { NOW + HOUR };
    let taken = conditions.contains(&"port taken") || from == "blocked by the port";
    let mut lifecycle = Lifecycle {
        terms: terms(),
        held: held(health),
        renewal_info: (health != Health::Expired && health != Health::Missing)
            .then(|| RenewalInfo::unasked("aki.f".to_owned(), NOW)),
        activity: activity(if conditions.contains(&"forced") { "forced" } else { from }, until),
        ports: match (taken, conditions.contains(&"only tls")) {
            (true, _) => Ports::Taken,
            (false, true) => Ports::OnlyTls,
            (false, false) => Ports::Ours,
        },
        ways: Ways::default(),
        neighbours: Neighbours::default(),
        failures: 0,
        last_failure: None,
        approach: Approach::Straight,
        in_hand: None,
        ledger: Ledger::default(),
        budget: ValidationBudget::default(),
        stand_in: (health == Health::Expired).then_some(NOW + HOUR),
        alerts: alert::Open::default(),
    };
    if conditions.contains(&"only tls") || conditions.contains(&"in vain") {
        lifecycle.ways.took(Challenge::TlsAlpn01); // what is told of that, was told
    }
    if conditions.contains(&"in vain") {
        let class = Class::Validation;
        let failed = Failure { class, sentence: Sentence::default(), disposition: Disposition::Validation };
        lifecycle.ways.failed(Ports::OnlyTls, &failed);
    }
    lifecycle.alerts.see(NOW, lifecycle.situation(NOW));
    if conditions.contains(&"governor closed") {
        (0..Ledger::MOST).for_each(|_| lifecycle.ledger.enter(NOW, &terms().counted, Cause::Due));
    }
    if from == "blocked by the governor" && !due {
        (0..Ledger::MOST).for_each(|_| lifecycle.ledger.enter(NOW, &terms().counted, Cause::Due));
        let until = lifecycle.ledger.closed_until(NOW, &terms().counted, held(health).map(|held| held.life));
        lifecycle.activity = Activity::Blocked { by: Obstacle::Governor { until: until.unwrap() } };
    }
    if conditions.contains(&"budget spent") {
        (0..5).for_each(|_| lifecycle.budget.spend(NOW));
    }
    let failed = |disposition| Failure { class: Class::Ca, sentence: Sentence::quoted("no"), disposition };
    let failure = |disposition| Event::Failed(failed(disposition));
    let event = match event {
        "tick" => Event::Tick,
        "port taken" => Event::Ports(Ports::Taken),
        "port ours" => Event::Ports(Ports::Ours),
        "only tls" => Event::Ports(Ports::OnlyTls),
        "request" => Event::Requested(Insistence::Polite),
        "forced request" => Event::Requested(Insistence::Forced),
        "issued" => Event::Issued { at: NOW, fate: in_hand() },
        "renewed" => Event::Renewed(fresh()),
        "failed" => failure(Disposition::Retry),
        "earlier order failed" => Event::EarlierFailed(failed(Disposition::Retry)),
        "validation failed" => failure(Disposition::Validation),
        "rehearsal failed" => failure(Disposition::Rehearsal),
        "rate limited" => failure(Disposition::RateLimited(None)),
        "told to wait" => failure(Disposition::NotBefore(NOW + HOUR * 2)),
        "refused" => failure(Disposition::Refused),
        other => panic!("no event is called {other:?}"),
    };
    (lifecycle, event)
}

/// The actions of the renewal itself; the others have tests of their own.
fn spelled(actions: &[Action]) -> String {
    let words: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Order(_, Challenge::Http01) => Some("order"),
            Action::Order(_, Challenge::TlsAlpn01) => Some("order over tls"),
            Action::Persist => Some("persist"),
            Action::Accept(Accepted::Began) => Some("accept"),
            Action::Accept(Accepted::Joined) => Some("join"),
            Action::Refuse(_) => Some("refuse"),
            Action::AskRenewalInfo | Action::StandIn | Action::Reinstate | Action::Tell(_) => None,
        })
        .collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

fn orders(actions: &[Action]) -> Vec<Approach> {
    let orders = actions.iter().filter_map(|action| match action {
        Action::Order(approach, _) => Some(*approach),
        Action::AskRenewalInfo
        | Action::StandIn
        | Action::Reinstate
        | Action::Persist
        | Action::Tell(_)
        | Action::Accept(_)
        | Action::Refuse(_) => None,
    });
    orders.collect()
}

/// The rows of a table of the document, without its head.
fn table(title: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = DOCUMENT.split_once(&format!("<!-- table: {title} -->\n")).unwrap();
    rest.lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn the_document_tells_every_transition() {
    let rows = table("transitions");
    for row in &rows {
        let &[from, event, then, actions] = row.as_slice() else { panic!("{row:?}") };
        for health in HEALTHS {
            let (mut lifecycle, happened) = situation(health, from, event);
            let done = lifecycle.handle(NOW, happened, Jitter::NONE);
            let became = (name(lifecycle.activity), spelled(&done));
            assert_eq!(became, (then, actions.to_owned()), "{from} | {event} ({health:?})");
        }
    }
    let told: BTreeSet<_> = rows.iter().map(|row| (row[0], row[1].split(',').next().unwrap())).collect();
    let activities = table("words").into_iter().map(|row| row[0]);
    for from in activities {
        for event in [
            "tick",
            "port taken",
            "port ours",
            "only tls",
            "request",
            "forced request",
            "issued",
            "renewed",
            "failed",
        ] {
            assert!(told.contains(&(from, event)), "{from} | {event} is not in the document");
        }
    }
}

#[test]
fn the_document_tells_every_word() {
    let rows = table("words");
    assert_eq!(rows.len(), 6);
    for row in rows {
        for (health, word) in HEALTHS.into_iter().zip(&row[1..]) {
            let (lifecycle, _) = situation(health, row[0], "tick, nothing due");
            assert_eq!(lifecycle.health(NOW), health);
            assert_eq!(lifecycle.word(NOW).as_str(), *word, "{} ({health:?})", row[0]);
        }
    }
}

#[test]
fn the_document_tells_the_pauses() {
    let minutes = |text: &str| match text.split_once(' ').unwrap() {
        (number, "min") => number.parse::<u64>().unwrap(),
        (number, "h") => number.parse::<u64>().unwrap() * 60,
        other => panic!("{other:?}"),
    };
    let (_, rest) = DOCUMENT.split_once("failure in a row: ").unwrap();
    let (told, _) = rest.split_once(",\nthen 1 h for ever").unwrap();
    let told: Vec<_> = told.split(", ").map(|pause| Duration::from_secs(minutes(pause) * 60)).collect();
    assert_eq!(told, schedule::BACKOFF);
}

#[test]
fn a_refusal_of_a_request_says_when_it_would_be_met() {
    let refusal = |from, event| {
        let (mut lifecycle, event) = situation(Health::Valid, from, event);
        let actions = lifecycle.handle(NOW, event, Jitter::NONE);
        actions.into_iter().find_map(|action| match action {
            Action::Refuse(refusal) => Some(refusal),
            Action::Order(..)
            | Action::AskRenewalInfo
            | Action::StandIn
            | Action::Reinstate
            | Action::Persist
            | Action::Tell(_)
            | Action::Accept(_) => None,
        })
    };
    let soon = NOW + HOUR;
    assert_eq!(refusal("backing off", "request"), Some(Refusal::BackOff(soon)));
    assert_eq!(refusal("blocked by a refusal", "request"), Some(Refusal::Refused(soon)));
    assert_eq!(refusal("blocked by the governor", "request"), Some(Refusal::Governor(NOW + HOUR * 169)));
    assert_eq!(refusal("blocked by the port", "forced request"), Some(Refusal::Port));
    assert_eq!(
        refusal("waiting", "request, budget spent"),
        Some(Refusal::Budget(NOW + Duration::from_secs(720)))
    );
    assert_eq!(
        refusal("waiting", "request, governor closed"),
        Some(Refusal::Governor(NOW + HOUR * 169)),
        "when the first of the four is seven days old"
    );
}

#[test]
fn failures_are_counted_until_a_success_and_over_a_restart() {
    let (mut lifecycle, failed) = situation(Health::Valid, "renewing", "failed");
    lifecycle.handle(NOW, failed.clone(), Jitter::NONE);
    lifecycle.handle(NOW + HOUR, Event::Tick, Jitter::NONE);
    lifecycle.handle(NOW + HOUR, failed, Jitter::NONE);
    assert_eq!((lifecycle.failures(), lifecycle.last_error()), (2, Some(&Sentence::quoted("no"))));

    let memory = lifecycle.memory();
    let again = |terms| {
        Lifecycle::restore(terms, held(Health::Valid), Ports::Ours, memory.clone(), (NOW, Jitter::NONE))
    };
    assert_eq!(again(terms()), lifecycle);
    let other = Terms { name: "ca 192.0.2.2".to_owned(), ..terms() };
    assert_eq!((again(other.clone()).failures(), again(other).last_error()), (0, None));

    lifecycle.handle(NOW + HOUR * 2, Event::Renewed(fresh()), Jitter::NONE);
    assert_eq!((lifecycle.failures(), lifecycle.last_error()), (0, None));
}

#[test]
fn a_certificate_of_other_terms_is_replaced_at_once_and_held_until_then() {
    let foreign = Held { of_these_terms: false, ..fresh() };
    let mut lifecycle = Lifecycle::restore(
        terms(),
        Some(foreign.clone()),
        Ports::Ours,
        Memory::default(),
        (NOW, Jitter::NONE),
    );
    assert_eq!(orders(&lifecycle.handle(NOW, Event::Tick, Jitter::NONE)), [Approach::Straight]);
    assert_eq!(lifecycle.held(), Some(&foreign));
}

#[test]
fn the_chosen_moment_survives_a_restart_and_goes_with_its_certificate() {
    let mut first = Lifecycle::restore(terms(), None, Ports::Ours, Memory::default(), (NOW, Jitter::NONE));
    first.handle(NOW, Event::Renewed(fresh()), Jitter::new(-0.7));
    let chosen = first.next_renewal_at();
    let again = |held| Lifecycle::restore(terms(), held, Ports::Ours, first.memory(), (NOW, Jitter::NONE));
    assert_eq!(again(Some(fresh())).next_renewal_at(), chosen);
    let another = Held { fingerprint: "another".to_owned(), ..fresh() };
    assert_eq!(again(Some(another)).next_renewal_at(), Some(NOW + HOUR * 80));
}

#[test]
fn an_order_in_flight_is_taken_up_after_a_restart_unless_something_is_in_its_way() {
    let restarted = |event| {
        let (before, _) = situation(Health::Valid, "renewing", event);
        let memory = before.memory();
        let held = held(Health::Valid);
        let mut after = Lifecycle::restore(terms(), held, Ports::Ours, memory, (NOW, Jitter::NONE));
        after.handle(NOW, Event::Tick, Jitter::NONE)
    };
    assert_eq!(orders(&restarted("tick, nothing due")), [Approach::Straight]);
    assert_eq!(orders(&restarted("tick, nothing due, governor closed")), []);
}

#[test]
fn a_renewal_that_was_killed_after_the_installation_is_not_made_again() {
    let (mut lifecycle, failed) = situation(Health::Critical, "renewing", "failed");
    lifecycle.handle(NOW, failed, Jitter::NONE);
    lifecycle.handle(NOW + HOUR, Event::Tick, Jitter::NONE);
    assert!(lifecycle.renewing());
    let now = (NOW + HOUR, Jitter::NONE);
    let mut after = Lifecycle::restore(terms(), Some(fresh()), Ports::Ours, lifecycle.memory(), now);
    assert_eq!(orders(&after.handle(NOW + HOUR, Event::Tick, Jitter::NONE)), []);
    assert_eq!((after.failures(), after.word(NOW + HOUR)), (0, Word::Valid));
    assert_eq!(after.next_renewal_at(), Some(NOW + HOUR * 80));
}

#[test]
fn a_taken_port_is_told_when_two_days_are_left_and_not_before() {
    let (mut lifecycle, _) = situation(Health::Valid, "waiting", "tick, due");
    let second = Duration::from_secs(1);
    let told = |lifecycle: &mut Lifecycle, at| {
        let actions = lifecycle.handle(at, Event::Tick, Jitter::NONE);
        let is_it = |action: &Action| matches!(action, Action::Tell(alert) if alert.kind == Kind::PortTaken);
        actions.iter().any(is_it)
    };
    let doors = Doors { http: Standing::Taken, ..Doors::default() };
    lifecycle.activity = activity("blocked by the port", NOW);
    lifecycle.handle(NOW, Event::Ports(Ports::Taken), Jitter::NONE);
    lifecycle.handle(NOW, Event::Doors(doors), Jitter::NONE);
    let two_days_left = NOW + HOUR * 52;
    assert!(!told(&mut lifecycle, two_days_left - second));
    assert_eq!(lifecycle.next_wakeup(two_days_left - second), two_days_left);
    assert!(told(&mut lifecycle, two_days_left));
    assert!(!told(&mut lifecycle, two_days_left + second), "once");
}

#[test]
fn without_auto_renew_only_a_request_begins_an_order() {
    let by_request = Terms { auto_renew: false, ..terms() };
    let mut lifecycle =
        Lifecycle::restore(by_request, None, Ports::Ours, Memory::default(), (NOW, Jitter::NONE));
    assert_eq!(orders(&lifecycle.handle(NOW + HOUR * 999, Event::Tick, Jitter::NONE)), []);
    let (_, request) = situation(Health::Missing, "waiting", "request");
    assert_eq!(orders(&lifecycle.handle(NOW, request, Jitter::NONE)), [Approach::Straight]);
    let (_, failed) = situation(Health::Missing, "renewing", "failed");
    lifecycle.handle(NOW, failed, Jitter::NONE);
    let after_the_pause = lifecycle.handle(NOW + HOUR, Event::Tick, Jitter::NONE);
    assert_eq!(orders(&after_the_pause), []);
    assert_eq!(lifecycle.activity(), Activity::Waiting { until: None });
    assert_eq!(lifecycle.word(NOW + HOUR), Word::Failed);
}

#[test]
fn the_next_wakeup_is_never_past_and_never_later_than_the_check_interval() {
    for health in HEALTHS {
        for row in table("words") {
            for event in ["tick, due", "tick, nothing due"] {
                let (lifecycle, _) = situation(health, row[0], event);
                let wakeup = lifecycle.next_wakeup(NOW);
                assert!(wakeup >= NOW && wakeup <= NOW + HOUR * 6, "{row:?} {event}");
            }
        }
    }
}

#[test]
fn a_leaf_of_the_local_ca_stands_in_for_what_has_expired() {
    let (mut lifecycle, tick) = situation(Health::Critical, "backing off", "tick, nothing due");
    let expiry = NOW + HOUR;
    assert!(!lifecycle.handle(NOW, tick.clone(), Jitter::NONE).contains(&Action::StandIn));
    assert_eq!(lifecycle.next_wakeup(NOW), expiry);
    assert!(lifecycle.handle(expiry, tick.clone(), Jitter::NONE).contains(&Action::StandIn));
    assert!(lifecycle.handle(expiry, tick.clone(), Jitter::NONE).contains(&Action::StandIn), "not done yet");
    let until = expiry + HOUR * 48;
    lifecycle.handle(expiry, Event::StoodIn { until }, Jitter::NONE);
    assert!(!lifecycle.handle(expiry, tick.clone(), Jitter::NONE).contains(&Action::StandIn));
    assert_eq!(lifecycle.word(expiry), Word::Expired, "whatever is served");
    assert!(lifecycle.handle(until, tick.clone(), Jitter::NONE).contains(&Action::StandIn), "a fresh one");
    assert!(
        lifecycle.handle(NOW, tick.clone(), Jitter::NONE).contains(&Action::Reinstate),
        "the clock went back"
    );
    lifecycle.handle(NOW, Event::Reinstated, Jitter::NONE);
    assert!(!lifecycle.handle(NOW, tick.clone(), Jitter::NONE).contains(&Action::Reinstate));

    lifecycle.terms.fallback = Fallback::Expired;
    assert!(!lifecycle.handle(expiry, tick, Jitter::NONE).contains(&Action::StandIn));
}
