//! From a certificate that is served to one that is seen: files, reload, look.

use std::rc::Rc;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::watch;

use super::work::Done;
use crate::control::Context;
use crate::control::acme::dialable;
use crate::control::board::{Board, Stage};
use crate::control::observe::{self, ObserveError};
use crate::control::pair::Pair;
use crate::control::store::{Origin, Role, Store, StoreError, export};
use crate::policy::failure::Class;
use crate::shared::listeners::{Kind, State};

/// A pair that handshakes present already, on its way to the disk.
pub(super) struct Install {
    pub(super) context: Rc<Context>,
    pub(super) board: Rc<Board>,
    pub(super) store: Store,
    pub(super) terms: String,
    pub(super) installed: watch::Sender<Option<Arc<Pair>>>,
    pub(super) pair: Arc<Pair>,
}

/// Why an issued certificate is not in use yet.
#[derive(Debug, Error)]
pub(super) enum InstallError {
    /// It is served, but not on the disk.
    #[error("the new certificate is served, but the store cannot be written: {0}")]
    Store(#[from] StoreError),
    /// It is not seen.
    #[error("the new certificate is not seen: {0}")]
    Observe(#[from] ObserveError),
}

impl InstallError {
    /// Where to look.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Store(_) => Class::Store,
            Self::Observe(_) => Class::Installation,
        }
    }
}

impl Install {
    /// Does it all, in the order that keeps every reader whole.
    pub(super) async fn run(self) -> Done {
        Done::Installed(self.steps().await)
    }

    async fn steps(&self) -> Result<(), InstallError> {
        self.board.step(Stage::Served, self.pair.facts.fingerprint_sha256.clone());
        self.store().await?;
        self.export().await;
        self.installed.send_replace(Some(Arc::clone(&self.pair))); // who has Xray follow takes over from here
        Ok(self.observe().await?)
    }

    async fn store(&self) -> Result<(), StoreError> {
        let pair = Arc::clone(&self.pair);
        let origin = Origin { terms: self.terms.clone(), role: Role::Issued };
        self.store.off_thread(move |store| store.install(&pair, &origin)).await?;
        let live = self.context.config.store.dir.join("live");
        self.board.step(Stage::Installed, live.display().to_string());
        Ok(())
    }

    /// A second place that cannot be written does not make the first one worse; the driver goes on trying.
    async fn export(&self) {
        let Some(to) = self.context.config.ip_cert.as_ref().and_then(|cert| cert.export.clone()) else {
            return;
        };
        let place = to.certificate.display().to_string();
        let pair = Arc::clone(&self.pair);
        match self.store.off_thread(move |_| export(&to, &pair)).await {
            Ok(()) => self.board.step(Stage::Exported, place),
            Err(error) => tracing::warn!(%error, "the pair could not be exported"),
        }
    }

    async fn observe(&self) -> Result<(), ObserveError> {
        if self.context.config.https.fixed_pair.is_some() {
            return Ok(()); // the listeners present another pair, as they should
        }
        let doors: Vec<_> = self
            .context
            .listeners
            .load()
            .iter()
            .filter(|listener| listener.kind == Kind::Https && listener.state == State::Listening)
            .map(|listener| dialable(listener.address))
            .collect();
        for address in doors {
            observe::expect(address, &self.pair.facts.fingerprint_sha256).await?;
            self.board.step(Stage::HandshakeSeen, address.to_string());
        }
        Ok(())
    }
}
