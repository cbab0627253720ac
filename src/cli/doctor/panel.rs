//! Whether the panel answers, and whether it speaks what the configuration says.

use std::io;
use std::os::unix::net::UnixStream;

use super::{Finding, Machine, web};
use crate::config::{Address, Scheme, Upstream, UpstreamTrust};

const ABOUT: &str = "panel";

/// What Go's servers say to plain HTTP when they want TLS.
const TO_AN_HTTPS_SERVER: &str = "HTTP request to an HTTPS server";

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(config) = machine.config() else {
        return Vec::new();
    };
    let forwards = config.forwards.iter().map(|forward| ("forward.upstream", &forward.upstream));
    std::iter::once(("panel.upstream", &config.panel))
        .chain(forwards)
        .map(|(key, it)| about(key, it))
        .collect()
}

fn about(key: &str, upstream: &Upstream) -> Finding {
    match &upstream.address {
        Address::Unix(path) => match UnixStream::connect(path) {
            Ok(_) => Finding::fine(ABOUT, format!("{key}: somebody listens at {}", path.display())),
            Err(error) => unreachable(key, &path.display().to_string(), &error),
        },
        Address::Tcp { host, port } => over_tcp(key, upstream, host, *port),
    }
}

fn over_tcp(key: &str, upstream: &Upstream, host: &str, port: u16) -> Finding {
    let place = format!("{host}:{port}");
    let connect = || web::connect(host, port);
    let speaks_tls =
        || connect().and_then(|stream| web::handshake(stream, host, &UpstreamTrust::Anything)).is_ok();
    if let Err(error) = connect() {
        return unreachable(key, &place, &error);
    }
    match &upstream.scheme {
        Scheme::Http => {
            let answer = connect().and_then(|stream| web::get(stream, &place, "/")).unwrap_or_default();
            match web::code(&answer).filter(|_| !answer.contains(TO_AN_HTTPS_SERVER)) {
                Some(code) => Finding::fine(ABOUT, format!("{key}: {place} answers over HTTP, with {code}")),
                None if speaks_tls() => Finding::broken(
                    ABOUT,
                    format!("{key}: {place} speaks HTTPS"),
                    format!("set {key} = \"https://{place}\""),
                ),
                None => Finding::broken(
                    ABOUT,
                    format!("{key}: {place} speaks neither HTTP nor HTTPS"),
                    format!("set {key} to the address that the panel listens on"),
                ),
            }
        }
        Scheme::Https(trusted) if speaks_tls() => trusts(key, host, port, trusted),
        Scheme::Https(_) => Finding::broken(
            ABOUT,
            format!("{key}: {place} does not speak HTTPS"),
            format!("set {key} = \"http://{place}\", if it is the panel that listens there"),
        ),
    }
}

/// Whether its certificate is one that the configuration accepts.
fn trusts(key: &str, host: &str, port: u16, trusted: &UpstreamTrust) -> Finding {
    let seen = web::connect(host, port).and_then(|stream| web::handshake(stream, host, trusted));
    match seen {
        Ok(_) => Finding::fine(ABOUT, format!("{key}: {host}:{port} answers over HTTPS")),
        Err(error) => Finding::broken(
            ABOUT,
            format!("{key}: the certificate of {host}:{port} is not accepted: {error}"),
            "set ca_file or pin_sha256 beside it to what the panel presents",
        ),
    }
}

fn unreachable(key: &str, place: &str, error: &io::Error) -> Finding {
    Finding::broken(
        ABOUT,
        format!("{key}: nobody answers at {place}: {error}"),
        format!("start the panel, or set {key} to the address that it listens on"),
    )
}
