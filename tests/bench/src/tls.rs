//! One ECDSA P-256 certificate for everyone, and the client that expects it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A pair for 127.0.0.1 and the CA that issued it.
pub(crate) struct Pair {
    leaf: CertificateDer<'static>,
    key: KeyPair,
}

impl Pair {
    /// Issues a pair and writes `ca.crt`, `pair.crt`, `pair.key` and, as haproxy wants it, `pair.pem` into `dir`.
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub(crate) fn issue(dir: &Path) -> anyhow::Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?
            .signed_by(&key, &ca)?;
        fs::write(dir.join("ca.crt"), ca.pem())?;
        fs::write(dir.join("pair.crt"), leaf.pem())?;
        fs::write(dir.join("pair.key"), key.serialize_pem())?;
        fs::write(dir.join("pair.pem"), leaf.pem() + &key.serialize_pem())?;
        Ok(Self { leaf: leaf.der().clone(), key })
    }

    /// A TLS server with this pair, for HTTP/1.1.
    ///
    /// # Errors
    /// None that could be met; rustls checks the pair.
    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.clone()], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// A client that accepts this certificate only and speaks `protocol` (an ALPN name).
    ///
    /// One version, one cipher suite, one group, so that every proxy does the same cryptography; never resumes.
    ///
    /// # Errors
    /// None that could be met.
    pub(crate) fn client(&self, protocol: &str) -> anyhow::Result<Client> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![kx_group::X25519];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned(self.leaf.clone())))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Client(TlsConnector::from(Arc::new(config))))
    }
}

/// A TLS client.
#[derive(Clone)]
pub(crate) struct Client(TlsConnector);

impl Client {
    /// Full TLS 1.3 handshake without SNI, as everyone who dials an IP does it.
    ///
    /// # Errors
    /// A failed handshake, another certificate.
    pub(crate) async fn handshake(&self, tcp: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.0.connect(name, tcp).await.context("TLS handshake")
    }
}

/// Compares the certificate and leaves the signature alone: verifying costs the client more than signing costs
/// the proxy, and a client that is slower than the proxy measures itself.
#[derive(Debug)]
struct Pinned(CertificateDer<'static>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 was offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
