//! Values in files of JSON. One that cannot be read is put aside, so that it is in nobody's way and can be looked at.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::disk::{self, Access, At};
use super::{Store, StoreError};
use crate::control::chain::Chain;

/// What is in a file.
pub(super) enum Read<T> {
    Missing,
    Value(T),
    Damaged,
}

impl Store {
    pub(super) fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, StoreError> {
        match read(path)? {
            Read::Value(value) => Ok(Some(value)),
            Read::Missing => Ok(None),
            Read::Damaged => {
                warn!(path = %path.display(), "this file is damaged; it is put aside as .bad");
                if let Err(error) = put_aside(path) {
                    warn!(error = %Chain(&error), "it stays where it is"); // a disk that is read-only holds good copies
                }
                Ok(None)
            }
        }
    }

    pub(super) fn save_json(&self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        disk::replace(&path, &json(&path, value)?, Access::PRIVATE)
    }
}

/// Reads a file as it is.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Read<T>, StoreError> {
    let text = match disk::read(path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(Read::Missing),
        Err(error) if is_damage(&error) => {
            warn!(error = %Chain(&error), "a file of the store cannot be read");
            return Ok(Read::Damaged);
        }
        Err(error) => return Err(error),
    };
    Ok(serde_json::from_str(&text).map_or_else(
        |error| {
            warn!(path = %path.display(), %error, "a file of the store is not what it should be");
            Read::Damaged
        },
        Read::Value,
    ))
}

/// Whether a file will read no better the next time: bytes that are no text, a directory in its place, or a file of
/// another user.
fn is_damage(error: &StoreError) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, PermissionDenied};
    let StoreError::Io { source, .. } = error else { return false };
    [InvalidData, IsADirectory, PermissionDenied].contains(&source.kind())
}

pub(super) fn json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec_pretty(value).map_err(|source| StoreError::Json { path: path.to_owned(), source })
}

pub(super) fn put_aside(path: &Path) -> Result<(), StoreError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".bad");
    match fs::rename(path, &aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("put aside", path),
        Ok(()) | Err(_) => Ok(()),
    }
}
