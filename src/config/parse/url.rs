//! URLs, as far as settings need them.

use std::net::IpAddr;

use super::address::{bracketed, split};
use super::ip::reserved;

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Url {
    /// In lower case.
    pub(in crate::config) scheme: String,
    /// Without brackets.
    pub(in crate::config) host: String,
    /// If it is given.
    pub(in crate::config) port: Option<u16>,
    /// Path and query: empty, or from the `/` on.
    pub(in crate::config) path: String,
    /// Whether a name or password stands before the host.
    pub(in crate::config) credentials: bool,
}

/// Suffixes of names that no public DNS answers for (RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`).
const PRIVATE_SUFFIXES: &[&str] =
    &[".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".invalid"];

impl Url {
    /// Takes `text` apart; `None` if it is not a URL with a host, or has a fragment.
    pub(in crate::config) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((_, authority)) => (true, authority),
            None => (false, authority),
        };
        let (host, port) = split(authority)?;
        let visible = path.bytes().all(|byte| byte.is_ascii_graphic());
        let named = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (named && visible && !path.contains('#')).then(|| Self {
            scheme: scheme.to_ascii_lowercase(),
            host,
            port,
            path: path.to_owned(),
            credentials,
        })
    }

    /// Scheme, host and port, as written in front of a path.
    pub(in crate::config) fn origin(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.scheme, bracketed(&self.host))
    }

    /// Whether the host is on the Internet: a public address, or a name that public DNS can answer for.
    pub(in crate::config) fn is_public(&self) -> bool {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return reserved(ip).is_none();
        }
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        name.contains('.') && !PRIVATE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
    }
}

/// Whether a host is this machine by its very name.
pub(in crate::config) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
