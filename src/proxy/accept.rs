//! Accepting connections: who finds a place is served, who finds none is told so at once.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::now::{self, Instant};
use super::socket::Socket;
use super::worker::{Door, Worker};
use super::{connection, respond};

/// After `accept` failed, as it does when descriptors run out: time for some to be given back. The kernel looks for a
/// descriptor before it looks for a connection, so without a pause an exhausted listener would fail again at once.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that are refused in a row for want of a descriptor, before others of the worker have their turn.
const REFUSALS: usize = 256;

/// Between two warnings that `accept` fails.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// A descriptor that is given up for the moment that it takes to refuse a connection when there is no other left.
/// Without it, who comes then would wait in the backlog and never hear why.
#[derive(Debug, Default)]
pub(super) struct Spare(RefCell<Option<File>>);

impl Spare {
    /// Takes a descriptor, if it has none and one is left.
    fn replenish(&self) {
        let mut spare = self.0.borrow_mut();
        if spare.is_none() {
            *spare = File::open("/dev/null").ok();
        }
    }

    /// Gives it up; `false` if there is none.
    fn give_up(&self) -> bool {
        self.0.take().is_some()
    }
}

/// A listener whose connections the selector need not know of; tokio's makes each of them known.
pub(super) struct Listener(TcpStream);

impl Listener {
    /// Over a socket that listens and does not block. It waits as any other does: it can be read when a connection is there
    /// (accept(2)).
    ///
    /// # Errors
    /// The selector does not take it.
    pub(super) fn new(listener: net::TcpListener) -> io::Result<Self> {
        Ok(Self(TcpStream::from_std(OwnedFd::from(listener).into())?))
    }

    async fn accept(&self) -> io::Result<(net::TcpStream, SocketAddr)> {
        let accept = || {
            let (socket, peer) = acceptfrom_with(&self.0, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
            Ok((socket.into(), peer.ok_or(io::ErrorKind::NotConnected)?.try_into()?))
        };
        self.0.async_io(Interest::READABLE, accept).await
    }
}

/// Accepts until `stop`. An error of `accept` never ends it.
pub(super) async fn run(listener: Listener, door: Rc<Door>, worker: Rc<Worker>, stop: CancellationToken) {
    worker.spare.replenish();
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                worker.spare.replenish();
                admit(&worker, &door, socket, peer);
            }
            Err(error) => {
                worker.counters.accept_errors.increment();
                now::tick();
                if complained.is_none_or(|then| now::since(then) >= COMPLAINT_INTERVAL) {
                    complained = Some(now::now());
                    warn!(%error, "connections cannot be accepted; trying again");
                }
                if is_exhaustion(&error) {
                    refuse_waiting(&listener, &door, &worker);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves a connection that finds a place. Others cost neither a task nor a wait.
fn admit(worker: &Rc<Worker>, door: &Rc<Door>, socket: net::TcpStream, peer: SocketAddr) {
    worker.counters.accepted.increment();
    match worker.gate.enter(peer.ip()) {
        Some(place) => {
            let socket = Socket::accepted(socket);
            spawn_local(connection::serve(Rc::clone(worker), Rc::clone(door), socket, peer, place));
        }
        None => refuse(worker, door, &SockRef::from(&socket)),
    }
}

/// Refuses who waits for a descriptor, one after another over the spare one.
fn refuse_waiting(listener: &Listener, door: &Door, worker: &Worker) {
    let listener = SockRef::from(&listener.0);
    for _ in 0..REFUSALS {
        if !worker.spare.give_up() {
            return; // another thread was quicker; then they wait
        }
        let accepted = listener.accept();
        if let Ok((socket, _)) = &accepted {
            worker.counters.accepted.increment();
            refuse(worker, door, socket);
        }
        let more = accepted.is_ok();
        drop(accepted);
        worker.spare.replenish();
        if !more {
            return;
        }
    }
}

/// Over a limit: a 503 to who speaks plain HTTP; a TLS connection is only closed, as the handshake would be the dearer
/// part. Nothing is waited for.
pub(super) fn refuse(worker: &Worker, door: &Door, socket: &socket2::Socket) {
    worker.counters.refused.increment();
    if door.tls.is_none()
        && let Err(error) = respond::turn_away(socket)
    {
        debug!(%error, "a client over a limit was not told so");
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
