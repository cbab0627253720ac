//! The certificate that is served: the control plane swaps it, every handshake that begins afterwards presents it.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::cell::{self, Reader, Writer};

/// A cell for the served pair, empty at first.
#[must_use]
pub fn served() -> (Writer<Option<Arc<CertifiedKey>>>, Served) {
    let (writer, reader) = cell::cell(None);
    (writer, Served(reader))
}

/// Presents the pair of the moment to every client, whatever name it asks for: who dials an IP sends none.
#[derive(Clone, Debug)]
pub struct Served(Reader<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().clone()
    }
}

/// The fingerprint of a certificate: the SHA-256 of its DER bytes.
#[must_use]
pub fn sha256(der: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
