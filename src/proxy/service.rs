//! One request: answered from memory, forwarded, redirected or refused.

use std::cell::{Ref, RefCell};
use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use rustix::fs::{Mode, OFlags};
use tracing::{debug, info};

use super::activity::{Activity, OpenStream};
use super::body::{ResponseBody, Watcher};
use super::forward::{self, Outbound};
use super::gate::TunnelPlace;
use super::inbound::Inbound;
use super::reading::Use;
use super::respond;
use super::timer::Timer;
use super::tunnel::Side;
use super::worker::{Door, Worker};
use crate::config::AccessLog;
use crate::policy::headers;
use crate::policy::letters::Letters;
use crate::policy::route::{self, CHALLENGE_PREFIX, Head, Refusal};

/// Largest challenge answer that is read from `acme_webroot`; the CA reads no more than 128 bytes.
const MAX_TOKEN_FILE_BYTES: u64 = 4096;

/// With `access_log = "sampled"`, one request in this many is logged.
const SAMPLE: u64 = 100;

/// A client's connection, as its requests see it.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) door: Rc<Door>,
    peer: IpAddr,
    /// Its address as a field value.
    pub(super) name: HeaderValue,
    /// What it says about its own client is believed.
    pub(super) trusted: bool,
    pub(super) protocol: Protocol,
    /// The upstream's side of the tunnel that the connection becomes after a 101, and the tunnel's place.
    pub(super) tunnel: RefCell<Option<(Side, TunnelPlace)>>,
}

/// Who a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// As the socket shows it: what is believed of it hangs on this.
    pub(super) address: IpAddr,
    /// For whom it speaks, itself as a rule: what is told and counted of it.
    pub(super) client: IpAddr,
}

/// What becomes of a request.
enum Decision {
    /// It is answered here.
    Answer(Response<ResponseBody>),
    /// It goes to the door's upstream.
    Forward(Outbound),
    /// It is for a token that another ACME client may know.
    Ask(Box<Request<Inbound>>),
}

/// What tells how a client's connection is doing.
pub(super) enum Protocol {
    /// HTTP/1: one request at a time.
    One(Rc<Activity>),
    /// HTTP/2: many.
    Two(Rc<Activity>),
}

impl Client {
    /// A connection from `peer` that came in by `door`.
    pub(super) fn new(worker: Rc<Worker>, door: Rc<Door>, peer: Peer, protocol: Protocol) -> Rc<Self> {
        Rc::new(Self {
            peer: peer.address,
            name: headers::address(peer.client),
            trusted: worker.trusts(peer.address),
            worker,
            door,
            protocol,
            tunnel: RefCell::new(None),
        })
    }

    /// Answers one request. What can be decided is decided at once; only what must wait becomes part of the future, which
    /// is moved several times and kept as long as the connection.
    pub(super) fn call(
        self: &Rc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<> {
        let stream = match &self.protocol {
            Protocol::One(activity) => {
                activity.request_began(!request.body().is_end_stream());
                None
            }
            Protocol::Two(activity) => Some(activity.open_stream()),
        };
        let request = request.map(|incoming| Inbound::new(incoming, &self.protocol));
        let version = request.version();
        let note = self.worker.access_log.is_wanted().then(|| Box::new(AccessNote::of(&request)));
        let decision = self.decide(request);
        let client = Rc::clone(self);
        async move {
            let mut response = match decision {
                Decision::Answer(response) => response,
                Decision::Forward(outbound) => forward::to(&client, &client.door.panel, outbound).await,
                Decision::Ask(request) => Box::pin(client.ask_others(*request)).await,
            };
            client.watch(&mut response, version, stream);
            client.note(&response, note);
            Ok(response)
        }
    }

    fn decide(&self, request: Request<Inbound>) -> Decision {
        if let Some(token) = route::challenge_token(request.method(), request.uri()) {
            if let Some(key_authorization) = self.worker.challenges.answer(token) {
                self.worker.counters.challenges.increment();
                return Decision::Answer(respond::challenge(key_authorization));
            }
            if self.worker.acme_webroot.is_some() || self.worker.acme_upstream.is_some() {
                return Decision::Ask(Box::new(request));
            }
        }
        self.decide_for_panel(request)
    }

    fn decide_for_panel(&self, request: Request<Inbound>) -> Decision {
        let host = match self.admit(&request) {
            Ok(host) => host,
            Err(refusal) => return Decision::Answer(respond::refusal(refusal)),
        };
        let path = request.uri().path();
        let exempt = path.starts_with(CHALLENGE_PREFIX) || self.peer.is_loopback();
        if self.door.redirect && !exempt {
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            if let Some(response) = host.as_ref().and_then(|host| respond::redirect(host, target)) {
                return Decision::Answer(response);
            }
        }
        let panel = self.door.panel.upstream();
        if let Err(refusal) = route::allow(path, &panel.base_path, &panel.allow_paths) {
            return Decision::Answer(respond::refusal(refusal));
        }
        Decision::Forward(forward::prepare(self, host.as_ref(), panel.response_timeout, request))
    }

    /// What holds for every request that is forwarded, wherever to.
    fn admit(&self, request: &Request<Inbound>) -> Result<Option<HeaderValue>, Refusal> {
        // Told the number, hyper counts the lines of HTTP/1.1 itself; of HTTP/2 it knows only their size.
        if request.version() == Version::HTTP_2 && request.headers().len() > self.worker.limits.max_headers {
            return Err(Refusal::TooManyFields);
        }
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
        };
        route::admit(head, self.worker.limits.max_uri_bytes)
    }

    /// For a token that is not ours: `acme_webroot`, then `acme_upstream`, then the panel.
    async fn ask_others(&self, request: Request<Inbound>) -> Response<ResponseBody> {
        if let Some(token) = route::challenge_token(request.method(), request.uri())
            && let Some(answer) = self.token_of_another_client(token).await
        {
            return respond::challenge(answer);
        }
        if let Some(acme) = &self.worker.acme_upstream {
            let host = match self.admit(&request) {
                Ok(host) => host,
                Err(refusal) => return respond::refusal(refusal),
            };
            match acme.open(false).await {
                Ok(lease) => {
                    let limit = acme.upstream().response_timeout;
                    let outbound = forward::prepare(self, host.as_ref(), limit, request);
                    return forward::over(self, lease, outbound, None).await;
                }
                Err(error) => debug!(%error, "no other ACME client is listening"),
            }
        }
        match self.decide_for_panel(request) {
            Decision::Answer(response) => response,
            Decision::Forward(outbound) => forward::to(self, &self.door.panel, outbound).await,
            Decision::Ask(_) => respond::status(StatusCode::NOT_FOUND),
        }
    }

    /// What is known of the letters of the names of the request in progress; over HTTP/2 they have no capitals.
    pub(super) fn letters(&self) -> Letters {
        match &self.protocol {
            Protocol::One(activity) => activity.spelled().letters(),
            Protocol::Two(_) => Letters::Usual,
        }
    }

    /// What may become of a large answer to the request in progress.
    pub(super) fn use_of_large(&self) -> Use {
        match &self.protocol {
            Protocol::One(activity) if activity.takes_relay() => Use::Moved,
            Protocol::One(_) | Protocol::Two(_) => Use::Read,
        }
    }

    /// The head that tells them.
    pub(super) fn head(&self) -> Ref<'_, Vec<u8>> {
        let (Protocol::One(activity) | Protocol::Two(activity)) = &self.protocol;
        activity.spelled().head()
    }

    /// Whether names of an answer reach the client in the letters that they have.
    pub(super) fn sees_letters(&self) -> bool {
        matches!(self.protocol, Protocol::One(_))
    }

    fn watch(&self, response: &mut Response<ResponseBody>, version: Version, stream: Option<OpenStream>) {
        let watcher = match (&self.protocol, stream) {
            (Protocol::Two(_), Some(mut stream)) => {
                stream.answered();
                Watcher::Stream(stream)
            }
            (Protocol::One(activity) | Protocol::Two(activity), _) => {
                let close_delimited = version == Version::HTTP_10 && response.body().is_open_ended();
                if version == Version::HTTP_10
                    && (close_delimited || response.headers().contains_key(header::CONNECTION))
                {
                    // hyper would say keep-alive in it if the client does.
                    *response.version_mut() = Version::HTTP_10;
                }
                activity.response_began(close_delimited);
                Watcher::Connection(Rc::clone(activity))
            }
        };
        response.body_mut().watched_by(watcher);
    }

    fn note(&self, response: &Response<ResponseBody>, note: Option<Box<AccessNote>>) {
        let class = usize::from(response.status().as_u16() / 100);
        if let Some(counter) = self.worker.counters.responses.get(class) {
            counter.increment();
        }
        if let Some(note) = note {
            let AccessNote { method, path } = *note;
            info!(target: "doorman::access", %method, path, status = response.status().as_u16(), "request");
        }
    }

    /// The time limits of an exchange with an upstream that has `response` for its answer.
    pub(super) fn timer(&self, response: Duration) -> Timer {
        match &self.protocol {
            Protocol::One(activity) => Timer::Connection { activity: Rc::clone(activity), response },
            Protocol::Two(activity) => {
                Timer::own(Rc::clone(activity), self.worker.limits.body_timeout, response)
            }
        }
    }

    /// A token in `acme_webroot`, where other ACME clients put theirs.
    async fn token_of_another_client(&self, token: &str) -> Option<Bytes> {
        let webroot = self.worker.acme_webroot.as_deref().filter(|_| route::is_token(token))?;
        let path = webroot.join(CHALLENGE_PREFIX.trim_matches('/')).join(token);
        let read = tokio::task::spawn_blocking(move || read_token(&path)).await;
        read.ok().flatten()
    }
}

/// A small regular file, whole. Never through a link: whoever may write to the webroot could point one at a key.
fn read_token(path: &Path) -> Option<Bytes> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let mut token = Vec::new();
    let regular = file.metadata().ok()?.is_file();
    file.take(MAX_TOKEN_FILE_BYTES + 1).read_to_end(&mut token).ok()?;
    (regular && token.len() as u64 <= MAX_TOKEN_FILE_BYTES).then(|| Bytes::from(token))
}

/// What the access log says of a request: never the client's address, nor a challenge token.
struct AccessNote {
    method: Method,
    path: String,
}

impl AccessNote {
    fn of(request: &Request<Inbound>) -> Self {
        let path = request.uri().path();
        let path = if path.starts_with(CHALLENGE_PREFIX) { CHALLENGE_PREFIX } else { path };
        Self { method: request.method().clone(), path: path.to_owned() }
    }
}

/// Which requests are logged.
pub(super) struct AccessSampler {
    setting: AccessLog,
    seen: std::cell::Cell<u64>,
}

impl AccessSampler {
    pub(super) fn new(setting: AccessLog) -> Self {
        Self { setting, seen: std::cell::Cell::new(0) }
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
