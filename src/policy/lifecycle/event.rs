//! What the lifecycle is told, and what it says.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Doors, Held, Ports};
use crate::policy::alert::Alert;
use crate::policy::failure::{Approach, Challenge, Failure};
use crate::policy::renewal_info::Advice;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// A listener was won or lost.
    Ports(Ports),
    /// Who has our ports, and who listens beside us.
    Doors(Doors),
    /// `POST /renew`.
    Requested(Insistence),
    /// The CA said when it wants a certificate renewed, or did not.
    Advised {
        /// Which certificate; an answer about another than the one that is held means nothing.
        certificate_id: String,
        /// What it said.
        advice: Advice,
        /// How long it wants not to be asked again.
        retry_after: Option<Duration>,
    },
    /// The CA issued a certificate: it counts, whatever becomes of it.
    Issued {
        /// When, by the CA's clock: ours may be wrong, and may have been set in the middle of the order.
        at: OffsetDateTime,
        /// What becomes of it.
        fate: Fate,
    },
    /// The new certificate was seen in a handshake.
    Renewed(Held),
    /// The try came to nothing.
    Failed(Failure),
    /// The order of an earlier try, which was to go on, came to nothing. A forced try makes a new one; any other has failed.
    EarlierFailed(Failure),
    /// A leaf of the local CA stands in for the expired certificate.
    StoodIn {
        /// When it is replaced by a fresh one.
        until: OffsetDateTime,
    },
    /// The certificate of before is back in its place.
    Reinstated,
}

/// What becomes of a certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is to be installed; until that is done, another try goes on with it and buys no other.
    InHand {
        /// SHA-256 of the leaf, in hex: one that is fetched twice counts once.
        fingerprint: String,
    },
    /// It is not what was asked for.
    Useless,
    /// Its order was not taken up in time; nobody has seen it.
    Lost,
}

/// How much an administrator wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insistence {
    /// Only when nothing speaks against it.
    Polite,
    /// Whatever limit of the CA it spends.
    Forced,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin an order, on this way.
    Order(Approach, Challenge),
    /// Ask the CA when it wants the certificate that is held to be renewed.
    AskRenewalInfo,
    /// Put a leaf of the local CA in the place of the certificate, which has expired.
    StandIn,
    /// Put the certificate back in its place: it is good after all, by a clock that was set back.
    Reinstate,
    /// Write [`super::Lifecycle::memory`] down.
    Persist,
    /// Tell the administrator.
    Tell(Alert),
    /// Answer the request: an order has begun, or one was already in flight.
    Accept(Accepted),
    /// Answer the request: no, and why.
    Refuse(Refusal),
}

/// How a request was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// An order has begun for it.
    Began,
    /// It joined the order in flight.
    Joined,
}

/// Why a request was not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A failed try is being waited for, or the CA said "later".
    BackOff(OffsetDateTime),
    /// The CA's failed validations of this hour are spent.
    Budget(OffsetDateTime),
    /// Too many certificates were issued lately.
    Governor(OffsetDateTime),
    /// The CA refuses this configuration.
    Refused(OffsetDateTime),
    /// The port is not ours; nothing overrules that.
    Port,
}
