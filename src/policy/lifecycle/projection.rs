//! What administrators see: one word for both axes.

use std::fmt;

use time::OffsetDateTime;

use super::{Activity, Lifecycle, Obstacle, Reason, Standing};
use crate::policy::alert::{Open, Route, Situation, Trouble, Worth};
use crate::policy::renewal_info::{RenewalInfo, Window};

/// What the certificate is worth: a function of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Good.
    Valid,
    /// Less than 24 h left, or than 15 % of a shorter life.
    Critical,
    /// Over.
    Expired,
    /// There is none.
    Missing,
}

/// The moments of a certificate's life, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milestones {
    /// From when on it is good.
    pub issued: OffsetDateTime,
    /// When the CA wants it renewed.
    pub window: Option<Window>,
    /// The next try, where one is planned: the renewal, or what follows a failure.
    pub planned: Option<OffsetDateTime>,
    /// When it is renewed at the latest.
    pub threshold: OffsetDateTime,
    /// From when on it is critical.
    pub critical: OffsetDateTime,
    /// Its end.
    pub expiry: OffsetDateTime,
}

/// The state, in the administrator's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// All is well.
    Valid,
    /// A try is under way.
    Renewing,
    /// A try failed or must not be made; it will be made again.
    Failed,
    /// There is little time left.
    Critical,
    /// There is none left.
    Expired,
    /// No certificate is wanted.
    Disabled,
}

impl Lifecycle {
    /// What the certificate is worth.
    #[must_use]
    pub fn health(&self, now: OffsetDateTime) -> Health {
        match &self.held {
            None => Health::Missing,
            Some(held) if held.life.not_after <= now => Health::Expired,
            Some(held) if held.life.critical_from() <= now => Health::Critical,
            Some(_) => Health::Valid,
        }
    }

    /// Both axes in one word. Where several hold: expired, critical, renewing, failed, valid.
    #[must_use]
    pub fn word(&self, now: OffsetDateTime) -> Word {
        let activity = match self.activity {
            Activity::Renewing { .. } => Word::Renewing,
            Activity::BackingOff { .. } | Activity::Blocked { .. } => Word::Failed,
            Activity::Waiting { .. } if self.failures > 0 => Word::Failed,
            Activity::Waiting { .. } => Word::Valid,
        };
        match self.health(now) {
            Health::Expired => Word::Expired,
            Health::Critical => Word::Critical,
            Health::Valid => activity,
            Health::Missing if activity == Word::Renewing => Word::Renewing,
            Health::Missing => Word::Failed,
        }
    }
}

impl Lifecycle {
    /// The life of the certificate that is held.
    #[must_use]
    pub fn milestones(&self) -> Option<Milestones> {
        let life = self.held.as_ref()?.life;
        Some(Milestones {
            issued: life.not_before,
            window: self.renewal_info.as_ref().and_then(RenewalInfo::window),
            planned: self.next_renewal_at(),
            threshold: life.latest(self.terms.renew_threshold),
            critical: life.critical_from(),
            expiry: life.not_after,
        })
    }

    /// What the administrator was told since all was well.
    #[must_use]
    pub fn alerts(&self) -> &Open {
        &self.alerts
    }

    /// As far as somebody may want to be told.
    pub(super) fn situation(&self, now: OffsetDateTime) -> Situation {
        let short = self.held.as_ref().is_none_or(|held| held.life.short_from() <= now);
        let worth = match self.health(now) {
            Health::Expired => Worth::Expired,
            Health::Critical => Worth::Critical,
            Health::Valid if !short => Worth::Good,
            Health::Valid | Health::Missing => Worth::Short,
        };
        let expiry = self.held.as_ref().map(|held| held.life.not_after);
        let trouble = match self.activity {
            Activity::BackingOff { until, reason: Reason::Ca, .. }
                if expiry.is_some_and(|expiry| now < expiry && expiry < until) =>
            {
                Trouble::LimitBeyondExpiry
            }
            Activity::Blocked { by: Obstacle::Port } => match self.neighbours.http() {
                Standing::Taken => Trouble::PortTaken,
                Standing::Missing => Trouble::PortMissing,
                Standing::Ours => Trouble::Other, // it is about to begin
            },
            Activity::BackingOff { .. } | Activity::Blocked { .. } => Trouble::Other,
            Activity::Waiting { .. } | Activity::Renewing { .. } => Trouble::Nothing,
        };
        let route = if self.ways.is_detour(self.ports) { Route::Detour } else { Route::Usual };
        Situation { failures: self.failures, worth, trouble, company: self.neighbours.company(now), route }
    }
}

impl Word {
    /// As `status` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Renewing => "renewing",
            Self::Failed => "failed",
            Self::Critical => "critical",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
