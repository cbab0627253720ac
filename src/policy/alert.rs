//! What is worth waking somebody for: each worsening once, in order, and that it is over.
//!
//! `docs/runbook.md` has a section for each [`Kind`], under the name that [`Kind::as_str`] gives it. What people read
//! is made by [`text`], with the words of one file a language. A new kind is a line in each `match` of this file and of
//! the languages' files: the compiler names those that are missing.

mod en;
pub mod outbox;
pub mod reply;
mod situation;
pub mod split;
pub mod text;
mod zh_cn;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use self::situation::{Company, Route, Situation, Trouble, Worth};
use super::failure::Class;
use super::sentence::Sentence;

/// Failures in a row that are nobody's business yet: the sixth comes two hours after the first.
const FAILURES_UNTOLD: u32 = 5;

/// Between two reminders of what is critical.
const REMINDER: Duration = Duration::from_secs(24 * 60 * 60);

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Another program listens on a port of ours, too.
    PortJoined,
    /// Port 80 does not do, and certificates come over :443 instead.
    SecondWay,
    /// Another program has a port that was ours.
    PortLost,
    /// The CA allows the next try only after the certificate has expired.
    RateLimited,
    /// Port 80 is not ours though no other program has it, and little time is left.
    PortMissing,
    /// Another program has port 80, and little time is left.
    PortTaken,
    /// More than five tries in a row have failed.
    RenewalFailing,
    /// Xray presents an old certificate, and nothing gentle is left to do about it.
    XrayStale,
    /// Less than 24 h are left, or 15 % of a shorter life.
    Critical,
    /// The certificate has expired.
    Expired,
    /// All is well again.
    Recovered,
    /// A renewal succeeded, and nothing was wrong before: for those who asked to hear it.
    Renewed,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at in the next days.
    Warning,
    /// To be looked at today.
    Error,
    /// To be looked at now.
    Critical,
}

/// Whether it is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// It has just become so.
    News,
    /// It is still so, a day later.
    Reminder,
}

/// Something to tell the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What.
    pub kind: Kind,
    /// Whether it is news.
    pub edge: Edge,
}

/// An alert with how things were when it was raised: enough for a text in any language, however late it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What is told.
    #[serde(flatten)]
    pub alert: Alert,
    /// When it became so.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The end of the certificate, if there is one.
    #[serde(with = "time::serde::rfc3339::option")]
    pub not_after: Option<OffsetDateTime>,
    /// Failures in a row.
    pub failures: u32,
    /// What went wrong last, in a sentence.
    pub error: Option<Sentence>,
    /// Where to look for that.
    pub class: Option<Class>,
    /// The moment of the next try, where one is known.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_try: Option<OffsetDateTime>,
    /// What it is about in particular: who has the port, for instance.
    pub detail: Option<Sentence>,
}

impl Notice {
    /// An alert about which nothing more is known.
    #[must_use]
    pub fn bare(alert: Alert, at: OffsetDateTime) -> Self {
        Self {
            alert,
            at,
            not_after: None,
            failures: 0,
            error: None,
            class: None,
            next_try: None,
            detail: None,
        }
    }
}

/// Which alerts were told since all was well; kept on disk, so that a restart repeats none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Open {
    told: Vec<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    kind: Kind,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl Open {
    /// Compares the situation with what was told, and says what is to be told now, the less severe first.
    pub fn see(&mut self, now: OffsetDateTime, situation: Situation) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for kind in Kind::WORSENINGS.into_iter().filter(|kind| kind.holds(situation)) {
            if let Some(told) = self.told.iter_mut().find(|told| told.kind == kind) {
                let clock_was_ahead = told.at > now;
                let a_day_ago = now >= told.at + REMINDER;
                if kind.severity() == Severity::Critical && (a_day_ago || clock_was_ahead) {
                    told.at = now;
                    alerts.extend(a_day_ago.then_some(Alert { kind, edge: Edge::Reminder }));
                }
            } else if self.worst().is_none_or(|worst| kind.severity() >= worst.severity()) {
                self.told.push(Told { kind, at: now });
                alerts.push(Alert { kind, edge: Edge::News });
            }
        }
        if situation == Situation::WELL && !self.told.is_empty() {
            self.told.clear();
            alerts.push(Alert { kind: Kind::Recovered, edge: Edge::News });
        }
        alerts
    }

    /// Of what was told, that which is about our ports alone.
    #[must_use]
    pub fn about_company(mut self) -> Self {
        self.told.retain(|told| matches!(told.kind, Kind::PortJoined | Kind::PortLost));
        self
    }

    /// The worst that was told since all was well.
    #[must_use]
    pub fn worst(&self) -> Option<Kind> {
        self.told.iter().map(|told| told.kind).max()
    }

    /// What was told since all was well, and when it was told last.
    pub fn told(&self) -> impl Iterator<Item = (Kind, OffsetDateTime)> + '_ {
        self.told.iter().map(|told| (told.kind, told.at))
    }

    /// Whether all was well, as far as anybody was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// When the next reminder is due, if nothing else happens.
    #[must_use]
    pub fn next_reminder(&self) -> Option<OffsetDateTime> {
        let critical = self.told.iter().filter(|told| told.kind.severity() == Severity::Critical);
        critical.max_by_key(|told| told.kind).map(|told| told.at + REMINDER)
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::PortJoined,
        Self::SecondWay,
        Self::PortLost,
        Self::RateLimited,
        Self::PortMissing,
        Self::PortTaken,
        Self::RenewalFailing,
        Self::XrayStale,
        Self::Critical,
        Self::Expired,
        Self::Recovered,
        Self::Renewed,
    ];

    /// Those that are told because something got worse, the worst last.
    pub const WORSENINGS: [Self; 9] = [
        Self::PortJoined,
        Self::SecondWay,
        Self::PortLost,
        Self::RateLimited,
        Self::PortMissing,
        Self::PortTaken,
        Self::RenewalFailing,
        Self::Critical,
        Self::Expired,
    ];

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::Recovered | Self::Renewed => Severity::Info,
            Self::PortJoined
            | Self::SecondWay
            | Self::PortLost
            | Self::RateLimited
            | Self::PortMissing
            | Self::PortTaken
            | Self::RenewalFailing => Severity::Warning,
            Self::XrayStale => Severity::Error,
            Self::Critical | Self::Expired => Severity::Critical,
        }
    }

    /// Its name, as the log and the runbook spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PortJoined => "port_joined",
            Self::SecondWay => "second_way",
            Self::PortLost => "port_lost",
            Self::RateLimited => "rate_limited",
            Self::PortMissing => "port_missing",
            Self::PortTaken => "port_taken",
            Self::RenewalFailing => "renewal_failing",
            Self::XrayStale => "xray_stale",
            Self::Critical => "critical",
            Self::Expired => "expired",
            Self::Recovered => "recovered",
            Self::Renewed => "renewed",
        }
    }

    /// One sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::PortJoined => "another program listens on a port of doorman, too",
            Self::SecondWay => "port 80 does not do, so the certificate is validated over port 443 instead",
            Self::PortLost => "another program has a port that was doorman's",
            Self::RateLimited => "the CA allows the next try only after the certificate has expired",
            Self::PortMissing => {
                "port 80 is not doorman's, and without the port the certificate cannot be renewed in time"
            }
            Self::PortTaken => {
                "another program has port 80, and without the port the certificate cannot be renewed in time"
            }
            Self::XrayStale => "Xray still serves an old certificate",
            Self::RenewalFailing => "more than five renewals in a row have failed",
            Self::Critical => "the certificate expires within a day, and could not be renewed",
            Self::Expired => "the certificate has expired",
            Self::Recovered => "all is well again",
            Self::Renewed => "the certificate was renewed",
        }
    }

    fn holds(self, situation: Situation) -> bool {
        match self {
            Self::PortJoined => situation.company == Company::Joined,
            Self::SecondWay => situation.route == Route::Detour,
            Self::PortLost => situation.company == Company::Lost,
            Self::RateLimited => situation.trouble == Trouble::LimitBeyondExpiry,
            Self::PortMissing => situation.trouble == Trouble::PortMissing && situation.worth != Worth::Good,
            Self::PortTaken => situation.trouble == Trouble::PortTaken && situation.worth != Worth::Good,
            Self::RenewalFailing => situation.failures > FAILURES_UNTOLD,
            Self::Critical => situation.worth == Worth::Critical,
            Self::Expired => situation.worth == Worth::Expired,
            Self::XrayStale | Self::Recovered | Self::Renewed => false, // Xray is not part of the situation
        }
    }
}

impl Severity {
    /// As a webhook's JSON spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const T0: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
    const HOUR: Duration = Duration::from_secs(3600);
    const WELL: Situation = Situation::WELL;

    fn failing(failures: u32, worth: Worth) -> Situation {
        Situation { failures, worth, trouble: Trouble::Other, ..WELL }
    }

    fn told(open: &mut Open, at: OffsetDateTime, situation: Situation) -> Vec<(Kind, Edge)> {
        open.see(at, situation).into_iter().map(|alert| (alert.kind, alert.edge)).collect()
    }

    #[test]
    fn each_worsening_is_told_once_and_in_order_and_that_it_is_over() {
        let mut open = Open::default();
        assert_eq!(told(&mut open, T0, failing(5, Worth::Good)), []);
        assert_eq!(told(&mut open, T0, failing(6, Worth::Good)), [(Kind::RenewalFailing, Edge::News)]);
        assert_eq!(told(&mut open, T0, failing(7, Worth::Short)), []);
        assert_eq!(told(&mut open, T0, failing(8, Worth::Critical)), [(Kind::Critical, Edge::News)]);
        assert_eq!(told(&mut open, T0 + HOUR, failing(9, Worth::Expired)), [(Kind::Expired, Edge::News)]);
        assert_eq!(open.worst(), Some(Kind::Expired));
        assert_eq!(told(&mut open, T0 + HOUR * 2, WELL), [(Kind::Recovered, Edge::News)]);
        assert_eq!(told(&mut open, T0 + HOUR * 3, WELL), []);
        assert_eq!(told(&mut open, T0 + HOUR * 4, failing(6, Worth::Good)).len(), 1, "a new incident");
    }

    #[test]
    fn what_is_critical_is_repeated_daily_and_a_warning_never() {
        let mut open = Open::default();
        open.see(T0, failing(6, Worth::Good));
        assert_eq!(told(&mut open, T0 + HOUR * 72, failing(9, Worth::Good)), []);
        open.see(T0, failing(9, Worth::Expired));
        assert_eq!(told(&mut open, T0 + HOUR * 23, failing(9, Worth::Expired)), []);
        assert_eq!(open.next_reminder(), Some(T0 + HOUR * 24));
        let reminded = told(&mut open, T0 + HOUR * 24, failing(9, Worth::Expired));
        assert_eq!(reminded, [(Kind::Expired, Edge::Reminder)]);
        assert_eq!(open.next_reminder(), Some(T0 + HOUR * 48));
        assert_eq!(told(&mut open, T0 - HOUR * 99, failing(9, Worth::Expired)), [], "the clock went back");
        assert_eq!(told(&mut open, T0 - HOUR * 75, failing(9, Worth::Expired)).len(), 1);
    }

    #[test]
    fn a_warning_is_no_news_beside_something_critical() {
        let mut open = Open::default();
        open.see(T0, failing(0, Worth::Critical));
        assert_eq!(told(&mut open, T0, failing(6, Worth::Critical)), []);
    }

    #[test]
    fn the_port_is_worth_a_warning_when_little_time_is_left() {
        let port = |worth| Situation { worth, trouble: Trouble::PortTaken, ..WELL };
        let mut open = Open::default();
        assert_eq!(told(&mut open, T0, port(Worth::Good)), []);
        assert_eq!(told(&mut open, T0, port(Worth::Short)), [(Kind::PortTaken, Edge::News)]);
        let limited = Situation { failures: 1, trouble: Trouble::LimitBeyondExpiry, ..WELL };
        assert_eq!(told(&mut open, T0, limited), [(Kind::RateLimited, Edge::News)]);
    }

    #[test]
    fn who_joins_or_takes_a_port_of_ours_is_told_once_and_that_he_is_gone() {
        for (company, kind) in [(Company::Joined, Kind::PortJoined), (Company::Lost, Kind::PortLost)] {
            let mut open = Open::default();
            let beside = Situation { company, ..WELL };
            assert_eq!(told(&mut open, T0, beside), [(kind, Edge::News)]);
            assert_eq!(told(&mut open, T0 + HOUR * 99, beside), []);
            assert_eq!(told(&mut open, T0 + HOUR * 100, WELL), [(Kind::Recovered, Edge::News)]);
        }
        let mut open = Open::default();
        let detour = Situation { route: Route::Detour, ..WELL };
        assert_eq!(told(&mut open, T0, detour), [(Kind::SecondWay, Edge::News)]);
        assert_eq!(told(&mut open, T0, WELL), [(Kind::Recovered, Edge::News)]);
    }

    #[test]
    fn what_was_told_survives_a_restart() {
        let mut open = Open::default();
        open.see(T0, failing(6, Worth::Critical));
        let kept = serde_json::to_string(&open).unwrap();
        let mut again: Open = serde_json::from_str(&kept).unwrap();
        assert_eq!(again, open);
        assert_eq!(told(&mut again, T0 + HOUR, failing(7, Worth::Critical)), []);
    }

    #[test]
    fn names_are_those_of_the_state_file() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
