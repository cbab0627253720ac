//! Where the content of an answer ends, piece by piece (RFC 9112 sections 6 and 7).

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::head::{Ending, MAX_FIELDS, Malformed};

/// Longest line with the size of a chunk and its extensions, which are not passed on.
const MAX_SIZE_LINE_BYTES: usize = 16 * 1024;

/// Most bytes of trailers.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// What is yet to come of the content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(Rest);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// So many bytes.
    Length(u64),
    /// Whatever comes until the end of the connection.
    Close,
    /// Chunks; next is this.
    Chunks(Next),
}

/// What comes next of a chunked content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The size of a chunk.
    Size,
    /// So many bytes of it.
    Data(u64),
    /// The end of its line.
    DataEnd,
    /// Trailers, or the empty line that ends all.
    Trailers,
}

/// A piece of content.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some of it.
    Data(Bytes),
    /// The fields after it, and the end.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// More must be read.
    Hungry,
}

impl Content {
    /// All of it.
    #[must_use]
    pub fn new(ending: Ending) -> Self {
        Self(match ending {
            Ending::Length(length) => Rest::Length(length),
            Ending::Chunked => Rest::Chunks(Next::Size),
            Ending::Close => Rest::Close,
        })
    }

    /// How many bytes are to come, if that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.0 {
            Rest::Length(left) => Some(left),
            Rest::Close | Rest::Chunks(_) => None,
        }
    }

    /// Whether it is known that nothing more is to come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0 == Rest::Length(0)
    }

    /// Takes the next piece from what was read. What was read of nothing but the content's end stays where it is.
    ///
    /// # Errors
    /// What is no chunk.
    pub fn take(&mut self, unread: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            let next = match &mut self.0 {
                Rest::Length(0) => return Ok(Piece::End),
                _ if unread.is_empty() => return Ok(Piece::Hungry),
                Rest::Length(left) => return Ok(take_data(left, unread)),
                Rest::Close => return Ok(Piece::Data(unread.split().freeze())),
                Rest::Chunks(next) => next,
            };
            *next = match next {
                Next::Size => match take_size(unread)? {
                    Some(0) => Next::Trailers,
                    Some(size) => Next::Data(size),
                    None => return Ok(Piece::Hungry),
                },
                Next::Data(left) => {
                    let data = take_data(left, unread);
                    if *left == 0 {
                        *next = Next::DataEnd;
                    }
                    return Ok(data);
                }
                Next::DataEnd => match &unread[..] {
                    [b'\r', b'\n', ..] => {
                        unread.advance(2);
                        Next::Size
                    }
                    b"\r" => return Ok(Piece::Hungry),
                    _ => return Err(Malformed::Chunk),
                },
                Next::Trailers => {
                    let piece = take_trailers(unread)?;
                    if piece != Piece::Hungry {
                        self.0 = Rest::Length(0);
                    }
                    return Ok(piece);
                }
            };
        }
    }

    /// The connection has ended. Whether that is where the content ends.
    #[must_use]
    pub fn ends_here(&mut self) -> bool {
        if self.0 == Rest::Close {
            self.0 = Rest::Length(0);
        }
        self.is_over()
    }

    /// So many bytes of a known length were taken otherwise.
    pub fn pass_over(&mut self, bytes: u64) {
        if let Rest::Length(left) = &mut self.0 {
            *left = left.saturating_sub(bytes);
        }
    }
}

/// What there is of so many bytes.
fn take_data(left: &mut u64, unread: &mut BytesMut) -> Piece {
    let length = usize::try_from(*left).map_or(unread.len(), |left| left.min(unread.len()));
    *left -= length as u64;
    Piece::Data(unread.split_to(length).freeze())
}

/// The size of the next chunk, if its line is whole: `1*HEXDIG`, and blanks and extensions, which mean nothing here.
fn take_size(unread: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let Some(end) = memchr::memchr2(b'\r', b'\n', unread) else {
        let fits = unread.len() < MAX_SIZE_LINE_BYTES;
        return if fits { Ok(None) } else { Err(Malformed::Chunk) };
    };
    match unread[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] => return Ok(None),
        _ => return Err(Malformed::Chunk),
    }
    if end > MAX_SIZE_LINE_BYTES {
        return Err(Malformed::Chunk);
    }
    let line = &unread[..end];
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let blanks = line[digits..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let rest = &line[digits + blanks..];
    let size = std::str::from_utf8(&line[..digits]).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    match size {
        Some(size) if rest.is_empty() || rest.starts_with(b";") => {
            unread.advance(end + 2);
            Ok(Some(size))
        }
        Some(_) | None => Err(Malformed::Chunk),
    }
}

/// The trailers, and the empty line after them, if they are whole.
fn take_trailers(unread: &mut BytesMut) -> Result<Piece, Malformed> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let (length, lines) = match httparse::parse_headers(unread, &mut lines)? {
        httparse::Status::Complete(parsed) if parsed.0 <= MAX_TRAILER_BYTES => parsed,
        httparse::Status::Partial if unread.len() < MAX_TRAILER_BYTES => return Ok(Piece::Hungry),
        httparse::Status::Complete(_) | httparse::Status::Partial => return Err(Malformed::TooLarge),
    };
    let mut fields = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Malformed::Field)?;
        fields.append(name, HeaderValue::from_bytes(line.value).map_err(|_| Malformed::Field)?);
    }
    let bare = |end: usize| !unread[..end].ends_with(b"\r");
    if memchr::memchr_iter(b'\n', &unread[..length]).any(bare) {
        return Err(Malformed::Chunk);
    }
    unread.advance(length);
    Ok(if fields.is_empty() { Piece::End } else { Piece::Trailers(fields) })
}

#[cfg(test)]
mod tests;
