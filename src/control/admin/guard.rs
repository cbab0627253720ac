//! Who may ask for what. A socket file has its mode; a loopback port is open to every user and every web page of this
//! machine's browsers, so it asks for more. A browser may come to the socket too, through `ssh -L`: what it says about
//! where it comes from counts there as well.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use http::{Method, Request, StatusCode};
use thiserror::Error;

use crate::config::Secret;
use crate::shared::tls::sha256;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Over the socket file.
    Socket,
    /// Over TCP.
    Loopback,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refused {
    /// A name that a stranger made point here.
    #[error("the Host must be a loopback address: this looks like DNS rebinding")]
    Host,
    /// Another site's page asks.
    #[error("requests from other sites are refused")]
    CrossSite,
    /// No token is configured.
    #[error("changes over TCP need admin.token, and none is configured; use the socket file or set one")]
    NoToken,
    /// Another token, or none.
    #[error("the token is missing or wrong: send Authorization: Bearer <admin.token>")]
    Token,
}

impl Refused {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::CrossSite | Self::NoToken => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }
}

/// Whether the request may be answered.
pub(super) fn check<B>(request: &Request<B>, peer: Peer, token: Option<&Secret>) -> Result<(), Refused> {
    let headers = request.headers();
    let from_a_browser = headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE);
    if peer == Peer::Socket && !from_a_browser {
        return Ok(());
    }
    let host = text(headers, &HOST).ok_or(Refused::Host)?;
    if !is_loopback(host) {
        return Err(Refused::Host);
    }
    let from_elsewhere = headers.contains_key(SEC_FETCH_SITE)
        && !matches!(text(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"));
    let foreign_origin = headers.contains_key(ORIGIN)
        && text(headers, &ORIGIN).and_then(|origin| origin.strip_prefix("http://")) != Some(host);
    if from_elsewhere || foreign_origin {
        return Err(Refused::CrossSite);
    }
    if peer == Peer::Socket || matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let token = token.ok_or(Refused::NoToken)?;
    let shown = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    match shown {
        // Digests are compared, so the time it takes says nothing about the token.
        Some(shown) if sha256(shown.as_bytes()) == sha256(token.expose().as_bytes()) => Ok(()),
        Some(_) | None => Err(Refused::Token),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let with_port = host.parse::<SocketAddr>().map(|address| address.ip());
    name.eq_ignore_ascii_case("localhost")
        || with_port.or_else(|_| bare.parse::<IpAddr>()).is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, headers: &[(&str, &str)], token: Option<&str>) -> Result<(), Refused> {
        let mut request = Request::builder().method(method).uri("/renew");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let token = token.map(Secret::new);
        check(&request.body(()).unwrap(), Peer::Loopback, token.as_ref())
    }

    #[test]
    fn only_loopback_names_are_answered() {
        for host in ["127.0.0.1:9180", "localhost", "LOCALHOST:9180", "[::1]:9180", "127.0.0.1", "[::1]"] {
            assert_eq!(asked("GET", &[("host", host)], None), Ok(()), "{host}");
        }
        for host in ["evil.example:9180", "192.0.2.1", "127.0.0.1.evil.example", "localhost.evil", ""] {
            assert_eq!(asked("GET", &[("host", host)], None), Err(Refused::Host), "{host}");
        }
        assert_eq!(asked("GET", &[], None), Err(Refused::Host));
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "127.0.0.1:9180");
        let with = |name, value| asked("GET", &[host, (name, value)], None);
        assert_eq!(with("sec-fetch-site", "cross-site"), Err(Refused::CrossSite));
        assert_eq!(with("sec-fetch-site", "same-site"), Err(Refused::CrossSite));
        assert_eq!(with("sec-fetch-site", "same-origin"), Ok(()));
        assert_eq!(with("origin", "http://evil.example"), Err(Refused::CrossSite));
        assert_eq!(with("origin", "null"), Err(Refused::CrossSite));
        assert_eq!(with("origin", "http://127.0.0.1:9180"), Ok(()));
    }

    #[test]
    fn changes_need_the_token() {
        let host = ("host", "127.0.0.1:9180");
        let bearer = |value| asked("POST", &[host, ("authorization", value)], Some("s3cret"));
        assert_eq!(asked("POST", &[host], None), Err(Refused::NoToken));
        assert_eq!(asked("POST", &[host], Some("s3cret")), Err(Refused::Token));
        assert_eq!(bearer("Bearer other"), Err(Refused::Token));
        assert_eq!(bearer("s3cret"), Err(Refused::Token));
        assert_eq!(bearer("Bearer s3cret"), Ok(()));
    }

    #[test]
    fn the_socket_file_needs_nothing() {
        let request = Request::post("/renew").header("host", "doorman").body(()).unwrap();
        assert_eq!(check(&request, Peer::Socket, None), Ok(()));
    }

    #[test]
    fn a_browser_at_the_socket_file_must_come_from_its_own_page() {
        let over_ssh = |host: &str, name: &str, value: &str| {
            let request = Request::post("/renew").header("host", host).header(name, value).body(()).unwrap();
            check(&request, Peer::Socket, None)
        };
        assert_eq!(over_ssh("localhost:9180", "origin", "http://localhost:9180"), Ok(()));
        assert_eq!(over_ssh("localhost:9180", "sec-fetch-site", "same-origin"), Ok(()));
        assert_eq!(over_ssh("localhost:9180", "sec-fetch-site", "cross-site"), Err(Refused::CrossSite));
        assert_eq!(over_ssh("localhost:9180", "origin", "https://evil.example"), Err(Refused::CrossSite));
        assert_eq!(over_ssh("evil.example", "origin", "http://evil.example"), Err(Refused::Host));
    }
}
