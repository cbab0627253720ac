//! What may come before the HTTP of a peer that forwards for others: a header of the PROXY protocol, versions 1 and 2
//! (haproxy's `proxy-protocol.txt`), and the preface of HTTP/2 (RFC 9113 section 3.4).
//!
//! Parsed here, because both crates for it (ppp, proxy-header) take a port like `+80`, and one of them a line of any
//! length; besides, all that is wanted is one address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Longest line of version 1, its end included.
const MAX_LINE_BYTES: usize = 107;

/// Longest header of version 2. The addresses take 52 bytes; the rest is what proxies say about TLS, which is skipped.
const MAX_BINARY_BYTES: usize = 2048;

/// As much as has to be seen to decide.
pub const MAX_BYTES: usize = MAX_BINARY_BYTES;

const LINE: &[u8] = b"PROXY ";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of version 2 before the addresses.
const BINARY_HEAD: usize = 16;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// More has to come before it can be told.
    Undecided,
    /// With something else: TLS, or HTTP/1.
    Other,
    /// With HTTP/2.
    Http2,
    /// With a PROXY header.
    Proxied(Header),
    /// With something that begins like a PROXY header and is none.
    Malformed,
}

/// A PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that it takes.
    pub length: usize,
    /// The client that it names; `None` where the peer speaks for itself, or does not know.
    pub client: Option<IpAddr>,
}

/// Looks at the first bytes of a connection.
#[must_use]
pub fn start(bytes: &[u8]) -> Start {
    if bytes.starts_with(LINE) {
        return line(bytes);
    }
    if bytes.starts_with(BINARY) {
        return binary(bytes);
    }
    if bytes.starts_with(HTTP2) {
        return Start::Http2;
    }
    let may_become = [LINE, BINARY, HTTP2].iter().any(|known| known.starts_with(bytes));
    if may_become { Start::Undecided } else { Start::Other }
}

/// Version 1.
fn line(bytes: &[u8]) -> Start {
    let within = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        let complete = within.len() == MAX_LINE_BYTES || within.contains(&b'\n');
        return if complete { Start::Malformed } else { Start::Undecided };
    };
    if within[..end].contains(&b'\n') {
        return Start::Malformed; // as it was before the end was seen
    }
    let Ok(Some(client)) = std::str::from_utf8(&within[LINE.len()..end]).map(client_of_line) else {
        return Start::Malformed;
    };
    Start::Proxied(Header { length: end + 2, client })
}

/// `TCP4 198.51.100.7 192.0.2.1 50000 80`, the same with `TCP6`, or `UNKNOWN` and whatever follows.
fn client_of_line(line: &str) -> Option<Option<IpAddr>> {
    let mut words = line.split(' ');
    let client = match words.next()? {
        "UNKNOWN" => return Some(None),
        "TCP4" => addresses::<Ipv4Addr>(&mut words)?.into(),
        "TCP6" => addresses::<Ipv6Addr>(&mut words)?.into(),
        _ => return None,
    };
    let ports_follow = is_port(words.next()?) && is_port(words.next()?) && words.next().is_none();
    ports_follow.then_some(Some(client))
}

/// The source of two addresses.
fn addresses<'a, A: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<A> {
    let source = words.next()?.parse().ok()?;
    words.next()?.parse::<A>().ok()?;
    Some(source)
}

/// Digits without a zero in front.
fn is_port(word: &str) -> bool {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    digits && word.parse::<u16>().is_ok()
}

/// Version 2.
fn binary(bytes: &[u8]) -> Start {
    let Some(&[kind, family, high, low]) = bytes.get(BINARY.len()..BINARY_HEAD) else {
        return Start::Undecided;
    };
    let length = BINARY_HEAD + usize::from(u16::from_be_bytes([high, low]));
    let spoken_for = match kind {
        0x20 => false, // LOCAL: what follows says nothing
        0x21 => true,  // PROXY
        _ => return Start::Malformed,
    };
    if length > MAX_BINARY_BYTES {
        return Start::Malformed;
    }
    let Some(addresses) = bytes.get(BINARY_HEAD..length) else {
        return Start::Undecided;
    };
    let client = match (spoken_for, family) {
        (false, _) | (true, 0x00) => Some(None),
        (true, 0x11) => first::<4>(addresses, 12).map(|source| Some(Ipv4Addr::from(source).into())),
        (true, 0x21) => first::<16>(addresses, 36).map(|source| Some(Ipv6Addr::from(source).into())),
        // Socket files and datagrams have no address of a client over TCP.
        (true, 0x12 | 0x22 | 0x31 | 0x32) => Some(None),
        (true, _) => None,
    };
    client.map_or(Start::Malformed, |client| Start::Proxied(Header { length, client }))
}

/// The first `N` bytes of addresses and ports that take `all`.
fn first<const N: usize>(addresses: &[u8], all: usize) -> Option<[u8; N]> {
    addresses.get(..all)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n";

    fn version_2(kind: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [BINARY, &[kind, family], &length, rest].concat()
    }

    fn proxied(length: usize, client: Option<&str>) -> Start {
        Start::Proxied(Header { length, client: client.map(|client| client.parse().unwrap()) })
    }

    #[test]
    fn a_line_names_the_client() {
        for (line, client) in [
            ("PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\n", Some("198.51.100.7")),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 50000 80\r\n", Some("2001:db8::7")),
            ("PROXY TCP6 ::ffff:198.51.100.7 ::1 0 65535\r\n", Some("::ffff:198.51.100.7")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff:f...f:ffff what ever\r\n", None),
        ] {
            let bytes = [line.as_bytes(), REQUEST].concat();
            assert_eq!(start(&bytes), proxied(line.len(), client), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_exactly_so_is_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE_BYTES));
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY UNKNOWN \n\r\n",
            "PROXY TCP4 [::1] [::1] 1 2\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            "PROXY / HTTP/1.1\r\n",
            &long,
        ] {
            assert_eq!(start(line.as_bytes()), Start::Malformed, "{line}");
        }
        assert_eq!(start(b"PROXY TCP4 \xff 1.2.3.4 1 2\r\n"), Start::Malformed);
    }

    #[test]
    fn the_binary_header_names_the_client_and_what_else_it_says_is_skipped() {
        let v4 = [&[198, 51, 100, 7, 192, 0, 2, 1][..], &[0xc3, 0x50, 0, 80]].concat();
        let six: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let v6 = [&six.octets()[..], &[0; 16], &[0xc3, 0x50, 0, 80]].concat();
        let more = [&v4[..], &[0x04, 0, 3, 0, 0, 0], &[0x20, 0xff, 0xff]].concat();
        for (kind, family, rest, client) in [
            (0x21, 0x11, &v4[..], Some("198.51.100.7")),
            (0x21, 0x21, &v6, Some("2001:db8::7")),
            (0x21, 0x11, &more, Some("198.51.100.7")),
            (0x21, 0x00, &[], None),
            (0x21, 0x12, &v4, None),
            (0x21, 0x31, &[b'/'; 216], None),
            (0x20, 0x00, &[], None),
            (0x20, 0x11, &v4, None),
            (0x20, 0xff, b"any", None),
        ] {
            let header = version_2(kind, family, rest);
            let bytes = [&header, REQUEST].concat();
            assert_eq!(start(&bytes), proxied(header.len(), client), "{kind:x} {family:x}");
        }
    }

    #[test]
    fn a_binary_header_that_is_not_exactly_so_is_malformed() {
        for (kind, family, rest) in [
            (0x11, 0x11, &[0; 12][..]), // another version
            (0x22, 0x11, &[0; 12]),     // another command
            (0x21, 0x13, &[0; 12]),     // another transport
            (0x21, 0x41, &[0; 12]),     // another family
            (0x21, 0x11, &[0; 11]),     // cut short
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x11, &[0; MAX_BINARY_BYTES]),
        ] {
            assert_eq!(start(&version_2(kind, family, rest)), Start::Malformed, "{kind:x} {family:x}");
        }
    }

    #[test]
    fn nothing_is_decided_before_it_is_sure_and_it_never_depends_on_what_follows() {
        let v4 = version_2(0x21, 0x11, &[1; 12]);
        for whole in [&b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"[..], b"PROXY UNKNOWN\r\n", &v4, HTTP2] {
            for end in 0..whole.len() {
                assert_eq!(start(&whole[..end]), Start::Undecided, "{:?}", &whole[..end]);
            }
            let decided = start(whole);
            assert!(!matches!(decided, Start::Undecided | Start::Other | Start::Malformed));
            assert_eq!(start(&[whole, REQUEST].concat()), decided);
        }
        for other in
            [REQUEST, b"POST", b"PUT", b"PRI * HTTP/1.1", b"PROXYX", b"\x16\x03\x01", b"\r\nGET", b"\n"]
        {
            assert_eq!(start(other), Start::Other, "{other:?}");
        }
    }
}
