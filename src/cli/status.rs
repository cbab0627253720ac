//! `doorman status`: what the running daemon says.

use std::io::Write;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::daemon::Daemon;
use super::{Failure, cannot_print, colours};
use crate::config::Admin;
use crate::control::roughly;
use crate::shared::clock;

/// Lines are no longer than a terminal that nobody has widened.
const WIDTH: usize = 80;

/// Of the column with the names.
const NAMES: usize = 14;

/// Prints the daemon's status as a table, or its own JSON.
///
/// # Errors
/// No daemon answers (69), it may not be asked (77), or `out` takes nothing (74).
pub(super) fn run(admin: &Admin, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let (text, status) = Daemon::new(admin)?.status()?;
    let text = if json { text } else { table(&status, clock::now(), Paint(colours(&std::io::stdout()))) };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| cannot_print(&error))
}

/// Whether there are colours.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn state(self, state: &str) -> String {
        let code = match state {
            "valid" | "current" => "32",
            "renewing" => "34",
            "failed" | "waiting" | "unknown" => "33",
            "critical" | "expired" | "stale" => "31",
            _ => return state.to_owned(),
        };
        if self.0 { format!("\x1b[1;{code}m{state}\x1b[0m") } else { state.to_owned() }
    }
}

fn table(status: &Value, now: OffsetDateTime, paint: Paint) -> String {
    let mut table = String::new();
    row(&mut table, "state", &paint.state(text(&status["state"])));
    certificate(&mut table, &status["certificate"], now);
    let next = moment(&status["next_renewal_at"], now).unwrap_or_else(|| "-".to_owned());
    row(&mut table, "next renewal", &next);
    if let Some(failures) = status["failures"].as_u64().filter(|failures| *failures > 0) {
        row(&mut table, "failures", &format!("{failures} in a row"));
    }
    last_error(&mut table, status);
    for trouble in
        list(&status["troubles"]).iter().filter(|trouble| trouble["detail"] != status["last_error"])
    {
        row(&mut table, "also wrong", text(&trouble["detail"]));
    }
    for listener in list(&status["listeners"]) {
        let state = paint.state(text(&listener["state"]));
        let mut line = format!("{} {} {state}", text(&listener["address"]), text(&listener["kind"]));
        line.push_str(&holder("held by", &listener["holder"]));
        line.push_str(&holder("joined by", &listener["joined"]));
        if listener["holder"].is_null()
            && let Some(detail) = listener["detail"].as_str()
        {
            line.push_str(&format!(": {detail}"));
        }
        row(&mut table, "listener", &line);
    }
    for inbound in list(&status["xray"]) {
        let serves = paint.state(text(&inbound["serves"]));
        let place = ["tag", "address", "transport"].map(|key| text(&inbound[key])).join(" ");
        let detail = inbound["detail"].as_str().filter(|detail| !detail.is_empty());
        let detail = detail.map(|detail| format!("; {detail}")).unwrap_or_default();
        row(&mut table, "inbound", &format!("{place} {serves}{detail}"));
    }
    optional(&mut table, "Xray", &status["xray_note"]);
    for channel in list(&status["alerts"]["channels"]) {
        if let Some(error) = channel["last_error"].as_str() {
            row(
                &mut table,
                "alerts",
                &format!("{} waiting for {}: {error}", channel["pending"], text(&channel["channel"])),
            );
        }
    }
    optional(&mut table, "local CA", &status["local_ca_sha256"]);
    let since = moment(&status["started_at"], now).unwrap_or_default();
    let version = text(&status["version"]);
    row(&mut table, "doorman", &format!("{version}, pid {}, since {since}", status["pid"]));
    table
}

fn certificate(table: &mut String, certificate: &Value, now: OffsetDateTime) {
    if certificate.is_null() {
        row(table, "certificate", "none yet");
        return;
    }
    let identifiers: Vec<_> = list(&certificate["identifiers"]).iter().map(text).collect();
    row(table, "certificate", &identifiers.join(", "));
    optional(table, "issuer", &certificate["issuer"]);
    let until = moment(&certificate["not_after"], now).unwrap_or_default();
    row(table, "good until", &until);
    optional(table, "SHA-256", &certificate["fingerprint_sha256"]);
}

/// Where to look comes first: the runbook is sorted by it.
fn last_error(table: &mut String, status: &Value) {
    match (status["last_error_class"].as_str(), status["last_error"].as_str()) {
        (Some(class), Some(said)) => row(table, "last error", &format!("{class}: {said}")),
        (None, _) | (Some(_), None) => optional(table, "last error", &status["last_error"]),
    }
}

/// Who has the port instead of us, or beside us.
fn holder(how: &str, holder: &Value) -> String {
    if holder.is_null() {
        return String::new();
    }
    let known: Vec<String> = [
        Some(holder["program"].as_str().unwrap_or("a program").to_owned()),
        holder["pid"].as_i64().map(|pid| format!("pid {pid}")),
        holder["unit"].as_str().map(ToOwned::to_owned),
        holder["user"].as_str().map(|user| format!("user {user}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!(", {how} {}", known.join(", "))
}

fn optional(table: &mut String, name: &str, value: &Value) {
    if let Some(value) = value.as_str() {
        row(table, name, value);
    }
}

/// One row; what is too long goes on below its beginning.
fn row(table: &mut String, name: &str, value: &str) {
    let mut name = name;
    for line in wrapped(value, WIDTH - NAMES) {
        table.push_str(&format!("{name:<NAMES$}{line}\n"));
        name = "";
    }
}

fn wrapped(value: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in value.split_whitespace() {
        let mut word = word;
        while let Some((cut, _)) = word.char_indices().nth(width) {
            lines.push(word[..cut].to_owned());
            word = &word[cut..];
        }
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            word.clone_into(last);
        } else if visible(last) + 1 + visible(word) <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.retain(|line| !line.is_empty());
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// Characters that take a column: not those of a colour.
fn visible(text: &str) -> usize {
    let mut in_colour = false;
    text.chars()
        .filter(|character| {
            let counts = !in_colour && *character != '\x1b';
            in_colour = (in_colour || *character == '\x1b') && *character != 'm';
            counts
        })
        .count()
}

/// A time and how far it is: `2026-01-01 10:00:00 UTC, in 3 h 20 min`.
pub(super) fn moment(value: &Value, now: OffsetDateTime) -> Option<String> {
    let at = OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?;
    let span = at - now;
    let far = roughly(span.unsigned_abs());
    let far = if span.is_negative() { format!("{far} ago") } else { format!("in {far}") };
    let (hour, minute, second) = at.time().as_hms();
    Some(format!("{} {hour:02}:{minute:02}:{second:02} UTC, {far}", at.date()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    fn status() -> Value {
        json!({
            "version": "1.0.0", "pid": 7, "started_at": "2026-01-01T00:00:00Z", "state": "failed",
            "certificate": {
                "identifiers": ["203.0.113.7", "2001:db8::1"], "issuer": "CN=CA",
                "fingerprint_sha256": "ab".repeat(32), "not_after": "2026-01-05T00:00:00Z",
            },
            "next_renewal_at": "2026-01-01T04:00:00Z", "failures": 3,
            "last_error": "the CA could not validate 203.0.113.7: connection refused; is port 80 open in the \
                           provider's firewall, and does it lead to this machine?",
            "last_error_class": "validation",
            "listeners": [{
                "address": "0.0.0.0:80", "kind": "http", "state": "waiting",
                "holder": {"pid": 42, "program": "nginx", "unit": "nginx.service"},
            }],
            "xray": [], "troubles": [], "local_ca_sha256": null,
        })
    }

    #[test]
    fn the_table_fits_eighty_columns_and_says_what_matters() {
        let now = datetime!(2026-01-01 01:00 UTC);
        let table = table(&status(), now, Paint(false));
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
        for part in [
            "state         failed\n",
            "next renewal  2026-01-01 04:00:00 UTC, in 3 h 0 min\n",
            "failures      3 in a row\n",
            "last error    validation: the CA could not validate 203.0.113.7:",
            "listener      0.0.0.0:80 http waiting, held by nginx, pid 42, nginx.service\n",
            "since 2026-01-01 00:00:00 UTC, 1 h 0 min ago\n",
        ] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        assert!(!table.contains('\x1b'));
    }

    #[test]
    fn colours_take_no_columns() {
        let painted = Paint(true).state("valid");
        assert_eq!(visible(&painted), 5);
        assert_eq!(Paint(false).state("valid"), "valid");
    }

    #[test]
    fn a_word_that_is_too_long_is_cut() {
        assert_eq!(wrapped("abcdef gh", 4), ["abcd", "ef", "gh"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
