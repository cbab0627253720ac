//! Targets and paths.

use doorman::config::AllowPaths;
use doorman::policy::route::{self, Head};
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Uri, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::targets::paths::cleaned;

const BASE: &str = "/secret/";
const ENTRIES: [&str; 5] = ["", "login", "assets/", "panel", "panel/"];

/// Paths of pieces that mean something to somebody.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "//",
        ".",
        "..",
        "/../",
        "/./",
        "secret",
        "/secret/",
        "login",
        "assets",
        "assets/",
        "panel",
        "getDb",
        "%67etDb",
        "%2f",
        "%2F",
        "%2e",
        "%2E%2e",
        "%5c",
        "\\",
        "%00",
        "%25",
        "%252e",
        "%",
        "%6",
        "%zz",
        ";",
        "%3b",
        "%c0%ae",
        "%E4%B8%AD",
        "%20",
        "+",
        "~",
        "SECRET",
        "%73ecret",
        "a",
        "?",
        "%3f",
        "%23",
        "&",
        "=",
        ":",
        "@",
        "*",
    ]);
    (any::<bool>(), vec(piece, 0..8)).prop_map(|(within, pieces)| {
        let start = if within { "/secret/" } else { "/" };
        format!("{start}{}", pieces.concat())
    })
}

fn decoded(path: &str) -> Vec<u8> {
    let (mut bytes, mut all) = (path.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            all.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            all.push(byte);
        }
    }
    all
}

#[test]
fn what_may_pass_is_read_alike_by_routers_that_clean_and_by_those_that_do_not() {
    let allowed = AllowPaths::Only(ENTRIES.map(str::to_owned).to_vec());
    super::holds("path", &paths(), |path| {
        let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
        if route::allow(uri.path(), BASE, &allowed).is_ok() {
            let seen = String::from_utf8(decoded(uri.path())).unwrap();
            for read in [&seen, &cleaned(&seen), &cleaned(&seen.replace('\\', "/"))] {
                let below = format!("{read}/");
                let below = below
                    .strip_prefix(BASE)
                    .ok_or_else(|| TestCaseError::fail(format!("{seen}: not below the base")))?;
                let name = below.split('/').next().unwrap();
                prop_assert!(
                    ["", "login", "assets", "panel"].contains(&name),
                    "{} is read as {}",
                    seen,
                    read
                );
            }
        }
        Ok(())
    });
}

#[test]
fn who_is_admitted_has_one_host_and_a_target_within_the_limit() {
    const LIMIT: usize = 40;
    let target = prop_oneof![paths(), "[ -~]{0,60}", "https?://[a-z0-9.:\\[\\]@-]{0,20}/?[ -~]{0,20}"];
    let hosts = vec(
        prop_oneof!["[a-z0-9.:\\[\\]_-]{0,12}", "[ -~]{0,12}", "\\[[0-9a-f:]{0,10}\\](:[0-9]{0,6})?"],
        0..3,
    );
    let version = prop::sample::select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]);
    super::holds("target", &(target, hosts, version), |(target, hosts, version)| {
        let Ok(uri) = target.parse::<Uri>() else { return Ok(()) };
        let mut headers = HeaderMap::new();
        for host in &hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        let head = Head { method: &Method::GET, uri: &uri, version, headers: &headers };
        let Ok(host) = route::admit(head, LIMIT) else { return Ok(()) };
        prop_assert!(hosts.len() <= 1 && uri.path().len() <= LIMIT);
        match host {
            None => prop_assert!(version == Version::HTTP_10 && hosts.is_empty()),
            Some(host) => {
                let text = host.to_str().unwrap();
                prop_assert!(
                    !text.is_empty() && !text.contains(['/', '@', ',', ' ', '\\', '?', '#']),
                    "{}",
                    text
                );
                prop_assert!(text.parse::<http::uri::Authority>().is_ok(), "{}", text);
            }
        }
        Ok(())
    });
}
