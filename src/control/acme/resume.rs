//! Which order a try works on: the one of an earlier try, or a new one.

use std::time::Duration;

use instant_acme::{Order, OrderStatus};
use time::OffsetDateTime;

use super::error::IssueError;
use super::{Job, Session};
use crate::control::board::Stage;
use crate::control::store::{InFlight, Pending, Store};
use crate::policy::lifecycle::Lifecycle;
use crate::policy::schedule::ORDER_LIFE;
use crate::shared::clock;

/// The CA's answers are dated to the second.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// An order at the CA.
pub(super) struct Placed<'a> {
    pub(super) session: Session<'a>,
    pub(super) order: Order,
    /// Of the certificate to be.
    pub(super) key_pem: String,
    pub(super) since: Since,
}

/// Which try placed an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// One that broke off.
    Earlier,
    /// This one.
    Now,
}

impl Since {
    /// What ends an order of an earlier try says nothing about a new one.
    pub(super) fn blamed(self, error: IssueError) -> IssueError {
        match self {
            Self::Earlier if error.ends_the_order() && error.spent_a_certificate().is_none() => {
                IssueError::Earlier(Box::new(error))
            }
            Self::Earlier | Self::Now => error,
        }
    }
}

impl Job {
    /// The order that was in flight, or a new one.
    pub(super) async fn order(&self) -> Result<Placed<'_>, IssueError> {
        let session = self.session().await?;
        if let Some((order, key_pem)) = self.resumed(&session).await? {
            return Ok(Placed { session, order, key_pem, since: Since::Earlier });
        }
        self.may_be_placed(session.now())?;
        match session.new_order().await {
            Ok((order, key_pem)) => Ok(Placed { session, order, key_pem, since: Since::Now }),
            Err(error) if error.account_is_gone() => {
                self.give_account_up(error).await?;
                let session = self.session().await?;
                let (order, key_pem) = session.new_order().await?;
                Ok(Placed { session, order, key_pem, since: Since::Now })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether one more certificate may be made at this moment of the CA's clock; ours may have been set since this began.
    fn may_be_placed(&self, now: OffsetDateTime) -> Result<(), IssueError> {
        let too_early = self.asks_lifecycle(|lifecycle| lifecycle.too_early(now)).flatten();
        too_early.map_or(Ok(()), |until| Err(IssueError::TooEarly { until }))
    }

    /// The order of an earlier try, when it can still lead to something. What may have cost a certificate is not forgotten
    /// here but counted first, by whom this is told; the next try finds it counted.
    async fn resumed(&self, session: &Session<'_>) -> Result<Option<(Order, String)>, IssueError> {
        let pending = match self.store.off_thread(Store::pending).await? {
            InFlight::Order(pending) => pending,
            InFlight::Nothing => return Ok(None),
            InFlight::Torn { at } => {
                let by_the_ca = at + (session.now() - clock::now()) - CLOCK_SLACK;
                return self.gone(Some(by_the_ca)).await;
            }
        };
        if pending.terms != self.terms || pending.touched_at + ORDER_LIFE <= clock::now() {
            return self.gone(self.asked_at(&pending)).await;
        }
        let found = session.ask(async || session.account.order(pending.order_url.clone()).await).await;
        match found {
            Ok(mut order) => match order.state().status {
                // The CA has looked, and nobody has heard of it: it counts now.
                OrderStatus::Invalid => {
                    let why = session.why_invalid(&mut order).await;
                    self.forget_pending().await?;
                    Err(Since::Earlier.blamed(why))
                }
                OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => {
                    self.board.step(Stage::OrderPlaced, "the order of an earlier try goes on");
                    Ok(Some((order, pending.key_pem)))
                }
            },
            Err(error) if error.ends_the_order() => self.gone(self.asked_at(&pending)).await,
            Err(error) => Err(error),
        }
    }

    /// When the CA was asked for the certificate of an order, by the CA's clock, if it counts here.
    fn asked_at(&self, pending: &Pending) -> Option<OffsetDateTime> {
        pending.finalized_at.filter(|_| pending.counted == self.counted)
    }

    /// An order that nobody takes up any more. Where it may have led to a certificate that nobody has seen or counted, that
    /// is what comes of this.
    async fn gone<T>(&self, asked_at: Option<OffsetDateTime>) -> Result<Option<T>, IssueError> {
        let counted = |at: &OffsetDateTime| self.asks_lifecycle(|lifecycle| lifecycle.has_counted(*at));
        if let Some(at) = asked_at.filter(|at| counted(at) != Some(true)) {
            return Err(IssueError::Earlier(Box::new(IssueError::Lost { at })));
        }
        self.forget_pending().await?;
        Ok(None)
    }

    /// The order is over, and nobody comes to see anything for it.
    pub(super) async fn forget_pending(&self) -> Result<(), IssueError> {
        self.answers.withdraw().await;
        Ok(self.store.off_thread(Store::forget_pending).await?)
    }

    fn asks_lifecycle<T>(&self, question: impl FnOnce(&Lifecycle) -> T) -> Option<T> {
        self.board.read_with(|notes| notes.lifecycle.as_ref().map(question))
    }
}
