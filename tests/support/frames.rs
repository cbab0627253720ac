//! HTTP/2 frame by frame (RFC 9113), for clients that do what no library would.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls;

/// Types of frames (RFC 9113 section 6).
pub const DATA: u8 = 0;
/// Opens a stream.
pub const HEADERS: u8 = 1;
/// Ends a stream at once.
pub const RST_STREAM: u8 = 3;
/// Parameters.
pub const SETTINGS: u8 = 4;
/// Is echoed.
pub const PING: u8 = 6;
/// No further streams.
pub const GOAWAY: u8 = 7;
/// Gives room for data.
pub const WINDOW_UPDATE: u8 = 8;
/// More of a header block.
pub const CONTINUATION: u8 = 9;

/// No more comes on this stream.
pub const END_STREAM: u8 = 1;
/// Of a SETTINGS or PING: it was received.
pub const ACK: u8 = 1;
/// The header block is complete.
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Which type.
    pub kind: u8,
    /// With which flags.
    pub flags: u8,
    /// Of which stream.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// A connection after its preface.
#[derive(Debug)]
pub struct Frames<S = TlsStream<TcpStream>>(S);

impl Frames {
    /// Over TLS, with these SETTINGS (identifier, value).
    pub async fn open(https: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = tls::connect(https, &tls::trusting_anybody(&["h2"])).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let mut frames = Self(stream);
        frames.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        assert!(frames.send(&frame(SETTINGS, 0, 0, &payload)).await);
        frames
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Over a connection on which the preface has been sent.
    pub fn resumed(stream: S) -> Self {
        Self(stream)
    }

    /// Sends bytes; `false` when the other side takes no more.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok() && self.0.flush().await.is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Everything until the end of the connection.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            all.push(frame);
        }
        all
    }

    /// Reads until a frame of this type comes.
    pub async fn until(&mut self, kind: u8) -> Frame {
        self.until_or_end(kind).await.unwrap_or_else(|| panic!("it ended before a frame of type {kind}"))
    }

    /// Reads until a frame of this type comes; `None` if the connection ends before.
    pub async fn until_or_end(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}

/// The bytes of one frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a GET, with further fields; all without the dynamic table (RFC 7541 section 6.2.2).
pub fn get(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    block(0x82, path, fields)
}

/// The same of a POST.
pub fn post(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    block(0x83, path, fields)
}

/// `method` as an index of the static table.
fn block(method: u8, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![method, 0x87]; // :scheme https
    block.extend([&[0x04][..], &string(path), &[0x01], &string("door.test")].concat());
    block.extend(literals(fields));
    block
}

/// Fields as they are, pseudo-header fields too, in this order.
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |(name, value): &(&str, &str)| [vec![0], string(name), string(value)].concat();
    fields.iter().flat_map(literal).collect()
}

/// A GET that opens `stream` and ends it.
pub fn get_on(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path, &[]))
}

/// An integer of HPACK with a prefix of seven bits, and the text after it.
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(u8::try_from(rest).unwrap());
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128 + 128).unwrap());
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend(text.as_bytes());
    bytes
}
