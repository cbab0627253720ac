//! One client connection, from its first byte to its last.

use std::future::{Future, poll_fn};
use std::mem;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::debug;

use super::activity::{Activity, Phase};
use super::gate::{Place, TunnelPlace};
use super::inbound;
use super::line::Line;
use super::now;
use super::park::{self, Counted};
use super::preface::{self, Next};
use super::service::{Client, Peer, Protocol};
use super::socket::Socket;
use super::stream::{STREAM_BUFFER_BYTES, Stream, buffer_bytes};
use super::tls::{Handshake, Terminator};
use super::tunnel::{self, Side};
use super::watched::Watched;
use super::wire::Wire;
use super::worker::{Door, Worker};
use crate::config::Limits;
use crate::policy::letters::Letters;
use crate::shared::stats::Counters;

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;

/// What hyper allows when it is told nothing. Told a number, it fills tables of that many entries for each head, which
/// costs more than to parse it.
const HYPER_MAX_HEADERS: usize = 100;

/// How soon an HTTP/2 connection is looked at again whose time was not over yet.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How hyper is to speak with clients.
pub(super) struct Protocols {
    /// Where the letters of names are known without it.
    usual: http1::Builder,
    /// Keeping a record of them.
    kept: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
    max_header_bytes: usize,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .title_case_headers(true)
            .auto_date_header(false)
            .header_read_timeout(None)
            .max_header_size(limits.max_header_bytes);
        if limits.max_headers != HYPER_MAX_HEADERS {
            http1.max_headers(limits.max_headers);
        }
        let mut http2 = http2::Builder::new(LocalExecutor);
        http2
            .auto_date_header(false)
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(STREAM_BUFFER_BYTES)
            .max_header_list_size(beyond(limits.max_header_bytes));
        let mut kept = http1.clone();
        kept.preserve_header_case(true);
        Self { usual: http1, kept, http2, max_header_bytes: limits.max_header_bytes }
    }

    /// For one of so many connections.
    fn http1(&self, letters: Letters, connections: usize) -> http1::Builder {
        let mut builder = match letters {
            Letters::Usual | Letters::Told => self.usual.clone(),
            Letters::Kept => self.kept.clone(),
        };
        builder.max_buf_size(buffer_bytes(connections).max(self.max_header_bytes));
        builder
    }
}

/// What the `h2` library has to be told for so many bytes of a head: it refuses what reaches its number.
fn beyond(max_header_bytes: usize) -> u32 {
    u32::try_from(max_header_bytes).unwrap_or(u32::MAX).saturating_add(1)
}

/// Runs tasks on the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// Serves a connection that was just accepted, and keeps its `place` as long.
///
/// What this future keeps is what an idle connection costs: everything large is in a box, which is there only while the
/// client has something to say.
pub(super) async fn serve(
    worker: Rc<Worker>,
    door: Rc<Door>,
    socket: Socket,
    peer: SocketAddr,
    mut place: Place,
) {
    let _counted = Counted::new(&worker.counters.connections);
    now::tick();
    let activity = Activity::new(Rc::clone(&worker.limits));
    let _entry = worker.roster().enter(&activity);
    let mut deadline = pin!(sleep_until(activity.deadline()));
    let mut stream = Stream::Tcp(socket);
    let parked = &worker.counters.parked;
    let Some(mut early) = park::first_bytes(&mut stream, &activity, deadline.as_mut(), parked).await else {
        return;
    };
    let met = preface::meet(&worker, &door, &stream, &mut early, &activity, peer.ip(), &mut place).await;
    let Some((peer, next)) = met else { return };
    let greeted = match (&door.tls, next) {
        (Some(tls), _) => Box::pin(handshake(&worker, tls, stream, mem::take(&mut early))).await,
        (None, Next::Any) => Some(Greeted::One(stream)),
        (None, Next::Http2) => Some(Greeted::Two(stream)),
    };
    match greeted {
        Some(Greeted::One(greeted)) => stream = greeted,
        Some(Greeted::Two(greeted)) => {
            let (worker, door) = (Rc::clone(&worker), Rc::clone(&door));
            return Box::pin(http2(worker, door, greeted, early, peer, activity)).await;
        }
        None => return,
    }
    loop {
        if early.is_empty() {
            match park::first_bytes(&mut stream, &activity, deadline.as_mut(), parked).await {
                Some(bytes) => early = bytes,
                None => return park::say_goodbye(stream).await,
            }
        }
        let letters = Letters::of_request(&early);
        let watched = Watched::new(stream, early, Rc::clone(&activity), letters);
        // Not in the `match`, which would keep the box.
        let rest = Box::pin(http1(&worker, &door, watched, peer, deadline.as_mut())).await;
        match rest {
            Rest::Parked(parked, unread) => (stream, early) = (parked, unread),
            Rest::Tunnel(tunnel) => return Box::pin(tunnel.run(&worker.counters)).await,
            Rest::Nothing => return,
        }
    }
}

/// A connection after its handshake, by what it speaks.
enum Greeted {
    One(Stream),
    Two(Stream),
}

async fn handshake(worker: &Worker, tls: &Terminator, stream: Stream, early: Bytes) -> Option<Greeted> {
    let socket = Wire::new(stream.into_tcp()?, early);
    match timeout(worker.limits.header_timeout, tls.accept(socket)).await {
        Ok(Ok(Handshake::Validation)) => None,
        Ok(Ok(Handshake::Client(stream))) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::TlsServer(stream);
            Some(if http2 { Greeted::Two(stream) } else { Greeted::One(stream) })
        }
        Ok(Err(error)) => {
            worker.counters.handshake_errors.increment();
            debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => {
            worker.counters.handshake_errors.increment();
            None
        }
    }
}

/// What is left of a connection when hyper has done its part.
enum Rest {
    /// One that is idle, with what was read of the next request.
    Parked(Stream, Bytes),
    /// Both ends of a tunnel.
    Tunnel(Box<Tunnel>),
    Nothing,
}

/// What a connection becomes after a 101.
struct Tunnel {
    client: Side,
    upstream: Side,
    /// Held as long as it lasts.
    _place: TunnelPlace,
}

impl Tunnel {
    async fn run(self: Box<Self>, counters: &Counters) {
        let Self { client, upstream, _place } = *self;
        let _counted = Counted::new(&counters.tunnels);
        let carried = tunnel::run(client, upstream).await;
        debug!(?carried, "tunnel ended");
    }
}

/// Speaks HTTP/1 until the connection ends, becomes a tunnel, or has been idle for a moment.
async fn http1(
    worker: &Rc<Worker>,
    door: &Rc<Door>,
    watched: Watched,
    peer: Peer,
    deadline: Pin<&mut Sleep>,
) -> Rest {
    let activity = Rc::clone(watched.activity());
    let builder = worker.http.http1(watched.letters(), worker.awake.count());
    let client = Client::new(Rc::clone(worker), Rc::clone(door), peer, Protocol::One(Rc::clone(&activity)));
    let service = service_fn({
        let client = Rc::clone(&client);
        move |request| client.call(request)
    });
    let mut connection = builder.serve_connection(TokioIo::new(watched), service);
    let end = converse(&mut connection, &activity, deadline, worker).await;
    let upstream = client.tunnel.take();
    let parts = connection.into_parts();
    drop(activity.relay().take()); // of a body that did not reach its end
    let (line, early) = parts.io.into_inner().into_parts(&parts.read_buf);
    if upstream.is_some() && !is_sent(worker, &line).await {
        return Rest::Nothing;
    }
    let Some(stream) = line.into_stream() else { return Rest::Nothing };
    if let Some((upstream, place)) = upstream {
        let client = Side { stream, early };
        return Rest::Tunnel(Box::new(Tunnel { client, upstream, _place: place }));
    }
    if end == End::Parked {
        return Rest::Parked(stream, early);
    }
    if activity.would_look_complete() {
        stream.close_by_reset();
    } else if end.leaves_unread(&activity)
        && let Some(socket) = stream.into_tcp()
    {
        drop(parts.read_buf);
        inbound::linger(&socket).await;
    }
    Rest::Nothing
}

/// Whether all that was written to a client is sent within its time.
async fn is_sent(worker: &Worker, line: &Line) -> bool {
    matches!(timeout(worker.limits.body_timeout, line.sent()).await, Ok(Ok(())))
}

/// How a conversation in HTTP/1 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With all that was to be said.
    Complete,
    /// It may go on; hyper is not needed until then.
    Parked,
    /// With something that is no HTTP, and the answer to that.
    Refused,
    /// The client or its connection failed, or its time was over.
    Cut,
}

impl End {
    /// Whether the last word was ours, and the client may be sending all the same.
    fn leaves_unread(self, activity: &Activity) -> bool {
        match self {
            Self::Complete => activity.has_unread(),
            Self::Refused => true,
            Self::Parked | Self::Cut => false,
        }
    }
}

/// Drives the connection to its end, to the end of its time, or until it has been idle for a moment.
async fn converse<S>(
    connection: &mut http1::Connection<TokioIo<Watched>, S>,
    activity: &Rc<Activity>,
    mut deadline: Pin<&mut Sleep>,
    worker: &Worker,
) -> End
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = super::body::ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut told = false;
    poll_fn(|cx| {
        now::tick();
        if worker.roster().is_cut() {
            return Poll::Ready(End::Cut);
        }
        if activity.is_draining(cx) && !told {
            told = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = Pin::new(&mut *connection).poll(cx) {
            let Err(error) = result else { return Poll::Ready(End::Complete) };
            debug!(%error, "connection ended");
            return Poll::Ready(if error.is_parse() { End::Refused } else { End::Cut });
        }
        if !told && (park::is_due(activity) || activity.wants_another_reader()) {
            // hyper lets go of an idle connection at once and reads nothing more of it. If it were not idle after all,
            // hyper would end it after the answer, so that no byte can be lost by a mistake.
            told = true;
            activity.set_parking(true);
            Pin::new(&mut *connection).graceful_shutdown();
            let parked = Pin::new(&mut *connection).poll(cx);
            activity.set_parking(false);
            if let Poll::Ready(result) = parked {
                return Poll::Ready(if result.is_ok() { End::Parked } else { End::Cut });
            }
        }
        worker.awake.watch(activity);
        while park::is_over(activity, deadline.as_mut(), cx) {
            // The request may still answer for itself: a late upstream is a 504, a late body a 408.
            let answers = matches!(activity.phase(), Phase::Waiting | Phase::Upload);
            if !answers || Pin::new(&mut *connection).poll(cx).is_ready() || activity.is_overdue() {
                return Poll::Ready(End::Cut);
            }
        }
        Poll::Pending
    })
    .await
}

async fn http2(
    worker: Rc<Worker>,
    door: Rc<Door>,
    stream: Stream,
    early: Bytes,
    peer: Peer,
    activity: Rc<Activity>,
) {
    let client = Client::new(Rc::clone(&worker), door, peer, Protocol::Two(Rc::clone(&activity)));
    // Each becomes a task, which tokio would move as a whole five times.
    let service = service_fn(move |request| Box::pin(client.call(request)));
    let io = TokioIo::new(Watched::new(stream, early, Rc::clone(&activity), Letters::Kept));
    let mut connection = pin!(worker.http.http2.serve_connection(io, service));
    let mut deadline = pin!(sleep_until(activity.deadline()));
    let mut told = false;
    let result = poll_fn(|cx| {
        now::tick();
        let mut leave = activity.is_draining(cx);
        while deadline.as_mut().poll(cx).is_ready() {
            now::look();
            if !activity.is_overdue() || activity.phase() == Phase::Waiting {
                deadline.as_mut().reset(activity.deadline().max(now::now() + LOOK_AGAIN));
            } else if told || !matches!(activity.phase(), Phase::Idle | Phase::Head) {
                return Poll::Ready(Ok(())); // nothing moved for too long
            } else {
                leave = true;
                deadline.as_mut().reset(now::now() + LOOK_AGAIN);
            }
        }
        if leave && !told {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        let polled = connection.as_mut().poll(cx);
        if activity.phase() != Phase::Idle {
            worker.awake.watch(&activity);
        }
        // A deadline that moved forward; while an upstream thinks, the connection's own does not count.
        let counts = !told && activity.phase() != Phase::Waiting;
        if polled.is_pending() && counts && activity.deadline() < deadline.deadline() {
            deadline.as_mut().reset(activity.deadline());
            if deadline.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        polled
    })
    .await;
    if let Err(error) = result {
        debug!(%error, "connection ended");
    }
}
