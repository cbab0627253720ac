//! The disk, and a file that is kept twice, as the store does it.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::ca::Certificate;
use crate::policy::alert::Kind;

/// What survives the process.
#[derive(Default)]
pub(super) struct Disk {
    /// With what was told when it was written.
    pub(super) memory: Twice<(String, BTreeSet<Kind>)>,
    pub(super) pending: Twice<Pending>,
    pub(super) live: Option<Certificate>,
    pub(super) stand_in: Option<OffsetDateTime>,
}

/// The order in flight.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) order: u32,
    /// By our clock.
    pub(super) touched_at: OffsetDateTime,
    /// By the CA's.
    pub(super) finalized_at: Option<OffsetDateTime>,
}

/// Written first, then second; removed the other way round.
#[derive(Clone)]
pub(super) struct Twice<T> {
    pub(super) first: Option<T>,
    pub(super) second: Option<T>,
    /// What was there when both were damaged. Nobody can read that; but the file says when it was written.
    pub(super) torn: Option<T>,
}

impl<T> Default for Twice<T> {
    fn default() -> Self {
        Self { first: None, second: None, torn: None }
    }
}

impl<T: Clone> Twice<T> {
    pub(super) fn of(value: T) -> Self {
        Self { first: Some(value.clone()), second: Some(value), torn: None }
    }

    pub(super) fn read(&self) -> Option<&T> {
        self.first.as_ref().or(self.second.as_ref())
    }

    pub(super) fn damage(&mut self, both: bool) {
        self.first = None;
        if both {
            self.torn = self.second.take().or(self.torn.take());
        }
    }

    pub(super) fn remove(&mut self) {
        *self = Self::default();
    }
}
