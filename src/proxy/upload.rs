//! The body of a request on its way to the upstream.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame};
use tokio::time::Sleep;

use super::body::rewrite_trailers;
use super::inbound::Inbound;
use super::timer::Timer;
use crate::policy::headers;

/// How long the body is held back for an upstream that says nothing to an expectation. Some have never heard of it, and
/// clients send the body after a while all the same (RFC 9110 section 10.1.1).
const EXPECTATION: Duration = Duration::from_secs(5);

/// A request body in transit.
pub(super) struct Upload {
    incoming: Inbound,
    /// Its length, if that is known in advance.
    length: Option<u64>,
    /// The trailers that its head announces; others stay behind.
    announced: Vec<HeaderName>,
    /// Closed until the upstream says 100: polling the body would say it to the client (RFC 9110 section 10.1.1).
    gate: Option<Gate>,
    timer: Timer,
}

/// Holds a body back until the upstream's `100 Continue`.
struct Gate {
    opened: Opener,
    patience: Pin<Box<Sleep>>,
}

/// Opens a [`Gate`].
#[derive(Clone, Default)]
pub(super) struct Opener(Rc<Cell<bool>>);

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Opener {
    /// Lets the body through.
    pub(super) fn open(&self) {
        self.0.set(true);
    }

    /// Whether it does.
    pub(super) fn is_open(&self) -> bool {
        self.0.get()
    }
}

impl Gate {
    fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.opened.is_open() && self.patience.as_mut().poll(cx).is_ready() {
            self.opened.open();
        }
        self.opened.is_open()
    }
}

impl Upload {
    /// A body that tells `timer` how it moves.
    pub(super) fn new(incoming: Inbound, announced: Vec<HeaderName>, timer: Timer) -> Self {
        let length = incoming.size_hint().exact();
        Self { incoming, length, announced, gate: None, timer }
    }

    /// Its length, if that is known in advance.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Holds it back until the upstream wants it.
    pub(super) fn hold_back(&mut self) -> Opener {
        let opened = Opener::default();
        let patience = Box::pin(tokio::time::sleep(EXPECTATION));
        self.gate = Some(Gate { opened: opened.clone(), patience });
        opened
    }

    /// The upstream wants it.
    pub(super) fn let_through(&self) {
        if let Some(gate) = &self.gate {
            gate.opened.open();
        }
    }

    /// The next piece of it, for an upstream that has taken those before.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(gate) = &mut self.gate {
            if !gate.is_open(cx) {
                return Poll::Pending;
            }
            self.gate = None;
            self.timer.resumed();
        }
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &mut polled {
            Poll::Ready(None) => self.timer.sent(),
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                rewrite_trailers(frame);
                if let Some(fields) = frame.trailers_mut() {
                    headers::keep_announced(fields, &self.announced);
                }
                self.timer.sent();
            }
            Poll::Ready(Some(_)) if self.incoming.is_end_stream() => self.timer.sent(),
            Poll::Ready(Some(_)) => self.timer.moved(),
            Poll::Pending => {}
        }
        polled
    }
}
