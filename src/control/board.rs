//! What the control plane knows and shows: the driver writes, the admin interface reads. Both live on one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;

use super::history::{History, Past};
use super::pair::Facts;
use super::traffic::Traffic;
use super::{when, xray};
use crate::policy::alert::Open;
use crate::policy::alert::outbox::Channel;
use crate::policy::failure::Class;
use crate::policy::lifecycle::{Lifecycle, Watch};
use crate::policy::sentence::Sentence;
use crate::shared::clock;

/// Steps kept of one renewal; it has some ten, and two more for each identifier and listener.
const MOST_STEPS: usize = 200;

/// The board.
#[derive(Debug, Default)]
pub(crate) struct Board(RefCell<Notes>);

/// What is on it.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The renewal core; `None` while there is nothing to renew, and in the first moments.
    pub(crate) lifecycle: Option<Lifecycle>,
    /// What is looked at in its place where no certificate is kept.
    pub(crate) watch: Option<Watch>,
    /// The managed certificate.
    pub(crate) certificate: Option<Facts>,
    /// Fingerprint of the local CA, when there is one in the store.
    pub(crate) local_ca_sha256: Option<String>,
    /// The renewal in flight, or the last one.
    pub(crate) renewal: Option<Renewal>,
    /// What Xray's inbounds present.
    pub(crate) xray: Vec<xray::Entry>,
    /// What is to be said of Xray as a whole.
    pub(crate) xray_note: Option<Sentence>,
    /// Since when somebody was told that Xray presents an old certificate, while that is not over.
    pub(crate) xray_told_at: Option<OffsetDateTime>,
    /// What is wrong besides the renewal, each until it is mended.
    pub(crate) troubles: BTreeMap<Trouble, Sentence>,
    /// How each channel for alerts does, in the order of the configuration.
    pub(crate) channels: Vec<Told>,
    /// Renewals that ended well since the start.
    pub(crate) renewals: u64,
    /// Renewals that did not, by where they failed.
    pub(crate) failures: BTreeMap<Class, u64>,
    /// Renewals of earlier runs too.
    pub(crate) history: History,
    /// What came through the door lately.
    pub(crate) traffic: Traffic,
}

/// What can be wrong besides the renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// The store cannot be written.
    Store,
    /// `export_cert` or `export_key` cannot be written.
    Export,
    /// The fixed pair of `[https]` cannot be used.
    FixedPair,
}

/// How a channel for alerts does.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    /// Which one: `telegram` with the chat's number, or `webhook`.
    #[serde(serialize_with = "in_words")]
    pub(crate) channel: Channel,
    /// Alerts that it has yet to hear.
    pub(crate) pending: usize,
    /// Why the last try came to nothing; nothing once one has succeeded.
    pub(crate) last_error: Option<String>,
    /// Messages that arrived since the start.
    pub(crate) sent: u64,
    /// Tries that came to nothing since the start.
    pub(crate) failed: u64,
}

fn in_words<S: Serializer>(channel: &Channel, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(channel)
}

/// One renewal, step by step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Renewal {
    /// Greater than that of any before, over restarts too.
    pub(crate) id: i64,
    /// When it began.
    #[serde(serialize_with = "when::serialize")]
    pub(crate) started_at: OffsetDateTime,
    /// When it ended.
    #[serde(serialize_with = "when::serialize_option")]
    pub(crate) finished_at: Option<OffsetDateTime>,
    /// How it ended.
    pub(crate) outcome: Option<Outcome>,
    /// Why, when it failed.
    pub(crate) error: Option<String>,
    /// What was done.
    pub(crate) steps: Vec<Step>,
}

/// How a renewal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The new certificate was seen in a handshake.
    Renewed,
    /// It was not.
    Failed,
}

/// Something that was done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    #[serde(serialize_with = "when::serialize")]
    at: OffsetDateTime,
    step: Stage,
    detail: String,
}

/// The stages of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The account was found or made.
    Account,
    /// The order of an earlier try came to nothing, and a new one is made.
    EarlierFailed,
    /// The order stands at the CA.
    OrderPlaced,
    /// An authorization was valid already.
    AlreadyAuthorized,
    /// A token came back through our own door.
    TokenChecked,
    /// The CA was told to look.
    ValidationRequested,
    /// The CA looked and was satisfied.
    Validated,
    /// The certificate was issued and is what was asked for.
    Issued,
    /// Handshakes present it.
    Served,
    /// It is on the disk.
    Installed,
    /// It is in its second place.
    Exported,
    /// Something is done, or waited for, so that Xray presents it.
    Reload,
    /// An inbound of Xray presents it.
    InboundCurrent,
    /// A handshake with it was seen.
    HandshakeSeen,
}

impl Notes {
    /// What the administrator was told since all was well.
    pub(crate) fn told(&self) -> Option<&Open> {
        self.lifecycle.as_ref().map(Lifecycle::alerts).or(self.watch.as_ref().map(Watch::alerts))
    }
}

impl Board {
    /// Looks at it.
    pub(crate) fn read_with<T>(&self, look: impl FnOnce(&Notes) -> T) -> T {
        look(&self.0.borrow())
    }

    /// Changes it; `change` must not come back here.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Notes) -> T) -> T {
        change(&mut self.0.borrow_mut())
    }

    /// A renewal begins, or one that is in flight makes another order.
    pub(crate) fn begin_or_go_on(&self, now: OffsetDateTime) {
        self.write(|notes| {
            if notes.renewal.as_ref().is_some_and(|renewal| renewal.finished_at.is_none()) {
                return;
            }
            let milliseconds = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
            let after = notes.renewal.as_ref().map_or(0, |renewal| renewal.id.saturating_add(1));
            notes.renewal = Some(Renewal {
                id: milliseconds.max(after),
                started_at: now,
                finished_at: None,
                outcome: None,
                error: None,
                steps: Vec::new(),
            });
        });
    }

    /// The renewal in flight has come a step further.
    pub(crate) fn step(&self, stage: Stage, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::info!(step = ?stage, %detail, "renewal");
        self.write(|notes| {
            if let Some(renewal) = notes.renewal.as_mut().filter(|renewal| renewal.steps.len() < MOST_STEPS) {
                renewal.steps.push(Step { at: clock::now(), step: stage, detail });
            }
        });
    }

    /// The renewal in flight has ended, well unless something is said to have failed.
    pub(crate) fn finish(&self, now: OffsetDateTime, failure: Option<(Class, Sentence)>) {
        self.write(|notes| {
            let outcome = if failure.is_none() { Outcome::Renewed } else { Outcome::Failed };
            let (class, error) = failure.unzip();
            match class {
                None => notes.renewals += 1,
                Some(class) => *notes.failures.entry(class).or_default() += 1,
            }
            let mut began_at = now;
            if let Some(renewal) = &mut notes.renewal {
                began_at = renewal.started_at;
                renewal.finished_at = Some(now);
                renewal.outcome = Some(outcome);
                renewal.error = error.as_ref().map(ToString::to_string);
            }
            let new = notes.certificate.as_ref().filter(|_| outcome == Outcome::Renewed);
            let not_after = new.map(|facts| facts.not_after);
            notes.history.enter(Past { began_at, ended_at: now, outcome, tries: 1, class, error, not_after });
        });
    }

    /// Something is wrong, or is not any more; each change is logged once.
    pub(crate) fn trouble(&self, trouble: Trouble, what: Option<Sentence>) {
        self.write(|notes| {
            if notes.troubles.get(&trouble) == what.as_ref() {
                return;
            }
            match what {
                Some(what) => {
                    tracing::error!(?trouble, %what, "something is wrong; trying again");
                    notes.troubles.insert(trouble, what);
                }
                None => {
                    tracing::info!(?trouble, "mended");
                    notes.troubles.remove(&trouble);
                }
            }
        });
    }
}
