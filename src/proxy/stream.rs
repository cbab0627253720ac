//! The byte streams on both sides of the door.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::batch::SMALL_BYTES;
use super::socket::Socket;
use super::wire::Wire;

/// Most that is read at once, and most that waits to be written, on either side of one of so many connections. The same on
/// both sides, so that a full piece is written before the next one is read, into the memory that it has left behind, while
/// that is still in the cache. Large pieces are cheap, and few connections may have them: so however many readers stop, the
/// buffers of a worker stay within some MiB for the first of them and 72 KiB on each side, which is 64 KiB with their head,
/// for every other one.
pub(super) fn buffer_bytes(connections: usize) -> usize {
    match connections {
        0..=8 => 256 * 1024,
        _ => 72 * 1024,
    }
}

/// The same for one stream of HTTP/2.
pub(super) const STREAM_BUFFER_BYTES: usize = 128 * 1024;

/// Between the probes of a tunnel that is silent.
const KEEPALIVE: Duration = Duration::from_secs(60);

thread_local! {
    static TOGETHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection to a client or to an upstream.
#[derive(Debug)]
pub(super) enum Stream {
    /// Plain TCP.
    Tcp(Socket),
    /// A socket file.
    Unix(UnixStream),
    /// TLS that we terminate.
    TlsServer(Box<tokio_rustls::server::TlsStream<Wire>>),
    /// TLS towards an upstream.
    TlsClient(Box<tokio_rustls::client::TlsStream<Wire>>),
}

impl Stream {
    /// Makes the kernel notice a peer that is gone without a word.
    pub(super) fn keep_alive(&self) {
        let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        // Without it a dead tunnel merely stays open longer.
        let _ = self.with_tcp(|tcp| SockRef::from(&tcp).set_tcp_keepalive(&probes));
    }

    /// Reads what is there; the selector need not know of it for that.
    pub(super) fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.socket().and_then(|socket| socket.read_at_once(room.initialize_unfilled())) {
            Some(read) => Poll::Ready(read.map(|length| room.advance(length))),
            None => Pin::new(self).poll_read(cx, room),
        }
    }

    /// Makes the coming close a reset, so that what was sent cannot be taken for the whole.
    pub(super) fn close_by_reset(&self) {
        let _ = self.with_tcp(|tcp| SockRef::from(&tcp).set_linger(Some(Duration::ZERO)));
    }

    /// Whether nothing has come since it was read last, the end included, as far as can be told without a system call.
    pub(super) fn is_quiet(&self) -> bool {
        self.socket().is_some_and(Socket::is_quiet)
    }

    /// The socket, if it is one of TCP with nothing between.
    pub(super) fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Unix(_) | Self::TlsServer(_) | Self::TlsClient(_) => None,
        }
    }

    /// The same for who waits for something.
    pub(super) fn plain_tcp(&self) -> Option<&TcpStream> {
        self.socket().and_then(|socket| socket.registered().ok())
    }

    /// The socket alone, if it is one of TCP; whoever reads from it does without TLS.
    pub(super) fn into_tcp(self) -> Option<TcpStream> {
        match self {
            Self::Tcp(socket) => socket.into_registered().ok(),
            Self::TlsServer(tls) => tls.into_inner().0.into_tcp(),
            Self::TlsClient(tls) => tls.into_inner().0.into_tcp(),
            Self::Unix(_) => None,
        }
    }

    /// Does something with the socket under it, if it is one of TCP.
    fn with_tcp(&self, act: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.with(act),
            Self::TlsServer(tls) => tls.get_ref().0.with_tcp(act),
            Self::TlsClient(tls) => tls.get_ref().0.with_tcp(act),
            Self::Unix(_) => Ok(()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::TlsServer(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::TlsClient(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::TlsServer(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::TlsClient(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [one] = bufs {
            return self.poll_write(cx, one);
        }
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= SMALL_BYTES {
            return TOGETHER.with_borrow_mut(|together| {
                together.clear();
                bufs.iter().for_each(|buf| together.extend_from_slice(buf));
                self.as_mut().poll_write(cx, together)
            });
        }
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::TlsServer(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::TlsClient(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::TlsServer(stream) => Pin::new(stream).poll_flush(cx),
            Self::TlsClient(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsServer(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsClient(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
