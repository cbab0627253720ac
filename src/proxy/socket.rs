//! A socket of TCP that the worker's selector gets to know only when something is waited for.
//!
//! A client that sends its request with its connection, and closes it after the answer, is never waited for: all that is
//! read of it is there. Two system calls and the selector's memory are a fourteenth of what such a connection costs.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::ioctl_fionread;
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connection over TCP.
pub(super) struct Socket {
    /// Until something is waited for.
    fresh: Cell<Option<net::TcpStream>>,
    /// From then on.
    registered: OnceCell<TcpStream>,
}

impl Socket {
    /// One that was just accepted and does not block.
    pub(super) fn accepted(socket: net::TcpStream) -> Self {
        Self { fresh: Cell::new(Some(socket)), registered: OnceCell::new() }
    }

    /// Whether nothing was waited for yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.registered.get().is_none()
    }

    /// Whether nothing has come since it was read last, the end included, as far as the selector has told.
    pub(super) fn is_quiet(&self) -> bool {
        self.registered.get().is_some_and(|tcp| tcp.try_io(Interest::READABLE, || Ok(())).is_err())
    }

    /// The socket for who waits for something.
    ///
    /// # Errors
    /// The selector does not take it; then it is closed.
    pub(super) fn registered(&self) -> io::Result<&TcpStream> {
        if let Some(socket) = self.registered.get() {
            return Ok(socket);
        }
        let fresh = self.fresh.take().ok_or(io::ErrorKind::NotConnected)?;
        let socket = TcpStream::from_std(fresh)?;
        Ok(self.registered.get_or_init(|| socket))
    }

    /// The same for good.
    ///
    /// # Errors
    /// The selector does not take it; then it is closed.
    pub(super) fn into_registered(self) -> io::Result<TcpStream> {
        self.registered()?;
        self.registered.into_inner().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads what is there, if nothing was waited for yet.
    pub(super) fn read_at_once(&self, room: &mut [u8]) -> Option<io::Result<usize>> {
        done(self.at_once(|socket| socket.read(room)))
    }

    /// Whether something has come that was not read. The end is nothing.
    pub(super) fn has_unread(&self) -> bool {
        !self.is_quiet() && self.with(|socket| Ok(ioctl_fionread(socket)?)).is_ok_and(|unread| unread > 0)
    }

    /// Sends what can be sent at once, without the C library, which would look after the cancelling of threads.
    ///
    /// # Errors
    /// Nothing can be, or the connection has failed.
    pub(super) fn try_send(&self, piece: &[u8], flags: SendFlags) -> io::Result<usize> {
        let send = |socket: BorrowedFd<'_>| Ok(send(socket, piece, flags)?);
        // Of one that it got to know a moment ago, the selector has not told yet that it can be written to.
        done(self.write_at_once(send)).unwrap_or_else(|| self.with(send))
    }

    /// Writes in some other way what can be written at once.
    ///
    /// # Errors
    /// Nothing can be, as far as is known, or the connection has failed.
    pub(super) fn write_at_once(
        &self,
        write: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self.registered.get() {
            Some(socket) => socket.try_io(Interest::WRITABLE, || write(socket.as_fd())),
            None => self.with(write),
        }
    }

    /// Does something else, for which the selector need not know of the socket.
    ///
    /// # Errors
    /// Those of `act`.
    pub(super) fn with<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        match self.registered.get() {
            Some(socket) => act(socket.as_fd()),
            None => self.at_once(|socket| act(socket.as_fd())),
        }
    }

    /// Does something with a socket that is fresh; any other has to be waited for.
    fn at_once<T>(&self, act: impl FnOnce(&mut net::TcpStream) -> io::Result<T>) -> io::Result<T> {
        let mut socket = self.fresh.take().ok_or(io::ErrorKind::WouldBlock)?;
        let outcome = act(&mut socket);
        self.fresh.set(Some(socket));
        outcome
    }

    fn registered_mut(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.registered()?;
        self.registered.get_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// What could be done at once.
fn done<T>(outcome: io::Result<T>) -> Option<io::Result<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        outcome => Some(outcome),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.registered_mut()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(written) = done(self.at_once(|socket| socket.write(buf))) {
            return Poll::Ready(written);
        }
        self.registered_mut()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(written) = done(self.at_once(|socket| socket.write_vectored(bufs))) {
            return Poll::Ready(written);
        }
        self.registered_mut()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // the kernel does that
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(ended) = done(self.at_once(|socket| socket.shutdown(net::Shutdown::Write))) {
            return Poll::Ready(ended);
        }
        self.registered_mut()?.poll_shutdown(cx)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.registered.get()).finish()
    }
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self { fresh: Cell::default(), registered: OnceCell::from(socket) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client, and the door's side of its connection.
    fn connection() -> (net::TcpStream, Socket) {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        (client, Socket::accepted(socket))
    }

    #[test]
    fn the_selector_need_not_know_of_it_for_what_is_done_at_once() {
        let (mut client, socket) = connection();
        let hello = |socket: BorrowedFd<'_>| Ok(send(socket, b"hello", SendFlags::empty())?);
        assert_eq!(socket.write_at_once(hello).unwrap(), 5);
        let mut room = [0; 5];
        client.read_exact(&mut room).unwrap();
        assert_eq!(&room, b"hello");
        assert!(!socket.has_unread());
        assert!(socket.is_fresh());
    }

    #[test]
    fn what_came_is_unread_until_it_is_read_and_the_end_is_nothing() {
        let (mut client, socket) = connection();
        client.write_all(b"word").unwrap();
        assert!(socket.has_unread());
        assert_eq!(socket.read_at_once(&mut [0; 8]).unwrap().unwrap(), 4);
        client.shutdown(net::Shutdown::Write).unwrap();
        assert!(!socket.has_unread());
    }
}
