//! The two WebSocket loads, RFC 6455: an echo of short messages and a stream of long ones.

use crate::cycle::Cycle;

/// The client's opening request for `path`; key and accept are the pair of RFC 6455, section 1.3.
pub(crate) fn opening(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The upstream's answer to it.
pub(crate) const ACCEPTED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Bytes of text in a message of the echo.
const MESSAGE: usize = 32;
/// A binary frame with FIN.
const BINARY: u8 = 0x82;
/// A masked frame of the echo: two bytes of head, four of mask, the message.
pub(crate) const ASKED: usize = 2 + 4 + MESSAGE;
/// Bytes of text in a frame of the stream.
const BULK: u16 = 32 * 1024;
/// Frames until the stream repeats itself.
const BULK_FRAMES: usize = 31;

/// A message as the client sends it. The mask is zero: the proxies do not look, and the echo need not unmask.
pub(crate) fn asked(noise: &Cycle, number: u64) -> [u8; ASKED] {
    let mut frame = [0; ASKED];
    frame[0] = BINARY;
    frame[1] = 0x80 | MESSAGE as u8;
    let text = noise.at(number * 7, MESSAGE);
    frame[6..6 + text.len()].copy_from_slice(text);
    frame
}

/// The same message as the upstream sends it back: without the mask.
pub(crate) fn echoed(asked: &[u8]) -> [u8; 2 + MESSAGE] {
    let mut frame = [0; 2 + MESSAGE];
    frame[0] = BINARY;
    frame[1] = MESSAGE as u8;
    frame[2..].copy_from_slice(&asked[6..ASKED]);
    frame
}

/// The stream: binary frames of 32 KiB, over and over.
pub(crate) fn bulk(noise: &Cycle) -> Cycle {
    let frame = |number: usize| {
        let text = noise.at((number * 13) as u64, usize::from(BULK)).to_vec();
        let length = BULK.to_be_bytes();
        [vec![BINARY, 126, length[0], length[1]], text].concat()
    };
    Cycle::of((0..BULK_FRAMES).flat_map(frame).collect())
}
