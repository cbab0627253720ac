//! Why an order came to nothing.

mod meaning;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use instant_acme::{OrderStatus, Problem};
use thiserror::Error;
use time::OffsetDateTime;

use super::selfcheck::{CHALLENGE_PATH, SelfCheckError, host};
use super::tls_alpn::TlsCheckError;
use super::wire::WireError;
use super::words::cause;
use crate::control::pair::PairError;
use crate::control::store::StoreError;
use crate::policy::failure::{Challenge, Kind};
use crate::policy::lifecycle::Fate;
use crate::policy::sentence::roughly;
use crate::shared::trust::TrustError;

/// Why an order came to nothing.
#[derive(Debug, Error)]
pub(crate) enum IssueError {
    /// The file of `directory_ca` cannot be used.
    #[error("the roots of ip_cert.directory_ca cannot be used")]
    Roots(#[from] TrustError),
    /// `eab_hmac_key` is not base64.
    #[error("ip_cert.eab_hmac_key is not base64url: copy it again from the CA")]
    EabKey,
    /// No account, and so no order: what is bound to it is not what the CA gave out, or is wanted and missing.
    #[error("the CA gives no account: {}", cause(.problem))]
    NoAccount {
        /// What the CA said.
        problem: Problem,
    },
    /// The profile that the settings name is none of the CA's.
    #[error("the CA does not offer the profile {wanted:?}; it offers {}", listed(.offered))]
    NoProfile {
        /// What the settings name.
        wanted: String,
        /// What the directory lists.
        offered: Vec<String>,
    },
    /// Nothing that ACME has a word for.
    #[error("the CA cannot be used now: {0}")]
    Wire(#[source] WireError),
    /// What answered does not speak ACME.
    #[error("what answered is no ACME server")]
    NotAcme(#[source] serde_json::Error),
    /// The library could not go on.
    #[error("the ACME exchange broke off")]
    Library(#[source] instant_acme::Error),
    /// A problem document.
    #[error("the CA refused: {}", cause(.problem))]
    Problem {
        /// Its type.
        kind: Kind,
        /// What the CA said.
        problem: Problem,
        /// The moment that it named.
        retry_after: Option<OffsetDateTime>,
    },
    /// This machine's clock differs from the CA's by more than a certificate bears.
    #[error("this machine's clock is {} the CA's", compared(*.ahead))]
    Clock {
        /// Our clock less the CA's.
        ahead: time::Duration,
    },
    /// The staging directory looked, and was not satisfied.
    #[error("tried out at the CA's staging directory first: {0}")]
    Rehearsal(#[source] Box<IssueError>),
    /// The order of an earlier try, which was to go on, came to nothing.
    #[error(transparent)]
    Earlier(Box<IssueError>),
    /// The CA looked, and was not satisfied.
    #[error("{}: {}", not_validated(*.identifier, *.way, *.kind), cause(.problem))]
    Validation {
        /// For which address.
        identifier: IpAddr,
        /// On which way it came.
        way: Challenge,
        /// Its type.
        kind: Kind,
        /// What the CA said.
        problem: Problem,
    },
    /// The order became invalid, and no challenge says why.
    #[error("the CA gave the order up without saying why")]
    Invalid,
    /// Not among the challenges.
    #[error("the CA offers no {1} challenge for {0}")]
    NoChallenge(IpAddr, Challenge),
    /// An authorization for something that was not asked for.
    #[error("the CA asks for an address that was not ordered")]
    ForeignIdentifier,
    /// The token did not come back through our own door.
    #[error("the token is not served at {address}: {source}")]
    SelfCheck {
        /// Our listener.
        address: SocketAddr,
        /// What came instead.
        source: SelfCheckError,
    },
    /// The certificate that answers was not seen through our own door.
    #[error("the certificate of the challenge is not served at {address}: {source}")]
    TlsCheck {
        /// Our listener.
        address: SocketAddr,
        /// What came instead.
        source: TlsCheckError,
    },
    /// Nothing happens any more.
    #[error("the CA made no progress in {} s (the order is {status:?})", .limit.as_secs())]
    Stalled {
        /// Where it stopped.
        status: OrderStatus,
        /// How long that was watched.
        limit: Duration,
    },
    /// The certificate is not what was asked for.
    #[error("the CA's certificate cannot be used: {source}")]
    Certificate {
        /// When it was issued, by the CA's clock.
        at: OffsetDateTime,
        /// What is wrong with it.
        source: PairError,
    },
    /// The order of an earlier try is too old to be taken up, or its profile is not wanted any more, and the certificate
    /// that the CA may have made for it is lost.
    #[error(
        "an order that the CA had finished cannot be taken up any more; its certificate is lost, and counts"
    )]
    Lost {
        /// When it was asked for, by the CA's clock.
        at: OffsetDateTime,
    },
    /// One more certificate is one too many.
    #[error(
        "by the CA's clock it is too early for one more certificate; this machine's was ahead, or one that was made is \
         lost"
    )]
    TooEarly {
        /// For so long.
        until: OffsetDateTime,
    },
    /// No key or request could be made.
    #[error("the certificate request could not be made")]
    Request(#[from] rcgen::Error),
    /// What must not be lost could not be kept.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
}

impl IssueError {
    /// From what the library says; `retry_after` is what the CA said beside it.
    pub(super) fn from_library(error: instant_acme::Error, retry_after: Option<OffsetDateTime>) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::Problem { kind: kind(&problem), problem, retry_after },
            instant_acme::Error::Json(error) => Self::NotAcme(error),
            instant_acme::Error::Other(error) => match error.downcast::<WireError>() {
                Ok(error) => Self::Wire(*error),
                Err(error) => Self::Library(instant_acme::Error::Other(error)),
            },
            error @ (instant_acme::Error::Crypto
            | instant_acme::Error::KeyRejected
            | instant_acme::Error::Http(_)
            | instant_acme::Error::InvalidUri(_)
            | instant_acme::Error::Timeout(_)
            | instant_acme::Error::Unsupported(_)
            | instant_acme::Error::Str(_)
            | _) => Self::Library(error),
        }
    }

    /// Whether the CA says that it has not done what it was asked to, and may yet.
    pub(super) fn is_put_off(&self) -> bool {
        matches!(self, Self::Problem { kind: Kind::RateLimited | Kind::BadNonce, .. })
    }

    /// Whether the CA, asked for an order, does not know the account any more, or has deactivated it (RFC 8555 section
    /// 7.3.6): `unauthorized` is about nothing else there.
    pub(super) fn account_is_gone(&self) -> bool {
        matches!(self, Self::Problem { kind: Kind::AccountDoesNotExist | Kind::Unauthorized, .. })
    }

    /// Whether an order without `replaces` may fare better: it was replaced already, or not by this account, or the CA
    /// has no renewal information or does not understand the name.
    pub(super) fn may_be_about_the_replacement(&self) -> bool {
        match self {
            Self::Problem { kind, .. } => matches!(
                kind,
                Kind::AlreadyReplaced
                    | Kind::Malformed
                    | Kind::OrderNotReady
                    // Pebble, for some serial numbers; a fault that would come again with each try.
                    | Kind::ServerInternal
                    | Kind::Unauthorized
                    | Kind::Other
            ),
            Self::Library(_) => true,
            Self::Roots(_)
            | Self::EabKey
            | Self::NoAccount { .. }
            | Self::NoProfile { .. }
            | Self::Wire(_)
            | Self::NotAcme(_)
            | Self::Clock { .. }
            | Self::Rehearsal(_)
            | Self::Earlier(_)
            | Self::Validation { .. }
            | Self::Invalid
            | Self::NoChallenge(..)
            | Self::ForeignIdentifier
            | Self::SelfCheck { .. }
            | Self::TlsCheck { .. }
            | Self::Stalled { .. }
            | Self::Certificate { .. }
            | Self::TooEarly { .. }
            | Self::Lost { .. }
            | Self::Request(_)
            | Self::Store(_) => false,
        }
    }

    /// Whether the CA may have done what it was asked to: no answer came, or one that says that it was not to be asked.
    pub(super) fn leaves_it_open(&self) -> bool {
        matches!(
            self,
            Self::Wire(WireError::Unreachable { .. } | WireError::TimedOut { .. } | WireError::Body { .. })
                | Self::Problem { kind: Kind::Malformed, .. }
        )
    }

    /// Whether the CA may have come already when it was told that it can: no answer came, or one about what it found. The
    /// library takes a challenge with an error in it for a refusal.
    pub(super) fn may_be_news(&self) -> bool {
        self.leaves_it_open() || (matches!(self, Self::Problem { .. }) && self.ends_the_order())
    }

    /// Whether the CA came, or tried to, and was not satisfied.
    pub(super) fn is_a_failed_validation(&self) -> bool {
        matches!(self, Self::Validation { .. } | Self::Invalid)
    }

    /// Whether a new order may fare better at once.
    pub(crate) fn is_of_an_earlier_try(&self) -> bool {
        matches!(self, Self::Earlier(_))
    }

    /// The moment before which the CA wants not to be asked again.
    pub(super) fn retry_after(&self) -> Option<OffsetDateTime> {
        if let Self::Problem { retry_after, .. } | Self::Wire(WireError::Status { retry_after, .. }) = self {
            *retry_after
        } else {
            None
        }
    }

    /// When a certificate was issued all the same, by the CA's clock, and what became of it.
    pub(crate) fn spent_a_certificate(&self) -> Option<(OffsetDateTime, Fate)> {
        if let Self::Certificate { at, .. } = self {
            Some((*at, Fate::Useless))
        } else if let Self::Lost { at } = self {
            Some((*at, Fate::Lost))
        } else if let Self::Earlier(error) = self {
            error.spent_a_certificate()
        } else {
            None
        }
    }

    /// Whether nothing can come of this order any more. A limit or a fault of the CA passes, and the order is still there.
    pub(super) fn ends_the_order(&self) -> bool {
        match self {
            Self::Problem { kind, .. } => {
                !matches!(kind, Kind::RateLimited | Kind::ServerInternal | Kind::BadNonce)
            }
            Self::Validation { .. }
            | Self::Invalid
            | Self::Certificate { .. }
            | Self::NoChallenge(..)
            | Self::ForeignIdentifier => true,
            Self::Roots(_)
            | Self::TooEarly { .. }
            | Self::Lost { .. }
            | Self::Earlier(_)
            | Self::EabKey
            | Self::NoAccount { .. }
            | Self::NoProfile { .. }
            | Self::Wire(_)
            | Self::NotAcme(_)
            | Self::Library(_)
            | Self::Clock { .. }
            | Self::Rehearsal(_)
            | Self::SelfCheck { .. }
            | Self::TlsCheck { .. }
            | Self::Stalled { .. }
            | Self::Request(_)
            | Self::Store(_) => false,
        }
    }
}

pub(super) fn kind(problem: &Problem) -> Kind {
    Kind::parse(problem.r#type.as_deref().unwrap_or_default())
}

fn not_validated(identifier: IpAddr, way: Challenge, kind: Kind) -> String {
    match (kind, way) {
        (Kind::Connection, Challenge::Http01) => {
            format!("the CA could not reach http://{}{CHALLENGE_PATH}…", host(identifier))
        }
        (Kind::Connection, Challenge::TlsAlpn01) => {
            format!("the CA could not reach {}:{}", host(identifier), super::tls_alpn::PORT)
        }
        (_, Challenge::Http01) => format!("the CA could not validate {identifier}"),
        (_, Challenge::TlsAlpn01) => format!("the CA could not validate {identifier} over TLS-ALPN-01"),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn compared(ahead: time::Duration) -> String {
    let span = roughly(ahead.unsigned_abs());
    if ahead.is_positive() { format!("{span} ahead of") } else { format!("{span} behind") }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use time::macros::datetime;

    use super::*;
    use crate::config::Language;
    use crate::policy::failure::{Class, Disposition};

    fn problem(kind: &str, detail: &str) -> Problem {
        let json = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"{detail}"}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_failed_validation_says_who_could_not_be_reached_and_what_to_do() {
        let error = IssueError::Validation {
            identifier: "203.0.113.7".parse().unwrap(),
            way: Challenge::Http01,
            kind: Kind::Connection,
            problem: problem("connection", "connection refused"),
        };
        let failure = error.failure();
        assert_eq!(failure.disposition, Disposition::Validation);
        assert_eq!(
            failure.sentence.english(),
            "the CA could not reach http://203.0.113.7/.well-known/acme-challenge/…: connection refused; is :80 open \
             in the provider's firewall, and does it lead to this machine?"
        );
        assert_eq!(
            failure.sentence.in_language(Language::Chinese),
            "CA 无法访问 http://203.0.113.7/.well-known/acme-challenge/…：“connection refused”；服务商的防火墙是否放行了 \
             :80，它是否指向本机？"
        );
        let elsewhere = IssueError::Validation {
            identifier: "2001:db8::7".parse().unwrap(),
            way: Challenge::Http01,
            kind: Kind::IncorrectResponse,
            problem: problem("incorrectResponse", "another body"),
        };
        assert!(
            elsewhere
                .failure()
                .sentence
                .english()
                .starts_with("the CA could not validate 2001:db8::7: another body; ")
        );
    }

    #[test]
    fn the_token_of_a_challenge_is_not_repeated() {
        let said = |detail| cause(&problem("connection", detail));
        let lets_encrypt = "203.0.113.7: Fetching http://203.0.113.7/.well-known/acme-challenge/s3_cr-et: Connection refused";
        assert_eq!(said(lets_encrypt), "Connection refused");
        let unexpected =
            "Invalid response from http://203.0.113.7/.well-known/acme-challenge/s3_cr-et [203.0.113.7] 404";
        assert_eq!(
            said(unexpected),
            "Invalid response from http://203.0.113.7/.well-known/acme-challenge/… [203.0.113.7] 404"
        );
        assert_eq!(said("at /.well-known/acme-challenge/s3"), "at /.well-known/acme-challenge/…");
        assert_eq!(said("Connection refused"), "Connection refused");
    }

    #[test]
    fn a_clock_that_is_wrong_is_named() {
        let failure = IssueError::Clock { ahead: time::Duration::hours(-3) }.failure();
        assert_eq!(failure.class, Class::Clock);
        assert!(
            failure.sentence.english().starts_with("this machine's clock is 3 h behind the CA's; set it")
        );
        let chinese = failure.sentence.in_language(Language::Chinese);
        assert!(chinese.starts_with("本机时钟比 CA 慢 3 小时；请校准时钟"), "{chinese}");
    }

    #[test]
    fn what_fails_in_the_rehearsal_costs_nothing_and_says_where_it_was() {
        let failed = IssueError::Validation {
            identifier: "203.0.113.7".parse().unwrap(),
            way: Challenge::Http01,
            kind: Kind::Connection,
            problem: problem("connection", "Timeout"),
        };
        let failure = IssueError::Rehearsal(Box::new(failed)).failure();
        assert_eq!((failure.class, failure.disposition), (Class::Validation, Disposition::Rehearsal));
        assert!(
            failure
                .sentence
                .english()
                .starts_with("tried out at the CA's staging directory first: the CA could not")
        );
        assert!(failure.sentence.english().ends_with("to this machine?"));
    }

    #[test]
    fn a_page_of_a_load_balancer_is_waited_for_as_it_says() {
        let at = datetime!(2026-01-01 00:00 UTC);
        let error = |status| {
            IssueError::Wire(WireError::Status { host: "ca".to_owned(), status, retry_after: Some(at) })
        };
        let unavailable = error(StatusCode::SERVICE_UNAVAILABLE).failure();
        assert_eq!(unavailable.disposition, Disposition::NotBefore(at));
        let too_many = error(StatusCode::TOO_MANY_REQUESTS).failure();
        assert_eq!(too_many.disposition, Disposition::RateLimited(Some(at)));
    }

    #[test]
    fn a_library_error_keeps_what_the_wire_knew() {
        let wire = WireError::TimedOut { host: "ca".to_owned() };
        let error = IssueError::from_library(instant_acme::Error::Other(Box::new(wire)), None);
        assert!(matches!(error, IssueError::Wire(WireError::TimedOut { .. })));
        let at = datetime!(2026-01-01 00:00 UTC);
        let limited = instant_acme::Error::Api(problem("rateLimited", "too many"));
        let failure = IssueError::from_library(limited, Some(at)).failure();
        assert_eq!(failure.disposition, Disposition::RateLimited(Some(at)));
    }
}
