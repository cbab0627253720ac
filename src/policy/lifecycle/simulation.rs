//! Sixty days in milliseconds: the core against a model of a CA, with misfortunes thrown by a seeded dice.

mod ca;
mod dice;
mod invariants;
mod job;
mod outage;
mod twice;
mod world;

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use self::ca::Wish;
use self::dice::Dice;
use self::twice::{Pending, Twice};
use self::world::{Misfortune, World};
use super::*;

const BEGIN: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const SHORTLIVED: Duration = HOUR.saturating_mul(160);

/// Of a failing story so much is printed.
const LAST_LINES: usize = 60;

fn terms(life: Duration) -> Terms {
    Terms {
        name: "ca".to_owned(),
        counted: "ca".to_owned(),
        asking: String::new(),
        auto_renew: true,
        renew_threshold: DAY * 3,
        check_interval: (HOUR * 6).min(life),
        fallback: Fallback::SelfSigned,
    }
}

/// A life with misfortunes; if an invariant breaks, its story is printed.
fn run(seed: u64, life: Duration, span: Duration) -> World {
    let mut world = World::new(Some(Dice::new(seed)), life);
    let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.live_until(BEGIN + span);
    }));
    let told = world.story.len().saturating_sub(LAST_LINES);
    assert!(
        story.is_ok(),
        "seed {seed}, life {life:?}, at {}:\n{}\n{:#?}",
        world.now,
        world.story[told..].join("\n"),
        world.lifecycle
    );
    world
}

fn undisturbed(life: Duration, span: Duration) -> World {
    let mut world = World::new(None, life);
    world.live_until(BEGIN + span);
    world
}

#[test]
fn sixty_days_with_a_ca_that_is_well_never_come_near_expiry() {
    let world = undisturbed(SHORTLIVED, DAY * 60);
    assert!((17..=19).contains(&world.ca.issued.len()), "{} certificates", world.ca.issued.len());
    assert_eq!(world.ca.orders.len(), world.ca.issued.len());
    assert_eq!(world.alerts, []);
}

#[test]
fn two_thousand_lives_of_sixty_days_with_every_misfortune() {
    // More of them by hand, after a change of the core: DOORMAN_LIVES=100000 cargo test --release --lib two_thousand
    let lives = option_env!("DOORMAN_LIVES").map_or(2_000, |many| many.parse().expect("a number"));
    let mut recoveries = 0;
    for seed in 0..lives {
        let world = run(seed, SHORTLIVED, DAY * 60);
        assert!(world.tries.len() < 900, "seed {seed}: {} tries", world.tries.len());
        recoveries += world.alerts.iter().filter(|(_, alert)| alert.kind == Kind::Recovered).count();
    }
    assert!(recoveries > 2_000, "only {recoveries} incidents: the dice are too kind");
}

#[test]
fn the_pauses_of_an_outage_are_those_of_the_table() {
    let mut world = undisturbed(SHORTLIVED, HOUR * 70);
    let before = world.tries.len();
    world.befalls(Misfortune::CaDown, DAY * 7);
    world.live_until(BEGIN + HOUR * 70 + DAY * 7);
    let tries = &world.tries[before..];
    let minutes: Vec<_> = tries.windows(2).map(|two| (two[1] - two[0]).whole_minutes()).collect();
    let table = [1, 5, 15, 30, 60, 120, 240, 360, 480, 600, 600, 600]; // 600: a sixteenth of 160 h
    assert_eq!(minutes[..12], table);
    assert!(minutes.len() > 40 && minutes[12..].iter().all(|pause| *pause == 60), "{minutes:?}");
    let three_days = world.tries[before] + DAY * 3;
    assert!(tries.iter().filter(|at| **at <= three_days).count() > 12, "the table fits into three days");
}

#[test]
fn a_life_of_two_minutes_is_renewed_each_minute() {
    let world = undisturbed(Duration::from_secs(120), HOUR * 2);
    assert!((115..=130).contains(&world.ca.issued.len()), "{} certificates", world.ca.issued.len());
}

#[test]
fn lives_of_ninety_days_have_misfortunes_too() {
    for seed in 0..100 {
        run(seed, DAY * 90, DAY * 360);
    }
}

#[test]
fn a_ca_that_wants_everything_renewed_at_once_and_for_ever_is_obeyed_within_the_limits() {
    let mut world = undisturbed(SHORTLIVED, DAY * 2);
    world.ca.wish = Wish::Now;
    world.live_until(BEGIN + DAY * 40);
    assert!((20..=24).contains(&world.ca.issued.len()), "{} certificates", world.ca.issued.len());
    assert_eq!(world.alerts, [], "and none came near its end");
}

#[test]
fn a_port_that_is_taken_for_days_costs_no_order_and_is_used_when_it_is_free() {
    let mut world = undisturbed(SHORTLIVED, DAY * 3);
    let orders = world.ca.orders.len();
    world.befalls(Misfortune::PortTaken, DAY * 5);
    world.live_until(BEGIN + DAY * 8);
    assert_eq!(world.ca.orders.len(), orders);
    assert_eq!(world.lifecycle.health(world.now), Health::Expired);
    world.befalls(Misfortune::None, DAY);
    world.live_until(BEGIN + DAY * 8 + HOUR);
    assert_eq!(world.lifecycle.word(world.now), Word::Valid);
    let kinds: Vec<_> = world.alerts.iter().map(|(_, alert)| alert.kind).collect();
    use Kind::{Critical, Expired, PortTaken, Recovered};
    assert_eq!(kinds[..3], [PortTaken, Critical, Expired]);
    assert_eq!(kinds.last(), Some(&Recovered));
}

#[test]
fn a_port_that_is_taken_for_weeks_costs_nothing_but_a_warning_while_443_is_ours() {
    let mut world = undisturbed(SHORTLIVED, DAY * 3);
    world.all_ports = Ports::Both;
    world.befalls(Misfortune::PortTaken, DAY * 20);
    world.live_until(BEGIN + DAY * 23);
    assert!(world.ca.issued.len() >= 6, "{} certificates", world.ca.issued.len());
    assert_eq!(world.lifecycle.health(world.now), Health::Valid);
    world.befalls(Misfortune::None, DAY);
    world.live_until(BEGIN + DAY * 23 + HOUR);
    let kinds: Vec<_> = world.alerts.iter().map(|(_, alert)| alert.kind.as_str()).collect();
    assert_eq!(kinds, ["second_way", "recovered"]);
}

#[test]
fn in_a_year_the_state_grows_no_larger_than_in_two_months() {
    let size = |world: &World| serde_json::to_string(&world.lifecycle.memory()).unwrap().len();
    let mut world = undisturbed(SHORTLIVED, DAY * 60);
    let before = size(&world);
    world.live_until(BEGIN + DAY * 365);
    assert!(world.ca.issued.len() > 100);
    assert!(size(&world) < before + 500, "{before} and then {}", size(&world));
}

#[test]
fn what_the_ca_refuses_is_asked_again_when_it_is_critical_and_then_once_a_day() {
    let mut world = undisturbed(SHORTLIVED, HOUR * 70);
    let (before, critical) = (world.tries.len(), world.disk.live.unwrap().life.critical_from());
    world.befalls(Misfortune::Refused, DAY * 7);
    world.live_until(BEGIN + HOUR * 70 + DAY * 7);
    let tries = &world.tries[before..];
    assert!(tries[0] < critical - DAY && tries[1] == critical, "{tries:?}, critical at {critical}");
    assert!(tries[1..].windows(2).all(|two| two[1] - two[0] == DAY) && tries.len() > 3, "{tries:?}");

    world.befalls(Misfortune::None, DAY * 2);
    world.live_until(BEGIN + HOUR * 70 + DAY * 9);

    assert_eq!(world.lifecycle.word(world.now), Word::Valid);
}

#[test]
fn who_cannot_be_reached_on_any_port_tries_the_second_way_once() {
    let mut world = undisturbed(SHORTLIVED, DAY * 3);
    world.all_ports = Ports::Both;
    world.befalls(Misfortune::Unreachable, DAY * 3);
    world.live_until(BEGIN + DAY * 6);
    assert_eq!(world.ways.iter().filter(|way| **way == Challenge::TlsAlpn01).count(), 1);
    assert!(world.ways.len() > 12, "and the first way to the end: {} tries", world.ways.len());
}

#[test]
fn a_certificate_that_is_lost_with_its_order_is_counted_whenever_the_process_is_killed() {
    let mut killed = 0;
    for chance in 1..60 {
        let mut world = undisturbed(SHORTLIVED, HOUR * 70);
        let order = world.ca.place(world.now);
        world.ca.validate(order);
        world.ca.issue(world.now, order).unwrap();
        let at = world.now;
        world.disk.pending = Twice::of(Pending { order, touched_at: at, finalized_at: Some(at) });
        world.dies_in = Some(chance);
        world.live_until(BEGIN + DAY * 5);
        killed += world.story.iter().filter(|line| line.ends_with("killed")).count();
        assert!(world.lifecycle.has_counted(at), "killed at chance {chance}:\n{}", world.story.join("\n"));
        assert_eq!(world.lifecycle.health(world.now), Health::Valid);
    }
    assert!(killed > 50, "only {killed} kills: a life has fewer chances than that");
}
