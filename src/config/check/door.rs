//! What doorman listens on: `[http]`, `[https]`, `[[forward]]`, `[admin]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::across::Claim;
use super::field::{Field, quoted};
use super::section::Section;
use super::upstream;
use crate::config::parse::address;
use crate::config::settings::{AccessLog, Admin, AdminAddress, Forward, Http, Https, Limits};
use crate::config::values::Network;

/// More threads than any machine has use for.
const WORKERS: i64 = 1024;
/// As many descriptors as Linux gives one process at most, unless its limit is raised.
const DESCRIPTORS: i64 = 1_048_576;
/// A shorter time-out only cuts clients on slow lines.
const SHORTEST: Duration = Duration::from_millis(100);

/// `[http]`.
pub(super) fn http<'a>(section: &Section<'a>, claims: &mut Vec<Claim<'a>>) -> Http {
    let default = Http::default();
    let log = [("off", AccessLog::Off), ("sampled", AccessLog::Sampled), ("full", AccessLog::Full)];
    let given = listen(section, claims);
    if given.is_none() {
        claims.extend(default.listen.iter().map(|address| Claim::by_default(*address, "http.listen")));
    }
    Http {
        listen: given.unwrap_or(default.listen),
        workers: match section.count("workers", "threads", &(0..=WORKERS), 0) {
            0 => default.workers,
            workers => workers,
        },
        redirect_to_https: section.bool("redirect_to_https", default.redirect_to_https),
        acme_webroot: acme_webroot(section),
        acme_upstream: section.parse("acme_upstream", "127.0.0.1:8402", address::host_port),
        trusted_proxies: section.list("trusted_proxies", "\"10.0.0.0/8\"", network).unwrap_or_default(),
        limits: limits(section),
        access_log: section.word("access_log", &log, default.access_log),
    }
}

/// `[https]`.
pub(super) fn https<'a>(section: &Section<'a>, claims: &mut Vec<Claim<'a>>) -> Https {
    let certificate = present_file(section, "certificate", "/etc/ssl/door.pem");
    let key = present_file(section, "key", "/etc/ssl/private/door.key");
    Https {
        listen: listen(section, claims).unwrap_or_default(),
        fixed_pair: section.pair(("certificate", certificate), ("key", key)),
    }
}

/// One `[[forward]]`; `None` if its upstream is missing or wrong, which has been reported then.
pub(super) fn forward<'a>(section: &Section<'a>, claims: &mut Vec<Claim<'a>>) -> Option<Forward> {
    let listen = listen(section, claims);
    if listen.as_ref().is_none_or(Vec::is_empty)
        && section.get("listen").is_none_or(|field| !field.has_items())
    {
        section.missing("listen", "listen = [\"0.0.0.0:2096\"]: the port to take over");
    }
    let tls = section.bool("tls", true);
    let upstream =
        upstream::upstream(section, "upstream = \"http://127.0.0.1:12096\": where the port leads to")?;
    Some(Forward { listen: listen.unwrap_or_default(), tls, upstream })
}

/// `[admin]`.
pub(super) fn admin<'a>(section: &Section<'a>, claims: &mut Vec<Claim<'a>>) -> Admin {
    let listen = section.parse("listen", "/run/doorman/admin.sock", address::admin);
    let token = section.secret("token");
    if let (Some(AdminAddress::Tcp(address)), Some(field)) = (&listen, section.get("listen")) {
        if token.is_none() && section.get("token_file").is_none() {
            field.warn("without a token nothing can be changed over TCP, so `doorman renew` is refused; set admin.token");
        }
        claims.push(Claim::by(*address, field));
    }
    Admin { listen: listen.unwrap_or(Admin::default().listen), token }
}

/// A file that should be there by now: said to be odd if it is not, since it may come later.
pub(super) fn present_file(section: &Section<'_>, key: &str, example: &str) -> Option<PathBuf> {
    let field = section.filled(key)?;
    let path = field.path(example)?;
    if matches!(path.try_exists(), Ok(false)) {
        field.warn(format!("{} does not exist; it is needed from the start on", path.display()));
    }
    Some(path)
}

/// The addresses of `listen`, each of them a claim; `None` if the key is not given.
fn listen<'a>(section: &Section<'a>, claims: &mut Vec<Claim<'a>>) -> Option<Vec<SocketAddr>> {
    let listen = |field: &Field<'a>| {
        let address = field.parse("0.0.0.0:80", address::listen)?;
        Some((address, field.clone()))
    };
    let given = section.list("listen", "\"0.0.0.0:80\"", listen)?;
    claims.extend(given.iter().map(|(address, field)| Claim::by(*address, field.clone())));
    Some(given.into_iter().map(|(address, _)| address).collect())
}

fn acme_webroot(section: &Section<'_>) -> Option<PathBuf> {
    let field = section.filled("acme_webroot")?;
    let path = field.text("/var/lib/doorman/webroot")?;
    if !path.starts_with('/') {
        let name = path.trim_start_matches("./");
        field.refuse(format!("{}: a path from the root", quoted(&format!("/var/lib/{name}"))));
        return None;
    }
    Some(PathBuf::from(path))
}

fn network(field: &Field<'_>) -> Option<Network> {
    let (network, cleared) = field.parse("10.0.0.0/8", address::network)?;
    if network.prefix == 0 {
        field.warn("believes every client what it says about its own address; name the proxies' addresses");
    } else if cleared {
        let says = format!("is taken as {}/{}, the network that it lies in", network.address, network.prefix);
        field.warn(says);
    }
    Some(network)
}

fn limits(section: &Section<'_>) -> Limits {
    let default = Limits::default();
    let count = |key, unit, range, default| section.count(key, unit, &range, default);
    let duration = |key, least, default| section.duration(key, least, default);
    Limits {
        max_connections: count("max_connections", "connections", 1..=DESCRIPTORS, default.max_connections),
        max_connections_per_ip: count(
            "max_connections_per_ip",
            "connections",
            1..=DESCRIPTORS,
            default.max_connections_per_ip,
        ),
        max_tunnels: count("max_tunnels", "tunnels", 0..=DESCRIPTORS, default.max_tunnels),
        max_header_bytes: count("max_header_bytes", "bytes", 1024..=1_048_576, default.max_header_bytes),
        max_headers: count("max_headers", "lines", 8..=4096, default.max_headers),
        // The crate `http` takes no longer URI.
        max_uri_bytes: count("max_uri_bytes", "bytes", 256..=65_534, default.max_uri_bytes),
        header_timeout: duration("header_timeout", SHORTEST, default.header_timeout),
        idle_timeout: duration("idle_timeout", SHORTEST, default.idle_timeout),
        body_timeout: duration("body_timeout", SHORTEST, default.body_timeout),
        drain_timeout: duration("drain_timeout", Duration::ZERO, default.drain_timeout),
    }
}
