//! What an upgraded connection becomes: bytes both ways, with half-close, and without a time limit.
//!
//! A tunnel that is silent has no memory of its own. What is read goes on at once, from a buffer that the worker has for
//! all of them; what the other side does not take is kept, and no more is read until it has.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::line::Line;
use super::splice;
use super::stream::Stream;

/// Most that is read at once.
const ROOM_BYTES: usize = 128 * 1024;

/// Pieces that one direction may move before all else of the worker has its turn.
const TURNS: usize = 16;

/// From here on a piece is one of many: what follows it stays in the kernel.
const MANY_BYTES: usize = 32 * 1024;

/// Below this it is dearer to move pages about than to copy what is in them.
const FEW_BYTES: usize = 16 * 1024;

thread_local! {
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM_BYTES].into_boxed_slice());
}

/// One side of a tunnel.
pub(super) struct Side {
    pub(super) stream: Stream,
    /// What it said before the tunnel was there.
    pub(super) early: Bytes,
}

/// Carries bytes until both sides have said their last.
///
/// # Errors
/// Either connection failed.
pub(super) async fn run(client: Side, upstream: Side) -> io::Result<()> {
    client.stream.keep_alive();
    upstream.stream.keep_alive();
    let (mut up, client) = (Way::new(client.early), Line::new(client.stream));
    let (mut down, upstream) = (Way::new(upstream.early), Line::new(upstream.stream));
    poll_fn(|cx| {
        client.belongs_to(cx.waker());
        upstream.belongs_to(cx.waker());
        let up = up.poll(&client, &upstream)?;
        let down = down.poll(&upstream, &client)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction of a tunnel.
struct Way {
    progress: Progress,
    /// What was read and has not been taken yet.
    rest: Bytes,
    /// Much comes at a time.
    bulk: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Open,
    /// The one side has said its last; the other has still to hear that.
    Ended,
    Done,
}

impl Way {
    fn new(early: Bytes) -> Self {
        Self { progress: Progress::Open, rest: early, bulk: false }
    }

    /// Moves what there is; ready when the direction is at its end.
    fn poll(&mut self, from: &Line, to: &Line) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            ready!(self.poll_rest(to))?;
            match self.progress {
                Progress::Open => match self.poll_carry(from, to)? {
                    Poll::Ready(0) => self.progress = Progress::Ended,
                    Poll::Ready(_) => {}
                    // What was written may still be in TLS, or have met a full socket since.
                    Poll::Pending => {
                        ready!(to.poll_flush())?;
                        return Poll::Pending;
                    }
                },
                Progress::Ended => {
                    ready!(to.poll_shutdown())?;
                    self.progress = Progress::Done;
                }
                Progress::Done => return Poll::Ready(Ok(())),
            }
        }
        from.wake_owner();
        Poll::Pending
    }

    fn poll_rest(&mut self, to: &Line) -> Poll<io::Result<()>> {
        while self.rest.has_remaining() {
            let written = ready!(write(to, &self.rest))?;
            self.rest.advance(written);
        }
        self.rest = Bytes::new(); // an empty one would keep its memory
        Poll::Ready(Ok(()))
    }

    /// Moves one piece, and says how large it was; 0 is the end.
    fn poll_carry(&mut self, from: &Line, to: &Line) -> Poll<io::Result<usize>> {
        if self.bulk
            && let Some(polled) = splice::poll(from, to, ROOM_BYTES)
        {
            let (length, rest) = ready!(polled)?;
            self.rest = rest;
            self.bulk = length >= FEW_BYTES;
            return Poll::Ready(Ok(length));
        }
        ROOM.with_borrow_mut(|room| {
            let mut read = ReadBuf::new(room);
            ready!(from.poll_read(&mut read))?;
            let mut rest = read.filled();
            let length = rest.len();
            while !rest.is_empty()
                && let Poll::Ready(written) = write(to, rest)?
            {
                rest = &rest[written..];
            }
            self.rest = Bytes::copy_from_slice(rest);
            self.bulk = length >= MANY_BYTES;
            Poll::Ready(Ok(length))
        })
    }
}

/// Some of `bytes`, at least one.
fn write(to: &Line, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(to.poll_write(&[IoSlice::new(bytes)]))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}
