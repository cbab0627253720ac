//! The way to an upstream and back.

use std::error::Error as _;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tracing::{debug, warn};

use super::body::ResponseBody;
use super::connect::{ConnectError, Trouble};
use super::gate::TunnelPlace;
use super::inbound::Inbound;
use super::link::{ExchangeError, Said};
use super::pool::{Lease, Pool};
use super::relay;
use super::respond;
use super::service::Client;
use super::timer::Timer;
use super::tunnel::Side;
use super::upload::{Opener, RequestBody, Upload};
use crate::config::Address;
use crate::policy::headers::{self, Ambiguous, Origin};

/// A request as it goes to the upstream.
pub(super) struct Outbound {
    /// Boxed, because it is handed on several times.
    request: Box<Request<RequestBody>>,
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
    if bodiless {
        timer.sent();
        let request = head(parts, origin, RequestBody::Empty);
        return Outbound { request, terms: Terms { websocket, repeatable, timer, asked: None } };
    }
    let unsized_body = incoming.size_hint().exact().is_none();
    let body = RequestBody::Relayed(Upload::new(incoming, timer.clone()));
    let mut request = head(parts, origin, body);
    if unsized_body {
        // Told nothing, hyper takes it that a GET has no body.
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let asked = request.headers().contains_key(header::EXPECT).then(|| ask_first(&mut request, &timer));
    Outbound { request, terms: Terms { websocket, repeatable, timer, asked: asked.flatten() } }
}

/// Holds the body back until the upstream says that it wants it.
fn ask_first(request: &mut Request<RequestBody>, timer: &Timer) -> Option<Opener> {
    let opener = request.body_mut().hold_back()?;
    timer.sent();
    let opened = opener.clone();
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            opened.open();
        }
    });
    Some(opener)
}

/// Forwards a request and relays the answer; what goes wrong becomes a 502 or 504.
pub(super) async fn to(client: &Client, pool: &Rc<Pool>, outbound: Outbound) -> Response<ResponseBody> {
    let Outbound { mut request, terms } = outbound;
    let tunnel = if terms.websocket { client.worker.gate.tunnel() } else { None };
    if terms.websocket && tunnel.is_none() {
        return respond::status(StatusCode::SERVICE_UNAVAILABLE);
    }
    // A kept connection may have died unnoticed: what was not lost by that is sent once more, over a new one.
    if let Some(lease) = pool.reuse() {
        let spare = terms.repeatable.then(|| Spare::of(client, &request));
        match (exchange(lease, request, &terms.timer).await, spare) {
            (Ok((response, lease)), _) => return relay(client, response, lease, tunnel, &terms).await,
            (Err(ExchangeError::Unsent(unsent)), _) => request = unsent,
            (Err(error), Some(spare)) if error.is_silence() => match spare.into_request(client) {
                Some(spare) => request = spare,
                None => return refuse(client, pool, &terms, &Failure::Exchange(error)),
            },
            (Err(error), _) => return refuse(client, pool, &terms, &Failure::Exchange(error)),
        }
    }
    Box::pin(async {
        match pool.open(terms.repeatable).await {
            Ok(lease) => over(client, lease, Outbound { request, terms }, tunnel).await,
            Err(error) => refuse(client, pool, &terms, &Failure::Connect(error)),
        }
    })
    .await
}

/// Forwards a request over a connection that is new. It may become a tunnel if there is a place for one.
pub(super) async fn over(
    client: &Client,
    lease: Lease,
    outbound: Outbound,
    tunnel: Option<TunnelPlace>,
) -> Response<ResponseBody> {
    let Outbound { request, terms } = outbound;
    let pool = Rc::clone(lease.pool());
    match exchange(lease, request, &terms.timer).await {
        Ok((response, lease)) => relay(client, response, lease, tunnel, &terms).await,
        Err(error) => refuse(client, &pool, &terms, &Failure::Exchange(error)),
    }
}

/// The request with its target in origin form and its fields rewritten; hyper's record of the names' letter case goes
/// along in the extensions.
fn head(parts: Parts, origin: Origin<'_>, body: RequestBody) -> Box<Request<RequestBody>> {
    let mut request = Box::new(Request::new(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = origin_form(parts.uri);
    *request.headers_mut() = headers::request(parts.headers, origin);
    *request.extensions_mut() = parts.extensions;
    request
}

/// The target as origin servers want it, byte for byte (RFC 9112 section 3.2.1).
fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    let target = uri.into_parts().path_and_query;
    Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")))
}

/// Not an `async fn`, so that the future does not keep the request besides where it is needed.
fn exchange(
    mut lease: Lease,
    request: Box<Request<RequestBody>>,
    timer: &Timer,
) -> impl Future<Output = Result<(Response<Incoming>, Lease), ExchangeError>> {
    let sent = lease.link().send(*request);
    async move {
        let mut response = match lease.link().receive(sent, timer).await {
            Ok(response) => response,
            Err(ExchangeError::Failed(error)) if error.is_parse() => {
                let tls = lease.take().speaks_tls();
                return Err(if tls { ExchangeError::Tls } else { ExchangeError::Failed(error) });
            }
            Err(error) => return Err(error),
        };
        if lease.link().is_told_of_tls(&mut response).await {
            return Err(ExchangeError::Tls);
        }
        lease.pool().answered();
        Ok((response, lease))
    }
}

/// A request without a body, again.
enum Spare {
    /// Its head can be read once more.
    Read,
    /// A copy. Its field names lose their letter case: hyper's record of it costs more to copy on every request than it is
    /// worth on the few that are repeated.
    Copy(Box<Request<RequestBody>>),
}

impl Spare {
    fn of(client: &Client, request: &Request<RequestBody>) -> Self {
        if client.is_head_known() {
            return Self::Read;
        }
        let mut copy = Box::new(Request::new(RequestBody::Empty));
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        copy.headers_mut().clone_from(request.headers());
        Self::Copy(copy)
    }

    fn into_request(self, client: &Client) -> Option<Box<Request<RequestBody>>> {
        match self {
            Self::Read => client.read_again().map(|outbound| outbound.request),
            Self::Copy(request) => Some(request),
        }
    }
}

/// The upstream's answer as the client gets it.
async fn relay(
    client: &Client,
    response: Response<Incoming>,
    mut lease: Lease,
    tunnel: Option<TunnelPlace>,
    terms: &Terms,
) -> Response<ResponseBody> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Box::pin(switch(client, response, lease, tunnel, terms)).await;
    }
    if response.version() == Version::HTTP_10 {
        lease.retire(); // hyper would ask for more in HTTP/1.0 too, which has no chunks
    }
    let (mut parts, incoming) = response.into_parts();
    let large = incoming.size_hint().exact().is_some_and(|length| length >= relay::WORTH_BYTES);
    if large && headers::is_last(&parts.headers) {
        lease.retire(); // hyper knows, but is not asked after a body that it did not see
    }
    parts.headers = match headers::response(parts.headers, false) {
        Ok(headers) => headers,
        Err(ambiguous) => {
            lease.retire();
            return refuse(client, lease.pool(), terms, &Failure::Answer(ambiguous));
        }
    };
    parts.version = Version::HTTP_11;
    let said = parts.extensions.remove::<Said>().map(|Said(said)| said);
    let mut response = Response::from_parts(parts, ResponseBody::relayed(incoming, lease, said));
    if terms.is_incomplete() {
        respond::close_after(&mut response); // the rest of the request is not read as another one
    } else if large {
        response.body_mut().may_be_moved();
    }
    response
}

/// Relays a 101, after which the connection becomes a tunnel.
async fn switch(
    client: &Client,
    response: Response<Incoming>,
    lease: Lease,
    tunnel: Option<TunnelPlace>,
    terms: &Terms,
) -> Response<ResponseBody> {
    let Some(place) = tunnel.filter(|_| headers::is_websocket(response.headers())) else {
        return refuse(client, lease.pool(), terms, &Failure::Unasked);
    };
    let (mut parts, _) = response.into_parts();
    parts.headers = match headers::response(parts.headers, true) {
        Ok(headers) => headers,
        Err(ambiguous) => return refuse(client, lease.pool(), terms, &Failure::Answer(ambiguous)),
    };
    let (stream, early) = lease.take().into_stream().await;
    client.tunnel.replace(Some((Side { stream, early }, place)));
    Response::from_parts(parts, ResponseBody::whole(bytes::Bytes::new()))
}

/// The page for a request that the upstream did not answer, and a line in the log that says what to look at, unless it
/// was the client that failed.
fn refuse(client: &Client, pool: &Pool, terms: &Terms, failure: &Failure) -> Response<ResponseBody> {
    let (status, blame) = match failure {
        Failure::Exchange(ExchangeError::TimedOut) if terms.timer.is_uploading() => {
            (StatusCode::REQUEST_TIMEOUT, Blame::Client)
        }
        Failure::Exchange(ExchangeError::Failed(error)) if error.is_user() => {
            (StatusCode::BAD_REQUEST, Blame::Client) // its body is broken
        }
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
        Failure::Exchange(ExchangeError::Failed(error)) if error.is_parse() => {
            ("it does not speak HTTP".to_owned(), Some(error.to_string()))
        }
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
