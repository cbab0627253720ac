//! One request: answered from memory, forwarded, redirected or refused.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::{Body, Incoming};
use tracing::info;

use super::activity::{Activity, OpenStream, Phase};
use super::body::{ResponseBody, Watcher};
use super::forward::{self, Call};
use super::respond;
use super::timer::Timer;
use super::tunnel::Side;
use super::worker::{Door, Worker};
use crate::config::AccessLog;
use crate::policy::route::{self, CHALLENGE_PREFIX, Head};

/// Largest challenge answer that is read from `acme_webroot`; the CA reads no more than 128 bytes.
const MAX_TOKEN_FILE_BYTES: u64 = 4096;

/// With `access_log = "sampled"`, one request in this many is logged.
const SAMPLE: u64 = 100;

/// A client's connection, as its requests see it.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) door: Rc<Door>,
    pub(super) peer: SocketAddr,
    pub(super) protocol: Protocol,
    /// The upstream's side of the tunnel that the connection becomes after a 101.
    pub(super) tunnel: RefCell<Option<Side>>,
}

/// What tells how a client's connection is doing.
pub(super) enum Protocol {
    /// HTTP/1: one request at a time.
    One(Rc<Activity>),
    /// HTTP/2: many.
    Two(Rc<Activity>),
}

impl Client {
    /// Answers one request.
    pub(super) async fn call(
        self: Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let stream = match &self.protocol {
            Protocol::One(activity) => {
                activity.request_began(!request.body().is_end_stream());
                None
            }
            Protocol::Two(activity) => Some(activity.open_stream()),
        };
        let version = request.version();
        let note = self.worker.access_log.is_wanted().then(|| access_note(&request));
        let mut response = self.answer(request).await;
        self.watch(&mut response, version, stream);
        let class = usize::from(response.status().as_u16() / 100);
        if let Some(counter) = self.worker.counters.responses.get(class) {
            counter.increment();
        }
        if let Some((method, path)) = note {
            info!(target: "doorman::access", %method, path, status = response.status().as_u16(), "request");
        }
        Ok(response)
    }

    fn watch(&self, response: &mut Response<ResponseBody>, version: Version, stream: Option<OpenStream>) {
        let watcher = match (&self.protocol, stream) {
            (Protocol::Two(_), Some(mut stream)) => {
                stream.answered();
                Watcher::Stream(stream)
            }
            (Protocol::One(activity) | Protocol::Two(activity), _) => {
                activity.response_began(version == Version::HTTP_10 && response.body().is_open_ended());
                Watcher::Connection(Rc::clone(activity))
            }
        };
        response.body_mut().watched_by(watcher);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        if let Some(token) = route::challenge_token(request.method(), request.uri()) {
            if let Some(key_authorization) = self.worker.challenges.answer(token) {
                self.worker.counters.challenges.increment();
                return respond::challenge(key_authorization);
            }
            if let Some(answer) = self.token_of_another_client(token).await {
                return respond::challenge(answer);
            }
        }
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
        };
        let host = match route::admit(head, self.worker.limits.max_uri_bytes) {
            Ok(host) => host,
            Err(refusal) => return respond::refusal(refusal),
        };
        let path = request.uri().path();
        let challenge = path.starts_with(CHALLENGE_PREFIX);
        if self.door.redirect && !challenge && !self.peer.ip().to_canonical().is_loopback() {
            let target = request
                .uri()
                .path_and_query()
                .map_or("/", |target| target.as_str());
            if let Some(response) = host.as_ref().and_then(|host| respond::redirect(host, target)) {
                return response;
            }
        }
        let call = Call {
            client: self,
            host: host.as_ref(),
        };
        if challenge && let Some(other) = &self.worker.acme_upstream {
            return forward::to_acme_client(&call, other, &self.door.panel, request).await;
        }
        let panel = self.door.panel.upstream();
        if let Err(refusal) = route::allow(path, &panel.base_path, &panel.allow_paths) {
            return respond::refusal(refusal);
        }
        forward::to(&call, &self.door.panel, request).await
    }

    /// The time limit of an exchange with an upstream.
    pub(super) fn timer(&self, limit: std::time::Duration) -> Timer {
        match &self.protocol {
            Protocol::One(activity) => Timer::Connection(Rc::clone(activity)),
            Protocol::Two(_) => Timer::own(limit),
        }
    }

    /// The client's address, IPv4 even where it came over an IPv6 socket.
    pub(super) fn address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// The connection's activity, where one request at a time is what it is about.
    pub(super) fn activity(&self) -> Option<&Rc<Activity>> {
        match &self.protocol {
            Protocol::One(activity) => Some(activity),
            Protocol::Two(_) => None,
        }
    }

    /// Whether the client is still sending its request.
    pub(super) fn is_uploading(&self) -> bool {
        self.activity()
            .is_some_and(|activity| activity.phase() == Phase::Upload)
    }

    /// A token in `acme_webroot`, where other ACME clients put theirs.
    async fn token_of_another_client(&self, token: &str) -> Option<Bytes> {
        let webroot = self
            .worker
            .acme_webroot
            .as_deref()
            .filter(|_| route::is_token(token))?;
        let path = webroot.join(CHALLENGE_PREFIX.trim_matches('/')).join(token);
        let read = tokio::task::spawn_blocking(move || read_token(&path)).await;
        read.ok().flatten()
    }
}

/// A small regular file, whole.
fn read_token(path: &Path) -> Option<Bytes> {
    let metadata = std::fs::metadata(path).ok()?;
    let fits = metadata.is_file() && metadata.len() <= MAX_TOKEN_FILE_BYTES;
    fits.then(|| std::fs::read(path).ok().map(Bytes::from)).flatten()
}

/// What the access log says of a request: never the client's address, nor a challenge token.
fn access_note(request: &Request<Incoming>) -> (http::Method, String) {
    let path = request.uri().path();
    let path = if path.starts_with(CHALLENGE_PREFIX) {
        CHALLENGE_PREFIX
    } else {
        path
    };
    (request.method().clone(), path.to_owned())
}

/// Which requests are logged.
pub(super) struct AccessSampler {
    setting: AccessLog,
    seen: std::cell::Cell<u64>,
}

impl AccessSampler {
    pub(super) fn new(setting: AccessLog) -> Self {
        Self {
            setting,
            seen: std::cell::Cell::new(0),
        }
    }

    fn is_wanted(&self) -> bool {
        match self.setting {
            AccessLog::Off => false,
            AccessLog::Full => true,
            AccessLog::Sampled => {
                let seen = self.seen.get();
                self.seen.set(seen.wrapping_add(1));
                seen.is_multiple_of(SAMPLE)
            }
        }
    }
}
