//! TLS as a client: which certificate the other side may present.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, VerifierBuilderError};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

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
    /// There is no certificate in it.
    #[error("{path} holds no certificate that could vouch for a server")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: VerifierBuilderError,
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
    let accept = match trust {
        UpstreamTrust::PublicRoots => {
            return Ok(builder.with_root_certificates(public_roots()).with_no_client_auth());
        }
        UpstreamTrust::Anything => Accept::Anything,
        UpstreamTrust::Pin(pin) => Accept::Pinned(*pin),
        UpstreamTrust::CaFile(path) => Accept::listed(path, &provider)?,
    };
    let verifier = Arc::new(Verifier { accept, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The machine's roots and the built-in ones: a small server may have no `ca-certificates`, or stale ones.
fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Which certificates are accepted. Proof of the key is demanded for each of them.
#[derive(Debug)]
enum Accept {
    /// Any at all.
    Anything,
    /// The one with this SHA-256.
    Pinned([u8; 32]),
    /// Those that a certificate of a file vouches for, and those of the file themselves: a self-signed certificate is
    /// often marked as a CA's, which path building does not accept from a server.
    Listed { chains: Arc<WebPkiServerVerifier>, certificates: Vec<CertificateDer<'static>> },
}

impl Accept {
    fn listed(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let file = |source| TrustError::File { path: path.to_owned(), source };
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|source| TrustError::Certificate { path: path.to_owned(), source })?;
        }
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|source| TrustError::Empty { path: path.to_owned(), source })?;
        Ok(Self::Listed { chains, certificates })
    }
}

#[derive(Debug)]
struct Verifier {
    accept: Accept,
    provider: Arc<CryptoProvider>,
}

/// A certificate that is trusted as it is must still be for this server, and for now.
fn is_for(
    certificate: &CertificateDer<'_>,
    server: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server)?;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    match now {
        Some(now) if parsed.validity().is_valid_at(now) => Ok(()),
        Some(_) | None => Err(CertificateError::Expired.into()),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.accept {
            Accept::Anything => Ok(ServerCertVerified::assertion()),
            Accept::Pinned(pin) if sha256(end_entity) == *pin => Ok(ServerCertVerified::assertion()),
            Accept::Pinned(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Accept::Listed { certificates, .. } if certificates.contains(end_entity) => {
                is_for(end_entity, server, now).map(|()| ServerCertVerified::assertion())
            }
            Accept::Listed { chains, .. } => {
                chains.verify_server_cert(end_entity, intermediates, server, ocsp, now)
            }
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use time::OffsetDateTime;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// A handshake with a server that presents a self-signed certificate for 127.0.0.1, made as `openssl req -x509`
    /// makes it: marked as a CA's.
    async fn handshake(listed: bool, server: &str, not_after: OffsetDateTime) -> Result<(), String> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
        params.not_after = not_after;
        let presented = params.self_signed(&key).unwrap();
        let other = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), if listed { presented.pem() } else { other.pem() }).unwrap();

        let trust = UpstreamTrust::CaFile(file.path().to_owned());
        let connector = TlsConnector::from(Arc::new(client_config(&trust).unwrap()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![presented.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (ours, theirs) = tokio::io::duplex(1 << 14);
        let name = ServerName::try_from(server.to_owned()).unwrap();
        let (client, _) = tokio::join!(connector.connect(name, ours), acceptor.accept(theirs));
        client.map(|_| ()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_self_signed_certificate_in_the_file_is_trusted_for_its_name_and_time() {
        let (later, before) =
            (time::macros::datetime!(2999-01-01 0:00 UTC), time::macros::datetime!(2001-01-01 0:00 UTC));
        assert_eq!(handshake(true, "127.0.0.1", later).await, Ok(()));
        assert!(handshake(true, "127.0.0.2", later).await.is_err(), "another name");
        assert!(handshake(true, "127.0.0.1", before).await.is_err(), "expired");
        assert!(handshake(false, "127.0.0.1", later).await.is_err(), "not in the file");
    }
}
