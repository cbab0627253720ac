//! One section that is being checked: its keys, with the defaults for those that are not given.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::field::Field;
use super::keys::{instead_of, keys_of};
use super::report::Report;
use super::secret;
use crate::config::problem::Found;
use crate::config::values::Secret;
use crate::config::written::{Entry, Node, Origin, Table, Value};

/// A section of the file, or the lack of it, in which case every key has its default.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    /// The section's name, with its number in a list of sections.
    pub(super) path: String,
    /// Where it begins.
    pub(super) at: Option<Origin>,
    table: Option<&'a Table<'a>>,
    pub(super) report: &'a Report,
}

impl<'a> Section<'a> {
    /// The whole file; unknown sections are reported.
    pub(super) fn root(table: &'a Table<'a>, report: &'a Report) -> Self {
        Self { path: String::new(), at: None, table: Some(table), report }.known("")
    }

    /// The section of this name; its unknown keys are reported, and so is anything that is not a section.
    pub(super) fn section(&self, name: &'static str) -> Self {
        let absent = Self { path: name.to_owned(), at: None, table: None, report: self.report };
        let Some(entry) = self.entry(name) else {
            return absent;
        };
        let Value::Table(table) = &entry.node.value else {
            let (key, kind) = (keys_of(name).first().unwrap_or(&""), Found::Kind(entry.node.value.kind()));
            let write = format!("[{name}] on a line of its own, and below it its keys: {key} = …");
            self.report.refuse(name, Some(entry.at), kind, write);
            return absent;
        };
        Self { at: Some(entry.at), table: Some(table), ..absent }.known(name)
    }

    /// The same section, with another place for what is found in it.
    pub(super) fn reporting_to(self, report: &'a Report) -> Self {
        Self { report, ..self }
    }

    /// The sections of a list, `[[name]]`.
    pub(super) fn sections(&self, name: &'static str) -> Vec<Self> {
        let Some(entry) = self.entry(name) else {
            return Vec::new();
        };
        let refuse = |at, kind: &Value<'_>| {
            let write = format!("[[{name}]] with two brackets, once for each, and its keys below");
            self.report.refuse(name, Some(at), Found::Kind(kind.kind()), write);
        };
        let Value::Array(items) = &entry.node.value else {
            refuse(entry.at, &entry.node.value);
            return Vec::new();
        };
        let section = |(index, node): (usize, &'a Node<'a>)| {
            let Value::Table(table) = &node.value else {
                refuse(node.at, &node.value);
                return None;
            };
            let path = format!("{name}[{index}]");
            Some(Self { path, at: Some(node.at), table: Some(table), report: self.report }.known(name))
        };
        items.iter().enumerate().filter_map(section).collect()
    }

    /// Whether the section is there.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the section is there and holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_some_and(|table| table.0.is_empty())
    }

    /// The value of a key, if it is given; `null` and, in `text` and what builds on it, `""` mean that it is not.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.entry(key)?;
        Some(Field { key: self.key(key), node: &entry.node, report: self.report, secret: false })
    }

    /// The value of a key, unless it is the empty text.
    pub(super) fn filled(&self, key: &str) -> Option<Field<'a>> {
        self.get(key).filter(|field| !field.is_empty_text())
    }

    /// The text of a key, read by `parse`, whose error is what to write instead.
    pub(super) fn parse<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.filled(key)?.parse(example, parse)
    }

    /// A path.
    pub(super) fn path(&self, key: &str, example: &str) -> Option<PathBuf> {
        self.filled(key)?.path(example)
    }

    /// `true` or `false`.
    pub(super) fn bool(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(|field| field.bool()).unwrap_or(default)
    }

    /// A whole number of `unit`.
    pub(super) fn count(&self, key: &str, unit: &str, range: &RangeInclusive<i64>, default: usize) -> usize {
        let number = self.get(key).and_then(|field| field.integer(range, unit));
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
    }

    /// A duration of at least `least`.
    pub(super) fn duration(&self, key: &str, least: Duration, default: Duration) -> Duration {
        self.get(key).and_then(|field| field.duration(least)).unwrap_or(default)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> T {
        self.get(key).and_then(|field| field.word(words)).unwrap_or(default)
    }

    /// The items of a list, each read by `read`; `example` is one item as it is written.
    pub(super) fn list<T>(
        &self,
        key: &str,
        example: &str,
        read: impl Fn(&Field<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.get(key)?.items(example)?;
        Some(items.iter().filter_map(read).collect())
    }

    /// A secret: the text itself, or from the file named by `<key>_file`.
    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        secret::read(self, key)
    }

    /// Reports that a key must be given.
    pub(super) fn missing(&self, key: &str, write: impl Into<String>) {
        self.report.refuse(&self.key(key), self.at, Found::Nothing, write);
    }

    /// Of two keys that go together, reports the one that is not given.
    pub(super) fn pair<A, B>(&self, first: (&str, Option<A>), second: (&str, Option<B>)) -> Option<(A, B)> {
        let half = |given: &str, missing: &str| {
            let write = format!("{missing} as well, or neither: it goes with {given}");
            let at = self.get(given).map(|field| field.node.at).or(self.at);
            self.report.refuse(&self.key(missing), at, Found::Nothing, write);
        };
        match (first.1, second.1) {
            (Some(a), Some(b)) => return Some((a, b)),
            // A value that is there and was refused has been reported already.
            (Some(_), None) if !self.is_given(second.0) => half(first.0, second.0),
            (None, Some(_)) if !self.is_given(first.0) => half(second.0, first.0),
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
        None
    }

    /// The key with its section.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn is_given(&self, key: &str) -> bool {
        self.filled(key).is_some() || self.filled(&format!("{key}_file")).is_some()
    }

    fn entry(&self, key: &str) -> Option<&'a Entry<'a>> {
        let entry = self.table?.get(key)?;
        (!matches!(entry.node.value, Value::Null)).then_some(entry)
    }

    /// Reports the keys that the section called `name` does not have.
    fn known(self, name: &str) -> Self {
        let entries = self.table.map_or(&[][..], |table| &table.0);
        for entry in entries.iter().filter(|entry| !keys_of(name).contains(&&*entry.key)) {
            let key = self.key(&entry.key);
            self.report.refuse(&key, Some(entry.at), Found::UnknownKey, instead_of(&entry.key, name));
        }
        self
    }
}
