//! What is written down about Xray, and the same pair as other bytes.

use std::fs;

use serde::{Deserialize, Serialize};

use super::{Described, Origin, Role, Store, StoreError};
use crate::control::pair::Pair;
use crate::policy::xray::change::Change;

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

    /// Leaves that are in the store, SHA-256 in hex.
    pub(crate) fn issued_leaves(&self) -> Result<Vec<String>, StoreError> {
        let ids = self.version_ids()?.into_iter();
        let pairs = ids.filter_map(|id| self.read_pair(&self.version(id)).ok()?);
        Ok(pairs.map(|(pair, _)| pair.facts.fingerprint_sha256).collect())
    }

    /// Puts the live pair in its place again, as `pair` writes it. The version before stays for whoever reads it now;
    /// those before that, if they are the same pair, go.
    pub(crate) fn rewrite(&self, pair: &Pair) -> Result<(), StoreError> {
        let before = self.read_pair(&self.live()).ok().flatten();
        let unknown = Origin { terms: String::new(), role: Role::Issued };
        let origin = before.and_then(|(_, origin)| origin).unwrap_or(unknown);
        self.install(pair, &origin)?;
        let same = |(there, _): &Described| there.facts.fingerprint_sha256 == pair.facts.fingerprint_sha256;
        let alike = |id: &u64| matches!(self.read_pair(&self.version(*id)), Ok(Some(there)) if same(&there));
        let alike: Vec<u64> = self.version_ids()?.into_iter().filter(alike).collect();
        for id in alike.iter().rev().skip(2) {
            let _ = fs::remove_dir_all(self.version(*id)); // one too many costs a few kilobytes
        }
        Ok(())
    }
}
