//! What the lifecycle remembers over a restart.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Activity, Held, Ledger, Lifecycle, Obstacle, Ports, Terms, ValidationBudget};
use crate::policy::schedule::Jitter;

/// What is written down: everything but the certificate, which is its own witness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    terms: String,
    asking: String,
    failures: u32,
    last_error: Option<String>,
    pause: Pause,
    chosen: Option<Chosen>,
    ledger: Ledger,
    budget: ValidationBudget,
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
        until: OffsetDateTime,
    },
    /// A refusal.
    Refusal {
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
}

/// The moment chosen for the renewal of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Chosen {
    fingerprint: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
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
        let mut lifecycle = Self {
            terms,
            held,
            activity: Activity::Waiting { until: None },
            ports,
            failures: if same_terms { memory.failures } else { 0 },
            last_error: memory.last_error.filter(|_| same_terms),
            ledger: memory.ledger,
            budget: memory.budget,
        };
        let waiting = lifecycle.waiting(now, jitter);
        lifecycle.activity = match memory.pause {
            Pause::BackOff { until } if same_terms => Activity::BackingOff { until },
            Pause::Refusal { until } if same_terms => Activity::Blocked { by: Obstacle::Refusal { until } },
            Pause::Order if same_terms && lifecycle.obstacle(now).is_none() => {
                Activity::Waiting { until: Some(now) }
            }
            Pause::Renewal | Pause::Order | Pause::BackOff { .. } | Pause::Refusal { .. } => {
                lifecycle.chosen_before(memory.chosen, waiting)
            }
        };
        lifecycle
    }

    /// What to write down.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let (pause, chosen_at) = match self.activity {
            Activity::Waiting { until } => (Pause::Renewal, until),
            Activity::Renewing { .. } => (Pause::Order, None),
            Activity::BackingOff { until } => (Pause::BackOff { until }, None),
            Activity::Blocked { by } => match by {
                Obstacle::Refusal { until } => (Pause::Refusal { until }, None),
                Obstacle::Port | Obstacle::Governor { .. } => (Pause::Renewal, None),
            },
        };
        let chosen = self
            .held
            .as_ref()
            .zip(chosen_at)
            .map(|(held, at)| Chosen { fingerprint: held.fingerprint.clone(), at });
        Memory {
            terms: self.terms.name.clone(),
            asking: self.terms.asking.clone(),
            failures: self.failures,
            last_error: self.last_error.clone(),
            pause,
            chosen,
            ledger: self.ledger.clone(),
            budget: self.budget,
        }
    }

    /// The moment chosen earlier for this certificate, unless the threshold has moved before it.
    fn chosen_before(&self, chosen: Option<Chosen>, fresh: Activity) -> Activity {
        let Activity::Waiting { until: Some(_) } = fresh else {
            return fresh;
        };
        let kept =
            self.held.as_ref().filter(|held| held.of_these_terms).zip(chosen).filter(|(held, chosen)| {
                chosen.fingerprint == held.fingerprint
                    && chosen.at <= held.life.latest(self.terms.renew_threshold)
            });
        kept.map_or(fresh, |(_, chosen)| Activity::Waiting { until: Some(chosen.at) })
    }
}
