//! Who is woken for what happens on an upstream's connection.
//!
//! A connection is driven by the task that uses it, and by nobody else. So hyper's own wake-ups between the two ends of
//! a body, which are both in that task, would only make it run once more for nothing: hyper is given a waker that takes
//! a note, and the socket and the request body, which are ours, register the task itself.
//!
//! An upstream may answer a request, and close, before it has read all of it. What is written then fails, while the answer
//! waits to be read. hyper would give up at the first failure, so it never hears of one: whether there is an answer is
//! for the reading side to find out, which the end of the connection wakes too.

use std::cell::{Cell, RefCell, RefMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::letters::Ear;
use super::line::Line;
use super::stream::Stream;
use crate::policy::letters::Letters;

/// The task that drives a connection now.
#[derive(Clone, Debug)]
pub(super) struct Driver(Rc<State>);

#[derive(Debug)]
struct State {
    /// Here, and not in [`Driven`], so that it can be looked at without hyper. It belongs to the task that drives it.
    line: Line,
    /// A write has failed: the upstream hears no more, but may have said something.
    deaf: Cell<bool>,
    ear: RefCell<Ear>,
}

/// The stream as hyper sees it: its readiness wakes the driver, whoever polls it.
#[derive(Debug)]
pub(super) struct Driven(Driver);

/// Remembers that hyper woke its connection.
struct Note {
    woken: Arc<Woken>,
    waker: Waker,
}

#[derive(Default)]
struct Woken(AtomicBool);

thread_local! {
    static NOTE: Note = {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        Note { woken, waker }
    };
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Driver {
    /// For a connection over `stream` that is read so.
    pub(super) fn new(stream: Stream, letters: Letters) -> Self {
        Self(Rc::new(State {
            line: Line::new(stream),
            deaf: Cell::new(false),
            ear: RefCell::new(Ear::new(letters)),
        }))
    }

    /// The stream for hyper.
    pub(super) fn driven(&self) -> Driven {
        Driven(self.clone())
    }

    /// The stream, for good.
    pub(super) fn take_stream(&self) -> Option<Stream> {
        self.0.line.clone().into_stream()
    }

    /// Whether nothing has come since it was read last. The end is something, too.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.line.is_quiet()
    }

    /// Whether it is a socket of TCP with nothing between.
    pub(super) fn is_plain_tcp(&self) -> bool {
        self.0.line.is_plain_tcp()
    }

    /// What is heard of the answer.
    pub(super) fn ear(&self) -> RefMut<'_, Ear> {
        self.0.ear.borrow_mut()
    }

    /// Polls a connection of hyper's for the task in `cx`.
    pub(super) fn drive<T>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.0.line.belongs_to(cx.waker());
        NOTE.with(|note| {
            note.woken.0.store(false, Ordering::Relaxed);
            let polled = poll(&mut Context::from_waker(&note.waker));
            // Woken while it ran, it asks to run again soon: it has given way to other tasks.
            if polled.is_pending() && note.woken.0.load(Ordering::Relaxed) {
                cx.waker().wake_by_ref();
            }
            polled
        })
    }

    /// Polls something else for the task that drives the connection.
    pub(super) fn poll<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.0.line.poll(poll)
    }

    /// Whether the upstream hears no more.
    pub(super) fn is_deaf(&self) -> bool {
        self.0.deaf.get()
    }

    /// Polls something that writes. It never fails: after a failure it is pending for good.
    fn poll_write<T>(&self, poll: impl FnOnce(&Line) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.is_deaf() {
            return Poll::Pending;
        }
        let polled = poll(&self.0.line);
        if matches!(polled, Poll::Ready(Err(_))) {
            self.0.deaf.set(true);
            return Poll::Pending;
        }
        polled
    }
}

impl AsyncRead for Driven {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.0.0.line.poll_read(buf);
        if let read @ [_, ..] = &buf.filled()[before..] {
            self.0.ear().hear(read);
        }
        polled
    }
}

impl AsyncWrite for Driven {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(|line| line.poll_write(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true // as every kind of stream
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write(Line::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write(Line::poll_shutdown)
    }
}
