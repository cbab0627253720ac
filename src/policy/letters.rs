//! The letter case of field names.
//!
//! Names mean the same in any case (RFC 9110 section 5.1), but cross the door as they came. hyper keeps a record of each
//! name for that, which is a fifth of the instructions of a small request. Where every name is written as most programs
//! write it, `Content-Type`, hyper writes the same bytes without a record.

use memchr::memchr;

/// How the names on a connection are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// Every name is in the usual letters, and written so again.
    Usual,
    /// hyper keeps a record.
    Kept,
}

/// By byte: what it is in a name, in the lower four bits, and what may not follow it, in the upper four (RFC 9110 section
/// 5.6.2). A table, because each request has some hundred bytes of names.
const BYTES: [u8; 256] = {
    let mut bytes = [END; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = match byte as u8 {
            b'a'..=b'z' => LOWER | (UPPER | END) << 4,
            b'A'..=b'Z' => UPPER | (UPPER | END) << 4,
            b'-' => (LOWER | END) << 4,
            b'0'..=b'9'
            | b'!'
            | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~' => (UPPER | END) << 4,
            _ => END,
        };
        byte += 1;
    }
    bytes
};
const LOWER: u8 = 1;
const UPPER: u8 = 2;
const END: u8 = 4;

/// A head that is whole, with usual names only.
struct Head {
    length: usize,
    /// A body or another protocol may follow.
    followed: bool,
}

impl Letters {
    /// How to read a connection whose next bytes are these: [`Letters::Usual`] only for one whole request head that ends
    /// with them, has no body, and only usual names. So nothing of another head is among them.
    #[must_use]
    pub fn of_request(bytes: &[u8]) -> Self {
        match head(bytes) {
            Some(Head { length, followed: false }) if length == bytes.len() => Self::Usual,
            Some(_) | None => Self::Kept,
        }
    }
}

/// Whether each of a name's words has a capital first, and no other.
#[must_use]
pub fn is_usual(name: &[u8]) -> bool {
    usual_length(name) == name.len()
}

/// Puts a name in small letters into the usual ones.
pub fn capitalize(name: &mut [u8]) {
    let mut first = true;
    for byte in name {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
}

/// Where all names are usual. A field without a value is not: hyper writes it in two ways, with a record and without.
fn head(bytes: &[u8]) -> Option<Head> {
    let mut at = line_end(bytes, 0)?;
    let mut followed = false;
    while !bytes[at..].starts_with(b"\r\n") {
        let colon = at + usual_name(&bytes[at..])?;
        followed |= may_be_followed(&bytes[at..colon]);
        at = line_end(bytes, colon)?;
        if bytes[colon + 1..at].trim_ascii_start().is_empty() {
            return None;
        }
    }
    Some(Head { length: at + 2, followed })
}

/// Whether more than the head may come after a field of this name.
fn may_be_followed(name: &[u8]) -> bool {
    let name_like = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match name.len() {
        7 => name_like(b"upgrade"),
        14 => name_like(b"content-length"),
        17 => name_like(b"transfer-encoding"),
        _ => false,
    }
}

/// Where the line after the one at `at` begins.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let end = at + memchr(b'\r', &bytes[at..])?;
    let whole = end > at && bytes.get(end + 1) == Some(&b'\n');
    whole.then_some(end + 2)
}

/// The length of a usual name, before its colon.
fn usual_name(line: &[u8]) -> Option<usize> {
    let length = usual_length(line);
    (line.get(length) == Some(&b':')).then_some(length)
}

/// How much of a line is as in a usual name.
fn usual_length(line: &[u8]) -> usize {
    let mut barred = LOWER | END;
    for (length, byte) in line.iter().enumerate() {
        let shape = BYTES[usize::from(*byte)];
        if shape & barred != 0 {
            return length;
        }
        barred = shape >> 4;
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whole_usual_head_needs_no_record() {
        for fields in ["Host: h\r\n", "Host: h\r\nUser-Agent: curl/8\r\nX-2-Fa: 1\r\nX_y: 2\r\n9a: 3\r\n", ""]
        {
            let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(Letters::of_request(bytes.as_bytes()), Letters::Usual, "{bytes:?}");
        }
    }

    #[test]
    fn whatever_else_comes_is_left_to_hyper_with_a_record() {
        for bytes in [
            "GET / HTTP/1.1\r\nhost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nDNT: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nsec-ch-ua: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-9A: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Empty: \t\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\nHost: h\n\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n",
            "GET / HTTP/1.1\r\nHo",
            "GET /",
            "",
            "GET / HTTP/1.1\r\nHost: h\r\n\r\nG",
            "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ] {
            assert_eq!(Letters::of_request(bytes.as_bytes()), Letters::Kept, "{bytes:?}");
        }
    }

    #[test]
    fn a_name_is_usual_when_it_is_what_capitals_make_of_small_letters() {
        for name in [
            "Host",
            "Content-Type",
            "X-2-Fa",
            "X_y",
            "9a",
            "ETag",
            "DNT",
            "host",
            "X-Own-",
            "X--A",
            "WWW-Authenticate",
        ] {
            let mut again = name.to_ascii_lowercase().into_bytes();
            capitalize(&mut again);
            assert_eq!(is_usual(name.as_bytes()), again == name.as_bytes(), "{name}");
        }
    }
}
