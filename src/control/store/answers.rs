//! What the CA may be on its way to see, so that a process that takes the place of another answers it from its first
//! connection on.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Store, StoreError, disk};
use crate::policy::failure::Challenge;
use crate::policy::schedule::ORDER_LIFE;
use crate::shared::clock;

const ANSWERS: &str = "answers.json";

/// The answer to one challenge. Nothing of it is secret: whoever asks is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptAnswer {
    /// Of the address that is to be seen as ours.
    pub(crate) ip: IpAddr,
    /// On which way.
    pub(crate) way: Challenge,
    /// The CA's token.
    pub(crate) token: String,
    /// With the thumbprint of the account's key (RFC 8555 section 8.1).
    pub(crate) key_authorization: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    answers: Vec<KeptAnswer>,
}

impl Store {
    /// The answers of the order in flight, unless it is too old to be taken up.
    pub(crate) fn answers(&self) -> Result<Vec<KeptAnswer>, StoreError> {
        let written: Option<Written> = self.read_json(&self.dir.join(ANSWERS))?;
        let recent = written.filter(|written| written.at + ORDER_LIFE > clock::now());
        Ok(recent.map(|written| written.answers).unwrap_or_default())
    }

    /// Keeps them, before the CA is told to come.
    pub(crate) fn save_answers(&self, answers: Vec<KeptAnswer>) -> Result<(), StoreError> {
        self.save_json(ANSWERS, &Written { at: clock::now(), answers })
    }

    /// Nobody comes to see them any more.
    pub(crate) fn forget_answers(&self) -> Result<(), StoreError> {
        disk::remove_if_there(&self.dir.join(ANSWERS))
    }
}
