//! The way to an upstream and back.

use std::error::Error as _;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Body;
use hyper::ext::ReasonPhrase;
use tracing::{debug, warn};

use super::body::ResponseBody;
use super::connect::{ConnectError, Trouble};
use super::gate::TunnelPlace;
use super::inbound::Inbound;
use super::link::ExchangeError;
use super::pool::{Lease, Pool};
use super::reread::{self, Told};
use super::respond;
use super::service::Client;
use super::timer::Timer;
use super::tunnel::Side;
use super::upload::{Opener, Upload};
use crate::config::Address;
use crate::policy::head::{self, Head};
use crate::policy::headers::{self, Ambiguous, Origin};
use crate::policy::letters::{Letters, Spelling};

static CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// Room for the head of a usual request.
const HEAD_BYTES: usize = 1024;

/// What Go's own server says to TLS, with status 400 in HTTP/1.0 and not one field.
const ANSWER_OF_GO: &[u8] = b"Client sent an HTTP request to an HTTPS server.\n";

/// A request as it goes to the upstream.
pub(super) struct Outbound {
    /// As it is sent, and sent again.
    head: Vec<u8>,
    method: Method,
    upload: Option<Upload>,
    terms: Terms,
}

/// What decides about an exchange besides its request.
struct Terms {
    websocket: bool,
    /// May be sent twice: idempotent, and nothing of a body that could be lost.
    repeatable: bool,
    timer: Timer,
    /// The body is held back until this is opened.
    asked: Option<Opener>,
}

/// Why there is no response to relay.
enum Failure {
    Connect(ConnectError),
    Exchange(ExchangeError),
    Answer(Ambiguous),
    /// A 101 that nobody asked for.
    Unasked,
}

impl Terms {
    /// Whether some of the request is yet to come, or may be: the client need not send what it asked about.
    fn is_incomplete(&self) -> bool {
        self.timer.is_uploading() || self.asked.as_ref().is_some_and(|asked| !asked.is_open())
    }
}

/// Rewrites the head and prepares the body; the upstream will have `response_timeout` once it has all of it.
pub(super) fn prepare(
    client: &Client,
    host: Option<&HeaderValue>,
    response_timeout: Duration,
    request: Request<Inbound>,
) -> Outbound {
    let (mut parts, incoming) = request.into_parts();
    let bodiless = incoming.is_end_stream();
    let websocket = bodiless
        && parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && headers::is_websocket(&parts.headers);
    if parts.version == Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
        headers::join_lengths(&mut parts.headers);
    }
    if parts.version == Version::HTTP_10 {
        parts.headers.remove(header::EXPECT); // it has none (RFC 9110 section 10.1.1)
    }
    let repeatable = bodiless && parts.method.is_idempotent();
    let origin =
        Origin { peer: &client.name, host, secure: client.door.secure, trusted: client.trusted, websocket };
    let timer = client.timer(response_timeout);
    let method = parts.method.clone();
    let asks = parts.headers.contains_key(header::EXPECT);
    let announced = if bodiless { Vec::new() } else { headers::announced(&parts.headers) };
    let body = match (bodiless, incoming.size_hint().exact()) {
        (true, _) => BodyKind::Absent,
        (false, Some(_)) => BodyKind::Sized,
        (false, None) => BodyKind::Chunked,
    };
    let head = write_head(client, parts, origin, body);
    if bodiless {
        timer.sent();
        return Outbound {
            head,
            method,
            upload: None,
            terms: Terms { websocket, repeatable, timer, asked: None },
        };
    }
    let mut upload = Upload::new(incoming, announced, timer.clone());
    let asked = asks.then(|| {
        timer.sent();
        upload.hold_back()
    });
    Outbound { head, method, upload: Some(upload), terms: Terms { websocket, repeatable, timer, asked } }
}

/// What follows the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyKind {
    Absent,
    Sized,
    Chunked,
}

/// The head with its target in origin form and its fields rewritten.
fn write_head(client: &Client, mut parts: Parts, origin: Origin<'_>, body: BodyKind) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    head::write_request_line(&mut head, &parts.method, target);
    let letters = client.letters();
    if letters == Letters::Told {
        let came = client.head();
        let mut spelling = Spelling::of(&came);
        headers::for_each_of_request(&parts.headers, origin, |name, value| {
            head::write_field(&mut head, name, spelling.take(name.as_str()), value);
        });
    } else {
        headers::for_each_of_request(&parts.headers, origin, |name, value| {
            head::write_field(&mut head, name, None, value);
        });
    }
    if body == BodyKind::Chunked {
        head::write_field(&mut head, &header::TRANSFER_ENCODING, None, &CHUNKED);
    }
    head.extend_from_slice(b"\r\n");
    if letters != Letters::Kept {
        return head;
    }
    parts.headers = headers::request(&parts.headers, origin);
    if body == BodyKind::Chunked {
        parts.headers.insert(header::TRANSFER_ENCODING, CHUNKED.clone());
    }
    // Without it no more is lost than letters.
    reread::head(for_hyper(parts, body)).unwrap_or(head)
}

/// A request for hyper to write, which shows an authority if there is one.
fn for_hyper(mut parts: Parts, body: BodyKind) -> Request<Told> {
    if parts.uri.authority().is_some() {
        let target = parts.uri.into_parts().path_and_query;
        parts.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    parts.version = Version::HTTP_11;
    let told = if body == BodyKind::Absent { Told::Nothing } else { Told::Something };
    Request::from_parts(parts, told)
}

/// Forwards a request and relays the answer; what goes wrong becomes a 502 or 504.
pub(super) async fn to(client: &Client, pool: &Rc<Pool>, mut outbound: Outbound) -> Response<ResponseBody> {
    let tunnel = if outbound.terms.websocket { client.worker.gate.tunnel() } else { None };
    if outbound.terms.websocket && tunnel.is_none() {
        return respond::status(StatusCode::SERVICE_UNAVAILABLE);
    }
    // A kept connection may have died unnoticed: what was not lost by that is sent once more, over a new one.
    if let Some(lease) = pool.reuse() {
        match exchange(client, lease, &mut outbound).await {
            Ok((head, lease)) => return relay(client, head, lease, tunnel, &outbound.terms).await,
            Err(error) if error.is_silence() && outbound.terms.repeatable => {}
            Err(error) => return refuse(client, pool, &outbound.terms, &Failure::Exchange(error)),
        }
    }
    Box::pin(async {
        match pool.open(outbound.terms.repeatable).await {
            Ok(lease) => over(client, lease, outbound, tunnel).await,
            Err(error) => refuse(client, pool, &outbound.terms, &Failure::Connect(error)),
        }
    })
    .await
}

/// Forwards a request over a connection that is new. It may become a tunnel if there is a place for one.
pub(super) async fn over(
    client: &Client,
    lease: Lease,
    mut outbound: Outbound,
    tunnel: Option<TunnelPlace>,
) -> Response<ResponseBody> {
    let pool = Rc::clone(lease.pool());
    match exchange(client, lease, &mut outbound).await {
        Ok((head, lease)) => relay(client, head, lease, tunnel, &outbound.terms).await,
        Err(error) => refuse(client, &pool, &outbound.terms, &Failure::Exchange(error)),
    }
}

/// Sends a request, with its body if that was not sent before, and waits for the head of the answer.
async fn exchange(
    client: &Client,
    mut lease: Lease,
    outbound: &mut Outbound,
) -> Result<(Head, Lease), ExchangeError> {
    let Outbound { head, method, upload, terms } = outbound;
    lease.link().begin(head, method.clone(), upload.take(), client.use_of_large());
    let answer = poll_fn(|cx| lease.link().poll_answer(&terms.timer, cx)).await;
    let answer = match answer {
        Err(ExchangeError::Malformed(_)) if lease.link().said_tls() => return Err(ExchangeError::Tls),
        answer => answer?,
    };
    let like_go = answer.status == StatusCode::BAD_REQUEST
        && answer.version == Version::HTTP_10
        && answer.fields.is_empty();
    if like_go && poll_fn(|cx| lease.link().poll_says(ANSWER_OF_GO, cx)).await {
        return Err(ExchangeError::Tls);
    }
    lease.pool().answered();
    Ok((answer, lease))
}

/// The upstream's answer as the client gets it.
async fn relay(
    client: &Client,
    answer: Head,
    mut lease: Lease,
    tunnel: Option<TunnelPlace>,
    terms: &Terms,
) -> Response<ResponseBody> {
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        return switch(client, answer, lease, tunnel, terms);
    }
    let mut response = match response(client, lease.pool(), answer, false) {
        Ok(response) => response,
        Err(ambiguous) => {
            lease.link().retire();
            return refuse(client, lease.pool(), terms, &Failure::Answer(ambiguous));
        }
    };
    *response.body_mut() = ResponseBody::relayed(lease);
    if terms.is_incomplete() {
        respond::close_after(&mut response); // the rest of the request is not read as another one
    }
    response
}

/// The head of an answer as hyper is to write it.
fn response(
    client: &Client,
    pool: &Pool,
    answer: Head,
    websocket: bool,
) -> Result<Response<ResponseBody>, Ambiguous> {
    let mut response = Response::new(ResponseBody::whole(Bytes::new()));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers::response(answer.fields, websocket)?;
    if client.sees_letters() {
        let record = answer.unusual.and_then(|names| pool.record(&names));
        *response.extensions_mut() = record.unwrap_or_default();
        if let Some(Ok(reason)) = answer.reason.map(ReasonPhrase::try_from) {
            response.extensions_mut().insert(reason);
        }
    }
    Ok(response)
}

/// Relays a 101, after which the connection becomes a tunnel.
fn switch(
    client: &Client,
    answer: Head,
    lease: Lease,
    tunnel: Option<TunnelPlace>,
    terms: &Terms,
) -> Response<ResponseBody> {
    let pool = Rc::clone(lease.pool());
    let Some(place) = tunnel.filter(|_| headers::is_websocket(&answer.fields)) else {
        return refuse(client, &pool, terms, &Failure::Unasked);
    };
    let response = match response(client, &pool, answer, true) {
        Ok(response) => response,
        Err(ambiguous) => return refuse(client, &pool, terms, &Failure::Answer(ambiguous)),
    };
    if let Some((stream, early)) = lease.take().into_stream() {
        client.tunnel.replace(Some((Side { stream, early }, place)));
    }
    response
}

/// The page for a request that the upstream did not answer, and a line in the log that says what to look at, unless it
/// was the client that failed.
fn refuse(client: &Client, pool: &Pool, terms: &Terms, failure: &Failure) -> Response<ResponseBody> {
    let (status, blame) = match failure {
        Failure::Exchange(ExchangeError::TimedOut) if terms.timer.is_uploading() => {
            (StatusCode::REQUEST_TIMEOUT, Blame::Client)
        }
        Failure::Exchange(ExchangeError::Client) => (StatusCode::BAD_REQUEST, Blame::Client),
        Failure::Exchange(ExchangeError::TimedOut) => (StatusCode::GATEWAY_TIMEOUT, Blame::Upstream),
        Failure::Connect(error) if error.is_timeout() => (StatusCode::GATEWAY_TIMEOUT, Blame::Upstream),
        Failure::Connect(error) if error.is_our_limit() => (StatusCode::SERVICE_UNAVAILABLE, Blame::Upstream),
        Failure::Connect(_) | Failure::Exchange(_) | Failure::Answer(_) | Failure::Unasked => {
            (StatusCode::BAD_GATEWAY, Blame::Upstream)
        }
    };
    let other = failure.other_scheme();
    if blame == Blame::Upstream {
        client.worker.counters.upstream_errors.increment();
        match other {
            Some(other) => log_scheme(pool, other),
            None => log(pool, failure),
        }
    }
    let mut response = other
        .map_or_else(|| respond::status(status), |other| respond::wrong_scheme(&other.to_ascii_uppercase()));
    if terms.is_incomplete() {
        respond::close_after(&mut response); // the rest of the body is not read
    }
    response
}

impl Failure {
    /// The scheme that the upstream speaks, if it is the other one.
    fn other_scheme(&self) -> Option<&'static str> {
        match self {
            Self::Exchange(ExchangeError::Tls) => Some("https"),
            Self::Connect(error) if error.is_without_tls() => Some("http"),
            Self::Connect(_) | Self::Exchange(_) | Self::Answer(_) | Self::Unasked => None,
        }
    }
}

/// Who is to be told that an exchange failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blame {
    Client,
    Upstream,
}

/// One line when it is noticed that an upstream speaks the other scheme, with what to write.
fn log_scheme(pool: &Pool, other: &str) {
    let news = pool.failed(Trouble::Scheme);
    match (&pool.upstream().address, pool.setting()) {
        (_, _) if !news => debug!("the upstream still speaks {other}"),
        (Address::Tcp { host, port }, Some(setting)) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            warn!(
                "the upstream speaks {other}, not what it is spoken to in: write {setting} = \"{other}://{host}:{port}\""
            );
        }
        (address, _) => {
            warn!(?address, "the upstream speaks {other}, but only plain http can be spoken there");
        }
    }
}

/// One line when an upstream begins to fail; the rest at DEBUG until it answers again.
fn log(pool: &Pool, failure: &Failure) {
    let upstream = &pool.upstream().address;
    let (problem, cause) = match failure {
        Failure::Connect(error) => (error.to_string(), error.source().map(ToString::to_string)),
        Failure::Exchange(error) => (error.to_string(), error.source().map(ToString::to_string)),
        Failure::Answer(ambiguous) => (ambiguous.to_string(), None),
        Failure::Unasked => ("it switched protocols without being asked".to_owned(), None),
    };
    if pool.failed(Trouble::NoAnswer) {
        warn!(?upstream, problem, cause, "the upstream gave no answer to relay");
    } else {
        debug!(?upstream, problem, cause, "the upstream gave no answer to relay");
    }
}
