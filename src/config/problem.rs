//! What is wrong with a configuration, in the words that people read.

use std::fmt;

/// One thing that is wrong: where, what was found, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1; `None` for a flag, and for what is missing altogether.
    pub line: Option<usize>,
    /// The column in that line, from 1; only where the file is not well-formed.
    pub column: Option<usize>,
    /// The key with dots, e.g. `http.listen[1]`, or the flag, e.g. `--panel`; empty where the file is not well-formed.
    pub key: String,
    /// What is there.
    pub found: Found,
    /// What to write instead, ready to be copied, and then why.
    pub write: String,
}

/// What was found where something else should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The value as written, shortened, credentials in URLs left out.
    Written(String),
    /// The wrong kind of value where a whole section belongs, e.g. "a text".
    Kind(&'static str),
    /// A value that is never shown.
    Secret,
    /// Nothing: the key is missing.
    Nothing,
    /// A key that does not exist. Its value is not shown: it may be a secret under a misspelt name.
    UnknownKey,
    /// The key once more; it was first given in this line.
    Again(usize),
    /// Text that is not TOML or JSON; what the parser says.
    Malformed(String),
}

/// Something odd that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// The key with dots, or the flag.
    pub key: String,
    /// What is odd, and what to do about it.
    pub says: String,
}

/// Characters of a value that are shown.
const SHOWN: usize = 48;

impl Found {
    /// The value as written, fit to be shown on one line.
    pub(super) fn written(text: &str) -> Self {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = without_credentials(&line);
        if line.chars().count() <= SHOWN {
            return Self::Written(line);
        }
        Self::Written(line.chars().take(SHOWN).chain(['…']).collect())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.found {
            Found::Written(value) => write!(f, "{key} = {value}"),
            Found::Kind(kind) => write!(f, "{key} is {kind}"),
            Found::Secret => write!(f, "{key} = (not shown)"),
            Found::Nothing => write!(f, "{key} is missing"),
            Found::UnknownKey => write!(f, "{key} is not a key"),
            Found::Again(first) => write!(f, "{key} is given twice, first in line {first}"),
            Found::Malformed(says) => write!(f, "{says}"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.says)
    }
}

/// Blanks what stands between `://` and `@`, wherever that is in `line`.
fn without_credentials(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['/', ' ', '"', '\'', ',']).unwrap_or(after.len());
        let authority = after.get(..end).unwrap_or(after);
        rest = match authority.rfind('@') {
            Some(at) => {
                shown.push('…');
                after.get(at..).unwrap_or("")
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}
