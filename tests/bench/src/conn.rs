//! HTTP/1.1 as much as a client and an upstream that know each other need, with two system calls a message.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{anyhow, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::cycle::Cycle;
use crate::tls::Client;

/// The read buffer of connections that carry small messages.
pub(crate) const SMALL: usize = 16 * 1024;
/// The read buffer of connections that stream, and the longest piece written at once.
pub(crate) const LARGE: usize = 256 * 1024;
/// Header lines we are prepared to read.
const MAX_HEADERS: usize = 32;

/// How a client speaks to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Plain TCP.
    Plain,
    /// TLS 1.3.
    Tls,
}

/// A connection with what was read from it and not yet used.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: Stream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// The part of a response's head that the load looks at.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    /// The status code.
    pub(crate) status: u16,
    /// `Content-Length`.
    pub(crate) length: Option<u64>,
}

/// The part of a request's head that the upstream looks at.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Method and target as one word, e.g. `GET /small`.
    pub(crate) what: String,
    /// `Content-Length`, 0 without one.
    pub(crate) length: u64,
    /// The client will not send another request.
    pub(crate) close: bool,
}

impl Conn {
    /// Connects to a proxy.
    ///
    /// # Errors
    /// A refused connection or a failed handshake.
    pub(crate) async fn open(to: SocketAddr, tls: Option<&Client>, buffer: usize) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        let stream = match tls {
            None => Stream::Plain(tcp),
            Some(client) => Stream::Tls(Box::new(client.handshake(tcp).await?)),
        };
        Ok(Self::new(stream, buffer))
    }

    /// Takes an accepted connection.
    pub(crate) fn accepted(tcp: TcpStream, buffer: usize) -> Self {
        Self::new(Stream::Plain(tcp), buffer)
    }

    fn new(stream: Stream, buffer: usize) -> Self {
        Self { stream, buffer: vec![0; buffer].into(), start: 0, end: 0 }
    }

    /// Writes all of `bytes`.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Writes `text` from `position` up to `end`.
    pub(crate) async fn send_text(
        &mut self,
        text: &Cycle,
        mut position: u64,
        end: u64,
    ) -> anyhow::Result<()> {
        while position < end {
            let piece = text.at(position, usize::try_from(end - position)?.min(LARGE));
            self.stream.write_all(piece).await?;
            position += piece.len() as u64;
        }
        Ok(self.stream.flush().await?)
    }

    /// Reads `length` bytes that must be `text` from `position` on.
    ///
    /// # Errors
    /// Other bytes, or an early end.
    pub(crate) async fn expect_text(
        &mut self,
        text: &Cycle,
        mut position: u64,
        length: u64,
    ) -> anyhow::Result<()> {
        let end = position + length;
        while position < end {
            if self.start == self.end {
                self.fill().await?;
            }
            let here = self.unread().len().min(usize::try_from(end - position)?);
            ensure!(
                text.holds(position, &self.unread()[..here]),
                "wrong byte in the {here} after {position}"
            );
            self.start += here;
            position += here as u64;
        }
        Ok(())
    }

    /// One response, which must be 200 with exactly `length` bytes of `text`.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) async fn expect_response(&mut self, text: &Cycle, length: u64) -> anyhow::Result<()> {
        let head = self.response_head().await?;
        ensure!(head.status == 200, "status {}", head.status);
        ensure!(head.length == Some(length), "content-length {:?}, not {length}", head.length);
        self.expect_text(text, 0, length).await
    }

    /// Reads until the peer closes, which must come before another byte.
    ///
    /// # Errors
    /// More bytes.
    pub(crate) async fn expect_end(mut self) -> anyhow::Result<()> {
        ensure!(self.start == self.end, "bytes after the end of the response");
        match self.stream.read(&mut self.buffer).await {
            Ok(0) => Ok(()),
            // Without a close_notify; the length has already told us that nothing is missing.
            Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Ok(_) => bail!("bytes after the end of the response"),
            Err(other) => Err(other.into()),
        }
    }

    /// Reads the head of a response.
    ///
    /// # Errors
    /// Not HTTP, or an early end.
    pub(crate) async fn response_head(&mut self) -> anyhow::Result<ResponseHead> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(size) = response.parse(self.unread())? {
                let head = ResponseHead {
                    status: response.code.unwrap_or_default(),
                    length: field(response.headers, "content-length").and_then(|value| value.parse().ok()),
                };
                self.start += size;
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Reads the head of a request; `None` when the peer has closed between two.
    ///
    /// # Errors
    /// Not HTTP, or an end in the middle of the head.
    pub(crate) async fn request_head(&mut self) -> anyhow::Result<Option<RequestHead>> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut request = httparse::Request::new(&mut headers);
            if let httparse::Status::Complete(size) = request.parse(self.unread())? {
                let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
                let head = RequestHead {
                    what: format!("{method} {target}"),
                    length: field(request.headers, "content-length").map_or(Ok(0), str::parse)?,
                    close: field(request.headers, "connection")
                        .is_some_and(|value| value.eq_ignore_ascii_case("close")),
                };
                self.start += size;
                return Ok(Some(head));
            }
            match self.fill().await {
                Ok(()) => {}
                Err(_) if self.start == self.end => return Ok(None),
                Err(other) => return Err(other),
            }
        }
    }

    /// What was read and not yet used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Uses `count` of the unread bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Reads at least one more byte.
    ///
    /// # Errors
    /// The end of the stream, or a message larger than the buffer.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        ensure!(self.end < self.buffer.len(), "a head or message larger than the buffer");
        match self.stream.read(&mut self.buffer[self.end..]).await? {
            0 => Err(anyhow!("closed early")),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }
}

fn field<'h>(headers: &[httparse::Header<'h>], name: &str) -> Option<&'h str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
