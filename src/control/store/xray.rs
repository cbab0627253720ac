//! What is written down about Xray.

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{CHAIN, Store, StoreError, disk};
use crate::control::pair::hex;
use crate::policy::alert::Kind;
use crate::policy::xray::change::Change;
use crate::policy::xray::leaf::Leaf;

const FILE: &str = "xray.json";

/// What must be known after a restart. It holds no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct XrayJournal {
    /// A change in progress.
    pub(crate) change: Option<Change>,
    /// Inbounds that were changed over the API.
    pub(crate) changed: Vec<Changed>,
    /// The leaf for which the signal was sent, SHA-256 in hex.
    pub(crate) signalled: Option<String>,
    /// The leaf for which the restart was made.
    pub(crate) restarted: Option<String>,
    /// Leaves that were ever in the files, the newest last.
    pub(crate) issued: Vec<String>,
    /// Somebody was told that Xray presents an old one.
    pub(crate) told: bool,
    /// Since when, while that is not over.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) told_at: Option<OffsetDateTime>,
    /// What is not in the outbox yet; told anew after a restart.
    pub(crate) untold: Option<Kind>,
}

/// An inbound that was changed over the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) tag: String,
    /// The new leaf.
    pub(crate) fingerprint: String,
    /// The process of Xray, if it could be told; what a change leaves behind ends with it.
    pub(crate) process: Option<String>,
}

impl Store {
    /// What was written down about Xray.
    pub(crate) fn xray_journal(&self) -> Result<XrayJournal, StoreError> {
        Ok(self.read_json(&self.dir.join(FILE))?.unwrap_or_default())
    }

    /// Writes it down.
    pub(crate) fn save_xray_journal(&self, journal: &XrayJournal) -> Result<(), StoreError> {
        self.save_json(FILE, journal)
    }

    /// For who may change nothing: the live leaf, and all that are known to be ours. What is damaged stays where it is.
    pub(crate) fn leaves_as_they_are(&self) -> (Option<String>, Vec<String>) {
        let journal = disk::read(&self.dir.join(FILE)).ok().flatten();
        let journal = journal.and_then(|text| serde_json::from_str::<XrayJournal>(&text).ok());
        let leaf = |dir: &Path| {
            let chain = disk::read(&dir.join(CHAIN)).ok()??;
            Leaf::read(chain.as_bytes()).map(|leaf| hex(&leaf.sha256))
        };
        let versions = self.version_ids().unwrap_or_default();
        let stored = versions.into_iter().filter_map(|id| leaf(&self.version(id)));
        let issued = journal.unwrap_or_default().issued.into_iter().chain(stored).collect();
        (leaf(&self.live()), issued)
    }

    /// Leaves that are in the store, SHA-256 in hex.
    pub(crate) fn issued_leaves(&self) -> Result<Vec<String>, StoreError> {
        let ids = self.version_ids()?.into_iter();
        let pairs = ids.filter_map(|id| self.read_pair(&self.version(id)).ok()?);
        Ok(pairs.map(|(pair, _)| pair.facts.fingerprint_sha256).collect())
    }
}
