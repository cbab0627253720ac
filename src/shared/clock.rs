//! The wall clock, in one place: everything else is given `now`.

use time::OffsetDateTime;

/// The time in UTC, as the machine believes it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
