//! Where requests go: the panel first, then each `[[forward]]`, in this order.

use super::connect::Connector;
use crate::config::{AllowPaths, Config, Scheme, Upstream};
use crate::shared::trust::TrustError;

/// Index of the panel.
pub(super) const PANEL: usize = 0;

/// Index of the upstream of a `[[forward]]`.
pub(super) fn of_forward(index: usize) -> usize {
    PANEL + 1 + index
}

/// All of them, with what connects to them.
pub(super) fn all(config: &Config) -> Result<Vec<(Upstream, Connector)>, TrustError> {
    let forwards = config.forwards.iter().map(|forward| &forward.upstream);
    std::iter::once(&config.panel)
        .chain(forwards)
        .map(|upstream| Ok((upstream.clone(), Connector::new(&upstream.scheme)?)))
        .collect()
}

/// The other ACME client, spoken to with the panel's time limits.
pub(super) fn acme(config: &Config) -> Result<Option<(Upstream, Connector)>, TrustError> {
    let Some(address) = config.http.acme_upstream.clone() else {
        return Ok(None);
    };
    let upstream = Upstream {
        scheme: Scheme::Http,
        address,
        base_path: "/".to_owned(),
        allow_paths: AllowPaths::Everything,
        ..config.panel.clone()
    };
    let connector = Connector::new(&upstream.scheme)?;
    Ok(Some((upstream, connector)))
}
