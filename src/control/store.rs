//! What survives a restart: certificates with their keys, the account, the local CA, the lifecycle's memory.
//!
//! ```text
//! live -> versions/000042        replaced by one rename
//! versions/000042/               fullchain.pem, privkey.pem, origin.json
//! pending.json state.json        each with a copy: pending.copy.json, state.copy.json
//! account.json answers.json outbox.json history.json ca/
//! ```
//! A version is written under another name, synced, and renamed; so whoever looks sees a complete pair or the one
//! before, and a kill at any moment leaves at most a leftover that the next start sweeps.

mod answers;
mod disk;
mod export;
mod history;
mod json;
mod records;
#[cfg(test)]
mod tests;
mod twice;
mod xray;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tracing::{info, warn};

pub(crate) use self::answers::KeptAnswer;
use self::disk::{Access, At};
pub(crate) use self::export::export;
use self::json::{json, put_aside};
pub(crate) use self::records::{Described, InFlight, KeptAccount, Loaded, Origin, Pending, Role};
use self::twice::Kept;
pub(crate) use self::xray::{Changed, XrayJournal};
use super::chain::Chain;
use super::pair::Pair;
use crate::config;
use crate::policy::alert::outbox::Outbox;
use crate::policy::lifecycle::Memory;

/// Versions kept: more than a month of renewals at half of 160 h would leave, for a reader that resolved `live` long ago
/// and for an administrator who wants the one before; a few kilobytes each.
const VERSIONS_KEPT: usize = 8;

/// A disk that needs longer for a few kilobytes is as good as broken.
const DISK_LIMIT: Duration = Duration::from_secs(10);

const CHAIN: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";
const ORIGIN: &str = "origin.json";
const STATE: &str = "state";
const PENDING: &str = "pending";

/// A store directory. Cheap to clone; every call goes to the disk and may block.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    group: Option<String>,
    /// One at a time: an order's files, the state and a probe are written by different tasks.
    turn: Arc<Mutex<()>>,
}

/// Why the store could not do something.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The operating system said no.
    #[error("could not {action} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `store.group` names no group of this machine.
    #[error("there is no group {0}; correct store.group")]
    Group(String),
    /// A value of ours has no JSON form.
    #[error("could not write {path} as JSON", path = .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A fault of our own.
    #[error("the work on the store broke off")]
    Panicked(#[source] tokio::task::JoinError),
    /// The disk does not answer.
    #[error("the disk did not answer within {0} s")]
    Hangs(u64),
}

impl Store {
    /// The store that the configuration names.
    pub(crate) fn new(config: &config::Store) -> Self {
        Self { dir: config.dir.clone(), group: config.group.clone(), turn: Arc::default() }
    }

    /// A store without a group.
    #[cfg(test)]
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), group: None, turn: Arc::default() }
    }

    /// Does something with the store where it may block, and stops waiting for it when the disk hangs.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = store.turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&store)
        });
        match tokio::time::timeout(DISK_LIMIT, done).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(StoreError::Panicked(panicked)),
            Err(_) => Err(StoreError::Hangs(DISK_LIMIT.as_secs())),
        }
    }

    /// Makes the directories and sweeps what an interrupted write left behind.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        self.make_directories()?;
        sweep(&self.dir)?;
        sweep(&self.versions())
    }

    /// Whether it can be written, found out by writing.
    pub(crate) fn probe(&self) -> Result<(), StoreError> {
        self.make_directories()?;
        let path = self.dir.join(".probe");
        disk::replace(&path, b"doorman was here\n", Access::PRIVATE)?;
        disk::remove_if_there(&path)
    }

    /// The live pair; where that is missing or bad, the newest good version, which is live again then.
    pub(crate) fn load(&self) -> Result<Loaded, StoreError> {
        let live = match self.read_pair(&self.live()) {
            Ok(Some(pair)) => Some(pair),
            Ok(None) => self.restore(|_| true)?,
            Err(error) => {
                warn!(error = %Chain(&error), "the live pair cannot be used");
                self.restore(|_| true)?
            }
        };
        let stands_in = live.as_ref().is_some_and(|(_, origin)| !issued(origin.as_ref()));
        let expired = if stands_in { self.newest(issued)?.map(|(_, pair)| pair) } else { None };
        Ok(Loaded { live, expired })
    }

    /// Makes the newest version live again that the CA issued.
    pub(crate) fn reinstate(&self) -> Result<Option<Described>, StoreError> {
        self.restore(issued)
    }

    fn restore(&self, wanted: impl Fn(Option<&Origin>) -> bool) -> Result<Option<Described>, StoreError> {
        let Some((id, pair)) = self.newest(wanted)? else {
            return Ok(None);
        };
        warn!(version = id, "live is restored from the newest good version");
        self.point_live_at(id)?;
        Ok(Some(pair))
    }

    /// The newest good version among those that are wanted.
    fn newest(
        &self,
        wanted: impl Fn(Option<&Origin>) -> bool,
    ) -> Result<Option<(u64, Described)>, StoreError> {
        let newest_first = self.version_ids()?.into_iter().rev();
        let mut good = newest_first.filter_map(|id| Some((id, self.read_pair(&self.version(id)).ok()??)));
        Ok(good.find(|(_, (_, origin))| wanted(origin.as_ref())))
    }

    /// Makes a pair live. With one that the CA issued its order is over.
    pub(crate) fn install(&self, pair: &Pair, origin: &Origin) -> Result<(), StoreError> {
        self.make_directories()?;
        sweep(&self.versions())?; // of an install that failed half-way
        let gid = self.gid()?;
        let id = self.version_ids()?.last().map_or(1, |newest| newest + 1);
        let versions = self.versions();
        let unfinished = versions.join(format!("{}{id}", disk::UNFINISHED));
        let key_mode = if gid.is_some() { 0o640 } else { 0o600 };
        let like_before = |name, mode| disk::like(&self.live().join(name), Access { mode, uid: None, gid });
        let readable = |mode| Access { mode, uid: None, gid };
        disk::directory(&unfinished, gid)?;
        disk::open_like(&unfinished, &self.live(), gid)?;
        disk::write_new(&unfinished.join(KEY), pair.key_pem.as_bytes(), like_before(KEY, key_mode))?;
        disk::write_new(&unfinished.join(CHAIN), pair.chain_pem.as_bytes(), like_before(CHAIN, 0o644))?;
        let described = json(&unfinished.join(ORIGIN), origin)?;
        disk::write_new(&unfinished.join(ORIGIN), &described, readable(0o644))?;
        disk::sync_dir(&unfinished)?;
        let version = self.version(id);
        fs::rename(&unfinished, &version).at("replace", &version)?;
        disk::sync_dir(&versions)?;
        self.point_live_at(id)?;
        self.drop_old_versions(id);
        if origin.role == Role::Issued { self.forget_pending() } else { Ok(()) }
    }

    /// The lifecycle's memory; a file that cannot be read as such is put aside.
    pub(crate) fn memory(&self) -> Result<Memory, StoreError> {
        Ok(match self.read_twice(STATE)? {
            Kept::Value(memory) => memory,
            Kept::Nothing | Kept::Torn { .. } => Memory::default(),
        })
    }

    /// Writes the lifecycle's memory down.
    pub(crate) fn save_memory(&self, memory: &Memory) -> Result<(), StoreError> {
        self.save_twice(STATE, memory)
    }

    /// The alerts that have yet to be delivered; a file that cannot be read as such is put aside.
    pub(crate) fn outbox(&self) -> Result<Outbox, StoreError> {
        Ok(self.read_json(&self.dir.join("outbox.json"))?.unwrap_or_default())
    }

    /// Writes them down.
    pub(crate) fn save_outbox(&self, outbox: &Outbox) -> Result<(), StoreError> {
        self.save_json("outbox.json", outbox)
    }

    /// The account at this directory.
    pub(crate) fn account(&self, directory: &str) -> Result<Option<KeptAccount>, StoreError> {
        Ok(self.accounts()?.remove(directory))
    }

    /// Keeps the account at this directory; those at others stay.
    pub(crate) fn save_account(&self, directory: &str, account: KeptAccount) -> Result<(), StoreError> {
        let mut accounts = self.accounts()?;
        accounts.insert(directory.to_owned(), account);
        self.save_json("account.json", &accounts)
    }

    fn accounts(&self) -> Result<BTreeMap<String, KeptAccount>, StoreError> {
        Ok(self.read_json(&self.dir.join("account.json"))?.unwrap_or_default())
    }

    /// The order that was in flight; not one whose certificate is live already.
    pub(crate) fn pending(&self) -> Result<InFlight, StoreError> {
        let live = disk::read(&self.live().join(KEY)).ok().flatten(); // a damaged one is of no order
        Ok(match self.read_twice(PENDING)? {
            Kept::Value(Pending { key_pem, .. }) if live.as_ref() == Some(&key_pem) => InFlight::Nothing,
            Kept::Value(pending) => InFlight::Order(pending),
            Kept::Nothing => InFlight::Nothing,
            Kept::Torn { at } => InFlight::Torn { at },
        })
    }

    /// Keeps an order and its key, before the CA is asked for the certificate.
    pub(crate) fn save_pending(&self, pending: &Pending) -> Result<(), StoreError> {
        self.save_twice(PENDING, pending)
    }

    /// The order is over.
    pub(crate) fn forget_pending(&self) -> Result<(), StoreError> {
        self.remove_twice(PENDING)
    }

    /// The local CA's certificate and key, PEM.
    pub(crate) fn local_ca(&self) -> Result<Option<(String, String)>, StoreError> {
        let certificate = disk::read(&self.dir.join("ca/ca.pem"))?;
        let key = disk::read(&self.dir.join("ca/ca.key"))?;
        Ok(certificate.zip(key))
    }

    /// Keeps the local CA.
    pub(crate) fn save_local_ca(&self, certificate_pem: &str, key_pem: &str) -> Result<(), StoreError> {
        disk::replace(&self.dir.join("ca/ca.key"), key_pem.as_bytes(), Access::PRIVATE)?;
        let public = Access { mode: 0o644, ..Access::PRIVATE };
        disk::replace(&self.dir.join("ca/ca.pem"), certificate_pem.as_bytes(), public)
    }

    /// Moves a local CA out of the way that cannot be used.
    pub(crate) fn put_local_ca_aside(&self) -> Result<(), StoreError> {
        put_aside(&self.dir.join("ca/ca.pem"))?;
        put_aside(&self.dir.join("ca/ca.key"))
    }

    fn make_directories(&self) -> Result<(), StoreError> {
        let gid = self.gid()?;
        disk::directory(&self.dir, gid)?;
        disk::directory(&self.versions(), gid)?;
        disk::directory(&self.dir.join("ca"), None)
    }

    fn live(&self) -> PathBuf {
        self.dir.join("live")
    }

    fn versions(&self) -> PathBuf {
        self.dir.join("versions")
    }

    fn version(&self, id: u64) -> PathBuf {
        self.versions().join(format!("{id:06}"))
    }

    fn version_ids(&self) -> Result<Vec<u64>, StoreError> {
        let path = self.versions();
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at("list", &path)?,
        };
        let mut ids: Vec<u64> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    fn read_pair(&self, dir: &Path) -> Result<Option<Described>, LoadError> {
        let chain = disk::read(&dir.join(CHAIN))?;
        let key = disk::read(&dir.join(KEY))?;
        let Some((chain, key)) = chain.zip(key) else {
            return Ok(None);
        };
        let pair = Pair::parse(&chain, &key)?;
        Ok(Some((pair, self.read_json(&dir.join(ORIGIN))?)))
    }

    fn point_live_at(&self, id: u64) -> Result<(), StoreError> {
        let link = self.dir.join(format!("{}live", disk::UNFINISHED));
        disk::remove_if_there(&link)?;
        symlink(Path::new("versions").join(format!("{id:06}")), &link).at("make", &link)?;
        fs::rename(&link, self.live()).at("replace", &self.live())?;
        disk::sync_dir(&self.dir)
    }

    fn drop_old_versions(&self, live: u64) {
        let Ok(ids) = self.version_ids() else { return };
        let old = ids.len().saturating_sub(VERSIONS_KEPT);
        for id in ids.into_iter().take(old).filter(|id| *id != live) {
            if let Err(error) = fs::remove_dir_all(self.version(id)) {
                warn!(version = id, %error, "an old version could not be removed");
            }
        }
    }

    fn gid(&self) -> Result<Option<u32>, StoreError> {
        let Some(name) = &self.group else {
            return Ok(None);
        };
        let groups = Path::new("/etc/group");
        let text = fs::read_to_string(groups).at("read", groups)?;
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(group, _)| group == name)
            .and_then(|(_, rest)| rest.split(':').nth(1)?.parse().ok())
            .map(Some)
            .ok_or_else(|| StoreError::Group(name.clone()))
    }
}

/// Whether a pair is what the CA issued; one without an origin is believed to be.
fn issued(origin: Option<&Origin>) -> bool {
    origin.is_none_or(|origin| origin.role == Role::Issued)
}

/// Why a pair on disk cannot be used.
#[derive(Debug, Error)]
enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pair(#[from] super::pair::PairError),
}

fn sweep(dir: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir).at("list", dir)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(disk::UNFINISHED) {
            let path = entry.path();
            info!(path = %path.display(), "an interrupted write is swept");
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.at("remove", &path)?;
        }
    }
    Ok(())
}
