//! What an upgraded connection becomes: bytes both ways, with half-close, and without a time limit.
//!
//! A tunnel that is silent has no memory of its own. What is read goes on at once, from a buffer that the worker has for
//! all of them; what the other side does not take is kept, and no more is read until it has.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
    let (mut up, mut client) = (Way::new(client.early), client.stream);
    let (mut down, mut upstream) = (Way::new(upstream.early), upstream.stream);
    poll_fn(|cx| {
        let up = up.poll(&mut client, &mut upstream, cx)?;
        let down = down.poll(&mut upstream, &mut client, cx)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction of a tunnel.
struct Way {
    progress: Progress,
    /// What was read and has not been taken yet.
    rest: Bytes,
    unflushed: bool,
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
        Self { progress: Progress::Open, rest: early, unflushed: true, bulk: false }
    }

    /// Moves what there is; ready when the direction is at its end.
    fn poll(&mut self, from: &mut Stream, to: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            ready!(self.poll_rest(to, cx))?;
            match self.progress {
                Progress::Open => match self.poll_carry(from, to, cx)? {
                    Poll::Ready(0) => self.progress = Progress::Ended,
                    Poll::Ready(_) => {}
                    Poll::Pending => return self.poll_flush(to, cx),
                },
                Progress::Ended => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.progress = Progress::Done;
                }
                Progress::Done => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_rest(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.rest.has_remaining() {
            let written = ready!(write(to, &self.rest, cx))?;
            self.rest.advance(written);
        }
        self.rest = Bytes::new(); // an empty one would keep its memory
        Poll::Ready(Ok(()))
    }

    /// Moves one piece, and says how large it was; 0 is the end.
    fn poll_carry(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.bulk
            && let (Stream::Tcp(from), Stream::Tcp(to)) = (&*from, &*to)
            && let Some(polled) = splice::poll(from, to, ROOM_BYTES, cx)
        {
            let (length, rest) = ready!(polled)?;
            self.rest = rest;
            self.bulk = length >= FEW_BYTES;
            return Poll::Ready(Ok(length));
        }
        ROOM.with_borrow_mut(|room| {
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(from).poll_read(cx, &mut read))?;
            let mut rest = read.filled();
            let length = rest.len();
            while !rest.is_empty()
                && let Poll::Ready(written) = write(to, rest, cx)?
            {
                rest = &rest[written..];
            }
            self.rest = Bytes::copy_from_slice(rest);
            self.unflushed = true;
            self.bulk = length >= MANY_BYTES;
            Poll::Ready(Ok(length))
        })
    }

    /// Nothing more can be moved now: TLS may still have something that was written.
    fn poll_flush(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Pending
    }
}

/// Some of `bytes`, at least one.
fn write(to: &mut Stream, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}
