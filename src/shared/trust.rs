//! TLS as a client: which certificate the other side may present.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

use super::tls::sha256;
use crate::config::UpstreamTrust;

/// Why a file with CA certificates cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// It cannot be read, or is not PEM.
    #[error("{path} could not be read as PEM certificates")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in it is not one.
    #[error("{path} holds something that is not a CA certificate")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls::Error,
    },
}

/// TLS towards a server, without ALPN.
///
/// # Errors
/// The CA file of [`UpstreamTrust::CaFile`] cannot be used.
pub fn client_config(trust: &UpstreamTrust) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions");
    let pinned = |pin| Arc::new(Unchained { pin, provider });
    Ok(match trust {
        UpstreamTrust::Anything => builder.dangerous().with_custom_certificate_verifier(pinned(None)),
        UpstreamTrust::Pin(pin) => builder.dangerous().with_custom_certificate_verifier(pinned(Some(*pin))),
        UpstreamTrust::PublicRoots => builder.with_root_certificates(public_roots()),
        UpstreamTrust::CaFile(path) => builder.with_root_certificates(roots_from(path)?),
    }
    .with_no_client_auth())
}

/// The machine's roots and the built-in ones: a small server may have no `ca-certificates`, or stale ones.
fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_from(path: &PathBuf) -> Result<RootCertStore, TrustError> {
    let file = |source| TrustError::File { path: path.clone(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(file)? {
        roots
            .add(certificate.map_err(file)?)
            .map_err(|source| TrustError::Certificate { path: path.clone(), source })?;
    }
    Ok(roots)
}

/// Accepts a certificate by its SHA-256 alone, or any at all, but always demands proof of its key.
#[derive(Debug)]
struct Unchained {
    pin: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unchained {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let expected = self.pin.is_none_or(|pin| sha256(end_entity) == pin);
        if expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
