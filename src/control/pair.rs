//! A certificate chain with its key: read, described, and checked before anybody gets to see it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::when;
use crate::policy::schedule::{CLOCK_TOLERANCE, Life};
use crate::shared::tls::sha256;

/// A chain and its key, which belong together.
pub(crate) struct Pair {
    /// Leaf first, PEM.
    pub(crate) chain_pem: String,
    /// PKCS#8, PEM.
    pub(crate) key_pem: String,
    /// What it says.
    pub(crate) facts: Facts,
    /// As TLS presents it.
    pub(crate) certified: Arc<CertifiedKey>,
}

/// What a leaf says, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    /// The SANs that are IP addresses.
    pub(crate) identifiers: BTreeSet<IpAddr>,
    /// The issuer's name.
    pub(crate) issuer: String,
    /// Hex.
    pub(crate) serial: String,
    /// SHA-256 of the leaf, hex.
    pub(crate) fingerprint_sha256: String,
    /// `notBefore`.
    #[serde(serialize_with = "when::serialize")]
    pub(crate) not_before: OffsetDateTime,
    /// `notAfter`.
    #[serde(serialize_with = "when::serialize")]
    pub(crate) not_after: OffsetDateTime,
    /// Issued on this machine, by the local CA.
    pub(crate) self_signed: bool,
    /// Its name in renewal information (RFC 9773 section 4.1): authority key identifier and serial.
    #[serde(skip)]
    pub(crate) certificate_id: Option<String>,
    /// SANs that are no IP addresses; we never ask for any.
    #[serde(skip)]
    other_names: usize,
}

/// Why a pair cannot be used.
#[derive(Debug, Error)]
pub(crate) enum PairError {
    /// The PEM text is broken, or has none of what was looked for.
    #[error("the PEM text cannot be read")]
    Pem(#[source] pem::Error),
    /// No certificate in it.
    #[error("there is no certificate in it")]
    Empty,
    /// A certificate that is none.
    #[error("a certificate cannot be read")]
    Certificate(#[source] x509_parser::nom::Err<x509_parser::error::X509Error>),
    /// The key is of another certificate, or of a kind that TLS cannot use.
    #[error("the key does not fit the certificate")]
    Key(#[source] rustls::Error),
    /// Other names than those asked for.
    #[error("it is for other addresses than those asked for")]
    Names,
    /// A certificate of the chain was not signed by the next.
    #[error("certificate {0} of the chain was not signed by the next one")]
    Chain(usize),
    /// It begins in the future.
    #[error("it begins at {0}, which is in the future: is this machine's clock behind?")]
    Future(OffsetDateTime),
    /// It is over.
    #[error("it ended at {0}: is this machine's clock ahead?")]
    Past(OffsetDateTime),
}

impl Pair {
    /// Reads a pair and makes sure that chain and key belong together.
    pub(crate) fn parse(chain_pem: &str, key_pem: &str) -> Result<Self, PairError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(PairError::Pem)?;
        let leaf = chain.first().ok_or(PairError::Empty)?;
        let facts = Facts::read(leaf)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(PairError::Pem)?;
        let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(PairError::Key)?;
        Ok(Self {
            chain_pem: chain_pem.to_owned(),
            key_pem: key_pem.to_owned(),
            facts,
            certified: Arc::new(certified),
        })
    }

    /// Whether this is what was asked for, and good now. A chain without an intermediate passes, unless it claims to
    /// have signed itself and did not.
    pub(crate) fn check(&self, identifiers: &[IpAddr], now: OffsetDateTime) -> Result<(), PairError> {
        let wanted: BTreeSet<IpAddr> = identifiers.iter().copied().collect();
        if self.facts.identifiers != wanted || self.facts.other_names > 0 {
            return Err(PairError::Names);
        }
        if self.facts.not_before > now + CLOCK_TOLERANCE {
            return Err(PairError::Future(self.facts.not_before));
        }
        if self.facts.not_after <= now {
            return Err(PairError::Past(self.facts.not_after));
        }
        let chain = self.certified.cert.iter().map(|der| read(der)).collect::<Result<Vec<_>, _>>()?;
        for (index, certificate) in chain.iter().enumerate() {
            let signer = match chain.get(index + 1) {
                Some(next) => next,
                None if certificate.subject() == certificate.issuer() => certificate,
                None => break,
            };
            certificate.verify_signature(Some(signer.public_key())).map_err(|_| PairError::Chain(index))?;
        }
        Ok(())
    }
}

impl Facts {
    /// From when to when it is good.
    pub(crate) fn life(&self) -> Life {
        Life { not_before: self.not_before, not_after: self.not_after }
    }

    /// What a leaf says.
    pub(crate) fn read(leaf: &CertificateDer<'_>) -> Result<Self, PairError> {
        let certificate = read(leaf)?;
        let names = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|extension| extension.value.general_names.as_slice())
            .unwrap_or_default();
        let identifiers: BTreeSet<IpAddr> = names.iter().filter_map(ip).collect();
        let validity = certificate.validity();
        Ok(Self {
            other_names: names.iter().filter(|name| ip(name).is_none()).count(),
            identifiers,
            issuer: certificate.issuer().to_string(),
            serial: hex(certificate.tbs_certificate.raw_serial()),
            fingerprint_sha256: hex(&sha256(leaf)),
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
            self_signed: false,
            certificate_id: certificate_id(&certificate),
        })
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Lower case, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn certificate_id(certificate: &X509Certificate<'_>) -> Option<String> {
    let authority = certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(authority) = extension.parsed_extension() else {
            return None;
        };
        authority.key_identifier.as_ref()
    })?;
    let encoded = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("{}.{}", encoded(authority.0), encoded(certificate.tbs_certificate.raw_serial())))
}

fn read<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, PairError> {
    X509Certificate::from_der(der).map(|(_, certificate)| certificate).map_err(PairError::Certificate)
}

fn ip(name: &GeneralName<'_>) -> Option<IpAddr> {
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    <[u8; 4]>::try_from(*bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
        .ok()
}
