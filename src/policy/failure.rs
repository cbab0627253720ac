//! What a failed try means for the next one.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::sentence::Sentence;

/// A failed try, as the lifecycle is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where to look.
    pub class: Class,
    /// One sentence for people.
    pub sentence: Sentence,
    /// What it means for the next try.
    pub disposition: Disposition,
}

/// Where a failure comes from, and so where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The way from here to the CA.
    Network,
    /// The CA itself: it is broken, busy, or not to be understood.
    Ca,
    /// A limit of the CA.
    RateLimit,
    /// The way from the CA to here.
    Validation,
    /// The settings.
    Configuration,
    /// This machine's clock.
    Clock,
    /// This machine's disk.
    Store,
    /// The certificate is there, and is not seen where it should be.
    Installation,
    /// doorman itself.
    Fault,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Network,
        Self::Ca,
        Self::RateLimit,
        Self::Validation,
        Self::Configuration,
        Self::Clock,
        Self::Store,
        Self::Installation,
        Self::Fault,
    ];

    /// As the log and `status` spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Ca => "ca",
            Self::RateLimit => "rate_limit",
            Self::Validation => "validation",
            Self::Configuration => "configuration",
            Self::Clock => "clock",
            Self::Store => "store",
            Self::Installation => "installation",
            Self::Fault => "fault",
        }
    }
}

/// Whether an order is tried out first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approach {
    /// The CA is asked at once.
    #[default]
    Straight,
    /// The CA's staging directory validates first, where there is one: its limits are wide, and what fails there costs
    /// nothing here.
    Rehearsed,
}

/// The way on which the CA comes to see that an address is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    /// A token on :80 (RFC 8555 section 8.3).
    #[default]
    Http01,
    /// A certificate on :443 (RFC 8737).
    TlsAlpn01,
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "HTTP-01",
            Self::TlsAlpn01 => "TLS-ALPN-01",
        })
    }
}

/// The directory for trying out that belongs to this one.
#[must_use]
pub fn staging_of(directory: &str) -> Option<&'static str> {
    match directory {
        "https://acme-v02.api.letsencrypt.org/directory" => {
            Some("https://acme-staging-v02.api.letsencrypt.org/directory")
        }
        _ => None,
    }
}

/// What a failure means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It may go away by itself: the next step of the back-off table.
    Retry,
    /// The CA validated and said no: as [`Self::Retry`], and one of the few failed validations an hour is spent.
    Validation,
    /// The CA's staging directory validated and said no: as [`Self::Retry`], for it has limits of its own.
    Rehearsal,
    /// The CA named a moment, with a 503 for instance: not before it.
    NotBefore(OffsetDateTime),
    /// A limit of the CA is used up: not before the moment it named, if it named one.
    RateLimited(Option<OffsetDateTime>),
    /// The CA will say the same until the configuration changes; asked again only when it is critical, once a day.
    Refused,
}

/// The error types of RFC 8555 section 6.7, RFC 8738, RFC 9773 section 7.4 and the profiles draft that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `accountDoesNotExist`
    AccountDoesNotExist,
    /// `alreadyReplaced`
    AlreadyReplaced,
    /// `badCSR`
    BadCsr,
    /// `badNonce`
    BadNonce,
    /// `connection`
    Connection,
    /// `externalAccountRequired`
    ExternalAccountRequired,
    /// `incorrectResponse`
    IncorrectResponse,
    /// `invalidContact` and `unsupportedContact`
    InvalidContact,
    /// `invalidProfile`
    InvalidProfile,
    /// `malformed`
    Malformed,
    /// `orderNotReady`
    OrderNotReady,
    /// `rateLimited`
    RateLimited,
    /// `rejectedIdentifier` and `unsupportedIdentifier`
    RejectedIdentifier,
    /// `serverInternal`
    ServerInternal,
    /// `tls`
    Tls,
    /// `unauthorized`
    Unauthorized,
    /// `userActionRequired`
    UserActionRequired,
    /// Anything else.
    Other,
}

impl Kind {
    /// Where to look when a problem of this kind answers a request. `unauthorized` is about the account there; where it is
    /// about an address, the authorization says it.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::RateLimited => Class::RateLimit,
            Self::Connection | Self::IncorrectResponse | Self::Tls => Class::Validation,
            Self::ExternalAccountRequired
            | Self::InvalidContact
            | Self::InvalidProfile
            | Self::RejectedIdentifier
            | Self::UserActionRequired => Class::Configuration,
            Self::AccountDoesNotExist
            | Self::AlreadyReplaced
            | Self::BadCsr
            | Self::BadNonce
            | Self::Malformed
            | Self::OrderNotReady
            | Self::ServerInternal
            | Self::Unauthorized
            | Self::Other => Class::Ca,
        }
    }

    /// Reads the `type` of a problem document.
    #[must_use]
    pub fn parse(urn: &str) -> Self {
        match urn.strip_prefix("urn:ietf:params:acme:error:").unwrap_or_default() {
            "accountDoesNotExist" => Self::AccountDoesNotExist,
            "alreadyReplaced" => Self::AlreadyReplaced,
            "badCSR" => Self::BadCsr,
            "badNonce" => Self::BadNonce,
            "connection" => Self::Connection,
            "externalAccountRequired" => Self::ExternalAccountRequired,
            "incorrectResponse" => Self::IncorrectResponse,
            "invalidContact" | "unsupportedContact" => Self::InvalidContact,
            "invalidProfile" => Self::InvalidProfile,
            "malformed" => Self::Malformed,
            "orderNotReady" => Self::OrderNotReady,
            "rateLimited" => Self::RateLimited,
            "rejectedIdentifier" | "unsupportedIdentifier" => Self::RejectedIdentifier,
            "serverInternal" => Self::ServerInternal,
            "tls" => Self::Tls,
            "unauthorized" => Self::Unauthorized,
            "userActionRequired" => Self::UserActionRequired,
            _ => Self::Other,
        }
    }

    /// What a problem of this kind means when it answers a request; `retry_after` is the moment that the CA named.
    #[must_use]
    pub fn disposition(self, retry_after: Option<OffsetDateTime>) -> Disposition {
        match self {
            Self::RateLimited => Disposition::RateLimited(retry_after),
            Self::ExternalAccountRequired
            | Self::InvalidContact
            | Self::InvalidProfile
            | Self::RejectedIdentifier
            | Self::UserActionRequired => Disposition::Refused,
            Self::AccountDoesNotExist
            | Self::AlreadyReplaced
            | Self::BadCsr
            | Self::BadNonce
            | Self::Connection
            | Self::IncorrectResponse
            | Self::Malformed
            | Self::OrderNotReady
            | Self::ServerInternal
            | Self::Tls
            | Self::Unauthorized
            | Self::Other => retry_after.map_or(Disposition::Retry, Disposition::NotBefore),
        }
    }

    /// What the administrator can do about it, where that is known.
    #[must_use]
    pub fn advice(self) -> Option<Sentence> {
        let (english, chinese) = match self {
            Self::Connection | Self::Tls => (
                "is :80 open in the provider's firewall, and does it lead to this machine?",
                "服务商的防火墙是否放行了 :80，它是否指向本机？",
            ),
            Self::Unauthorized | Self::IncorrectResponse => (
                "does another machine or program answer for this address?",
                "是否有其他机器或程序在以该地址应答？",
            ),
            Self::RejectedIdentifier => {
                ("set ip_cert.ip to a public address of this machine", "请把 ip_cert.ip 设为本机的公网地址")
            }
            Self::InvalidProfile => (
                "set ip_cert.profile to one that the CA offers, or to \"\"",
                "请把 ip_cert.profile 设为 CA 提供的类型，或设为 \"\"",
            ),
            Self::ExternalAccountRequired => (
                "set ip_cert.eab_kid and ip_cert.eab_hmac_key",
                "请设置 ip_cert.eab_kid 和 ip_cert.eab_hmac_key",
            ),
            Self::InvalidContact => {
                ("correct ip_cert.email, or leave it empty", "请更正 ip_cert.email，或将其留空")
            }
            Self::AccountDoesNotExist
            | Self::AlreadyReplaced
            | Self::BadCsr
            | Self::BadNonce
            | Self::Malformed
            | Self::OrderNotReady
            | Self::RateLimited
            | Self::ServerInternal
            | Self::UserActionRequired
            | Self::Other => return None,
        };
        Some(Sentence::new(english, chinese))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn kinds_are_read_from_their_urn_and_from_nothing_else() {
        let urn = "urn:ietf:params:acme:error:rejectedIdentifier";
        assert_eq!(Kind::parse(urn), Kind::RejectedIdentifier);
        assert_eq!(Kind::parse("rejectedIdentifier"), Kind::Other);
        assert_eq!(Kind::parse(""), Kind::Other);
    }

    #[test]
    fn only_production_has_a_staging_directory() {
        let production = "https://acme-v02.api.letsencrypt.org/directory";
        let staging = staging_of(production).unwrap();
        assert_ne!(staging, production);
        assert_eq!(staging_of(staging), None, "what is tried out needs no trying out");
        assert_eq!(staging_of("https://ca.example/directory"), None);
    }

    #[test]
    fn classes_are_spelled_as_in_the_state_file() {
        for class in [Class::RateLimit, Class::Ca, Class::Installation, Class::Fault] {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
    }

    #[test]
    fn a_moment_named_by_the_ca_is_kept() {
        let at = datetime!(2026-01-01 00:00 UTC);
        assert_eq!(Kind::RateLimited.disposition(Some(at)), Disposition::RateLimited(Some(at)));
        assert_eq!(Kind::ServerInternal.disposition(Some(at)), Disposition::NotBefore(at));
        assert_eq!(Kind::ServerInternal.disposition(None), Disposition::Retry);
        assert_eq!(Kind::InvalidProfile.disposition(Some(at)), Disposition::Refused);
    }
}
