//! Header fields on their way to the panel and back: options in the first line, a field in each of the others.

use doorman::policy::headers::{self, Origin};
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Never crosses the door, in either direction.
pub(crate) const HOP_BY_HOP: [&str; 8] = [
    "close",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What a client may not say of itself.
pub(crate) const CLAIMS: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// A message loses what it must and nothing else, and keeps its order.
pub(super) fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let options = lines.next().unwrap_or_default();
    let mut fields = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
            return;
        };
        fields.append(name, value);
    }
    // `route::admit` has refused all that have more than one.
    if fields.get_all("host").iter().count() <= 1 {
        request(&fields, options);
    }
    response(&fields, options.contains(&b'w'));
}

fn request(incoming: &HeaderMap, options: &[u8]) {
    let (trusted, websocket) = (options.contains(&b't'), options.contains(&b'w'));
    let host = match options.first() {
        Some(b'4') => Some(HeaderValue::from_static("h:80")),
        Some(b'6') => Some(HeaderValue::from_static("[::1]:80")),
        _ => None,
    };
    let peer = HeaderValue::from_static("198.51.100.7");
    let origin = Origin { peer: &peer, host: host.as_ref(), secure: false, trusted, websocket };
    let outgoing = headers::request(incoming, origin);

    assert_eq!(outgoing.get_all("host").iter().count(), 1);
    assert!(!outgoing.contains_key("forwarded"));
    for name in HOP_BY_HOP {
        let value = outgoing.get(name);
        let fine = match name {
            "upgrade" => value.is_none() != websocket,
            "te" => value.is_none_or(|value| value == "trailers" && !websocket),
            _ => value.is_none(),
        };
        assert!(fine, "{name}: {value:?}");
    }
    let client = outgoing.get_all("x-forwarded-for").iter().collect::<Vec<_>>();
    assert!(client.len() == 1 && client[0].as_bytes().ends_with(peer.as_bytes()), "{client:?}");
    assert!(trusted || client[0] == peer, "{client:?}");
    let of_the_hop = |name: &str| {
        HOP_BY_HOP.contains(&name) || CLAIMS.contains(&name) || name == "connection" || name == "host"
    };
    only_these_are_gone(incoming, &outgoing, of_the_hop);
}

fn response(incoming: &HeaderMap, websocket: bool) {
    let Ok(outgoing) = headers::response(incoming.clone(), websocket) else { return };
    assert!(incoming.get_all("content-length").iter().count() <= 1);
    for name in HOP_BY_HOP {
        let value = outgoing.get(name);
        assert!(value.is_none() || (name == "upgrade" && websocket), "{name}: {value:?}");
    }
    let of_the_hop = |name: &str| HOP_BY_HOP.contains(&name) || name == "connection";
    only_these_are_gone(incoming, &outgoing, of_the_hop);
}

/// Besides those of the hop what `Connection` lines nominate, and nothing else.
fn only_these_are_gone(incoming: &HeaderMap, outgoing: &HeaderMap, of_the_hop: impl Fn(&str) -> bool) {
    let nominated = nominated(incoming);
    let expected = all_but(incoming, |name| of_the_hop(name) || nominated.iter().any(|gone| gone == name));
    assert_eq!(all_but(outgoing, of_the_hop), expected);
}

/// Lower-case names that `Connection` lines give, but those without which a message has no host or end.
fn nominated(fields: &HeaderMap) -> Vec<String> {
    let mut names = Vec::new();
    for line in fields.get_all("connection") {
        for name in line.as_bytes().split(|byte| *byte == b',') {
            let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
            if name != "host" && name != "content-length" {
                names.push(name);
            }
        }
    }
    names
}

fn all_but(fields: &HeaderMap, left_out: impl Fn(&str) -> bool) -> Vec<(String, HeaderValue)> {
    let all = fields.iter().map(|(name, value)| (name.as_str().to_owned(), value.clone()));
    all.filter(|(name, _)| !left_out(name)).collect()
}
