//! Which pair the HTTPS listeners present: the fixed one, the managed one, or one made up at the start.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::config::Fallback;
use crate::control::board::{Board, Trouble};
use crate::control::chain::Chain;
use crate::control::local_ca::{LocalCa, LocalCaError};
use crate::control::pair::{Pair, PairError};
use crate::control::store::Store;
use crate::control::zh_cn::InWords;
use crate::control::{Context, Issuer};
use crate::shared::clock;

/// Of the certificate before the first one; nobody relies on it, so it only has to outlive a long misfortune.
const START_UP_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What `[https]` names instead of the managed pair; looked at again whenever it changes on the disk.
pub(super) struct FixedPair {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<[Identity; 2]>,
}

/// What tells one version of a file from the next.
type Identity = Option<(u64, u64, i64, i64)>;

/// Why the fixed pair cannot be presented.
#[derive(Debug, Error)]
pub(super) enum FixedPairError {
    #[error("could not read {path}: {source}", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{certificate} and {key} are no pair: {source}", certificate = .certificate.display(), key = .key.display())]
    Pair { certificate: PathBuf, key: PathBuf, source: PairError },
}

impl FixedPair {
    pub(super) fn new((certificate, key): (PathBuf, PathBuf)) -> Self {
        Self { certificate, key, seen: None }
    }

    /// Whether the files are others than those read last, or could not be used then.
    pub(super) fn changed(&mut self) -> bool {
        self.seen != Some(self.identities())
    }

    fn identities(&self) -> [Identity; 2] {
        [&self.certificate, &self.key].map(|path| {
            let there = fs::metadata(path).ok()?;
            Some((there.ino(), there.size(), there.mtime(), there.mtime_nsec()))
        })
    }

    fn read(&mut self) -> Result<Arc<CertifiedKey>, FixedPairError> {
        self.seen = None;
        let identities = self.identities();
        let text = |path: &Path| {
            fs::read_to_string(path).map_err(|source| FixedPairError::Read { path: path.to_owned(), source })
        };
        let (chain, key) = (text(&self.certificate)?, text(&self.key)?);
        let pair = Pair::parse(&chain, &key).map_err(|source| FixedPairError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })?;
        self.seen = Some(identities);
        Ok(pair.certified)
    }
}

/// Publishes the pair of the moment. What is served already stays where there is nothing better.
pub(super) fn serve(
    context: &Context,
    board: &Board,
    fixed: Option<&mut FixedPair>,
    managed: Option<&Pair>,
    local_ca: Option<&LocalCa>,
) {
    if let Some(fixed) = fixed {
        match fixed.read() {
            Ok(pair) => {
                board.trouble(Trouble::FixedPair, None);
                context.served.publish(pair);
                return;
            }
            Err(error) => {
                board.trouble(Trouble::FixedPair, Some(error.in_words()));
                if context.served.current().is_some() {
                    return; // the fixed pair of before
                }
            }
        }
    }
    if let Some(pair) = managed {
        context.served.publish(Arc::clone(&pair.certified));
    } else if context.served.current().is_none()
        && let Some(ca) = local_ca
    {
        match ca.issue(&identifiers(context), START_UP_LIFE, clock::now()) {
            Ok(pair) => context.served.publish(pair.certified),
            Err(error) => tracing::error!(%error, "HTTPS has no certificate before the first one"),
        }
    }
}

/// The local CA of the store, where one is needed; one that is not kept where the store cannot be used.
pub(super) async fn local_ca(context: &Context, board: &Board, store: &Store) -> Option<LocalCa> {
    let terminates_tls =
        !context.config.https.listen.is_empty() || context.config.forwards.iter().any(|forward| forward.tls);
    let may_stand_in =
        context.config.ip_cert.as_ref().is_some_and(|cert| cert.fallback == Fallback::SelfSigned);
    if !terminates_tls && !may_stand_in && context.issuer == Issuer::Acme {
        return None;
    }
    let kept = store
        .off_thread(|store| Ok(LocalCa::of(store, clock::now())))
        .await
        .unwrap_or_else(|error| Err(LocalCaError::Store(error)));
    match kept {
        Ok(ca) => {
            board.write(|notes| notes.local_ca_sha256 = Some(ca.sha256().to_owned()));
            Some(ca)
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "the local CA cannot be kept; one for this run is used");
            LocalCa::ephemeral(clock::now())
                .inspect_err(|error| tracing::error!(%error, "no local CA could be made"))
                .ok()
        }
    }
}

/// What the certificate before the first one is for.
fn identifiers(context: &Context) -> Vec<IpAddr> {
    let wanted = context.config.ip_cert.as_ref().map(|cert| cert.ips.clone());
    wanted.unwrap_or_else(|| {
        let listening = context.config.https.listen.iter().map(std::net::SocketAddr::ip);
        let mut ips: Vec<IpAddr> = listening.filter(|ip| !ip.is_unspecified()).collect();
        ips.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        ips.sort_unstable();
        ips.dedup();
        ips
    })
}
