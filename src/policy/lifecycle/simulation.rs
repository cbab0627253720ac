//! Sixty days in milliseconds: the core against a model of a CA, with misfortunes thrown by a seeded dice.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;

const BEGIN: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// SplitMix64: the same story for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.throw().is_multiple_of(many)
    }

    fn jitter(&mut self) -> Jitter {
        let part = u32::try_from(self.throw() >> 32).unwrap();
        Jitter::new(f64::from(part) / f64::from(u32::MAX) * 2.0 - 1.0)
    }
}

/// What may go wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Misfortune {
    None,
    CaDown,
    Unreachable,
    RateLimited,
    PortTaken,
}

struct World {
    dice: Dice,
    now: OffsetDateTime,
    life: Duration,
    lifecycle: Lifecycle,
    misfortune: Misfortune,
    misfortune_until: OffsetDateTime,
    well_since: OffsetDateTime,
    orders: Vec<OffsetDateTime>,
    issued: Vec<OffsetDateTime>,
    failed_validations: Vec<OffsetDateTime>,
    certificates: u32,
}

fn terms(life: Duration) -> Terms {
    Terms {
        name: "ca".to_owned(),
        asking: String::new(),
        auto_renew: true,
        renew_threshold: DAY * 3,
        check_interval: (HOUR * 6).min(life),
    }
}

impl World {
    fn new(seed: u64, life: Duration) -> Self {
        Self {
            dice: Dice(seed),
            now: BEGIN,
            life,
            lifecycle: Lifecycle::restore(
                terms(life),
                None,
                Ports::Ours,
                Memory::default(),
                (BEGIN, Jitter::NONE),
            ),
            misfortune: Misfortune::None,
            misfortune_until: BEGIN,
            well_since: BEGIN,
            orders: Vec::new(),
            issued: Vec::new(),
            failed_validations: Vec::new(),
            certificates: 0,
        }
    }

    fn live_until(&mut self, end: OffsetDateTime, misfortunes: bool) {
        while self.now < end {
            if misfortunes {
                self.fate();
            }
            let ports = if self.misfortune == Misfortune::PortTaken { Ports::Taken } else { Ports::Ours };
            self.happens(Event::Ports(ports));
            self.happens(Event::Tick);
            self.check();
            let asleep_until = self.lifecycle.next_wakeup(self.now).min(self.now + MINUTE * 15);
            let port_looks_skipped =
                if self.misfortune == Misfortune::PortTaken { MINUTE } else { Duration::ZERO };
            self.now = asleep_until.max(self.now + port_looks_skipped + Duration::from_millis(100));
        }
    }

    /// Misfortunes last up to a day and a half; the process is restarted now and then.
    fn fate(&mut self) {
        if self.now >= self.misfortune_until {
            if self.misfortune != Misfortune::None {
                self.well_since = self.now;
            }
            let begins = self.dice.one_in(150);
            self.misfortune = match self.dice.throw() % 4 {
                _ if !begins => Misfortune::None,
                0 => Misfortune::CaDown,
                1 => Misfortune::Unreachable,
                2 => Misfortune::RateLimited,
                _ => Misfortune::PortTaken,
            };
            if begins {
                let minutes = u32::try_from(self.dice.throw() % (36 * 60)).unwrap();
                self.misfortune_until = self.now + MINUTE * minutes;
            }
        }
        if self.dice.one_in(200) {
            let memory = serde_json::to_string(&self.lifecycle.memory()).unwrap();
            self.lifecycle = Lifecycle::restore(
                terms(self.life),
                self.lifecycle.held().cloned(),
                Ports::Ours,
                serde_json::from_str(&memory).unwrap(),
                (self.now, self.dice.jitter()),
            );
        }
    }

    fn happens(&mut self, event: Event) {
        let jitter = self.dice.jitter();
        let actions = self.lifecycle.handle(self.now, event, jitter);
        let orders = actions.iter().filter(|action| **action == Action::Order).count();
        assert!(orders <= 1);
        if orders == 1 {
            self.order();
        }
    }

    fn order(&mut self) {
        self.orders.push(self.now);
        self.now += Duration::from_secs(1 + self.dice.throw() % 20).min(self.life / 100);
        let disposition = match self.misfortune {
            Misfortune::None => {
                self.issued.push(self.now);
                self.certificates += 1;
                self.happens(Event::Issued);
                let held = Held {
                    fingerprint: self.certificates.to_string(),
                    life: Life { not_before: self.now, not_after: self.now + self.life },
                    of_these_terms: true,
                };
                return self.happens(Event::Renewed(held));
            }
            Misfortune::CaDown => Disposition::Retry,
            Misfortune::Unreachable => {
                self.failed_validations.push(self.now);
                Disposition::Validation
            }
            Misfortune::RateLimited => Disposition::RateLimited(Some(self.misfortune_until)),
            Misfortune::PortTaken => panic!("an order while the port is taken"),
        };
        self.happens(Event::Failed(Failure { sentence: "misfortune".to_owned(), disposition }));
    }

    fn check(&self) {
        let within = |times: &[OffsetDateTime], span: Duration| {
            times.iter().rev().take_while(|at| **at > self.now - span).count()
        };
        if self.life >= DAY * 4 {
            assert!(within(&self.issued, DAY * 7) <= Ledger::MOST, "the governor slept");
        }
        assert!(within(&self.failed_validations, HOUR) <= 10, "the CA's budget is overdrawn");
        assert!(within(&self.orders, (self.life / 160).min(HOUR)) <= 12, "a storm of orders");
        let well_for = self.now - self.well_since;
        let expired = self.lifecycle.health(self.now) == Health::Expired;
        let had_time = well_for > self.life / 6 && self.misfortune == Misfortune::None;
        assert!(!(expired && had_time), "expired while all was well");
    }
}

fn run(seed: u64, life: Duration, span: Duration, misfortunes: bool) -> World {
    let mut world = World::new(seed, life);
    let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.live_until(BEGIN + span, misfortunes);
    }));
    assert!(
        story.is_ok(),
        "seed {seed}, life {life:?}: failed at {} in {:?} since {} with {:?}",
        world.now,
        world.misfortune,
        world.well_since,
        world.lifecycle
    );
    world
}

#[test]
fn sixty_days_with_a_ca_that_is_well_never_come_near_expiry() {
    let world = run(1, HOUR * 160, DAY * 60, false);
    assert!((17..=19).contains(&world.issued.len()), "{} certificates", world.issued.len());
    assert_eq!(world.orders.len(), world.issued.len());
}

#[test]
fn sixty_days_of_misfortunes_cost_no_limit_and_no_certificate_while_all_is_well() {
    for seed in 0..100 {
        let world = run(seed, HOUR * 160, DAY * 60, true);
        assert!(world.orders.len() < 400, "seed {seed}: {} orders", world.orders.len());
    }
}

#[test]
fn a_life_of_two_minutes_is_renewed_each_minute() {
    let world = run(7, Duration::from_secs(120), HOUR * 2, false);
    assert!((115..=130).contains(&world.issued.len()), "{} certificates", world.issued.len());
}

#[test]
fn a_ca_that_is_away_for_seven_days_is_asked_sparingly_and_to_the_end() {
    let mut world = run(3, HOUR * 160, DAY * 10, false);
    let before = world.orders.len();
    world.misfortune = Misfortune::CaDown;
    world.misfortune_until = world.now + DAY * 7;
    let end = world.misfortune_until;
    world.live_until(end, false);
    let tries = world.orders.len() - before;
    assert!((12..24 * 7).contains(&tries), "{tries} tries");
    assert_eq!(world.lifecycle.health(world.now), Health::Expired);
    world.misfortune = Misfortune::None;
    world.well_since = end;
    world.live_until(end + HOUR * 2, false);
    assert_eq!(world.lifecycle.word(world.now), Word::Valid);
}
