//! The ways on which the CA can come to us, which of them an order takes, and who else is at our ports.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::policy::alert::Company;
use crate::policy::failure::{Challenge, Class, Disposition, Failure};

/// A port that we had may be another's for so long before it is said: a doorman that ends needs 3 s, a restart less.
const PATIENCE: Duration = Duration::from_secs(30);

/// On which ways the CA's validation can reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// HTTP-01 can, as far as we know.
    Ours,
    /// HTTP-01 and TLS-ALPN-01 can.
    Both,
    /// :80 is not ours; TLS-ALPN-01 can, for :443 is.
    OnlyTls,
    /// None: neither port is ours.
    Taken,
}

impl Ports {
    /// From whether each of the two ways is open.
    #[must_use]
    pub fn new(http: Option<()>, tls: Option<()>) -> Self {
        match (http, tls) {
            (Some(()), Some(())) => Self::Both,
            (Some(()), None) => Self::Ours,
            (None, Some(())) => Self::OnlyTls,
            (None, None) => Self::Taken,
        }
    }
}

/// Our ports, and who else is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doors {
    /// Those that are ours.
    pub ours: BTreeSet<SocketAddr>,
    /// Those that another program has.
    pub taken: BTreeSet<SocketAddr>,
    /// Those of ours on which another program listens too.
    pub shared: BTreeSet<SocketAddr>,
    /// How those of HTTP-01 stand.
    pub http: Standing,
}

/// How the listeners of HTTP-01 stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// All are ours.
    #[default]
    Ours,
    /// Another program has one.
    Taken,
    /// One is not ours and nobody else's, or there is none.
    Missing,
}

/// Why HTTP-01 does not do: each kind is answered by one automatic try over TLS-ALPN-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hindrance {
    /// :80 is not ours.
    PortTaken,
    /// The token did not come back through our own listener.
    SelfCheck,
    /// The CA, or its staging directory, looked and was not satisfied.
    Validation,
}

/// Which way orders go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ways {
    /// Of the order in flight, or of the last one.
    last: Challenge,
    /// What the last try over HTTP-01 failed of.
    hindrance: Option<Hindrance>,
    /// Against which TLS-ALPN-01 was tried in vain, since the last success.
    in_vain: BTreeSet<Hindrance>,
}

impl Ways {
    /// The way of an order now; none if there is none left.
    pub(super) fn open(&self, ports: Ports, who: Wish) -> Option<Challenge> {
        let worth_it = |hindrance| who == Wish::Asked || !self.in_vain.contains(&hindrance);
        match ports {
            Ports::Ours => Some(Challenge::Http01),
            Ports::Both if self.hindrance.is_some_and(worth_it) => Some(Challenge::TlsAlpn01),
            Ports::Both => Some(Challenge::Http01),
            Ports::OnlyTls => worth_it(Hindrance::PortTaken).then_some(Challenge::TlsAlpn01),
            Ports::Taken => None,
        }
    }

    pub(super) fn took(&mut self, way: Challenge) {
        self.last = way;
    }

    /// A try over TLS-ALPN-01 is in vain when the CA or we ourselves looked, not when the CA was away.
    pub(super) fn failed(&mut self, ports: Ports, failure: &Failure) {
        let hindrance = match failure.disposition {
            Disposition::Validation | Disposition::Rehearsal => Hindrance::Validation,
            Disposition::Retry if failure.class == Class::Validation => Hindrance::SelfCheck,
            Disposition::Retry
            | Disposition::NotBefore(_)
            | Disposition::RateLimited(_)
            | Disposition::Refused => return,
        };
        match (self.last, ports) {
            (Challenge::Http01, _) => self.hindrance = Some(hindrance),
            (Challenge::TlsAlpn01, Ports::OnlyTls | Ports::Taken) => {
                self.in_vain.insert(Hindrance::PortTaken);
            }
            (Challenge::TlsAlpn01, Ports::Ours | Ports::Both) => {
                self.in_vain.extend(self.hindrance.take());
            }
        }
    }

    /// The certificate is there: everything may be tried again. HTTP-01 comes first, also after the other way worked.
    pub(super) fn succeeded(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }

    /// Whether orders go the second way, while the first is not known to be well again.
    pub(super) fn is_detour(&self, ports: Ports) -> bool {
        let around_the_port = ports == Ports::OnlyTls && !self.in_vain.contains(&Hindrance::PortTaken);
        self.last == Challenge::TlsAlpn01 && (around_the_port || self.hindrance.is_some())
    }
}

/// Who wants an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The clock.
    Automatic,
    /// An administrator.
    Asked,
}

/// Who else is at our ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Neighbours {
    /// What was ours at some time and is still wanted.
    had: BTreeSet<SocketAddr>,
    /// Since when one of these is another's.
    lost_since: Option<OffsetDateTime>,
    shared: bool,
    http: Standing,
}

impl Neighbours {
    pub(super) fn remembering(had: BTreeSet<SocketAddr>) -> Self {
        Self { had, ..Self::default() }
    }

    /// What was ours at some time.
    pub(super) fn had(&self) -> &BTreeSet<SocketAddr> {
        &self.had
    }

    /// Takes in how it is now; whether there is something to remember.
    pub(super) fn see(&mut self, now: OffsetDateTime, doors: &Doors) -> Seen {
        let still_wanted = self.had.iter().filter(|address| doors.taken.contains(*address)).copied();
        let had: BTreeSet<_> = still_wanted.chain(doors.ours.iter().copied()).collect();
        let lost = had.iter().any(|address| doors.taken.contains(address));
        self.lost_since =
            if lost { self.lost_since.filter(|since| *since <= now).or(Some(now)) } else { None };
        self.shared = !doors.shared.is_empty();
        self.http = match (self.http, doors.http) {
            // What the kernel keeps for a minute after a program has ended is still its doing.
            (Standing::Taken, Standing::Missing) => Standing::Taken,
            (_, now) => now,
        };
        if had == self.had {
            return Seen::Known;
        }
        self.had = had;
        Seen::News
    }

    pub(super) fn company(&self, now: OffsetDateTime) -> Company {
        if self.lost_since.is_some_and(|since| since + PATIENCE <= now) {
            Company::Lost
        } else if self.shared {
            Company::Joined
        } else {
            Company::Alone
        }
    }

    /// How the listeners of HTTP-01 stand.
    pub(super) fn http(&self) -> Standing {
        self.http
    }

    /// When it becomes something to say.
    pub(super) fn told_at(&self) -> Option<OffsetDateTime> {
        self.lost_since.map(|since| since + PATIENCE)
    }
}

/// Whether a look at the doors is to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing new.
    Known,
    /// Something is.
    News,
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::policy::sentence::Sentence;

    const NOW: OffsetDateTime = datetime!(2026-03-01 00:00 UTC);

    fn failure(class: Class, disposition: Disposition) -> Failure {
        Failure { class, sentence: Sentence::default(), disposition }
    }

    fn doors(ours: &[&str], taken: &[&str], shared: &[&str]) -> Doors {
        let set = |all: &[&str]| all.iter().map(|address| address.parse().unwrap()).collect();
        Doors { ours: set(ours), taken: set(taken), shared: set(shared), http: Standing::Ours }
    }

    #[test]
    fn each_kind_of_failure_is_answered_by_one_try_over_the_second_way() {
        let mut ways = Ways::default();
        let failures = [
            failure(Class::Validation, Disposition::Validation),
            failure(Class::Validation, Disposition::Retry), // the self-check
        ];
        for failed in &failures {
            assert_eq!(ways.open(Ports::Both, Wish::Automatic), Some(Challenge::Http01));
            ways.took(Challenge::Http01);
            ways.failed(Ports::Both, failed);
            assert_eq!(ways.open(Ports::Ours, Wish::Automatic), Some(Challenge::Http01), ":443 is not ours");
            assert_eq!(ways.open(Ports::Both, Wish::Automatic), Some(Challenge::TlsAlpn01));
            ways.took(Challenge::TlsAlpn01);
            ways.failed(Ports::Both, &failure(Class::Network, Disposition::Retry));
            assert_eq!(
                ways.open(Ports::Both, Wish::Automatic),
                Some(Challenge::TlsAlpn01),
                "the CA was away"
            );
            ways.failed(Ports::Both, &failures[0]);
        }
        for failed in &failures {
            ways.took(Challenge::Http01);
            ways.failed(Ports::Both, failed);
            assert_eq!(ways.open(Ports::Both, Wish::Automatic), Some(Challenge::Http01), "not a second time");
            assert_eq!(ways.open(Ports::Both, Wish::Asked), Some(Challenge::TlsAlpn01));
        }
        ways.succeeded();
        ways.failed(Ports::Both, &failures[0]);
        assert_eq!(ways.open(Ports::Both, Wish::Automatic), Some(Challenge::TlsAlpn01), "a new incident");
    }

    #[test]
    fn a_taken_port_is_answered_by_the_second_way_until_that_is_in_vain() {
        let mut ways = Ways::default();
        assert_eq!(ways.open(Ports::Taken, Wish::Asked), None);
        assert_eq!(ways.open(Ports::OnlyTls, Wish::Automatic), Some(Challenge::TlsAlpn01));
        ways.took(Challenge::TlsAlpn01);
        assert!(ways.is_detour(Ports::OnlyTls));
        ways.failed(Ports::OnlyTls, &failure(Class::Validation, Disposition::Validation));
        assert_eq!(ways.open(Ports::OnlyTls, Wish::Automatic), None);
        assert_eq!(ways.open(Ports::OnlyTls, Wish::Asked), Some(Challenge::TlsAlpn01));
        assert_eq!(ways.open(Ports::Both, Wish::Automatic), Some(Challenge::Http01));
        ways.succeeded();
        assert!(!ways.is_detour(Ports::Both), "the port is ours again");
        assert!(ways.is_detour(Ports::OnlyTls), "and here it is not");
    }

    #[test]
    fn a_port_that_was_ours_is_lost_when_another_has_it_for_longer_than_a_restart() {
        let (v4, v6) = ("0.0.0.0:80", "[::]:80");
        let mut before = Neighbours::default();
        assert_eq!(before.see(NOW, &doors(&[v4], &[v6], &[])), Seen::News);
        assert_eq!(before.see(NOW, &doors(&[v4], &[v6], &[])), Seen::Known);
        assert_eq!(
            (before.company(NOW + PATIENCE * 9), before.told_at()),
            (Company::Alone, None),
            "never had"
        );

        let mut after = Neighbours::remembering(before.had().clone());
        after.see(NOW, &doors(&[v6], &[v4], &[]));
        assert_eq!((after.company(NOW), after.told_at()), (Company::Alone, Some(NOW + PATIENCE)));
        after.see(NOW + PATIENCE, &doors(&[v6], &[v4], &[]));
        assert_eq!(after.company(NOW + PATIENCE), Company::Lost);
        after.see(NOW + PATIENCE, &doors(&[v4, v6], &[], &[v4]));
        assert_eq!(after.company(NOW + PATIENCE), Company::Joined);
        after.see(NOW + PATIENCE, &doors(&["0.0.0.0:8080"], &[], &[]));
        assert_eq!(after.company(NOW + PATIENCE), Company::Alone);
        assert_eq!(after.had().len(), 1, "what is not wanted any more is forgotten");
    }

    #[test]
    fn who_had_the_port_is_blamed_until_it_is_ours() {
        let mut neighbours = Neighbours::default();
        let mut seen = |http| {
            neighbours.see(NOW, &Doors { http, ..Doors::default() });
            neighbours.http()
        };
        assert_eq!(seen(Standing::Missing), Standing::Missing);
        assert_eq!(seen(Standing::Taken), Standing::Taken);
        assert_eq!(seen(Standing::Missing), Standing::Taken, "the kernel keeps it for its connections");
        assert_eq!(seen(Standing::Ours), Standing::Ours);
        assert_eq!(seen(Standing::Missing), Standing::Missing);
    }
}
