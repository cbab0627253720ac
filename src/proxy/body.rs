//! The body of a response as it goes to the client.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::activity::{Activity, OpenStream};
use super::line::Line;
use super::link;
use super::pool::Lease;
use super::relay::{self, Relay};
use crate::policy::headers;

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
    /// Whether the rest is so much, and both connections such, that it is to be moved from socket to socket.
    fn is_to_be_moved(&mut self, activity: &Activity) -> bool {
        let left = self.incoming.size_hint().exact().unwrap_or(0);
        if !self.movable
            || left < relay::WORTH_BYTES
            || self.said.is_some()
            || self.broken.is_some()
            || !activity.takes_relay()
            || !self.lease.link().is_separable()
        {
            return false;
        }
        match link::said(&mut self.incoming) {
            Poll::Pending => return true,
            Poll::Ready(Some(Ok(frame))) => self.said = frame.into_data().ok(),
            Poll::Ready(Some(Err(error))) => self.break_off(error, activity),
            Poll::Ready(None) => {}
        }
        false
    }

    /// The rest as stand-ins, and its bytes for `activity` to send.
    fn into_stand_ins(self, activity: &Activity) -> Content {
        let left = self.incoming.size_hint().exact().unwrap_or(0);
        match self.lease.take_out() {
            Some((stream, early, home)) => {
                let relay = Relay::new(Line::new(stream), early, left, home);
                activity.relay().replace(Box::new(relay));
                Content::StandIns(left)
            }
            // A lease has its stream; without one the body must break off, and never be made up.
            None => Content::Whole(None),
        }
    }

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
                    self.break_off(error, activity);
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

    /// The upstream broke off: that is told when everything that came has left.
    fn break_off(&mut self, error: hyper::Error, activity: &Activity) {
        self.broken = Some((error.into(), activity.flushes()));
        activity.wake();
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
    /// Stand-ins for the upstream's, of so many bytes more.
    StandIns(u64),
}

struct Download {
    incoming: Incoming,
    lease: Lease,
    /// What came of it already.
    said: Option<Bytes>,
    /// Why the upstream broke off, and the connection's flushes when it did.
    broken: Option<(Cut, u64)>,
    /// The exchange is such that hyper need not see the rest.
    movable: bool,
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
            content: Content::Relayed(Box::new(Download {
                incoming,
                lease,
                said,
                broken: None,
                movable: false,
            })),
            watcher: None,
            ended: false,
        }
    }

    /// The request is complete: nothing but this body is left of the exchange.
    pub(super) fn may_be_moved(&mut self) {
        if let Content::Relayed(download) = &mut self.content {
            download.movable = true;
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
            Content::Relayed(_) | Content::StandIns(_) => self.ended || self.is_end_stream(),
        };
        if let Some(Watcher::Connection(activity)) = &self.watcher
            && complete
        {
            activity.response_ended();
        }
    }
}

/// Of trailers only those that may pass.
pub(super) fn rewrite_trailers(frame: &mut Frame<Bytes>) {
    if let Some(fields) = frame.trailers_mut() {
        *fields = headers::trailers(mem::take(fields));
    }
}

/// Stands in for the next bytes of so many, when those before have left.
fn poll_stand_in(left: &mut u64, watcher: Option<&Watcher>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
    if *left == 0 {
        return Poll::Ready(None);
    }
    let stand_in = relay::stand_in(*left);
    if let Some(Watcher::Connection(activity)) = watcher {
        if activity.is_held_up() {
            return Poll::Pending; // the flush wakes us
        }
        activity.hold_up();
    }
    *left -= stand_in.len() as u64;
    Poll::Ready(Some(Ok(Frame::data(stand_in))))
}

/// Why a response body ended early: its reader sees a cut connection.
type Cut = Box<dyn std::error::Error + Send + Sync>;

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let (Content::Relayed(download), Some(Watcher::Connection(activity))) =
            (&mut this.content, &this.watcher)
            && download.is_to_be_moved(activity)
            && let Content::Relayed(download) = mem::replace(&mut this.content, Content::Whole(None))
        {
            this.content = download.into_stand_ins(activity);
        }
        let polled = match &mut this.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Relayed(download) => download.poll(this.watcher.as_ref(), cx),
            Content::StandIns(left) => poll_stand_in(left, this.watcher.as_ref()),
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
            Content::StandIns(left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Relayed(download) => download.incoming.size_hint(),
            Content::StandIns(left) => SizeHint::with_exact(*left),
        }
    }
}
