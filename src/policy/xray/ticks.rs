//! When Xray looks at the files next: each of its watchers does so once an interval, counted from its own start, for as
//! long as Xray runs. Times are counted from any one moment.

use std::ops::Range;
use std::time::Duration;

/// Before a look is due, something may be under way already: our timer is late on a busy machine.
const LEAD: Duration = Duration::from_millis(40);

/// After it is due: Xray's timer is late on a busy machine.
const TAIL: Duration = Duration::from_millis(100);

/// A look this close to where one was expected is that one.
const NEAR: Duration = Duration::from_millis(100);

/// But not if it is earlier than that: then the window has not begun yet.
const EARLY: Duration = Duration::from_millis(20);

/// Looks this close to each other are one.
const SAME: Duration = Duration::from_millis(3);

/// The longest window; what is due after it has the next one.
const LONGEST: Duration = Duration::from_millis(500);

/// Looks remembered: hundreds of inbounds, and our own.
const MOST: usize = 512;

/// The looks of all watchers with one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticks {
    interval: Duration,
    /// When each looks next, in order.
    expected: Vec<Duration>,
}

impl Ticks {
    /// Nothing was seen yet.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self { interval, expected: Vec::new() }
    }

    /// Between two looks of one watcher.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Somebody opened the files. We see that late and never early, so the earliest sight of a watcher is the best.
    pub fn seen(&mut self, at: Duration) {
        self.expected.retain(|due| *due + NEAR >= at); // somebody who looked once, such as we
        let distance = |due: &Duration| due.abs_diff(at);
        // One that is due later has its window still to come, however often somebody else opens the files.
        let near = (0..self.expected.len())
            .filter(|index| self.expected[*index].saturating_sub(EARLY) <= at)
            .min_by_key(|index| distance(&self.expected[*index]));
        let due = match near.filter(|index| distance(&self.expected[*index]) <= NEAR.min(self.interval / 4)) {
            Some(index) => self.expected.remove(index).min(at) + self.interval,
            None => at + self.interval,
        };
        self.expect(due);
    }

    /// When the files are to be unsteady next, so that whoever looks then finds other bytes than the one before.
    #[must_use]
    pub fn window(&self) -> Option<Range<Duration>> {
        let start = self.expected.first()?.saturating_sub(LEAD);
        let mut end = start + LEAD + TAIL;
        for due in &self.expected {
            if due.saturating_sub(LEAD) <= end && *due + TAIL - start <= LONGEST {
                end = end.max(*due + TAIL);
            }
        }
        Some(start..end)
    }

    /// A window is over. If nobody came, nobody is expected there again.
    pub fn passed(&mut self, window: &Range<Duration>, somebody_came: bool) {
        let (over, later) = self.expected.iter().partition::<Vec<_>, _>(|due| **due <= window.end);
        self.expected = later;
        for due in over.into_iter().filter(|_| somebody_came) {
            let missed = window.end.saturating_sub(due).as_nanos() / self.interval.as_nanos().max(1);
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            self.expect(due + self.interval.saturating_mul(missed.saturating_add(1)));
        }
    }

    fn expect(&mut self, due: Duration) {
        if self.expected.iter().all(|other| other.abs_diff(due) > SAME) && self.expected.len() < MOST {
            let place = self.expected.partition_point(|other| *other < due);
            self.expected.insert(place, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn whoever_looked_looks_again_after_one_interval() {
        let mut ticks = Ticks::every(ms(10_000));
        assert_eq!(ticks.window(), None);
        ticks.seen(ms(1000));
        assert_eq!(ticks.window(), Some(ms(10_960)..ms(11_100)));
        ticks.passed(&(ms(10_960)..ms(11_100)), true);
        assert_eq!(ticks.window(), Some(ms(20_960)..ms(21_100)));
    }

    #[test]
    fn whoever_opens_the_files_all_the_time_does_not_put_the_windows_off() {
        let mut ticks = Ticks::every(ms(1000));
        ticks.seen(ms(0));
        for at in (10..=950).step_by(10) {
            ticks.seen(ms(at));
        }
        assert_eq!(ticks.window().unwrap().start, ms(960));
    }

    #[test]
    fn the_earliest_sight_counts_and_lateness_does_not_add_up() {
        let mut ticks = Ticks::every(ms(1000));
        for at in [100, 1130, 2160, 3101, 4150] {
            ticks.seen(ms(at));
        }
        assert_eq!(ticks.window(), Some(ms(5060)..ms(5200)));
    }

    #[test]
    fn listeners_that_look_together_share_a_window_and_it_does_not_grow_without_end() {
        let mut ticks = Ticks::every(ms(10_000));
        for at in [1000, 1001, 1060, 1150] {
            ticks.seen(ms(at));
        }
        assert_eq!(ticks.window(), Some(ms(10_960)..ms(11_250)));
        for at in (1200..9000).step_by(50) {
            ticks.seen(ms(at));
        }
        let window = ticks.window().unwrap();
        assert!(window.end - window.start <= LONGEST, "{window:?}");
        ticks.passed(&window, true);
        assert!(ticks.window().unwrap().start >= window.end - LEAD - TAIL, "what is due later has the next");
    }

    #[test]
    fn who_looked_once_is_not_waited_for_again() {
        let mut ticks = Ticks::every(ms(1000));
        ticks.seen(ms(100));
        ticks.seen(ms(500));
        ticks.seen(ms(1102));
        ticks.seen(ms(2104));
        assert_eq!(ticks, Ticks { interval: ms(1000), expected: vec![ms(3100)] });
        ticks.passed(&(ms(3060)..ms(3200)), false);
        assert_eq!(ticks.window(), None);
    }

    #[test]
    fn a_window_that_came_late_does_not_lead_into_the_past() {
        let mut ticks = Ticks::every(ms(1000));
        ticks.seen(ms(100));
        ticks.passed(&(ms(1060)..ms(5600)), true);
        assert_eq!(ticks.window(), Some(ms(6060)..ms(6200)));
    }
}
