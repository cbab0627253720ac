//! What an error means: a sentence for people, where to look, and what it is for the next try.

use super::super::wire::WireError;
use super::IssueError;
use crate::control::chain::Chain;
use crate::control::pair::PairError;
use crate::control::zh_cn::InWords;
use crate::policy::failure::{Challenge, Class, Disposition, Failure, Kind};
use crate::policy::sentence::Sentence;

impl IssueError {
    /// As the lifecycle is told.
    pub(crate) fn failure(&self) -> Failure {
        Failure {
            class: self.class(),
            sentence: Sentence::new(self.said(), self.chinese()).and(&self.advice().unwrap_or_default()),
            disposition: self.disposition(),
        }
    }

    fn advice(&self) -> Option<Sentence> {
        let (english, chinese) = match self {
            Self::Validation { kind: Kind::Connection | Kind::Tls, way: Challenge::TlsAlpn01, .. } => (
                "is :443 open in the provider's firewall, and does it lead to this machine?",
                "服务商的防火墙是否放行了 :443，它是否指向本机？",
            ),
            Self::NoAccount { .. } => (
                "are ip_cert.eab_kid and ip_cert.eab_hmac_key what the CA's web site shows?",
                "ip_cert.eab_kid 和 ip_cert.eab_hmac_key 是否与 CA 网站上显示的一致？",
            ),
            Self::NoProfile { .. } => return Kind::InvalidProfile.advice(),
            Self::Problem { kind: Kind::Unauthorized, .. } => return None, // nobody has looked at an address
            Self::Problem { kind, .. } | Self::Validation { kind, .. } => return kind.advice(),
            Self::Rehearsal(error) | Self::Earlier(error) => return error.advice(),
            Self::Clock { .. } => (
                "set it, e.g. by `timedatectl set-ntp true`",
                "请校准时钟，例如运行 timedatectl set-ntp true",
            ),
            Self::Wire(error) if error.is_about_time() => (
                "is this machine's clock right? `timedatectl set-ntp true` sets it",
                "本机时钟是否正确？timedatectl set-ntp true 可以校准",
            ),
            Self::Wire(WireError::Unreachable { .. } | WireError::TimedOut { .. }) => (
                "does this machine reach the CA? look at its DNS, its routes and its firewall",
                "本机能否连接 CA？请检查 DNS、路由和防火墙",
            ),
            Self::Wire(WireError::Status { .. }) => (
                "the CA has trouble of its own; its status page may say more",
                "CA 自身出现故障，它的状态页可能有说明",
            ),
            Self::SelfCheck { .. } | Self::TlsCheck { .. } => {
                ("the CA was not told, so this costs none of its limits", "尚未通知 CA，因此不消耗它的限额")
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
            | Self::Store(_) => return None,
        };
        Some(Sentence::new(english, chinese))
    }

    fn said(&self) -> String {
        match self {
            Self::Earlier(error) => error.said(),
            // These name their cause themselves.
            Self::Wire(_) | Self::Rehearsal(_) | Self::Certificate { .. } | Self::Store(_) => {
                self.to_string()
            }
            Self::Roots(_)
            | Self::EabKey
            | Self::NoAccount { .. }
            | Self::NoProfile { .. }
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
            Self::Earlier(error) => error.disposition(),
            Self::TooEarly { until } => Disposition::NotBefore(*until),
            Self::Invalid => Disposition::Validation,
            Self::EabKey | Self::NoAccount { .. } | Self::NoProfile { .. } | Self::NoChallenge(..) => {
                Disposition::Refused
            }
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
            Self::Rehearsal(error) | Self::Earlier(error) => error.class(),
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
            Self::Roots(_)
            | Self::EabKey
            | Self::NoAccount { .. }
            | Self::NoProfile { .. }
            | Self::NoChallenge(..) => Class::Configuration,
            Self::Request(_) => Class::Fault,
            Self::Store(_) => Class::Store,
        }
    }
}
