//! TLS towards clients: one configuration for all of them, whose certificate comes from a cell at each handshake.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::wire::Wire;
use crate::shared::challenges::{ACME_TLS, Lookup};
use crate::shared::tls::Served;

/// Terminates TLS with whatever is served when a handshake begins.
#[derive(Clone)]
pub(super) struct Terminator {
    acceptor: TlsAcceptor,
    served: Served,
}

/// What a handshake is followed by.
pub(super) enum Handshake {
    /// Requests.
    Client(Box<TlsStream<Wire>>),
    /// Nothing: it was a CA that validated, and has seen what it wanted.
    Validation,
}

impl Terminator {
    /// Presents what `served` holds, and what `challenges` has to who validates.
    pub(super) fn new(served: Served, challenges: Lookup) -> Self {
        let resolver = Arc::new(Presents { served: served.clone(), challenges });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        // HTTP/1.0 too: who offers only that (curl --http1.0) is otherwise refused before it can ask.
        let protocols = [&b"h2"[..], b"http/1.1", b"http/1.0", ACME_TLS];
        config.alpn_protocols = protocols.map(<[u8]>::to_vec).into();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), served }
    }

    /// The handshake. The ports are open a moment before there is a certificate: who is that early waits for it.
    ///
    /// # Errors
    /// The handshake failed.
    pub(super) async fn accept(&self, socket: Wire) -> io::Result<Handshake> {
        self.served.begun().await;
        let mut stream = self.acceptor.accept(socket).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ACME_TLS) {
            return Ok(Handshake::Client(Box::new(stream)));
        }
        debug!("validated over TLS");
        stream.shutdown().await?; // RFC 8737 section 3: no data follows
        Ok(Handshake::Validation)
    }
}

/// The certificate of a challenge to who offers the protocol of validations and no other; the served one to the rest.
#[derive(Debug)]
struct Presents {
    served: Served,
    challenges: Lookup,
}

impl ResolvesServerCert for Presents {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let validates = hello
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(ACME_TLS) && offered.next().is_none());
        if validates {
            return self.challenges.certificate(hello.server_name()?);
        }
        self.served.resolve(hello)
    }
}
