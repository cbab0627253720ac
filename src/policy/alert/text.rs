//! What people read: the same lines in every language, with the words of that language's file.

use std::fmt::Write as _;
use std::time::Duration;

use time::{OffsetDateTime, UtcOffset};

use super::reply::Said;
use super::{Edge, Kind, Notice, Severity, en, zh_cn};
use crate::config::Language;
use crate::policy::failure::Class;
use crate::policy::finding::{About, Level};
use crate::policy::lifecycle::Word;

/// What is sent later than this after it became so says how late it is.
const LATE: Duration = Duration::from_secs(5 * 60);

/// The machine that the texts are about; one administrator may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its host name.
    pub host: String,
    /// The addresses of the certificate; none where none is kept.
    pub addresses: Vec<String>,
    /// Whether a leaf of the local CA stands in for an expired certificate.
    pub stands_in: bool,
}

/// The words of one language. A file with one of these has all that an alert says, but for the reason and the detail:
/// those are [`Sentence`](crate::policy::sentence::Sentence)s, written where they arise.
pub(super) struct Words {
    /// What happened, as a headline.
    pub(super) title: fn(Kind) -> &'static str,
    /// Added to the headline of a reminder.
    pub(super) reminder: &'static str,
    /// Before the host's name, emoji included.
    pub(super) host: &'static str,
    /// Before the addresses.
    pub(super) addresses: &'static str,
    /// How long the certificate still lasts.
    pub(super) lasts: fn(Lasts) -> String,
    /// A span, in its two largest units.
    pub(super) span: fn(Span) -> String,
    /// Why, by where the failure comes from.
    pub(super) reason: fn(Class, &str) -> String,
    /// What it is about in particular.
    pub(super) detail: fn(&str) -> String,
    /// What doorman is doing about it.
    pub(super) doing: fn(Doing<'_>) -> String,
    /// What the person should do.
    pub(super) remedy: fn(Kind, Option<Class>) -> String,
    /// Where to read on: the section of `docs/runbook.md`.
    pub(super) more: fn(Kind) -> String,
    /// It is not sent in time: how late, and from when it is.
    pub(super) late: fn(&str, &str) -> String,
    /// So many older ones were dropped.
    pub(super) dropped: fn(u32) -> String,
    /// The state, for `/status`.
    pub(super) state: fn(Word) -> &'static str,
    /// When the next try is.
    pub(super) next: fn(&str) -> String,
    /// So many have yet to be delivered.
    pub(super) pending: fn(usize) -> String,
    /// What came of `/renew`.
    pub(super) renewal: fn(Said<'_>) -> String,
    /// What the doctor makes of it all.
    pub(super) verdict: fn(Level) -> &'static str,
    /// What a finding is about, before [`Self::colon`].
    pub(super) about: fn(About) -> &'static str,
    pub(super) colon: &'static str,
    /// These are as they should be.
    pub(super) fine: fn(&[&str]) -> String,
    /// Of `doorman alert test`: the headline, and a sentence.
    pub(super) test: (&'static str, &'static str),
}

/// How long the certificate still lasts, in the language's own span and in UTC.
#[derive(Clone, Copy)]
pub(super) enum Lasts<'a> {
    /// There is none.
    Missing,
    /// So long, until then.
    Left { span: &'a str, until: &'a str },
    /// It has been over for so long, since then.
    Over { span: &'a str, since: &'a str },
}

/// What there is to say about what doorman does.
#[derive(Clone, Copy)]
pub(super) struct Doing<'a> {
    pub(super) kind: Kind,
    pub(super) failures: u32,
    /// The next try, in UTC.
    pub(super) next_try: Option<&'a str>,
    pub(super) stands_in: bool,
}

/// A span in whole units; the language chooses which to say.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) days: u64,
    pub(super) hours: u64,
    pub(super) minutes: u64,
}

/// A text in the making: a headline, and lines that each begin with an emoji.
pub(super) struct Text {
    pub(super) headline: String,
    pub(super) lines: Vec<String>,
}

impl Notice {
    /// For Telegram, in its HTML.
    #[must_use]
    pub fn html(&self, place: &Place, language: Language, now: OffsetDateTime, dropped: u32) -> String {
        self.text(place, (language, words(language)), now, dropped).html()
    }

    /// Without any markup.
    #[must_use]
    pub fn plain(&self, place: &Place, language: Language, now: OffsetDateTime, dropped: u32) -> String {
        self.text(place, (language, words(language)), now, dropped).plain()
    }

    fn text(
        &self,
        place: &Place,
        (language, words): (Language, &Words),
        now: OffsetDateTime,
        dropped: u32,
    ) -> Text {
        let kind = self.alert.kind;
        let reminder = if self.alert.edge == Edge::Reminder { words.reminder } else { "" };
        let mut lines = place_lines(place, words);
        if !place.addresses.is_empty() {
            lines.push(format!("⏳ {}", lasts(self.not_after, now, words)));
        }
        if let Some((class, error)) = self.class.zip(self.error.as_ref()) {
            lines.push(format!("❗ {}", (words.reason)(class, error.in_language(language))));
        }
        let detail = self.detail.as_ref().map(|detail| detail.in_language(language));
        lines.extend(detail.map(|detail| format!("🔎 {}", (words.detail)(detail))));
        let next_try = self.next_try.filter(|next| *next > now).map(moment);
        let doing = Doing {
            kind,
            failures: self.failures,
            next_try: next_try.as_deref(),
            stands_in: place.stands_in,
        };
        lines.push(format!("🔧 {}", (words.doing)(doing)));
        lines.push(format!("👉 {}", (words.remedy)(kind, self.class)));
        lines.push(format!("📖 {}", (words.more)(kind)));
        let age = Duration::try_from(now - self.at).unwrap_or_default();
        if age > LATE {
            let (age, at) = ((words.span)(Span::of(age)), moment(self.at));
            lines.push(format!("🕰 {}", (words.late)(&age, &at)));
        }
        if dropped > 0 {
            lines.push(format!("🗑 {}", (words.dropped)(dropped)));
        }
        Text { headline: format!("{} {}{reminder}", emoji(kind), (words.title)(kind)), lines }
    }
}

impl Kind {
    /// What happened, as a headline.
    #[must_use]
    pub fn title(self, language: Language) -> &'static str {
        (words(language).title)(self)
    }
}

impl About {
    /// Before what was found about it.
    #[must_use]
    pub fn title(self, language: Language) -> &'static str {
        (words(language).about)(self)
    }
}

/// What the doctor makes of it all, in a sentence without its end.
#[must_use]
pub fn verdict(level: Level, language: Language) -> &'static str {
    (words(language).verdict)(level)
}

/// The message of `doorman alert test`, for Telegram.
#[must_use]
pub fn test_html(place: &Place, language: Language) -> String {
    test(place, words(language)).html()
}

/// The message of `doorman alert test`, without markup.
#[must_use]
pub fn test_plain(place: &Place, language: Language) -> String {
    test(place, words(language)).plain()
}

/// As Telegram's HTML wants it.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// How long a certificate still lasts, in words.
#[must_use]
pub fn how_long(not_after: Option<OffsetDateTime>, language: Language, now: OffsetDateTime) -> String {
    lasts(not_after, now, words(language))
}

pub(super) fn words(language: Language) -> &'static Words {
    match language {
        Language::Chinese => &zh_cn::WORDS,
        Language::English => &en::WORDS,
    }
}

fn test(place: &Place, words: &Words) -> Text {
    let (headline, sentence) = words.test;
    let mut lines = place_lines(place, words);
    lines.push(format!("👉 {sentence}"));
    Text { headline: format!("🔔 {headline}"), lines }
}

pub(super) fn place_lines(place: &Place, words: &Words) -> Vec<String> {
    let mut lines = vec![format!("{}{}", words.host, place.host)];
    if !place.addresses.is_empty() {
        lines.push(format!("{}{}", words.addresses, place.addresses.join(", ")));
    }
    lines
}

fn lasts(not_after: Option<OffsetDateTime>, now: OffsetDateTime, words: &Words) -> String {
    let Some(end) = not_after else {
        return (words.lasts)(Lasts::Missing);
    };
    let span = (words.span)(Span::of((end - now).unsigned_abs()));
    let end_in_utc = moment(end);
    (words.lasts)(if end > now {
        Lasts::Left { span: &span, until: &end_in_utc }
    } else {
        Lasts::Over { span: &span, since: &end_in_utc }
    })
}

/// Minutes are enough for people, and UTC is what the log says.
pub(super) fn moment(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

fn emoji(kind: Kind) -> &'static str {
    match kind.severity() {
        Severity::Critical => "🔴",
        Severity::Error => "🟠",
        Severity::Warning => "🟡",
        Severity::Info => "✅",
    }
}

impl Span {
    fn of(span: Duration) -> Self {
        let minutes = span.as_secs() / 60;
        Self { days: minutes / 1440, hours: minutes / 60 % 24, minutes: minutes % 60 }
    }
}

impl Text {
    pub(super) fn html(&self) -> String {
        self.written(|headline| format!("<b>{}</b>", escaped(headline)), escaped)
    }

    fn plain(&self) -> String {
        self.written(str::to_owned, str::to_owned)
    }

    fn written(&self, headline: impl Fn(&str) -> String, line: impl Fn(&str) -> String) -> String {
        let mut text = headline(&self.headline);
        for one in &self.lines {
            write!(text, "\n{}", line(one)).expect("a String takes everything");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::policy::alert::Alert;
    use crate::policy::sentence::Sentence;

    const NOW: OffsetDateTime = datetime!(2026-01-05 08:00 UTC);
    const LANGUAGES: [Language; 2] = [Language::Chinese, Language::English];

    fn place() -> Place {
        Place {
            host: "srv<1>".to_owned(),
            addresses: vec!["203.0.113.7".to_owned(), "2001:db8::7".to_owned()],
            stands_in: true,
        }
    }

    fn notice(kind: Kind) -> Notice {
        Notice {
            not_after: Some(NOW + Duration::from_secs(50 * 3600)),
            failures: 7,
            error: Some(Sentence::quoted("a <b> & that")),
            class: Some(Class::Network),
            next_try: Some(NOW + Duration::from_secs(3600)),
            detail: Some(Sentence::quoted("nginx, pid 42")),
            ..Notice::bare(Alert { kind, edge: Edge::News }, NOW)
        }
    }

    #[test]
    fn every_alert_says_what_happened_how_long_it_lasts_what_is_done_and_what_to_do_in_every_language() {
        for language in LANGUAGES {
            let mut titles = Vec::new();
            for kind in Kind::ALL {
                let text = notice(kind).plain(&place(), language, NOW, 0);
                for emoji in ["\n💻 ", "\n🌐 ", "\n⏳ ", "\n❗ ", "\n🔎 ", "\n🔧 ", "\n👉 ", "\n📖 "]
                {
                    let line = text.split(emoji).nth(1).unwrap_or_else(|| panic!("no {emoji:?} in {text}"));
                    assert!(
                        line.lines().next().unwrap().chars().count() > 5,
                        "{emoji:?} says nothing: {text}"
                    );
                }
                assert!(text.contains("srv<1>") && text.contains("203.0.113.7, 2001:db8::7"), "{text}");
                assert!(text.contains("2026-01-07 10:00 UTC") && text.contains(kind.as_str()), "{text}");
                titles.push(text.lines().next().unwrap().to_owned());
            }
            titles.sort();
            titles.dedup();
            assert_eq!(titles.len(), Kind::ALL.len(), "each has a headline of its own");
        }
    }

    /// What a text has that is not of the language's own file is a name, a time, the reason or the detail.
    #[test]
    fn the_words_of_a_text_are_those_of_one_file() {
        let other = Words {
            title: |_| "†",
            reminder: "†",
            host: "💻 †",
            addresses: "🌐 †",
            lasts: |_| "†".to_owned(),
            span: |_| "†".to_owned(),
            reason: |_, error| format!("†{error}"),
            detail: |detail| format!("†{detail}"),
            doing: |_| "†".to_owned(),
            remedy: |_, _| "†".to_owned(),
            more: |_| "†".to_owned(),
            late: |_, _| "†".to_owned(),
            dropped: |_| "†".to_owned(),
            ..zh_cn::WORDS
        };
        let later = NOW + Duration::from_secs(3600);
        for kind in Kind::ALL {
            let reminder = Notice { alert: Alert { kind, edge: Edge::Reminder }, ..notice(kind) };
            let text = reminder.text(&place(), (Language::English, &other), later, 2).plain();
            let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
            let expected = [
                "††",
                "†srv<1>",
                "†203.0.113.7, 2001:db8::7",
                "†",
                "†a <b> & that",
                "†nginx, pid 42",
                "†",
                "†",
                "†",
                "†",
                "†",
            ];
            assert_eq!(lines, expected, "{text}");
        }
    }

    #[test]
    fn the_host_line_is_as_panels_write_it() {
        let in_language = |language| notice(Kind::Critical).plain(&place(), language, NOW, 0);
        assert!(in_language(Language::Chinese).contains("\n💻 主机名：srv<1>\n"));
        assert!(in_language(Language::English).contains("\n💻 Host: srv<1>\n"));
    }

    #[test]
    fn what_could_be_markup_is_escaped() {
        for language in LANGUAGES {
            let html = notice(Kind::Critical).html(&place(), language, NOW, 0);
            assert!(html.contains("a &lt;b&gt; &amp; that") && html.contains("srv&lt;1&gt;"), "{html}");
            assert_eq!(html.matches('<').count(), 2, "only the headline is marked up: {html}");
        }
    }

    #[test]
    fn each_class_of_failure_has_a_remedy_of_its_own() {
        let classes = [
            Class::Network,
            Class::Ca,
            Class::RateLimit,
            Class::Validation,
            Class::Configuration,
            Class::Clock,
            Class::Store,
            Class::Installation,
            Class::Fault,
        ];
        for language in LANGUAGES {
            let mut remedies: Vec<_> = classes
                .iter()
                .map(|class| (words(language).remedy)(Kind::RenewalFailing, Some(*class)))
                .collect();
            remedies.sort();
            remedies.dedup();
            assert_eq!(remedies.len(), classes.len());
        }
    }

    #[test]
    fn a_span_is_told_in_words() {
        let told = |language, seconds| how_long(Some(NOW + Duration::from_secs(seconds)), language, NOW);
        assert!(told(Language::English, 160 * 3600).contains("6 days 16 hours"));
        assert!(told(Language::English, 25 * 3600).contains("1 day 1 hour"));
        assert!(told(Language::English, 3660).contains("1 hour 1 minute"));
        assert!(told(Language::English, 59).contains("less than a minute"));
        assert!(told(Language::Chinese, 160 * 3600).contains("6 天 16 小时"));
        assert!(told(Language::Chinese, 59).contains("不到 1 分钟"));
        let over = how_long(Some(NOW - Duration::from_secs(7200)), Language::English, NOW);
        assert!(over.contains("expired 2 hours ago"), "{over}");
        assert!(how_long(None, Language::English, NOW).contains("no certificate"));
    }

    #[test]
    fn what_comes_late_or_instead_of_others_says_so() {
        let late = NOW + Duration::from_secs(3 * 3600);
        let text = notice(Kind::Critical).plain(&place(), Language::English, late, 3);
        assert!(text.contains("3 hours late") && text.contains("2026-01-05 08:00 UTC"), "{text}");
        assert!(text.contains("3 older alerts"), "{text}");
        assert!(!text.contains("next try"), "that was before this text: {text}");
        let in_time = notice(Kind::Critical).plain(&place(), Language::English, NOW, 0);
        assert!(!in_time.contains("late") && !in_time.contains("older"), "{in_time}");
    }
}
