//! A stream of which small messages go out in batches.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;

use super::batch::{self, SMALL_BYTES};
use super::socket::Socket;
use super::stream::Stream;

/// A stream that is shared with its batch.
#[derive(Clone, Debug)]
pub(super) struct Line(Rc<State>);

#[derive(Debug)]
struct State {
    /// Gone once it was taken back.
    stream: RefCell<Option<Stream>>,
    /// Whose it is: the task that its readiness wakes.
    owner: RefCell<Waker>,
    /// The owner will be woken when there is something to read.
    awaits: Cell<bool>,
    /// Something of it is in the batch.
    queued: Cell<bool>,
    /// What was in the batch and could not be sent.
    unsent: RefCell<Vec<u8>>,
    /// Something follows at once what is in the batch.
    goes_on: Cell<bool>,
}

impl Line {
    /// Over `stream`, which belongs to nobody yet.
    pub(super) fn new(stream: Stream) -> Self {
        Self(Rc::new(State {
            stream: RefCell::new(Some(stream)),
            owner: RefCell::new(Waker::noop().clone()),
            awaits: Cell::new(false),
            queued: Cell::new(false),
            unsent: RefCell::default(),
            goes_on: Cell::new(false),
        }))
    }

    /// Whether both are over one stream.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// From now on it wakes this task.
    pub(super) fn belongs_to(&self, task: &Waker) {
        if !self.0.owner.borrow().will_wake(task) {
            self.0.owner.replace(task.clone());
            self.0.awaits.set(false);
        }
    }

    /// Polls something else for its owner.
    pub(super) fn poll<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll(&mut Context::from_waker(&self.0.owner.borrow()))
    }

    /// Lets its owner run again soon.
    pub(super) fn wake_owner(&self) {
        self.0.owner.borrow().wake_by_ref();
    }

    /// Whether nothing has come since it was read last. The end is something, too.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.stream.borrow().as_ref().is_some_and(Stream::is_quiet)
    }

    /// Whether all that was written is sent.
    pub(super) fn is_sent(&self) -> bool {
        !self.0.queued.get() && self.0.unsent.borrow().is_empty()
    }

    /// Waits until all that was written is sent.
    pub(super) async fn sent(&self) -> io::Result<()> {
        poll_fn(|cx| {
            self.belongs_to(cx.waker());
            self.poll_sent()
        })
        .await
    }

    /// The stream, for good; what is in the batch goes out before.
    pub(super) fn into_stream(self) -> Option<Stream> {
        let _ = self.poll_sent(); // a rest is of interest only to who has waited for it
        self.0.stream.take()
    }

    /// Reads, or wakes the owner when there is something to read.
    pub(super) fn poll_read(&self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.awaits.get() && self.is_quiet() {
            return Poll::Pending;
        }
        let polled = self.poll_stream(|stream, cx| stream.poll_read(cx, buf));
        // Not where it only has to give way: then nobody would wake it.
        self.0.awaits.set(polled.is_pending() && has_budget_remaining());
        polled
    }

    /// Takes a message, or wakes the owner when it can. A small one is sent soon.
    pub(super) fn poll_write(&self, message: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = message.iter().map(|part| part.len()).sum();
        if length > SMALL_BYTES || !self.is_plain_tcp() {
            ready!(self.poll_sent())?;
            return self.poll_stream(|stream, cx| stream.poll_write_vectored(cx, message));
        }
        ready!(self.poll_unsent())?;
        self.0.queued.set(true);
        batch::put(self, message);
        Poll::Ready(Ok(length))
    }

    /// Waits until nothing is left but what is in the batch.
    pub(super) fn poll_flush(&self) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent())?;
        self.poll_stream(Stream::poll_flush)
    }

    /// Ends the sending side, when all that was written is sent.
    pub(super) fn poll_shutdown(&self) -> Poll<io::Result<()>> {
        ready!(self.poll_sent())?;
        self.poll_stream(Stream::poll_shutdown)
    }

    /// Sends the rest of what was written, after which the stream is to be dropped. So the kernel may let the last segment
    /// wait for the end that goes with it.
    pub(super) fn poll_last(&self) -> Poll<io::Result<()>> {
        self.0.goes_on.set(true);
        self.poll_sent()
    }

    /// Sends the rest of what was written, which something follows at once, so that it may go in one segment with that.
    pub(super) fn poll_sent_before_more(&self) -> Poll<io::Result<()>> {
        self.0.goes_on.set(true);
        let polled = self.poll_sent();
        self.0.goes_on.set(false);
        polled
    }

    /// Sends what was in the batch. If not all can be sent, the owner is to look after the rest.
    pub(super) fn send(&self, piece: &[u8]) {
        self.0.queued.set(false);
        let mut unsent = self.0.unsent.borrow_mut();
        let sent = if unsent.is_empty() { self.try_write(piece).unwrap_or(0) } else { 0 };
        if sent < piece.len() {
            unsent.extend_from_slice(&piece[sent..]);
            self.wake_owner();
        }
    }

    /// What fails here fails again where it can be told.
    fn try_write(&self, piece: &[u8]) -> io::Result<usize> {
        let more = if self.0.goes_on.get() { SendFlags::MORE } else { SendFlags::empty() };
        let sent = self.with_socket(|socket| socket.try_send(piece, SendFlags::NOSIGNAL | more));
        sent.ok_or(io::ErrorKind::NotConnected)?
    }

    /// Sends all that was written.
    pub(super) fn poll_sent(&self) -> Poll<io::Result<()>> {
        if self.0.queued.get() {
            batch::send();
        }
        self.poll_unsent()
    }

    /// Sends what the batch could not send.
    fn poll_unsent(&self) -> Poll<io::Result<()>> {
        if self.0.unsent.borrow().is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut unsent = mem::take(&mut *self.0.unsent.borrow_mut());
        let polled = loop {
            match self.poll_stream(|stream, cx| stream.poll_write(cx, &unsent)) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    unsent.drain(..written);
                    if unsent.is_empty() {
                        break Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.0.unsent.replace(unsent);
        polled
    }

    /// Writes in some other way what can be written at once, to a socket of TCP with nothing between.
    pub(super) fn write_at_once(
        &self,
        write: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.with_socket(|socket| socket.write_at_once(write)).ok_or(io::ErrorKind::NotConnected)?
    }

    /// Whether something has come over a socket of TCP, with nothing between, that was not read.
    pub(super) fn has_unread(&self) -> bool {
        self.with_socket(Socket::has_unread).unwrap_or(false)
    }

    /// Whether it is a socket of TCP with nothing between.
    pub(super) fn is_plain_tcp(&self) -> bool {
        self.with_socket(|_| ()).is_some()
    }

    /// Whether nothing was waited for on it yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.with_socket(Socket::is_fresh).unwrap_or(false)
    }

    /// Does something with the socket, if it is one of TCP with nothing between.
    pub(super) fn with_socket<T>(&self, act: impl FnOnce(&Socket) -> T) -> Option<T> {
        self.0.stream.borrow().as_ref().and_then(Stream::socket).map(act)
    }

    /// The same for who waits for something.
    pub(super) fn with_plain_tcp<T>(&self, act: impl FnOnce(&TcpStream) -> T) -> Option<T> {
        self.0.stream.borrow().as_ref().and_then(Stream::plain_tcp).map(act)
    }

    fn poll_stream<T>(
        &self,
        poll: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.0.stream.borrow_mut().as_mut() {
            Some(stream) => self.poll(|cx| poll(Pin::new(stream), cx)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;
    use tokio::task::coop::consume_budget;
    use tokio::task::{LocalSet, yield_now};
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A line, and its other side.
    async fn line() -> (Line, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Line::new(Stream::Tcp(near.unwrap().into())), far.unwrap().0)
    }

    /// Bytes that tell when some are missing, or come twice, or in another order.
    fn bytes(length: usize) -> Vec<u8> {
        (0_u64..).flat_map(u64::to_le_bytes).take(length).collect()
    }

    #[tokio::test]
    async fn what_did_not_go_at_once_goes_later_and_in_order() {
        let (line, mut far) = line().await;
        let all = bytes(24 << 20);
        let (first, second) = all.split_at(12 << 20);
        first.chunks(SMALL_BYTES).for_each(|piece| line.send(piece));
        assert!(!line.is_sent(), "the socket is full");
        let mut arrived = vec![0; 1 << 20]; // some of it has room now
        far.read_exact(&mut arrived).await.unwrap();
        second.chunks(SMALL_BYTES).for_each(|piece| line.send(piece));
        let reading = async {
            while arrived.len() < all.len() {
                far.read_buf(&mut arrived).await.unwrap();
            }
        };
        let (sent, ()) = timeout(SOON, async { tokio::join!(line.sent(), reading) }).await.unwrap();
        sent.unwrap();
        assert!(line.is_sent() && arrived == all);
    }

    #[tokio::test]
    async fn only_what_goes_before_more_waits_for_it() {
        let (line, _far) = line().await;
        let goes_on = |line: &Line| line.0.goes_on.get();
        assert!(line.poll_sent_before_more().is_ready());
        assert!(!goes_on(&line));
        assert!(line.poll_last().is_ready());
        assert!(goes_on(&line));
    }

    async fn read(line: &Line) {
        let read = poll_fn(|cx| {
            line.belongs_to(cx.waker());
            line.poll_read(&mut ReadBuf::new(&mut [0; 8]))
        });
        read.await.unwrap();
    }

    async fn reads_nothing_now(line: &Line) -> bool {
        poll_fn(|cx| Poll::Ready(pin!(read(line)).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn who_had_to_give_way_hears_of_what_comes_after_that() {
        let (line, mut far) = line().await;
        let (waits, waited) = oneshot::channel();
        let tasks = LocalSet::new();
        let reader = tasks.spawn_local(async move {
            read(&line).await;
            poll_fn(|cx| {
                while pin!(consume_budget()).poll(cx).is_ready() {}
                assert!(pin!(read(&line)).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            yield_now().await;
            assert!(reads_nothing_now(&line).await);
            waits.send(()).unwrap();
            read(&line).await;
        });
        let story = async {
            far.write_all(b"one").await.unwrap();
            waited.await.unwrap();
            far.write_all(b"two").await.unwrap();
            timeout(SOON, reader).await.expect("it is woken").unwrap();
        };
        tasks.run_until(story).await;
    }
}
