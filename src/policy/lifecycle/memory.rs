//! What the lifecycle remembers over a restart.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    Activity, Held, InHand, Ledger, Lifecycle, Neighbours, Obstacle, Ports, Reason, Terms, ValidationBudget,
    Ways, Wish,
};
use crate::policy::alert;
use crate::policy::failure::{Approach, Class};
use crate::policy::renewal_info::RenewalInfo;
use crate::policy::schedule::Jitter;
use crate::policy::sentence::Sentence;

/// What is written down: everything but the certificate, which is its own witness; of that only which one it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    terms: String,
    asking: String,
    /// Fingerprint of the certificate that was held.
    held: Option<String>,
    failures: u32,
    last_error: Option<Sentence>,
    last_error_class: Option<Class>,
    approach: Approach,
    in_hand: Option<InHand>,
    pause: Pause,
    #[serde(with = "time::serde::rfc3339::option")]
    chosen: Option<OffsetDateTime>,
    renewal_info: Option<RenewalInfo>,
    ledger: Ledger,
    budget: ValidationBudget,
    ways: Ways,
    /// Ports that were ours.
    pub(super) had: BTreeSet<SocketAddr>,
    pub(super) alerts: alert::Open,
}

/// What was being waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
enum Pause {
    /// Nothing but the moment of the renewal.
    #[default]
    Renewal,
    /// An order was in flight; it is taken up at once.
    Order,
    /// A failed try.
    BackOff {
        #[serde(with = "time::serde::rfc3339")]
        since: OffsetDateTime,
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
        #[serde(default)]
        reason: Reason,
    },
    /// A refusal.
    Refusal {
        #[serde(with = "time::serde::rfc3339")]
        since: OffsetDateTime,
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
}

impl Memory {
    /// With other ports that were ours, and other alerts.
    pub(super) fn with(self, had: BTreeSet<SocketAddr>, alerts: alert::Open) -> Self {
        Self { had, alerts, ..self }
    }
}

impl Lifecycle {
    /// Begins where `memory` ends. Under other terms only the certificate and the CA's limits are taken over: what was
    /// refused or failed before may work now.
    #[must_use]
    pub fn restore(
        terms: Terms,
        held: Option<Held>,
        ports: Ports,
        memory: Memory,
        (now, jitter): (OffsetDateTime, Jitter),
    ) -> Self {
        let same_terms = memory.terms == terms.name && memory.asking == terms.asking;
        let same_held = held.as_ref().map(|held| &held.fingerprint) == memory.held.as_ref();
        // Killed between the installation and its being written down: the try has succeeded.
        let came_through = held.as_ref().is_some_and(|held| held.of_these_terms) && !same_held;
        let goes_on = same_terms && !came_through;
        let last_failure =
            memory.last_error.map(|said| (memory.last_error_class.unwrap_or(Class::Fault), said));
        let mut lifecycle = Self {
            terms,
            held: None,
            renewal_info: None,
            activity: Activity::Waiting { until: None },
            ports,
            ways: if goes_on { memory.ways } else { Ways::default() },
            neighbours: Neighbours::remembering(memory.had),
            failures: if goes_on { memory.failures } else { 0 },
            last_failure: last_failure.filter(|_| goes_on),
            approach: if goes_on { memory.approach } else { Approach::Straight },
            in_hand: memory.in_hand.filter(|_| goes_on),
            ledger: memory.ledger,
            budget: memory.budget,
            stand_in: None,
            alerts: memory.alerts,
        };
        if let Some(held) = held {
            lifecycle.hold(now, held);
        }
        let about_the_same =
            |info: &RenewalInfo, before: &RenewalInfo| info.certificate_id() == before.certificate_id();
        if let Some((info, before)) = lifecycle.renewal_info.as_mut().zip(memory.renewal_info)
            && about_the_same(info, &before)
        {
            *info = before;
        }
        let waiting = lifecycle.waiting(now, jitter);
        lifecycle.activity = match memory.pause {
            Pause::BackOff { since, until, reason } if goes_on => {
                Activity::BackingOff { since, until, reason }
            }
            Pause::Refusal { since, until } if goes_on => {
                Activity::Blocked { by: Obstacle::Refusal { since, until } }
            }
            Pause::Order if goes_on && lifecycle.obstacle(now, Wish::Automatic).is_ok() => {
                Activity::Waiting { until: Some(now) }
            }
            Pause::Renewal | Pause::Order | Pause::BackOff { .. } | Pause::Refusal { .. } => {
                lifecycle.chosen_before(memory.chosen.filter(|_| same_held), waiting)
            }
        };
        lifecycle
    }

    /// What to write down.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let (pause, chosen) = match self.activity {
            Activity::Waiting { until } => (Pause::Renewal, until),
            Activity::Renewing { .. } => (Pause::Order, None),
            Activity::BackingOff { since, until, reason } => (Pause::BackOff { since, until, reason }, None),
            Activity::Blocked { by } => match by {
                Obstacle::Refusal { since, until } => (Pause::Refusal { since, until }, None),
                Obstacle::Port | Obstacle::Governor { .. } => (Pause::Renewal, None),
            },
        };
        Memory {
            terms: self.terms.name.clone(),
            asking: self.terms.asking.clone(),
            held: self.held.as_ref().map(|held| held.fingerprint.clone()),
            failures: self.failures,
            last_error: self.last_error().cloned(),
            last_error_class: self.last_error_class(),
            approach: self.approach,
            in_hand: self.in_hand.clone(),
            pause,
            chosen,
            renewal_info: self.renewal_info.clone(),
            ledger: self.ledger.clone(),
            budget: self.budget,
            ways: self.ways.clone(),
            had: self.neighbours.had().clone(),
            alerts: self.alerts.clone(),
        }
    }

    /// The moment chosen earlier for this certificate, unless the threshold has moved before it.
    fn chosen_before(&self, chosen: Option<OffsetDateTime>, fresh: Activity) -> Activity {
        let in_the_window = self.renewal_info.as_ref().is_some_and(|info| info.moment().is_some());
        let Activity::Waiting { until: Some(_) } = fresh else {
            return fresh;
        };
        if in_the_window {
            return fresh; // chosen earlier, too
        }
        let held = self.held.as_ref().filter(|held| held.of_these_terms);
        let latest = held.map(|held| held.life.latest(self.terms.renew_threshold));
        chosen
            .filter(|at| latest.is_some_and(|latest| *at <= latest))
            .map_or(fresh, |at| Activity::Waiting { until: Some(at) })
    }
}
