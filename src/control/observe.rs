//! Looking at what is really served: a TLS handshake, and the leaf that came.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pair::hex;
use crate::config::UpstreamTrust;
use crate::shared::tls::sha256;
use crate::shared::trust;

/// For connection and handshake together; we look at neighbours.
const LIMIT: Duration = Duration::from_secs(5);

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

/// Makes a handshake as a client without SNI does, and sees whether the leaf has this SHA-256 (hex).
pub(crate) async fn expect(address: SocketAddr, fingerprint: &str) -> Result<(), ObserveError> {
    let seen = tokio::time::timeout(LIMIT, leaf(address))
        .await
        .unwrap_or(Err(ObserveError::TimedOut { address }))?;
    if seen == fingerprint { Ok(()) } else { Err(ObserveError::Other { address, seen }) }
}

async fn leaf(address: SocketAddr) -> Result<String, ObserveError> {
    let handshake = |source| ObserveError::Handshake { address, source };
    let stream = TcpStream::connect(address).await.map_err(handshake)?;
    let name = ServerName::IpAddress(address.ip().into());
    let stream = TlsConnector::from(Arc::new(client())).connect(name, stream).await.map_err(handshake)?;
    let (_, connection) = stream.get_ref();
    connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| hex(&sha256(leaf)))
        .ok_or(ObserveError::Nothing(address))
}

/// Accepts every chain, for it is only looked at; the key must be proved, so what is seen is what is held.
fn client() -> ClientConfig {
    let mut config = trust::client_config(&UpstreamTrust::Anything).expect("only a CA file can fail");
    config.resumption = Resumption::disabled(); // a resumed session shows no certificate
    config
}
