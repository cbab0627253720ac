//! How much came through the door lately: one slot for each minute of the last day, in memory only.

use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;

use super::Context;
use super::board::Board;
use crate::shared::clock;
use crate::shared::stats::Stats;

/// A day; with 24 bytes for each that is 34 KB.
const MOST_MINUTES: usize = 24 * 60;

/// As many bars as a phone shows apart.
const MOST_BARS: usize = 72;

/// How many minutes a bar may stand for: the finest that fits, so that the first hour is worth looking at too.
const WIDTHS: [u8; 5] = [1, 2, 5, 10, 20];

const _: () = assert!(MOST_BARS * WIDTHS[WIDTHS.len() - 1] as usize >= MOST_MINUTES);

/// What was counted in some minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Requests answered, by class of status: 1xx … 5xx.
    pub(crate) answers: [u32; 5],
    /// Requests for which the upstream gave no usable answer; they are among the 5xx too.
    pub(crate) upstream_errors: u32,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    answers: [u64; 5],
    upstream_errors: u64,
}

/// The last day.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// The newest last; that one is not over yet.
    slots: VecDeque<Slot>,
    /// The minute of the newest, counted from 1970.
    minute: i64,
    counted: Totals,
}

/// The last day, or what there is of it, in pieces of equal length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bars {
    /// For how long each stands.
    pub(crate) minutes: u8,
    /// When the newest ends.
    pub(crate) until: i64,
    /// The newest last.
    pub(crate) bars: Vec<Slot>,
}

/// Counts until the daemon ends.
pub(crate) async fn watch(context: &Context, board: &Board) {
    loop {
        let now = clock::now();
        board.write(|notes| notes.traffic.sample(now, Totals::of(&context.stats)));
        // A little into the next minute, so that the sample counts for it however coarse the timer is.
        let rest = 61 - u64::from(now.second().min(59));
        tokio::time::sleep(Duration::from_secs(rest)).await;
    }
}

impl Totals {
    /// As they are now.
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            answers: [1, 2, 3, 4, 5].map(|class| stats.sum(|counters| &counters.responses[class])),
            upstream_errors: stats.sum(|counters| &counters.upstream_errors),
        }
    }
}

impl Slot {
    /// All requests.
    pub(crate) fn requests(&self) -> u64 {
        self.answers.iter().map(|count| u64::from(*count)).sum()
    }

    /// Those that the server did not answer well.
    pub(crate) fn errors(&self) -> u32 {
        self.answers[4]
    }

    fn add(&mut self, other: Self) {
        for (sum, count) in self.answers.iter_mut().zip(other.answers) {
            *sum = sum.saturating_add(count);
        }
        self.upstream_errors = self.upstream_errors.saturating_add(other.upstream_errors);
    }

    fn between(before: Totals, after: Totals) -> Self {
        let grown = |before: u64, after: u64| u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
        let mut slot =
            Self { answers: [0; 5], upstream_errors: grown(before.upstream_errors, after.upstream_errors) };
        for (class, count) in slot.answers.iter_mut().enumerate() {
            *count = grown(before.answers[class], after.answers[class]);
        }
        slot
    }
}

impl Traffic {
    /// Takes in what was counted since the last look. It belongs to the minute of that look; minutes that nobody looked
    /// at, as when the machine was suspended, are empty. A clock that was set back adds to the newest.
    pub(crate) fn sample(&mut self, now: OffsetDateTime, totals: Totals) {
        let minute = now.unix_timestamp().div_euclid(60);
        if let Some(newest) = self.slots.back_mut() {
            newest.add(Slot::between(self.counted, totals));
            let passed = usize::try_from(minute - self.minute).unwrap_or(0).min(MOST_MINUTES);
            self.slots.extend(std::iter::repeat_n(Slot::default(), passed));
        } else {
            self.slots.push_back(Slot::default());
        }
        self.slots.drain(..self.slots.len().saturating_sub(MOST_MINUTES));
        self.minute = minute;
        self.counted = totals;
    }

    /// For a picture.
    pub(crate) fn bars(&self) -> Bars {
        let fits = |minutes: &u8| self.slots.len() <= MOST_BARS * usize::from(*minutes);
        let minutes = WIDTHS.into_iter().find(fits).unwrap_or(WIDTHS[WIDTHS.len() - 1]);
        let width = i64::from(minutes);
        let newest = self.minute.div_euclid(width);
        let mut bars: Vec<Slot> = Vec::with_capacity(MOST_BARS + 1);
        let mut current = None;
        for (ago, slot) in (0..).zip(self.slots.iter().rev()) {
            let bar = (self.minute - ago).div_euclid(width);
            if current.replace(bar) != Some(bar) {
                bars.push(Slot::default());
            }
            if let Some(last) = bars.last_mut() {
                last.add(*slot);
            }
        }
        bars.truncate(MOST_BARS);
        bars.reverse();
        Bars { minutes, until: (newest + 1) * width * 60, bars }
    }

    /// Everything there is, in one.
    pub(crate) fn sum(&self) -> Slot {
        self.slots.iter().fold(Slot::default(), |mut sum, slot| {
            sum.add(*slot);
            sum
        })
    }

    /// Minutes since the first look, a day at most.
    pub(crate) fn minutes(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const T0: OffsetDateTime = datetime!(2026-01-01 00:00:30 UTC);

    fn totals(good: u64, bad: u64) -> Totals {
        Totals { answers: [0, good, 0, 0, bad], upstream_errors: bad }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn what_was_counted_stands_in_its_minute() {
        let mut traffic = Traffic::default();
        traffic.sample(T0, totals(10, 0));
        traffic.sample(T0 + minutes(1), totals(17, 1));
        traffic.sample(T0 + minutes(4), totals(19, 1));
        let Bars { minutes, bars, until } = traffic.bars();
        let seen: Vec<_> = bars.iter().map(|bar| (bar.requests(), bar.errors())).collect();
        assert_eq!((minutes, seen), (1, vec![(8, 1), (2, 0), (0, 0), (0, 0), (0, 0)]));
        assert_eq!(until, datetime!(2026-01-01 00:05 UTC).unix_timestamp());
        assert_eq!(traffic.sum().upstream_errors, 1);
    }

    #[test]
    fn a_day_is_kept_and_seen_in_bars_that_a_phone_shows_apart() {
        let mut traffic = Traffic::default();
        for minute in 0..3 * 24 * 60 {
            traffic.sample(T0 + minutes(minute), totals(minute, 0));
            assert!(traffic.bars().bars.len() <= MOST_BARS);
        }
        assert_eq!(traffic.minutes(), MOST_MINUTES);
        let Bars { minutes, bars, .. } = traffic.bars();
        assert_eq!((minutes, bars.len()), (20, 72));
        assert!(bars[..71].iter().all(|bar| bar.requests() == 20));
    }

    #[test]
    fn a_clock_that_jumps_loses_no_request() {
        let mut traffic = Traffic::default();
        traffic.sample(T0, totals(0, 0));
        traffic.sample(T0 - minutes(500), totals(5, 0));
        assert_eq!((traffic.minutes(), traffic.sum().requests()), (1, 5));
        traffic.sample(T0 + minutes(500_000), totals(6, 0));
        assert_eq!(traffic.minutes(), MOST_MINUTES);
    }
}
