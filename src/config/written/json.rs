//! JSON into the tree. serde_json's raw values are slices of the text, and where a slice lies is where it was written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lines::Lines;
use super::{Entry, Node, Origin, Table, Value};
use crate::config::problem::{Found, Problem};

/// Levels of lists and objects that are looked into; settings need four.
const DEEPEST: usize = 8;

/// The tree of a JSON text, and what is wrong with the text.
pub(super) fn parse(text: &str) -> (Table<'_>, Vec<Problem>) {
    // Looked over as a whole first: raw values inside raw values would count lines from their own beginning.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return (Table::default(), vec![malformed(&error)]);
    }
    let mut tree = Tree { lines: Lines::of(text), problems: Vec::new() };
    let node = tree.node(text.trim(), "", 0);
    if let Value::Table(table) = node.value {
        return (table, tree.problems);
    }
    let found = Found::Malformed(format!("the file is {}", node.value.kind()));
    let write =
        "{\"panel\": {\"upstream\": \"http://127.0.0.1:13688\"}}: one object with the sections".to_owned();
    tree.problems.push(Problem { line: Some(1), column: Some(1), key: String::new(), found, write });
    (Table::default(), tree.problems)
}

fn malformed(error: &serde_json::Error) -> Problem {
    let says = error.to_string();
    let says = says.split(" at line ").next().unwrap_or(&says);
    let write = match says {
        "trailing comma" => "no comma before a closing bracket",
        "key must be a string" => {
            "each key in double quotes, \"panel\": {…}, and no comma before a closing brace"
        }
        "expected value" => {
            "a value: \"text\" in double quotes, a number, true, false, […] or {…}; no comments"
        }
        _ => "JSON: {\"section\": {\"key\": value}}, with commas between entries and without comments",
    };
    Problem {
        line: Some(error.line().max(1)),
        column: Some(error.column().max(1)),
        key: String::new(),
        found: Found::Malformed(format!("not JSON: {says}")),
        write: write.to_owned(),
    }
}

/// A text that is being turned into a tree.
struct Tree<'s> {
    lines: Lines<'s>,
    problems: Vec<Problem>,
}

impl<'s> Tree<'s> {
    fn node(&mut self, written: &'s str, key: &str, depth: usize) -> Node<'s> {
        let line = self.lines.line_of(written);
        Node { at: Origin::Line(line), written: written.into(), value: self.value(written, line, key, depth) }
    }

    fn value(&mut self, written: &'s str, line: usize, key: &str, depth: usize) -> Value<'s> {
        match written.as_bytes().first() {
            Some(b'{') => Value::Table(self.table(written, key, depth)),
            Some(b'[') => Value::Array(self.array(written, key, depth)),
            Some(b'"') => Value::String(self.string(written, line, key)),
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'-' | b'0'..=b'9') => number(written),
            Some(_) | None => Value::Null,
        }
    }

    fn table(&mut self, written: &'s str, key: &str, depth: usize) -> Table<'s> {
        let mut table = Table::default();
        if depth > DEEPEST {
            return table;
        }
        let Pairs(pairs) = serde_json::from_str(written).unwrap_or_default();
        for (raw_key, raw_value) in pairs {
            let line = self.lines.line_of(raw_key);
            let name = self.string(raw_key, line, key);
            let path = if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
            let first = table.get(&name).map(|entry| entry.at);
            if let Some(Origin::Line(first)) = first {
                let write = format!("{name} once, and delete the other");
                self.problem(line, path, Found::Again(first), write);
                continue;
            }
            let node = self.node(raw_value, &path, depth + 1);
            table.0.push(Entry { key: name, at: Origin::Line(line), node });
        }
        table
    }

    fn array(&mut self, written: &'s str, key: &str, depth: usize) -> Vec<Node<'s>> {
        if depth > DEEPEST {
            return Vec::new();
        }
        let items: Vec<&'s RawValue> = serde_json::from_str(written).unwrap_or_default();
        let item = |(index, item): (usize, &'s RawValue)| {
            self.node(item.get(), &format!("{key}[{index}]"), depth + 1)
        };
        items.into_iter().enumerate().map(item).collect()
    }

    fn string(&mut self, written: &'s str, line: usize, key: &str) -> Cow<'s, str> {
        if let Ok(Text(text)) = serde_json::from_str(written) {
            return text;
        }
        let write = "text without escapes like \\ud800 that stand for no character".to_owned();
        self.problem(line, key.to_owned(), Found::Malformed(format!("{key} is not text")), write);
        Cow::Borrowed("")
    }

    fn problem(&mut self, line: usize, key: String, found: Found, write: String) {
        self.problems.push(Problem { line: Some(line), column: None, key, found, write });
    }
}

fn number(written: &str) -> Value<'_> {
    if written.contains(['.', 'e', 'E']) {
        return Value::Float;
    }
    let limit = if written.starts_with('-') { i64::MIN } else { i64::MAX };
    Value::Integer(written.parse().unwrap_or(limit))
}

/// A JSON string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'s>(#[serde(borrow)] Cow<'s, str>);

/// The keys (in quotes) and values of an object as they are written, in order, repeated ones included.
#[derive(Default)]
struct Pairs<'s>(Vec<(&'s str, &'s str)>);

impl<'s> Deserialize<'s> for Pairs<'s> {
    fn deserialize<D: Deserializer<'s>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'s> Visitor<'s> for PairsVisitor {
    type Value = Pairs<'s>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'s>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = map.next_entry::<&'s RawValue, &'s RawValue>()? {
            pairs.push((key.get(), value.get()));
        }
        Ok(Pairs(pairs))
    }
}
