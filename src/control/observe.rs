//! Looking at what is really served: a TLS handshake, and the leaf that came.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pair::{Facts, hex};
use crate::config::UpstreamTrust;
use crate::shared::tls::sha256;
use crate::shared::trust;

/// For connection and handshake together; we look at neighbours.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Why nothing was seen.
#[derive(Debug, Error)]
pub(crate) enum ObserveError {
    /// No connection, or no handshake.
    #[error("no handshake with {address}: {source}")]
    Handshake {
        /// With whom.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// It takes too long.
    #[error("no handshake with {address} within {} s", LIMIT.as_secs())]
    TimedOut {
        /// With whom.
        address: SocketAddr,
    },
    /// A handshake without a certificate.
    #[error("{0} presented no certificate")]
    Nothing(SocketAddr),
    /// Another certificate.
    #[error("{address} presents another certificate ({seen})")]
    Other {
        /// Who.
        address: SocketAddr,
        /// SHA-256 of its leaf, hex.
        seen: String,
    },
}

/// A leaf that was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// SHA-256, hex.
    pub(crate) fingerprint: String,
    /// Until when it is good; `None` if it cannot be read.
    pub(crate) not_after: Option<OffsetDateTime>,
}

/// Makes a handshake as a client without SNI does, and sees whether the leaf has this SHA-256 (hex).
pub(crate) async fn expect(address: SocketAddr, fingerprint: &str) -> Result<(), ObserveError> {
    let seen = tokio::time::timeout(LIMIT, leaf(address))
        .await
        .unwrap_or(Err(ObserveError::TimedOut { address }))?
        .fingerprint;
    if seen == fingerprint { Ok(()) } else { Err(ObserveError::Other { address, seen }) }
}

/// Makes a handshake over a connection that is there already, and says what was presented; without a name as a client
/// that dials an address.
pub(crate) async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    name: Option<&str>,
) -> io::Result<Option<Leaf>> {
    let name = match name.and_then(|name| ServerName::try_from(name.to_owned()).ok()) {
        Some(name) => name,
        None => ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into()), // which is not sent
    };
    let stream = TlsConnector::from(Arc::new(client())).connect(name, stream).await?;
    let (_, connection) = stream.get_ref();
    let leaf = connection.peer_certificates().and_then(|chain| chain.first());
    Ok(leaf.map(|leaf| Leaf {
        fingerprint: hex(&sha256(leaf)),
        not_after: Facts::read(leaf).ok().map(|facts| facts.not_after),
    }))
}

async fn leaf(address: SocketAddr) -> Result<Leaf, ObserveError> {
    let failed = |source| ObserveError::Handshake { address, source };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    handshake(stream, None).await.map_err(failed)?.ok_or(ObserveError::Nothing(address))
}

/// Accepts every chain, for it is only looked at; the key must be proved, so what is seen is what is held.
fn client() -> ClientConfig {
    let mut config = trust::client_config(&UpstreamTrust::Anything).expect("only a CA file can fail");
    config.resumption = Resumption::disabled(); // a resumed session shows no certificate
    config
}
