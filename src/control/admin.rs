//! The admin interface: HTTP on a socket file or on loopback.

mod guard;
mod metrics;
mod page;
mod socket;
mod status;

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use self::guard::Peer;
use self::socket::{Listener, Stream};
use super::Context;
use super::board::Board;
use super::driver::{Answer, Ask};
use super::notify::Notifier;
use super::traffic::Totals;
use super::when;
use crate::policy::lifecycle::{Accepted, Insistence, Refusal};
use crate::shared::clock;

/// Clients are administrators and a scraper or two.
const MOST_CONNECTIONS: usize = 64;

/// For a request head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// A connection is closed after this, whatever it is doing.
const CONNECTION_LIMIT: Duration = Duration::from_secs(120);

/// For the driver to say what came of a request.
const DRIVER_LIMIT: Duration = Duration::from_secs(15);

/// Of a request head; nothing that is asked here is long.
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// Between two tries to bind; the last repeats.
const BIND_BACKOFF: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];

/// After an `accept` that failed, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

type Body = Full<Bytes>;

/// Serves until it is dropped; a socket that cannot be bound is tried again and again.
pub(crate) async fn serve(
    context: &Rc<Context>,
    board: &Rc<Board>,
    notifier: &Rc<Notifier>,
    asks: mpsc::Sender<Ask>,
) {
    let listener = bind(context).await;
    let admin = Rc::new(Admin {
        context: Rc::clone(context),
        board: Rc::clone(board),
        notifier: Rc::clone(notifier),
        asks,
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok(stream) => {
                    connections.spawn_local(Rc::clone(&admin).connection(stream));
                }
                Err(error) => {
                    warn!(%error, "the admin interface could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "an answer of the admin interface broke off");
                }
            }
        }
    }
}

/// The answer to `GET /status`, for the doctor.
pub(super) fn status(context: &Context, board: &Board) -> serde_json::Value {
    json!(status::Status::of(context, board, clock::now()))
}

async fn bind(context: &Context) -> Listener {
    let mut pauses = BIND_BACKOFF.iter().copied().skip(1);
    let mut pause = BIND_BACKOFF[0];
    let mut said = None;
    loop {
        match Listener::bind(&context.config.admin.listen).await {
            Ok(listener) => {
                info!(address = ?context.config.admin.listen, "the admin interface listens");
                return listener;
            }
            Err(error) => {
                let error = error.to_string();
                if said.as_ref() != Some(&error) {
                    warn!(%error, "the admin interface cannot listen; trying again, everything else goes on");
                    said = Some(error);
                }
            }
        }
        pause = pauses.next().unwrap_or(pause);
        tokio::time::sleep(pause).await;
    }
}

/// What answers need.
struct Admin {
    context: Rc<Context>,
    board: Rc<Board>,
    notifier: Rc<Notifier>,
    asks: mpsc::Sender<Ask>,
}

impl Admin {
    async fn connection(self: Rc<Self>, stream: Stream) {
        let served = match stream {
            Stream::Unix(stream) => self.http(stream, Peer::Socket).await,
            Stream::Tcp(stream) => self.http(stream, Peer::Loopback).await,
        };
        if let Err(error) = served {
            debug!(%error, "a connection to the admin interface ended");
        }
    }

    async fn http(
        self: Rc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
    ) -> Result<(), io::Error> {
        let service = service_fn(|request| {
            let admin = Rc::clone(&self);
            async move { Ok::<_, Infallible>(admin.answer(&request, peer).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(MOST_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::time::timeout(CONNECTION_LIMIT, connection).await?.map_err(io::Error::other)
    }

    /// No request here has a body that is read.
    async fn answer(&self, request: &Request<Incoming>, peer: Peer) -> Response<Body> {
        if let Err(refused) = guard::check(request, peer, self.context.config.admin.token.as_ref()) {
            return json_answer(refused.status(), &json!({ "error": refused.to_string() }));
        }
        let method = request.method();
        let reads = method == Method::GET || method == Method::HEAD;
        match request.uri().path() {
            "/status" if reads => json_answer(StatusCode::OK, &self.status()),
            "/live" if reads => text(StatusCode::OK, "live\n"),
            "/ready" if reads => self.ready(),
            "/metrics" if reads => {
                let mut answer = text(StatusCode::OK, metrics::text(&self.context, &self.status()));
                answer.headers_mut().insert(CONTENT_TYPE, metrics::CONTENT_TYPE);
                answer
            }
            "/" if reads => self.page(request),
            "/renew" if method == Method::POST => self.renew(request.uri().query()).await,
            "/alert/test" if method == Method::POST => self.alert_test().await,
            "/status" | "/live" | "/ready" | "/metrics" | "/" => other_method("GET, HEAD"),
            "/renew" | "/alert/test" => other_method("POST"),
            _ => json_answer(StatusCode::NOT_FOUND, &json!({ "error": "there is no such page" })),
        }
    }

    /// As things are, and the driver looks at what is due.
    fn status(&self) -> status::Status {
        let _ = self.asks.try_send(Ask::Look); // when it is full the driver is awake already
        status::Status::of(&self.context, &self.board, clock::now())
    }

    fn page(&self, request: &Request<Incoming>) -> Response<Body> {
        let language = page::language(request.uri().query(), request.headers());
        let (status, stats) = (self.status(), &self.context.stats);
        let body = self.board.write(|notes| {
            notes.traffic.sample(status.now, Totals::of(stats));
            let scene = page::Scene {
                status: &status,
                traffic: &notes.traffic,
                connections: stats.sum(|counters| &counters.connections),
                tunnels: stats.sum(|counters| &counters.tunnels),
                challenges: stats.sum(|counters| &counters.challenges),
            };
            page::html(&scene, language)
        });
        page_answer(body)
    }

    fn ready(&self) -> Response<Body> {
        let (ready, reasons) = status::readiness(&self.context.listeners.load());
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json_answer(status, &json!({ "ready": ready, "reasons": reasons }))
    }

    async fn renew(&self, query: Option<&str>) -> Response<Body> {
        let insistence = match query {
            None | Some("" | "force=false") => Insistence::Polite,
            Some("force=true") => Insistence::Forced,
            Some(_) => {
                let error = "the only parameter is force=true";
                return json_answer(StatusCode::BAD_REQUEST, &json!({ "error": error }));
            }
        };
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.asks.send(Ask::Renew { insistence, answer }).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(DRIVER_LIMIT, asked).await {
            Ok(Some(Answer::Accepted(how))) => self.accepted(how),
            Ok(Some(Answer::Refused(why))) => refused(why),
            Ok(Some(Answer::Disabled)) => {
                let error = "there is no certificate to renew: [ip_cert] is absent or disabled";
                json_answer(StatusCode::CONFLICT, &json!({ "error": error, "reason": "disabled" }))
            }
            Ok(None) | Err(_) => {
                let error = "the control plane is busy; ask again in a moment";
                json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": error }))
            }
        }
    }

    /// One try for each channel; it has a limit of its own.
    async fn alert_test(&self) -> Response<Body> {
        json_answer(StatusCode::OK, &json!({ "channels": self.notifier.test().await }))
    }

    fn accepted(&self, how: Accepted) -> Response<Body> {
        let id = self.board.read_with(|notes| notes.renewal.as_ref().map(|renewal| renewal.id));
        let joined = how == Accepted::Joined;
        json_answer(StatusCode::ACCEPTED, &json!({ "renewal": id, "joined": joined }))
    }
}

fn refused(why: Refusal) -> Response<Body> {
    let (reason, until, error) = match why {
        Refusal::BackOff(until) => ("backoff", Some(until), "the last try failed; the next one is due then"),
        Refusal::Budget(until) => ("budget", Some(until), "the CA allows no more failed validations for now"),
        Refusal::Governor(until) => {
            ("governor", Some(until), "four certificates were issued lately, and the CA allows few more")
        }
        Refusal::Refused(until) => {
            ("refused", Some(until), "the CA refuses this configuration; correct it, as `last_error` says")
        }
        Refusal::Port => ("port", None, "no listener that the CA could reach is ours; `last_error` says why"),
    };
    let until = until.map(when::text);
    let error = match &until {
        Some(until) => format!("{error} (not before {until}; force overrules)"),
        None => error.to_owned(),
    };
    let answer = json!({ "error": error, "reason": reason, "until": until });
    json_answer(StatusCode::CONFLICT, &answer)
}

fn page_answer(body: String) -> Response<Body> {
    let mut answer = text(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&page::CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

fn other_method(allowed: &'static str) -> Response<Body> {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "another method is needed\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn json_answer(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut body = serde_json::to_vec_pretty(value).expect("our answers have string keys and finite numbers");
    body.push(b'\n');
    let mut answer = text(status, body);
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
