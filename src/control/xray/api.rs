//! Xray's HandlerService: gRPC with hyper's own HTTP/2, for the messages are few and must be kept byte for byte.
//!
//! Answers hold private keys and users' secrets: nothing of them is logged, and no error carries any.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::config::Address;
use crate::policy::xray::messages::{self, SERVICE, User};
use crate::policy::xray::wire::WireError;

/// For a connection, and for each call; both are with this machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Of an answer: a hundred thousand users fit.
const LARGEST: usize = 32 << 20;

/// Of what a refusal says.
const LONGEST_REASON: usize = 200;

/// A compressed flag and four bytes of length before each message of gRPC.
const PREFIX: usize = 5;

/// Xray's API; connects when it is needed, and stays connected, which keeps Xray's own log quiet.
pub(super) struct Api {
    address: Address,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection, and ends with it.
    _driver: JoinSet<()>,
}

/// Why a call came to nothing.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    /// Nobody there.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// Somebody who says nothing.
    #[error("no answer within {} s", LIMIT.as_secs())]
    TimedOut,
    /// The connection broke, or another program is there.
    #[error("what listens there does not speak gRPC as Xray's API does: {0}")]
    Protocol(#[source] hyper::Error),
    /// A web server.
    #[error("what listens there answers as a web server ({0}), not as Xray's API")]
    NotGrpc(StatusCode),
    /// It is broken off or too long.
    #[error("the answer was cut off or too long")]
    Body,
    /// It is no answer.
    #[error("the answer makes no sense")]
    Wire(#[from] WireError),
    /// Xray says no.
    #[error("Xray refuses ({code}): {reason}")]
    Refused {
        /// Of gRPC.
        code: u32,
        /// In Xray's words.
        reason: String,
    },
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Api {
    pub(super) fn at(address: Address) -> Self {
        Self { address, connection: None }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection of the last call is still there: Xray has not been restarted meanwhile.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.sender.is_closed())
    }

    /// All inbounds, each as bytes.
    pub(super) async fn inbounds(&mut self) -> Result<Vec<Vec<u8>>, ApiError> {
        let answer = self.call("ListInbounds", &[]).await?;
        Ok(messages::inbounds(&answer)?)
    }

    pub(super) async fn add(&mut self, inbound: &[u8]) -> Result<(), ApiError> {
        self.call("AddInbound", &messages::add_inbound(inbound)).await.map(drop)
    }

    pub(super) async fn remove(&mut self, tag: &str) -> Result<(), ApiError> {
        self.call("RemoveInbound", &messages::by_tag(tag)).await.map(drop)
    }

    /// The users of the moment; `None` where the protocol has none that could be changed.
    pub(super) async fn users(&mut self, tag: &str) -> Result<Option<Vec<User>>, ApiError> {
        match self.call("GetInboundUsers", &messages::by_tag(tag)).await {
            Ok(answer) => Ok(Some(messages::users(&answer)?)),
            Err(ApiError::Refused { reason, .. }) if reason.contains("not a UserManager") => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn alter(&mut self, request: &[u8]) -> Result<(), ApiError> {
        self.call("AlterInbound", request).await.map(drop)
    }

    async fn call(&mut self, method: &str, message: &[u8]) -> Result<Bytes, ApiError> {
        if !self.is_connected() {
            let connected = tokio::time::timeout(LIMIT, connect(&self.address)).await;
            self.connection = Some(connected.map_err(|_| ApiError::TimedOut)??);
        }
        let Some(connection) = &mut self.connection else { return Err(ApiError::Body) };
        let answered = tokio::time::timeout(LIMIT, unary(&mut connection.sender, method, message)).await;
        let answer = answered.unwrap_or(Err(ApiError::TimedOut));
        if !matches!(answer, Ok(_) | Err(ApiError::Refused { .. })) {
            self.connection = None; // the next call begins anew
        }
        answer
    }
}

async fn connect(address: &Address) -> Result<Connection, ApiError> {
    let stream: Box<dyn Stream> = match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(ApiError::Connect)?;
            stream.set_nodelay(true).map_err(ApiError::Connect)?;
            Box::new(stream)
        }
        Address::Unix(path) => Box::new(UnixStream::connect(socket(path)).await.map_err(ApiError::Connect)?),
    };
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(ApiError::Protocol)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await; // the call that is under way hears of it
    });
    Ok(Connection { sender, _driver: driver })
}

/// `@name` is an abstract socket, which the kernel writes with a zero.
fn socket(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.strip_prefix('@').map_or_else(|| path.to_string(), |name| format!("\0{name}"))
}

async fn unary(
    sender: &mut SendRequest<Full<Bytes>>,
    method: &str,
    message: &[u8],
) -> Result<Bytes, ApiError> {
    let mut body = Vec::with_capacity(PREFIX + message.len());
    body.push(0);
    body.extend_from_slice(&u32::try_from(message.len()).map_err(|_| ApiError::Body)?.to_be_bytes());
    body.extend_from_slice(message);
    let request = Request::post(format!("http://xray{SERVICE}{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| ApiError::Body)?;
    sender.ready().await.map_err(ApiError::Protocol)?;
    let (head, body) = sender.send_request(request).await.map_err(ApiError::Protocol)?.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).map_or(&[][..], |kind| kind.as_bytes());
    if head.status != StatusCode::OK || !kind.starts_with(b"application/grpc") {
        return Err(ApiError::NotGrpc(head.status));
    }
    let collected = Limited::new(body, LARGEST).collect().await.map_err(|_| ApiError::Body)?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let said = |name| trailers.get(name).or_else(|| head.headers.get(name))?.to_str().ok();
    match said("grpc-status").and_then(|code| code.parse().ok()) {
        Some(0) => {}
        Some(code) => {
            let reason: String =
                said("grpc-message").unwrap_or_default().chars().take(LONGEST_REASON).collect();
            return Err(ApiError::Refused { code, reason: plain(&reason) });
        }
        None => return Err(ApiError::Body),
    }
    let answer = collected.to_bytes();
    let length = answer.get(1..PREFIX).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
    match (answer.first(), length.and_then(|length| usize::try_from(length).ok())) {
        (Some(0), Some(length)) if answer.len() == PREFIX + length => Ok(answer.slice(PREFIX..)),
        _ => Err(ApiError::Body),
    }
}

/// `grpc-message` is percent-encoded.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).replace(char::is_control, " ")
}
