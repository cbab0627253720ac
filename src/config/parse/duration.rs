//! Durations: `"30s"`, `"500ms"`, `"1h30m"`.

use std::time::Duration;

/// The longest duration there is a use for; it also keeps sums with it from overflowing.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Reads whole numbers, each with its unit, one after the other.
pub(in crate::config) fn duration(text: &str) -> Result<Duration, String> {
    match sum(text) {
        Some(sum) if sum <= LONGEST => Ok(sum),
        Some(_) => Err("\"365d\" or less".to_owned()),
        None => Err(instead(text)),
    }
}

/// A duration as it would be written, in the largest unit that fits.
pub(in crate::config) fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fits = units.iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    match fits {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

fn sum(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (name, after) = after.split_at_checked(letters)?;
        let millis = number.parse::<u64>().ok()?.checked_mul(unit(name)?)?;
        total = total.checked_add(Duration::from_millis(millis))?;
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// Milliseconds of a unit.
fn unit(name: &str) -> Option<u64> {
    match name {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    }
}

fn instead(text: &str) -> String {
    let tight: String = text.to_lowercase().split_whitespace().collect();
    let digits = tight.find(|c: char| !c.is_ascii_digit()).unwrap_or(tight.len());
    let (number, name) = tight.split_at_checked(digits).unwrap_or((&tight, ""));
    let unit = match name {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "msec" | "millis" | "milliseconds" => "ms",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => "",
    };
    if number.is_empty() || number.len() > 9 || unit.is_empty() {
        return "\"30s\": a whole number and ms, s, m, h or d".to_owned();
    }
    format!("\"{number}{unit}\"")
}
