//! What stands in the files of the store beside the certificates.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::control::pair::Pair;

/// Where a certificate came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The lifecycle's terms under which it was issued.
    pub(crate) terms: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) role: Role,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// The CA issued it.
    #[default]
    Issued,
    /// A leaf of the local CA, in the place of one that has expired.
    StandIn,
}

/// A pair, and where it came from if that is known.
pub(crate) type Described = (Pair, Option<Origin>);

/// What is found in the store at the start.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The live pair.
    pub(crate) live: Option<Described>,
    /// The pair that the live one stands in for; `None` if that is itself what the CA issued.
    pub(crate) expired: Option<Described>,
}

/// Whether there is an order in flight.
pub(crate) enum InFlight {
    /// None.
    Nothing,
    /// This one.
    Order(Pending),
    /// One of which nothing can be read any more.
    Torn {
        /// When it was written down last: before the CA was asked for its certificate, if it was.
        at: OffsetDateTime,
    },
}

/// An order in flight, with the key that its certificate will be for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The lifecycle's terms of the order.
    pub(crate) terms: String,
    /// What the CA counts its certificate under.
    pub(crate) counted: String,
    /// When it was placed, or the CA was last asked for its certificate.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) touched_at: OffsetDateTime,
    /// When the CA was asked for its certificate, by the CA's clock: from then on there may be one.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) finalized_at: Option<OffsetDateTime>,
    /// Its URL at the CA.
    pub(crate) order_url: String,
    /// PKCS#8, PEM.
    pub(crate) key_pem: String,
}

/// An account at one directory.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeptAccount {
    /// PKCS#8, base64url: kept before the CA hears of it, so that no kill leaves an account behind that nobody can use.
    /// `None` where the library keeps the key to itself until there is an account.
    pub(crate) key_pkcs8: Option<String>,
    /// What the library wants back; `None` until the CA has answered.
    pub(crate) credentials: Option<Value>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) made_at: OffsetDateTime,
    /// When the CA first took an order from it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) first_order_at: Option<OffsetDateTime>,
}
