//! The control plane: one supervised thread that keeps the certificate fresh and answers `status`.

use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::shared::cell::{Reader, Writer};
use crate::shared::challenges;
use crate::shared::listeners::Listener;
use crate::shared::stats::Stats;

/// What the control plane is given; it outlives every restart of the plane.
#[derive(Debug)]
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Who issues certificates.
    pub issuer: Issuer,
    /// Where challenge answers are published.
    pub challenges: challenges::Publisher,
    /// Where the pair goes that HTTPS listeners present.
    pub served: Writer<Option<Arc<CertifiedKey>>>,
    /// Which ports are ours.
    pub listeners: Reader<Vec<Listener>>,
    /// What the workers counted.
    pub stats: Stats,
    /// When the process started.
    pub started_at: OffsetDateTime,
    /// Cancelled when the daemon ends.
    pub shutdown: CancellationToken,
}

/// Who issues certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The directory of `ip_cert.directory`.
    Acme,
    /// The built-in local CA, for `doorman demo`.
    LocalCa {
        /// How long each certificate lives.
        life: Duration,
    },
}
