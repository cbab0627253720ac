//! A visitor of the front door, who looks at it from outside.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::UpstreamTrust;
use crate::shared::tls::sha256;
use crate::shared::trust;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a visit brought nothing.
#[derive(Debug, Error)]
pub(super) enum VisitError {
    /// No connection, or no TLS.
    #[error("{0}")]
    Connect(#[from] io::Error),
    /// No HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// Nothing in time.
    #[error("no answer in time")]
    TimedOut,
    /// The other side closed.
    #[error("the connection was closed")]
    Closed,
}

/// Who looks at the front door.
pub(super) struct Visitor {
    http: SocketAddr,
    https: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// One connection that stays open: the panel's clock.
pub(super) struct Kept {
    /// Fingerprint of the certificate that it began with.
    pub(super) began_with: [u8; 32],
    body: Incoming,
    expected: u64,
}

impl Visitor {
    pub(super) fn new(http: SocketAddr, https: SocketAddr) -> Self {
        let tls = trust::client_config(&UpstreamTrust::Anything).expect("only a CA file can fail");
        Self { http, https, tls: Arc::new(tls) }
    }

    /// The status of the panel's page over plain HTTP.
    pub(super) async fn page(&self) -> Result<StatusCode, VisitError> {
        let stream = TcpStream::connect(self.http).await?;
        let (status, _) = get(stream, self.http, "/").await?;
        Ok(status)
    }

    /// The fingerprint that a new TLS connection is shown.
    pub(super) async fn fingerprint(&self) -> Result<[u8; 32], VisitError> {
        Ok(leaf(&self.handshake().await?))
    }

    /// Opens a connection over https that will be kept.
    pub(super) async fn keep(&self) -> Result<Kept, VisitError> {
        let stream = self.handshake().await?;
        let began_with = leaf(&stream);
        let (_, body) = get(stream, self.https, super::panel::CLOCK).await?;
        Ok(Kept { began_with, body, expected: 1 })
    }

    async fn handshake(&self) -> Result<TlsStream<TcpStream>, VisitError> {
        let connect = async {
            let tcp = TcpStream::connect(self.https).await?;
            let name = ServerName::IpAddress(self.https.ip().into());
            TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await
        };
        Ok(tokio::time::timeout(PATIENCE, connect).await.map_err(|_| VisitError::TimedOut)??)
    }
}

impl Kept {
    /// Waits for the next event; the number of events so far. A missing one is an error, as a cut connection is.
    pub(super) async fn next(&mut self) -> Result<u64, VisitError> {
        let frame =
            tokio::time::timeout(PATIENCE, self.body.frame()).await.map_err(|_| VisitError::TimedOut)?;
        let frame = frame.ok_or(VisitError::Closed)??;
        let events =
            frame.data_ref().map_or(0, |data| data.windows(2).filter(|pair| *pair == b"\n\n").count());
        let last = format!("data: {}\n\n", self.expected + events as u64 - 1);
        if !frame.data_ref().is_some_and(|data| data.ends_with(last.as_bytes())) {
            return Err(VisitError::Closed);
        }
        self.expected += events as u64;
        Ok(self.expected - 1)
    }
}

/// One request over a fresh connection, which lives as long as the body.
async fn get<S>(stream: S, host: SocketAddr, path: &str) -> Result<(StatusCode, Incoming), VisitError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the body: the sender is dropped below, and nothing else keeps the connection open.
    tokio::spawn(async move { connection.await.is_ok() });
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().expect("the demo's own paths");
    let host = host.to_string().parse().expect("an address is a host");
    request.headers_mut().insert(http::header::HOST, host);
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request));
    let (parts, body) = answer.await.map_err(|_| VisitError::TimedOut)??.into_parts();
    Ok((parts.status, body))
}

fn leaf(stream: &TlsStream<TcpStream>) -> [u8; 32] {
    let chain = stream.get_ref().1.peer_certificates();
    chain.and_then(|chain| chain.first()).map_or([0; 32], |leaf| sha256(leaf))
}
