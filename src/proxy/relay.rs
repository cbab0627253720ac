//! A large response body goes from socket to socket, and neither hyper nor the allocator has a byte of it.
//!
//! hyper keeps the framing: the head has said how long the body is, and hyper is given stand-ins of that length to write.
//! Where one comes to be written, as much of what the upstream sends is moved in its place.

use std::fmt;
use std::io::{self, IoSlice};
use std::task::{Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::line::Line;
use super::pool::Lease;
use super::splice;

/// A body that goes in more pieces is worth it only if so much is to come.
const FEW_PIECES: u64 = 2;
const WORTH_IN_PIECES_BYTES: u64 = 256 * 1024;

/// A rest like this is kept for a client that does not take it, whether it is moved or not.
const SMALL_REST_BYTES: u64 = 64 * 1024;

/// hyper writes so much before it asks for more. Memory that nobody touches costs nothing.
const STAND_IN_BYTES: usize = 1024 * 1024;

/// Whether a body of which so much is to come is worth it, over one of so many connections.
pub(super) fn is_worth(left: u64, connections: usize) -> bool {
    let few = left.div_ceil(piece_bytes(left, connections) as u64) <= FEW_PIECES;
    left >= if few { splice::WORTH_BYTES } else { WORTH_IN_PIECES_BYTES }
}

/// Most that is moved at once for one of so many connections, when so much is to come: what the client does not take of it
/// is kept in memory.
fn piece_bytes(left: u64, connections: usize) -> usize {
    match (left, connections) {
        (..=SMALL_REST_BYTES, _) | (_, 0..=16) => 128 * 1024,
        (_, _) => 16 * 1024,
    }
}

/// Most that is read at once where nothing can be moved.
const COPY_BYTES: usize = 16 * 1024;

thread_local! {
    static STAND_IN: Bytes = vec![0; STAND_IN_BYTES].into();
}

/// What hyper is to write for the next bytes of a body, of which so many are left.
pub(super) fn stand_in(left: u64) -> Bytes {
    let length = usize::try_from(left).map_or(STAND_IN_BYTES, |left| left.min(STAND_IN_BYTES));
    STAND_IN.with(|whole| whole.slice(..length))
}

/// Whether what hyper writes stands for something else.
pub(super) fn is_stand_in(written: &[u8]) -> bool {
    STAND_IN.with(|whole| whole.as_ptr_range().contains(&written.as_ptr()))
}

/// The rest of a body on its way.
pub(super) struct Relay {
    lease: Lease,
    /// What was read of it and has not been taken.
    rest: Bytes,
    /// Most that is moved at once.
    piece: usize,
}

impl Relay {
    /// For the rest of the body that comes over this connection.
    pub(super) fn new(mut lease: Lease) -> Self {
        let left = lease.link().to_come().unwrap_or_default();
        let piece = piece_bytes(left, lease.pool().in_use());
        let rest = lease.link().take_unread();
        Self { lease, rest, piece }
    }

    /// Moves at most `most` of what has come, and says how much of it `to` took.
    pub(super) fn poll_move(&mut self, to: &Line, most: usize) -> Poll<io::Result<usize>> {
        loop {
            if self.rest.has_remaining() {
                let piece = &self.rest[..most.min(self.rest.len())];
                let written = ready!(to.poll_write(&[IoSlice::new(piece)]))?;
                self.rest.advance(written);
                return Poll::Ready(Ok(written));
            }
            self.rest = Bytes::new(); // an empty one would keep its memory
            let left = self.lease.link().left().unwrap_or(0);
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(most).min(self.piece);
            let (read, rest) = ready!(carry(self.lease.link().line(), to, room))?;
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.lease.link().pass_over(read as u64);
            self.rest = rest;
            let moved = read - self.rest.len();
            if moved > 0 {
                return Poll::Ready(Ok(moved));
            }
        }
    }

    /// The task to wake when more can be moved.
    pub(super) fn belongs_to(&mut self, task: &Waker) {
        self.lease.link().line().belongs_to(task);
    }

    /// Whether all of it is on its way.
    pub(super) fn is_complete(&mut self) -> bool {
        self.rest.is_empty() && self.lease.link().is_over()
    }
}

/// Moves what has come, or reads it where nothing can be moved.
fn carry(from: &Line, to: &Line, room: usize) -> Poll<io::Result<(usize, Bytes)>> {
    if let Some(polled) = splice::poll(from, to, room) {
        return polled;
    }
    let mut bytes = vec![0; room.min(COPY_BYTES)];
    let mut read = ReadBuf::new(&mut bytes);
    ready!(from.poll_read(&mut read))?;
    let length = read.filled().len();
    bytes.truncate(length);
    Poll::Ready(Ok((length, bytes.into())))
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("rest", &self.rest.len()).finish_non_exhaustive()
    }
}
