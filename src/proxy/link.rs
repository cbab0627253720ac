//! One connection to an upstream, in HTTP/1.1, driven by whoever uses it: there is no task behind it, so an answer costs
//! no wake-up of a second one, and dropping the user cancels the upstream.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::Frame;
use thiserror::Error;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio_util::io::poll_read_buf;

use super::line::Line;
use super::reading::{ROOM_BYTES, Reading, Use};
use super::sending::{Broken, Sending};
use super::stream::Stream;
use super::timer::Timer;
use super::upload::Upload;
use crate::policy::content::{Content, Piece};
use crate::policy::head::{Head, Malformed};

/// What is read at first of a content of unknown length.
const FIRST_BYTES: usize = 8 * 1024;

/// How the answer to plain HTTP begins where TLS is spoken: X-Panel's and 3x-ui's redirect, and the alert of a TLS library.
const ANSWERS_OF_TLS: [&[u8]; 2] = [b"HTTP/0.0 307", b"\x15\x03"];

thread_local! {
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM_BYTES].into_boxed_slice());
}

/// A connection to an upstream.
#[derive(Debug)]
pub(super) struct Link {
    line: Line,
    sending: Sending,
    stage: Stage,
    /// What was read and has not been used.
    unread: BytesMut,
    /// Most that is read at once of a content.
    most: usize,
    /// What is read at once of this one.
    piece: usize,
    /// How the next answer is to be read.
    reading: Reading,
}

/// Where an exchange stands, as far as the answer goes.
#[derive(Debug)]
enum Stage {
    /// Nothing was asked, or the last answer is complete and another request may follow.
    Ready,
    /// A request of this method was begun.
    Asked(Method),
    /// The answer's content is coming.
    Answering { content: Content, persists: bool },
    /// Nothing may follow.
    Ended,
}

/// Why an exchange brought no answer.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// The connection ended before a whole head of an answer.
    #[error("it closed the connection without an answer")]
    Silence(#[source] Option<io::Error>),
    /// What came back is not HTTP.
    #[error("it does not speak HTTP")]
    Malformed(#[from] Malformed),
    /// It speaks TLS, and is spoken to without.
    #[error("it speaks https, and is spoken to in http")]
    Tls,
    /// The client broke off its request.
    #[error("the client broke off its request")]
    Client,
    /// The time for it was over.
    #[error("no answer in time")]
    TimedOut,
}

/// Why the content of an answer came to no end.
#[derive(Debug, Error)]
pub(super) enum Cut {
    /// Its connection failed.
    #[error("the upstream's connection failed")]
    Lost(#[source] io::Error),
    /// Its connection ended too early.
    #[error("the upstream closed the connection within its answer")]
    Short,
    /// It is not as its head says.
    #[error("the upstream's answer cannot be understood")]
    Malformed(#[from] Malformed),
}

impl ExchangeError {
    /// The connection ended without a whole answer, as one does that was kept for too long.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silence(_))
    }
}

impl Link {
    /// Speaks HTTP/1.1 over `stream`, and reads so much at once. Nothing is sent yet.
    pub(super) fn new(stream: Stream, most: usize) -> Self {
        Self {
            line: Line::new(stream),
            sending: Sending::default(),
            stage: Stage::Ready,
            unread: BytesMut::new(),
            most,
            piece: 0,
            reading: Reading::default(),
        }
    }

    /// Begins a request, of whose answer much use can be made like this.
    pub(super) fn begin(&mut self, head: &[u8], method: Method, upload: Option<Upload>, large: Use) {
        self.stage = Stage::Asked(method);
        self.reading.asked_for(if self.line.is_plain_tcp() { large } else { Use::Read });
        self.sending.begin(head, upload, &self.line);
    }

    /// Sends what is to be sent, and waits for the head of the answer.
    pub(super) fn poll_answer(
        &mut self,
        timer: &Timer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, ExchangeError>> {
        self.line.belongs_to(cx.waker());
        loop {
            if let Poll::Ready(Err(Broken)) = self.sending.poll(&self.line, cx) {
                return Poll::Ready(Err(ExchangeError::Client));
            }
            match self.poll_head() {
                Poll::Ready(Ok(head)) if head.is_interim() => {
                    if head.status == StatusCode::CONTINUE {
                        self.sending.let_through();
                    }
                }
                Poll::Ready(Ok(head)) => {
                    self.begin_content(&head)?;
                    return Poll::Ready(Ok(head));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if timer.is_over(cx) => return Poll::Ready(Err(ExchangeError::TimedOut)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next piece of the answer's content; `None` at its end.
    pub(super) fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.line.belongs_to(cx.waker());
        if let Poll::Ready(Err(Broken)) = self.sending.poll(&self.line, cx) {
            self.sending.give_up();
        }
        loop {
            let Stage::Answering { content, .. } = &mut self.stage else {
                return Poll::Ready(Some(Err(Cut::Short)));
            };
            match content.take(&mut self.unread) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(fields)) => return Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::Hungry) => {}
                Err(malformed) => return Poll::Ready(Some(Err(self.end(malformed.into())))),
            }
            match ready!(self.poll_read_content(cx)) {
                Ok(0) if self.ends_here() => return Poll::Ready(None),
                Ok(0) => return Poll::Ready(Some(Err(self.end(Cut::Short)))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(self.end(Cut::Lost(error))))),
            }
        }
    }

    /// How much of the content is to come, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match &self.stage {
            Stage::Answering { content, .. } => content.left(),
            Stage::Ready | Stage::Asked(_) | Stage::Ended => None,
        }
    }

    /// How much of the content is to come that was not read yet, if that is known.
    pub(super) fn to_come(&self) -> Option<u64> {
        self.left().map(|left| left.saturating_sub(self.unread.len() as u64))
    }

    /// Whether it is known that no more of the content is to come.
    pub(super) fn is_over(&self) -> bool {
        self.left() == Some(0)
    }

    /// Nothing more is asked over this connection.
    pub(super) fn retire(&mut self) {
        match &mut self.stage {
            Stage::Answering { persists, .. } => *persists = false,
            stage @ (Stage::Ready | Stage::Asked(_) | Stage::Ended) => *stage = Stage::Ended,
        }
    }

    /// Whether another request may follow: the last exchange is complete on both sides.
    pub(super) fn settle(&mut self) -> bool {
        if let Stage::Answering { content, persists: true } = &self.stage
            && content.is_over()
            && self.sending.is_complete()
            && self.line.is_sent()
            && self.unread.is_empty()
        {
            self.stage = Stage::Ready;
            self.unread = BytesMut::new(); // an empty one may keep its memory
        }
        matches!(self.stage, Stage::Ready)
    }

    /// Whether one that is ready is still open. Whatever has come since, the end or a word that nobody asked for, shows at
    /// its socket; only then it needs to be read.
    pub(super) fn is_still_open(&self) -> bool {
        self.line.is_quiet() || self.is_open()
    }

    /// The same without looking at the socket's readiness first. Not part of what a task may do in one turn, for it would
    /// hear that there is nothing to read once it has looked at many.
    pub(super) fn is_open(&self) -> bool {
        self.line.belongs_to(Waker::noop());
        let read = poll_fn(|_| self.line.poll_read(&mut ReadBuf::new(&mut [0])));
        pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Whether what is no HTTP says that TLS is spoken there.
    pub(super) fn said_tls(&self) -> bool {
        ANSWERS_OF_TLS.iter().any(|start| self.unread.starts_with(start))
    }

    /// Whether the content of the answer begins with these words, which stay to be read.
    pub(super) fn poll_says(&mut self, words: &[u8], cx: &mut Context<'_>) -> Poll<bool> {
        self.line.belongs_to(cx.waker());
        while self.unread.len() < words.len() && words.starts_with(&self.unread) {
            match ready!(self.poll_read_content(cx)) {
                Ok(0) => return Poll::Ready(false),
                Ok(_) => {}
                Err(_) => {
                    self.stage = Stage::Ended; // a second read would find no more than the end
                    return Poll::Ready(false);
                }
            }
        }
        Poll::Ready(self.unread.starts_with(words))
    }

    /// Whether the rest of the content could be moved out of the socket, and the connection used again after it.
    pub(super) fn is_movable(&self) -> bool {
        self.sending.is_complete() && self.line.is_sent() && self.line.is_plain_tcp()
    }

    /// The connection itself, for what is moved out of it.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Some of the content that was read and not used.
    pub(super) fn take_unread(&mut self) -> Bytes {
        match &mut self.stage {
            Stage::Answering { content, .. } if !self.unread.is_empty() => {
                match content.take(&mut self.unread) {
                    Ok(Piece::Data(data)) => data,
                    Ok(Piece::Trailers(_) | Piece::End | Piece::Hungry) | Err(_) => Bytes::new(),
                }
            }
            Stage::Ready | Stage::Asked(_) | Stage::Answering { .. } | Stage::Ended => Bytes::new(),
        }
    }

    /// So much of the content was moved.
    pub(super) fn pass_over(&mut self, bytes: u64) {
        if let Stage::Answering { content, .. } = &mut self.stage {
            content.pass_over(bytes);
        }
    }

    /// After a 101: the stream, and what the upstream has already said in the new protocol.
    pub(super) fn into_stream(self) -> Option<(Stream, Bytes)> {
        Some((self.line.into_stream()?, self.unread.freeze()))
    }

    fn begin_content(&mut self, head: &Head) -> Result<(), Malformed> {
        let Stage::Asked(method) = &self.stage else { return Ok(()) };
        let content = Content::new(head.ending(method)?);
        let length = content.left().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        self.reading.came(content.left());
        self.piece = length.unwrap_or(FIRST_BYTES).min(self.most);
        self.stage = Stage::Answering { content, persists: head.persists() };
        Ok(())
    }

    /// The next head, an interim one included.
    fn poll_head(&mut self) -> Poll<Result<Head, ExchangeError>> {
        let mut news = !self.unread.is_empty();
        loop {
            if news && let Some(head) = Head::read(&self.unread)? {
                self.unread.advance(head.length);
                return Poll::Ready(Ok(head));
            }
            if self.reading.is_at_once() || !self.unread.is_empty() {
                let before = self.unread.len();
                self.unread.reserve(if self.reading.is_at_once() { self.most } else { ROOM_BYTES });
                let read = ready!(self.poll_read(&mut Context::from_waker(Waker::noop())));
                if !matches!(read, Ok(1..)) {
                    return Poll::Ready(Err(ExchangeError::Silence(read.err())));
                }
                news = self.unread[before..].contains(&b'\n');
            } else if let Some(head) = ready!(self.poll_head_in_room())? {
                return Poll::Ready(Ok(head));
            } else {
                news = false;
            }
        }
    }

    /// The same, where nothing of it was read yet. If it is not whole, it is kept.
    fn poll_head_in_room(&mut self) -> Poll<Result<Option<Head>, ExchangeError>> {
        ROOM.with_borrow_mut(|room| {
            let mut read = ReadBuf::new(&mut room[..self.reading.room_bytes()]);
            ready!(self.line.poll_read(&mut read)).map_err(|error| ExchangeError::Silence(Some(error)))?;
            let bytes = read.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(ExchangeError::Silence(None)));
            }
            let head = Head::read(bytes);
            let used = head.as_ref().map_or(0, |head| head.as_ref().map_or(0, |head| head.length));
            self.unread.extend_from_slice(&bytes[used..]);
            Poll::Ready(Ok(head?))
        })
    }

    /// Reads some of the content, whose end may have come with it.
    fn poll_read_content(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let left = self.left().map(|left| usize::try_from(left).unwrap_or(usize::MAX));
        let want = left.map_or(self.piece, |left| left.min(self.most));
        if self.unread.capacity() - self.unread.len() < want / 4 {
            self.unread.reserve(want);
        }
        let read = ready!(self.poll_read(cx));
        if left.is_none() && self.unread.len() == self.unread.capacity() {
            self.piece = (2 * self.piece).min(self.most);
        }
        Poll::Ready(read)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_read_buf(Pin::new(&mut Reader(&self.line)), cx, &mut self.unread)
    }

    /// The connection has ended: whether that is the end of the content.
    fn ends_here(&mut self) -> bool {
        let Stage::Answering { content, persists } = &mut self.stage else { return true };
        *persists = false;
        content.ends_here()
    }

    /// Nothing more can come.
    fn end(&mut self, cut: Cut) -> Cut {
        self.stage = Stage::Ended;
        cut
    }
}

/// A line that wakes its owner, whoever polls it.
struct Reader<'a>(&'a Line);

impl AsyncRead for Reader<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(buf)
    }
}
