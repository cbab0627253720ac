//! Which header fields cross the door, and which are added (RFC 9110 section 7.6.1, facts of the panels).
//!
//! The outgoing map is built in the order of the incoming one: `HeaderMap::remove` would reorder it.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use super::address;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

static NO_HOST: HeaderValue = HeaderValue::from_static("");
static HTTP: HeaderValue = HeaderValue::from_static("http");
static HTTPS: HeaderValue = HeaderValue::from_static("https");
static UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");
static WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
static CONNECTION_TE: HeaderValue = HeaderValue::from_static("TE");

/// Room for the fields that [`request`] may add.
const ADDED: usize = 6;

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

/// The fields of a request as they go to the upstream; see [`for_each_of_request`].
#[must_use]
pub fn request(incoming: &HeaderMap, origin: Origin<'_>) -> HeaderMap {
    let mut outgoing = HeaderMap::with_capacity(incoming.len() + ADDED);
    for_each_of_request(incoming, origin, |name, value| {
        outgoing.append(name, value.clone());
    });
    outgoing
}

/// Calls `each` for every field of a request as it goes to the upstream, in order.
///
/// Hop-by-hop fields and those that a `Connection` line names are gone, `Host` is the one asked for, what others claimed about the
/// client is replaced by what the socket shows, unless the peer is trusted.
pub fn for_each_of_request(
    incoming: &HeaderMap,
    origin: Origin<'_>,
    mut each: impl FnMut(&HeaderName, &HeaderValue),
) {
    let nominated = Nominated::of(incoming);
    let mut has_host = incoming.contains_key(header::HOST);
    if !has_host {
        each(&header::HOST, origin.host());
    }
    let mut vouched_for = Vec::new();
    for (name, value) in incoming {
        if name == header::HOST {
            if std::mem::take(&mut has_host) {
                each(name, origin.host());
            }
            continue;
        }
        if is_hop_by_hop(name) || nominated.contains(name) {
            continue;
        }
        if !is_claim_about_client(name) {
            each(name, value);
            continue;
        }
        if !origin.trusted || name == header::FORWARDED {
            continue;
        }
        if name != X_FORWARDED_FOR {
            each(name, value);
        } else if !vouched_for.contains(&name) {
            each(name, &joined(incoming.get_all(name).iter().chain([origin.peer]), b", "));
        }
        vouched_for.push(name);
    }
    if origin.websocket {
        each(&header::CONNECTION, &UPGRADE);
        each(&header::UPGRADE, &WEBSOCKET);
    } else if asks_for_trailers(incoming) {
        each(&header::TE, &TRAILERS);
        each(&header::CONNECTION, &CONNECTION_TE);
    }
    origin.for_each_claim(|name, value| {
        if !vouched_for.contains(&name) {
            each(name, value);
        }
    });
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
    let (mut lengths, mut hop_by_hop) = (0, HopByHop::Nothing);
    for (index, (name, value)) in incoming.iter().enumerate() {
        if name == header::CONTENT_LENGTH {
            lengths += 1;
            if lengths > 1 || !value.as_bytes().iter().all(u8::is_ascii_digit) {
                return Err(Ambiguous);
            }
        } else if is_hop_by_hop(name) {
            let lonely = hop_by_hop == HopByHop::Nothing
                && index + 1 == incoming.len()
                && name == header::CONNECTION
                && elements(value).all(is_connection_option);
            hop_by_hop = if lonely { HopByHop::Last } else { HopByHop::More };
        }
    }
    if !websocket && hop_by_hop.drop_from(&mut incoming) {
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

/// Of the trailers of a request only those that its head announces in `Trailer` (RFC 9110 section 6.6.2).
pub fn keep_announced(trailers: &mut HeaderMap, announced: &[HeaderName]) {
    let fields = std::mem::take(trailers);
    for_each_field(fields, |name, value| {
        if announced.contains(&name) && !is_for_the_head(&name) {
            trailers.append(name, value);
        }
    });
}

/// The names that a head announces as trailers.
#[must_use]
pub fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &header::TRAILER).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
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

/// Whether the connection ends with this message (RFC 9112 section 9.6).
#[must_use]
pub fn is_last(headers: &HeaderMap) -> bool {
    tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// Makes one line of several `Cookie` lines: HTTP/2 clients may split the field, and HTTP/1.1 upstreams want it whole
/// (RFC 9113 section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_some() {
        let whole = joined(headers.get_all(header::COOKIE).iter(), b"; ");
        headers.insert(header::COOKIE, whole);
    }
}

/// Makes one line of several equal `Content-Length` lines: over HTTP/2 only lengths that differ are refused before, and
/// upstreams disagree about two (RFC 9110 section 8.6).
pub fn join_lengths(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let (Some(length), Some(_)) = (lengths.next().cloned(), lengths.next()) {
        headers.insert(header::CONTENT_LENGTH, length);
    }
}

/// An address as a field value: IPv4 as such, even where it came over an IPv6 socket.
#[must_use]
pub fn address(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address::text(address)).expect("an address is printable ASCII")
}

/// Whether a host is an IPv6 literal, with or without a port.
#[must_use]
pub fn is_ipv6_literal(host: &HeaderValue) -> bool {
    host.as_bytes().first() == Some(&b'[')
}

impl Origin<'_> {
    fn host(&self) -> &HeaderValue {
        self.host.unwrap_or(&NO_HOST)
    }

    /// Calls `each` for `X-Forwarded-*` and `X-Real-IP` as we know them.
    ///
    /// Panels make subscription links from `X-Forwarded-Host`, else `X-Real-IP`, else `Host`; with an IPv6 literal only the
    /// last gives a link that works, so the first two stay away.
    fn for_each_claim(&self, mut each: impl FnMut(&HeaderName, &HeaderValue)) {
        each(&X_FORWARDED_FOR, self.peer);
        each(&X_FORWARDED_PROTO, if self.secure { &HTTPS } else { &HTTP });
        if let Some(host) = self.host.filter(|host| !is_ipv6_literal(host)) {
            each(&X_FORWARDED_HOST, host);
            each(&X_REAL_IP, self.peer);
        }
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
        // `Close` is no field but for what `Connection: close` would nominate (RFC 9110 section 18.4).
        other => matches!(other.as_str(), "keep-alive" | "proxy-connection" | "close"),
    }
}

/// What only a head may say: how to route, read, check or keep a message (RFC 9110 section 6.5.1).
fn is_for_the_head(name: &HeaderName) -> bool {
    [
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::MAX_FORWARDS,
        header::SET_COOKIE,
        header::TRAILER,
    ]
    .contains(name)
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
    headers.get_all(name).iter().flat_map(elements)
}

/// The elements of one line of such a field.
fn elements(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
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
mod tests;
