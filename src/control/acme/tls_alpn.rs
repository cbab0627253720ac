//! TLS-ALPN-01 (RFC 8737) for addresses (RFC 8738 section 6): the certificate that answers, and a look at it through our
//! own listeners, before the CA is told to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, SanType};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{default_provider, sign};
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::selfcheck::dialable;
use crate::shared::challenges::{ACME_TLS, reverse_name};
use crate::shared::listeners::{Kind, Listener, State};

/// Where the CA looks, and nowhere else (RFC 8737 section 3).
pub(crate) const PORT: u16 = 443;

/// We talk to ourselves.
const LIMIT: Duration = Duration::from_secs(5);

/// An order lasts hours at the most; a clock may be wrong by as much.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Why the certificate was not seen.
#[derive(Debug, Error)]
pub(crate) enum TlsCheckError {
    /// No connection, or no handshake.
    #[error("no handshake: {0}")]
    Handshake(#[source] std::io::Error),
    /// It takes too long.
    #[error("no handshake within {} s", LIMIT.as_secs())]
    TimedOut,
    /// Another certificate, or another protocol.
    #[error("another program answers there")]
    Other,
}

/// The certificate that answers the challenge of `ip`: for that address alone, with the SHA-256 of the key
/// authorization in a critical extension.
pub(super) fn certificate(
    ip: IpAddr,
    digest: &[u8],
    now: OffsetDateTime,
) -> Result<Arc<CertifiedKey>, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::IpAddress(ip)];
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    (params.not_before, params.not_after) = (now - LIFE, now + LIFE);
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = sign::any_supported_type(&key).expect("a key that was just made is one that TLS can use");
    // Not compared with the certificate: of that, webpki refuses to read the critical extension.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

/// Our listeners through which the CA could come.
pub(crate) fn doors(listeners: &[Listener]) -> impl Iterator<Item = SocketAddr> + '_ {
    listeners
        .iter()
        .filter(|listener| is_a_way(listener) && listener.state == State::Listening)
        .map(|listener| dialable(listener.address))
}

/// Whether the CA could come through this listener when it is ours.
pub(crate) fn is_a_way(listener: &Listener) -> bool {
    listener.kind == Kind::Https && listener.address.port() == PORT
}

/// Makes the handshake that the CA will.
pub(super) async fn look(door: SocketAddr, ip: IpAddr, expected: &CertifiedKey) -> Result<(), TlsCheckError> {
    tokio::time::timeout(LIMIT, handshake(door, ip, expected)).await.unwrap_or(Err(TlsCheckError::TimedOut))
}

async fn handshake(door: SocketAddr, ip: IpAddr, expected: &CertifiedKey) -> Result<(), TlsCheckError> {
    let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("ring supports TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Exactly(expected.clone())))
        .with_no_client_auth();
    client.resumption = Resumption::disabled(); // a resumed session shows no certificate
    client.alpn_protocols = vec![ACME_TLS.to_vec()];
    let name = ServerName::try_from(reverse_name(ip)).expect("a reverse name is a name");
    let stream = TcpStream::connect(door).await.map_err(TlsCheckError::Handshake)?;
    let stream =
        TlsConnector::from(Arc::new(client)).connect(name, stream).await.map_err(TlsCheckError::Handshake)?;
    let (_, connection) = stream.get_ref();
    if connection.alpn_protocol() == Some(ACME_TLS) { Ok(()) } else { Err(TlsCheckError::Other) }
}

/// Accepts one certificate, and the proof that its key is there. webpki cannot be asked: it knows no certificate with
/// this critical extension.
#[derive(Debug)]
struct Exactly(CertifiedKey);

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.0.cert.first() == Some(shown) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = self.0.key.public_key().ok_or(CertificateError::BadEncoding)?;
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, proof, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn the_certificate_is_for_the_address_alone_and_its_extension_is_critical() {
        for ip in ["192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let certified = certificate(ip, &[7; 32], OffsetDateTime::UNIX_EPOCH).unwrap();
            let (_, leaf) = X509Certificate::from_der(&certified.cert[0]).unwrap();
            let names = leaf.subject_alternative_name().unwrap().unwrap();
            assert_eq!(names.value.general_names.len(), 1);
            let proof =
                leaf.extensions().iter().find(|it| it.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
            assert!(proof.critical);
            assert_eq!(proof.value, [&[0x04, 32][..], &[7; 32]].concat(), "an OCTET STRING in the extension");
            assert!(leaf.subject().iter().next().is_none());
        }
    }

    #[test]
    fn only_https_on_443_is_a_way() {
        let listener = |address: &str, kind| Listener {
            address: address.parse().unwrap(),
            kind,
            state: State::Listening,
            detail: None,
            detail_words: None,
            holder: None,
            joined: None,
            remedy: None,
            remedy_words: None,
        };
        assert!(is_a_way(&listener("0.0.0.0:443", Kind::Https)));
        assert!(!is_a_way(&listener("0.0.0.0:8443", Kind::Https)));
        assert!(!is_a_way(&listener("0.0.0.0:443", Kind::Forward)));
    }
}
