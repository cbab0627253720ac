//! What a bot of doorman's own answers to commands.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::text::{Place, Text, how_long, moment, place_lines, words};
use crate::config::Language;
use crate::policy::failure::Class;
use crate::policy::finding::{Finding, Level, verdict};
use crate::policy::lifecycle::{Accepted, Refusal, Word};
use crate::policy::sentence::Sentence;

/// What `/status` tells.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The state in one word.
    pub word: Word,
    /// The end of the certificate, if there is one.
    pub not_after: Option<OffsetDateTime>,
    /// The moment of the next try, where one is known.
    pub next_try: Option<OffsetDateTime>,
    /// What went wrong last, and where to look for it.
    pub error: Option<(Class, Sentence)>,
    /// Alerts that have yet to be delivered.
    pub pending: usize,
}

/// What came of `/renew`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// An order is in flight.
    Accepted(Accepted),
    /// No.
    Refused(Refusal),
    /// There is nothing to renew.
    Disabled,
    /// Nobody answered in time.
    Busy,
}

/// The same with its moment in UTC, for the languages.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    Began,
    Joined,
    BackOff(&'a str),
    Budget(&'a str),
    Governor(&'a str),
    Refused(&'a str),
    Port,
    Disabled,
    Busy,
}

/// The answer to `/status`, in Telegram's HTML.
#[must_use]
pub fn status(standing: &Standing, place: &Place, language: Language, now: OffsetDateTime) -> String {
    let words = words(language);
    let mut lines = place_lines(place, words);
    lines.push(format!("⏳ {}", how_long(standing.not_after, language, now)));
    if let Some(next) = standing.next_try.filter(|next| *next > now) {
        lines.push(format!("🔁 {}", (words.next)(&moment(next))));
    }
    if let Some((class, error)) = &standing.error {
        lines.push(format!("❗ {}", (words.reason)(*class, error.in_language(language))));
    }
    if standing.pending > 0 {
        lines.push(format!("📨 {}", (words.pending)(standing.pending)));
    }
    Text { headline: format!("📊 {}", (words.state)(standing.word)), lines }.html()
}

/// The answer to `/renew`, in Telegram's HTML.
#[must_use]
pub fn renewal(renewal: Renewal, place: &Place, language: Language) -> String {
    let words = words(language);
    let until = match renewal {
        Renewal::Refused(
            Refusal::BackOff(at) | Refusal::Budget(at) | Refusal::Governor(at) | Refusal::Refused(at),
        ) => moment(at),
        Renewal::Refused(Refusal::Port) | Renewal::Accepted(_) | Renewal::Disabled | Renewal::Busy => {
            String::new()
        }
    };
    let said = match renewal {
        Renewal::Accepted(Accepted::Began) => Said::Began,
        Renewal::Accepted(Accepted::Joined) => Said::Joined,
        Renewal::Refused(Refusal::BackOff(_)) => Said::BackOff(&until),
        Renewal::Refused(Refusal::Budget(_)) => Said::Budget(&until),
        Renewal::Refused(Refusal::Governor(_)) => Said::Governor(&until),
        Renewal::Refused(Refusal::Refused(_)) => Said::Refused(&until),
        Renewal::Refused(Refusal::Port) => Said::Port,
        Renewal::Disabled => Said::Disabled,
        Renewal::Busy => Said::Busy,
    };
    Text { headline: format!("🔁 {}", (words.renewal)(said)), lines: place_lines(place, words) }.html()
}

/// The answer to `/doctor`, in Telegram's HTML: what is not as it should be, the worst first, each with its remedy, and
/// in a line what is.
#[must_use]
pub fn doctor(findings: &[Finding], place: &Place, language: Language) -> String {
    let words = words(language);
    let mut lines = place_lines(place, words);
    for (level, emoji) in [(Level::Broken, "🔴"), (Level::Warning, "🟡")] {
        for finding in findings.iter().filter(|finding| finding.level == level) {
            let said = finding.finding.in_language(language);
            lines.push(format!("{emoji} {}{}{said}", (words.about)(finding.about), words.colon));
            let remedy = finding.remedy.as_ref();
            lines.extend(remedy.map(|remedy| format!("👉 {}", remedy.in_language(language))));
        }
    }
    let wrong: BTreeSet<_> = findings.iter().filter(|it| it.level > Level::Fine).map(|it| it.about).collect();
    let fine: BTreeSet<_> =
        findings.iter().map(|it| it.about).filter(|about| !wrong.contains(about)).collect();
    if !fine.is_empty() {
        let fine: Vec<_> = fine.into_iter().map(words.about).collect();
        lines.push(format!("✅ {}", (words.fine)(&fine)));
    }
    Text { headline: format!("🩺 {}", (words.verdict)(verdict(findings))), lines }.html()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::policy::finding::About;

    const NOW: OffsetDateTime = datetime!(2026-01-05 08:00 UTC);

    fn place() -> Place {
        Place { host: "vps".to_owned(), addresses: vec!["203.0.113.7".to_owned()], stands_in: true }
    }

    #[test]
    fn the_status_says_what_somebody_on_the_road_wants_to_know() {
        let standing = Standing {
            word: Word::Critical,
            not_after: Some(datetime!(2026-01-05 20:00 UTC)),
            next_try: Some(datetime!(2026-01-05 08:30 UTC)),
            error: Some((Class::Validation, Sentence::new("<no>", "<否>"))),
            pending: 2,
        };
        for (language, parts) in [
            (Language::English, ["critical", "12 hours", "2026-01-05 08:30 UTC", "&lt;no&gt;", "2 alerts"]),
            (Language::Chinese, ["告急", "12 小时", "2026-01-05 08:30 UTC", "&lt;否&gt;", "2 条"]),
        ] {
            let text = status(&standing, &place(), language, NOW);
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn the_doctor_says_what_is_wrong_the_worst_first_and_names_the_rest() {
        let sentence = |text: &str| Sentence::new(text, format!("汉{text}"));
        let findings = [
            Finding::fine(About::Config, sentence("used")),
            Finding::warning(About::Panel, sentence("slow"), sentence("wait")),
            Finding::broken(About::Port, sentence("held by <nginx>"), sentence("stop it")),
            Finding::fine(About::Port, sentence("the other is free")),
        ];
        let english = doctor(&findings, &place(), Language::English);
        let lines: Vec<_> = english.lines().collect();
        assert_eq!(
            lines,
            [
                "<b>🩺 Something is broken</b>",
                "💻 Host: vps",
                "🌐 IP: 203.0.113.7",
                "🔴 Port: held by &lt;nginx&gt;",
                "👉 stop it",
                "🟡 Panel: slow",
                "👉 wait",
                "✅ Fine: Configuration",
            ]
        );
        let chinese = doctor(&findings, &place(), Language::Chinese);
        assert!(chinese.contains("🔴 端口：汉held by &lt;nginx&gt;\n👉 汉stop it"), "{chinese}");
        assert!(doctor(&findings[..1], &place(), Language::English).starts_with("<b>🩺 All is well</b>"));
    }

    #[test]
    fn every_word_and_every_outcome_has_words_of_its_own() {
        let at = NOW;
        let outcomes = [
            Renewal::Accepted(Accepted::Began),
            Renewal::Accepted(Accepted::Joined),
            Renewal::Refused(Refusal::BackOff(at)),
            Renewal::Refused(Refusal::Budget(at)),
            Renewal::Refused(Refusal::Governor(at)),
            Renewal::Refused(Refusal::Refused(at)),
            Renewal::Refused(Refusal::Port),
            Renewal::Disabled,
            Renewal::Busy,
        ];
        let states =
            [Word::Valid, Word::Renewing, Word::Failed, Word::Critical, Word::Expired, Word::Disabled];
        for language in [Language::English, Language::Chinese] {
            let mut said: Vec<_> =
                outcomes.iter().map(|outcome| renewal(*outcome, &place(), language)).collect();
            said.extend(states.map(|word| (words(language).state)(word).to_owned()));
            let count = said.len();
            said.sort();
            said.dedup();
            assert_eq!(said.len(), count);
        }
    }
}
