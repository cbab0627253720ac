//! The certificate that is served: the control plane swaps it, every handshake that begins afterwards presents it.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::cell::{self, Reader, Writer};

type Pair = Option<Arc<CertifiedKey>>;

/// A cell for the served pair, empty at first.
#[must_use]
pub fn served() -> (Publisher, Served) {
    let (writer, reader) = cell::cell(None);
    let begun = CancellationToken::new();
    (Publisher { writer, begun: begun.clone() }, Served { reader, begun })
}

/// The control plane's side.
#[derive(Debug)]
pub struct Publisher {
    writer: Writer<Pair>,
    begun: CancellationToken,
}

impl Publisher {
    /// Presents `pair` in every handshake from now on.
    pub fn publish(&self, pair: Arc<CertifiedKey>) {
        self.writer.publish(Some(pair));
        self.begun.cancel();
    }

    /// What is presented now.
    #[must_use]
    pub fn current(&self) -> Pair {
        self.writer.load().as_ref().clone()
    }
}

/// Presents the pair of the moment to every client, whatever name it asks for: who dials an IP sends none.
#[derive(Clone, Debug)]
pub struct Served {
    reader: Reader<Pair>,
    /// Cancelled when there is a pair, which then never goes away again.
    begun: CancellationToken,
}

impl Served {
    /// Waits until there is something to present: a matter of milliseconds at the start.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.reader.load().as_ref().clone()
    }
}

/// The fingerprint of a certificate: the SHA-256 of its DER bytes.
#[must_use]
pub fn sha256(der: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
