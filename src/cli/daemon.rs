//! Talking to the running daemon over its admin interface.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Exit, Failure};
use crate::config::{Admin, AdminAddress};

/// For one answer; the daemon needs milliseconds, a busy machine longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A status has a few kilobytes.
const ANSWER_LIMIT: usize = 4 << 20;

/// The running daemon, as a command sees it. Every call waits for its answer.
pub(super) struct Daemon<'a> {
    admin: &'a Admin,
    runtime: tokio::runtime::Runtime,
}

/// What the daemon answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// Nobody is there, or we may not go there.
    #[error("{place}: {source}")]
    Connect {
        /// Path or address.
        place: String,
        /// Why not.
        source: io::Error,
    },
    /// What is there speaks no HTTP, or stopped.
    #[error("{place}: the answer broke off")]
    Exchange {
        /// Path or address.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It takes too long.
    #[error("{place}: no answer within {} s", LIMIT.as_secs())]
    TimedOut {
        /// Path or address.
        place: String,
    },
}

impl AskError {
    /// Whether nothing listens there: no daemon runs.
    pub(super) fn nobody_there(&self) -> bool {
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        matches!(self, Self::Connect { source, .. } if gone.contains(&source.kind()))
    }
}

impl<'a> Daemon<'a> {
    /// Nothing is connected yet.
    pub(super) fn new(admin: &'a Admin) -> Result<Self, Failure> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                Failure::new(
                    Exit::Io,
                    format!("This command could not begin: {error}."),
                    "Free some descriptors or memory, and try again.",
                )
            })?;
        Ok(Self { admin, runtime })
    }

    /// `GET /status`, as text and as JSON.
    pub(super) fn status(&self) -> Result<(String, Value), Failure> {
        let answer = self.ask(&Method::GET, "/status").map_err(|error| self.failure(&error))?;
        let value = serde_json::from_str(&answer.text).ok();
        match (answer.status, value) {
            (StatusCode::OK, Some(value)) => Ok((answer.text, value)),
            (status, _) => Err(Failure::new(
                Exit::Unavailable,
                format!("What listens at {} answered {status}, which is no status of doorman.", self.place()),
                "Set admin.listen, or --admin, to the address of the running daemon.",
            )),
        }
    }

    /// Sends one request.
    pub(super) fn ask(&self, method: &Method, target: &str) -> Result<Answer, AskError> {
        let place = self.place();
        let asked = async {
            match &self.admin.listen {
                AdminAddress::Unix(path) => {
                    let stream = UnixStream::connect(path).await.map_err(|source| self.connect(source))?;
                    self.exchange(stream, method, target, "doorman").await
                }
                AdminAddress::Tcp(address) => {
                    let stream = TcpStream::connect(address).await.map_err(|source| self.connect(source))?;
                    self.exchange(stream, method, target, &address.to_string()).await
                }
            }
        };
        self.runtime
            .block_on(async { tokio::time::timeout(LIMIT, asked).await })
            .unwrap_or(Err(AskError::TimedOut { place }))
    }

    /// Does something that waits, beside no daemon.
    pub(super) fn alone<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::task::LocalSet::new().block_on(&self.runtime, work)
    }

    /// Waits, for those who ask again and again.
    pub(super) fn pause(&self, pause: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(pause).await });
    }

    /// The error in two sentences.
    pub(super) fn failure(&self, error: &AskError) -> Failure {
        let denied = matches!(error, AskError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied);
        if denied {
            return Failure::new(
                Exit::NoPermission,
                format!("The daemon may not be asked: {error}."),
                "Run this as root, or as a member of the group that owns the socket.",
            );
        }
        Failure::new(
            Exit::Unavailable,
            format!("No daemon answers: {error}."),
            "Start it (`systemctl start doorman`, or `doorman run`), or name its admin address with --admin.",
        )
    }

    fn place(&self) -> String {
        match &self.admin.listen {
            AdminAddress::Unix(path) => Path::display(path).to_string(),
            AdminAddress::Tcp(address) => address.to_string(),
        }
    }

    fn connect(&self, source: io::Error) -> AskError {
        AskError::Connect { place: self.place(), source }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        method: &Method,
        target: &str,
        host: &str,
    ) -> Result<Answer, AskError> {
        let broke_off = |source| AskError::Exchange { place: self.place(), source };
        let mut request = Request::builder().method(method).uri(target).header(HOST, host);
        if let (AdminAddress::Tcp(_), Some(token)) = (&self.admin.listen, &self.admin.token) {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| broke_off(error.into()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broke_off(error.into()))?;
        let talk = async {
            let answer = sender.send_request(request).await.map_err(|error| broke_off(error.into()))?;
            let status = answer.status();
            let body =
                Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await.map_err(broke_off)?.to_bytes();
            Ok(Answer { status, text: String::from_utf8_lossy(&body).into_owned() })
        };
        tokio::pin!(talk, connection);
        tokio::select! {
            answer = &mut talk => answer,
            ended = &mut connection => {
                ended.map_err(|error| broke_off(error.into()))?;
                talk.await
            }
        }
    }
}
