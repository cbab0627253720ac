//! Values that are kept twice: what would cost a certificate if one file is damaged.
//!
//! The first is written first and removed last. So where the second is missing, the first never was complete, or is on
//! its way out; and where only the second is left, the first was lost.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tracing::warn;

use super::disk::{self, At};
use super::json::{self, Read};
use super::{Store, StoreError};

/// What is left of a value.
pub(super) enum Kept<T> {
    Nothing,
    Value(T),
    /// There was one, and neither file can be read. The second stays where it is until the value is saved or removed, so
    /// that this is not forgotten before it is dealt with.
    Torn {
        /// When it was saved.
        at: OffsetDateTime,
    },
}

impl Store {
    /// # Errors
    /// The disk gives neither file. That of the first alone is no reason to forget what is in the second.
    pub(super) fn read_twice<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Kept<T>, StoreError> {
        let first = self.read_json(&self.first(name));
        if let Ok(Some(value)) = first {
            return Ok(Kept::Value(value));
        }
        let second = self.second(name);
        Ok(match json::read(&second)? {
            Read::Missing => first.map(|_| Kept::Nothing)?,
            Read::Damaged => first.and_then(|_| Ok(Kept::Torn { at: written_at(&second)? }))?,
            Read::Value(value) => {
                warn!(path = %second.display(), "what was lost with a file is taken from its copy");
                if let Err(error) = self.save_json(&format!("{name}.json"), &value) {
                    warn!(%error, "the file could not be made again");
                }
                Kept::Value(value)
            }
        })
    }

    pub(super) fn save_twice(&self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        self.save_json(&format!("{name}.json"), value)?;
        self.save_json(&format!("{name}.copy.json"), value)
    }

    pub(super) fn remove_twice(&self, name: &str) -> Result<(), StoreError> {
        disk::remove_if_there(&self.second(name))?;
        disk::remove_if_there(&self.first(name))
    }

    fn first(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    fn second(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.copy.json"))
    }
}

fn written_at(path: &Path) -> Result<OffsetDateTime, StoreError> {
    Ok(fs::metadata(path).and_then(|there| there.modified()).at("look at", path)?.into())
}
