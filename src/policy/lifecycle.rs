//! The life of the certificate: what it is worth (health) and what renewal is doing (activity).
//!
//! [`Lifecycle::handle`] is told what happened and answers what to do. It is given the time and the dice, and does
//! nothing itself, so that sixty days pass in milliseconds in its tests. `docs/lifecycle.md` has its table.

mod activity;
mod event;
mod memory;
mod projection;
mod watch;
mod ways;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use time::OffsetDateTime;

use self::activity::InHand;
pub use self::activity::{Activity, Fallback, Held, Obstacle, Reason, Terms};
pub use self::event::{Accepted, Action, Event, Fate, Insistence, Refusal};
pub use self::memory::Memory;
pub use self::projection::{Health, Milestones, Word};
pub use self::watch::Watch;
pub use self::ways::{Doors, Ports, Standing};
use self::ways::{Neighbours, Seen, Ways, Wish};
use super::alert::{self, Alert, Edge, Kind, Notice};
use super::failure::{Approach, Challenge, Class, Disposition, Failure};
use super::renewal_info::RenewalInfo;
use super::schedule::{self, Cause, Jitter, Ledger, Urgency, ValidationBudget};
use super::sentence::Sentence;

/// Between two looks at a port that is not ours: it should be used within seconds of becoming free.
const PORT_LOOK: Duration = Duration::from_secs(2);

/// A clock that is set back by less is only being adjusted.
const CLOCK_JITTER: Duration = Duration::from_secs(60);

/// The renewal core. One value, changed only by [`Self::handle`].
#[derive(Clone, Debug, PartialEq)]
pub struct Lifecycle {
    terms: Terms,
    held: Option<Held>,
    /// What the CA said about `held`; `None` where it is not asked.
    renewal_info: Option<RenewalInfo>,
    activity: Activity,
    ports: Ports,
    ways: Ways,
    neighbours: Neighbours,
    failures: u32,
    last_failure: Option<(Class, Sentence)>,
    approach: Approach,
    in_hand: Option<InHand>,
    ledger: Ledger,
    budget: ValidationBudget,
    /// While a leaf of the local CA stands in for `held`: when it is to be made anew.
    stand_in: Option<OffsetDateTime>,
    alerts: alert::Open,
}

impl Lifecycle {
    /// Takes the event in and says what to do, in order.
    pub fn handle(&mut self, now: OffsetDateTime, event: Event, jitter: Jitter) -> Vec<Action> {
        let mut actions = Vec::new();
        let renewed = matches!(event, Event::Renewed(_));
        match event {
            Event::Tick => {}
            Event::Ports(ports) => self.ports = ports,
            Event::Doors(doors) => {
                if self.neighbours.see(now, &doors) == Seen::News {
                    actions.push(Action::Persist);
                }
            }
            Event::Requested(insistence) => {
                self.advance(now, jitter, &mut actions);
                self.requested(now, insistence, &mut actions);
            }
            Event::Advised { certificate_id, advice, retry_after } => {
                if let Some(info) =
                    self.renewal_info.as_mut().filter(|info| info.certificate_id() == certificate_id)
                {
                    let before = info.moment();
                    info.heard(now, advice, retry_after, jitter);
                    if info.moment() != before && matches!(self.activity, Activity::Waiting { .. }) {
                        self.activity = self.waiting(now, jitter);
                    }
                    actions.push(Action::Persist);
                }
            }
            Event::Issued { at, fate } => {
                self.issued(now, at, fate);
                actions.push(Action::Persist);
            }
            Event::Renewed(held) => {
                self.failures = 0;
                self.last_failure = None;
                self.approach = Approach::Straight;
                self.ways.succeeded();
                self.in_hand = None;
                self.stand_in = None;
                self.hold(now, held);
                self.activity = self.waiting(now, jitter);
                actions.push(Action::Persist);
            }
            Event::Failed(failure) => {
                if self.renewing() {
                    self.failed(now, failure, jitter);
                    actions.push(Action::Persist);
                }
            }
            Event::EarlierFailed(failure) => {
                let forced = self.forced();
                if self.renewing() {
                    self.failed(now, failure, jitter);
                    actions.push(Action::Persist);
                }
                if forced && let Some(way) = self.ways.open(self.ports, Wish::Asked) {
                    self.begin(now, Insistence::Forced, way);
                    actions.insert(0, Action::Order(Approach::Straight, way));
                }
            }
            Event::StoodIn { until } => self.stand_in = Some(until),
            Event::Reinstated => self.stand_in = None,
        }
        self.advance(now, jitter, &mut actions);
        self.inquire(now, &mut actions);
        self.keep_up_appearances(now, &mut actions);
        self.tell(now, renewed, &mut actions);
        actions
    }

    /// The moment at which [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_wakeup(&self, now: OffsetDateTime) -> OffsetDateTime {
        let latest = now + self.terms.check_interval;
        let next = match self.activity {
            Activity::Waiting { until } => until,
            Activity::Renewing { .. } => None,
            Activity::BackingOff { until, .. } => Some(until),
            Activity::Blocked { by } => match by {
                Obstacle::Port => Some(now + PORT_LOOK),
                Obstacle::Governor { until } | Obstacle::Refusal { until, .. } => Some(until),
            },
        };
        let life = self.held.as_ref().map(|held| held.life);
        let worsenings =
            life.map(|life| [life.short_from(), life.critical_from(), life.not_after]).into_iter().flatten();
        let known = worsenings
            .chain(self.alerts.next_reminder())
            .chain(self.stand_in)
            .chain(self.neighbours.told_at());
        let ahead = known.filter(|at| *at > now);
        ahead.chain(next).chain(self.inquiry(now)).map(|at| at.clamp(now, latest)).min().unwrap_or(latest)
    }

    /// What renewal is doing.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// The certificate that is held.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// The certificate that an order of this moment replaces, by its name in renewal information.
    #[must_use]
    pub fn replaces(&self, now: OffsetDateTime) -> Option<&str> {
        let held = self.held.as_ref().filter(|held| held.of_these_terms && held.life.not_after > now);
        held.and_then(|held| held.certificate_id.as_deref())
    }

    /// Until when a new order may not be placed, at this moment of the CA's clock. Ours has let the try begin, and may have
    /// been ahead then; or it was to fetch a certificate whose order turns out to be lost.
    #[must_use]
    pub fn too_early(&self, now_at_the_ca: OffsetDateTime) -> Option<OffsetDateTime> {
        if self.forced() { None } else { self.governor(now_at_the_ca) }
    }

    /// Whether a certificate that was asked for then, by the CA's clock, has been counted.
    #[must_use]
    pub fn has_counted(&self, at: OffsetDateTime) -> bool {
        self.ledger.knows(at, &self.terms.counted)
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What went wrong last; nothing after a success.
    #[must_use]
    pub fn last_error(&self) -> Option<&Sentence> {
        self.last_failure.as_ref().map(|(_, sentence)| sentence)
    }

    /// Where to look for what went wrong last.
    #[must_use]
    pub fn last_error_class(&self) -> Option<Class> {
        self.last_failure.as_ref().map(|(class, _)| *class)
    }

    /// The moment of the next try, where one is known.
    #[must_use]
    pub fn next_renewal_at(&self) -> Option<OffsetDateTime> {
        match self.activity {
            Activity::Waiting { until } => until,
            Activity::BackingOff { until, .. } => Some(until),
            Activity::Renewing { .. } => None,
            Activity::Blocked { by } => match by {
                Obstacle::Port => None,
                Obstacle::Governor { until } | Obstacle::Refusal { until, .. } => Some(until),
            },
        }
    }

    /// An alert of this moment with what goes into its text.
    #[must_use]
    pub fn notice(&self, now: OffsetDateTime, alert: Alert) -> Notice {
        Notice {
            not_after: self.held.as_ref().map(|held| held.life.not_after),
            failures: self.failures,
            error: self.last_error().cloned(),
            class: self.last_error_class(),
            next_try: self.next_renewal_at(),
            ..Notice::bare(alert, now)
        }
    }

    /// Lets time pass: begins what is due, as far as nothing is in its way.
    fn advance(&mut self, now: OffsetDateTime, jitter: Jitter, actions: &mut Vec<Action>) {
        let due = match self.activity {
            Activity::Waiting { until } => until.is_some_and(|until| until <= now),
            Activity::Renewing { .. } => false,
            Activity::BackingOff { since, until, .. } => over(now, since, until),
            Activity::Blocked { by } => match by {
                Obstacle::Port => self.ways.open(self.ports, Wish::Automatic).is_some(),
                Obstacle::Governor { until } => self.governor(now) != Some(until),
                Obstacle::Refusal { since, until } => over(now, since, until),
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
        self.activity = match self.obstacle(now, Wish::Automatic) {
            Ok(way) => {
                self.ways.took(way);
                actions.push(Action::Order(self.approach, way));
                Activity::Renewing { since: now, insistence: Insistence::Polite }
            }
            Err(Refusal::Port) => Activity::Blocked { by: Obstacle::Port },
            Err(Refusal::Governor(until)) => Activity::Blocked { by: Obstacle::Governor { until } },
            Err(Refusal::Refused(until)) => Activity::Blocked { by: Obstacle::Refusal { since: now, until } },
            Err(Refusal::Budget(until) | Refusal::BackOff(until)) => {
                Activity::BackingOff { since: now, until, reason: Reason::Failure }
            }
        };
        if self.activity != before {
            actions.push(Action::Persist);
        }
    }

    fn requested(&mut self, now: OffsetDateTime, insistence: Insistence, actions: &mut Vec<Action>) {
        if self.renewing() {
            let began_for_it = actions.iter().any(|action| matches!(action, Action::Order(..)));
            let how = if began_for_it { Accepted::Began } else { Accepted::Joined };
            actions.push(Action::Accept(how));
            return;
        }
        let way = match (insistence, self.waited_for()) {
            (Insistence::Polite, Some(refusal)) => Err(refusal),
            (Insistence::Polite, None) => self.obstacle(now, Wish::Asked),
            (Insistence::Forced, _) => self.ways.open(self.ports, Wish::Asked).ok_or(Refusal::Port),
        };
        let way = match way {
            Ok(way) => way,
            Err(refusal) => {
                actions.push(Action::Refuse(refusal));
                return;
            }
        };
        let approach = match insistence {
            Insistence::Polite => self.approach,
            Insistence::Forced => Approach::Straight,
        };
        self.begin(now, insistence, way);
        actions.extend([Action::Order(approach, way), Action::Persist, Action::Accept(Accepted::Began)]);
    }

    fn begin(&mut self, now: OffsetDateTime, insistence: Insistence, way: Challenge) {
        self.ways.took(way);
        self.activity = Activity::Renewing { since: now, insistence };
    }

    fn issued(&mut self, now: OffsetDateTime, at: OffsetDateTime, fate: Fate) {
        let cause = if fate == Fate::Lost { Cause::Lost } else { self.cause() };
        let in_hand = match fate {
            Fate::InHand { fingerprint } => Some(InHand { fingerprint, issued_at: now }),
            Fate::Useless | Fate::Lost => None,
        };
        let again = in_hand.as_ref().zip(self.in_hand.as_ref()).is_some_and(|(new, old)| new.is(old));
        if !again {
            self.ledger.enter(at, &self.terms.counted, cause);
            self.in_hand = in_hand;
        }
    }

    fn failed(&mut self, now: OffsetDateTime, failure: Failure, jitter: Jitter) {
        self.failures = self.failures.saturating_add(1);
        self.ways.failed(self.ports, &failure);
        self.last_failure = Some((failure.class, failure.sentence));
        let step = now + schedule::pause(self.failures, self.length(), self.urgency(now), jitter);
        let step = self.soon_after_critical(now, step);
        let believed = now + schedule::LONGEST_PAUSE;
        let (until, reason) = match failure.disposition {
            Disposition::Retry | Disposition::Rehearsal => (step, Reason::Failure),
            Disposition::Validation => {
                self.approach = Approach::Rehearsed;
                self.budget.spend(now);
                (step.max(self.budget.closed_until(now).unwrap_or(now)), Reason::Failure)
            }
            Disposition::NotBefore(at) => (step.max(at.min(believed)), Reason::Ca),
            Disposition::RateLimited(at) => {
                let at = at.unwrap_or(now + schedule::PAUSE_AFTER_RATE_LIMIT);
                (step.max(at.min(believed)), Reason::Ca)
            }
            Disposition::Refused => {
                let critical_from = self.held.as_ref().map_or(now, |held| held.life.critical_from());
                let until = critical_from.max(now + schedule::PAUSE_AFTER_REFUSAL).min(believed);
                self.activity = Activity::Blocked { by: Obstacle::Refusal { since: now, until } };
                return;
            }
        };
        self.activity = Activity::BackingOff { since: now, until, reason };
    }

    /// A long pause that began in time ends with a short one once the certificate is critical.
    fn soon_after_critical(&self, now: OffsetDateTime, step: OffsetDateTime) -> OffsetDateTime {
        let critical_from = self.held.as_ref().map(|held| held.life.critical_from()).filter(|at| *at > now);
        critical_from.map_or(step, |at| step.min(at + schedule::HOURLY))
    }

    /// Asks for the CA's window when it is time to.
    fn inquire(&mut self, now: OffsetDateTime, actions: &mut Vec<Action>) {
        let due = self.inquiry(now).is_some_and(|at| at <= now);
        if let Some(info) = self.renewal_info.as_mut().filter(|_| due) {
            info.asked(now);
            actions.push(Action::AskRenewalInfo);
        }
    }

    /// When the CA is asked for its window next: only while nothing but the moment of the renewal is waited for.
    fn inquiry(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let waiting = matches!(self.activity, Activity::Waiting { until: Some(_) });
        self.renewal_info.as_ref().filter(|_| waiting).map(|info| info.ask_at(now))
    }

    /// Puts a leaf of the local CA into the place of an expired certificate, and takes it out if that is good after all.
    fn keep_up_appearances(&self, now: OffsetDateTime, actions: &mut Vec<Action>) {
        let expired = self.health(now) == Health::Expired;
        match self.stand_in {
            Some(_) if !expired => actions.push(Action::Reinstate),
            Some(until) if until > now => {}
            Some(_) | None if expired && self.terms.fallback == Fallback::SelfSigned => {
                actions.push(Action::StandIn);
            }
            Some(_) | None => {}
        }
    }

    fn tell(&mut self, now: OffsetDateTime, renewed: bool, actions: &mut Vec<Action>) {
        let before = self.alerts.clone();
        let situation = self.situation(now);
        let mut alerts = self.alerts.see(now, situation);
        if renewed && before.is_empty() {
            alerts.push(Alert { kind: Kind::Renewed, edge: Edge::News });
        }
        if alerts.is_empty() && self.alerts == before {
            return;
        }
        // Written down last: what is killed in between is told twice, rather than never.
        actions.retain(|action| *action != Action::Persist);
        actions.extend(alerts.into_iter().map(Action::Tell));
        actions.push(Action::Persist);
    }

    /// Another certificate than before: what the CA said about that one means nothing for this one.
    fn hold(&mut self, now: OffsetDateTime, held: Held) {
        let asked_about =
            held.certificate_id.clone().filter(|_| held.of_these_terms && held.life.not_after > now);
        self.renewal_info = asked_about.map(|id| RenewalInfo::unasked(id, now));
        self.held = Some(held);
    }

    /// The way of an order of this moment, or what speaks against one, however long ago the last failure was.
    fn obstacle(&self, now: OffsetDateTime, who: Wish) -> Result<Challenge, Refusal> {
        let way = self.ways.open(self.ports, who).ok_or(Refusal::Port)?;
        if self.in_hand.as_ref().is_some_and(|in_hand| in_hand.can_be_fetched(now)) {
            return Ok(way); // it is bought already
        }
        let budget = self.budget.closed_until(now);
        let limit = self.governor(now).map(Refusal::Governor).or_else(|| budget.map(Refusal::Budget));
        limit.map_or(Ok(way), Err)
    }

    /// The moment from which the certificates issued lately allow one more, when it is not now.
    fn governor(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let life = self.held.as_ref().map(|held| held.life);
        self.ledger.closed_until(now, &self.terms.counted, life)
    }

    /// What is being waited for already.
    fn waited_for(&self) -> Option<Refusal> {
        match self.activity {
            Activity::Waiting { .. } | Activity::Renewing { .. } => None,
            Activity::BackingOff { until, .. } => Some(Refusal::BackOff(until)),
            Activity::Blocked { by } => Some(match by {
                Obstacle::Port => Refusal::Port,
                Obstacle::Governor { until } => Refusal::Governor(until),
                Obstacle::Refusal { until, .. } => Refusal::Refused(until),
            }),
        }
    }

    /// Waiting for the moment of the next renewal: the one chosen in the CA's window, else one chosen here, and neither
    /// after the threshold; at once when there is nothing good to serve.
    fn waiting(&self, now: OffsetDateTime, jitter: Jitter) -> Activity {
        let due = match &self.held {
            Some(held) if held.of_these_terms => {
                let chosen = self.renewal_info.as_ref().and_then(RenewalInfo::moment);
                let latest = held.life.latest(self.terms.renew_threshold);
                chosen.map_or_else(|| held.life.due(self.terms.renew_threshold, jitter), |at| at.min(latest))
            }
            Some(_) | None => now,
        };
        Activity::Waiting { until: self.terms.auto_renew.then_some(due) }
    }

    fn renewing(&self) -> bool {
        matches!(self.activity, Activity::Renewing { .. })
    }

    fn forced(&self) -> bool {
        matches!(self.activity, Activity::Renewing { insistence: Insistence::Forced, .. })
    }

    /// Why the certificate of this moment was ordered.
    fn cause(&self) -> Cause {
        if self.forced() { Cause::Force } else { Cause::Due }
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

/// Whether a pause is over. One that has not begun yet was made by a clock that was ahead, and means nothing.
fn over(now: OffsetDateTime, since: OffsetDateTime, until: OffsetDateTime) -> bool {
    until <= now || now + CLOCK_JITTER < since
}
