//! A leaf of the local CA in the place of a certificate that has expired, and the way back.

use std::sync::Arc;
use std::time::Duration;

use super::Driver;
use crate::control::board::Trouble;
use crate::control::local_ca::LocalCaError;
use crate::control::pair::Pair;
use crate::control::store::{Origin, Role};
use crate::control::zh_cn::InWords;
use crate::policy::lifecycle::Event;
use crate::shared::clock;

/// Long enough to outlive most misfortunes, short enough that nobody forgets about it; it is made anew at its half.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What the lifecycle wants in the place of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    StandIn,
    Reinstate,
}

impl Driver {
    /// Does what the lifecycle wants in memory and in the files; what fails is wanted again.
    pub(super) async fn keep_up_appearances(&mut self) {
        match self.wants.take() {
            None => {}
            Some(_) if self.issued.is_some() => {} // a new one is served already, on its way to the disk
            Some(Want::StandIn) => self.stand_in().await,
            Some(Want::Reinstate) => self.reinstate().await,
        }
    }

    /// Tells the lifecycle until when the leaf that stands in is left alone.
    pub(super) async fn stands_in(&mut self) {
        if let Some(life) = self.stand_in.as_ref().map(|pair| pair.facts.life()) {
            self.tell(Event::StoodIn { until: life.not_before + life.length() / 2 }).await;
        }
    }

    async fn stand_in(&mut self) {
        let pair = match self.leaf() {
            Ok(pair) => pair,
            Err(error) => return tracing::error!(%error, "no certificate could be made to stand in"),
        };
        self.present(&pair);
        let Some(terms) = self.orders.as_ref().map(|orders| orders.terms().name.clone()) else {
            return;
        };
        let installed = self
            .store
            .off_thread({
                let pair = Arc::clone(&pair);
                move |store| store.install(&pair, &Origin { terms, role: Role::StandIn })
            })
            .await;
        let written = installed.is_ok();
        self.board.trouble(Trouble::Store, installed.err().map(|error| error.in_words()));
        if written {
            tracing::warn!("the certificate has expired; one of the local CA stands in for it");
            self.written(&pair).await;
            self.stands_in().await;
        }
    }

    /// The leaf of before while that is fresh: a store that cannot be written is tried again and again.
    fn leaf(&mut self) -> Result<Arc<Pair>, LocalCaError> {
        let now = clock::now();
        let fresh = |pair: &&Arc<Pair>| {
            let life = pair.facts.life();
            now >= life.not_before && now < life.not_before + life.length() / 2
        };
        if let Some(pair) = self.stand_in.as_ref().filter(fresh) {
            return Ok(Arc::clone(pair));
        }
        let ca = self.local_ca.as_ref().ok_or(LocalCaError::Missing)?;
        let ips = self.orders.as_ref().map(|orders| orders.ips().to_vec()).unwrap_or_default();
        let pair = Arc::new(ca.issue(&ips, LIFE, now)?);
        self.stand_in = Some(Arc::clone(&pair));
        Ok(pair)
    }

    async fn reinstate(&mut self) {
        match self.store.off_thread(super::Store::reinstate).await {
            Ok(Some((pair, _))) => {
                let pair = Arc::new(pair);
                self.present(&pair);
                self.written(&pair).await;
                self.stand_in = None;
                tracing::warn!("the certificate is good after all, and back in its place");
                self.tell(Event::Reinstated).await;
            }
            Ok(None) => {}
            Err(error) => self.board.trouble(Trouble::Store, Some(error.in_words())),
        }
    }

    /// Puts it into its second place too, and lets it be looked for.
    async fn written(&self, pair: &Arc<Pair>) {
        self.mend_export().await;
        self.installed.send_replace(Some(Arc::clone(pair)));
    }

    fn present(&mut self, pair: &Arc<Pair>) {
        self.managed = Some(Arc::clone(pair));
        self.board.write(|notes| notes.certificate = Some(pair.facts.clone()));
        self.serve();
    }
}
