//! TLS towards clients: one configuration for all of them, whose certificate comes from a cell at each handshake.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::ResolvesServerCert;
use tokio_rustls::TlsAcceptor;

use crate::shared::tls::Served;

/// Terminates TLS with whatever `served` holds when a handshake begins.
pub(super) fn acceptor(served: Served) -> TlsAcceptor {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(served);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
