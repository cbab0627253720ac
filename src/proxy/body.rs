//! The bodies on both sides: what goes to the upstream, and what goes to the client.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::activity::{Activity, OpenStream};
use super::driver::Driver;
use super::inbound::Inbound;
use super::pool::Lease;
use super::timer::Timer;
use crate::policy::headers;

/// A request body on its way to the upstream.
pub(super) enum RequestBody {
    /// None.
    Empty,
    /// As the client sends it.
    Relayed(Upload),
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// Of trailers only those that may pass.
fn rewrite_trailers(frame: &mut Frame<Bytes>) {
    if let Some(fields) = frame.trailers_mut() {
        *fields = headers::trailers(std::mem::take(fields));
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

/// A piece of this size is written by itself.
const LARGE_PIECE_BYTES: usize = 32 * 1024;

/// A response body on its way to the client.
pub(super) struct ResponseBody {
    content: Content,
    watcher: Option<Watcher>,
    /// Its last piece was taken, of a body that does not know its end in advance.
    ended: bool,
}

impl Download {
    fn poll(
        &mut self,
        watcher: Option<&Watcher>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(said) = self.said.take() {
            return Poll::Ready(Some(Ok(Frame::data(said))));
        }
        if let Some(Watcher::Connection(activity)) = watcher
            && activity.is_held_up()
        {
            return Poll::Pending; // so no more is read than the client takes; the flush wakes us
        }
        if self.broken.is_none() {
            let frame = ready!(self.lease.link().poll_body(&mut self.incoming, cx));
            match (frame, watcher) {
                (None, _) => return Poll::Ready(None),
                (Some(Ok(mut frame)), watcher) => {
                    rewrite_trailers(&mut frame);
                    match watcher {
                        Some(Watcher::Connection(activity)) if self.is_worth_a_flush(&frame) => {
                            activity.hold_up();
                        }
                        Some(Watcher::Stream(stream)) => stream.moved(),
                        Some(Watcher::Connection(_)) | None => {}
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                (Some(Err(error)), Some(Watcher::Connection(activity))) => {
                    self.broken = Some((error.into(), activity.flushes()));
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                (Some(Err(error)), Some(Watcher::Stream(_)) | None) => {
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
        // hyper drops what it has not written yet when a body fails; the client should get all that came.
        let flushes = match watcher {
            Some(Watcher::Connection(activity)) => Some(activity.flushes()),
            Some(Watcher::Stream(_)) | None => None,
        };
        match self.broken.take_if(|(_, then)| Some(*then) != flushes) {
            Some((error, _)) => Poll::Ready(Some(Err(error))),
            None => Poll::Pending, // the flush wakes us
        }
    }

    /// Whether a piece is to leave before the next one is read. hyper would put several together.
    fn is_worth_a_flush(&self, frame: &Frame<Bytes>) -> bool {
        let length = frame.data_ref().map_or(0, Bytes::len);
        length >= LARGE_PIECE_BYTES && !self.incoming.is_end_stream()
    }
}

/// Who is told that a response is complete.
pub(super) enum Watcher {
    /// An HTTP/1 connection.
    Connection(Rc<Activity>),
    /// A request of an HTTP/2 connection, which ends with this.
    Stream(OpenStream),
}

enum Content {
    /// Ours, whole.
    Whole(Option<Bytes>),
    /// The upstream's, as it comes.
    Relayed(Box<Download>),
}

struct Download {
    incoming: Incoming,
    lease: Lease,
    /// What came of it already.
    said: Option<Bytes>,
    /// Why the upstream broke off, and the connection's flushes when it did.
    broken: Option<(Cut, u64)>,
}

impl ResponseBody {
    /// A body of our own.
    pub(super) fn whole(bytes: Bytes) -> Self {
        let content = Content::Whole((!bytes.is_empty()).then_some(bytes));
        Self { content, watcher: None, ended: false }
    }

    /// What the upstream sends, after what it has `said` already; its connection goes back to the pool at the end.
    pub(super) fn relayed(incoming: Incoming, lease: Lease, said: Option<Bytes>) -> Self {
        Self {
            content: Content::Relayed(Box::new(Download { incoming, lease, said, broken: None })),
            watcher: None,
            ended: false,
        }
    }

    /// Tells `watcher` when the response is complete.
    pub(super) fn watched_by(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Whether only the end of the body can tell its length.
    pub(super) fn is_open_ended(&self) -> bool {
        self.size_hint().exact().is_none()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // Nothing can be missing of one of ours, of which HEAD wants none.
        let complete = match &self.content {
            Content::Whole(_) => true,
            Content::Relayed(_) => self.ended || self.is_end_stream(),
        };
        if let Some(Watcher::Connection(activity)) = &self.watcher
            && complete
        {
            activity.response_ended();
        }
    }
}

/// Why a response body ended early: its reader sees a cut connection.
type Cut = Box<dyn std::error::Error + Send + Sync>;

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let polled = match &mut this.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Relayed(download) => download.poll(this.watcher.as_ref(), cx),
        };
        this.ended |= match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Relayed(download) => download.said.is_none() && download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Relayed(download) => download.incoming.size_hint(),
        }
    }
}
