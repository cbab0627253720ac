//! The renewals of the past, for people: kept in the store, bounded, with failures of the same kind in one line.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::board::Outcome;
use crate::policy::failure::Class;
use crate::policy::sentence::Sentence;

/// Entries kept: with two renewals a week that is half a year.
const MOST: usize = 50;

/// Characters of an error that are kept; what a CA says may be long.
const MOST_ERROR_CHARACTERS: usize = 500;

/// The newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    entries: VecDeque<Past>,
    #[serde(skip)]
    unsaved: bool,
}

/// One renewal, or several in a row that failed in the same place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// When the first of them began.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) began_at: OffsetDateTime,
    /// When the last of them ended.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) ended_at: OffsetDateTime,
    /// How they ended.
    pub(crate) outcome: Outcome,
    /// How many they are.
    pub(crate) tries: u32,
    /// Where they failed.
    pub(crate) class: Option<Class>,
    /// What the last of them said.
    #[serde(rename = "error_words", alias = "error")]
    pub(crate) error: Option<Sentence>,
    /// Until when the new certificate is good.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) not_after: Option<OffsetDateTime>,
}

impl History {
    /// One more has ended.
    pub(crate) fn enter(&mut self, mut past: Past) {
        let to_the_second = |at: OffsetDateTime| at.replace_nanosecond(0).unwrap_or(at);
        (past.began_at, past.ended_at) = (to_the_second(past.began_at), to_the_second(past.ended_at));
        past.error =
            past.error.map(|error| error.map(|words| words.chars().take(MOST_ERROR_CHARACTERS).collect()));
        self.unsaved = true;
        if let Some(last) = self.entries.back_mut().filter(|last| last.is_like(&past)) {
            last.ended_at = past.ended_at;
            last.tries = last.tries.saturating_add(past.tries);
            last.error = past.error;
            return;
        }
        self.entries.push_back(past);
        self.entries.drain(..self.entries.len().saturating_sub(MOST));
    }

    /// The newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Past> {
        self.entries.iter().rev()
    }

    /// A copy for the disk, unless that has it already.
    pub(crate) fn take_unsaved(&mut self) -> Option<Self> {
        std::mem::take(&mut self.unsaved).then(|| self.clone())
    }

    /// The disk did not take it.
    pub(crate) fn not_saved(&mut self) {
        self.unsaved = true;
    }
}

impl Past {
    fn is_like(&self, other: &Self) -> bool {
        self.outcome == Outcome::Failed && other.outcome == Outcome::Failed && self.class == other.class
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;

    fn past(hour: u64, class: Option<Class>) -> Past {
        let at = datetime!(2026-01-01 00:00 UTC) + Duration::from_secs(hour * 3600);
        Past {
            began_at: at,
            ended_at: at,
            outcome: if class.is_some() { Outcome::Failed } else { Outcome::Renewed },
            tries: 1,
            class,
            error: class.map(|_| Sentence::quoted(format!("at {hour}"))),
            not_after: class.is_none().then_some(at),
        }
    }

    #[test]
    fn failures_of_one_kind_are_one_line_and_say_the_newest() {
        let mut history = History::default();
        for (hour, class) in
            [None, Some(Class::Network), Some(Class::Network), Some(Class::Ca), None, None].iter().enumerate()
        {
            history.enter(past(hour as u64, *class));
        }
        let told: Vec<_> = history.newest_first().map(|past| (past.class, past.tries)).collect();
        assert_eq!(told, [(None, 1), (None, 1), (Some(Class::Ca), 1), (Some(Class::Network), 2), (None, 1)]);
        assert_eq!(
            history.newest_first().nth(3).unwrap().error.as_ref().map(Sentence::english),
            Some("at 2")
        );
    }

    #[test]
    fn it_is_bounded_and_survives_the_disk() {
        let mut history = History::default();
        (0..200).for_each(|hour| history.enter(past(hour, None)));
        history
            .enter(Past { error: Some(Sentence::quoted("字".repeat(9_000))), ..past(200, Some(Class::Ca)) });
        assert_eq!(history.newest_first().count(), MOST);
        assert_eq!(
            history.newest_first().next().unwrap().error.as_ref().unwrap().english().chars().count(),
            500
        );
        let written = serde_json::to_string(&history.take_unsaved().unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<History>(&written).unwrap().entries, history.entries);
        assert_eq!(history.take_unsaved(), None);
    }
}
