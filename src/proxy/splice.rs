//! From one socket into another without a copy.
//!
//! The kernel moves pages between sockets by way of a pipe. Each worker has one, made when it is first needed. Between
//! two calls it is empty, so that all connections can use it and none keeps its descriptors.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::pipe::{self, PipeFlags, SpliceFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::line::Line;

/// To move less than so much is no cheaper than to copy it.
pub(super) const WORTH_BYTES: u64 = 32 * 1024;

/// Room for the pieces of a network card, of which each takes a page of it however small it is. Without the right to so
/// much it works, too.
const PIPE_BYTES: usize = 256 * 1024;

thread_local! {
    static PIPE: RefCell<Option<Pipe>> = const { RefCell::new(None) };
}

struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (out, into) = pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = pipe::fcntl_setpipe_size(&into, PIPE_BYTES);
        Ok(Self { out, into })
    }

    /// What is left in it.
    fn drain(&self, length: usize) -> io::Result<Bytes> {
        let mut rest = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match rustix::io::read(&self.out, &mut rest[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(rest.into())
    }
}

/// Moves what has come, `most` at most, and says how much that was (0 is the end), with those bytes of it that `to` did
/// not take. `None`: it cannot be done, because one is no plain socket, or for want of descriptors.
pub(super) fn poll(from: &Line, to: &Line, most: usize) -> Option<Poll<io::Result<(usize, Bytes)>>> {
    if !to.is_plain_tcp() {
        return None;
    }
    match to.poll_flush() {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
        Poll::Pending => return Some(Poll::Pending),
    }
    from.with_plain_tcp(|source| {
        PIPE.with_borrow_mut(|kept| {
            let pipe = match kept.take() {
                Some(pipe) => pipe,
                None => Pipe::open().ok()?,
            };
            let polled = from.poll(|cx| through(&pipe, source, to, most, cx));
            if !matches!(polled, Poll::Ready(Err(_))) {
                *kept = Some(pipe); // after an error it may not be empty
            }
            Some(polled)
        })
    })?
}

fn through(
    pipe: &Pipe,
    from: &TcpStream,
    to: &Line,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(usize, Bytes)>> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let length = loop {
        ready!(from.poll_read_ready(cx))?;
        let read =
            from.try_io(Interest::READABLE, || Ok(pipe::splice(from, None, &pipe.into, None, most, flags)?));
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => break read?,
        }
    };
    let mut left = length;
    while left > 0 && to.poll_sent_before_more()?.is_ready() {
        let written = to.write_at_once(|to| Ok(pipe::splice(&pipe.out, None, to, None, left, flags)?));
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => left -= written?,
        }
    }
    let rest = if left > 0 { pipe.drain(left)? } else { Bytes::new() };
    Poll::Ready(Ok((length, rest)))
}
