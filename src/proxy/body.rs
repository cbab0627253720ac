//! The body of a response as it goes to the client.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::activity::{Activity, OpenStream};
use super::link::Cut;
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
    lease: Lease,
    /// Why the upstream broke off, and the connection's flushes when it did.
    broken: Option<(Cut, u64)>,
}

impl Download {
    /// Whether the rest is so much, and both connections such, that it is to be moved from socket to socket.
    fn is_to_be_moved(&mut self, activity: &Activity) -> bool {
        let connections = self.lease.pool().in_use();
        let link = self.lease.link();
        link.to_come().is_some_and(|left| relay::is_worth(left, connections))
            && link.is_movable()
            && activity.takes_relay()
    }

    /// The rest as stand-ins, and its bytes for `activity` to send.
    fn into_stand_ins(mut self, activity: &Activity) -> Content {
        let left = self.lease.link().left().unwrap_or(0);
        activity.relay().replace(Box::new(Relay::new(self.lease)));
        Content::StandIns(left)
    }

    fn poll(
        &mut self,
        watcher: Option<&Watcher>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(Watcher::Connection(activity)) = watcher
            && activity.is_held_up()
        {
            return Poll::Pending; // so no more is read than the client takes; the flush wakes us
        }
        if self.broken.is_none() {
            let frame = ready!(self.lease.link().poll_content(cx));
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
                (Some(Err(cut)), Some(Watcher::Connection(activity))) => {
                    // That is told when everything that came has left.
                    self.broken = Some((cut, activity.flushes()));
                    activity.wake();
                    return Poll::Pending;
                }
                (Some(Err(cut)), Some(Watcher::Stream(_)) | None) => return Poll::Ready(Some(Err(cut))),
            }
        }
        // hyper drops what it has not written yet when a body fails; the client should get all that came.
        let flushes = match watcher {
            Some(Watcher::Connection(activity)) => Some(activity.flushes()),
            Some(Watcher::Stream(_)) | None => None,
        };
        match self.broken.take_if(|(_, then)| Some(*then) != flushes) {
            Some((cut, _)) => Poll::Ready(Some(Err(cut))),
            None => Poll::Pending, // the flush wakes us
        }
    }

    /// Whether a piece is to leave before the next one is read. hyper would put several together.
    fn is_worth_a_flush(&mut self, frame: &Frame<Bytes>) -> bool {
        let length = frame.data_ref().map_or(0, Bytes::len);
        length >= LARGE_PIECE_BYTES && !self.lease.link().is_over()
    }
}

impl ResponseBody {
    /// A body of our own.
    pub(super) fn whole(bytes: Bytes) -> Self {
        let content = Content::Whole((!bytes.is_empty()).then_some(bytes));
        Self { content, watcher: None, ended: false }
    }

    /// What the upstream sends; its connection goes back to the pool at the end.
    pub(super) fn relayed(lease: Lease) -> Self {
        let content = Content::Relayed(Box::new(Download { lease, broken: None }));
        Self { content, watcher: None, ended: false }
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
        if *left > stand_in.len() as u64 {
            activity.hold_up();
        }
    }
    *left -= stand_in.len() as u64;
    Poll::Ready(Some(Ok(Frame::data(stand_in))))
}

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
            Content::Relayed(download) => download.lease.left() == Some(0),
            Content::StandIns(left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Relayed(download) => {
                download.lease.left().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Content::StandIns(left) => SizeHint::with_exact(*left),
        }
    }
}
