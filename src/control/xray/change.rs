//! Make before break over Xray's API, written down before each step, and what a kill left behind.

use thiserror::Error;

use super::api::{Api, ApiError};
use super::entry::Serves;
use super::learn::{OurPair, bytes};
use super::look::{Target, look};
use super::steer::{self, Before};
use crate::control::pair::Pair;
use crate::control::store::{Changed, Store, StoreError, XrayJournal};
use crate::policy::xray::change::{Change, Original, Phase, Resume, There};
use crate::policy::xray::messages::{User, equalize, tag};
use crate::policy::xray::patch::{NewPair, holds, patched, retagged};
use crate::policy::xray::wire::WireError;

/// Handshakes at each port until the second inbound is seen: the kernel spreads them over both.
const MOST_LOOKS: usize = 64;

/// Tries to make the first inbound again; meanwhile the second serves.
const MOST_TRIES: usize = 3;

/// Inbounds remembered as changed; each is a line in a file.
const MOST_REMEMBERED: usize = 256;

/// Why an inbound was not made anew.
#[derive(Debug, Error)]
pub(super) enum ChangeError {
    /// Xray said no, or nothing.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What it said makes no sense.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Nothing is begun that could not be written down.
    #[error("nothing is begun while the store cannot be written: {0}")]
    Store(#[from] StoreError),
    /// It went away.
    #[error("there is no such inbound any more")]
    Gone,
    /// The second inbound was not seen.
    #[error("a second inbound beside it is not seen: {0}")]
    NotSeen(String),
}

/// What a change needs.
pub(super) struct Job<'a> {
    pub(super) api: &'a mut Api,
    pub(super) store: &'a Store,
    pub(super) journal: &'a mut XrayJournal,
    pub(super) process: Option<String>,
}

impl Job<'_> {
    /// Makes one inbound anew with `pair`; its port always has a listener.
    pub(super) async fn change(
        &mut self,
        name: &str,
        pair: &Pair,
        ours: &OurPair,
        targets: &[Target],
    ) -> Result<(), ChangeError> {
        let original = self.find(name).await?.ok_or(ChangeError::Gone)?;
        let fingerprint = pair.facts.fingerprint_sha256.clone();
        let change = Change { tag: name.to_owned(), fingerprint: fingerprint.clone(), phase: Phase::Adding };
        let new = NewPair { chain: pair.chain_pem.as_bytes(), key: pair.key_pem.as_bytes() };
        let second = patched(&original, &change.temporary(), new, ours)?;
        self.note(Some(change.clone())).await?;
        let before = steer::before().await;
        if let Err(error) = self.make(&change, &second, targets).await {
            // The original is untouched; a second one that failed half-way must not stay.
            match self.api.remove(&change.temporary()).await {
                Ok(()) | Err(ApiError::Refused { .. }) => self.note(None).await?,
                Err(_) => {} // it is undone when Xray answers again
            }
            return Err(error);
        }
        self.note(Some(Change { phase: Phase::Replacing, ..change.clone() })).await?;
        let steering = before.steer().await;
        self.api.remove(name).await?;
        drop(steering);
        self.complete(&change, &second).await?;
        if targets.is_empty() {
            return Ok(()); // nobody can look; what Xray lists next shows what it holds
        }
        let verdict = look(targets, 1, &fingerprint).await;
        match verdict.serves {
            Serves::Current => Ok(()),
            Serves::Stale | Serves::Unknown => Err(ChangeError::NotSeen(verdict.detail.to_string())),
        }
    }

    /// The second inbound, with the users of the first, seen on every port.
    async fn make(&mut self, change: &Change, second: &[u8], targets: &[Target]) -> Result<(), ChangeError> {
        let temporary = change.temporary();
        self.api.add(second).await?;
        self.copy_users(&change.tag, &temporary).await?;
        for target in targets {
            let target = std::slice::from_ref(target);
            let mut last = String::new();
            let mut tries = 0..MOST_LOOKS;
            loop {
                if tries.next().is_none() {
                    return Err(ChangeError::NotSeen(last));
                }
                let verdict = look(target, 1, &change.fingerprint).await;
                if verdict.serves == Serves::Current {
                    break;
                }
                last = verdict.detail.to_string();
            }
        }
        self.copy_users(&change.tag, &temporary).await // somebody may have come meanwhile
    }

    /// The first inbound again, from the second, which then goes.
    async fn complete(&mut self, change: &Change, second: &[u8]) -> Result<(), ChangeError> {
        let again = retagged(second, &change.tag)?;
        let before = steer::before().await;
        for _ in 1..MOST_TRIES {
            match self.api.add(&again).await {
                Ok(()) => return self.settle(change, before).await,
                // A tag stays even when its port could not be had.
                Err(ApiError::Refused { .. }) => drop(self.api.remove(&change.tag).await),
                Err(error) => return Err(error.into()),
            }
        }
        self.api.add(&again).await?;
        self.settle(change, before).await
    }

    async fn settle(&mut self, change: &Change, before: Before) -> Result<(), ChangeError> {
        self.copy_users(&change.temporary(), &change.tag).await?;
        self.note(Some(Change { phase: Phase::Leaving, ..change.clone() })).await?;
        let steering = before.steer().await;
        self.api.remove(&change.temporary()).await?;
        drop(steering);
        self.completed(change).await
    }

    async fn completed(&mut self, change: &Change) -> Result<(), ChangeError> {
        let excess = (self.journal.changed.len() + 1).saturating_sub(MOST_REMEMBERED);
        self.journal.changed.drain(..excess);
        self.journal.changed.push(Changed {
            tag: change.tag.clone(),
            fingerprint: change.fingerprint.clone(),
            process: self.process.clone(),
        });
        Ok(self.note(None).await?)
    }

    /// Completes or undoes what was cut off. `Ok(true)` if there was something.
    pub(super) async fn resume(&mut self) -> Result<bool, ChangeError> {
        let Some(change) = self.journal.change.clone() else { return Ok(false) };
        let original = self.find(&change.tag).await?;
        let second = self.find(&change.temporary()).await?;
        let there = There {
            temporary: second.is_some(),
            original: match &original {
                None => Original::Absent,
                Some(it) if bytes(&change.fingerprint).is_some_and(|leaf| holds(it, leaf) == Ok(true)) => {
                    Original::New
                }
                Some(_) => Original::Old,
            },
        };
        let resume = change.resume(there);
        tracing::warn!(tag = %change.tag, phase = ?change.phase, ?resume, "a change of an inbound was cut off");
        match resume {
            Resume::Forget => self.note(None).await?,
            Resume::RemoveTemporary { completed } => {
                self.api.remove(&change.temporary()).await?;
                if completed { self.completed(&change).await? } else { self.note(None).await? }
            }
            Resume::Recreate => self.complete(&change, &second.unwrap_or_default()).await?,
            // Which listener is the newer is not known any more.
            Resume::SettleUsers => self.settle(&change, steer::before().await).await?,
        }
        Ok(true)
    }

    /// Makes the users of one inbound those of another.
    async fn copy_users(&mut self, from: &str, to: &str) -> Result<(), ChangeError> {
        let Some(wanted) = self.api.users(from).await? else { return Ok(()) };
        let there: Vec<User> = self.api.users(to).await?.unwrap_or_default();
        for request in equalize(to, &wanted, &there)? {
            self.api.alter(&request).await?;
        }
        Ok(())
    }

    async fn find(&mut self, name: &str) -> Result<Option<Vec<u8>>, ChangeError> {
        let inbounds = self.api.inbounds().await?;
        Ok(inbounds.into_iter().find(|inbound| tag(inbound).as_deref() == Ok(name)))
    }

    async fn note(&mut self, change: Option<Change>) -> Result<(), StoreError> {
        self.journal.change = change;
        let journal = self.journal.clone();
        self.store.off_thread(move |store| store.save_xray_journal(&journal)).await
    }
}
