//! What renewal works on, and what it is doing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Insistence;
use crate::policy::schedule::{self, Life};

/// What the administrator agreed with the CA; a change of it makes everything that was refused possible again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Directory, profile and identifiers as one word: what was issued under another word is replaced.
    pub name: String,
    /// Directory and identifiers as one word: the CA counts the certificates of one set, whatever their profile.
    pub counted: String,
    /// What else goes into a request, as one word: it does not make a certificate another one, but a refusal void.
    pub asking: String,
    /// Renew without being asked.
    pub auto_renew: bool,
    /// Due at the latest when this much is left.
    pub renew_threshold: Duration,
    /// Longest time between two looks.
    pub check_interval: Duration,
    /// What is served when the certificate has expired.
    pub fallback: Fallback,
}

/// What is served when the certificate has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// A leaf of the local CA.
    SelfSigned,
    /// The expired one.
    Expired,
}

/// A certificate of the CA that is held; served, unless it has expired and another stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// SHA-256 of the leaf, in hex.
    pub fingerprint: String,
    /// Its name in renewal information (RFC 9773 section 4.1); `None` if it has none, or its CA gives no such.
    pub certificate_id: Option<String>,
    /// From when to when it is good.
    pub life: Life,
    /// Whether it was issued under the present [`Terms`]; if not it is served until there is one that was.
    pub of_these_terms: bool,
}

/// A certificate that the CA issued and that is not installed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InHand {
    pub(super) fingerprint: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) issued_at: OffsetDateTime,
}

impl InHand {
    /// Whether the CA still has its order.
    pub(super) fn can_be_fetched(&self, now: OffsetDateTime) -> bool {
        self.issued_at <= now && now < self.issued_at + schedule::ORDER_LIFE
    }

    /// Whether both are the same certificate.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

/// What renewal is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing, until then; without a moment: until asked.
    Waiting {
        /// The moment of the renewal.
        until: Option<OffsetDateTime>,
    },
    /// An order is in flight; there is never another.
    Renewing {
        /// When it began.
        since: OffsetDateTime,
        /// Whether it began against what spoke against it.
        insistence: Insistence,
    },
    /// A try failed.
    BackingOff {
        /// When it failed.
        since: OffsetDateTime,
        /// The moment of the next one.
        until: OffsetDateTime,
        /// Who says so.
        reason: Reason,
    },
    /// It is due, and must not be tried.
    Blocked {
        /// Why.
        by: Obstacle,
    },
}

/// Who says how long a pause is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Our own table.
    #[default]
    Failure,
    /// The CA: it has a limit, or too much to do.
    Ca,
}

/// Why a renewal that is due must not be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No listener that the CA could reach is ours, or none over which it is worth a try.
    Port,
    /// Too many certificates were issued lately.
    Governor {
        /// The moment from which one more may be.
        until: OffsetDateTime,
    },
    /// The CA refused for a reason that lies in the configuration.
    Refusal {
        /// When it refused.
        since: OffsetDateTime,
        /// The moment at which it is asked again all the same.
        until: OffsetDateTime,
    },
}
