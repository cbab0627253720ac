//! TOML into the tree.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lines::Lines;
use super::{Entry, Node, Origin, Table, Value};
use crate::config::problem::{Found, Problem};

/// The tree of a TOML text, and what is wrong with the text: at most one problem a line, since one slip makes several.
pub(super) fn parse(text: &str) -> (Table<'_>, Vec<Problem>) {
    let lines = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = errors.iter().map(|error| problem(&lines, error)).collect();
    problems.sort_by_key(|problem| problem.line);
    problems.dedup_by_key(|problem| problem.line);
    let tree = Tree { text, lines };
    (tree.table(document.into_inner()), problems)
}

fn problem(lines: &Lines<'_>, error: &toml::de::Error) -> Problem {
    let place = error.span().map(|span| lines.place(span.start));
    let says = error.message().lines().collect::<Vec<_>>().join(", ");
    let (found, expected) = says.split_once(", expected ").unwrap_or((&says, ""));
    Problem {
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        key: String::new(),
        found: Found::Malformed(format!("not TOML: {found}")),
        write: remedy(found, expected),
    }
}

fn remedy(found: &str, expected: &str) -> String {
    if found.contains("duplicate key") {
        return "each key, and each [section], once; put what belongs together into one".to_owned();
    }
    let example = "key = value on a line, with text in quotes: listen = [\"0.0.0.0:80\"]";
    match expected {
        "" | "nothing" => example.to_owned(),
        expected => format!("{expected} here; {example}"),
    }
}

/// A text that is being turned into a tree.
struct Tree<'s> {
    text: &'s str,
    lines: Lines<'s>,
}

impl<'s> Tree<'s> {
    fn table(&self, table: DeTable<'s>) -> Table<'s> {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (Spanned<_>, Spanned<_>)| Entry {
            at: self.origin(&key.span()),
            key: key.into_inner(),
            node: self.node(value),
        };
        Table(entries.into_iter().map(entry).collect())
    }

    fn node(&self, value: Spanned<DeValue<'s>>) -> Node<'s> {
        let span = value.span();
        Node {
            at: self.origin(&span),
            written: self.text.get(span).unwrap_or("").into(),
            value: self.value(value.into_inner()),
        }
    }

    fn value(&self, value: DeValue<'s>) -> Value<'s> {
        match value {
            DeValue::String(text) => Value::String(text),
            DeValue::Integer(integer) => Value::Integer(nearest(integer.as_str(), integer.radix())),
            DeValue::Float(_) => Value::Float,
            DeValue::Boolean(bool) => Value::Bool(bool),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(items) => Value::Array(items.into_iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        Origin::Line(self.lines.line(span.start))
    }
}

fn nearest(digits: &str, radix: u32) -> i64 {
    let limit = if digits.starts_with('-') { i64::MIN } else { i64::MAX };
    i64::from_str_radix(digits, radix).unwrap_or(limit)
}
