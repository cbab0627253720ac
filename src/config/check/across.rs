//! What only shows when the settings are looked at together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Sections;
use super::field::Field;
use super::ip_cert::is_public;
use super::report::Report;
use crate::config::parse::address::overlap;
use crate::config::parse::url::is_loopback;
use crate::config::problem::Found;
use crate::config::settings::{Address, Config};

/// An address that something listens on, and where that is written.
#[derive(Clone, Debug)]
pub(super) struct Claim<'a> {
    address: SocketAddr,
    key: String,
    field: Option<Field<'a>>,
}

impl<'a> Claim<'a> {
    /// A claim that is written.
    pub(super) fn by(address: SocketAddr, field: Field<'a>) -> Self {
        Self { address, key: field.key.clone(), field: Some(field) }
    }

    /// A claim that holds because its key is not given.
    pub(super) fn by_default(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.to_owned(), field: None }
    }

    fn place(&self) -> String {
        match &self.field {
            Some(field) => field.place(),
            None => format!("{} (its default is {})", self.key, self.address),
        }
    }
}

/// Refuses each address that an earlier listener has already.
pub(super) fn claims(claims: &[Claim<'_>], report: &Report) {
    for (index, claim) in claims.iter().enumerate() {
        let earlier = claims.get(..index).unwrap_or_default();
        let Some(first) = earlier.iter().find(|first| overlap(first.address, claim.address)) else {
            continue;
        };
        let write = format!("another port, or delete it: {} has {} already", first.place(), first.address);
        match &claim.field {
            Some(field) => field.refuse(write),
            None => report.refuse(&claim.key, None, Found::Written(claim.address.to_string()), write),
        }
    }
}

/// Refuses an upstream that is doorman itself: such a request would never end.
pub(super) fn circle(upstream: Option<&Address>, field: Option<Field<'_>>, claims: &[Claim<'_>]) {
    let (Some(Address::Tcp { host, port }), Some(field)) = (upstream, field) else {
        return;
    };
    let ips: Vec<IpAddr> = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) if is_loopback(host) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Err(_) => return,
    };
    let ours = |ip: &IpAddr, claim: &&Claim<'_>| {
        let same = claim.address.ip() == *ip || (claim.address.ip().is_unspecified() && ip.is_loopback());
        same && overlap(SocketAddr::new(*ip, *port), claim.address)
    };
    let own = ips.iter().find_map(|ip| claims.iter().find(|claim| ours(ip, claim)));
    if let Some(claim) = own {
        field.refuse(format!(
            "the port that the other program listens on: {} is doorman itself",
            claim.place()
        ));
    }
}

/// Says what works, but hardly as it is meant.
pub(super) fn oddities(config: &Config, sections: &Sections<'_>) {
    let on_80 = config.http.listen.iter().any(|address| address.port() == 80);
    let public = config.ip_cert.as_ref().is_some_and(|cert| is_public(&cert.directory));
    if public && !on_80 {
        let says = "has no port 80, where the CA looks; unless it is redirected here, add \"0.0.0.0:80\"";
        let at = sections.http.get("listen").map(|field| field.node.at);
        sections.http.report.warn("http.listen", at, says);
    }
    if config.ip_cert.is_some() {
        return;
    }
    let https =
        (!config.https.listen.is_empty() && config.https.fixed_pair.is_none()).then_some(&sections.https);
    let forwards = config.forwards.iter().zip(&sections.forwards);
    let forwards = forwards.filter(|(forward, _)| forward.tls).map(|(_, section)| section);
    for field in https.into_iter().chain(forwards).filter_map(|section| section.get("listen")) {
        field.warn("presents a self-signed certificate only, because [ip_cert] keeps none");
    }
}
