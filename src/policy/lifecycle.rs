//! The life of the certificate: what it is worth (health) and what renewal is doing (activity).
//!
//! [`Lifecycle::handle`] is told what happened and answers what to do. It is given the time and the dice, and does
//! nothing itself, so that sixty days pass in milliseconds in its tests. `docs/lifecycle.md` has its table.

mod memory;
mod projection;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use time::OffsetDateTime;

pub use self::memory::Memory;
pub use self::projection::{Health, Word};
use super::failure::{Disposition, Failure};
use super::schedule::{self, Jitter, Ledger, Life, Urgency, ValidationBudget};

/// Between two looks at a port that is not ours: it should be used within seconds of becoming free.
const PORT_LOOK: Duration = Duration::from_secs(2);

/// What the administrator agreed with the CA; a change of it makes everything that was refused possible again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Directory, profile and identifiers as one word: certificates of other words are not counted or kept.
    pub name: String,
    /// What else goes into a request, as one word: it does not make a certificate another one, but a refusal void.
    pub asking: String,
    /// Renew without being asked.
    pub auto_renew: bool,
    /// Due at the latest when this much is left.
    pub renew_threshold: Duration,
    /// Longest time between two looks.
    pub check_interval: Duration,
}

/// A certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// SHA-256 of the leaf, in hex.
    pub fingerprint: String,
    /// From when to when it is good.
    pub life: Life,
    /// Whether it was issued under the present [`Terms`]; if not it is served until there is one that was.
    pub of_these_terms: bool,
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
    },
    /// A try failed.
    BackingOff {
        /// The moment of the next one.
        until: OffsetDateTime,
    },
    /// It is due, and must not be tried.
    Blocked {
        /// Why.
        by: Obstacle,
    },
}

/// Why a renewal that is due must not be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No listener that the CA could reach is ours.
    Port,
    /// Too many certificates were issued lately.
    Governor {
        /// The moment from which one more may be.
        until: OffsetDateTime,
    },
    /// The CA refused for a reason that lies in the configuration.
    Refusal {
        /// The moment at which it is asked again all the same.
        until: OffsetDateTime,
    },
}

/// Whether the CA's validation can reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// It can, as far as we know.
    Ours,
    /// Another program has the port.
    Taken,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// A listener was won or lost.
    Ports(Ports),
    /// `POST /renew`.
    Requested(Insistence),
    /// The CA issued a certificate: it counts, whatever becomes of it.
    Issued,
    /// The new certificate was seen in a handshake.
    Renewed(Held),
    /// The try came to nothing.
    Failed(Failure),
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
    /// Begin an order.
    Order,
    /// Write [`Lifecycle::memory`] down.
    Persist,
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

/// The renewal core. One value, changed only by [`Self::handle`].
#[derive(Clone, Debug, PartialEq)]
pub struct Lifecycle {
    terms: Terms,
    held: Option<Held>,
    activity: Activity,
    ports: Ports,
    failures: u32,
    last_error: Option<String>,
    ledger: Ledger,
    budget: ValidationBudget,
}

impl Lifecycle {
    /// Takes the event in and says what to do, in order.
    pub fn handle(&mut self, now: OffsetDateTime, event: Event, jitter: Jitter) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Ports(ports) => self.ports = ports,
            Event::Requested(insistence) => {
                self.advance(now, jitter, &mut actions);
                self.requested(now, insistence, &mut actions);
            }
            Event::Issued => {
                self.ledger.enter(now, &self.terms.name);
                actions.push(Action::Persist);
            }
            Event::Renewed(held) => {
                self.failures = 0;
                self.last_error = None;
                self.held = Some(held);
                self.activity = self.waiting(now, jitter);
                actions.push(Action::Persist);
            }
            Event::Failed(failure) => {
                if self.renewing() {
                    self.failed(now, failure, jitter);
                    actions.push(Action::Persist);
                }
            }
        }
        self.advance(now, jitter, &mut actions);
        actions
    }

    /// The moment at which [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_wakeup(&self, now: OffsetDateTime) -> OffsetDateTime {
        let latest = now + self.terms.check_interval;
        let known = match self.activity {
            Activity::Waiting { until } => until,
            Activity::Renewing { .. } => None,
            Activity::BackingOff { until } => Some(until),
            Activity::Blocked { by } => match by {
                Obstacle::Port => Some(now + PORT_LOOK),
                Obstacle::Governor { until } | Obstacle::Refusal { until } => Some(until),
            },
        };
        known.map_or(latest, |known| known.clamp(now, latest))
    }

    /// What renewal is doing.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// The certificate that is served.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What went wrong last; nothing after a success.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The moment of the next try, where one is known.
    #[must_use]
    pub fn next_renewal_at(&self) -> Option<OffsetDateTime> {
        match self.activity {
            Activity::Waiting { until } => until,
            Activity::BackingOff { until } => Some(until),
            Activity::Renewing { .. } => None,
            Activity::Blocked { by } => match by {
                Obstacle::Port => None,
                Obstacle::Governor { until } | Obstacle::Refusal { until } => Some(until),
            },
        }
    }

    /// Lets time pass: begins what is due, as far as nothing is in its way.
    fn advance(&mut self, now: OffsetDateTime, jitter: Jitter, actions: &mut Vec<Action>) {
        let due = match self.activity {
            Activity::Waiting { until } => until.is_some_and(|until| until <= now),
            Activity::Renewing { .. } => false,
            Activity::BackingOff { until } => reached(now, until),
            Activity::Blocked { by } => match by {
                Obstacle::Port => self.ports == Ports::Ours,
                Obstacle::Governor { until } | Obstacle::Refusal { until } => reached(now, until),
            },
        };
        if !due {
            return;
        }
        if !self.terms.auto_renew && !matches!(self.activity, Activity::Waiting { .. }) {
            self.activity = self.waiting(now, jitter);
            actions.push(Action::Persist);
            return;
        }
        let before = self.activity;
        self.activity = match self.obstacle(now) {
            None => {
                actions.push(Action::Order);
                Activity::Renewing { since: now }
            }
            Some(Refusal::Port) => Activity::Blocked { by: Obstacle::Port },
            Some(Refusal::Governor(until)) => Activity::Blocked { by: Obstacle::Governor { until } },
            Some(Refusal::Refused(until)) => Activity::Blocked { by: Obstacle::Refusal { until } },
            Some(Refusal::Budget(until) | Refusal::BackOff(until)) => Activity::BackingOff { until },
        };
        if self.activity != before {
            actions.push(Action::Persist);
        }
    }

    fn requested(&mut self, now: OffsetDateTime, insistence: Insistence, actions: &mut Vec<Action>) {
        if self.renewing() {
            let began_for_it = actions.contains(&Action::Order);
            let how = if began_for_it { Accepted::Began } else { Accepted::Joined };
            actions.push(Action::Accept(how));
            return;
        }
        let against = match insistence {
            Insistence::Forced if self.ports == Ports::Ours => None,
            Insistence::Forced => Some(Refusal::Port),
            Insistence::Polite => self.waited_for().or_else(|| self.obstacle(now)),
        };
        if let Some(refusal) = against {
            actions.push(Action::Refuse(refusal));
            return;
        }
        self.activity = Activity::Renewing { since: now };
        actions.extend([Action::Order, Action::Persist, Action::Accept(Accepted::Began)]);
    }

    fn failed(&mut self, now: OffsetDateTime, failure: Failure, jitter: Jitter) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(failure.sentence);
        let step = now + schedule::pause(self.failures, self.length(), self.urgency(now), jitter);
        let believed = now + schedule::LONGEST_PAUSE;
        self.activity = match failure.disposition {
            Disposition::Retry => Activity::BackingOff { until: step },
            Disposition::Validation => {
                self.budget.spend(now);
                let open = self.budget.closed_until(now).unwrap_or(now);
                Activity::BackingOff { until: step.max(open) }
            }
            Disposition::NotBefore(at) => Activity::BackingOff { until: step.max(at.min(believed)) },
            Disposition::RateLimited(at) => {
                let at = at.unwrap_or(now + schedule::PAUSE_AFTER_RATE_LIMIT);
                Activity::BackingOff { until: step.max(at.min(believed)) }
            }
            Disposition::Refused => {
                Activity::Blocked { by: Obstacle::Refusal { until: now + schedule::PAUSE_AFTER_REFUSAL } }
            }
        };
    }

    /// What speaks against an order, however long ago the last failure was.
    fn obstacle(&self, now: OffsetDateTime) -> Option<Refusal> {
        if self.ports == Ports::Taken {
            return Some(Refusal::Port);
        }
        let life = self.held.as_ref().map(|held| held.life);
        let governor = self.ledger.closed_until(now, &self.terms.name, life);
        let budget = self.budget.closed_until(now);
        governor.map(Refusal::Governor).or_else(|| budget.map(Refusal::Budget))
    }

    /// What is being waited for already.
    fn waited_for(&self) -> Option<Refusal> {
        match self.activity {
            Activity::Waiting { .. } | Activity::Renewing { .. } => None,
            Activity::BackingOff { until } => Some(Refusal::BackOff(until)),
            Activity::Blocked { by } => Some(match by {
                Obstacle::Port => Refusal::Port,
                Obstacle::Governor { until } => Refusal::Governor(until),
                Obstacle::Refusal { until } => Refusal::Refused(until),
            }),
        }
    }

    /// Waiting for the moment of the next renewal, which is chosen here; at once when there is nothing good to serve.
    fn waiting(&self, now: OffsetDateTime, jitter: Jitter) -> Activity {
        let due = match &self.held {
            Some(held) if held.of_these_terms => held.life.due(self.terms.renew_threshold, jitter),
            Some(_) | None => now,
        };
        Activity::Waiting { until: self.terms.auto_renew.then_some(due) }
    }

    fn renewing(&self) -> bool {
        matches!(self.activity, Activity::Renewing { .. })
    }

    fn urgency(&self, now: OffsetDateTime) -> Urgency {
        match self.health(now) {
            Health::Valid => Urgency::Calm,
            Health::Critical | Health::Expired | Health::Missing => Urgency::Pressing,
        }
    }

    fn length(&self) -> Option<Duration> {
        self.held.as_ref().map(|held| held.life.length())
    }
}

/// Whether a pause is over. One that would last longer than any can comes from a clock that was ahead.
fn reached(now: OffsetDateTime, until: OffsetDateTime) -> bool {
    let longest = schedule::LONGEST_PAUSE + schedule::PAUSE_AFTER_REFUSAL;
    until <= now || until > now + longest
}
