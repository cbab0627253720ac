//! What the page says, language by language. Another language is one more file like `en.rs`.

use std::time::Duration;

use super::{en, zh_cn};
use crate::config::Language;
use crate::policy::failure::Class;
use crate::policy::lifecycle::Word;
use crate::shared::listeners::Kind;

/// The words of one language.
pub(super) struct Words {
    /// Its tag.
    pub(super) tag: &'static str,
    /// The state in a word.
    pub(super) state: fn(Word) -> &'static str,
    /// The state in a sentence or two.
    pub(super) meaning: fn(Word, &Prospects) -> String,
    /// A span in its two largest units.
    pub(super) span: fn(Duration) -> String,
    /// So long from now, and so long ago.
    pub(super) ahead: fn(&str) -> String,
    pub(super) ago: fn(&str) -> String,
    pub(super) address: &'static str,
    pub(super) good_until: &'static str,
    pub(super) next_try: &'static str,
    pub(super) not_planned: &'static str,
    pub(super) why: &'static str,
    pub(super) alerts: &'static str,
    pub(super) life: &'static str,
    pub(super) picture: &'static str,
    pub(super) issued: &'static str,
    pub(super) window: &'static str,
    pub(super) planned: &'static str,
    pub(super) threshold: &'static str,
    pub(super) critical: &'static str,
    pub(super) expiry: &'static str,
    pub(super) now: &'static str,
    pub(super) traffic: &'static str,
    pub(super) last: fn(&str) -> String,
    pub(super) requests: &'static str,
    pub(super) server_errors: &'static str,
    pub(super) upstream_errors: &'static str,
    pub(super) connections: &'static str,
    pub(super) tunnels: &'static str,
    pub(super) challenges: &'static str,
    /// What a bar stands for, and the highest one.
    pub(super) bars: fn(u8, u64) -> String,
    pub(super) renewals: &'static str,
    pub(super) no_renewals: &'static str,
    pub(super) when: &'static str,
    pub(super) outcome: &'static str,
    pub(super) detail: &'static str,
    pub(super) renewed: &'static str,
    pub(super) failed: &'static str,
    pub(super) tries: fn(u32) -> String,
    pub(super) new_until: &'static str,
    pub(super) class: fn(Class) -> &'static str,
    pub(super) older: &'static str,
    pub(super) inbound: &'static str,
    pub(super) serves: fn(&str) -> &'static str,
    pub(super) listeners: &'static str,
    pub(super) listener: fn(Kind) -> &'static str,
    pub(super) listening: &'static str,
    pub(super) waiting: &'static str,
    pub(super) held_by: &'static str,
    pub(super) joined_by: &'static str,
    pub(super) certificate: &'static str,
    pub(super) no_certificate: &'static str,
    pub(super) issuer: &'static str,
    pub(super) local_ca: &'static str,
    pub(super) as_of: &'static str,
    pub(super) zone: &'static str,
    pub(super) since: &'static str,
    pub(super) lost: &'static str,
}

/// What a sentence about the state needs to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Prospects {
    /// How long the certificate that the CA issued lasts, or for how long it has been over, in words.
    pub(super) left: Option<String>,
    pub(super) over: Option<String>,
    /// "in 3 h": when the next try is.
    pub(super) next: Option<String>,
    /// A leaf of the local CA stands in.
    pub(super) stands_in: bool,
}

/// The words of this language.
pub(super) fn of(language: Language) -> &'static Words {
    match language {
        Language::English => &en::WORDS,
        Language::Chinese => &zh_cn::WORDS,
    }
}
