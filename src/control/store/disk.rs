//! Files that are whole or not there, whenever the power goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Everything we read ourselves is far smaller; more is not ours.
const LARGEST_FILE: u64 = 1 << 20;

/// What a new file's name begins with until it is complete.
pub(super) const UNFINISHED: &str = ".doorman-new-";

/// Who may read a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Access {
    /// Only we.
    pub(super) const PRIVATE: Self = Self { mode: 0o600, uid: None, gid: None };
}

/// Gives an i/o error its path and what was tried.
pub(super) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { action, path: path.to_owned(), source })
    }
}

/// A complete, synced file that only has to be renamed. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Unfinished {
    from: PathBuf,
    to: PathBuf,
    renamed: bool,
}

impl Unfinished {
    /// Writes `bytes` beside `to`.
    pub(super) fn write(to: &Path, bytes: &[u8], access: Access) -> Result<Self, StoreError> {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let from = to.with_file_name(format!("{UNFINISHED}{name}"));
        remove_if_there(&from)?;
        let unfinished = Self { from: from.clone(), to: to.to_owned(), renamed: false };
        write_new(&from, bytes, access)?;
        Ok(unfinished)
    }

    /// Puts it in its place, and makes sure that it stays there.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        fs::rename(&self.from, &self.to).at("replace", &self.to)?;
        self.renamed = true;
        sync_dir(self.to.parent().unwrap_or(Path::new("/")))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.from); // it is swept at the next start otherwise
        }
    }
}

/// Replaces a file by one rename.
pub(super) fn replace(to: &Path, bytes: &[u8], access: Access) -> Result<(), StoreError> {
    Unfinished::write(to, bytes, access)?.finish()
}

/// Writes a file that is not there yet, and syncs it.
pub(super) fn write_new(path: &Path, bytes: &[u8], access: Access) -> Result<(), StoreError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at("create", path)?;
    file.write_all(bytes).at("write", path)?;
    if access.uid.is_some() || access.gid.is_some() {
        chown(path, access.uid, access.gid).at("give the owner to", path)?;
    }
    file.set_permissions(fs::Permissions::from_mode(access.mode)).at("set the mode of", path)?;
    file.sync_all().at("sync", path)
}

/// Owner, group and mode of the file before, so that whoever could read that can read the next from its first instant;
/// a group of ours goes before its group. What may not be given away stays ours.
pub(super) fn like(before: &Path, wanted: Access) -> Access {
    let Ok(there) = fs::metadata(before) else { return wanted };
    let root = rustix::process::geteuid().is_root();
    let may_give = |group| {
        root || rustix::process::getgroups().is_ok_and(|ours| ours.iter().any(|it| it.as_raw() == group))
    };
    let gid = wanted.gid.or_else(|| Some(there.gid()).filter(|group| may_give(*group)));
    Access { mode: there.mode() & 0o777 | wanted.mode, uid: root.then(|| there.uid()), gid }
}

/// Gives a new directory owner, group and mode of the one before.
pub(super) fn open_like(path: &Path, before: &Path, gid: Option<u32>) -> Result<(), StoreError> {
    let mode = fs::metadata(path).at("look at", path)?.mode() & 0o777;
    let access = like(before, Access { mode, uid: None, gid });
    chown(path, access.uid, access.gid).at("give the owner to", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode)).at("set the mode of", path)
}

/// Reads a file of ours; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("open", path),
    };
    let mut text = String::new();
    file.take(LARGEST_FILE).read_to_string(&mut text).at("read", path)?;
    Ok(Some(text))
}

/// Makes a directory when it is missing. One that is there keeps its mode, which is the administrator's; only the group
/// is let in.
pub(super) fn directory(path: &Path, gid: Option<u32>) -> Result<(), StoreError> {
    let there = fs::metadata(path).ok().map(|there| there.permissions().mode() & 0o7777);
    fs::create_dir_all(path).at("make", path)?;
    if gid.is_some() {
        chown(path, None, gid).at("give the group to", path)?;
    }
    let wanted = there.unwrap_or(0o700) | if gid.is_some() { 0o050 } else { 0 };
    if there == Some(wanted) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(wanted)).at("set the mode of", path)
}

/// Makes what was created or renamed in a directory survive a power cut.
pub(super) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).at("sync", path)
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        Ok(()) | Err(_) => Ok(()),
    }
}
