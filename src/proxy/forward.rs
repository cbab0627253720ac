//! The way to an upstream and back.

use std::error::Error as _;
use std::rc::Rc;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tracing::{debug, warn};

use super::body::{Gate, RequestBody, ResponseBody, Upload};
use super::connect::ConnectError;
use super::link::ExchangeError;
use super::pool::{Lease, Pool};
use super::respond;
use super::service::Client;
use super::tunnel::Side;
use crate::config::Scheme;
use crate::policy::headers::{self, Origin};

/// Who asks, and for which host.
pub(super) struct Call<'a> {
    pub(super) client: &'a Client,
    pub(super) host: Option<&'a HeaderValue>,
}

/// A request as it goes to the upstream.
struct Outbound {
    request: Request<RequestBody>,
    websocket: bool,
    /// May be sent twice: idempotent, and nothing of a body that could be lost.
    repeatable: bool,
}

/// Why there is no response to relay.
enum Failure {
    Connect(ConnectError),
    Exchange(ExchangeError),
    /// A 101 that nobody asked for.
    Unasked,
}

/// Forwards a request and relays the answer; what goes wrong becomes a 502 or 504.
pub(super) async fn to(
    call: &Call<'_>,
    pool: &Rc<Pool>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let outbound = prepare(call, pool, request);
    let websocket = outbound.websocket;
    if websocket && !call.client.worker.gate.may_tunnel() {
        return respond::status(StatusCode::SERVICE_UNAVAILABLE);
    }
    let result = match send(call, pool, outbound).await {
        Ok((response, lease)) => relay(call, response, lease, websocket).await,
        Err(failure) => Err(failure),
    };
    result.unwrap_or_else(|failure| refuse(call, pool, &failure))
}

/// Forwards a request for an unknown token to another ACME client, or to the panel when none is listening.
pub(super) async fn to_acme_client(
    call: &Call<'_>,
    acme: &Rc<Pool>,
    panel: &Rc<Pool>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    match acme.open(false).await {
        Ok(lease) => {
            let outbound = prepare(call, acme, request);
            let result = match exchange(call, lease, outbound.request).await {
                Ok((response, lease)) => relay(call, response, lease, false).await,
                Err(error) => Err(Failure::Exchange(error)),
            };
            result.unwrap_or_else(|failure| refuse(call, acme, &failure))
        }
        Err(error) => {
            debug!(%error, "no other ACME client is listening");
            to(call, panel, request).await
        }
    }
}

/// Rewrites the head and prepares the body.
fn prepare(call: &Call<'_>, pool: &Pool, request: Request<Incoming>) -> Outbound {
    let client = call.client;
    let (mut parts, incoming) = request.into_parts();
    let bodiless = incoming.is_end_stream();
    let websocket = bodiless
        && parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && headers::asks_for_websocket(&parts.headers);
    if parts.version == Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
    }
    let repeatable = bodiless && parts.method.is_idempotent();
    let gate = (!bodiless && parts.headers.contains_key(header::EXPECT)).then(Gate::default);
    let origin = Origin {
        peer: client.address(),
        host: call.host,
        secure: client.door.secure,
        trusted: client.worker.trusts(client.address()),
        websocket,
    };
    let limit = pool.upstream().response_timeout;
    if bodiless || gate.is_some() {
        client
            .activity()
            .iter()
            .for_each(|activity| activity.request_sent(limit));
    }
    let body = if bodiless {
        RequestBody::Empty
    } else {
        RequestBody::Relayed(Upload::new(incoming, gate.clone(), client.activity(), limit))
    };
    let mut request = head(parts, origin, body);
    if let Some(gate) = gate {
        hyper::ext::on_informational(&mut request, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                gate.open();
            }
        });
    }
    Outbound {
        request,
        websocket,
        repeatable,
    }
}

/// The request with its target in origin form and its fields rewritten; hyper's record of the names' letter case goes
/// along in the extensions.
fn head(parts: Parts, origin: Origin<'_>, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
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

/// Sends the request over a kept connection or a new one. A kept one may have died unnoticed: what was not lost by that
/// is sent once more, over a new one.
async fn send(
    call: &Call<'_>,
    pool: &Rc<Pool>,
    outbound: Outbound,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let Outbound {
        mut request,
        repeatable,
        ..
    } = outbound;
    if let Some(lease) = pool.reuse() {
        let spare = repeatable.then(|| copy(&request));
        match exchange(call, lease, request).await {
            Ok(answer) => return Ok(answer),
            Err(ExchangeError::Unsent(unsent)) => request = *unsent,
            Err(error) => match spare {
                Some(spare) if error.is_silence() => request = spare,
                Some(_) | None => return Err(Failure::Exchange(error)),
            },
        }
    }
    let lease = pool.open(repeatable).await.map_err(Failure::Connect)?;
    exchange(call, lease, request).await.map_err(Failure::Exchange)
}

async fn exchange(
    call: &Call<'_>,
    mut lease: Lease,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), ExchangeError> {
    let timer = call.client.timer(lease.pool().upstream().response_timeout);
    let response = lease.link().exchange(request, &timer).await?;
    lease.pool().answered();
    Ok((response, lease))
}

/// A request without a body, again.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    copy
}

/// The upstream's answer as the client gets it.
async fn relay(
    call: &Call<'_>,
    response: Response<Incoming>,
    lease: Lease,
    websocket: bool,
) -> Result<Response<ResponseBody>, Failure> {
    let (mut parts, incoming) = response.into_parts();
    let switching = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let accepted = parts.headers.get(header::UPGRADE).is_some_and(is_websocket);
    if switching && !(websocket && accepted) {
        return Err(Failure::Unasked);
    }
    parts.headers = headers::response(parts.headers, switching);
    parts.version = Version::HTTP_11;
    let body = if switching {
        let (stream, early) = lease.take().into_stream().await;
        call.client.tunnel.replace(Some(Side { stream, early }));
        ResponseBody::whole(bytes::Bytes::new())
    } else {
        ResponseBody::relayed(incoming, lease)
    };
    Ok(Response::from_parts(parts, body))
}

fn is_websocket(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// The page for a request that the upstream did not answer, and a line in the log that says what to look at.
fn refuse(call: &Call<'_>, pool: &Pool, failure: &Failure) -> Response<ResponseBody> {
    let client = call.client;
    let upload_stalled =
        matches!(failure, Failure::Exchange(ExchangeError::TimedOut)) && client.is_uploading();
    let status = match failure {
        Failure::Exchange(ExchangeError::TimedOut) if upload_stalled => StatusCode::REQUEST_TIMEOUT,
        Failure::Exchange(ExchangeError::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
        Failure::Connect(error) if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
        Failure::Connect(_) | Failure::Exchange(_) | Failure::Unasked => StatusCode::BAD_GATEWAY,
    };
    if !upload_stalled {
        client.worker.counters.upstream_errors.increment();
        log(pool, failure);
    }
    let mut response = respond::status(status);
    if client.is_uploading() {
        respond::close_after(&mut response); // the rest of the body is not read
    }
    response
}

/// One line when an upstream begins to fail; the rest at DEBUG until it answers again.
fn log(pool: &Pool, failure: &Failure) {
    let upstream = &pool.upstream().address;
    let (problem, cause) = match failure {
        Failure::Connect(error) => (error.to_string(), error.source().map(ToString::to_string)),
        Failure::Exchange(ExchangeError::Failed(error)) if error.is_parse() => {
            let other = match pool.upstream().scheme {
                Scheme::Http => "https",
                Scheme::Https(_) => "http",
            };
            (
                format!("it does not speak HTTP; should its address begin with {other}://?"),
                Some(error.to_string()),
            )
        }
        Failure::Exchange(error) => (error.to_string(), error.source().map(ToString::to_string)),
        Failure::Unasked => ("it switched protocols without being asked".to_owned(), None),
    };
    if pool.failed() {
        warn!(?upstream, problem, cause, "the upstream gave no answer to relay");
    } else {
        debug!(?upstream, problem, cause, "the upstream gave no answer to relay");
    }
}
