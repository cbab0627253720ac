//! What only hyper itself can read or make of the letters of field names.
//!
//! hyper keeps a private record of how each name was written, and looks it up when it writes. Where nothing else tells the
//! letters of a request's names, it is made to write its head into memory; where those of an answer are not the usual ones,
//! to read them from there.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Extensions, Request};
use http_body::{Body, Frame};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, DuplexStream, duplex};
use tokio_util::io::poll_read_buf;

/// Most that is in memory between hyper and us: more than the names of an answer have.
const ROOM_BYTES: usize = 128 * 1024;

/// Room for a usual one.
const HEAD_BYTES: usize = 1024;

/// What hyper is told of a body, which goes its own way.
pub(super) enum Told {
    /// There is none.
    Nothing,
    /// There is one.
    Something,
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {
            Self::Nothing => Poll::Ready(None),
            Self::Something => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// A connection of hyper's to this process.
struct Memory {
    sender: SendRequest<Told>,
    connection: Connection<TokioIo<DuplexStream>, Told>,
    far_end: DuplexStream,
}

impl Memory {
    fn new(cx: &mut Context<'_>) -> Option<Self> {
        let (io, far_end) = duplex(ROOM_BYTES);
        let handshake =
            Builder::new().preserve_header_case(true).title_case_headers(true).handshake(TokioIo::new(io));
        match pin!(handshake).poll(cx) {
            Poll::Ready(Ok((sender, connection))) => Some(Self { sender, connection, far_end }),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }
}

/// The head of a request, the names as its extensions record them.
pub(super) fn head(request: Request<Told>) -> Option<Vec<u8>> {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut memory = Memory::new(cx)?;
    let _reply = memory.sender.send_request(request); // dropped, it would take the request along
    let mut written = Vec::with_capacity(HEAD_BYTES);
    loop {
        let _ = pin!(&mut memory.connection).poll(cx);
        let read = poll_read_buf(Pin::new(&mut memory.far_end), cx, &mut written);
        if !matches!(read, Poll::Ready(Ok(1..))) {
            break;
        }
    }
    written.ends_with(b"\r\n\r\n").then_some(written)
}

/// hyper's record of these names, each of which has a colon after it.
pub(super) fn record(names: &[u8]) -> Option<Extensions> {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    for name in names.split_inclusive(|byte| *byte == b':') {
        answer.extend_from_slice(name);
        answer.extend_from_slice(b"0\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    let mut memory = Memory::new(cx)?;
    let reply = pin!(memory.sender.send_request(Request::new(Told::Nothing)));
    // It must have asked before it is answered. How it ends is of no interest.
    let _ = pin!(&mut memory.connection).poll(cx);
    let _ = Pin::new(&mut memory.far_end).poll_write(cx, &answer);
    let _ = pin!(&mut memory.connection).poll(cx);
    match reply.poll(cx) {
        Poll::Ready(Ok(response)) => Some(response.into_parts().0.extensions),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}
