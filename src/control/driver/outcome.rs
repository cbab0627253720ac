//! How a renewal ends: what the lifecycle, the board and the log are told.

use tracing::{info, warn};

use super::Driver;
use super::work::OrderError;
use crate::control::board::Stage;
use crate::control::when;
use crate::policy::failure::Failure;
use crate::policy::lifecycle::{Activity, Event, Lifecycle};
use crate::shared::clock;

impl Driver {
    pub(super) async fn renewed(&mut self) {
        let Some((orders, pair)) = self.orders.as_ref().zip(self.issued.take()) else {
            return;
        };
        self.stand_in = None;
        let held = orders.held(&pair, None);
        info!(fingerprint = %held.fingerprint, not_after = when::text(held.life.not_after), "renewed");
        self.board.finish(clock::now(), None); // first: the lifecycle may begin another at once
        self.tell(Event::Renewed(held)).await;
    }

    pub(super) async fn not_issued(&mut self, error: &OrderError) {
        if let Some((at, fate)) = error.spent_a_certificate() {
            self.tell(Event::Issued { at, fate }).await;
            self.forget_counted().await;
        }
        if !error.is_of_an_earlier_try() {
            return self.failed(error.failure()).await;
        }
        let failure = error.failure();
        let said = (failure.class, failure.sentence.clone());
        warn!(error = %failure, "the order of an earlier try came to nothing");
        self.board.step(Stage::EarlierFailed, failure.sentence.to_string());
        self.tell(Event::EarlierFailed(failure)).await;
        if !self.is_renewing() {
            self.board.finish(clock::now(), Some(said));
        }
    }

    pub(super) async fn failed(&mut self, failure: Failure) {
        let sentence = failure.sentence.clone();
        self.board.finish(clock::now(), Some((failure.class, sentence.clone())));
        self.tell(Event::Failed(failure)).await;
        let next =
            self.board.read_with(|notes| notes.lifecycle.as_ref().and_then(Lifecycle::next_renewal_at));
        warn!(error = %sentence, next = next.map(when::text), "the renewal failed");
    }

    fn is_renewing(&self) -> bool {
        let renewing = |it: &Lifecycle| matches!(it.activity(), Activity::Renewing { .. });
        self.board.read_with(|notes| notes.lifecycle.as_ref().is_some_and(renewing))
    }
}
