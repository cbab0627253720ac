//! What must hold at any moment, and when the next one is.

use std::time::Duration;

use time::OffsetDateTime;

use super::world::{Misfortune, World};
use super::{DAY, HOUR, MINUTE};
use crate::policy::alert::Situation;
use crate::policy::lifecycle::{Activity, Obstacle};
use crate::policy::schedule::Ledger;

/// While the port is taken the driver looks every two seconds; here it is enough to look less often.
const PORT_LOOK: Duration = MINUTE.saturating_mul(10);

impl World {
    pub(super) fn check(&mut self) {
        let within = |times: &[OffsetDateTime], span: Duration| {
            times.iter().rev().take_while(|at| **at > self.now - span).count()
        };
        if self.life >= DAY * 4 && !self.is_excused() {
            assert!(within(&self.ca.issued, DAY * 7) <= Ledger::MOST, "the governor slept");
        }
        if self.life >= DAY * 4 && self.now >= self.lost_until {
            assert!(within(&self.unforced, DAY * 7) <= Ledger::MOST, "force opened the governor for others");
        }
        if !self.is_excused() {
            assert!(within(&self.tries, (self.life / 160).min(HOUR)) <= 12, "a storm of orders");
        }
        self.never_expired_without_need();
        self.says_that_it_is_over();
    }

    /// Whatever the CA has issued is counted after a kill, or its order still is in the store.
    pub(super) fn has_counted_all(&self) {
        if self.life < DAY * 4 || self.now < self.lost_until {
            return;
        }
        let asked_at = self.disk.pending.read().and_then(|pending| pending.finalized_at);
        for at in self.ca.issued.iter().filter(|at| **at > self.now - DAY * 6) {
            let asked_for = *at - MINUTE * 2; // a moment before
            let counted = self.lifecycle.has_counted(*at) || self.lifecycle.has_counted(asked_for);
            let kept = asked_at.is_some_and(|asked_at| asked_at <= *at) || self.disk.pending.torn.is_some();
            assert!(counted || kept, "the certificate of {at} is counted by nobody");
        }
    }

    /// When all is well again, whoever heard of something has heard of that, too.
    fn says_that_it_is_over(&self) {
        let well = self.lifecycle.situation(self.believed()) == Situation::WELL;
        let silent = self.running && well && !self.told.is_empty() && !self.forgotten;
        assert!(!silent, "{:?} is over, and nobody was told", self.told);
    }

    /// Never expired while the CA, the port and the clock were well for 24 h on end within the last three days.
    fn never_expired_without_need(&mut self) {
        let day = DAY.min(self.life * 3 / 20);
        if self.well_since.is_some_and(|since| self.now >= since + day) {
            self.well_for_a_day_at = self.now;
        }
        let expired = self.disk.live.is_some_and(|live| live.life.not_after <= self.now);
        let had_time = self.now < self.well_for_a_day_at + day * 3;
        assert!(!(expired && had_time), "expired, and all was well until {}", self.well_for_a_day_at);
    }

    /// When something happens next.
    pub(super) fn next(&self) -> OffsetDateTime {
        let mut next = self.misfortune_until.max(self.now + Duration::from_millis(100));
        if self.dice.is_none() && self.now >= self.misfortune_until {
            next = self.now + DAY;
        }
        if !self.running {
            return next.min(self.start_at.max(self.now));
        }
        let by_the_port = matches!(self.lifecycle.activity(), Activity::Blocked { by: Obstacle::Port });
        let shortest = if by_the_port { PORT_LOOK } else { Duration::from_millis(100) };
        let wakeup = self.lifecycle.next_wakeup(self.believed()) - self.clock;
        next = next.min(wakeup.max(self.now + shortest));
        if self.misfortune == Misfortune::Impatience {
            next = next.min(self.now + MINUTE * 30);
        }
        self.job.map_or(next, |job| next.min(job.at)).max(self.now + Duration::from_millis(10))
    }
}
