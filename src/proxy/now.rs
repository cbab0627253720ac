//! The time as a worker's connections see it: looked up when the thread has slept, and now and then while it does not,
//! not for every limit that is moved. What runs between two looks takes microseconds; the limits are seconds.

use std::cell::Cell;
use std::time::Duration;

pub(super) use tokio::time::Instant;

/// One look at the clock is for so many turns of connections.
const TURNS: u8 = 16;

thread_local! {
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    static TURNS_LEFT: Cell<u8> = const { Cell::new(0) };
}

/// Looks at the clock.
pub(super) fn look() {
    NOW.set(Some(Instant::now()));
    TURNS_LEFT.set(TURNS);
}

/// A connection begins to run.
pub(super) fn tick() {
    match TURNS_LEFT.get() {
        0 => look(),
        left => TURNS_LEFT.set(left - 1),
    }
}

/// The time at the last look of this thread.
pub(super) fn now() -> Instant {
    NOW.get().unwrap_or_else(Instant::now)
}

/// The time that has passed since `then`, at the last look.
pub(super) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}
