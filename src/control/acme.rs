//! One order at an ACME CA, from the account to the checked certificate. The only module that knows the library.

mod account;
mod answers;
mod authorize;
mod error;
mod patience;
mod rehearsal;
mod renewal_info;
mod resume;
mod selfcheck;
mod tls_alpn;
mod wire;
mod words;
mod zh_cn;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier, Identifier, NewOrder, Order, OrderStatus};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use time::OffsetDateTime;
use tokio::time::Instant;

pub use self::answers::Answers;
use self::authorize::way_of;
pub(crate) use self::error::IssueError;
use self::patience::with_patience;
pub(crate) use self::renewal_info::{RenewalInfo, RenewalInfoError, ask as ask_renewal_info};
use self::resume::Placed;
pub(super) use self::selfcheck::dialable;
pub(super) use self::tls_alpn::is_a_way as is_a_way_of_tls;
use self::wire::Wire;
use super::board::{Board, Stage};
use super::pair::Pair;
use super::store::{Pending, Store};
use super::when;
use crate::config::{IpCert, Profile};
use crate::policy::failure::{Approach, Challenge};
use crate::shared::clock;
use crate::shared::listeners::Listeners;

/// The same status for so long is no progress.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at an order; the CA's own wish counts between the first and the last of these.
const POLL: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// A certificate that the CA has made.
pub(crate) struct Issuance {
    /// With its key.
    pub(crate) pair: Pair,
    /// When, by the CA's clock.
    pub(crate) at: OffsetDateTime,
}

/// So many of these looks in a row may be lost on the way.
const LOST_POLLS: u32 = 2;

/// An order to be made, and what it needs.
#[derive(Clone)]
pub(crate) struct Job {
    /// What is ordered, and where.
    pub(crate) config: IpCert,
    /// The lifecycle's terms.
    pub(crate) terms: String,
    /// What the CA counts.
    pub(crate) counted: String,
    /// Whether it is tried out first.
    pub(crate) approach: Approach,
    /// On which way the CA comes to see that the addresses are ours.
    pub(crate) way: Challenge,
    /// The certificate that it replaces, by its name in renewal information.
    pub(crate) replaces: Option<String>,
    /// Where the account and the key are kept.
    pub(crate) store: Store,
    /// What is published for the order in flight.
    pub(crate) answers: Answers,
    /// Our doors.
    pub(crate) listeners: Listeners,
    /// Where the steps are told.
    pub(crate) board: Rc<Board>,
}

impl Job {
    /// Gets a certificate. What was published for it is withdrawn once the CA does not come any more: when the order is
    /// through, and when nothing can come of it.
    pub(crate) async fn run(&self) -> Result<Issuance, IssueError> {
        if self.approach == Approach::Rehearsed {
            self.rehearse().await?;
        }
        let Placed { session, mut order, key_pem, since } = self.order().await?;
        let outcome = session.follow(&mut order, &key_pem).await;
        // A good one is forgotten once the certificate is installed, and one that was of no use once it is counted.
        if let Err(error) = &outcome
            && error.ends_the_order()
        {
            if error.spent_a_certificate().is_some() {
                self.answers.withdraw().await;
            } else {
                self.forget_pending().await?;
            }
        }
        outcome.map_err(|error| since.blamed(error))
    }
}

/// An account at a CA, for one order.
struct Session<'a> {
    job: &'a Job,
    wire: Wire,
    account: Account,
}

impl Session<'_> {
    /// Places an order, and keeps its URL and the key of the certificate to be.
    async fn new_order(&self) -> Result<(Order, String), IssueError> {
        let order = self.place(self.job.replaces.as_deref()).await;
        let order = match (order, &self.job.replaces) {
            (Err(error), Some(_)) if error.may_be_about_the_replacement() => {
                tracing::info!(%error, "ordering anew, without naming the certificate that is replaced");
                self.place(None).await?
            }
            (order, _) => order?,
        };
        let key_pem = KeyPair::generate()?.serialize_pem();
        self.keep(&order, &key_pem, None).await?;
        self.job.account_works().await?;
        let ips = list(&self.job.config.ips);
        let detail = self.profile()?.map(|profile| format!("{ips} (profile {profile})"));
        self.job.board.step(Stage::OrderPlaced, detail.unwrap_or(ips));
        Ok((order, key_pem))
    }

    async fn place(&self, replaces: Option<&str>) -> Result<Order, IssueError> {
        let identifiers: Vec<Identifier> = self.job.config.ips.iter().copied().map(Identifier::Ip).collect();
        let mut new = NewOrder::new(&identifiers);
        if let Some(profile) = self.profile()? {
            new = new.profile(profile);
        }
        if let Some((authority, serial)) = replaces.and_then(|id| id.split_once('.')) {
            new = new.replaces(CertificateIdentifier {
                authority_key_identifier: authority.into(),
                serial: serial.into(),
            });
        }
        self.ask(async || self.account.new_order(&new).await).await
    }

    /// The profile to ask for. One that the settings name must be among those that the CA offers: without it the CA would
    /// choose another, and that is not what was asked for.
    fn profile(&self) -> Result<Option<&str>, IssueError> {
        let Some(wanted) = &self.job.config.profile else {
            return Ok(None);
        };
        let offered = || self.account.profiles().map(|profile| profile.name);
        match wanted {
            _ if offered().any(|name| name == wanted.name()) => Ok(Some(wanted.name())),
            Profile::Usual => Ok(None),
            Profile::Named(name) => Err(IssueError::NoProfile {
                wanted: name.clone(),
                offered: offered().map(ToOwned::to_owned).collect(),
            }),
        }
    }

    /// So that a restart resumes it.
    async fn keep(
        &self,
        order: &Order,
        key_pem: &str,
        finalized_at: Option<OffsetDateTime>,
    ) -> Result<(), IssueError> {
        let pending = Pending {
            terms: self.job.terms.clone(),
            counted: self.job.counted.clone(),
            touched_at: clock::now(),
            finalized_at,
            order_url: order.url().to_owned(),
            key_pem: key_pem.to_owned(),
        };
        Ok(self.job.store.off_thread(move |store| store.save_pending(&pending)).await?)
    }

    /// Does what the order's status asks for, until there is a certificate.
    async fn follow(&self, order: &mut Order, key_pem: &str) -> Result<Issuance, IssueError> {
        loop {
            let status = order.state().status;
            match status {
                OrderStatus::Pending => {
                    self.authorize(order).await?;
                    self.leave(order, status).await?;
                    if order.state().status != OrderStatus::Invalid {
                        self.job.board.step(Stage::Validated, list(&self.job.config.ips));
                    }
                }
                OrderStatus::Ready => self.finalize(order, key_pem).await?,
                OrderStatus::Processing => self.leave(order, status).await?,
                OrderStatus::Valid => break,
                OrderStatus::Invalid => return Err(self.why_invalid(order).await),
            }
        }
        self.job.answers.withdraw().await;
        self.download(order, key_pem).await
    }

    /// Asks for the certificate of the key that is in the store.
    async fn finalize(&self, order: &mut Order, key_pem: &str) -> Result<(), IssueError> {
        let key = KeyPair::from_pem(key_pem)?;
        let mut request = CertificateParams::default();
        request.distinguished_name = DistinguishedName::new(); // an address in the CN is a badCSR
        request.subject_alt_names = self.job.config.ips.iter().map(|ip| SanType::IpAddress(*ip)).collect();
        let request = request.serialize_request(&key)?;
        self.keep(order, key_pem, Some(self.now())).await?; // what is issued now must be found again
        let asked = self.ask(async || order.finalize_csr(request.der()).await).await;
        if asked.as_ref().is_err_and(IssueError::is_put_off) {
            self.keep(order, key_pem, None).await?; // the CA says itself that it has not
        }
        asked
    }

    /// Waits until the order has another status than this.
    async fn leave(&self, order: &mut Order, status: OrderStatus) -> Result<(), IssueError> {
        let patience = Instant::now() + STALL_LIMIT;
        let mut pauses = POLL.iter().copied();
        let mut pause = POLL[0];
        let mut lost = 0;
        loop {
            let asked = self.ask(async || order.refresh().await.map(|_| ())).await;
            let over = Instant::now() >= patience;
            match asked {
                Ok(()) if order.state().status != status => return Ok(()),
                Ok(()) if over => return Err(IssueError::Stalled { status, limit: STALL_LIMIT }),
                Ok(()) => lost = 0,
                Err(error) if over || lost == LOST_POLLS || !error.leaves_it_open() => return Err(error),
                Err(_) => lost += 1, // the order goes on all the same
            }
            pause = pauses.next().unwrap_or(pause);
            let wish = self.wire.retry_after().map(|at| at - clock::now());
            let wish = wish.and_then(|wish| Duration::try_from(wish).ok()).unwrap_or_default();
            tokio::time::sleep(wish.min(POLL[POLL.len() - 1]).max(pause)).await;
        }
    }

    async fn download(&self, order: &mut Order, key_pem: &str) -> Result<Issuance, IssueError> {
        let chain = self.ask(async || order.certificate().await).await?.ok_or(IssueError::Invalid)?; // cannot be: the order is valid
        let at = self.now();
        let of_no_use = |source| IssueError::Certificate { at, source };
        let pair = Pair::parse(&chain, key_pem).map_err(of_no_use)?;
        pair.check(&self.job.config.ips, clock::now()).map_err(of_no_use)?;
        let facts = &pair.facts;
        self.job
            .board
            .step(Stage::Issued, format!("by {}, until {}", facts.issuer, when::text(facts.not_after)));
        Ok(Issuance { pair, at })
    }

    /// The challenge that failed says more than the order.
    async fn why_invalid(&self, order: &mut Order) -> IssueError {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if self.ask(async || authorization.refresh().await.map(|_| ())).await.is_err() {
                continue;
            }
            let Ok(identifier) = self.ours(authorization.identifier().identifier) else {
                continue;
            };
            let said = authorization
                .challenges
                .iter()
                .find_map(|challenge| Some((way_of(&challenge.r#type)?, challenge.error.clone()?)));
            if let Some((way, problem)) = said {
                let kind = error::kind(&problem);
                return IssueError::Validation { identifier, way, kind, problem };
            }
        }
        match order.state().error.clone() {
            Some(problem) => self.library(instant_acme::Error::Api(problem)),
            None => IssueError::Invalid,
        }
    }

    fn ours(&self, identifier: &Identifier) -> Result<IpAddr, IssueError> {
        if let Identifier::Ip(ip) = identifier
            && self.job.config.ips.contains(ip)
        {
            return Ok(*ip);
        }
        Err(IssueError::ForeignIdentifier)
    }

    /// The time by the CA's clock, as far as it tells.
    fn now(&self) -> OffsetDateTime {
        clock::now() + self.wire.clock().unwrap_or_default()
    }

    async fn ask<T>(
        &self,
        call: impl AsyncFnMut() -> Result<T, instant_acme::Error>,
    ) -> Result<T, IssueError> {
        with_patience(&self.wire, call).await
    }

    fn library(&self, error: instant_acme::Error) -> IssueError {
        IssueError::from_library(error, self.wire.retry_after())
    }
}

fn list(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
