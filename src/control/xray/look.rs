//! TLS handshakes with every port of an inbound, and what they show. No user of the proxy is needed for that.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::entry::Serves;
use crate::config::{Address, Language};
use crate::control::observe::{Leaf, handshake};
use crate::control::pair::hex;
use crate::control::when;
use crate::machine::words::foreign;
use crate::policy::sentence::Sentence;
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
    shown: Sentence,
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
    pub(super) detail: Sentence,
    /// When what is presented instead ends, the first of several; `None` if nothing else is, or that cannot be read.
    pub(super) old_ends: Option<OffsetDateTime>,
}

/// Every port of an inbound without a name, and with the configured one where that asks for the same.
pub(super) fn targets(inbound: &Inbound) -> Result<Vec<Target>, Sentence> {
    if inbound.proxy_protocol {
        return Err(Sentence::new(
            "it wants a PROXY header first, so it cannot be looked at from here",
            "它要求先发送 PROXY 头，因此无法从本机查看",
        ));
    }
    if !inbound.is_over_tcp() {
        return Err(Sentence::new(
            "it listens on UDP, so it cannot be looked at",
            "它监听的是 UDP，因此无法查看",
        ));
    }
    let host = match &inbound.listen {
        Listen::Unix(path) => {
            let place = Place::Unix(path.clone());
            return Ok(vec![Target { place, name: None, shown: Sentence::same(path.as_str()) }]);
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
                None => Sentence::new(format!("port {port}"), format!("端口 {port}")),
                Some(name) => Sentence::new(
                    format!("port {port} for the name {name}"),
                    format!("端口 {port}（域名 {name}）"),
                ),
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
            let shown = Sentence::same(format!("{host}:{port}"));
            Target { place: Place::Tcp(host.clone(), *port), name: None, shown }
        }
        Address::Unix(path) => {
            let path = path.display().to_string();
            Target { place: Place::Unix(path.clone()), name: None, shown: Sentence::same(path) }
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
        self.shown.english()
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
pub(super) fn unseen(why: &Sentence, held: Option<&Held>, fingerprint: &str) -> Verdict {
    let (mut detail, mut old_ends) = (why.clone(), None);
    if let Some(held) = held.filter(|held| hex(&held.sha256) != fingerprint) {
        old_ends = Some(held.not_after);
        let until = when::text(held.not_after);
        detail = detail.and(&Sentence::new(
            format!("its settings hold another certificate, good until {until}"),
            format!("其设置中是另一张证书，有效期至 {until}"),
        ));
    }
    Verdict { serves: Serves::Unknown, detail, old_ends }
}

fn judge(seen: &[(Sentence, io::Result<Option<Leaf>>)], fingerprint: &str) -> Verdict {
    let others = seen.iter().filter_map(|(place, seen)| match seen {
        Ok(Some(leaf)) if leaf.fingerprint != fingerprint => Some((place, leaf)),
        Ok(_) | Err(_) => None,
    });
    let old_ends = others.clone().filter_map(|(_, leaf)| leaf.not_after).min();
    if let Some((place, leaf)) = others.clone().next() {
        let until =
            |words: &str| leaf.not_after.map(|at| format!("{words}{}", when::text(at))).unwrap_or_default();
        let (fingerprint, there) = (&leaf.fingerprint, place.in_language(Language::Chinese));
        let detail = Sentence::new(
            format!("{place} presents another certificate ({fingerprint:.16}…{})", until(", good until ")),
            format!("{there} 出示的是另一张证书（{fingerprint:.16}…{}）", until("，有效期至 ")),
        );
        return Verdict { serves: Serves::Stale, detail, old_ends };
    }
    let unseen = seen.iter().find_map(|(place, seen)| match seen {
        Ok(Some(_)) => None,
        Ok(None) => Some(Sentence::new(
            format!("{place} presents no certificate"),
            format!("{} 没有出示证书", place.in_language(Language::Chinese)),
        )),
        Err(error) => Some(Sentence::new(
            format!("no handshake with {place}: {error}"),
            format!("与 {} 的 TLS 握手失败：{}", place.in_language(Language::Chinese), foreign(error)),
        )),
    });
    match unseen {
        Some(detail) => Verdict { serves: Serves::Unknown, detail, old_ends: None },
        None if seen.is_empty() => Verdict {
            serves: Serves::Unknown,
            detail: Sentence::new("it has no port", "它没有端口"),
            old_ends: None,
        },
        None => Verdict { serves: Serves::Current, detail: Sentence::default(), old_ends: None },
    }
}
