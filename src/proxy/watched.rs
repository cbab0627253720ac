//! A client's stream as hyper sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::{Activity, Phase};
use super::line::Line;
use super::relay;
use super::stream::Stream;
use crate::policy::letters::Letters;

/// A client's stream that tells its connection's [`Activity`] what happens on it.
#[derive(Debug)]
pub(super) struct Watched {
    line: Line,
    /// What was read of it already.
    early: Bytes,
    activity: Rc<Activity>,
    letters: Letters,
}

impl Watched {
    /// A stream of which `early` was read already. Unless hyper keeps a record, it gets nothing but whole heads; anything else is
    /// withheld until it was made anew.
    pub(super) fn new(stream: Stream, early: Bytes, activity: Rc<Activity>, letters: Letters) -> Self {
        activity.set_withheld(false);
        activity.set_plain(stream.socket().is_some());
        activity.spelled().set(letters, &early);
        Self { line: Line::new(stream), early, activity, letters }
    }

    /// What tells how the connection is doing.
    pub(super) fn activity(&self) -> &Rc<Activity> {
        &self.activity
    }

    /// How hyper is to read it.
    pub(super) fn letters(&self) -> Letters {
        self.letters
    }

    /// The line, and what hyper has not read, or not used, which it left in `unused`. That is copied: the smallest rest,
    /// and even none, would keep hyper's whole buffer.
    pub(super) fn into_parts(self, unused: &Bytes) -> (Line, Bytes) {
        self.activity.spelled().forget();
        let rest = if unused.is_empty() { self.early } else { [unused, &self.early[..]].concat().into() };
        (self.line, rest)
    }

    /// Sends what hyper writes, or what it is a stand-in for.
    fn poll_send(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut slot = self.activity.relay();
        let Some(relay) = slot.as_mut() else { return self.line.poll_write(bufs) };
        let before = bufs.iter().position(|buf| relay::is_stand_in(buf)).unwrap_or(bufs.len());
        if before > 0 {
            return self.line.poll_write(&bufs[..before]);
        }
        relay.belongs_to(cx.waker());
        let polled = relay.poll_move(&self.line, bufs.first().map_or(0, |stand_in| stand_in.len()));
        if relay.is_complete() {
            slot.take(); // its connection goes back
        }
        polled
    }

    /// Takes back what was just read if hyper must not have it.
    fn withholds(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> bool {
        if self.letters == Letters::Kept {
            return false;
        }
        let read = &buf.filled()[before..];
        let letters = Letters::of_request(read);
        if self.activity.phase() == Phase::Idle && letters != Letters::Kept {
            self.activity.spelled().set(letters, read);
            return false;
        }
        self.early = Bytes::copy_from_slice(read);
        self.activity.set_withheld(true);
        buf.set_filled(before);
        true
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.activity.is_withheld() {
            return Poll::Pending; // the task itself looks after that
        }
        if !self.early.is_empty() {
            let length = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(length));
            self.activity.read_some(length);
            return Poll::Ready(Ok(()));
        }
        if self.line.is_fresh() && self.activity.puts_off_hearing() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        self.line.belongs_to(cx.waker());
        let polled = self.line.poll_read(buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            let withheld = self.withholds(buf, before);
            self.activity.read_some(read);
            if withheld {
                return Poll::Pending;
            }
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.belongs_to(cx.waker());
        let polled = self.poll_send(cx, bufs);
        let written = if let Poll::Ready(Ok(written)) = polled { written } else { 0 };
        self.activity.wrote_some(written);
        if written < bufs.iter().map(|buf| buf.len()).sum() {
            self.activity.hold_up();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true // as every kind of stream
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.belongs_to(cx.waker());
        let polled = self.line.poll_flush();
        match polled {
            Poll::Ready(_) => self.activity.flushed(),
            Poll::Pending => self.activity.hold_up(),
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_parking() {
            return Poll::Ready(Ok(()));
        }
        self.line.belongs_to(cx.waker());
        if self.line.is_plain_tcp() {
            if self.line.has_unread() {
                self.activity.left_unread(); // a close now would be a reset, and what waits for it would be lost
            }
            if self.activity.has_unread() {
                return self.line.poll_sent();
            }
            return self.line.poll_last(); // it is closed right after this, which says the same
        }
        self.line.poll_shutdown()
    }
}
