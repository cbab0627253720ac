use super::*;

static PEER: HeaderValue = HeaderValue::from_static("198.51.100.7");

const ORIGIN: Origin<'_> =
    Origin { peer: &PEER, host: None, secure: false, trusted: false, websocket: false };

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).fold(
        HeaderMap::new(),
        |mut map, (name, value)| {
            map.append(name, value);
            map
        },
    )
}

fn shown(headers: &HeaderMap) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn of_several_hosts_only_the_one_that_was_asked_for_goes_on() {
    let host = HeaderValue::from_static("a");
    for hosts in [&["a", "a"][..], &["a", "b"], &["b", "a"], &[]] {
        let incoming: Vec<_> = hosts.iter().map(|host| ("host", *host)).chain([("accept", "x")]).collect();
        let outgoing = request(&fields(&incoming), Origin { host: Some(&host), ..ORIGIN });
        let told: Vec<_> = outgoing.get_all(header::HOST).iter().collect();
        assert_eq!(told, [&host], "{hosts:?}");
    }
}

#[test]
fn order_and_duplicates_are_kept_and_the_client_is_named() {
    let host = HeaderValue::from_static("panel.example:80");
    let incoming =
        fields(&[("accept", "a"), ("host", "x"), ("accept", "b"), ("x-own", "1"), ("cookie", "s=1")]);
    let outgoing = request(&incoming, Origin { host: Some(&host), ..ORIGIN });
    assert_eq!(
        shown(&outgoing),
        [
            "accept: a",
            "accept: b",
            "host: panel.example:80",
            "x-own: 1",
            "cookie: s=1",
            "x-forwarded-for: 198.51.100.7",
            "x-forwarded-proto: http",
            "x-forwarded-host: panel.example:80",
            "x-real-ip: 198.51.100.7",
        ]
    );
}

#[test]
fn the_order_is_kept_wherever_the_connection_line_is() {
    let host = HeaderValue::from_static("h");
    let lines = [("host", "h"), ("accept", "a"), ("x-own", "1"), ("connection", "keep-alive")];
    for place in 0..lines.len() {
        let mut lines = lines;
        lines[place..].rotate_right(1);
        let outgoing = request(&fields(&lines), Origin { host: Some(&host), ..ORIGIN });
        let kept = shown(&outgoing).into_iter().filter(|line| !line.starts_with("x-forwarded"));
        let kept = kept.filter(|line| !line.starts_with("x-real")).collect::<Vec<_>>();
        assert_eq!(kept, ["host: h", "accept: a", "x-own: 1"], "{place}");
        let answer = response(fields(&lines), false).unwrap();
        assert_eq!(shown(&answer), ["host: h", "accept: a", "x-own: 1"], "{place}");
    }
}

#[test]
fn a_last_connection_line_takes_along_what_it_names() {
    let host = HeaderValue::from_static("h");
    let lines = [("host", "h"), ("x-own", "1"), ("connection", "keep-alive, x-own")];
    let outgoing = request(&fields(&lines), Origin { host: Some(&host), ..ORIGIN });
    assert!(!outgoing.contains_key("x-own") && !outgoing.contains_key("connection"));
    let twice = [("host", "h"), ("x-own", "1"), ("connection", "keep-alive"), ("connection", "x-own")];
    let outgoing = request(&fields(&twice), Origin { host: Some(&host), ..ORIGIN });
    assert!(!outgoing.contains_key("x-own") && !outgoing.contains_key("connection"));
}

#[test]
fn hop_by_hop_fields_and_those_named_by_any_connection_line_stay_behind() {
    let incoming = fields(&[
        ("connection", "close, X-One"),
        ("connection", "x-two , content-length, host"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("content-length", "0"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip"),
        ("upgrade", "h2c"),
        ("proxy-connection", "keep-alive"),
    ]);
    let outgoing = request(&incoming, ORIGIN);
    assert_eq!(
        shown(&outgoing),
        [
            "host: ",
            "x-three: 3",
            "content-length: 0",
            "x-forwarded-for: 198.51.100.7",
            "x-forwarded-proto: http"
        ]
    );
}

#[test]
fn claims_about_the_client_are_replaced_unless_the_peer_is_trusted() {
    let host = HeaderValue::from_static("h");
    let claims = || {
        fields(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "3.3.3.3"),
            ("forwarded", "for=4.4.4.4"),
        ])
    };
    let stranger = request(&claims(), Origin { host: Some(&host), ..ORIGIN });
    assert_eq!(
        shown(&stranger)[1..],
        [
            "x-forwarded-for: 198.51.100.7",
            "x-forwarded-proto: http",
            "x-forwarded-host: h",
            "x-real-ip: 198.51.100.7"
        ]
    );
    let trusted = request(&claims(), Origin { host: Some(&host), trusted: true, ..ORIGIN });
    assert_eq!(
        shown(&trusted)[1..],
        [
            "x-forwarded-for: 1.1.1.1, 2.2.2.2, 198.51.100.7",
            "x-forwarded-host: evil",
            "x-forwarded-proto: https",
            "x-real-ip: 3.3.3.3"
        ]
    );
}

#[test]
fn an_ipv6_literal_host_gets_neither_forwarded_host_nor_real_ip() {
    let host = HeaderValue::from_static("[2001:db8::1]:80");
    let claims = fields(&[("x-forwarded-host", "evil"), ("x-real-ip", "3.3.3.3")]);
    let outgoing = request(&claims, Origin { host: Some(&host), ..ORIGIN });
    assert_eq!(
        shown(&outgoing),
        ["host: [2001:db8::1]:80", "x-forwarded-for: 198.51.100.7", "x-forwarded-proto: http"]
    );
}

#[test]
fn a_websocket_keeps_its_handshake_and_loses_what_else_is_hop_by_hop() {
    let incoming =
        fields(&[("connection", "keep-alive, Upgrade, x-gone"), ("upgrade", "WebSocket"), ("x-gone", "1")]);
    assert!(is_websocket(&incoming));
    let outgoing = request(&incoming, Origin { websocket: true, ..ORIGIN });
    assert_eq!(
        shown(&outgoing)[1..],
        [
            "connection: Upgrade",
            "upgrade: websocket",
            "x-forwarded-for: 198.51.100.7",
            "x-forwarded-proto: http"
        ]
    );
    assert!(!is_websocket(&fields(&[("connection", "upgrade"), ("upgrade", "h2c")])));
    assert!(!is_websocket(&fields(&[("connection", "close"), ("upgrade", "websocket")])));
    assert!(!is_websocket(&fields(&[
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c")
    ])));
}

#[test]
fn trailers_are_asked_for_when_the_client_asks() {
    let outgoing = request(&fields(&[("te", "gzip;q=0.5, Trailers")]), ORIGIN);
    assert_eq!(outgoing[header::TE], "trailers");
    assert_eq!(outgoing[header::CONNECTION], "TE");
}

#[test]
fn split_cookies_become_one_line() {
    let mut headers = fields(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
    join_cookies(&mut headers);
    assert_eq!(shown(&headers), ["cookie: a=1; b=2", "x: y"]);
}

#[test]
fn equal_lengths_become_one_in_the_place_of_the_first() {
    let mut headers = fields(&[("content-length", "2"), ("x", "y"), ("content-length", "2")]);
    join_lengths(&mut headers);
    assert_eq!(shown(&headers), ["content-length: 2", "x: y"]);
}

#[test]
fn a_response_without_hop_by_hop_fields_passes_as_it_is() {
    let incoming = fields(&[("server", "panel"), ("date", "d"), ("set-cookie", "a"), ("set-cookie", "b")]);
    assert_eq!(response(incoming.clone(), false), Ok(incoming));
    let outgoing =
        response(fields(&[("connection", "x-a"), ("x-a", "1"), ("x-b", "2"), ("keep-alive", "1")]), false);
    assert_eq!(shown(&outgoing.unwrap()), ["x-b: 2"]);
}

#[test]
fn a_response_ends_in_one_place() {
    let ends = |lines: &[(&'static str, &'static str)]| response(fields(lines), false).is_ok();
    assert!(ends(&[("content-length", "5")]));
    assert!(ends(&[("transfer-encoding", "Chunked")]));
    for lines in [
        &[("content-length", "5"), ("content-length", "5")][..],
        &[("content-length", "5, 5")],
        &[("content-length", "+5")],
        &[("transfer-encoding", "chunked"), ("content-length", "5")],
        &[("transfer-encoding", "gzip, chunked")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        &[("transfer-encoding", "identity")],
    ] {
        assert!(!ends(lines), "{lines:?}");
    }
}

#[test]
fn trailers_neither_frame_nor_route_nor_vouch() {
    let incoming = fields(&[
        ("content-length", "1"),
        ("x-sum", "1"),
        ("host", "h"),
        ("connection", "close"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-sum", "2"),
    ]);
    assert_eq!(shown(&trailers(incoming)), ["x-sum: 1", "x-sum: 2"]);
}
