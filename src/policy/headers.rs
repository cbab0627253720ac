//! Which header fields cross the door, and which are added (RFC 9110 section 7.6.1, facts of the panels).
//!
//! The outgoing map is built in the order of the incoming one: `HeaderMap::remove` would reorder it.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Room for what is said of the client.
const WHO_ASKS: usize = 4;

/// Room for the fields that [`request`] may add.
const ADDED: usize = WHO_ASKS + 2;

/// What is known of a request besides its fields.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The client's address, as the socket shows it.
    pub peer: &'a HeaderValue,
    /// The host that was asked for: the `Host` field, or the authority of the target. `None` only with HTTP/1.0; the
    /// upstream, which is spoken to in HTTP/1.1, is then told an empty one (RFC 9112 section 3.2).
    pub host: Option<&'a HeaderValue>,
    /// The request came over TLS that we terminated.
    pub secure: bool,
    /// The peer is one of `http.trusted_proxies`: what it says of the client is believed.
    pub trusted: bool,
    /// The request asks for a WebSocket and will be forwarded as such.
    pub websocket: bool,
}

/// The fields of a request as they go to the upstream.
///
/// Hop-by-hop fields and those that a `Connection` line names are gone, `Host` is the one asked for, what others claimed about the
/// client is replaced by what the socket shows, unless the peer is trusted.
#[must_use]
pub fn request(mut incoming: HeaderMap, origin: Origin<'_>) -> HeaderMap {
    if let Some(host) = origin.host
        && incoming.get(header::HOST) == Some(host)
        && !incoming.keys().any(is_claim_about_client)
        && !origin.websocket
        && HopByHop::of(&incoming).drop_from(&mut incoming)
    {
        incoming.reserve(WHO_ASKS);
        say_who_asks(&mut incoming, origin);
        return incoming; // nothing to build
    }
    let nominated = Nominated::of(&incoming);
    let trailers = !origin.websocket && asks_for_trailers(&incoming);
    let mut outgoing = HeaderMap::with_capacity(incoming.len() + ADDED);
    outgoing.insert(header::HOST, origin.host.cloned().unwrap_or(HeaderValue::from_static("")));
    for_each_field(incoming, |name, value| {
        let dropped = name == header::HOST
            || is_hop_by_hop(&name)
            || nominated.contains(&name)
            || (is_claim_about_client(&name) && !(origin.trusted && name != header::FORWARDED));
        if !dropped {
            outgoing.append(name, value);
        }
    });
    if trailers {
        outgoing.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if origin.websocket {
        outgoing.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        outgoing.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    } else if trailers {
        outgoing.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
    if origin.trusted {
        add_who_asks(&mut outgoing, origin);
    } else {
        say_who_asks(&mut outgoing, origin);
    }
    outgoing
}

/// A response whose end could be found in two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("its answer could end in more than one place")]
pub struct Ambiguous;

/// The fields of a response as they go to the client: without the hop-by-hop ones. `websocket` keeps the handshake.
///
/// # Errors
/// A transfer coding other than one `chunked`, a length beside one, or several lengths (RFC 9112 section 6.3).
pub fn response(mut incoming: HeaderMap, websocket: bool) -> Result<HeaderMap, Ambiguous> {
    let mut lengths = 0;
    for (name, value) in &incoming {
        if name == header::CONTENT_LENGTH {
            lengths += 1;
            if lengths > 1 || !value.as_bytes().iter().all(u8::is_ascii_digit) {
                return Err(Ambiguous);
            }
        }
    }
    if !websocket && HopByHop::of(&incoming).drop_from(&mut incoming) {
        return Ok(incoming); // nothing to build
    }
    match transfer_coding(&incoming) {
        Coding::None => {}
        Coding::Chunked if lengths == 0 => {}
        Coding::Chunked | Coding::Other => return Err(Ambiguous),
    }
    let nominated = Nominated::of(&incoming);
    let mut outgoing = HeaderMap::with_capacity(incoming.len() + 2);
    for_each_field(incoming, |name, value| {
        if !is_hop_by_hop(&name) && !nominated.contains(&name) {
            outgoing.append(name, value);
        }
    });
    if websocket {
        outgoing.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        outgoing.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    Ok(outgoing)
}

/// The trailers of a message as they go on, in either direction: without what only a head may say (RFC 9110 section
/// 6.5.1).
#[must_use]
pub fn trailers(incoming: HeaderMap) -> HeaderMap {
    let mut outgoing = HeaderMap::with_capacity(incoming.len());
    for_each_field(incoming, |name, value| {
        let of_the_head = name == header::HOST || name == header::CONTENT_LENGTH;
        if !of_the_head && !is_hop_by_hop(&name) && !is_claim_about_client(&name) {
            outgoing.append(name, value);
        }
    });
    outgoing
}

/// How a message says that its body is coded for the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    None,
    /// `chunked`, once, and nothing else.
    Chunked,
    /// What we do not undo.
    Other,
}

/// The transfer coding of a message (RFC 9112 section 6.1).
#[must_use]
pub fn transfer_coding(headers: &HeaderMap) -> Coding {
    let Some(coding) = headers.get(header::TRANSFER_ENCODING) else {
        return Coding::None;
    };
    let one = headers.get_all(header::TRANSFER_ENCODING).iter().nth(1).is_none();
    if one && coding.as_bytes().eq_ignore_ascii_case(b"chunked") { Coding::Chunked } else { Coding::Other }
}

/// Whether the fields ask for a WebSocket, or agree to one: `Connection: upgrade` and `Upgrade: websocket` alone
/// (RFC 6455 sections 4.1 and 4.2.2).
#[must_use]
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let (Some(protocol), None) = (upgrades.next(), upgrades.next()) else {
        return false;
    };
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

/// Makes one line of several `Cookie` lines: HTTP/2 clients may split the field, and HTTP/1.1 upstreams want it whole
/// (RFC 9113 section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_some() {
        let whole = joined(headers.get_all(header::COOKIE).iter(), b"; ");
        headers.insert(header::COOKIE, whole);
    }
}

/// An address as a field value: IPv4 as such, even where it came over an IPv6 socket.
#[must_use]
pub fn address(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_canonical().to_string()).expect("an address is printable ASCII")
}

/// Whether a host is an IPv6 literal, with or without a port.
#[must_use]
pub fn is_ipv6_literal(host: &HeaderValue) -> bool {
    host.as_bytes().first() == Some(&b'[')
}

/// `X-Forwarded-*` and `X-Real-IP`, where nothing of the kind is left of what came in.
///
/// Panels make subscription links from `X-Forwarded-Host`, else `X-Real-IP`, else `Host`; with an IPv6 literal only the
/// last gives a link that works, so the first two stay away.
fn say_who_asks(outgoing: &mut HeaderMap, origin: Origin<'_>) {
    outgoing.append(X_FORWARDED_FOR, origin.peer.clone());
    outgoing.append(X_FORWARDED_PROTO, origin.scheme());
    if let Some(host) = origin.name() {
        outgoing.append(X_FORWARDED_HOST, host.clone());
        outgoing.append(X_REAL_IP, origin.peer.clone());
    }
}

/// The same where a trusted peer may have said it: that stays, and the peer is added to the chain.
fn add_who_asks(outgoing: &mut HeaderMap, origin: Origin<'_>) {
    let chain = joined(outgoing.get_all(X_FORWARDED_FOR).iter().chain([origin.peer]), b", ");
    outgoing.insert(X_FORWARDED_FOR, chain);
    outgoing.entry(X_FORWARDED_PROTO).or_insert(origin.scheme());
    if let Some(host) = origin.name() {
        outgoing.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        outgoing.entry(X_REAL_IP).or_insert_with(|| origin.peer.clone());
    }
}

impl Origin<'_> {
    fn scheme(&self) -> HeaderValue {
        HeaderValue::from_static(if self.secure { "https" } else { "http" })
    }

    /// The host, if it is none that may not be repeated.
    fn name(&self) -> Option<&HeaderValue> {
        self.host.filter(|host| !is_ipv6_literal(host))
    }
}

/// What of a head is for one hop only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HopByHop {
    /// Nothing.
    Nothing,
    /// One `Connection` line at the end, which names no other field.
    Last,
    /// More than that, or elsewhere.
    More,
}

impl HopByHop {
    fn of(headers: &HeaderMap) -> Self {
        let mut found = headers.keys().enumerate().filter(|(_, name)| is_hop_by_hop(name));
        match (found.next(), found.next()) {
            (None, _) => Self::Nothing,
            (Some((index, &header::CONNECTION)), None)
                if index + 1 == headers.len()
                    && tokens(headers, &header::CONNECTION).all(is_connection_option) =>
            {
                Self::Last
            }
            (Some(_), _) => Self::More,
        }
    }

    /// Drops it if that leaves the others in their order. `false`: they must be built anew.
    fn drop_from(self, headers: &mut HeaderMap) -> bool {
        if self == Self::Last {
            headers.remove(header::CONNECTION);
        }
        self != Self::More
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    match name {
        &header::CONNECTION
        | &header::PROXY_AUTHENTICATE
        | &header::PROXY_AUTHORIZATION
        | &header::TE
        | &header::TRANSFER_ENCODING
        | &header::UPGRADE => true,
        other => matches!(other.as_str(), "keep-alive" | "proxy-connection"),
    }
}

fn is_claim_about_client(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "forwarded" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "x-real-ip"
    )
}

fn asks_for_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case(b"trailers"))
}

/// The elements of a comma-separated field, over all of its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Calls `each` for every field, in order, repeated names included.
fn for_each_field(headers: HeaderMap, mut each: impl FnMut(HeaderName, HeaderValue)) {
    let mut current = None;
    for (name, value) in headers {
        if name.is_some() {
            current = name;
        }
        if let Some(name) = &current {
            each(name.clone(), value);
        }
    }
}

/// The names that `Connection` lines declare to be for this hop only.
struct Nominated(Vec<HeaderName>);

impl Nominated {
    /// A request cannot lose its host or its framing that way.
    fn of(headers: &HeaderMap) -> Self {
        let indispensable = [header::HOST, header::CONTENT_LENGTH];
        Self(
            tokens(headers, &header::CONNECTION)
                .filter(|token| !is_connection_option(token))
                .filter_map(|token| HeaderName::from_bytes(token).ok())
                .filter(|name| !indispensable.contains(name))
                .collect(),
        )
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }
}

/// The common options name no field worth a look; this saves their conversion on every request.
fn is_connection_option(token: &[u8]) -> bool {
    [&b"keep-alive"[..], b"close", b"upgrade"].iter().any(|option| token.eq_ignore_ascii_case(option))
}

/// Several lines made one.
fn joined<'a>(lines: impl Iterator<Item = &'a HeaderValue>, separator: &[u8]) -> HeaderValue {
    let mut bytes = Vec::new();
    for line in lines {
        if !bytes.is_empty() {
            bytes.extend_from_slice(separator);
        }
        bytes.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_bytes(&bytes).expect("values that are valid one by one are valid joined")
}

#[cfg(test)]
mod tests {
    use super::*;

    static PEER: HeaderValue = HeaderValue::from_static("198.51.100.7");

    const ORIGIN: Origin<'_> =
        Origin { peer: &PEER, host: None, secure: false, trusted: false, websocket: false };

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn order_and_duplicates_are_kept_and_the_client_is_named() {
        let host = HeaderValue::from_static("panel.example:80");
        let incoming =
            fields(&[("accept", "a"), ("host", "x"), ("accept", "b"), ("x-own", "1"), ("cookie", "s=1")]);
        let outgoing = request(incoming, Origin { host: Some(&host), ..ORIGIN });
        assert_eq!(
            shown(&outgoing),
            [
                "host: panel.example:80",
                "accept: a",
                "accept: b",
                "x-own: 1",
                "cookie: s=1",
                "x-forwarded-for: 198.51.100.7",
                "x-forwarded-proto: http",
                "x-forwarded-host: panel.example:80",
                "x-real-ip: 198.51.100.7",
            ]
        );
    }

    #[test]
    fn the_order_is_kept_wherever_the_connection_line_is() {
        let host = HeaderValue::from_static("h");
        let lines = [("host", "h"), ("accept", "a"), ("x-own", "1"), ("connection", "keep-alive")];
        for place in 0..lines.len() {
            let mut lines = lines;
            lines[place..].rotate_right(1);
            let outgoing = request(fields(&lines), Origin { host: Some(&host), ..ORIGIN });
            let kept = shown(&outgoing).into_iter().filter(|line| !line.starts_with("x-forwarded"));
            let kept = kept.filter(|line| !line.starts_with("x-real")).collect::<Vec<_>>();
            assert_eq!(kept, ["host: h", "accept: a", "x-own: 1"], "{place}");
            let answer = response(fields(&lines), false).unwrap();
            assert_eq!(shown(&answer), ["host: h", "accept: a", "x-own: 1"], "{place}");
        }
    }

    #[test]
    fn a_last_connection_line_takes_along_what_it_names() {
        let host = HeaderValue::from_static("h");
        let lines = [("host", "h"), ("x-own", "1"), ("connection", "keep-alive, x-own")];
        let outgoing = request(fields(&lines), Origin { host: Some(&host), ..ORIGIN });
        assert!(!outgoing.contains_key("x-own") && !outgoing.contains_key("connection"));
        let twice = [("host", "h"), ("x-own", "1"), ("connection", "keep-alive"), ("connection", "x-own")];
        let outgoing = request(fields(&twice), Origin { host: Some(&host), ..ORIGIN });
        assert!(!outgoing.contains_key("x-own") && !outgoing.contains_key("connection"));
    }

    #[test]
    fn hop_by_hop_fields_and_those_named_by_any_connection_line_stay_behind() {
        let incoming = fields(&[
            ("connection", "close, X-One"),
            ("connection", "x-two , content-length, host"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("content-length", "0"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("proxy-connection", "keep-alive"),
        ]);
        let outgoing = request(incoming, ORIGIN);
        assert_eq!(
            shown(&outgoing),
            [
                "host: ",
                "x-three: 3",
                "content-length: 0",
                "x-forwarded-for: 198.51.100.7",
                "x-forwarded-proto: http"
            ]
        );
    }

    #[test]
    fn claims_about_the_client_are_replaced_unless_the_peer_is_trusted() {
        let host = HeaderValue::from_static("h");
        let claims = || {
            fields(&[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-for", "2.2.2.2"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-proto", "https"),
                ("x-real-ip", "3.3.3.3"),
                ("forwarded", "for=4.4.4.4"),
            ])
        };
        let stranger = request(claims(), Origin { host: Some(&host), ..ORIGIN });
        assert_eq!(
            shown(&stranger)[1..],
            [
                "x-forwarded-for: 198.51.100.7",
                "x-forwarded-proto: http",
                "x-forwarded-host: h",
                "x-real-ip: 198.51.100.7"
            ]
        );
        let trusted = request(claims(), Origin { host: Some(&host), trusted: true, ..ORIGIN });
        assert_eq!(
            shown(&trusted)[1..],
            [
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 198.51.100.7",
                "x-forwarded-host: evil",
                "x-forwarded-proto: https",
                "x-real-ip: 3.3.3.3"
            ]
        );
    }

    #[test]
    fn an_ipv6_literal_host_gets_neither_forwarded_host_nor_real_ip() {
        let host = HeaderValue::from_static("[2001:db8::1]:80");
        let claims = fields(&[("x-forwarded-host", "evil"), ("x-real-ip", "3.3.3.3")]);
        let outgoing = request(claims, Origin { host: Some(&host), ..ORIGIN });
        assert_eq!(
            shown(&outgoing),
            ["host: [2001:db8::1]:80", "x-forwarded-for: 198.51.100.7", "x-forwarded-proto: http"]
        );
    }

    #[test]
    fn a_websocket_keeps_its_handshake_and_loses_what_else_is_hop_by_hop() {
        let incoming = fields(&[
            ("connection", "keep-alive, Upgrade, x-gone"),
            ("upgrade", "WebSocket"),
            ("x-gone", "1"),
        ]);
        assert!(is_websocket(&incoming));
        let outgoing = request(incoming, Origin { websocket: true, ..ORIGIN });
        assert_eq!(
            shown(&outgoing)[1..],
            [
                "connection: Upgrade",
                "upgrade: websocket",
                "x-forwarded-for: 198.51.100.7",
                "x-forwarded-proto: http"
            ]
        );
        assert!(!is_websocket(&fields(&[("connection", "upgrade"), ("upgrade", "h2c")])));
        assert!(!is_websocket(&fields(&[("connection", "close"), ("upgrade", "websocket")])));
        assert!(!is_websocket(&fields(&[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("upgrade", "h2c")
        ])));
    }

    #[test]
    fn trailers_are_asked_for_when_the_client_asks() {
        let outgoing = request(fields(&[("te", "gzip;q=0.5, Trailers")]), ORIGIN);
        assert_eq!(outgoing[header::TE], "trailers");
        assert_eq!(outgoing[header::CONNECTION], "TE");
    }

    #[test]
    fn split_cookies_become_one_line() {
        let mut headers = fields(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
        join_cookies(&mut headers);
        assert_eq!(shown(&headers), ["cookie: a=1; b=2", "x: y"]);
    }

    #[test]
    fn a_response_without_hop_by_hop_fields_passes_as_it_is() {
        let incoming =
            fields(&[("server", "panel"), ("date", "d"), ("set-cookie", "a"), ("set-cookie", "b")]);
        assert_eq!(response(incoming.clone(), false), Ok(incoming));
        let outgoing = response(
            fields(&[("connection", "x-a"), ("x-a", "1"), ("x-b", "2"), ("keep-alive", "1")]),
            false,
        );
        assert_eq!(shown(&outgoing.unwrap()), ["x-b: 2"]);
    }

    #[test]
    fn a_response_ends_in_one_place() {
        let ends = |lines: &[(&'static str, &'static str)]| response(fields(lines), false).is_ok();
        assert!(ends(&[("content-length", "5")]));
        assert!(ends(&[("transfer-encoding", "Chunked")]));
        for lines in [
            &[("content-length", "5"), ("content-length", "5")][..],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("transfer-encoding", "chunked"), ("content-length", "5")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
        ] {
            assert!(!ends(lines), "{lines:?}");
        }
    }

    #[test]
    fn trailers_neither_frame_nor_route_nor_vouch() {
        let incoming = fields(&[
            ("content-length", "1"),
            ("x-sum", "1"),
            ("host", "h"),
            ("connection", "close"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-sum", "2"),
        ]);
        assert_eq!(shown(&trailers(incoming)), ["x-sum: 1", "x-sum: 2"]);
    }
}
