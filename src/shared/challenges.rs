//! Answers to challenges: the control plane publishes them, every worker gives them.
//!
//! HTTP-01 tokens (RFC 8555 section 8.3), and certificates for TLS-ALPN-01 (RFC 8737).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use rustls::sign::CertifiedKey;

use super::cell::{self, Reader, Writer};

/// The protocol that a validation over TLS-ALPN-01 speaks, and nobody else (RFC 8737 section 6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// What is answered.
#[derive(Clone, Debug, Default)]
struct Answers {
    tokens: BTreeMap<String, Bytes>,
    /// By the name that the CA asks for.
    certificates: BTreeMap<String, Arc<CertifiedKey>>,
}

/// An empty table.
#[must_use]
pub fn table() -> (Publisher, Lookup) {
    let (writer, reader) = cell::cell(Answers::default());
    (Publisher(Arc::new(writer)), Lookup(reader))
}

/// The server name by which an address is validated over TLS: that of its reverse mapping (RFC 8738 section 6).
#[must_use]
pub fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let mut name = String::with_capacity(72);
            for byte in ip.octets().into_iter().rev() {
                // Writing to a String cannot fail.
                let _ = write!(name, "{:x}.{:x}.", byte & 0xF, byte >> 4);
            }
            name.push_str("ip6.arpa");
            name
        }
    }
}

/// The control plane's side.
#[derive(Clone, Debug)]
pub struct Publisher(Arc<Writer<Answers>>);

impl Publisher {
    /// Answers `token` with `key_authorization`, on every listener, until the guard is dropped.
    #[must_use = "the token is withdrawn as soon as this is dropped"]
    pub fn publish(&self, token: &str, key_authorization: &str) -> Published {
        let answer = Bytes::copy_from_slice(key_authorization.as_bytes());
        self.change(|answers| answers.tokens.insert(token.to_owned(), answer.clone()));
        Published { table: self.clone(), what: What::Token(token.to_owned(), answer) }
    }

    /// Presents `certificate` to who validates `ip` over TLS, on every listener with TLS, until the guard is dropped.
    #[must_use = "the certificate is withdrawn as soon as this is dropped"]
    pub fn present(&self, ip: IpAddr, certificate: &Arc<CertifiedKey>) -> Published {
        let name = reverse_name(ip);
        self.change(|answers| answers.certificates.insert(name.clone(), Arc::clone(certificate)));
        Published { table: self.clone(), what: What::Certificate(name, Arc::clone(certificate)) }
    }

    fn change<T>(&self, mut change: impl FnMut(&mut Answers) -> T) {
        self.0.update(|answers| {
            let mut answers = answers.clone();
            change(&mut answers);
            answers
        });
    }
}

/// Keeps one challenge answered.
#[derive(Debug)]
pub struct Published {
    table: Publisher,
    what: What,
}

#[derive(Debug)]
enum What {
    Token(String, Bytes),
    Certificate(String, Arc<CertifiedKey>),
}

impl Drop for Published {
    fn drop(&mut self) {
        // What another guard has published in its place stays.
        self.table.change(|answers| match &self.what {
            What::Token(token, answer) => {
                answers.tokens.retain(|key, now| key != token || now.as_ptr() != answer.as_ptr());
            }
            What::Certificate(name, certificate) => {
                answers.certificates.retain(|key, now| key != name || !Arc::ptr_eq(now, certificate));
            }
        });
    }
}

/// The data plane's side.
#[derive(Clone, Debug)]
pub struct Lookup(Reader<Answers>);

impl Lookup {
    /// The key authorization of a published token.
    #[must_use]
    pub fn answer(&self, token: &str) -> Option<Bytes> {
        self.0.load().tokens.get(token).cloned()
    }

    /// The certificate for who validates over TLS by this server name.
    #[must_use]
    pub fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.0.load().certificates.get(&server_name.to_ascii_lowercase()).cloned()
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

    #[test]
    fn what_is_published_again_outlives_the_guard_of_before() {
        let (publisher, lookup) = table();
        let before = publisher.publish("a", "a.key");
        let again = publisher.publish("a", "a.key");
        drop(before);
        assert_eq!(lookup.answer("a").as_deref(), Some(&b"a.key"[..]));
        drop(again);
        assert_eq!(lookup.answer("a"), None);
    }

    #[test]
    fn an_address_is_validated_by_its_reverse_name() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        // The example of RFC 8738 section 6.
        let v6 = reverse_name("2001:db8::1".parse().unwrap());
        assert_eq!(v6, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }
}
