//! Heads as they stand on a connection to an upstream (RFC 9112 sections 2 to 5).
//!
//! Towards clients hyper reads and writes them. Towards upstreams it would do both by way of a second set of types, a third
//! of what a small request costs outside the kernel; so here a request's head is written once, from its fields, and an
//! answer's is read by `httparse`, hyper's own parser, straight into the fields that go on.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use thiserror::Error;

use super::headers;
use super::letters;

/// Most fields of an answer, as hyper has it.
pub const MAX_FIELDS: usize = 100;

/// Largest head of an answer: what a client may send us.
pub const MAX_BYTES: usize = 64 * 1024;

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Bytes that it took.
    pub length: usize,
    /// Its status.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// Its words, where they are not the usual ones.
    pub reason: Option<Bytes>,
    /// All of its fields, in their order.
    pub fields: HeaderMap,
    /// Their names as they came, each with a colon, where they are not all in the usual letters.
    pub unusual: Option<Vec<u8>>,
}

/// Why an answer cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Not HTTP.
    #[error("its answer is no HTTP: {0}")]
    Syntax(#[from] httparse::Error),
    /// Larger than [`MAX_BYTES`].
    #[error("the head of its answer is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// A status that is none.
    #[error("the status of its answer is none")]
    Status,
    /// A name or a value that is none.
    #[error("a field of its answer is none")]
    Field,
    /// A length that is none, or a coding in HTTP/1.0.
    #[error("the end of its answer cannot be found")]
    Framing,
    /// A size of a chunk that is none, or too long a line with it, or a chunk that does not end where it should.
    #[error("a chunk of its answer is none")]
    Chunk,
}

/// Where the content of a message ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After so many bytes.
    Length(u64),
    /// After its last chunk.
    Chunked,
    /// With the connection.
    Close,
}

impl Head {
    /// Reads the head at the beginning of `bytes`, if it is whole.
    ///
    /// # Errors
    /// What is no answer of HTTP/1.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut answer = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let length = match parser.parse_response_with_uninit_headers(&mut answer, bytes, &mut lines)? {
            httparse::Status::Complete(length) if length <= MAX_BYTES => length,
            httparse::Status::Complete(_) => return Err(Malformed::TooLarge),
            httparse::Status::Partial if bytes.len() < MAX_BYTES => return Ok(None),
            httparse::Status::Partial => return Err(Malformed::TooLarge),
        };
        let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed::Status)?;
        let version = if answer.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
        let reason = answer.reason.filter(|words| Some(*words) != status.canonical_reason());
        let reason = reason.map(|words| Bytes::copy_from_slice(words.as_bytes()));
        let unusual = spelled(answer.headers);
        let fields = fields(bytes, length, answer.headers)?;
        Ok(Some(Self { length, status, version, reason, fields, unusual }))
    }

    /// Whether another answer follows it before any content (RFC 9110 section 15.2). A 101 is the last one of HTTP.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    /// Whether the connection stays for another request. After an answer of HTTP/1.0 it never does: that cannot be relied
    /// on to understand the chunks of the next one.
    #[must_use]
    pub fn persists(&self) -> bool {
        self.version == Version::HTTP_11
            && self.status != StatusCode::SWITCHING_PROTOCOLS
            && !headers::is_last(&self.fields)
    }

    /// Where its content ends, as the answer to a request of this method.
    ///
    /// # Errors
    /// A length that is none; a coding in HTTP/1.0. What else is ambiguous is for [`headers::response`].
    pub fn ending(&self, method: &Method) -> Result<Ending, Malformed> {
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&self.status)
            || self.status.is_informational()
            || method == Method::HEAD;
        if bodiless {
            return Ok(Ending::Length(0));
        }
        match (headers::transfer_coding(&self.fields), self.fields.get(header::CONTENT_LENGTH)) {
            (headers::Coding::None, None) => Ok(Ending::Close),
            (headers::Coding::None, Some(length)) => {
                number(length.as_bytes()).map(Ending::Length).ok_or(Malformed::Framing)
            }
            (_, _) if self.version == Version::HTTP_10 => Err(Malformed::Framing),
            (headers::Coding::Chunked, _) => Ok(Ending::Chunked),
            (headers::Coding::Other, _) => Ok(Ending::Close),
        }
    }
}

/// The names of all lines, if one of them, or a missing value, is such that hyper would write it differently.
fn spelled(lines: &[httparse::Header<'_>]) -> Option<Vec<u8>> {
    let usual =
        |line: &httparse::Header<'_>| letters::is_usual(line.name.as_bytes()) && !line.value.is_empty();
    if lines.iter().all(usual) {
        return None;
    }
    let mut names = Vec::with_capacity(32 * lines.len());
    for line in lines {
        names.extend_from_slice(line.name.as_bytes());
        names.push(b':');
    }
    Some(names)
}

/// The lines of the head at the beginning of `bytes` as fields.
fn fields(bytes: &[u8], length: usize, lines: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let head = Bytes::copy_from_slice(&bytes[..length]);
    let mut fields = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Malformed::Field)?;
        let value = match line.value {
            [] => Bytes::new(),
            [first, ..] => {
                let at = std::ptr::from_ref(first).addr() - bytes.as_ptr().addr();
                head.slice(at..at + line.value.len())
            }
        };
        fields.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Malformed::Field)?);
    }
    Ok(fields)
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    all_digits.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// Writes the first line of a request. A target that has only a query is of the root (RFC 9112 section 3.2.1).
pub fn write_request_line(out: &mut Vec<u8>, method: &Method, target: &str) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    if target.starts_with('?') {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes a field, its name as it is `spelled`, or in the usual letters.
pub fn write_field(out: &mut Vec<u8>, name: &HeaderName, spelled: Option<&[u8]>, value: &HeaderValue) {
    match spelled {
        Some(spelled) => out.extend_from_slice(spelled),
        None => {
            let start = out.len();
            out.extend_from_slice(name.as_str().as_bytes());
            letters::capitalize(&mut out[start..]);
        }
    }
    // As hyper has it with a record and without.
    let bare = spelled.is_some() && value.is_empty();
    out.extend_from_slice(if bare { b":" } else { b": " });
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
