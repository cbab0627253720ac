//! TLS as the story's clients and upstreams speak it: on ring, without a server name, with a root of their own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A CA of the story's own and one leaf of it, in PEM.
#[derive(Debug)]
pub struct Pair {
    /// The CA to trust.
    pub ca: String,
    /// The leaf.
    pub certificate: String,
    /// The leaf's key.
    pub key: String,
}

impl Pair {
    /// For these names or addresses.
    pub fn for_names(names: &[&str]) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        Self { ca: ca_certificate.pem(), certificate: leaf.pem(), key: key.serialize_pem() }
    }

    /// SHA-256 of the leaf, in hex.
    pub fn fingerprint(&self) -> String {
        fingerprint(&CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap())
    }

    /// Accepts TLS with this pair, without ALPN, as the panels do.
    pub fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A client that trusts only `root` (PEM) and offers `alpn`.
pub fn trusting(root: &str, alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    with_alpn(builder.with_root_certificates(roots).with_no_client_auth(), alpn)
}

/// A client that trusts anybody, for looking at what is served before it can be verified.
pub fn trusting_anybody(alpn: &[&str]) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let verifier = Arc::new(Anybody(provider()));
    with_alpn(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth(), alpn)
}

/// A handshake as whoever dials an IP makes it: no server name, and the address must be in the certificate.
pub async fn connect(address: SocketAddr, config: &ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    over(TcpStream::connect(address).await?, config).await
}

/// The same over a connection on which something may have been said before.
pub async fn over(stream: TcpStream, config: &ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::from(stream.peer_addr()?.ip());
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config.clone())).connect(name, stream).await
}

/// A handshake with a server name.
pub async fn connect_as(
    address: SocketAddr,
    name: &str,
    config: &ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config.clone())).connect(name, stream).await
}

/// The leaf that was presented.
pub fn leaf<S>(stream: &TlsStream<S>) -> CertificateDer<'static> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().and_then(|chain| chain.first()).expect("a certificate").clone().into_owned()
}

/// SHA-256 of a certificate, in hex, as `status` has it.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of TLS 1.3");
    let hash = suite.common.hash_provider.hash(certificate);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The addresses a certificate is for.
pub fn addresses(certificate: &CertificateDer<'_>) -> Vec<IpAddr> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let names = certificate.subject_alternative_name().unwrap().expect("a subject alternative name");
    let mut found = Vec::new();
    for name in &names.value.general_names {
        if let GeneralName::IPAddress(bytes) = name {
            found.push(match bytes.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*bytes).unwrap()),
                _ => IpAddr::from(<[u8; 16]>::try_from(*bytes).unwrap()),
            });
        }
    }
    found
}

/// Whether a key in PEM belongs to a certificate chain in PEM, whose parts are whole.
pub fn is_matching_pair(chain: &str, key: &str) -> bool {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key.as_bytes())) else {
        return false;
    };
    rustls::sign::CertifiedKey::from_der(chain, key, &ring::default_provider()).is_ok()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn with_alpn(mut config: ClientConfig, alpn: &[&str]) -> ClientConfig {
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
