//! A configuration as it is written: one small tree for TOML and JSON, in which everything knows where it stands.

mod json;
mod lines;
mod toml;

use std::borrow::Cow;
use std::path::Path;

use super::problem::Problem;

/// A table, with its keys in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table<'s>(pub(super) Vec<Entry<'s>>);

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry<'s> {
    /// The key, unescaped.
    pub(super) key: Cow<'s, str>,
    /// Where the key stands.
    pub(super) at: Origin,
    /// What it is set to.
    pub(super) node: Node<'s>,
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub(super) struct Node<'s> {
    /// Where the value stands.
    pub(super) at: Origin,
    /// Its very characters.
    pub(super) written: Cow<'s, str>,
    /// What they mean.
    pub(super) value: Value<'s>,
}

/// Where something was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In this line of the file, from 1.
    Line(usize),
    /// By this flag, dashes included.
    Flag(&'static str),
}

/// A value. Numbers that are no whole ones and dates keep no value: no setting wants them.
#[derive(Clone, Debug)]
pub(super) enum Value<'s> {
    /// A table or JSON object.
    Table(Table<'s>),
    /// A list.
    Array(Vec<Node<'s>>),
    /// Text, unescaped.
    String(Cow<'s, str>),
    /// A whole number; what does not fit is the nearest that does.
    Integer(i64),
    /// A number with a point or an exponent.
    Float,
    /// `true` or `false`.
    Bool(bool),
    /// A TOML date or time.
    Date,
    /// JSON's `null`: as if the key were not there.
    Null,
}

impl Value<'_> {
    /// The kind of value, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::Array(_) => "a list",
            Self::String(_) => "a text",
            Self::Integer(_) | Self::Float => "a number",
            Self::Bool(_) => "true or false",
            Self::Date => "a date",
            Self::Null => "null",
        }
    }
}

impl<'s> Table<'s> {
    /// The entry of this name.
    pub(super) fn get(&self, key: &str) -> Option<&Entry<'s>> {
        self.0.iter().find(|entry| entry.key == key)
    }
}

/// The tree of a file's text, and everything in it that is not well-formed. What could be read is in the tree all the
/// same, as far as the format allows.
pub(super) fn parse<'s>(file: &Path, text: &'s str) -> (Table<'s>, Vec<Problem>) {
    let json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if json { json::parse(text) } else { toml::parse(text) }
}
