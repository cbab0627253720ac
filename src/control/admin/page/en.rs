//! English.

use super::words::{Prospects, Words};
use crate::config::Language;
use crate::policy::failure::Class;
use crate::policy::lifecycle::Word;
use crate::policy::sentence::to_the_minute;
use crate::shared::listeners::Kind;

pub(super) const WORDS: Words = Words {
    tag: "en",
    state: Word::as_str,
    meaning,
    span: |span| to_the_minute(span).in_language(Language::English).to_owned(),
    ahead: |span| format!("in {span}"),
    ago: |span| format!("{span} ago"),
    address: "Address",
    good_until: "Good until",
    next_try: "Next renewal",
    not_planned: "not planned",
    why: "Last error:",
    alerts: "Open alerts",
    life: "The certificate's life",
    picture: "From issue to expiry, with the renewal that is planned; the list below says the same.",
    issued: "Issued",
    window: "Window of the CA",
    planned: "Planned renewal",
    threshold: "Renewed at the latest",
    critical: "Critical from here",
    expiry: "Expiry",
    now: "Now",
    traffic: "Requests",
    last: |span| format!("last {span}"),
    requests: "requests",
    server_errors: "answered with 5xx",
    upstream_errors: "panel gave no answer",
    connections: "open connections",
    tunnels: "open tunnels",
    challenges: "ACME challenges",
    bars: |minutes, most| format!("A bar is {minutes} min; the highest is {most}."),
    renewals: "Renewals",
    no_renewals: "None yet.",
    when: "When",
    outcome: "Outcome",
    detail: "Detail",
    renewed: "renewed",
    failed: "failed",
    tries: |tries| format!("{tries} tries"),
    new_until: "new certificate good until",
    class,
    older: "Older",
    inbound: "Inbound",
    serves: |serves| match serves {
        "current" => "current",
        "stale" => "stale",
        _ => "unknown",
    },
    listeners: "Ports",
    listener: |kind| match kind {
        Kind::Http => "HTTP",
        Kind::Https => "HTTPS",
        Kind::Forward => "forward",
    },
    listening: "listening",
    waiting: "waiting",
    held_by: "held by ",
    joined_by: "also listening: ",
    certificate: "Certificate",
    no_certificate: "There is none yet.",
    issuer: "Issued by",
    local_ca: "Local CA, SHA-256",
    as_of: "As of",
    zone: "times in",
    since: "running since",
    lost: "doorman does not answer. This is what it said last; the page goes on trying.",
};

fn meaning(state: Word, prospects: &Prospects) -> String {
    let left = prospects.left.as_ref().map(|left| format!(" The certificate is good for another {left}."));
    let left = left.unwrap_or_default();
    let next = prospects.next.as_ref().map(|next| format!(" The next try is {next}.")).unwrap_or_default();
    match state {
        Word::Valid => match (&prospects.left, &prospects.next) {
            (Some(left), Some(next)) => format!("Good for another {left}. The renewal is planned {next}."),
            (Some(left), None) => format!("Good for another {left}. No renewal is planned."),
            (None, _) => "All is well.".to_owned(),
        },
        Word::Renewing if prospects.left.is_none() => "The first certificate is being fetched.".to_owned(),
        Word::Renewing => format!("A new certificate is being fetched.{left}"),
        Word::Failed if prospects.left.is_none() => {
            format!("There is no certificate yet, and the last try did not succeed.{next}")
        }
        Word::Failed => format!("The last try did not succeed.{next}{left}"),
        Word::Critical => format!("Little time is left, and the renewal has not succeeded.{left}{next}"),
        Word::Expired => {
            let over = prospects.over.as_deref().unwrap_or("0 s");
            let instead = if prospects.stands_in {
                "A certificate of the local CA stands in."
            } else {
                "Visitors see the expired one."
            };
            format!("The certificate ended {over} ago. {instead}{next}")
        }
        Word::Disabled => "No certificate is wanted. Requests are forwarded.".to_owned(),
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Network => "no way to the CA",
        Class::Ca => "the CA has a fault",
        Class::RateLimit => "a limit of the CA",
        Class::Validation => "the CA did not get through to here",
        Class::Configuration => "the configuration",
        Class::Clock => "this machine's clock",
        Class::Store => "this machine's disk",
        Class::Installation => "the new certificate is not seen",
        Class::Fault => "a fault of doorman",
    }
}
