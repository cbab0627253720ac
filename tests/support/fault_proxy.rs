//! A CA that misbehaves on demand: a proxy in front of Pebble that passes everything on but what a story picks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::doorman::shared::clock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;
use time::format_description::well_known::Rfc2822;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::client::{Connection, Message};
use super::network::Network;
use super::pebble::Pebble;
use super::tls::{self, Pair};

/// What is asked of a CA, told apart by Pebble's paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Where everything else is.
    Directory,
    /// A fresh nonce.
    NewNonce,
    /// An account to be made, or to be found by its key.
    NewAccount,
    /// An order to be placed.
    NewOrder,
    /// How an order stands.
    Order,
    /// How an authorization stands.
    Authorization,
    /// That a challenge is ready.
    Challenge,
    /// That the certificate may be made.
    Finalize,
    /// The certificate.
    Certificate,
    /// When to renew it.
    RenewalInfo,
}

/// What happens to a request instead of being passed on as it is.
#[derive(Clone, Debug)]
pub enum Fault {
    /// These bytes are the answer; the CA hears nothing.
    Answer(Vec<u8>),
    /// The CA does what it was asked to, and its answer is lost.
    LoseAnswer,
    /// Nothing happens until [`FaultProxy::release`].
    Hold,
}

/// The proxy. It knows nothing of ACME beyond the paths, and keeps what went through it.
pub struct FaultProxy {
    address: SocketAddr,
    files: TempDir,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Connects to the Pebble.
type Dial = Box<dyn Fn() -> std::io::Result<std::net::TcpStream> + Send + Sync>;

struct Shared {
    dial: Dial,
    client: ClientConfig,
    planned: Mutex<Vec<Planned>>,
    asked: Mutex<Vec<Asked>>,
    ahead: Mutex<Duration>,
    released: Notify,
}

#[derive(Debug)]
struct Planned {
    /// `None`: whatever is asked.
    resource: Option<Resource>,
    /// How many requests it is for.
    left: usize,
    fault: Fault,
}

#[derive(Debug)]
struct Asked {
    resource: Resource,
    request: Message,
}

impl FaultProxy {
    /// One before this Pebble, which may be stopped and started meanwhile.
    pub async fn before(pebble: &Pebble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = pebble.address();
        let dial = Box::new(move || std::net::TcpStream::connect(to));
        Self::between(listener, "localhost", pebble, dial)
    }

    /// One before a Pebble of another network, there, with a name.
    pub fn in_network(network: &Network, at: SocketAddr, name: &str, pebble: &Pebble) -> Self {
        let dial = Box::new(network.dialer(pebble.address()));
        Self::between(network.listen(at), name, pebble, dial)
    }

    fn between(listener: TcpListener, name: &str, pebble: &Pebble, dial: Dial) -> Self {
        let pair = Pair::for_names(&["127.0.0.1", name]);
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("ca.pem"), &pair.ca).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            dial,
            client: pebble.client().clone(),
            planned: Mutex::default(),
            asked: Mutex::default(),
            ahead: Mutex::default(),
            released: Notify::new(),
        });
        let (acceptor, state) = (pair.acceptor(), Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(Connection::over(stream), &state).await;
                    }
                });
            }
        });
        Self { address, files, shared, task }
    }

    /// The directory's URL.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// PEM file with the CA that it is served under.
    pub fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// The next `count` requests for `resource` get this.
    pub fn plan(&self, resource: Resource, count: usize, fault: Fault) {
        self.shared.planned.lock().unwrap().push(Planned { resource: Some(resource), left: count, fault });
    }

    /// Every request gets this, until [`Self::heal`].
    pub fn break_down(&self, fault: Fault) {
        self.shared.planned.lock().unwrap().push(Planned { resource: None, left: usize::MAX, fault });
    }

    /// Nothing is planned any more.
    pub fn heal(&self) {
        self.shared.planned.lock().unwrap().clear();
    }

    /// Lets go what is held.
    pub fn release(&self) {
        self.heal();
        self.shared.released.notify_waiters();
    }

    /// The CA's clock is so far ahead of the real one, as far as its answers tell.
    pub fn set_clock_ahead(&self, ahead: Duration) {
        *self.shared.ahead.lock().unwrap() = ahead;
    }

    /// How often `resource` was asked for.
    pub fn asked(&self, resource: Resource) -> usize {
        self.requests(resource).len()
    }

    /// The paths of all requests for `resource`.
    pub fn paths(&self, resource: Resource) -> Vec<String> {
        let path = |request: Message| request.start.split(' ').nth(1).expect("a target").to_owned();
        self.requests(resource).into_iter().map(path).collect()
    }

    /// What was signed in all requests for `resource`.
    pub fn payloads(&self, resource: Resource) -> Vec<Value> {
        let payload = |request: Message| {
            let envelope: Value = serde_json::from_slice(&request.body).expect("a JWS");
            let payload = envelope["payload"].as_str().expect("a payload");
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).expect("JSON")
        };
        self.requests(resource).into_iter().map(payload).collect()
    }

    fn requests(&self, resource: Resource) -> Vec<Message> {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.resource == resource).map(|asked| asked.request.clone()).collect()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fault {
    /// An error as RFC 8555 section 6.7 has it, with further fields, each ended by CR LF.
    pub fn problem(status: u16, kind: &str, fields: &str) -> Self {
        let body = serde_json::json!({
            "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "said by a fault proxy", "status": status,
        });
        let fields = format!("Content-Type: application/problem+json\r\n{fields}");
        Self::page(status, &fields, &body.to_string())
    }

    /// Any answer.
    pub fn page(status: u16, fields: &str, body: &str) -> Self {
        let head =
            format!("HTTP/1.1 {status} Planned\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        Self::Answer(format!("{head}{fields}\r\n{body}").into_bytes())
    }
}

/// One request a connection, so that an answer ends where the connection does.
async fn serve(mut client: Connection<tokio_rustls::server::TlsStream<TcpStream>>, shared: &Shared) {
    let Some(request) = client.request().await else { return };
    let resource = resource(&request);
    shared.asked.lock().unwrap().push(Asked { resource, request: request.clone() });
    let answer = match shared.take(resource) {
        Some(Fault::Answer(bytes)) => bytes,
        Some(Fault::LoseAnswer) => {
            pass_on(&request, shared).await;
            return;
        }
        Some(Fault::Hold) => {
            let mut byte = [0];
            tokio::select! {
                () = shared.released.notified() => {}
                _ = client.stream.read(&mut byte) => return, // the client has lost patience
            }
            pass_on(&request, shared).await.unwrap_or_default()
        }
        None => pass_on(&request, shared).await.unwrap_or_default(),
    };
    let _ = client.stream.write_all(&shared.dated(answer)).await; // the client may be killed
    let _ = client.stream.shutdown().await;
}

/// Pebble's answer, byte for byte; `None` while it does not run.
async fn pass_on(request: &Message, shared: &Shared) -> Option<Vec<u8>> {
    let stream = (shared.dial)().ok()?;
    stream.set_nonblocking(true).ok()?;
    let stream = tls::over(TcpStream::from_std(stream).ok()?, &shared.client).await;
    let mut onward = Connection::over(stream.ok()?);
    // Let's Encrypt's directory is elsewhere than Pebble's.
    let mut head = format!("{}\r\n", request.start.replacen(" /directory ", " /dir ", 1));
    for (name, value) in request.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    onward.send([head.as_bytes(), &request.body].concat()).await;
    Some(onward.rest().await)
}

impl Shared {
    fn take(&self, resource: Resource) -> Option<Fault> {
        let mut planned = self.planned.lock().unwrap();
        let concerns = |plan: &Planned| plan.left > 0 && plan.resource.is_none_or(|only| only == resource);
        let plan = planned.iter_mut().find(|plan| concerns(plan))?;
        plan.left -= 1;
        Some(plan.fault.clone())
    }

    /// With the moment of the CA's clock in the `Date` field.
    fn dated(&self, answer: Vec<u8>) -> Vec<u8> {
        let ahead = *self.ahead.lock().unwrap();
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return answer };
        let head = std::str::from_utf8(&answer[..end]).expect("a head of text");
        let lines = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        let now = (clock::now() + ahead).format(&Rfc2822).unwrap().replace("+0000", "GMT");
        let head = lines.chain([format!("Date: {now}").as_str()]).collect::<Vec<_>>().join("\r\n");
        [head.as_bytes(), &answer[end..]].concat()
    }
}

fn resource(request: &Message) -> Resource {
    let path = request.start.split(' ').nth(1).expect("a target");
    let starts = [
        ("/dir", Resource::Directory),
        ("/nonce-plz", Resource::NewNonce),
        ("/sign-me-up", Resource::NewAccount),
        ("/order-plz", Resource::NewOrder),
        ("/my-order/", Resource::Order),
        ("/authZ/", Resource::Authorization),
        ("/chalZ/", Resource::Challenge),
        ("/finalize-order/", Resource::Finalize),
        ("/certZ/", Resource::Certificate),
        ("/draft-ietf-acme-ari-03/renewalInfo/", Resource::RenewalInfo),
    ];
    let found = starts.iter().find(|(start, _)| path.starts_with(start));
    found.unwrap_or_else(|| panic!("Pebble has no {path}")).1
}
