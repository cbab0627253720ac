//! Where requests go: `[panel]`, and the same keys in `[[forward]]`.

use std::time::Duration;

use super::door::present_file;
use super::field::{Field, quoted};
use super::keys::nearest;
use super::section::Section;
use crate::config::defaults::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, RESTART_GRACE};
use crate::config::parse::address::{bracketed, socket_path, split};
use crate::config::parse::url::{Url, is_loopback};
use crate::config::settings::{Address, AllowPaths, Scheme, Upstream, UpstreamTrust};

/// What an X-Panel needs from outside, below its base path (the panel's other routes ask for no login): the base
/// itself, the login with its assets, and all of the pages behind the login. `panel` and `xui` alone are redirects.
const X_PANEL: &[&str] =
    &["", "login", "logout", "getTwoFactorEnable", "assets/", "panel", "panel/", "xui", "xui/"];

/// A shorter time-out fails while all is well.
const SHORTEST: Duration = Duration::from_millis(10);

/// `[panel]`; `None` if its upstream is missing or wrong, which has been reported then.
pub(super) fn panel(section: &Section<'_>, from_file: bool) -> Option<Upstream> {
    let write = match (section.is_there(), from_file) {
        (true, _) => "upstream = \"http://127.0.0.1:13688\" with the address where the panel listens",
        (false, true) => "[panel] on a line of its own, and below it upstream = \"http://127.0.0.1:13688\"",
        (false, false) => "--panel http://127.0.0.1:13688 with the address where the panel listens",
    };
    upstream(section, write)
}

/// The keys of an upstream; `missing` is what to write when it has no address.
pub(super) fn upstream(section: &Section<'_>, missing: &str) -> Option<Upstream> {
    let target = section.get("upstream");
    if target.is_none() {
        section.missing("upstream", missing);
    }
    let target = target.and_then(|field| field.parse("http://127.0.0.1:13688", target_of));
    let base_path = section.get("base_path").and_then(|field| field.parse("/", base_path));
    let allow_paths = allow_paths(section);
    let restart_grace = section.duration("restart_grace", Duration::ZERO, RESTART_GRACE);
    let connect_timeout = section.duration("connect_timeout", SHORTEST, CONNECT_TIMEOUT);
    let response_timeout = section.duration("response_timeout", SHORTEST, RESPONSE_TIMEOUT);
    let named = trust(section);
    let (tls, address) = target?;
    Some(Upstream {
        scheme: scheme(section, tls, &address, named),
        address,
        base_path: base_path.unwrap_or_else(|| "/".to_owned()),
        allow_paths,
        restart_grace,
        connect_timeout,
        response_timeout,
    })
}

fn scheme(section: &Section<'_>, tls: bool, address: &Address, named: Option<UpstreamTrust>) -> Scheme {
    if !tls {
        for field in ["ca_file", "pin_sha256"].into_iter().filter_map(|key| section.filled(key)) {
            field.warn("has no effect: the upstream is not https://");
        }
        return Scheme::Http;
    }
    let local = match address {
        Address::Tcp { host, .. } => is_loopback(host),
        Address::Unix(_) => true,
    };
    let default = if local { UpstreamTrust::Anything } else { UpstreamTrust::PublicRoots };
    Scheme::Https(named.unwrap_or(default))
}

/// Whether TLS is spoken, and with whom.
fn target_of(text: &str) -> Result<(bool, Address), String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path).map(|path| (false, Address::Unix(path)));
    }
    let Some(url) = Url::parse(text) else {
        return Err(instead_of_target(text));
    };
    let (tls, port) = match url.scheme.as_str() {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => {
            return Err(format!("\"{}\"", Url { scheme: "http".to_owned(), ..url }.origin()));
        }
    };
    if url.credentials {
        return Err(format!("\"{}\", without name and password", url.origin()));
    }
    match url.path.as_str() {
        "" | "/" => Ok((tls, Address::Tcp { host: url.host, port: url.port.unwrap_or(port) })),
        path => {
            let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
            Err(format!("\"{}\", and base_path = \"{path}/\" on a line of its own", url.origin()))
        }
    }
}

fn instead_of_target(text: &str) -> String {
    if text.starts_with('/') {
        return format!("\"unix:{text}\"");
    }
    if let Some((host, port)) = split(text.trim_start_matches('/')) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        return format!("\"http://{}{port}\"", bracketed(&host));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("\"http://127.0.0.1:{text}\"");
    }
    "\"http://127.0.0.1:13688\", \"https://127.0.0.1:13688\" or \"unix:/run/panel.sock\"".to_owned()
}

/// Begins and ends with `/` and has only what needs no escape.
fn base_path(text: &str) -> Result<String, String> {
    let name = Url::parse(text).map_or(text.to_owned(), |url| url.path);
    let name = name.trim_matches('/');
    let right = if name.is_empty() { "/".to_owned() } else { format!("/{name}/") };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    let good = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    if !name.is_empty() && !name.split('/').all(good) {
        return Err("\"/panel/\": a path without query, escapes, blanks, and dot segments".to_owned());
    }
    if text == right || (text.starts_with('/') && format!("{text}/") == right) {
        return Ok(right);
    }
    Err(quoted(&right))
}

fn allow_paths(section: &Section<'_>) -> AllowPaths {
    let paths = section.list("allow_paths", "\"x-panel\"", allowed).unwrap_or_default();
    if paths.is_empty() {
        return AllowPaths::Everything;
    }
    let mut all: Vec<String> = Vec::new();
    for path in paths.into_iter().flatten() {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    AllowPaths::Only(all)
}

/// The paths that one entry stands for.
fn allowed(field: &Field<'_>) -> Option<Vec<String>> {
    let text = field.text("x-panel")?;
    if text == "x-panel" {
        return Some(X_PANEL.iter().map(|&path| path.to_owned()).collect());
    }
    if nearest(text, &["x-panel"]).is_some() {
        field.warn("is taken for a path; if the preset is meant, write \"x-panel\"");
    }
    if text.starts_with('/') {
        field.refuse(format!("{}: relative to base_path", quoted(text.trim_start_matches('/'))));
        return None;
    }
    if text.contains(['*', '?', '#']) {
        let plain = text.split(['*', '?', '#']).next().unwrap_or("");
        field.refuse(match plain {
            "" => "allow_paths = [] to let everything pass".to_owned(),
            plain => format!("{}: an entry that ends with / covers everything below it", quoted(plain)),
        });
        return None;
    }
    Some(vec![text.to_owned()])
}

/// What is written about the upstream's certificate.
fn trust(section: &Section<'_>) -> Option<UpstreamTrust> {
    let ca_file = present_file(section, "ca_file", "/etc/ssl/panel-ca.pem");
    let pin = section.parse("pin_sha256", "the 64 digits of the SHA-256", pin);
    if let (Some(_), Some(field)) = (section.filled("ca_file"), section.filled("pin_sha256")) {
        field.refuse("ca_file or pin_sha256, not both");
        return None;
    }
    ca_file.map(UpstreamTrust::CaFile).or(pin.map(UpstreamTrust::Pin))
}

/// 32 bytes in hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints them, colons and all.
fn pin(text: &str) -> Result<[u8; 32], String> {
    let instead =
        || "the 64 hexadecimal digits of the certificate's SHA-256 (colons between them are fine)".to_owned();
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |&[high, low]: &[u8; 2]| Some(value(high)? * 16 + value(low)?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    let bytes = bytes.filter(|_| rest.is_empty()).ok_or_else(instead)?;
    bytes.try_into().map_err(|_| instead())
}
