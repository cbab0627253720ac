//! What becomes of a request: answered here, forwarded, redirected or refused.

use std::net::Ipv6Addr;

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::Uri;
use http::{Method, StatusCode, Version};

use super::headers::{self, Coding};
use crate::config::AllowPaths;

/// Where the CA asks for HTTP-01 tokens (RFC 8555 section 8.3).
pub const CHALLENGE_PREFIX: &str = "/.well-known/acme-challenge/";

/// The token that a request asks for, if it is for one: a `GET` or `HEAD` of the challenge path.
///
/// Comes before every other rule, so nothing but the method and the path is looked at.
#[must_use]
pub fn challenge_token<'a>(method: &Method, uri: &'a Uri) -> Option<&'a str> {
    if *method != Method::GET && *method != Method::HEAD {
        return None;
    }
    uri.path().strip_prefix(CHALLENGE_PREFIX)
}

/// Whether a token may be looked up as a file name: base64url only (RFC 8555 section 8.1).
#[must_use]
pub fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Why a request is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No `Host`, more than one, or one that is not a host (RFC 9112 section 3.2).
    Host,
    /// A target that no origin server has, such as `CONNECT`'s (RFC 9112 section 3.2).
    Target,
    /// A transfer coding other than one `chunked`.
    TransferCoding,
    /// The target is longer than `http.max_uri_bytes`.
    TargetTooLong,
    /// More fields than `http.max_headers`.
    TooManyFields,
    /// An expectation other than `100-continue`.
    Expectation,
    /// Not among `allow_paths`, or a path that readers might understand in two ways.
    Path,
}

impl Refusal {
    /// The status that says it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Target => StatusCode::BAD_REQUEST,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Path => StatusCode::NOT_FOUND,
        }
    }

    /// Whether the rest of the connection can be trusted to be requests: after a doubtful framing it cannot, nor while the
    /// client may or may not send the body that it asked about.
    #[must_use]
    pub fn ends_connection(self) -> bool {
        match self {
            Self::Host | Self::Target | Self::TransferCoding | Self::TargetTooLong | Self::Expectation => {
                true
            }
            Self::TooManyFields | Self::Path => false,
        }
    }
}

/// A request head, as far as it decides.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target, in any form.
    pub uri: &'a Uri,
    /// The version of the message.
    pub version: Version,
    /// The fields.
    pub headers: &'a HeaderMap,
}

/// The host that a well-formed request is for, or why it is refused. `None` is an HTTP/1.0 request without `Host`.
///
/// # Errors
/// The first rule that the head breaks.
pub fn admit(head: Head<'_>, max_uri_bytes: usize) -> Result<Option<HeaderValue>, Refusal> {
    if !is_servable(head) {
        return Err(Refusal::Target);
    }
    if target_length(head.uri) > max_uri_bytes {
        return Err(Refusal::TargetTooLong);
    }
    if headers::transfer_coding(head.headers) == Coding::Other {
        return Err(Refusal::TransferCoding);
    }
    if head.version != Version::HTTP_10 && expects_the_unknown(head.headers) {
        return Err(Refusal::Expectation);
    }
    host(head)
}

/// Whether a path may pass, compared as the panel's router will see it.
///
/// # Errors
/// [`Refusal::Path`] for what is not listed and for what is doubtful.
pub fn allow(path: &str, base_path: &str, allowed: &AllowPaths) -> Result<(), Refusal> {
    let AllowPaths::Only(entries) = allowed else {
        return Ok(());
    };
    let decoded = decode_once(path).filter(|path| is_plain(path)).ok_or(Refusal::Path)?;
    let below = if decoded == base_path.trim_end_matches('/') {
        "" // the base without its slash: the panel redirects it
    } else {
        decoded.strip_prefix(base_path).ok_or(Refusal::Path)?
    };
    let listed = entries.iter().any(|entry| match entry.strip_suffix('/') {
        Some(directory) if !directory.is_empty() => below.starts_with(entry.as_str()),
        Some(_) | None => below == entry,
    });
    if listed { Ok(()) } else { Err(Refusal::Path) }
}

/// Origin form, absolute form of a scheme that is served here, or `OPTIONS *` (RFC 9112 section 3.2).
fn is_servable(head: Head<'_>) -> bool {
    match (head.uri.scheme_str(), head.uri.authority()) {
        (_, _) if *head.method == Method::CONNECT => false,
        // With HTTP/2 it stands beside a scheme and an authority.
        (_, _) if head.uri.path() == "*" && *head.method != Method::OPTIONS => false,
        (None, None) => true,
        (Some(scheme), Some(_)) => matches!(scheme, "http" | "https"),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// HTTP/1.0 has no expectations, and whoever sends one is not to be disappointed (RFC 9110 section 10.1.1).
fn expects_the_unknown(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::EXPECT).iter();
    lines.any(|line| !line.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Bytes of the target as it came.
fn target_length(uri: &Uri) -> usize {
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len() + 3);
    let scheme = uri.scheme_str().map_or(0, str::len);
    scheme + authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// The authority of the target wins over `Host` (RFC 9112 section 3.2.2), but `Host` must be right all the same, and with
/// HTTP/2 the same (RFC 9113 section 8.3.1).
fn host(head: Head<'_>) -> Result<Option<HeaderValue>, Refusal> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(Refusal::Host);
    }
    if let Some(value) = line
        && !is_host(value)
    {
        return Err(Refusal::Host);
    }
    if let Some(authority) = head.uri.authority() {
        if head.version == Version::HTTP_11 && line.is_none() {
            return Err(Refusal::Host);
        }
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Host)?;
        if head.version == Version::HTTP_2 && line.is_some_and(|line| *line != value) {
            return Err(Refusal::Host);
        }
        return if is_host(&value) { Ok(Some(value)) } else { Err(Refusal::Host) };
    }
    match line {
        Some(value) => Ok(Some(value.clone())),
        None if head.version == Version::HTTP_10 => Ok(None),
        None => Err(Refusal::Host),
    }
}

/// A name, an IPv4 address or a bracketed IPv6 address, with an optional port, and nothing else (RFC 9110 section 7.2).
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let (host_ends, valid) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => (after, address.parse::<Ipv6Addr>().is_ok()),
        None => {
            let name_ends = text.find(':').unwrap_or(text.len());
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            (&text[name_ends..], name_ends > 0 && text[..name_ends].bytes().all(plain))
        }
    };
    valid && (host_ends.is_empty() || host_ends.strip_prefix(':').is_some_and(is_port))
}

/// A port that exists, or none at all (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    const LONGEST: usize = 5; // digits of 65535
    let digits = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_digit());
    text.is_empty() || digits && text.parse::<u16>().is_ok()
}

/// Percent-decoding as a router does it, once; `None` where it is malformed or not UTF-8.
fn decode_once(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let text = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(text, 16).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

/// A decoded path that everyone reads alike: no dot segments, empty segments, backslashes, controls or second encoding.
fn is_plain(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    let mut plain = path.starts_with('/')
        && !path.contains(['\\', '%', ';', '?', '#'])
        && !path.contains(char::is_control);
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        plain &= !matches!(segment, "." | "..") && (last || !segment.is_empty());
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(
        target: &str,
        version: Version,
        fields: &[(&'static str, &'static str)],
    ) -> Result<String, Refusal> {
        let uri: Uri = target.parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let head = Head { method: &Method::GET, uri: &uri, version, headers: &headers };
        admit(head, 100).map(|host| host.map_or_else(String::new, |host| host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_request_is_for_one_host() {
        let v11 = Version::HTTP_11;
        for good in ["a", "a.example:80", "1.2.3.4", "[::1]", "[2001:db8::1]:8080", "a_b-c"] {
            assert_eq!(admitted("/", v11, &[("host", good)]).as_deref(), Ok(good), "{good}");
        }
        for bad in [
            "", "a b", "a/b", "u@a", "a:b", "a:65536", "a:000080", "a:+1", "a:1:2", "[::1", "[::1]x",
            "[::1]1", "[a]", "a,b",
        ] {
            assert_eq!(admitted("/", v11, &[("host", bad)]), Err(Refusal::Host), "{bad}");
        }
        assert_eq!(admitted("/", v11, &[]), Err(Refusal::Host));
        assert_eq!(admitted("/", v11, &[("host", "a"), ("host", "a")]), Err(Refusal::Host));
        assert_eq!(admitted("/", Version::HTTP_10, &[]).as_deref(), Ok(""));
        assert_eq!(admitted("http://b:1/x", v11, &[("host", "a")]).as_deref(), Ok("b:1"));
        assert_eq!(admitted("http://u@b/x", v11, &[("host", "a")]), Err(Refusal::Host));
        let v2 = Version::HTTP_2;
        assert_eq!(admitted("https://b/x", v2, &[]).as_deref(), Ok("b"));
        assert_eq!(admitted("https://b/x", v2, &[("host", "b")]).as_deref(), Ok("b"));
        assert_eq!(admitted("https://b/x", v2, &[("host", "a")]), Err(Refusal::Host));
    }

    #[test]
    fn a_target_is_one_that_origin_servers_have() {
        for bad in ["a", "a:80", "*", "ftp://a/"] {
            assert_eq!(admitted(bad, Version::HTTP_11, &[("host", "a")]), Err(Refusal::Target), "{bad}");
        }
        for good in ["/", "/*", "http://a", "HTTPS://a/x"] {
            assert!(admitted(good, Version::HTTP_11, &[("host", "a")]).is_ok(), "{good}");
        }
    }

    #[test]
    fn nothing_is_expected_but_100_continue_and_of_http_1_0_nothing() {
        let with = |version, lines: &[&'static str]| {
            let fields: Vec<_> = lines.iter().map(|line| ("expect", *line)).chain([("host", "a")]).collect();
            admitted("/", version, &fields)
        };
        assert!(with(Version::HTTP_11, &["100-Continue"]).is_ok());
        assert_eq!(with(Version::HTTP_11, &["x"]), Err(Refusal::Expectation));
        assert_eq!(with(Version::HTTP_11, &["100-continue", "x"]), Err(Refusal::Expectation));
        assert!(with(Version::HTTP_10, &["x"]).is_ok());
    }

    #[test]
    fn only_a_single_chunked_coding_is_understood() {
        let with = |value| admitted("/", Version::HTTP_11, &[("host", "a"), ("transfer-encoding", value)]);
        assert_eq!(with("chunked").as_deref(), Ok("a"));
        assert_eq!(with("Chunked").as_deref(), Ok("a"));
        for bad in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
            assert_eq!(with(bad), Err(Refusal::TransferCoding), "{bad}");
        }
        let twice = [("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(admitted("/", Version::HTTP_11, &twice), Err(Refusal::TransferCoding));
    }

    #[test]
    fn a_target_has_a_limit() {
        let long = format!("/{}", "x".repeat(100));
        assert_eq!(admitted(&long, Version::HTTP_11, &[("host", "a")]), Err(Refusal::TargetTooLong));
        assert_eq!(admitted(&long[..100], Version::HTTP_11, &[("host", "a")]).as_deref(), Ok("a"));
    }

    #[test]
    fn tokens_are_asked_for_by_get_and_head_below_the_challenge_path() {
        let uri: Uri = "/.well-known/acme-challenge/a-B_9?x".parse().unwrap();
        assert_eq!(challenge_token(&Method::GET, &uri), Some("a-B_9"));
        assert_eq!(challenge_token(&Method::HEAD, &uri), Some("a-B_9"));
        assert_eq!(challenge_token(&Method::POST, &uri), None);
        assert_eq!(challenge_token(&Method::GET, &"/.well-known/acme-challenge".parse().unwrap()), None);
        assert!(is_token("a-B_9"));
        for name in ["", "..", "a/b", "a.b", "a%2fb"] {
            assert!(!is_token(name), "{name}");
        }
    }

    #[test]
    fn paths_are_compared_as_the_router_sees_them_and_doubt_refuses() {
        let only = AllowPaths::Only(["", "login", "assets/", "panel", "panel/"].map(str::to_owned).to_vec());
        let pass = |path: &str| allow(path, "/secret/", &only).is_ok();
        for open in [
            "/secret/",
            "/secret",
            "/secret/login",
            "/secret/%6cogin",
            "/secret/assets/a/b.js",
            "/secret/panel/x",
        ] {
            assert!(pass(open), "{open}");
        }
        for shut in [
            "/",
            "/secretx",
            "/secret/getDb",
            "/secret/%67etDb",
            "/secret/loginx",
            "/secret/assets/../getDb",
            "/secret/assets/%2e%2e/getDb",
            "/secret//getDb",
            "/secret/assets//x",
            "/secret/assets/%252e%252e/getDb",
            "/secret/assets/..%2fgetDb",
            "/secret/assets/a\\b",
            "/secret/assets/%5c",
            "/secret/assets/%00",
            "/secret/%6",
            "/secret/assets/%+1",
            "/secret/login/",
            "/secret/assets",
            "/secret/assets/a;b",
        ] {
            assert!(!pass(shut), "{shut}");
        }
        assert!(allow("//any%zz/..", "/", &AllowPaths::Everything).is_ok());
    }
}
