//! When: the moment of a renewal, the pause after a failure, and the CA's limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Pauses after the first, second, … failure in a row: twelve of them inside the three days between the default
/// threshold and expiry, and [`HOURLY`] ever after.
pub const BACKOFF: [Duration; 12] = [
    MINUTE,
    MINUTE.saturating_mul(5),
    MINUTE.saturating_mul(15),
    MINUTE.saturating_mul(30),
    HOUR,
    HOUR.saturating_mul(2),
    HOUR.saturating_mul(4),
    HOUR.saturating_mul(6),
    HOUR.saturating_mul(8),
    HOUR.saturating_mul(10),
    HOUR.saturating_mul(12),
    HOUR.saturating_mul(12),
];

/// The pause beyond [`BACKOFF`], and the longest one while the certificate is critical, expired or missing.
pub const HOURLY: Duration = HOUR;

/// No pause is longer than this part of the certificate's life: from half of the life to its end at least eight tries
/// fit, whether it lives two minutes or 160 hours (where this is 10 h).
const TRIES_IN_A_LIFE: u32 = 16;

/// The shortest pause: what a CA on the same machine needs to breathe.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);

/// A CA that says "later" is believed up to here; no limit of a public CA is longer.
pub const LONGEST_PAUSE: Duration = DAY.saturating_mul(7);

/// An order that is older is not taken up: Let's Encrypt keeps one for eight hours, and a certificate that was issued for
/// it and never fetched grows old.
pub const ORDER_LIFE: Duration = HOUR.saturating_mul(7);

/// After a rate limit without a moment.
pub const PAUSE_AFTER_RATE_LIMIT: Duration = HOUR;

/// After a refusal that only the configuration can change.
pub const PAUSE_AFTER_REFUSAL: Duration = DAY;

/// How far this machine's clock may be from the CA's. Let's Encrypt's certificates begin an hour before they are issued.
pub const CLOCK_TOLERANCE: Duration = HOUR;

/// How much of a half life or a pause randomness may move: thousands of installations should not come at once.
const RENEWAL_SPREAD: f64 = 0.02;
const PAUSE_SPREAD: f64 = 0.10;

/// A random number between -1 and 1, thrown by whoever calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// No randomness.
    pub const NONE: Self = Self(0.0);

    /// Clamped to -1 … 1; not a number counts as 0.
    #[must_use]
    pub fn new(thrown: f64) -> Self {
        Self(if thrown.is_nan() { 0.0 } else { thrown.clamp(-1.0, 1.0) })
    }

    /// The same between 0 and 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::midpoint(self.0, 1.0)
    }

    fn spread(self, of: Duration, part: f64) -> Duration {
        of.mul_f64(1.0 + part * self.0)
    }
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// `notBefore`.
    pub not_before: OffsetDateTime,
    /// `notAfter`.
    pub not_after: OffsetDateTime,
}

impl Life {
    /// How long it is; zero when it ends before it begins.
    #[must_use]
    pub fn length(self) -> Duration {
        (self.not_after - self.not_before).try_into().unwrap_or(Duration::ZERO)
    }

    /// With this much left it is due at the latest: half of a life that is shorter than twice `wanted`.
    #[must_use]
    pub fn threshold(self, wanted: Duration) -> Duration {
        wanted.min(self.length() / 2)
    }

    /// From then on it may be renewed at half of its life, whatever the dice say.
    #[must_use]
    pub fn due_from(self) -> OffsetDateTime {
        self.not_before + Jitter(-1.0).spread(self.length() / 2, RENEWAL_SPREAD)
    }

    /// With this much left it is critical: 24 h of Let's Encrypt's 160 h, 15 % of anything shorter.
    #[must_use]
    pub fn critical_from(self) -> OffsetDateTime {
        self.not_after - DAY.min(self.length() * 3 / 20)
    }

    /// With this much left somebody should free the port: twice as early.
    #[must_use]
    pub fn short_from(self) -> OffsetDateTime {
        self.not_after - (DAY * 2).min(self.length() * 3 / 10)
    }

    /// The moment of its renewal: half of the life, never later than the threshold.
    #[must_use]
    pub fn due(self, threshold: Duration, jitter: Jitter) -> OffsetDateTime {
        let half = self.not_before + jitter.spread(self.length() / 2, RENEWAL_SPREAD);
        half.min(self.latest(threshold))
    }

    /// The latest moment of its renewal.
    #[must_use]
    pub fn latest(self, threshold: Duration) -> OffsetDateTime {
        self.not_after - self.threshold(threshold)
    }
}

/// How pressing the next try is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// There is time.
    Calm,
    /// The certificate is critical, expired or missing.
    Pressing,
}

/// The pause after `failures` failures in a row, at least one; `life` is that of the certificate that is held.
#[must_use]
pub fn pause(failures: u32, life: Option<Duration>, urgency: Urgency, jitter: Jitter) -> Duration {
    let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let step = BACKOFF.get(step).copied().unwrap_or(HOURLY);
    let step = match urgency {
        Urgency::Calm => step,
        Urgency::Pressing => step.min(HOURLY),
    };
    let longest = life.map_or(step, |life| life / TRIES_IN_A_LIFE);
    jitter.spread(step.min(longest), PAUSE_SPREAD).max(SHORTEST_PAUSE)
}

/// The CA's budget of failed validations: five at once, one more every twelve minutes, per identifier and account.
///
/// Kept as the moment at which the budget would be whole again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationBudget {
    #[serde(with = "time::serde::rfc3339::option")]
    whole_at: Option<OffsetDateTime>,
}

impl ValidationBudget {
    const REFILL: Duration = MINUTE.saturating_mul(12);
    const SIZE: u32 = 5;

    /// One validation failed.
    pub fn spend(&mut self, now: OffsetDateTime) {
        let whole_at = self.whole_at(now).max(now) + Self::REFILL;
        self.whole_at = Some(whole_at);
    }

    /// The moment of the next try, when it is not now.
    #[must_use]
    pub fn closed_until(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let open_at = self.whole_at(now) - Self::REFILL * (Self::SIZE - 1);
        (open_at > now).then_some(open_at)
    }

    /// Never further away than the budget is large: a clock that was ahead leaves no debt.
    fn whole_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.whole_at.map_or(now, |at| at.min(now + Self::REFILL * Self::SIZE))
    }
}

/// Certificates issued: at most four of the same identifiers in seven days unless forced, where Let's Encrypt allows five.
///
/// And of these at most two in half of that span before half of the life is over, and at most three before the certificate
/// is critical, so that the four are never spent at once: when the fourth is, the first is so old that the next may come
/// when the fourth is due; and one that is lost on the way to us does not cost the one before it. A life under four days
/// would need more than that for its renewals at half of it; there the span is one life, in which renewals need two of the
/// four.
///
/// Renewals that were forced must not cost the certificate: where one was, and less than four were due, one more is let
/// through when the last is 34 h old, for by then the CA has refilled that much.
///
/// Moments are those of the CA's clock. Ours, by which is asked, may differ by [`CLOCK_TOLERANCE`]: what the CA allows
/// again is left alone for so much longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    issued: Vec<Issued>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Issued {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// The directory and the identifiers, as one word.
    counted: String,
    #[serde(default)]
    cause: Cause,
}

/// Why a certificate was ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It was due, or asked for when nothing spoke against it.
    #[default]
    Due,
    /// Somebody insisted.
    Force,
    /// It was lost with its order: nobody has seen it.
    Lost,
}

impl Ledger {
    /// Certificates in a span.
    pub const MOST: usize = 4;
    /// Of these, in half of the span.
    const MOST_AT_ONCE: usize = 3;
    /// The same before a certificate is due.
    const MOST_BEFORE_IT_IS_DUE: usize = 2;
    const SPAN: Duration = DAY.saturating_mul(7);
    const REFILL: Duration = HOUR.saturating_mul(34);
    const SHORT_LIFE: Duration = DAY.saturating_mul(4);
    /// Enough for a day of forced renewals; the oldest go first.
    const LONGEST: usize = 64;

    /// A certificate was issued; one that was lost is heard of late, after others.
    pub fn enter(&mut self, at: OffsetDateTime, counted: &str, cause: Cause) {
        let longest = Self::SPAN + CLOCK_TOLERANCE;
        self.issued.retain(|issued| issued.at > at - longest);
        if self.issued.len() == Self::LONGEST {
            self.issued.remove(0);
        }
        self.issued.push(Issued { at, counted: counted.to_owned(), cause });
    }

    /// Whether one that was asked for at `at` is among them: it was fetched then, or while its order could be taken up, by
    /// a try that took its time.
    #[must_use]
    pub fn knows(&self, at: OffsetDateTime, counted: &str) -> bool {
        let fetched = at..=at + ORDER_LIFE + HOUR;
        self.issued.iter().any(|issued| issued.counted == counted && fetched.contains(&issued.at))
    }

    /// The moment from which another one may be ordered, when it is not now; `life` is that of the certificate that is
    /// held.
    #[must_use]
    pub fn closed_until(
        &self,
        now: OffsetDateTime,
        counted: &str,
        life: Option<Life>,
    ) -> Option<OffsetDateTime> {
        let span = life.map(Life::length).filter(|length| *length < Self::SHORT_LIFE).unwrap_or(Self::SPAN);
        let longest = span + CLOCK_TOLERANCE.min(span / 100);
        // Entries further in the future come from a clock that was wrong.
        let counts = |issued: &&Issued| {
            issued.counted == counted && issued.at > now - longest && issued.at <= now + CLOCK_TOLERANCE
        };
        let mut recent: Vec<_> = self.issued.iter().filter(counts).collect();
        recent.sort_unstable_by_key(|issued| issued.at);
        let nth_last = |n: usize| recent.len().checked_sub(n).and_then(|index| recent.get(index));

        let half_later = |nth: &Issued| nth.at + span / 2;
        let critical_from = life.map_or(now, Life::critical_from);
        let at_once = nth_last(Self::MOST_AT_ONCE).map(|third| half_later(third).min(critical_from));
        let early = nth_last(Self::MOST_BEFORE_IT_IS_DUE).map(|second| {
            let due_from = life.map_or(now, Life::due_from);
            half_later(second).min(at_once.map_or(due_from, |open| open.max(due_from)))
        });
        let full = nth_last(Self::MOST).zip(recent.last()).map(|(fourth, last)| {
            let over = fourth.at + longest;
            let of = |cause| recent.iter().filter(|issued| issued.cause == cause).count();
            let somebody_insisted = of(Cause::Force) > 0 && of(Cause::Due) < Self::MOST;
            if somebody_insisted { over.min(last.at + Self::REFILL) } else { over }
        });
        early.max(full).filter(|open| *open > now)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const T0: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn life(length: Duration) -> Life {
        Life { not_before: T0, not_after: T0 + length }
    }

    #[test]
    fn a_renewal_is_due_at_half_of_the_life_and_never_after_the_threshold() {
        let shortlived = life(HOUR * 160);
        assert_eq!(shortlived.due(DAY * 3, Jitter::NONE), T0 + HOUR * 80);
        assert_eq!(shortlived.due(DAY * 5, Jitter::NONE), T0 + HOUR * 80);
        let late = shortlived.due(DAY * 3, Jitter::new(1.0));
        assert_eq!(late, T0 + MINUTE * (80 * 60 + 96));
        let ninety_days = life(DAY * 90);
        assert_eq!(ninety_days.due(DAY * 60, Jitter::NONE), T0 + DAY * 45);
        let two_minutes = life(MINUTE * 2);
        assert!(two_minutes.due(DAY * 3, Jitter::new(1.0)) <= T0 + MINUTE);
    }

    #[test]
    fn critical_is_a_day_of_a_long_life_and_fifteen_percent_of_a_short_one() {
        assert_eq!(life(HOUR * 160).critical_from(), T0 + HOUR * 136);
        assert_eq!(life(DAY * 90).critical_from(), T0 + DAY * 89);
        assert_eq!(life(MINUTE * 2).critical_from(), T0 + Duration::from_secs(102));
    }

    #[test]
    fn twelve_pauses_fit_into_three_days_and_then_it_is_hourly() {
        let shortlived = Some(HOUR * 160);
        let pauses: Vec<_> =
            (1..=13).map(|failures| pause(failures, shortlived, Urgency::Calm, Jitter::NONE)).collect();
        assert_eq!(pauses[..3], [MINUTE, MINUTE * 5, MINUTE * 15]);
        assert!(pauses[..12].iter().sum::<Duration>() < DAY * 3);
        assert_eq!(pauses[12], HOURLY);
    }

    #[test]
    fn a_pressing_pause_is_an_hour_at_most_and_a_short_life_shortens_it() {
        let shortlived = Some(HOUR * 160);
        assert_eq!(pause(9, shortlived, Urgency::Pressing, Jitter::NONE), HOURLY);
        assert_eq!(pause(9, Some(MINUTE * 2), Urgency::Calm, Jitter::NONE), Duration::from_millis(7500));
        assert_eq!(pause(1, Some(Duration::from_secs(10)), Urgency::Calm, Jitter::NONE), SHORTEST_PAUSE);
        assert_eq!(pause(0, None, Urgency::Pressing, Jitter::NONE), MINUTE);
        for (jitter, seconds) in [(-1.0, 54), (0.0, 60), (1.0, 66)] {
            let pause = pause(1, None, Urgency::Pressing, Jitter::new(jitter));
            assert_eq!(pause, Duration::from_secs(seconds), "give or take 10 %");
        }
        let ten_seconds = Some(Duration::from_secs(10));
        assert_eq!(pause(1, ten_seconds, Urgency::Calm, Jitter::new(-1.0)), SHORTEST_PAUSE, "never less");
    }

    #[test]
    fn five_validations_may_fail_at_once_and_one_more_every_twelve_minutes() {
        let mut budget = ValidationBudget::default();
        for _ in 0..5 {
            assert_eq!(budget.closed_until(T0), None);
            budget.spend(T0);
        }
        assert_eq!(budget.closed_until(T0), Some(T0 + MINUTE * 12));
        assert_eq!(budget.closed_until(T0 + MINUTE * 12), None);
        budget.spend(T0 + MINUTE * 12);
        assert_eq!(budget.closed_until(T0 + MINUTE * 12), Some(T0 + MINUTE * 24));
        let clock_was_years_ahead = T0 - DAY * 3000;
        assert!(budget.closed_until(clock_was_years_ahead) <= Some(clock_was_years_ahead + MINUTE * 12));
    }

    #[test]
    fn the_fifth_certificate_in_seven_days_waits() {
        let mut ledger = Ledger::default();
        let held = |at| Some(Life { not_before: at, not_after: at + HOUR * 160 });
        for hours in [0, 42, 84, 126] {
            let at = T0 + HOUR * hours;
            assert_eq!(ledger.closed_until(at, "a", held(at)), None);
            ledger.enter(at, "a", Cause::Due);
        }
        let now = T0 + HOUR * 127;
        let week = T0 + DAY * 7 + CLOCK_TOLERANCE;
        assert_eq!(ledger.closed_until(now, "a", held(now)), Some(T0 + HOUR * (84 + 84)).max(Some(week)));
        assert_eq!(ledger.closed_until(now, "a", None), Some(week), "nor if nothing is held");
        assert_eq!(ledger.closed_until(now, "b", None), None, "other identifiers");
        assert_eq!(ledger.closed_until(now, "a", Some(life(MINUTE * 2))), None);
        let clock_was_ahead = T0 - DAY * 30;
        assert_eq!(ledger.closed_until(clock_was_ahead, "a", None), None);
    }

    #[test]
    fn two_certificates_at_once_leave_the_third_for_when_it_is_due_and_three_the_fourth_for_later() {
        let mut ledger = Ledger::default();
        let held = Some(life(HOUR * 160));
        let (due, half) = (life(HOUR * 160).due_from(), DAY * 7 / 2);
        ledger.enter(T0, "a", Cause::Due);
        assert_eq!(ledger.closed_until(T0, "a", held), None);
        ledger.enter(T0, "a", Cause::Due);
        assert_eq!(
            ledger.closed_until(T0, "a", held),
            Some(due),
            "and not when the window of the CA is over"
        );
        assert!(due < T0 + HOUR * 79);
        assert_eq!(ledger.closed_until(T0, "a", None), None, "nothing is held");
        ledger.enter(T0, "a", Cause::Due);
        assert_eq!(ledger.closed_until(T0, "a", held), Some(T0 + half));
        assert_eq!(ledger.closed_until(T0 + half, "a", held), None);
        assert_eq!(ledger.closed_until(T0, "a", None), None, "nothing is held");
        ledger.enter(T0 + half, "a", Cause::Due);
        let fourth = Life { not_before: T0 + half, not_after: T0 + half + HOUR * 160 };
        let open = ledger.closed_until(T0 + half, "a", Some(fourth)).unwrap();
        assert!(open <= fourth.latest(DAY * 3), "the governor is never in the way of what is due");
    }

    #[test]
    fn one_that_is_lost_on_the_way_does_not_cost_the_certificate_before_it() {
        let mut ledger = Ledger::default();
        let held = life(HOUR * 160);
        while ledger.closed_until(T0, "a", Some(held)).is_none() {
            ledger.enter(T0, "a", Cause::Due); // somebody asks for one after the other
        }
        let lost = ledger.closed_until(held.due_from(), "a", Some(held)).unwrap_or(held.due_from());
        ledger.enter(lost, "a", Cause::Lost);

        let again = ledger.closed_until(lost, "a", Some(held)).unwrap();

        assert!(again <= held.latest(DAY * 3), "{again}");
        ledger.enter(again, "a", Cause::Due);
        let next = Life { not_before: again, not_after: again + HOUR * 160 };
        let open = ledger.closed_until(again, "a", Some(next)).unwrap();
        assert!(open <= next.latest(DAY * 3), "and the next one is not late either: {open}");
    }

    #[test]
    fn what_counts_no_more_is_forgotten_and_of_the_rest_not_everything_is_kept() {
        let mut ledger = Ledger::default();
        (0..200).for_each(|_| ledger.enter(T0, "a", Cause::Force));
        assert_eq!(ledger.issued.len(), Ledger::LONGEST);
        ledger.enter(T0 + DAY * 8, "a", Cause::Due);
        assert_eq!(ledger.issued.len(), 1);
    }

    #[test]
    fn what_is_heard_of_late_does_not_drop_what_came_after_it() {
        let mut ledger = Ledger::default();
        ledger.enter(T0 + HOUR * 5, "a", Cause::Due);
        ledger.enter(T0, "a", Cause::Lost);
        assert!(ledger.knows(T0 + HOUR * 5, "a") && ledger.knows(T0, "a"));
    }

    #[test]
    fn after_force_the_governor_gives_way_before_a_certificate_lapses() {
        let mut ledger = Ledger::default();
        (0..10).for_each(|_| ledger.enter(T0, "a", Cause::Force));
        let shortlived = life(HOUR * 160);
        assert_eq!(ledger.closed_until(T0, "a", Some(shortlived)), Some(T0 + DAY * 7 / 2));
        assert_eq!(ledger.closed_until(T0 + DAY * 7 / 2, "a", Some(shortlived)), None);
        assert_eq!(ledger.closed_until(T0, "a", None), Some(T0 + HOUR * 34), "nothing is held");
    }
}
