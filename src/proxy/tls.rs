//! TLS towards clients: one configuration for all of them, whose certificate comes from a cell at each handshake.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::ResolvesServerCert;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::shared::tls::Served;

/// Terminates TLS with whatever is served when a handshake begins.
#[derive(Clone)]
pub(super) struct Terminator {
    acceptor: TlsAcceptor,
    served: Served,
}

impl Terminator {
    /// Presents what `served` holds.
    pub(super) fn new(served: Served) -> Self {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(served.clone());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        // HTTP/1.0 too: who offers only that (curl --http1.0) is otherwise refused before it can ask.
        config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).into();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), served }
    }

    /// The handshake. The ports are open a moment before there is a certificate: who is that early waits for it.
    ///
    /// # Errors
    /// The handshake failed.
    pub(super) async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.served.begun().await;
        self.acceptor.accept(socket).await
    }
}
