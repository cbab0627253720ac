//! A CA of this machine: for the demo, for HTTPS before the first certificate, and for clients that pin it.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use thiserror::Error;
use time::OffsetDateTime;

use super::pair::{Pair, PairError, hex};
use super::store::{Store, StoreError};
use crate::shared::tls::sha256;

/// The CA outlives the machine; nobody renews what clients have pinned.
const CA_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);

/// Its beginning lies back this far, for clients whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// A leaf's, likewise, as a part of its life: a life of two minutes must not be half over at its beginning.
const LEAF_BACKDATED: u32 = 60;

/// The local CA, ready to issue.
pub(crate) struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    sha256: String,
}

/// Why the local CA could not be made or used.
#[derive(Debug, Error)]
pub(crate) enum LocalCaError {
    /// Making a key or a certificate failed.
    #[error("the local CA could not sign")]
    Sign(#[from] rcgen::Error),
    /// What it made cannot be read back.
    #[error("what the local CA signed cannot be used")]
    Pair(#[from] PairError),
    /// There is none, and none could be made.
    #[error("there is no local CA")]
    Missing,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LocalCa {
    /// The CA of this store, made when there is none.
    pub(crate) fn of(store: &Store, now: OffsetDateTime) -> Result<Self, LocalCaError> {
        if let Some((certificate_pem, key_pem)) = store.local_ca()? {
            match Self::load(certificate_pem, &key_pem) {
                Ok(ca) => return Ok(ca),
                Err(error) => {
                    tracing::warn!(%error, "the local CA in the store cannot be used; put aside, a new one is made");
                    store.put_local_ca_aside()?;
                }
            }
        }
        let (ca, key_pem) = Self::make(now)?;
        store.save_local_ca(&ca.certificate_pem, &key_pem)?;
        Ok(ca)
    }

    /// A CA that nobody keeps, for when the store cannot be written.
    pub(crate) fn ephemeral(now: OffsetDateTime) -> Result<Self, LocalCaError> {
        Ok(Self::make(now)?.0)
    }

    /// SHA-256 of its certificate, hex: what clients pin.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// A pair for `identifiers` that is good for `life` from now; the chain is the leaf and this CA.
    pub(crate) fn issue(
        &self,
        identifiers: &[IpAddr],
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<Pair, LocalCaError> {
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name = DistinguishedName::new();
        leaf.subject_alt_names = identifiers.iter().map(|ip| SanType::IpAddress(*ip)).collect();
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.not_before = now - life / LEAF_BACKDATED;
        leaf.not_after = now + life;
        let leaf = leaf.signed_by(&key, &self.issuer)?;
        let chain = format!("{}{}", leaf.pem(), self.certificate_pem);
        let mut pair = Pair::parse(&chain, &key.serialize_pem())?;
        pair.facts.self_signed = true;
        Ok(pair)
    }

    /// Whether this CA signed the leaf.
    pub(crate) fn signed(&self, pair: &Pair) -> bool {
        pair.certified.cert.get(1).is_some_and(|ca| hex(&sha256(ca)) == self.sha256)
    }

    fn make(now: OffsetDateTime) -> Result<(Self, String), LocalCaError> {
        let key = KeyPair::generate()?;
        let mut params = params(&key);
        params.not_before = now - BACKDATED;
        params.not_after = now + CA_LIFE;
        let certificate = params.self_signed(&key)?;
        let key_pem = key.serialize_pem();
        let ca = Self {
            certificate_pem: certificate.pem(),
            sha256: hex(&sha256(certificate.der())),
            issuer: Issuer::new(params, key),
        };
        Ok((ca, key_pem))
    }

    /// Name and key identifier follow from the key, so the issuer can be made again without reading its certificate.
    fn load(certificate_pem: String, key_pem: &str) -> Result<Self, LocalCaError> {
        let read = Pair::parse(&certificate_pem, key_pem)?;
        let key = KeyPair::from_pem(key_pem)?;
        Ok(Self {
            sha256: read.facts.fingerprint_sha256,
            certificate_pem,
            issuer: Issuer::new(params(&key), key),
        })
    }
}

fn params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let of_the_key = hex(&sha256(key.public_key_raw()));
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("doorman local CA {}", &of_the_key[..8]));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::control::pair::PairError;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn ips() -> Vec<IpAddr> {
        vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]
    }

    #[test]
    fn a_leaf_passes_the_checks_of_a_certificate_from_a_ca() {
        let ca = LocalCa::ephemeral(NOW).unwrap();
        let pair = ca.issue(&ips(), Duration::from_secs(120), NOW).unwrap();
        pair.check(&ips(), NOW).unwrap();
        assert!(ca.signed(&pair));
        assert_eq!(pair.facts.not_after, NOW + Duration::from_secs(120));
        assert!(!LocalCa::ephemeral(NOW).unwrap().signed(&pair));
    }

    #[test]
    fn a_pair_for_others_of_another_time_or_with_another_chain_is_refused() {
        let ca = LocalCa::ephemeral(NOW).unwrap();
        let life = Duration::from_secs(3600);
        let pair = ca.issue(&ips(), life, NOW).unwrap();
        let other = ["192.0.2.1".parse().unwrap()];
        assert!(matches!(pair.check(&other, NOW), Err(PairError::Names)));
        assert!(matches!(pair.check(&ips(), NOW + life), Err(PairError::Past(_))));
        assert!(matches!(pair.check(&ips(), NOW - life * 2), Err(PairError::Future(_))));

        let stranger = LocalCa::ephemeral(NOW).unwrap().issue(&ips(), life, NOW).unwrap();
        let first = pair.chain_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
        let second = stranger.chain_pem.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap();
        let mixed = Pair::parse(&format!("{first}{second}"), &pair.key_pem).unwrap();
        assert!(matches!(mixed.check(&ips(), NOW), Err(PairError::Chain(0))));
        let keys_swapped = Pair::parse(&pair.chain_pem, &stranger.key_pem);
        assert!(matches!(keys_swapped, Err(PairError::Key(_))));
    }

    #[test]
    fn the_ca_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        store.prepare().unwrap();
        let first = LocalCa::of(&store, NOW).unwrap();
        let again = LocalCa::of(&store, NOW).unwrap();
        assert_eq!(first.sha256(), again.sha256());
        let pair = again.issue(&ips(), Duration::from_secs(60), NOW).unwrap();
        pair.check(&ips(), NOW).unwrap();
        assert!(first.signed(&pair));
    }
}
