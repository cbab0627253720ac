//! `export_cert` and `export_key`: a pair that somebody else reads, kept current with the same care.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::disk::{self, Access, Unfinished};
use crate::config;
use crate::control::pair::Pair;

/// For files that were not there before.
const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;

/// Writes the pair to its second place, unless it is there already. Both files are complete before either is renamed;
/// the key goes first, because who watches the pair watches the certificate.
pub(crate) fn export(export: &config::Export, pair: &Pair) -> Result<(), StoreError> {
    let key = target(&export.key);
    let certificate = target(&export.certificate);
    if is(&key, &pair.key_pem) && is(&certificate, &pair.chain_pem) {
        return Ok(());
    }
    let key = Unfinished::write(&key, pair.key_pem.as_bytes(), access(&key, KEY_MODE))?;
    let chain = pair.chain_pem.as_bytes();
    let certificate = Unfinished::write(&certificate, chain, access(&certificate, CERTIFICATE_MODE))?;
    key.finish()?;
    certificate.finish()
}

/// Where a symlink leads, so that the link itself stays.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| match fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("/")).join(target),
        Err(_) => path.to_owned(),
    })
}

/// Owner, group and mode of what is there.
fn access(path: &Path, mode_of_a_new_one: u32) -> Access {
    fs::metadata(path).map_or(Access { mode: mode_of_a_new_one, uid: None, gid: None }, |there| Access {
        mode: there.mode() & 0o7777,
        uid: Some(there.uid()),
        gid: Some(there.gid()),
    })
}

/// White space at the end does not count: it is what changes while Xray's listeners look.
fn is(path: &Path, text: &str) -> bool {
    matches!(disk::read(path), Ok(Some(there)) if there.trim_end() == text.trim_end())
}
