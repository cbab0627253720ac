//! The time as a worker's connections see it: looked up once when one of them begins to run, not for every limit that
//! it moves. What runs between two looks takes microseconds; the limits are seconds.

use std::cell::Cell;
use std::time::Duration;

pub(super) use tokio::time::Instant;

thread_local! {
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Looks at the clock.
pub(super) fn tick() {
    NOW.set(Some(Instant::now()));
}

/// The time at the last [`tick`] of this thread.
pub(super) fn now() -> Instant {
    NOW.get().unwrap_or_else(Instant::now)
}

/// The time that has passed since `then`, at the last [`tick`].
pub(super) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}
