//! Randomness that can be thrown again.

use std::time::Duration;

use crate::policy::schedule::Jitter;

/// `SplitMix64`: the same story for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn one_in(&mut self, many: u64) -> bool {
        self.throw().is_multiple_of(many)
    }

    /// Anything up to this, to the second.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_secs(self.throw() % most.as_secs().max(1))
    }

    pub(super) fn jitter(&mut self) -> Jitter {
        let part = u32::try_from(self.throw() >> 32).unwrap();
        Jitter::new(f64::from(part) / f64::from(u32::MAX) * 2.0 - 1.0)
    }
}
