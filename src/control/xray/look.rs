//! TLS handshakes with every port of an inbound, and what they show. No user of the proxy is needed for that.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::entry::Serves;
use crate::config::Address;
use crate::control::observe::{Leaf, handshake};
use crate::control::pair::hex;
use crate::control::when;
use crate::policy::xray::inbound::{Inbound, Listen};
use crate::policy::xray::leaf::Leaf as Held;

/// For a connection and a handshake with a neighbour.
const LIMIT: Duration = Duration::from_secs(5);

/// Handshakes at once; Xray has other things to do.
const AT_ONCE: usize = 16;

/// Ports of one inbound that are looked at; each costs Xray a listener, so nobody has more without a reason.
const MOST_PORTS: usize = 1024;

/// Where a handshake is made, and with which name.
#[derive(Clone, Debug)]
pub(super) struct Target {
    place: Place,
    name: Option<String>,
    /// As people write it.
    shown: String,
}

#[derive(Clone, Debug)]
enum Place {
    Tcp(String, u16),
    Unix(String),
}

/// What the handshakes with one inbound showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) serves: Serves,
    pub(super) detail: String,
    /// When what is presented instead ends, the first of several; `None` if nothing else is, or that cannot be read.
    pub(super) old_ends: Option<OffsetDateTime>,
}

/// Every port of an inbound without a name, and with the configured one where that asks for the same.
pub(super) fn targets(inbound: &Inbound) -> Result<Vec<Target>, &'static str> {
    if inbound.proxy_protocol {
        return Err("it wants a PROXY header first, so it cannot be looked at from here");
    }
    if !inbound.is_over_tcp() {
        return Err("it listens on UDP, so it cannot be looked at");
    }
    let host = match &inbound.listen {
        Listen::Unix(path) => {
            let place = Place::Unix(path.clone());
            return Ok(vec![Target { place, name: None, shown: path.clone() }]);
        }
        Listen::Ip(None) => "127.0.0.1".to_owned(),
        Listen::Ip(Some(IpAddr::V4(ip))) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        Listen::Ip(Some(IpAddr::V6(ip))) if ip.is_unspecified() => "::1".to_owned(),
        Listen::Ip(Some(ip)) => ip.to_string(),
        Listen::Name(name) => name.clone(),
    };
    let name = inbound.tls.as_ref().and_then(|tls| tls.name_of_the_first()).map(ToOwned::to_owned);
    let names = [Some(None), name.map(Some)];
    let ports = inbound.ports.iter().flat_map(|(first, last)| *first..=*last).take(MOST_PORTS);
    Ok(ports
        .flat_map(|port| names.iter().flatten().map(move |name| (port, name.clone())))
        .map(|(port, name)| Target {
            shown: match &name {
                None => format!("port {port}"),
                Some(name) => format!("port {port} for the name {name}"),
            },
            place: Place::Tcp(host.clone(), port),
            name,
        })
        .collect())
}

/// One address of `xray.probe`.
pub(super) fn probe(address: &Address) -> Target {
    match address {
        Address::Tcp { host, port } => {
            Target { place: Place::Tcp(host.clone(), *port), name: None, shown: format!("{host}:{port}") }
        }
        Address::Unix(path) => {
            let path = path.display().to_string();
            Target { place: Place::Unix(path.clone()), name: None, shown: path }
        }
    }
}

/// Looks at all of them, `times` each, for where two listeners share a port one look proves nothing.
pub(super) async fn look(targets: &[Target], times: usize, fingerprint: &str) -> Verdict {
    let mut waiting = targets.iter().flat_map(|target| std::iter::repeat_n(target.clone(), times));
    let mut looks = JoinSet::new();
    let mut seen = Vec::new();
    loop {
        while looks.len() < AT_ONCE
            && let Some(target) = waiting.next()
        {
            looks.spawn_local(async move {
                let looked = tokio::time::timeout(LIMIT, target.look()).await;
                (target.shown, looked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
            });
        }
        match looks.join_next().await {
            Some(Ok(one)) => seen.push(one),
            Some(Err(_)) => {} // a panic of ours; the others say enough
            None => break,
        }
    }
    judge(&seen, fingerprint)
}

impl Target {
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    async fn look(&self) -> io::Result<Option<Leaf>> {
        match &self.place {
            Place::Tcp(host, port) => {
                handshake(TcpStream::connect((host.as_str(), *port)).await?, self.name.as_deref()).await
            }
            Place::Unix(path) => {
                let path = path.strip_prefix('@').map_or_else(|| path.clone(), |name| format!("\0{name}"));
                handshake(UnixStream::connect(path).await?, self.name.as_deref()).await
            }
        }
    }
}

/// What cannot be looked at is unknown, also where its settings hold another leaf; that is said.
pub(super) fn unseen(why: &str, held: Option<&Held>, fingerprint: &str) -> Verdict {
    let (mut detail, mut old_ends) = (why.to_owned(), None);
    if let Some(held) = held.filter(|held| hex(&held.sha256) != fingerprint) {
        old_ends = Some(held.not_after);
        detail.push_str(&format!(
            "; its settings hold another certificate, good until {}",
            when::text(held.not_after)
        ));
    }
    Verdict { serves: Serves::Unknown, detail, old_ends }
}

fn judge(seen: &[(String, io::Result<Option<Leaf>>)], fingerprint: &str) -> Verdict {
    let others = seen.iter().filter_map(|(place, seen)| match seen {
        Ok(Some(leaf)) if leaf.fingerprint != fingerprint => Some((place, leaf)),
        Ok(_) | Err(_) => None,
    });
    let old_ends = others.clone().filter_map(|(_, leaf)| leaf.not_after).min();
    if let Some((place, leaf)) = others.clone().next() {
        let until = leaf.not_after.map(|at| format!(", good until {}", when::text(at))).unwrap_or_default();
        let detail = format!("{place} presents another certificate ({:.16}…{until})", leaf.fingerprint);
        return Verdict { serves: Serves::Stale, detail, old_ends };
    }
    let unseen = seen.iter().find_map(|(place, seen)| match seen {
        Ok(Some(_)) => None,
        Ok(None) => Some(format!("{place} presents no certificate")),
        Err(error) => Some(format!("no handshake with {place}: {error}")),
    });
    match unseen {
        Some(detail) => Verdict { serves: Serves::Unknown, detail, old_ends: None },
        None if seen.is_empty() => {
            Verdict { serves: Serves::Unknown, detail: "it has no port".to_owned(), old_ends: None }
        }
        None => Verdict { serves: Serves::Current, detail: String::new(), old_ends: None },
    }
}
