//! `doorman status`: what the running daemon says.

use std::io::Write;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::daemon::Daemon;
use super::words::{self, Words};
use super::{Failure, cannot_print, colours};
use crate::config::{Admin, Language};
use crate::policy::alert::Kind;
use crate::policy::sentence::{Sentence, roughly};
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
    let look = Look::new(words::language(), Paint(colours(&std::io::stdout())));
    let text = if json { text } else { table(&status, clock::now(), look) };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| cannot_print(&error))
}

/// How it is shown.
#[derive(Clone, Copy)]
struct Look {
    words: &'static Words,
    language: Language,
    paint: Paint,
}

/// Whether there are colours.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    /// `shown`, which stands for this state.
    fn state(self, state: &str, shown: &str) -> String {
        let code = match state {
            "valid" | "current" => "32",
            "renewing" => "34",
            "failed" | "waiting" | "unknown" => "33",
            "critical" | "expired" | "stale" => "31",
            _ => return shown.to_owned(),
        };
        self.with(code, shown)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[1;{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Look {
    fn new(language: Language, paint: Paint) -> Self {
        Self { words: Words::of(language), language, paint }
    }

    fn state(self, state: &str) -> String {
        self.paint.state(state, &plain(&self.words.state_in_words(state)))
    }

    /// Its name, which the runbook has too; what it means beside it, where the name is foreign.
    fn alert(self, alert: &Value) -> String {
        let code = if alert["severity"] == "critical" { "31" } else { "33" };
        let name = self.paint.with(code, &plain(text(&alert["alert"])));
        let kind = serde_json::from_value::<Kind>(alert["alert"].clone()).ok();
        match kind.filter(|_| self.language != Language::English) {
            Some(kind) => format!("{}{}{name}", kind.title(self.language), self.words.colon),
            None => name,
        }
    }

    /// What is said there, in this language if it is.
    fn said(self, value: &Value, key: &str) -> Option<String> {
        let each: Option<Sentence> = serde_json::from_value(value[format!("{key}_words")].clone()).ok();
        let each = each.map(|each| each.in_language(self.language).to_owned());
        each.or_else(|| value[key].as_str().map(ToOwned::to_owned)).filter(|said| !said.is_empty())
    }
}

fn table(status: &Value, now: OffsetDateTime, look: Look) -> String {
    let words = look.words;
    let mut table = String::new();
    row(&mut table, words.state, &look.state(text(&status["state"])));
    certificate(&mut table, &status["certificate"], now, look);
    let next = moment(&status["next_renewal_at"], now, look.language).unwrap_or_else(|| "-".to_owned());
    row(&mut table, words.next_renewal, &next);
    if let Some(failures) = status["failures"].as_u64().filter(|failures| *failures > 0) {
        row(&mut table, words.failures, &(words.in_a_row)(failures));
    }
    last_error(&mut table, status, look);
    for trouble in
        list(&status["troubles"]).iter().filter(|trouble| trouble["detail"] != status["last_error"])
    {
        optional(&mut table, words.also_wrong, look.said(trouble, "detail").as_deref());
    }
    for alert in list(&status["open_alerts"]) {
        let since = moment(&alert["told_at"], now, look.language).unwrap_or_default();
        row(&mut table, words.alert, &(words.told)(&look.alert(alert), &since));
    }
    let listeners = list(&status["listeners"]).iter().map(|it| listener(it, look));
    columns(&mut table, words.listener, &listeners.collect::<Vec<_>>(), look);
    let inbounds = list(&status["xray"]).iter().map(|it| inbound(it, look));
    columns(&mut table, words.inbound, &inbounds.collect::<Vec<_>>(), look);
    optional(&mut table, "Xray", look.said(status, "xray_note").as_deref());
    for channel in list(&status["alerts"]["channels"]) {
        if let Some(error) = channel["last_error"].as_str() {
            let pending = channel["pending"].as_u64().unwrap_or(0);
            row(&mut table, words.alerts, &(words.waiting_for)(pending, text(&channel["channel"]), error));
        }
    }
    optional(&mut table, words.local_ca, status["local_ca_sha256"].as_str());
    let since = moment(&status["started_at"], now, look.language).unwrap_or_default();
    let pid = status["pid"].as_u64().unwrap_or(0);
    row(&mut table, "doorman", &(words.since)(text(&status["version"]), pid, &since));
    table
}

fn certificate(table: &mut String, certificate: &Value, now: OffsetDateTime, look: Look) {
    let words = look.words;
    if certificate.is_null() {
        row(table, words.certificate, words.none_yet);
        return;
    }
    let identifiers: Vec<_> = list(&certificate["identifiers"]).iter().map(text).collect();
    row(table, words.certificate, &identifiers.join(", "));
    optional(table, words.issuer, certificate["issuer"].as_str());
    let until = moment(&certificate["not_after"], now, look.language).unwrap_or_default();
    row(table, words.good_until, &until);
    optional(table, "SHA-256", certificate["fingerprint_sha256"].as_str());
}

/// Where to look comes first: the runbook is sorted by it.
fn last_error(table: &mut String, status: &Value, look: Look) {
    let said = look.said(status, "last_error").map(|said| match status["last_error_class"].as_str() {
        Some(class) => format!("{class}{}{said}", look.words.colon),
        None => said,
    });
    optional(table, look.words.last_error, said.as_deref());
}

fn listener(listener: &Value, look: Look) -> Row {
    let mut rest = holder(look.words.held_by, &listener["holder"], look.words);
    rest.push_str(&holder(look.words.joined_by, &listener["joined"], look.words));
    if let Some(detail) = look.said(listener, "detail").filter(|_| listener["holder"].is_null()) {
        rest.push_str(&format!("{}{detail}", look.words.colon));
    }
    if let Some(remedy) = look.said(listener, "remedy") {
        rest.push_str(&format!("{}{remedy}", look.words.colon));
    }
    let place = [text(&listener["address"]).to_owned(), text(&listener["kind"]).to_owned()];
    Row { place, state: text(&listener["state"]).to_owned(), rest }
}

fn inbound(inbound: &Value, look: Look) -> Row {
    let rest = look.said(inbound, "detail").map(|detail| format!("{}{detail}", look.words.colon));
    let place = format!("{} {}", text(&inbound["address"]), text(&inbound["transport"]));
    Row {
        place: [text(&inbound["tag"]).to_owned(), place],
        state: text(&inbound["serves"]).to_owned(),
        rest: rest.unwrap_or_default(),
    }
}

/// Who has the port instead of us, or beside us.
fn holder(how: &str, holder: &Value, words: &Words) -> String {
    if holder.is_null() {
        return String::new();
    }
    let known: Vec<String> = [
        Some(holder["program"].as_str().unwrap_or(words.a_program).to_owned()),
        holder["pid"].as_i64().map(|pid| format!("pid {pid}")),
        holder["unit"].as_str().map(ToOwned::to_owned),
        holder["user"].as_str().map(|user| format!("{}{user}", words.user)),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("{}{how}{}", words.comma, known.join(words.comma))
}

fn optional(table: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        row(table, name, &plain(value));
    }
}

/// One thing that is in a state: what and where, the state's name in the JSON, and what else there is to say.
struct Row {
    place: [String; 2],
    state: String,
    rest: String,
}

/// Rows of three cells that stand below each other, as far as there is room.
fn columns(table: &mut String, name: &str, rows: &[Row], look: Look) {
    let cells: Vec<_> = rows.iter().map(|row| row.place.each_ref().map(|cell| plain(cell))).collect();
    let widest = |cell: usize| cells.iter().map(|row| row[cell].width()).max().unwrap_or(0);
    let (first, second) = (widest(0), widest(1));
    let aligned = first + second + 2 + LEAST_LAST_COLUMN <= WIDTH - NAMES;
    for (Row { state, rest, .. }, [one, two]) in rows.iter().zip(&cells) {
        let pad = |cell: &str, width: usize| " ".repeat(if aligned { width - cell.width() } else { 0 });
        let gap = [pad(one, first), pad(two, second)];
        let head = format!("{one}{} {two}{} ", gap[0], gap[1]);
        let last = format!("{}{}", look.state(state), plain(rest));
        if aligned {
            let indent = first + second + 2;
            let lines = wrapped(&last, WIDTH - NAMES - indent);
            for (number, line) in lines.iter().enumerate() {
                let before = if number == 0 { head.clone() } else { " ".repeat(indent) };
                let name = if number == 0 { name } else { "" };
                table.push_str(&format!("{name}{}{before}{line}\n", behind(name)));
            }
        } else {
            row(table, name, &format!("{head}{last}"));
        }
    }
}

/// What fills the column of the names.
fn behind(name: &str) -> String {
    " ".repeat(NAMES.saturating_sub(name.width()))
}

/// One row; what is too long goes on below its beginning.
fn row(table: &mut String, name: &str, value: &str) {
    let mut name = name;
    for line in wrapped(value, WIDTH - NAMES) {
        table.push_str(&format!("{name}{}{line}\n", behind(name)));
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
pub(super) fn moment(value: &Value, now: OffsetDateTime, language: Language) -> Option<String> {
    let words = Words::of(language);
    let at = OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?;
    let span = at - now;
    let far = roughly(span.unsigned_abs());
    let far = far.in_language(language);
    let far = if span.is_negative() { (words.ago)(far) } else { (words.ahead)(far) };
    let (hour, minute, second) = at.time().as_hms();
    Some(format!("{} {hour:02}:{minute:02}:{second:02} UTC{}{far}", at.date(), words.comma))
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

    fn english(colours: bool) -> Look {
        Look::new(Language::English, Paint(colours))
    }

    fn chinese() -> Look {
        Look::new(Language::Chinese, Paint(false))
    }

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
                "remedy": "move it", "remedy_words": {"en": "move it", "zh-CN": "请移走"},
            }],
            "xray": [], "troubles": [], "local_ca_sha256": null,
        })
    }

    #[test]
    fn the_table_fits_eighty_columns_and_says_what_matters() {
        let now = datetime!(2026-01-01 01:00 UTC);
        let table = table(&status(), now, english(false));
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
        for part in [
            "state         failed\n",
            "next renewal  2026-01-01 04:00:00 UTC, in 3 h\n",
            "failures      3 in a row\n",
            "last error    validation: the CA could not validate 203.0.113.7:",
            "listener      0.0.0.0:80 http waiting, held by nginx, pid 42, nginx.service:\n",
            " move it\n",
            "since 2026-01-01 00:00:00 UTC, 1 h ago\n",
        ] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        assert!(!table.contains('\x1b'));
    }

    #[test]
    fn in_chinese_it_says_the_same_and_fits_as_well() {
        let mut status = status();
        status["last_error_words"] = json!({"en": "no", "zh-CN": "CA 未能验证 203.0.113.7：“connection refused”；80 端口是否已在服务商的防火墙中放行，并且通向本机？"});
        status["open_alerts"] =
            json!([{"alert": "port_taken", "severity": "warning", "told_at": "2026-01-01T00:00:00Z"}]);
        let table = table(&status, datetime!(2026-01-01 01:00 UTC), chinese());
        for part in [
            "状态          续期失败\n",
            "下次续期      2026-01-01 04:00:00 UTC，3 小时后\n",
            "失败          连续 3 次\n",
            "最近的错误    validation：CA 未能验证 203.0.113.7：“connection refused”；80\n",
            "监听          0.0.0.0:80 http 等待中，占用者：nginx，pid\n",
            " 42，nginx.service：请移走\n",
            "告警          80 端口被其他程序占用，证书无法续期：port_taken，告知于 2026-01-01\n",
            "启动于 2026-01-01 00:00:00 UTC，1 小时前\n",
        ] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        assert!(table.lines().all(|line| visible(line) <= WIDTH), "{table}");
        for english in ["in a row", "held by", "waiting", "since", "none yet", "good until"] {
            assert!(!table.contains(english), "{english} is in\n{table}");
        }
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
        for look in [english(false), english(true), chinese()] {
            let table = table(&status, datetime!(2026-01-01 01:00 UTC), look);
            for line in table.lines() {
                assert!(visible(line) <= WIDTH, "{} columns: {line}", visible(line));
            }
            let own = table.replace("\x1b[1;31m", "").replace("\x1b[1;33m", "").replace("\x1b[1;32m", "");
            let own = own.replace("\x1b[0m", "");
            assert!(!own.contains(['\x1b', '\x07']), "{own:?}");
            assert!(!table.lines().any(|line| line == "state         valid"), "{table}");
            assert_eq!(table.contains("\x1b["), look.paint.0);
        }
    }

    #[test]
    fn columns_stand_below_each_other_while_there_is_room() {
        let mut status = status();
        status["xray"] = json!([
            {"tag": "vless", "address": "0.0.0.0:443", "transport": "tcp", "serves": "current", "detail": ""},
            {"tag": "入站", "address": "[::]:8443", "transport": "ws", "serves": "stale", "detail": "an old one"},
        ]);
        let table = table(&status, datetime!(2026-01-01 01:00 UTC), english(false));
        assert!(table.contains("inbound       vless 0.0.0.0:443 tcp current\n"), "{table}");
        assert!(table.contains("inbound       入站  [::]:8443 ws    stale: an old one\n"), "{table}");
    }

    #[test]
    fn colours_take_no_columns() {
        let painted = Paint(true).state("valid", "valid");
        assert_eq!(visible(&painted), 5);
        assert_eq!(Paint(false).state("valid", "valid"), "valid");
    }

    #[test]
    fn a_word_that_is_too_long_is_cut() {
        assert_eq!(wrapped("abcdef gh", 4), ["abcd", "ef", "gh"]);
        assert_eq!(wrapped("中文字符 gh", 4), ["中文", "字符", "gh"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
