//! A target, and the Host lines that come with it: one each in a line.

use doorman::config::AllowPaths;
use doorman::policy::route::{self, Head};
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Uri, Version};

const BASE: &str = "/secret/";
const ENTRIES: [&str; 5] = ["", "login", "assets/", "panel", "panel/"];
/// The names that these begin with, as a router sees them.
const NAMES: [&str; 4] = ["", "login", "assets", "panel"];
const LIMIT: usize = 200;

/// What may pass below the base is read alike by every router, and who is admitted has one host.
pub(super) fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else { return };
    passes_as_it_is_read(&uri);

    let mut headers = HeaderMap::new();
    for line in lines.take(4) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(HOST, value);
    }
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let head = Head { method: &Method::GET, uri: &uri, version, headers: &headers };
        let Ok(host) = route::admit(head, LIMIT) else { continue };
        assert!(headers.len() <= 1 && uri.path().len() <= LIMIT);
        let Some(host) = host else {
            assert!(version == Version::HTTP_10 && headers.is_empty());
            continue;
        };
        let text = host.to_str().expect("a host of visible characters");
        assert!(!text.is_empty() && !text.contains(['/', '@', ',', ' ', '\\', '?', '#']), "{text}");
        assert!(text.parse::<http::uri::Authority>().is_ok(), "{text}");
    }
}

fn passes_as_it_is_read(uri: &Uri) {
    let allowed = AllowPaths::Only(ENTRIES.map(str::to_owned).to_vec());
    if route::allow(uri.path(), BASE, &allowed).is_err() {
        return;
    }
    let seen = String::from_utf8(decoded(uri.path().as_bytes())).expect("text");
    for read in [seen.clone(), cleaned(&seen), cleaned(&seen.replace('\\', "/"))] {
        let below = format!("{read}/");
        let below = below.strip_prefix(BASE).unwrap_or_else(|| panic!("{seen}: not below the base"));
        let name = below.split('/').next().unwrap_or_default();
        assert!(NAMES.contains(&name), "{seen} is read as {read}");
    }
}

/// What Go's `path.Clean` makes of a path, which is how strict routers see it.
pub(crate) fn cleaned(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Percent-encoded bytes; what is malformed may not pass.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut left = path;
    while let Some((byte, rest)) = left.split_first() {
        left = rest;
        if *byte == b'%' {
            let digits = std::str::from_utf8(&rest[..2]).expect("two digits");
            all.push(u8::from_str_radix(digits, 16).expect("two digits"));
            left = &rest[2..];
        } else {
            all.push(*byte);
        }
    }
    all
}
