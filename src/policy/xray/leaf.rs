//! The first certificate of a chain, as far as it matters who is given it, and until when.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::shared::tls::sha256;

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Of its DER.
    pub sha256: [u8; 32],
    /// Until when it is good.
    pub not_after: OffsetDateTime,
    /// Its common name and its DNS names, as Xray compares them with what a client asks for.
    names: Vec<String>,
}

impl Leaf {
    /// Reads the first certificate of a PEM text; `None` if there is none that can be read.
    #[must_use]
    pub fn read(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let alternative = alternative.iter().flat_map(|it| &it.value.general_names);
        let dns = alternative.filter_map(|name| {
            let GeneralName::DNSName(name) = name else { return None };
            Some(*name)
        });
        Some(Self {
            sha256: sha256(&der),
            not_after: certificate.validity().not_after.to_datetime(),
            names: common.chain(dns).map(ToOwned::to_owned).collect(),
        })
    }

    /// Whether Xray presents it to a client that asks for this name: it bears the name, or a star and what comes behind
    /// the first dot.
    #[must_use]
    pub fn answers(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let wild = name.split_once('.').map(|(_, domain)| format!("*.{domain}"));
        self.names.iter().any(|own| *own == name || wild.as_ref() == Some(own))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_name_is_answered_as_xray_does_it() {
        let mut params = CertificateParams::new(vec!["a.example".into(), "*.b.example".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "common.example");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let leaf = Leaf::read(certificate.pem().as_bytes()).unwrap();
        assert_eq!(leaf.sha256, sha256(certificate.der()));
        for name in ["a.example", "A.Example", "x.b.example", "common.example"] {
            assert!(leaf.answers(name), "{name}");
        }
        for name in ["", "b.example", "x.a.example", "x.y.b.example"] {
            assert!(!leaf.answers(name), "{name}");
        }
        assert_eq!(Leaf::read(b"new chain"), None);
    }
}
