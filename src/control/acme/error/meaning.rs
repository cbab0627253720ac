//! What an error means: a sentence for people, where to look, and what it is for the next try.

use super::super::wire::WireError;
use super::IssueError;
use crate::control::chain::Chain;
use crate::control::pair::PairError;
use crate::policy::failure::{Challenge, Class, Disposition, Failure, Kind};

impl IssueError {
    /// As the lifecycle is told.
    pub(crate) fn failure(&self) -> Failure {
        Failure {
            class: self.class(),
            sentence: match self.advice() {
                Some(advice) => format!("{}; {advice}", self.said()),
                None => self.said(),
            },
            disposition: self.disposition(),
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Validation { kind: Kind::Connection | Kind::Tls, way: Challenge::TlsAlpn01, .. } => {
                Some("is :443 open in the provider's firewall, and does it lead to this machine?")
            }
            Self::Problem { kind, .. } | Self::Validation { kind, .. } => kind.advice(),
            Self::Rehearsal(error) => error.advice(),
            Self::Clock { .. } => Some("set it, e.g. by `timedatectl set-ntp true`"),
            Self::Wire(error) if error.is_about_time() => {
                Some("is this machine's clock right? `timedatectl set-ntp true` sets it")
            }
            Self::Wire(WireError::Unreachable { .. } | WireError::TimedOut { .. }) => {
                Some("does this machine reach the CA? look at its DNS, its routes and its firewall")
            }
            Self::Wire(WireError::Status { .. }) => {
                Some("the CA has trouble of its own; its status page may say more")
            }
            Self::SelfCheck { .. } | Self::TlsCheck { .. } => {
                Some("the CA was not told, so this costs none of its limits")
            }
            Self::Roots(_)
            | Self::EabKey
            | Self::Wire(WireError::Body { .. } | WireError::Url { .. })
            | Self::NotAcme(_)
            | Self::Library(_)
            | Self::Invalid
            | Self::NoChallenge(..)
            | Self::ForeignIdentifier
            | Self::Stalled { .. }
            | Self::Certificate { .. }
            | Self::TooEarly { .. }
            | Self::Lost { .. }
            | Self::Request(_)
            | Self::Store(_) => None,
        }
    }

    fn said(&self) -> String {
        match self {
            // These name their cause themselves.
            Self::Wire(_) | Self::Rehearsal(_) | Self::Certificate { .. } | Self::Store(_) => {
                self.to_string()
            }
            Self::Roots(_)
            | Self::EabKey
            | Self::NotAcme(_)
            | Self::Library(_)
            | Self::Clock { .. }
            | Self::Problem { .. }
            | Self::Validation { .. }
            | Self::Invalid
            | Self::NoChallenge(..)
            | Self::ForeignIdentifier
            | Self::SelfCheck { .. }
            | Self::TlsCheck { .. }
            | Self::Stalled { .. }
            | Self::TooEarly { .. }
            | Self::Lost { .. }
            | Self::Request(_) => Chain(self).to_string(),
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Problem { kind, retry_after, .. } => kind.disposition(*retry_after),
            Self::Wire(error) => match error {
                WireError::Status { status, retry_after, .. } if status.as_u16() == 429 => {
                    Disposition::RateLimited(*retry_after)
                }
                WireError::Status { retry_after, .. } => {
                    retry_after.map_or(Disposition::Retry, Disposition::NotBefore)
                }
                WireError::Unreachable { .. }
                | WireError::TimedOut { .. }
                | WireError::Body { .. }
                | WireError::Url { .. } => Disposition::Retry,
            },
            Self::Validation { kind, .. } => match kind.disposition(None) {
                Disposition::Refused => Disposition::Refused,
                Disposition::Retry
                | Disposition::Validation
                | Disposition::Rehearsal
                | Disposition::NotBefore(_)
                | Disposition::RateLimited(_) => Disposition::Validation,
            },
            Self::Rehearsal(_) => Disposition::Rehearsal,
            Self::TooEarly { until } => Disposition::NotBefore(*until),
            Self::Invalid => Disposition::Validation,
            Self::EabKey | Self::NoChallenge(..) => Disposition::Refused,
            Self::Roots(_)
            | Self::NotAcme(_)
            | Self::Library(_)
            | Self::Clock { .. }
            | Self::ForeignIdentifier
            | Self::SelfCheck { .. }
            | Self::TlsCheck { .. }
            | Self::Stalled { .. }
            | Self::Certificate { .. }
            | Self::Lost { .. }
            | Self::Request(_)
            | Self::Store(_) => Disposition::Retry,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Problem { kind, .. } => kind.class(),
            Self::Rehearsal(error) => error.class(),
            Self::Validation { .. } | Self::Invalid | Self::SelfCheck { .. } | Self::TlsCheck { .. } => {
                Class::Validation
            }
            Self::Wire(error) if error.is_about_time() => Class::Clock,
            Self::Wire(WireError::Status { status, .. }) if status.as_u16() == 429 => Class::RateLimit,
            Self::Wire(WireError::Unreachable { .. } | WireError::TimedOut { .. }) => Class::Network,
            Self::Wire(WireError::Status { .. } | WireError::Body { .. } | WireError::Url { .. })
            | Self::NotAcme(_)
            | Self::Library(_)
            | Self::ForeignIdentifier
            | Self::Lost { .. }
            | Self::Stalled { .. } => Class::Ca,
            Self::TooEarly { .. } => Class::RateLimit,
            Self::Clock { .. }
            | Self::Certificate { source: PairError::Future(_) | PairError::Past(_), .. } => Class::Clock,
            Self::Certificate { .. } => Class::Ca,
            Self::Roots(_) | Self::EabKey | Self::NoChallenge(..) => Class::Configuration,
            Self::Request(_) => Class::Fault,
            Self::Store(_) => Class::Store,
        }
    }
}
