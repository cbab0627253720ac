//! The socket under TLS, on which small records go out in batches.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::line::Line;
use super::stream::Stream;

/// A socket of TCP for a TLS library. It belongs to whoever polls it.
#[derive(Debug)]
pub(super) struct Wire {
    line: Line,
    /// What was read of it already.
    early: Bytes,
}

impl Wire {
    /// Over `socket`, of which `early` was read already.
    pub(super) fn new(socket: TcpStream, early: Bytes) -> Self {
        Self { line: Line::new(Stream::Tcp(socket.into())), early }
    }

    /// Does something else with the socket.
    pub(super) fn with_tcp(&self, act: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        self.line.with_socket(|socket| socket.with(act)).unwrap_or(Ok(()))
    }

    /// The socket, for good; what is in the batch goes out before.
    pub(super) fn into_tcp(self) -> Option<TcpStream> {
        self.line.into_stream().and_then(Stream::into_tcp)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(length));
            return Poll::Ready(Ok(()));
        }
        self.line.belongs_to(cx.waker());
        self.line.poll_read(buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.belongs_to(cx.waker());
        self.line.poll_write(bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.belongs_to(cx.waker());
        self.line.poll_flush()
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.belongs_to(cx.waker());
        self.line.poll_shutdown()
    }
}
