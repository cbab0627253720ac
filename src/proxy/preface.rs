//! What peers that forward for others say before HTTP: whose connection it is, and that HTTP/2 follows.
//!
//! Xray's fallbacks come from loopback, with a PROXY header if `xver` says so, and in HTTP/2 if that was agreed on in the
//! TLS that Xray has taken off. Only peers on loopback and `trusted_proxies` are looked at. Nothing is read before it is
//! known to be a PROXY header: until then the bytes stay in the socket, so none can be lost.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use thiserror::Error;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep_until;
use tracing::{debug, warn};

use super::accept;
use super::activity::Activity;
use super::gate::Place;
use super::now::{self, Instant};
use super::service::Peer;
use super::stream::Stream;
use super::worker::{Door, Worker};
use crate::policy::preface::{self, Header, MAX_BYTES, Start};

/// Between two warnings about malformed headers.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// What comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing that is known yet: TLS, or HTTP/1.
    Any,
    /// HTTP/2, with prior knowledge.
    Http2,
}

/// Why a connection comes to nothing.
#[derive(Debug, Error)]
pub(super) enum PrefaceError {
    /// It begins like a PROXY header, and is none.
    #[error("a malformed PROXY header")]
    Malformed,
    /// The connection failed or ended.
    #[error("the connection ended within its preface")]
    Ended(#[from] io::Error),
    /// `header_timeout` was over, or the daemon ends.
    #[error("the preface did not come in time")]
    TooLate,
}

/// When a worker last complained about a malformed header.
#[derive(Debug, Default)]
pub(super) struct Complaints(Cell<Option<Instant>>);

impl Complaints {
    /// Whether it is time for another one.
    pub(super) fn is_due(&self) -> bool {
        let due = self.0.get().is_none_or(|last| now::since(last) >= COMPLAINT_INTERVAL);
        if due {
            self.0.set(Some(now::now()));
        }
        due
    }
}

/// Whether a peer may say whose connection it is.
pub(super) fn may_introduce(worker: &Worker, address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || worker.trusts(address)
}

/// Learns whose connection it is, whose first byte is there, and counts it for that address. `None`: it is to be closed.
pub(super) async fn meet(
    worker: &Worker,
    door: &Door,
    stream: &Stream,
    activity: &Rc<Activity>,
    address: IpAddr,
    place: &mut Place,
) -> Option<(Peer, Next)> {
    let address = address.to_canonical();
    let itself = Peer { address, client: address };
    let Some(socket) = stream.tcp().filter(|_| may_introduce(worker, address)) else {
        return Some((itself, Next::Any));
    };
    // Nearly always that is all, and costs one call.
    if matches!(peek(socket), Ok(Start::Other)) {
        return Some((itself, Next::Any));
    }
    let (client, next) = match Box::pin(read(socket, activity)).await {
        Ok(read) => read,
        Err(error) => {
            complain(worker, &error);
            return None;
        }
    };
    if door.tls.is_some() {
        activity.begin_anew(); // the handshake has a time limit of its own
    }
    let Some(client) = client.map(|client| client.to_canonical()) else {
        return Some((itself, next));
    };
    if !place.is_for(client) {
        accept::refuse(worker, door, &SockRef::from(socket));
        return None;
    }
    Some((Peer { address, client }, next))
}

/// Says that a header was none: somebody has set the other side up wrongly. The rest happens.
fn complain(worker: &Worker, error: &PrefaceError) {
    match error {
        PrefaceError::Malformed => {
            worker.counters.preface_errors.increment();
            if worker.complaints.is_due() {
                warn!(%error, "closed a connection from loopback or from one of http.trusted_proxies");
            }
        }
        PrefaceError::Ended(_) | PrefaceError::TooLate => debug!(%error, "connection ended"),
    }
}

/// Reads a PROXY header, if there is one, and looks at what comes after it.
async fn read(socket: &TcpStream, activity: &Rc<Activity>) -> Result<(Option<IpAddr>, Next), PrefaceError> {
    activity.head_began();
    let mut client = None;
    let mut first = start(socket, activity).await?;
    if let Start::Proxied(header) = first {
        consume(socket, header)?;
        client = header.client;
        first = start(socket, activity).await?;
    }
    match first {
        Start::Http2 => Ok((client, Next::Http2)),
        Start::Other => Ok((client, Next::Any)),
        // A second header too: who is spoken for does not speak for others.
        Start::Proxied(_) | Start::Malformed => Err(PrefaceError::Malformed),
        Start::Undecided => Err(PrefaceError::TooLate),
    }
}

/// Looks at what has come, until it can be told what it is.
async fn start(socket: &TcpStream, activity: &Rc<Activity>) -> Result<Start, PrefaceError> {
    loop {
        let draining = std::future::poll_fn(|cx| match activity.is_draining(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let ready = tokio::select! {
            biased;
            () = draining => return Err(PrefaceError::TooLate),
            ready = socket.ready(Interest::READABLE) => ready?,
            () = sleep_until(activity.deadline()) => return Err(PrefaceError::TooLate),
        };
        match socket.try_io(Interest::READABLE, || peek(socket)) {
            Ok(start) => return Ok(start),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Looks at the first bytes and leaves them where they are. Fails with `WouldBlock` while more must come, so that tokio
/// waits for that.
fn peek(socket: &TcpStream) -> io::Result<Start> {
    let mut bytes = [MaybeUninit::uninit(); MAX_BYTES];
    let ((seen, _), _) = recv(socket, &mut bytes[..], RecvFlags::PEEK)?;
    if seen.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match preface::start(seen) {
        Start::Undecided => Err(io::ErrorKind::WouldBlock.into()),
        decided @ (Start::Other | Start::Http2 | Start::Proxied(_) | Start::Malformed) => Ok(decided),
    }
}

/// Takes a header, all of which has been seen, out of the socket.
fn consume(socket: &TcpStream, header: Header) -> io::Result<()> {
    let mut bytes = [MaybeUninit::uninit(); MAX_BYTES];
    let mut left = header.length;
    while left > 0 {
        let ((taken, _), _) = recv(socket, &mut bytes[..left], RecvFlags::empty())?;
        left -= taken.len();
    }
    Ok(())
}
