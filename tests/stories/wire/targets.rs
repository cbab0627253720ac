//! Request targets, in every form.

use super::transcript::{Row, Step, hears, page, passes, refused, row, sends, unreadable};

const BAD: &str = "400 Bad Request";

pub fn rows() -> Vec<Row> {
    let mut rows = forms();
    rows.extend(carried().into_iter().map(carried_as_it_is));
    rows
}

/// Targets in origin form that go through byte for byte.
fn carried() -> Vec<(&'static str, &'static str)> {
    vec![
        ("percent encodings, as they are spelled", "/%7Euser/%2e%2E/%2f%00%zz%"),
        ("empty and dot segments", "//a//../b/./..//"),
        ("a question mark alone", "/?"),
        ("two question marks", "/a?b?c"),
        ("an odd query", "/?a=b&&c=%zz;=&\\^`{|}[]'+"),
        ("what no character of a path should be", "/a;b,c|d\"e{f}g[h]\\i'"),
        ("UTF-8", "/中文?键=值"),
        ("every mark of RFC 3986", "/-._~!$&'()*+,;=:@?-._~!$&'()*+,;=:@/?"),
        ("an address as a path", "/http://other/x"),
        ("a star as a path", "/*"),
    ]
}

fn carried_as_it_is((name, target): (&'static str, &'static str)) -> Row {
    passes(
        name,
        format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: h\r\n{{door}}\r\n"),
    )
}

fn forms() -> Vec<Row> {
    vec![
        passes(
            "absolute form becomes origin form",
            "GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a?b HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        passes(
            "the host of an absolute form counts, in the place of Host",
            "GET http://h/ HTTP/1.1\r\nX-A: 1\r\nHost: other\r\nX-B: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nX-A: 1\r\nHost: h\r\nX-B: 2\r\n{door}\r\n",
        ),
        passes(
            "absolute form without a path",
            "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        passes(
            "absolute form with a query and no path",
            "GET http://h?a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /?a HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        passes(
            "absolute form in capitals, of https",
            "GET HTTPS://h/a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        passes(
            "OPTIONS for the server itself",
            "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        refused("absolute form with no Host beside it", "GET http://h/ HTTP/1.1\r\n\r\n", BAD),
        refused(
            "absolute form with two Hosts beside it",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            BAD,
        ),
        refused(
            "absolute form with a bad Host beside it",
            "GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n",
            BAD,
        ),
        refused("absolute form with a user", "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", BAD),
        refused("absolute form with a bad port", "GET http://h:99999/ HTTP/1.1\r\nHost: h\r\n\r\n", BAD),
        refused("absolute form of another scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", BAD),
        unreadable("absolute form without a host", "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n"),
        refused("a star for another method than OPTIONS", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", BAD),
        refused("a host as the target", "GET h HTTP/1.1\r\nHost: h\r\n\r\n", BAD),
        refused("a host and port as the target", "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", BAD),
        unreadable("a path that does not begin with a slash", "GET a/b HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a query alone", "GET ?a HTTP/1.1\r\nHost: h\r\n\r\n"),
        connect("CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        connect("CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n"),
        passes(
            "a fragment, which no request has, is left out",
            "GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a?b HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        unreadable("what is not UTF-8", b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("an angle bracket in a path", "GET /<a> HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a caret or a backtick in a path", "GET /` HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a quotation mark in a query", "GET /?\" HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("DEL in a target", "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a control in a target", "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n"),
    ]
}

/// Refused like any other bad target, but over TLS the end comes without a word: hyper takes it that the connection was
/// handed over.
fn connect(name: &'static str, request: &str) -> Row {
    row(name, [sends(request), hears(page(BAD, "Connection: close\r\n")), Step::Cut])
}
