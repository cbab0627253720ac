//! `doorman status`: what the running daemon says.

use std::io::Write;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::daemon::Daemon;
use super::{Failure, cannot_print, colours};
use crate::config::Admin;
use crate::policy::sentence::roughly;
use crate::shared::clock;

/// Lines are no longer than a terminal that nobody has widened.
const WIDTH: usize = 80;

/// Of the column with the names.
const NAMES: usize = 14;

/// With less room than this for the last column, columns do not stand below each other.
const LEAST_LAST_COLUMN: usize = 12;

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
        self.with(code, state)
    }

    fn severity(self, alert: &Value) -> String {
        let code = if alert["severity"] == "critical" { "31" } else { "33" };
        self.with(code, &plain(text(&alert["alert"])))
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[1;{code}m{text}\x1b[0m") } else { text.to_owned() }
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
        row(&mut table, "also wrong", &plain(text(&trouble["detail"])));
    }
    for alert in list(&status["open_alerts"]) {
        let since = moment(&alert["told_at"], now).unwrap_or_default();
        row(&mut table, "alert", &format!("{}, told {since}", paint.severity(alert)));
    }
    let listeners = list(&status["listeners"]).iter().map(|listener| {
        let mut state = text(&listener["state"]).to_owned();
        state.push_str(&holder("held by", &listener["holder"]));
        state.push_str(&holder("joined by", &listener["joined"]));
        if let Some(detail) = listener["detail"].as_str().filter(|_| listener["holder"].is_null()) {
            state.push_str(&format!(": {detail}"));
        }
        [text(&listener["address"]).to_owned(), text(&listener["kind"]).to_owned(), state]
    });
    columns(&mut table, "listener", listeners.collect(), paint);
    let inbounds = list(&status["xray"]).iter().map(|inbound| {
        let serves = text(&inbound["serves"]);
        let detail = inbound["detail"].as_str().filter(|detail| !detail.is_empty());
        let serves = detail.map_or_else(|| serves.to_owned(), |detail| format!("{serves}: {detail}"));
        let place = format!("{} {}", text(&inbound["address"]), text(&inbound["transport"]));
        [text(&inbound["tag"]).to_owned(), place, serves]
    });
    columns(&mut table, "inbound", inbounds.collect(), paint);
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
        row(table, name, &plain(value));
    }
}

/// Rows of three cells that stand below each other, as far as there is room; the last cell begins with a state.
fn columns(table: &mut String, name: &str, rows: Vec<[String; 3]>, paint: Paint) {
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(|cell| plain(&cell))).collect();
    let widest = |cell: usize| rows.iter().map(|row| row[cell].width()).max().unwrap_or(0);
    let (first, second) = (widest(0), widest(1));
    let aligned = first + second + 2 + LEAST_LAST_COLUMN <= WIDTH - NAMES;
    for [one, two, last] in &rows {
        let pad = |cell: &str, width: usize| " ".repeat(if aligned { width - cell.width() } else { 0 });
        let end = last.find([',', ':']).unwrap_or(last.len());
        let (state, rest) = last.split_at(end);
        let gap = [pad(one, first), pad(two, second)];
        let indent = if aligned { first + second + 2 } else { 0 };
        let head = format!("{one}{} {two}{} ", gap[0], gap[1]);
        if aligned {
            let lines = wrapped(&format!("{}{rest}", paint.state(state)), WIDTH - NAMES - indent);
            for (number, line) in lines.iter().enumerate() {
                let before = if number == 0 { head.clone() } else { " ".repeat(indent) };
                table.push_str(&format!("{:<NAMES$}{before}{line}\n", if number == 0 { name } else { "" }));
            }
        } else {
            row(table, name, &format!("{head}{}{rest}", paint.state(state)));
        }
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

/// Words as many as fit in a line; one that is longer than a line is cut.
fn wrapped(value: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in value.split_whitespace() {
        let mut word = word;
        loop {
            let last = lines.last_mut().expect("there is always a line");
            let room = if last.is_empty() { width } else { width.saturating_sub(visible(last) + 1) };
            if visible(word) <= room {
                let gap = if last.is_empty() { "" } else { " " };
                last.push_str(gap);
                last.push_str(word);
                break;
            }
            if last.is_empty() {
                let (head, tail) = word.split_at(fitting(word, width));
                last.push_str(head);
                word = tail;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// How many bytes of `word` fit in so many columns; one character at least.
fn fitting(word: &str, columns: usize) -> usize {
    let mut width = 0;
    let over = word.char_indices().find(|(at, character)| {
        width += character.width().unwrap_or(0);
        *at > 0 && width > columns
    });
    over.map_or(word.len(), |(at, _)| at)
}

/// Columns that a text takes: two for a Chinese character, none for a colour.
fn visible(text: &str) -> usize {
    let mut rest = text;
    let mut width = 0;
    while let Some((before, colour)) = rest.split_once("\x1b[") {
        width += before.width();
        rest = colour.split_once('m').map_or("", |(_, after)| after);
    }
    width + rest.width()
}

/// What others say, without what a terminal would obey: an inbound's tag may hold anything.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// A time and how far it is: `2026-01-01 10:00:00 UTC, in 3 h 20 min`.
pub(super) fn moment(value: &Value, now: OffsetDateTime) -> Option<String> {
    let at = OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?;
    let span = at - now;
    let far = roughly(span.unsigned_abs());
    let far = far.english();
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
            "next renewal  2026-01-01 04:00:00 UTC, in 3 h\n",
            "failures      3 in a row\n",
            "last error    validation: the CA could not validate 203.0.113.7:",
            "listener      0.0.0.0:80 http waiting, held by nginx, pid 42, nginx.service\n",
            "since 2026-01-01 00:00:00 UTC, 1 h ago\n",
        ] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        assert!(!table.contains('\x1b'));
    }

    #[test]
    fn it_fits_whatever_the_tags_are_and_obeys_none_of_them() {
        let mut status = status();
        let address = "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535";
        status["listeners"][0]["address"] = address.into();
        let inbound = |tag: &str, serves: &str| json!({"tag": tag, "address": address, "transport": "tcp", "serves": serves, "detail": "字".repeat(90)});
        status["xray"] = json!([
            inbound("很长的入站标签很长的入站标签很长的入站标签很长的入站标签很长的入站标签", "current"),
            inbound("red\x1b[31m\x1b]0;owned\x07\nstate         valid", "stale"),
            inbound("x", "unknown"),
        ]);
        status["open_alerts"] =
            json!([{"alert": "critical", "severity": "critical", "told_at": "2026-01-01T00:00:00Z"}]);
        for paint in [Paint(false), Paint(true)] {
            let table = table(&status, datetime!(2026-01-01 01:00 UTC), paint);
            for line in table.lines() {
                assert!(visible(line) <= WIDTH, "{} columns: {line}", visible(line));
            }
            let own = table.replace("\x1b[1;31m", "").replace("\x1b[1;33m", "").replace("\x1b[1;32m", "");
            let own = own.replace("\x1b[0m", "");
            assert!(!own.contains(['\x1b', '\x07']), "{own:?}");
            assert!(!table.lines().any(|line| line == "state         valid"), "{table}");
            assert_eq!(table.contains("\x1b["), paint.0);
        }
    }

    #[test]
    fn columns_stand_below_each_other_while_there_is_room() {
        let mut status = status();
        status["xray"] = json!([
            {"tag": "vless", "address": "0.0.0.0:443", "transport": "tcp", "serves": "current", "detail": ""},
            {"tag": "入站", "address": "[::]:8443", "transport": "ws", "serves": "stale", "detail": "an old one"},
        ]);
        let table = table(&status, datetime!(2026-01-01 01:00 UTC), Paint(false));
        assert!(table.contains("inbound       vless 0.0.0.0:443 tcp current\n"), "{table}");
        assert!(table.contains("inbound       入站  [::]:8443 ws    stale: an old one\n"), "{table}");
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
        assert_eq!(wrapped("中文字符 gh", 4), ["中文", "字符", "gh"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
