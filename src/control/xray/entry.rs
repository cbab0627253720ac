//! What `status` says of an inbound.

use serde::Serialize;
use time::OffsetDateTime;

use crate::control::when;
use crate::policy::sentence::Sentence;
use crate::policy::xray::audit::{Audit, Follows};
use crate::policy::xray::inbound::Usage;

/// What an inbound presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Serves {
    /// Every port the newest certificate.
    Current,
    /// Nobody knows.
    Unknown,
    /// A port another one.
    Stale,
}

/// One inbound, or one address of `xray.probe`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) tag: String,
    pub(crate) address: String,
    pub(crate) transport: String,
    pub(crate) serves: Serves,
    pub(crate) detail: String,
    /// The same in each language.
    pub(crate) detail_words: Sentence,
    /// SHA-256 of the leaf that was looked for.
    pub(crate) compared_with: String,
    /// When it was last looked at.
    #[serde(serialize_with = "when::serialize_option")]
    pub(crate) looked_at: Option<OffsetDateTime>,
    /// When the next step is due that may make it current; `None` if there is none.
    #[serde(serialize_with = "when::serialize_option")]
    pub(crate) due_at: Option<OffsetDateTime>,
    /// From the new pair in the files to the handshake that showed it; of the last change.
    pub(crate) seconds_to_served: Option<f64>,
    /// What its settings say; `None` of an address of `xray.probe`.
    pub(crate) audit: Option<Said>,
    /// What somebody can do now, if nothing is left that doorman may do.
    pub(crate) advice: Option<Sentence>,
}

/// An audit, in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Said {
    position: usize,
    certificates: usize,
    inline: bool,
    one_time_loading: bool,
    interval_seconds: u64,
    usage: &'static str,
    reject_unknown_sni: bool,
    readable: Option<bool>,
    /// It follows without help.
    by_itself: bool,
    follows: Sentence,
    remedy: Option<Sentence>,
}

impl Serves {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Unknown => "unknown",
            Self::Stale => "stale",
        }
    }
}

impl Said {
    pub(super) fn of(audit: &Audit) -> Self {
        Self {
            position: audit.position,
            certificates: audit.certificates,
            inline: audit.inline,
            one_time_loading: audit.one_time_loading,
            interval_seconds: audit.interval.as_secs(),
            usage: match audit.usage {
                Usage::Encipherment => "encipherment",
                Usage::Verify => "verify",
                Usage::Issue => "issue",
            },
            reject_unknown_sni: audit.reject_unknown_sni,
            readable: audit.readable,
            by_itself: !matches!(audit.follows, Follows::Never(_)),
            follows: audit.sentence(),
            remedy: audit.remedy(),
        }
    }
}
