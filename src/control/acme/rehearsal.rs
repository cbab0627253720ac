//! An order tried out at the CA's staging directory, whose limits are wide: what fails there costs nothing here.

use instant_acme::{Order, OrderStatus};

use super::error::IssueError;
use super::{Job, Session};
use crate::config::Directory;
use crate::policy::failure::{Approach, staging_of};

impl Job {
    /// Has the staging directory validate our addresses, where there is one. That it is broken stands in nobody's way.
    pub(super) async fn rehearse(&self) -> Result<(), IssueError> {
        let Some(staging) = staging_of(&self.config.directory.url) else {
            return Ok(());
        };
        let mut job = self.clone();
        job.config.directory =
            Directory { url: staging.to_owned(), ca_file: self.config.directory.ca_file.clone() };
        job.config.eab = None;
        (job.approach, job.replaces) = (Approach::Straight, None);
        job.answers = self.answers.apart(); // withdrawn when this returns
        match job.validated().await {
            Ok(()) => Ok(()),
            Err(error) if error.is_a_failed_validation() => Err(IssueError::Rehearsal(Box::new(error))),
            Err(error) => {
                tracing::info!(%error, "the staging directory could not be asked first");
                Ok(())
            }
        }
    }

    async fn validated(&self) -> Result<(), IssueError> {
        let session = self.session().await?;
        match session.place(None).await {
            Err(error) if error.account_is_gone() => {
                self.give_account_up(error).await?;
                let session = self.session().await?;
                let order = session.place(None).await?;
                session.try_out(order).await
            }
            Err(error) => Err(error),
            Ok(order) => session.try_out(order).await,
        }
    }
}

impl Session<'_> {
    /// An order that ends where its certificate would be asked for.
    async fn try_out(&self, mut order: Order) -> Result<(), IssueError> {
        self.job.account_works().await?;
        if order.state().status == OrderStatus::Pending {
            self.authorize(&mut order).await?;
            self.leave(&mut order, OrderStatus::Pending).await?;
        }
        if order.state().status == OrderStatus::Invalid {
            return Err(self.why_invalid(&mut order).await);
        }
        Ok(())
    }
}
