//! HTTP-01 tokens (RFC 8555 section 8.3): the control plane publishes them, every worker answers them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::cell::{self, Reader, Writer};

type Tokens = HashMap<String, Bytes>;

/// An empty table of tokens.
#[must_use]
pub fn table() -> (Publisher, Lookup) {
    let (writer, reader) = cell::cell(Tokens::new());
    (Publisher(Arc::new(writer)), Lookup(reader))
}

/// The control plane's side.
#[derive(Clone, Debug)]
pub struct Publisher(Arc<Writer<Tokens>>);

impl Publisher {
    /// Answers `token` with `key_authorization`, on every listener, until the guard is dropped.
    #[must_use = "the token is withdrawn as soon as this is dropped"]
    pub fn publish(&self, token: &str, key_authorization: &str) -> Published {
        let answer = Bytes::copy_from_slice(key_authorization.as_bytes());
        self.0.update(|tokens| {
            let mut tokens = tokens.clone();
            tokens.insert(token.to_owned(), answer.clone());
            tokens
        });
        Published { table: self.clone(), token: token.to_owned() }
    }
}

/// Keeps one token answered.
#[derive(Debug)]
pub struct Published {
    table: Publisher,
    token: String,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.table.0.update(|tokens| {
            let mut tokens = tokens.clone();
            tokens.remove(&self.token);
            tokens
        });
    }
}

/// The data plane's side.
#[derive(Clone, Debug)]
pub struct Lookup(Reader<Tokens>);

impl Lookup {
    /// The key authorization of a published token.
    #[must_use]
    pub fn answer(&self, token: &str) -> Option<Bytes> {
        self.0.load().get(token).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_until_its_guard_is_dropped() {
        let (publisher, lookup) = table();
        let first = publisher.publish("a", "a.key");
        let second = publisher.publish("b", "b.key");
        assert_eq!(lookup.answer("a").as_deref(), Some(&b"a.key"[..]));
        drop(first);
        assert_eq!(lookup.answer("a"), None);
        assert_eq!(lookup.answer("b").as_deref(), Some(&b"b.key"[..]));
        drop(second);
        assert_eq!(lookup.answer("b"), None);
    }
}
