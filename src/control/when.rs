//! Times as the admin interface writes them: RFC 3339 in UTC, to the millisecond.

use serde::{Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// For `#[serde(serialize_with)]`.
pub(crate) fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    text(*at).serialize(serializer)
}

/// For `#[serde(serialize_with)]`, of what may be absent.
pub(crate) fn serialize_option<S: Serializer>(
    at: &Option<OffsetDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(text).serialize(serializer)
}

/// As text.
pub(crate) fn text(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let to_the_millisecond = at.nanosecond() / 1_000_000 * 1_000_000;
    at.replace_nanosecond(to_the_millisecond)
        .unwrap_or(at)
        .format(&Rfc3339)
        .unwrap_or_else(|_| at.to_string()) // only years beyond 9999 have no such form
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_written_in_utc_and_to_the_millisecond() {
        assert_eq!(text(datetime!(2026-01-01 02:00:00 +2)), "2026-01-01T00:00:00Z");
        assert_eq!(text(datetime!(2026-01-01 00:00:00.123456 UTC)), "2026-01-01T00:00:00.123Z");
    }
}
