//! The renewals of the past.

use super::{Store, StoreError};
use crate::control::history::History;

impl Store {
    /// What was kept of earlier runs.
    pub(crate) fn history(&self) -> Result<History, StoreError> {
        Ok(self.read_json(&self.dir.join("history.json"))?.unwrap_or_default())
    }

    /// Keeps it.
    pub(crate) fn save_history(&self, history: &History) -> Result<(), StoreError> {
        self.save_json("history.json", history)
    }
}
