//! The letter case of field names.
//!
//! Names mean the same in any case (RFC 9110 section 5.1), but cross the door as they came. hyper keeps a record of each
//! name for that, which is a fifth of the instructions of a small request. It needs none of a head that is whole, whose
//! bytes tell its letters; and what most programs write, `Content-Type`, is what capitals make of small letters.

use memchr::memchr2;

/// What is known of the letters of a request's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// All names are in the usual ones, and written so again, and none is without a value.
    Usual,
    /// Its bytes tell them.
    Told,
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

impl Letters {
    /// How to read a connection whose next bytes are these: with a record, unless they are one whole request head that ends
    /// with them, and has no body. So nothing of another head is among them.
    #[must_use]
    pub fn of_request(bytes: &[u8]) -> Self {
        let mut all_usual = true;
        let whole = each_name(bytes, |name, usual| {
            all_usual &= usual;
            !may_be_followed(name)
        });
        match whole {
            Some(length) if length == bytes.len() && all_usual => Self::Usual,
            Some(length) if length == bytes.len() => Self::Told,
            Some(_) | None => Self::Kept,
        }
    }
}

/// The names of a head as they were written, each to be found once.
#[derive(Debug)]
pub struct Spelling<'a>(Vec<&'a [u8]>);

impl<'a> Spelling<'a> {
    /// Of the head that these bytes are.
    #[must_use]
    pub fn of(head: &'a [u8]) -> Self {
        let mut names = Vec::new();
        each_name(head, |name, _| {
            names.push(name);
            true
        });
        Self(names)
    }

    /// How the next field of this name was written.
    pub fn take(&mut self, name: &str) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|written| written.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(self.0.remove(at))
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

/// Calls `each` for the name of each line of a request's head, and whether it is usual and has a value, as long as that says
/// true. The length of the head, if it is whole and has nothing in it that can be read in two ways.
fn each_name<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8], bool) -> bool) -> Option<usize> {
    let mut at = line_end(bytes, 0)?;
    while !bytes[at..].starts_with(b"\r\n") {
        let (length, usual) = name(&bytes[at..])?;
        let colon = at + length;
        let next = line_end(bytes, colon)?;
        let empty = bytes[colon + 1..next].trim_ascii_start().is_empty();
        if !each(&bytes[at..colon], usual && !empty) {
            return None;
        }
        at = next;
    }
    Some(at + 2)
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
    let end = at + memchr2(b'\r', b'\n', &bytes[at..])?;
    let whole = end > at && bytes[end..].starts_with(b"\r\n");
    whole.then_some(end + 2)
}

/// The length of the name before a colon, and whether it is usual.
fn name(line: &[u8]) -> Option<(usize, bool)> {
    let (mut barred, mut usual) = (LOWER, true);
    for (length, byte) in line.iter().enumerate() {
        let shape = BYTES[usize::from(*byte)];
        if shape & END != 0 {
            return (*byte == b':' && length > 0).then_some((length, usual));
        }
        usual &= shape & barred == 0;
        barred = shape >> 4;
    }
    None
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
    fn a_whole_head_tells_its_letters() {
        for (fields, names) in [
            ("host: h\r\n", &["host"][..]),
            ("Host: h\r\nDNT: 1\r\nsec-ch-ua:\r\n", &["Host", "DNT", "sec-ch-ua"]),
            ("Host: h\r\nX-9A: x\r\n", &["Host", "X-9A"]),
            ("Host: h\r\nX-Empty: \t\r\n", &["Host", "X-Empty"]),
        ] {
            let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(Letters::of_request(bytes.as_bytes()), Letters::Told, "{bytes:?}");
            let mut spelling = Spelling::of(bytes.as_bytes());
            for name in names.iter().rev() {
                assert_eq!(spelling.take(&name.to_ascii_lowercase()), Some(name.as_bytes()));
                assert_eq!(spelling.take(&name.to_ascii_lowercase()), None);
            }
        }
    }

    #[test]
    fn names_that_come_twice_keep_their_order() {
        let mut spelling = Spelling::of(b"GET / HTTP/1.1\r\nx-a: 1\r\nX: 2\r\nX-A: 3\r\n\r\n");
        let taken = [spelling.take("x-a"), spelling.take("x-a"), spelling.take("x-a"), spelling.take("x")];
        assert_eq!(taken, [Some(&b"x-a"[..]), Some(b"X-A"), None, Some(b"X")]);
    }

    #[test]
    fn whatever_else_comes_is_left_to_hyper_with_a_record() {
        for bytes in [
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\r\n: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\nX: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\rX: 1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
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
