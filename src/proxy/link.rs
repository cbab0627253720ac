//! One connection to an upstream, driven by whoever uses it: there is no task behind it, so an answer costs no wake-up
//! of a second one, and dropping the user cancels the upstream.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;

use super::driver::{Driven, Driver};
use super::stream::Stream;
use super::timer::Timer;
use super::upload::RequestBody;
use crate::policy::letters::Letters;

/// A connection to an upstream.
pub(super) struct Link {
    sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Driven>, RequestBody>,
    driver: Driver,
    ended: bool,
}

/// Largest head of an answer, whatever buffers there are: what a client may send us.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How the answer to plain HTTP begins where TLS is spoken: X-Panel's and 3x-ui's redirect, and the alert of a TLS library.
const ANSWERS_OF_TLS: [&[u8]; 2] = [b"HTTP/0.0 307", b"\x15\x03"];

/// What Go's own server says to it, with status 400 in HTTP/1.0 and not one field.
const ANSWER_OF_GO: &[u8] = b"Client sent an HTTP request to an HTTPS server.\n";

/// What hyper tells of a request that was handed over.
pub(super) type Reply = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// A piece of a response body; none at its end.
type Piece = Option<Result<Frame<Bytes>, hyper::Error>>;

/// The first piece of a response body, which was looked at.
#[derive(Clone, Debug)]
pub(super) struct Said(pub(super) Bytes);

/// Why an exchange brought no response.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// The connection was gone before anything was written: nothing was lost.
    #[error("the connection closed before the request was sent")]
    Unsent(Box<Request<RequestBody>>),
    /// The connection failed, or what came back is not HTTP.
    #[error("the exchange failed")]
    Failed(#[source] hyper::Error),
    /// It speaks TLS, and is spoken to without.
    #[error("it speaks https, and is spoken to in http")]
    Tls,
    /// The time for it was over.
    #[error("no answer in time")]
    TimedOut,
}

impl ExchangeError {
    /// The connection ended without a word of an answer, as one does that was kept for too long.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Failed(error) => !error.is_parse(),
            Self::Unsent(_) => true,
            Self::Tls | Self::TimedOut => false,
        }
    }
}

/// What of a response body has been read already. Only its connection brings another piece, so nobody is woken for it.
pub(super) fn said(body: &mut Incoming) -> Poll<Piece> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

impl Link {
    /// Speaks HTTP/1.1 over `stream`, with buffers of this size. Nothing is sent yet.
    pub(super) async fn open(stream: Stream, letters: Letters, buffer_bytes: usize) -> hyper::Result<Self> {
        let driver = Driver::new(stream, letters);
        let (sender, connection) = Builder::new()
            .preserve_header_case(letters == Letters::Kept)
            .title_case_headers(true)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(buffer_bytes)
            .handshake(TokioIo::new(driver.driven()))
            .await?;
        Ok(Self { sender, connection, driver, ended: false })
    }

    /// Hands `request` over for sending.
    pub(super) fn send(&mut self, mut request: Request<RequestBody>) -> impl Future<Output = Reply> + use<> {
        request.body_mut().driven_by(&self.driver);
        self.driver.ear().listen();
        self.sender.try_send_request(request)
    }

    /// Waits for the response head to what was sent.
    pub(super) async fn receive(
        &mut self,
        reply: impl Future<Output = Reply>,
        timer: &Timer,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let mut reply = pin!(reply);
        std::future::poll_fn(|cx| {
            self.drive(cx);
            // Only `drive` can complete the reply, so nobody needs to be woken for it.
            match reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(mut response)) => {
                    if let Some(record) = self.driver.ear().record() {
                        response.extensions_mut().extend(record);
                    }
                    Poll::Ready(Ok(response))
                }
                Poll::Ready(Err(mut lost)) => Poll::Ready(Err(match lost.take_message() {
                    Some(unsent) => ExchangeError::Unsent(Box::new(unsent)),
                    None => ExchangeError::Failed(lost.into_error()),
                })),
                Poll::Pending if timer.is_over(cx) => Poll::Ready(Err(ExchangeError::TimedOut)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The next piece of a response body; `None` at its end.
    pub(super) fn poll_body(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Piece> {
        if let ready @ Poll::Ready(_) = said(body) {
            return ready;
        }
        self.drive(cx);
        said(body)
    }

    /// How its answers are read.
    pub(super) fn letters(&self) -> Letters {
        self.driver.ear().letters()
    }

    /// Whether the next connection to this upstream had better be read with a record.
    pub(super) fn heard_unusual(&self) -> bool {
        self.driver.ear().heard_unusual()
    }

    /// Whether another request may follow: the last exchange is complete on both sides.
    pub(super) fn is_settled(&mut self) -> bool {
        !self.ended && !self.driver.is_deaf() && (self.sender.is_ready() || self.is_open())
    }

    /// The same of one that was settled when it was put aside. Whatever has come since, the end or a word that nobody asked
    /// for, shows at its socket; only then hyper needs to have a look.
    pub(super) fn is_still_open(&mut self) -> bool {
        self.driver.is_quiet() || self.is_open()
    }

    /// Whether it is settled and, as far as one can see now, the upstream still there.
    pub(super) fn is_open(&mut self) -> bool {
        self.drive(&Context::from_waker(Waker::noop()));
        !self.ended && !self.driver.is_deaf() && self.sender.is_ready()
    }

    /// After an answer that is no HTTP: whether TLS is spoken there.
    pub(super) fn speaks_tls(self: Box<Self>) -> bool {
        let unread = self.connection.into_parts().read_buf;
        ANSWERS_OF_TLS.iter().any(|start| unread.starts_with(start))
    }

    /// Whether an answer says that TLS is spoken there. If it may have said so, but did not, what it said goes with it.
    pub(super) async fn is_told_of_tls(&mut self, response: &mut Response<Incoming>) -> bool {
        let like_go = response.status() == StatusCode::BAD_REQUEST
            && response.version() == Version::HTTP_10
            && response.headers().is_empty();
        if !like_go {
            return false;
        }
        let body = response.body_mut();
        let piece = std::future::poll_fn(|cx| self.poll_body(body, cx)).await;
        let Some(Ok(Ok(said))) = piece.map(|piece| piece.map(Frame::into_data)) else {
            return false;
        };
        let told = said == ANSWER_OF_GO;
        response.extensions_mut().insert(Said(said));
        told
    }

    /// Whether the rest of a body could be moved out of its socket without hyper, and the connection used again after it.
    pub(super) fn is_separable(&self) -> bool {
        !self.ended && !self.driver.is_deaf() && self.driver.is_plain_tcp() && !self.heard_unusual()
    }

    /// The stream, and what hyper has read of it and not used.
    pub(super) fn into_parts(self: Box<Self>) -> Option<(Stream, Bytes)> {
        let stream = self.driver.take_stream()?;
        Some((stream, self.connection.into_parts().read_buf))
    }

    /// After a 101: the stream, and what the upstream has already said in the new protocol.
    pub(super) async fn into_stream(mut self: Box<Self>) -> (Stream, Bytes) {
        std::future::poll_fn(|cx| {
            self.drive(cx);
            if self.ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.into_parts().expect("nobody else takes the stream, and this takes the link too")
    }

    /// Lets the connection do what it can. How it ended is told by the reply or the body, not here.
    fn drive(&mut self, cx: &Context<'_>) {
        if !self.ended {
            let connection = &mut self.connection;
            self.ended = self.driver.drive(cx, |cx| connection.poll_without_shutdown(cx)).is_ready();
        }
    }
}
