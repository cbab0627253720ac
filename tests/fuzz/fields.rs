//! Header fields on their way to the panel and back.

use doorman::policy::headers::{self, Origin};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::targets::fields::{CLAIMS, HOP_BY_HOP};

fn lines() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        prop::sample::select(
            [
                &HOP_BY_HOP[..],
                &CLAIMS,
                &["connection", "host", "content-length", "cookie", "x-own", "accept"]
            ]
            .concat()
        )
        .prop_map(str::to_owned),
        "x-[a-z]{1,3}",
    ];
    let value = prop_oneof![
        "[ -~]{0,12}",
        "(close|keep-alive|Upgrade|TE|x-own|X-[A-C]{1,3}|host|content-length|cookie)( ?, ?(x-own|close|,|x-[a-c]|accept)){0,3}",
        Just("websocket".to_owned()),
        Just("trailers".to_owned()),
        Just("chunked".to_owned()),
    ];
    vec((name, value), 0..12)
}

fn map(lines: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap());
    }
    map
}

/// Lower-case names that `Connection` lines give, but those without which a message has no host or end.
fn nominated(map: &HeaderMap) -> Vec<String> {
    let lines = map.get_all("connection").iter().map(|line| line.to_str().unwrap().to_ascii_lowercase());
    let names: Vec<_> = lines
        .flat_map(|line| line.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    names.into_iter().filter(|name| name != "host" && name != "content-length").collect()
}

/// What should be left of what came, in its order.
fn survivors(map: &HeaderMap, dropped: impl Fn(&str) -> bool) -> Vec<(String, HeaderValue)> {
    let all = map.iter().map(|(name, value)| (name.as_str().to_owned(), value.clone()));
    all.filter(|(name, _)| !dropped(name)).collect()
}

#[test]
fn a_request_loses_what_it_must_and_nothing_else() {
    let given = (
        lines(),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(prop::sample::select(vec!["h", "h:80", "[::1]:80"])),
    );
    super::holds("request", &given, |(lines, trusted, websocket, host)| {
        let incoming = map(&lines);
        let peer = HeaderValue::from_static("198.51.100.7");
        let host = host.map(HeaderValue::from_static);
        let origin = Origin { peer: &peer, host: host.as_ref(), secure: false, trusted, websocket };
        let outgoing = headers::request(&incoming, origin);

        prop_assert_eq!(outgoing.get_all("host").iter().count(), 1);
        let named = host.clone().unwrap_or(HeaderValue::from_static(""));
        prop_assert_eq!(outgoing.get("host"), Some(&named));
        prop_assert!(!outgoing.contains_key("forwarded"));
        for name in HOP_BY_HOP {
            let value = outgoing.get(name);
            let fine = match name {
                "upgrade" => value.is_none() != websocket,
                "te" => value.is_none_or(|value| value == "trailers" && !websocket),
                _ => value.is_none(),
            };
            prop_assert!(fine, "{}: {:?}", name, value);
        }
        let client = outgoing.get_all("x-forwarded-for").iter().collect::<Vec<_>>();
        prop_assert!(client.len() == 1 && client[0].as_bytes().ends_with(peer.as_bytes()));
        prop_assert!(trusted || client[0] == peer);
        let literal = host.as_ref().is_none_or(|host| host.as_bytes().starts_with(b"["));
        if !trusted {
            for (name, value) in [("x-real-ip", Some(&peer)), ("x-forwarded-host", host.as_ref())] {
                prop_assert_eq!(outgoing.get(name), value.filter(|_| !literal), "{}", name);
            }
        }
        let names = nominated(&incoming);
        let of_the_hop = |name: &str| {
            HOP_BY_HOP.contains(&name) || name == "connection" || name == "host" || CLAIMS.contains(&name)
        };
        let expected =
            survivors(&incoming, |name| of_the_hop(name) || names.iter().any(|nominated| nominated == name));
        prop_assert_eq!(survivors(&outgoing, of_the_hop), expected);
        Ok(())
    });
}

#[test]
fn an_answer_has_one_end_and_loses_only_what_is_of_the_hop() {
    super::holds("answer", &(lines(), any::<bool>()), |(lines, websocket)| {
        let incoming = map(&lines);
        let Ok(outgoing) = headers::response(incoming.clone(), websocket) else { return Ok(()) };
        prop_assert!(incoming.get_all("content-length").iter().count() <= 1);
        for name in HOP_BY_HOP {
            let value = outgoing.get(name);
            prop_assert!(value.is_none() || (name == "upgrade" && websocket), "{}: {:?}", name, value);
        }
        let names = nominated(&incoming);
        let of_the_hop = |name: &str| HOP_BY_HOP.contains(&name) || name == "connection";
        let expected =
            survivors(&incoming, |name| of_the_hop(name) || names.iter().any(|nominated| nominated == name));
        prop_assert_eq!(survivors(&outgoing, of_the_hop), expected);
        Ok(())
    });
}
