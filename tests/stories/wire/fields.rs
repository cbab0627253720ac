//! Header fields, in both directions.

use super::transcript::{OK, Row, Step, answers, hears, passes, reaches, relays, row, sends};

pub fn rows() -> Vec<Row> {
    [requests(), responses()].into_iter().flatten().collect()
}

/// A GET with these fields reaches the panel with those.
fn becomes(name: &'static str, sent: &str, reached: &str) -> Row {
    passes(
        name,
        format!("GET / HTTP/1.1\r\nHost: h\r\n{sent}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\n{reached}\r\n"),
    )
}

fn requests() -> Vec<Row> {
    vec![
        becomes(
            "letters, order and repeated names are kept",
            "X-B: 1\r\nx-a: 2\r\nCOOKIE: a=b\r\nX-b: 3\r\nAccept: */*\r\n",
            "X-B: 1\r\nX-b: 3\r\nx-a: 2\r\nCOOKIE: a=b\r\nAccept: */*\r\n{door}",
        ),
        becomes(
            "what Connection names stays behind, in whatever line and letters",
            "Connection: X-One, ,keep-alive\r\nx-one: 1\r\nX-Keep: 1\r\nconnection:x-TWO\r\nX-Two: 2\r\nX-Two: 3\r\n",
            "X-Keep: 1\r\n{door}",
        ),
        becomes(
            "even a cookie or a password, if it is told to",
            "Connection: Cookie, Authorization\r\nCookie: a\r\nAuthorization: b\r\nX-A: 1\r\n",
            "X-A: 1\r\n{door}",
        ),
        becomes(
            "but not what the door says of the visitor",
            "Connection: X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-IP\r\nX-Forwarded-For: 1.2.3.4\r\n",
            "{door}",
        ),
        becomes("nor the host", "Connection: Host, close-not\r\n", "{door}"),
        passes(
            "nor the length of a body",
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\nhello",
        ),
        passes(
            "nor its coding",
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\n{door}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        becomes("a field that the word close would name", "Close: 1\r\nX-A: 1\r\n", "X-A: 1\r\n{door}"),
        becomes(
            "fields of this hop stay behind without being named",
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\nTE: gzip\r\nX-A: 1\r\n",
            "X-A: 1\r\n{door}",
        ),
        becomes(
            "of TE only trailers is passed on",
            "TE: gzip;q=0.5, trailers\r\nConnection: TE\r\nX-A: 1\r\n",
            "X-A: 1\r\nTE: trailers\r\nConnection: TE\r\n{door}",
        ),
        becomes(
            "claims about the visitor are replaced, however often and however spelled",
            "X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\nX-FORWARDED-HOST: evil\r\nX-Forwarded-Proto: ftp\r\n\
             X-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nforwarded: for=5.6.7.8\r\n",
            "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\nX-FORWARDED-HOST: h\r\nX-Real-IP: 127.0.0.1\r\n",
        ),
        passes(
            "for an IPv6 host there is neither X-Forwarded-Host nor X-Real-IP",
            "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Host: evil\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\n\r\n",
        ),
        passes(
            "the same for one in absolute form",
            "GET http://[::1]/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1]\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\n\r\n",
        ),
        becomes(
            "an upgrade to HTTP/2 is not one",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "{door}",
        ),
    ]
}

fn responses() -> Vec<Row> {
    vec![
        relays(
            "letters, order and repeated names are kept, and nothing is added",
            "HTTP/1.1 200 OK\r\nX-B: 1\r\nx-a: 2\r\nSet-Cookie: s=1\r\nset-cookie: t=2\r\nServer: panel\r\ndate: never\r\n\
             Content-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nX-B: 1\r\nx-a: 2\r\nSet-Cookie: s=1\r\nset-cookie: t=2\r\nServer: panel\r\ndate: never\r\n\
             Content-Length: 2\r\n\r\nok",
        ),
        relays(
            "what Connection names stays behind",
            "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nx-hop: 1\r\nconnection: keep-alive, x-also, content-length\r\nX-Also: 1\r\n\
             Content-Length: 2\r\nX-A: 1\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nok",
        ),
        relays(
            "fields of this hop stay behind without being named",
            "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nProxy-Authenticate: x\r\n\
             Content-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        relays(
            "the panel's words for a status",
            "HTTP/1.1 200 All is well\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 All is well\r\nContent-Length: 0\r\n\r\n",
        ),
        relays(
            "a status that nobody knows, without words",
            "HTTP/1.1 799 \r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 799 \r\nContent-Length: 0\r\n\r\n",
        ),
        row(
            "the panel's end is not the visitor's",
            [
                sends("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
                reaches("GET / HTTP/1.1\r\nHost: h\r\n{door}\r\n"),
                answers("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
                hears(OK),
                Step::PanelLeft,
                Step::Stays,
            ],
        ),
    ]
}

/// What a peer says that is among `trusted_proxies`.
pub fn from_a_trusted_peer() -> Vec<Row> {
    vec![
        becomes("it says nothing", "", "{door}"),
        becomes(
            "what it says of the visitor is kept, and its own address added",
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: i\r\n\
             X-Real-IP: 192.0.2.1\r\nX-A: 1\r\n",
            "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: i\r\n\
             X-Real-IP: 192.0.2.1\r\nX-A: 1\r\n",
        ),
        becomes("but not Forwarded, which is not kept up to date", "Forwarded: for=192.0.2.1\r\n", "{door}"),
        becomes(
            "and what Connection names is not for the panel even so",
            "Connection: X-Real-IP\r\nX-Real-IP: 192.0.2.1\r\n",
            "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: h\r\nX-Real-IP: 127.0.0.1\r\n",
        ),
    ]
}
