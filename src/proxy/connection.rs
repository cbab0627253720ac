//! One client connection, from its first byte to its last.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::tls::{Handshake, Terminator};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::sleep_until;
use tracing::debug;

use super::activity::{Activity, Phase, Watched};
use super::gate::Place;
use super::inbound;
use super::now;
use super::preface::{self, Next};
use super::service::{Client, Peer, Protocol};
use super::stream::{BUFFER_BYTES, Stream};
use super::tunnel::{self, Side};
use super::worker::{Door, Worker};
use crate::config::Limits;

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;

/// What hyper allows when it is told nothing. Told a number, it fills tables of that many entries for each head, which
/// costs more than to parse it.
const HYPER_MAX_HEADERS: usize = 100;

/// How soon an HTTP/2 connection is looked at again whose time was not over yet.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How hyper is to speak with clients.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .preserve_header_case(true)
            .title_case_headers(true)
            .auto_date_header(false)
            .header_read_timeout(None)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(BUFFER_BYTES.max(limits.max_header_bytes));
        if limits.max_headers != HYPER_MAX_HEADERS {
            http1.max_headers(limits.max_headers);
        }
        let mut http2 = http2::Builder::new(LocalExecutor);
        http2
            .auto_date_header(false)
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(BUFFER_BYTES)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
        Self { http1, http2 }
    }
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
pub(super) async fn serve(
    worker: Rc<Worker>,
    door: Rc<Door>,
    socket: TcpStream,
    peer: SocketAddr,
    mut place: Place,
) {
    let _counted = Counted::new(&worker);
    now::tick();
    let activity = Activity::new(Rc::clone(&worker.limits));
    let _entry = worker.roster().enter(&activity);
    let _ = socket.set_nodelay(true); // a socket that cannot be told so still works
    // Nothing that costs memory is made before the client has said something.
    if !has_spoken(&socket, &activity).await {
        return;
    }
    let met = preface::meet(&worker, &door, &socket, &activity, peer.ip(), &mut place).await;
    let Some((peer, next)) = met else { return };
    let (worker, door) = (Rc::clone(&worker), Rc::clone(&door));
    match (&Rc::clone(&door).tls, next) {
        (Some(tls), _) => Box::pin(https(worker, door, tls, socket, peer, activity)).await,
        (None, Next::Any) => Box::pin(http1(worker, door, Stream::Tcp(socket), peer, activity)).await,
        (None, Next::Http2) => Box::pin(http2(worker, door, Stream::Tcp(socket), peer, activity)).await,
    }
}

/// Waits for the first byte. `false`: the client left or said nothing for too long, or the worker drains.
async fn has_spoken(socket: &TcpStream, activity: &Rc<Activity>) -> bool {
    let mut deadline = pin!(sleep_until(activity.deadline()));
    std::future::poll_fn(|cx| {
        if activity.is_draining(cx) || deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        socket.poll_read_ready(cx).map(|ready| ready.is_ok())
    })
    .await
}

async fn https(
    worker: Rc<Worker>,
    door: Rc<Door>,
    tls: &Terminator,
    socket: TcpStream,
    peer: Peer,
    activity: Rc<Activity>,
) {
    let handshake = tokio::time::timeout(worker.limits.header_timeout, tls.accept(socket));
    match handshake.await {
        Ok(Ok(Handshake::Validation)) => {}
        Ok(Ok(Handshake::Client(stream))) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::TlsServer(stream);
            if http2 {
                self::http2(worker, door, stream, peer, activity).await;
            } else {
                http1(worker, door, stream, peer, activity).await;
            }
        }
        Ok(Err(error)) => {
            worker.counters.handshake_errors.increment();
            debug!(%error, "TLS handshake failed");
        }
        Err(_) => worker.counters.handshake_errors.increment(),
    }
}

async fn http1(worker: Rc<Worker>, door: Rc<Door>, stream: Stream, peer: Peer, activity: Rc<Activity>) {
    let client = Client::new(Rc::clone(&worker), door, peer, Protocol::One(Rc::clone(&activity)));
    let io = TokioIo::new(Watched { stream, activity: Rc::clone(&activity) });
    let service = service_fn({
        let client = Rc::clone(&client);
        move |request| client.call(request)
    });
    let mut connection = worker.http.http1.serve_connection(io, service);
    let end = converse(&mut connection, &activity).await;
    let upstream = client.tunnel.take();
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().stream;
    match upstream {
        Some((upstream, _place)) => {
            worker.counters.tunnels.increment();
            let carried = tunnel::run(Side { stream, early: parts.read_buf }, upstream).await;
            worker.counters.tunnels.decrement();
            debug!(?carried, "tunnel ended");
        }
        None if activity.would_look_complete() => stream.close_by_reset(),
        None => {
            if let (true, Some(socket)) = (end.leaves_unread(&activity), stream.tcp()) {
                drop(parts.read_buf);
                inbound::linger(socket).await;
            }
        }
    }
}

/// How a conversation in HTTP/1 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With all that was to be said.
    Complete,
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
            Self::Cut => false,
        }
    }
}

/// Drives the connection to its end, or to the end of its time.
async fn converse<S>(connection: &mut http1::Connection<TokioIo<Watched>, S>, activity: &Rc<Activity>) -> End
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = super::body::ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut deadline = pin!(sleep_until(activity.deadline()));
    let mut told = false;
    std::future::poll_fn(|cx| {
        now::tick();
        if activity.is_draining(cx) && !told {
            told = true;
            std::pin::Pin::new(&mut *connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = std::pin::Pin::new(&mut *connection).poll(cx) {
            let Err(error) = result else { return Poll::Ready(End::Complete) };
            debug!(%error, "connection ended");
            return Poll::Ready(if error.is_parse() { End::Refused } else { End::Cut });
        }
        // A deadline that moved back is looked up when the timer fires; one that moved forward, now.
        if activity.deadline() < deadline.deadline() {
            deadline.as_mut().reset(activity.deadline());
        }
        while deadline.as_mut().poll(cx).is_ready() {
            if !activity.is_overdue() {
                deadline.as_mut().reset(activity.deadline());
                continue;
            }
            // The request may still answer for itself: a late upstream is a 504, a late body a 408.
            let answers = matches!(activity.phase(), Phase::Waiting | Phase::Upload);
            if !answers || std::pin::Pin::new(&mut *connection).poll(cx).is_ready() || activity.is_overdue() {
                return Poll::Ready(End::Cut);
            }
        }
        Poll::Pending
    })
    .await
}

async fn http2(worker: Rc<Worker>, door: Rc<Door>, stream: Stream, peer: Peer, activity: Rc<Activity>) {
    let client = Client::new(Rc::clone(&worker), door, peer, Protocol::Two(Rc::clone(&activity)));
    let service = service_fn(move |request| client.call(request));
    let io = TokioIo::new(Watched { stream, activity: Rc::clone(&activity) });
    let mut connection = pin!(worker.http.http2.serve_connection(io, service));
    let mut deadline = pin!(sleep_until(activity.deadline()));
    let mut told = false;
    let result = std::future::poll_fn(|cx| {
        now::tick();
        let mut leave = activity.is_draining(cx);
        while deadline.as_mut().poll(cx).is_ready() {
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

/// Counts an open connection.
struct Counted<'a>(&'a Worker);

impl<'a> Counted<'a> {
    fn new(worker: &'a Worker) -> Self {
        worker.counters.connections.increment();
        Self(worker)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.counters.connections.decrement();
    }
}
