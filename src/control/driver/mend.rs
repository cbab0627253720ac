//! What is written down, and what is tried again until the disk takes it.

use tracing::warn;

use super::Driver;
use crate::control::board::{Board, Trouble};
use crate::control::history::History;
use crate::control::store::{Store, export};
use crate::control::zh_cn::InWords;
use crate::policy::lifecycle::{Lifecycle, Memory, Watch};

/// Puts the renewals of earlier runs on the board.
pub(super) async fn recall(store: &Store, board: &Board) {
    let history = store.off_thread(Store::history).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the renewals of earlier runs could not be read");
        History::default()
    });
    board.write(|notes| notes.history = history);
}

impl Driver {
    /// Where the last run ended.
    pub(super) async fn remembered(&self) -> Memory {
        self.store.off_thread(Store::memory).await.unwrap_or_else(|error| {
            warn!(%error, "the state of earlier runs could not be read");
            Memory::default()
        })
    }

    pub(super) async fn persist(&self) {
        let memory = self.board.read_with(|notes| {
            notes.lifecycle.as_ref().map(Lifecycle::memory).or(notes.watch.as_ref().map(Watch::memory))
        });
        let Some(memory) = memory else { return };
        let keeping = self.notifier.keeping();
        let history = self.board.write(|notes| notes.history.take_unsaved());
        let save = move |store: &Store| {
            // The alerts first: what is killed in between is told twice, rather than never.
            keeping.map_or(Ok(()), |keeping| keeping(store))?;
            store.save_memory(&memory)?;
            history.map_or(Ok(()), |history| store.save_history(&history))
        };
        let saved = self.store.off_thread(save).await;
        if saved.is_err() {
            self.board.write(|notes| notes.history.not_saved());
        }
        self.board.trouble(Trouble::Store, saved.err().map(|error| error.in_words()));
    }

    /// Lets go of an order whose certificate has been counted, if that is written down.
    pub(super) async fn forget_counted(&self) {
        if self.board.read_with(|notes| notes.troubles.contains_key(&Trouble::Store)) {
            return;
        }
        if let Err(error) = self.store.off_thread(Store::forget_pending).await {
            warn!(%error, "an order that is over could not be forgotten");
        }
    }

    /// Sees whether a store that was broken can be used again.
    pub(super) async fn mend_store(&self) {
        if self.board.read_with(|notes| notes.troubles.contains_key(&Trouble::Store)) {
            let probed = self.store.off_thread(Store::probe).await;
            self.board.trouble(Trouble::Store, probed.err().map(|error| error.in_words()));
        }
    }

    /// Puts the pair into its second place whenever it is not there.
    pub(super) async fn mend_export(&self) {
        let wanted = self.context.config.ip_cert.as_ref().and_then(|cert| cert.export.clone());
        let Some((to, pair)) = wanted.zip(self.managed.clone()) else {
            return;
        };
        let exported = self.store.off_thread(move |_| export(&to, &pair)).await;
        self.board.trouble(Trouble::Export, exported.err().map(|error| error.in_words()));
    }
}
