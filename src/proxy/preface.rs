//! What peers that forward for others say before HTTP: whose connection it is, and that HTTP/2 follows.
//!
//! Xray's fallbacks come from loopback, with a PROXY header if `xver` says so, and in HTTP/2 if that was agreed on in the
//! TLS that Xray has taken off. Only peers on loopback and `trusted_proxies` are looked at. What was read and is no PROXY
//! header goes on to who reads what comes after it.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use thiserror::Error;
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
use crate::policy::preface::{self, Start};

/// Most that is read at once: more than a header takes.
const PIECE_BYTES: usize = 4096;

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
fn may_introduce(worker: &Worker, address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || worker.trusts(address)
}

/// Learns whose connection it is, of which the first bytes were read, and counts it for that address. `None`: it is to be
/// closed. Of what was read, it leaves what is no PROXY header.
pub(super) async fn meet(
    worker: &Worker,
    door: &Door,
    stream: &Stream,
    early: &mut Bytes,
    activity: &Rc<Activity>,
    address: IpAddr,
    place: &mut Place,
) -> Option<(Peer, Next)> {
    let address = address.to_canonical();
    let itself = Peer { address, client: address };
    // Nearly always that is all.
    if !may_introduce(worker, address) || preface::start(early) == Start::Other {
        return Some((itself, Next::Any));
    }
    let socket = stream.plain_tcp()?;
    let (client, next) = match Box::pin(read(socket, early, activity)).await {
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

/// Takes a PROXY header, if there is one, from what was read, and looks at what comes after it.
async fn read(
    socket: &TcpStream,
    early: &mut Bytes,
    activity: &Rc<Activity>,
) -> Result<(Option<IpAddr>, Next), PrefaceError> {
    activity.head_began();
    let mut client = None;
    let mut first = start(socket, early, activity).await?;
    if let Start::Proxied(header) = first {
        early.advance(header.length);
        client = header.client;
        first = start(socket, early, activity).await?;
    }
    match first {
        Start::Http2 => Ok((client, Next::Http2)),
        Start::Other => Ok((client, Next::Any)),
        // A second header too: who is spoken for does not speak for others.
        Start::Proxied(_) | Start::Malformed => Err(PrefaceError::Malformed),
        Start::Undecided => Err(PrefaceError::TooLate),
    }
}

/// Reads until it can be told what it is.
async fn start(
    socket: &TcpStream,
    early: &mut Bytes,
    activity: &Rc<Activity>,
) -> Result<Start, PrefaceError> {
    loop {
        match preface::start(early) {
            Start::Undecided => *early = [&early[..], &more(socket, activity).await?].concat().into(),
            decided @ (Start::Other | Start::Http2 | Start::Proxied(_) | Start::Malformed) => {
                return Ok(decided);
            }
        }
    }
}

/// Reads what comes next.
async fn more(socket: &TcpStream, activity: &Rc<Activity>) -> Result<Vec<u8>, PrefaceError> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let draining = std::future::poll_fn(|cx| match activity.is_draining(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::select! {
            biased;
            () = draining => return Err(PrefaceError::TooLate),
            ready = socket.readable() => ready?,
            () = sleep_until(activity.deadline()) => return Err(PrefaceError::TooLate),
        }
        match socket.try_read(&mut piece) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(read) => {
                piece.truncate(read);
                return Ok(piece);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
