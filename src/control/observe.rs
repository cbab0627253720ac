//! Looking at what is really served: a TLS handshake, and the leaf that came.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pair::hex;
use crate::shared::tls::sha256;

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

fn client() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(any)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled(); // a resumed session shows no certificate
    config
}

/// Accepts every chain, for it is only looked at; signatures are checked, so what is seen is what is held.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
