//! The body of a request as the client sends it, and what becomes of one that nobody wants.
//!
//! An answer may come before the client has sent all of its request: a 413, or a redirect by a panel that does not look
//! at what it gets. Until the client has read that answer, what it still sends must be taken. Over HTTP/1 a close with
//! something unread is a reset, which may take the answer along. Over HTTP/2 a `RST_STREAM` follows the answer (RFC 9113
//! section 8.1), and some clients (curl 7.88) forget an answer that it follows at once.

use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::activity::Activity;
use super::service::Protocol;

/// How long the rest of a body is read that nobody wants: time for a client on a bad line to read the answer and stop.
const LINGER_TIME: Duration = Duration::from_secs(30);

/// Between two pieces of it: a client that is silent for so long has read the answer, or never will.
const LINGER_SILENCE: Duration = Duration::from_secs(5);

/// Most of it that is read: more than panels take, and no more than a client could send us anyhow.
const LINGER_BYTES: usize = 64 << 20;

/// The same over HTTP/2, where a client is told to stop as soon as it has had the time to read the answer.
const LINGER_TIME_OF_STREAM: Duration = Duration::from_secs(1);

/// Room for a piece that is thrown away.
const PIECE_BYTES: usize = 16 * 1024;

/// A request body on its way in.
pub(super) struct Inbound {
    /// `None` once it is complete.
    incoming: Option<Incoming>,
    /// The connection that carries nothing else until then, if it is one of HTTP/1.
    connection: Option<Rc<Activity>>,
}

impl Inbound {
    /// What a client of `protocol` sends.
    pub(super) fn new(incoming: Incoming, protocol: &Protocol) -> Self {
        if incoming.is_end_stream() {
            return Self { incoming: None, connection: None };
        }
        let connection = match protocol {
            Protocol::One(activity) => Some(Rc::clone(activity)),
            Protocol::Two(_) => None,
        };
        Self { incoming: Some(incoming), connection }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
        let more = match &frame {
            Some(Ok(frame)) => frame.is_data() && !incoming.is_end_stream(),
            Some(Err(_)) => true, // it is broken, not complete
            None => false,
        };
        if !more {
            self.incoming = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let Some(unwanted) = self.incoming.take() else { return };
        match &self.connection {
            Some(activity) => activity.left_unread(),
            // Ends with the stream, or when its time is over; then hyper tells the client to stop.
            None => drop(spawn_local(timeout(LINGER_TIME_OF_STREAM, discard(unwanted)))),
        }
    }
}

/// Reads what is left of the body of an HTTP/2 stream.
async fn discard(mut body: Incoming) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else { return };
        left = less;
    }
}

/// Reads what a client of HTTP/1 still sends after our last word to it, until it closes or a limit is reached.
pub(super) async fn linger(socket: &TcpStream) {
    // The rest needs no TLS to be thrown away.
    let _ = SockRef::from(socket).shutdown(Shutdown::Write);
    let mut left = LINGER_BYTES;
    let mut piece = vec![0; PIECE_BYTES];
    // Its outcome is of no interest: the connection is closed after it, whatever it is.
    let _ = timeout(LINGER_TIME, async {
        while left > 0 && matches!(timeout(LINGER_SILENCE, socket.readable()).await, Ok(Ok(()))) {
            match socket.try_read(&mut piece) {
                Ok(0) => return,
                Ok(read) => left = left.saturating_sub(read),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    })
    .await;
}
