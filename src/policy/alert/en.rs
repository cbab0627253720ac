//! English.

use super::Kind;
use super::reply::Said;
use super::text::{Doing, Lasts, Span, Words};
use crate::policy::failure::Class;
use crate::policy::finding::{About, Level};
use crate::policy::lifecycle::Word;

pub(super) const WORDS: Words = Words {
    title,
    reminder: " (reminder)",
    host: "💻 Host: ",
    addresses: "🌐 IP: ",
    lasts,
    span,
    reason: |class, error| format!("Reason ({}): {error}", class.as_str()),
    detail: |detail| format!("In particular: {detail}"),
    doing,
    remedy: |kind, class| remedy(kind, class).to_owned(),
    more: |kind| format!("More: docs/runbook.md, section {}", kind.as_str()),
    late: |age, at| format!("This message comes {age} late, it could not be sent earlier. It is from {at}."),
    dropped: |count| match count {
        1 => "1 older alert could not be sent and was dropped.".to_owned(),
        count => format!("{count} older alerts could not be sent and were dropped."),
    },
    state: |word| match word {
        Word::Valid => "valid: all is well",
        Word::Renewing => "renewing: a new certificate is being fetched",
        Word::Failed => "failed: the last try failed, the next one will come",
        Word::Critical => "critical: the certificate is about to expire",
        Word::Expired => "expired: the certificate has expired",
        Word::Disabled => "disabled: no certificate is wanted",
    },
    next: |at| format!("The next try is at {at}."),
    pending: |count| match count {
        1 => "1 alert has yet to be delivered.".to_owned(),
        count => format!("{count} alerts have yet to be delivered."),
    },
    renewal,
    verdict: |verdict| match verdict {
        Level::Fine => "All is well",
        Level::Warning => "It works, and something should be looked at",
        Level::Broken => "Something is broken",
    },
    about,
    colon: ": ",
    fine: |fine| format!("Fine: {}", fine.join(", ")),
    test: (
        "This is a test of doorman",
        "Nothing is wrong. Somebody ran “doorman alert test”; alerts will arrive here like this.",
    ),
};

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::PortJoined => "Another program listens on a port of doorman, too",
        Kind::SecondWay => "Port 80 does not do; the certificate comes over port 443",
        Kind::PortLost => "Another program has a port that was doorman's",
        Kind::RateLimited => "The CA allows the next try only after the certificate has expired",
        Kind::PortMissing => "Port 80 is not doorman's, so the certificate cannot be renewed",
        Kind::PortTaken => "Another program has port 80, so the certificate cannot be renewed",
        Kind::RenewalFailing => "The renewal of the certificate keeps failing",
        Kind::XrayStale => "Xray still serves an old certificate",
        Kind::Critical => "The certificate is about to expire",
        Kind::Expired => "The certificate has expired",
        Kind::Recovered => "All is well again",
        Kind::Renewed => "The certificate was renewed",
    }
}

fn about(about: About) -> &'static str {
    match about {
        About::Config => "Configuration",
        About::Daemon => "Daemon",
        About::Port => "Port",
        About::Panel => "Panel",
        About::Address => "Address",
        About::Ca => "CA",
        About::Clock => "Clock",
        About::Store => "Store",
        About::Xray => "Xray",
        About::AcmeClient => "ACME client",
        About::Telegram => "Telegram",
    }
}

fn lasts(lasts: Lasts<'_>) -> String {
    match lasts {
        Lasts::Missing => "There is no certificate yet.".to_owned(),
        Lasts::Left { span, until } => format!("The certificate is good for another {span}, until {until}."),
        Lasts::Over { span, since } => format!("The certificate expired {span} ago, at {since}."),
    }
}

fn span(span: Span) -> String {
    let some = |count: u64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    match (span.days, span.hours, span.minutes) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, minutes) => some(minutes, "minute"),
        (0, hours, 0) => some(hours, "hour"),
        (0, hours, minutes) => format!("{} {}", some(hours, "hour"), some(minutes, "minute")),
        (days, 0, _) => some(days, "day"),
        (days, hours, _) => format!("{} {}", some(days, "day"), some(hours, "hour")),
    }
}

fn doing(doing: Doing<'_>) -> String {
    let does = match doing.kind {
        Kind::PortJoined => "doorman goes on serving, and as a rule the other program gets no connection.",
        Kind::SecondWay => {
            "doorman renews over port 443 as long as that works, and goes back to port 80 by itself."
        }
        Kind::PortLost => "doorman tries to take the port every two seconds.",
        Kind::RateLimited => "doorman waits for the moment that the CA named, and tries again then.",
        Kind::PortMissing => {
            "doorman tries every two seconds to take what http.listen names, and renews at once when it has it."
        }
        Kind::PortTaken => {
            "doorman tries to take the port every two seconds, and renews at once when it is free."
        }
        Kind::RenewalFailing => "doorman goes on trying by itself.",
        Kind::XrayStale => {
            "doorman goes on looking, and does nothing that would cut users off while the old one is good."
        }
        Kind::Critical => "doorman tries about every hour until it succeeds.",
        Kind::Expired if doing.stands_in => {
            "doorman serves a certificate of its own local CA meanwhile, and tries about every hour."
        }
        Kind::Expired => "doorman goes on serving the expired certificate, and tries about every hour.",
        Kind::Recovered => "doorman goes on as ever.",
        Kind::Renewed => "doorman serves the new certificate, and renews it in time.",
    };
    let mut text = does.to_owned();
    match doing.kind {
        Kind::XrayStale | Kind::Recovered | Kind::Renewed => {}
        Kind::PortJoined
        | Kind::SecondWay
        | Kind::PortLost
        | Kind::RateLimited
        | Kind::PortMissing
        | Kind::PortTaken
        | Kind::RenewalFailing
        | Kind::Critical
        | Kind::Expired => {
            if doing.failures > 0 {
                text.push_str(&format!(" Failures in a row: {}.", doing.failures));
            }
            if let Some(next) = doing.next_try {
                text.push_str(&format!(" The next try is at {next}."));
            }
        }
    }
    text
}

fn renewal(said: Said<'_>) -> String {
    match said {
        Said::Began => "A renewal has begun. /status says what comes of it.".to_owned(),
        Said::Joined => "A renewal is under way already.".to_owned(),
        Said::BackOff(at) => format!("Not now: the last try failed. The next one is at {at}."),
        Said::Budget(at) => format!("Not now: the CA allows no more failed validations before {at}."),
        Said::Governor(at) => {
            format!("Not now: four certificates were issued lately. One more from {at} on.")
        }
        Said::Refused(at) => format!("Not now: the CA refuses the configuration. It is asked again at {at}."),
        Said::Port => "Not now: port 80 is not doorman's. “doorman status” says why.".to_owned(),
        Said::Disabled => "There is no certificate to renew.".to_owned(),
        Said::Busy => "doorman is busy; ask again in a moment.".to_owned(),
    }
}

fn remedy(kind: Kind, class: Option<Class>) -> &'static str {
    match kind {
        Kind::RateLimited => {
            "See with “doorman status” which limit it is. If another program or machine orders for this address, stop it; otherwise set ip_cert.directory to another CA."
        }
        Kind::PortJoined => {
            "Stop the program that joined, or let it listen elsewhere. “doorman status” says which it is."
        }
        Kind::SecondWay => {
            "Free port 80 if another program has it, or open it in the provider's firewall. “doorman doctor” says what is in the way."
        }
        Kind::PortLost => {
            "Stop the program that has the port, or move it to another one. “doorman status” says which it is."
        }
        Kind::PortMissing => {
            "No other program has it: a privilege is missing, or an address of this machine, or a line of http.listen. “doorman status” says which."
        }
        Kind::PortTaken => {
            "Stop the program that has port 80, or move it to another port. “doorman status” says which it is."
        }
        Kind::XrayStale => {
            "“doorman status” names the inbound. Save it unchanged in the panel's page: the new certificate is served at once. With tcp, ws and httpupgrade open connections stay; with grpc and xhttp they are cut, so choose a quiet hour."
        }
        Kind::Recovered | Kind::Renewed => "There is nothing that you need to do.",
        Kind::RenewalFailing | Kind::Critical | Kind::Expired => class.map_or(
            "Look at “doorman status” for what stands in the way, correct it, then run “doorman renew”.",
            remedy_by_class,
        ),
    }
}

fn remedy_by_class(class: Class) -> &'static str {
    match class {
        Class::Network => {
            "This machine does not reach the CA: look at DNS, the routes and an outgoing firewall. Then run “doorman renew”."
        }
        Class::Ca => {
            "The CA has trouble: look at its status page. If it lasts, set ip_cert.directory to another CA."
        }
        Class::RateLimit => {
            "A limit of the CA is spent: find out who else orders for this address, and stop it. doorman tries again when the CA allows it."
        }
        Class::Validation => {
            "The CA does not reach this machine: open port 80 in the provider's firewall, and see that the address is still this machine's. Then run “doorman renew”."
        }
        Class::Configuration => {
            "The CA refuses what the configuration says: correct it as the reason says, and restart doorman."
        }
        Class::Clock => "Set the clock, e.g. with “timedatectl set-ntp true”. Then run “doorman renew”.",
        Class::Store => {
            "The disk cannot be written: look at “df -h” and “mount”, and make room. Then run “doorman renew”."
        }
        Class::Installation => {
            "The new certificate is there, but a listener presents another one: restart doorman."
        }
        Class::Fault => {
            "This is a fault of doorman itself: please report it with the log, and restart doorman."
        }
    }
}
