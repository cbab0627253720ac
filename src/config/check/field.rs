//! One value that is being checked.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::nearest;
use super::report::{Report, shown};
use crate::config::parse::duration::{duration, written as written_duration};
use crate::config::problem::Found;
use crate::config::written::{Node, Origin, Value};

/// A value, the key it belongs to, and where to report what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) key: String,
    pub(super) node: &'a Node<'a>,
    pub(super) report: &'a Report,
    pub(super) secret: bool,
}

impl<'a> Field<'a> {
    /// Reports that something else must be written.
    pub(super) fn refuse(&self, write: impl Into<String>) {
        let found = if self.secret { Found::Secret } else { shown(self.node) };
        self.report.refuse(&self.key, Some(self.node.at), found, write);
    }

    /// Reports something odd.
    pub(super) fn warn(&self, says: impl Into<String>) {
        self.report.warn(&self.key, Some(self.node.at), says);
    }

    /// Where the value stands, in words, for a message about another value.
    pub(super) fn place(&self) -> String {
        match self.node.at {
            Origin::Line(line) => format!("{} in line {line}", self.key),
            Origin::Flag(flag) => flag.to_owned(),
        }
    }

    /// The text; `example` is what a text here looks like, without quotes.
    pub(super) fn text(&self, example: &str) -> Option<&'a str> {
        let Value::String(text) = &self.node.value else {
            self.refuse(format!("a text in quotes: \"{example}\""));
            return None;
        };
        if text.chars().any(char::is_control) {
            self.refuse(format!("a text without line ends and control characters: \"{example}\""));
            return None;
        }
        if text.trim() != text {
            let write = if self.secret {
                "the same without blanks around it".to_owned()
            } else {
                quoted(text.trim())
            };
            self.refuse(write);
            return None;
        }
        Some(text)
    }

    /// The text, read by `parse`, whose error is what to write instead.
    pub(super) fn parse<T>(&self, example: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(example)?;
        parse(text).map_err(|write| self.refuse(write)).ok()
    }

    /// One of a few words, each with its meaning.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let all = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let Value::String(text) = &self.node.value else {
            self.refuse(format!("one of {all}"));
            return None;
        };
        let meant = words.iter().find(|(name, _)| name == text).map(|(_, meaning)| *meaning);
        if meant.is_none() {
            let write = nearest(text, &names).map_or_else(|| format!("one of {all}"), quoted);
            self.refuse(write);
        }
        meant
    }

    /// `true` or `false`.
    pub(super) fn bool(&self) -> Option<bool> {
        let meant = match &self.node.value {
            Value::Bool(bool) => return Some(*bool),
            Value::String(text) => text.to_lowercase(),
            Value::Integer(number) => number.to_string(),
            Value::Table(_) | Value::Array(_) | Value::Float | Value::Date | Value::Null => String::new(),
        };
        self.refuse(match meant.as_str() {
            "true" | "yes" | "on" | "1" => "true, without quotes",
            "false" | "no" | "off" | "0" => "false, without quotes",
            _ => "true or false, without quotes",
        });
        None
    }

    /// A whole number of `unit` in `range`.
    pub(super) fn integer(&self, range: &RangeInclusive<i64>, unit: &str) -> Option<i64> {
        let meant = match &self.node.value {
            Value::Integer(number) if range.contains(number) => return Some(*number),
            Value::String(text) => text.trim().parse().ok(),
            Value::Float => whole(&self.node.written),
            Value::Table(_)
            | Value::Array(_)
            | Value::Integer(_)
            | Value::Bool(_)
            | Value::Date
            | Value::Null => None,
        };
        match meant.filter(|number| range.contains(number)) {
            Some(number) => self.refuse(format!("{number}, a whole number without quotes and point")),
            None => {
                self.refuse(format!("a whole number of {unit} from {} to {}", range.start(), range.end()));
            }
        }
        None
    }

    /// A duration of at least `least`.
    pub(super) fn duration(&self, least: Duration) -> Option<Duration> {
        if let Value::Integer(number) = self.node.value {
            self.refuse(format!(
                "\"{number}s\" if seconds are meant: a number and ms, s, m, h or d, in quotes"
            ));
            return None;
        }
        let parsed = self.parse("30s", duration)?;
        if parsed < least {
            self.refuse(format!("\"{}\" or more", written_duration(least)));
            return None;
        }
        Some(parsed)
    }

    /// A path. A relative one is taken from where doorman was started, and said to be odd in a file.
    pub(super) fn path(&self, example: &str) -> Option<PathBuf> {
        let text = self.text(example)?;
        let path = std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text));
        let in_file = matches!(self.node.at, Origin::Line(_));
        if in_file && Path::new(text).is_relative() {
            let says = format!("is relative to where doorman is started; write \"{}\"", path.display());
            self.warn(says);
        }
        Some(path)
    }

    /// The items of a list; `example` is one item as it is written.
    pub(super) fn items(&self, example: &str) -> Option<Vec<Field<'a>>> {
        let Value::Array(items) = &self.node.value else {
            let item = match &self.node.value {
                Value::String(text) if !self.secret && !text.is_empty() => quoted(text),
                Value::Integer(number) => number.to_string(),
                Value::String(_)
                | Value::Table(_)
                | Value::Array(_)
                | Value::Float
                | Value::Bool(_)
                | Value::Date
                | Value::Null => example.to_owned(),
            };
            self.refuse(format!("[{item}], a list in brackets"));
            return None;
        };
        let item = |(index, node): (usize, &'a Node<'a>)| Field {
            key: format!("{}[{index}]", self.key),
            node,
            report: self.report,
            secret: self.secret,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Whether this is a list with something in it, or no list at all, which is reported elsewhere.
    pub(super) fn has_items(&self) -> bool {
        !matches!(&self.node.value, Value::Array(items) if items.is_empty())
    }

    /// Whether this is the empty text, which means the same as no key.
    pub(super) fn is_empty_text(&self) -> bool {
        matches!(&self.node.value, Value::String(text) if text.is_empty())
    }
}

/// `text` in quotes, as both formats write it.
pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The whole number that `3.0` stands for.
fn whole(written: &str) -> Option<i64> {
    let (number, fraction) = written.split_once('.')?;
    fraction.bytes().all(|digit| digit == b'0').then(|| number.parse().ok())?
}
