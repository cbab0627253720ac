//! The body of a request as it goes to the upstream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::body::rewrite_trailers;
use super::driver::Driver;
use super::inbound::Inbound;
use super::timer::Timer;

/// A request body on its way to the upstream.
pub(super) enum RequestBody {
    /// None.
    Empty,
    /// As the client sends it.
    Relayed(Upload),
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Relayed(_) => "Relayed",
        })
    }
}

/// A request body in transit.
pub(super) struct Upload {
    incoming: Inbound,
    /// Closed until the upstream says 100: polling the body would say it to the client (RFC 9110 section 10.1.1).
    gate: Option<Gate>,
    /// Who waits for it.
    driver: Option<Driver>,
    timer: Timer,
}

/// How long the body is held back for an upstream that says nothing to an expectation. Some have never heard of it, and
/// clients send the body after a while all the same (RFC 9110 section 10.1.1).
const EXPECTATION: Duration = Duration::from_secs(5);

/// Holds a body back until the upstream's `100 Continue`.
struct Gate {
    opened: Opener,
    patience: Pin<Box<Sleep>>,
}

/// Opens a [`Gate`].
#[derive(Clone)]
pub(super) struct Opener(Arc<AtomicBool>);

impl Opener {
    /// Lets the body through.
    pub(super) fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gate {
    fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        // The connection polls the body again after the answer that opens the gate.
        if !self.opened.is_open() && self.patience.as_mut().poll(cx).is_ready() {
            self.opened.open();
        }
        self.opened.is_open()
    }
}

impl Upload {
    /// A body that tells `timer` how it moves.
    pub(super) fn new(incoming: Inbound, timer: Timer) -> Self {
        Self { incoming, gate: None, driver: None, timer }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
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
                self.timer.sent();
            }
            Poll::Ready(Some(_)) if self.incoming.is_end_stream() => self.timer.sent(),
            Poll::Ready(Some(_)) => self.timer.moved(),
            Poll::Pending => {}
        }
        polled
    }

    fn hold_back(&mut self) -> Opener {
        let opened = Opener(Arc::new(AtomicBool::new(false)));
        let patience = Box::pin(tokio::time::sleep(EXPECTATION));
        self.gate = Some(Gate { opened: opened.clone(), patience });
        opened
    }
}

impl RequestBody {
    /// Holds it back, if there is one, until the upstream wants it.
    pub(super) fn hold_back(&mut self) -> Option<Opener> {
        match self {
            Self::Empty => None,
            Self::Relayed(upload) => Some(upload.hold_back()),
        }
    }

    /// Wakes `driver`'s task when there is more of it.
    pub(super) fn driven_by(&mut self, driver: &Driver) {
        if let Self::Relayed(upload) = self {
            upload.driver = Some(driver.clone());
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Relayed(upload) = self.get_mut() else {
            return Poll::Ready(None);
        };
        match upload.driver.clone() {
            Some(driver) => driver.poll(|cx| upload.poll(cx)),
            None => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Relayed(upload) => upload.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Relayed(upload) => upload.incoming.size_hint(),
        }
    }
}
