//! Request heads: the request line, the lines after it, and the one host.

use super::transcript::{
    GET, GOT, OK, Row, Step, UNREADABLE, answers, hears, page, passes, reaches, refused, row,
};
use super::transcript::{sends, unreadable};

const BAD: &str = "400 Bad Request";

pub fn rows() -> Vec<Row> {
    [request_lines(), field_lines(), hosts(), versions(), one_after_another()].into_iter().flatten().collect()
}

fn request_lines() -> Vec<Row> {
    vec![
        passes("the plainest request", GET, GOT),
        passes("an empty line before it", format!("\r\n\r\n{GET}"), GOT),
        passes("many of them, and of LF alone", format!("{}{GET}", "\r\n\n".repeat(20)), GOT),
        unreadable("CR alone before it", format!("\r{GET}")),
        passes(
            "lines that end with LF alone reach the panel with CRLF",
            "GET / HTTP/1.1\nHost: h\nX-A: 1\n\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n{door}\r\n",
        ),
        passes(
            "an unknown method",
            "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n",
            "BREW /pot HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        passes(
            "a method in small letters is another method",
            "get / HTTP/1.1\r\nHost: h\r\n\r\n",
            "get / HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        passes(
            "a method of every letter that methods have",
            "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: h\r\n\r\n",
            "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        unreadable("two spaces before the target", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("two spaces after the target", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a tab before the target", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a tab after the target", "GET /\tHTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a form feed after the target", "GET /\x0cHTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a space after the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n"),
        unreadable("a space before the method", " GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a space within the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("no method", " / HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a method that is none", "G(E)T / HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("NUL in the request line", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("CR alone in the request line", "GET /\rx HTTP/1.1\r\nHost: h\r\n\r\n"),
        unreadable("CR alone after the request line", "GET / HTTP/1.1\rHost: h\r\n\r\n"),
        unreadable("no request at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ]
}

fn field_lines() -> Vec<Row> {
    vec![
        unreadable("a folded line", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n 2\r\n\r\n"),
        unreadable("a line folded with a tab", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\t2\r\n\r\n"),
        unreadable("a fold before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
        unreadable(
            "a space before the colon",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello",
        ),
        unreadable("a tab before the colon", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length\t: 5\r\n\r\nhello"),
        unreadable("a space in a name", "GET / HTTP/1.1\r\nHost: h\r\nX A: 1\r\n\r\n"),
        unreadable("a name that is empty", "GET / HTTP/1.1\r\nHost: h\r\n: 1\r\n\r\n"),
        unreadable("a line without a colon", "GET / HTTP/1.1\r\nHost: h\r\nX-A\r\n\r\n"),
        unreadable("NUL in a name", "GET / HTTP/1.1\r\nHost: h\r\nX\0A: 1\r\n\r\n"),
        unreadable("NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\x002\r\n\r\n"),
        unreadable("another control in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\x0b2\r\n\r\n"),
        unreadable("DEL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\x7f2\r\n\r\n"),
        unreadable("CR alone in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\rX-B: 2\r\n\r\n"),
        unreadable("CR alone before a field", "GET / HTTP/1.1\r\nHost: h\r\n\rX-A: 1\r\n\r\n"),
        unreadable("CR alone at the end", "GET / HTTP/1.1\r\nHost: h\r\n\r\r\n"),
        unreadable("a letter outside of ASCII in a name", "GET / HTTP/1.1\r\nHost: h\r\nX-\u{e4}: 1\r\n\r\n"),
        passes(
            "space around a value is not part of it",
            "GET / HTTP/1.1\r\nHost: h\r\nX-A: \t 1 \t 2 \t \r\nX-B:1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1 \t 2\r\nX-B: 1\r\n{door}\r\n",
        ),
        passes(
            "bytes outside of ASCII in a value, and no value",
            b"GET / HTTP/1.1\r\nHost: h\r\nX-A: \xff\xe4\x80\r\nX-Empty:\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nX-A: \xff\xe4\x80\r\nX-Empty:\r\n{door}\r\n",
        ),
    ]
}

fn hosts() -> Vec<Row> {
    vec![
        refused("no Host", "GET / HTTP/1.1\r\n\r\n", BAD),
        refused("two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", BAD),
        refused("the same Host twice", "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", BAD),
        refused("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", BAD),
        refused("a list of hosts", "GET / HTTP/1.1\r\nHost: h, i\r\n\r\n", BAD),
        refused("a user in Host", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", BAD),
        refused("a URL in Host", "GET / HTTP/1.1\r\nHost: http://h/\r\n\r\n", BAD),
        refused("a path in Host", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", BAD),
        refused("a query in Host", "GET / HTTP/1.1\r\nHost: h?x\r\n\r\n", BAD),
        refused("a space in Host", "GET / HTTP/1.1\r\nHost: h i\r\n\r\n", BAD),
        refused("a port without a host", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", BAD),
        refused("a port that is no number", "GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", BAD),
        refused("a port with a sign", "GET / HTTP/1.1\r\nHost: h:+80\r\n\r\n", BAD),
        refused("a port beyond all ports", "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", BAD),
        refused("two ports", "GET / HTTP/1.1\r\nHost: h:80:80\r\n\r\n", BAD),
        refused("an IPv6 address without brackets", "GET / HTTP/1.1\r\nHost: 2001:db8::1\r\n\r\n", BAD),
        refused("a bracket that is not closed", "GET / HTTP/1.1\r\nHost: [2001:db8::1\r\n\r\n", BAD),
        refused("more after a bracket", "GET / HTTP/1.1\r\nHost: [::1]1\r\n\r\n", BAD),
        refused("an IPv6 address with a zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", BAD),
        refused("a name in brackets", "GET / HTTP/1.1\r\nHost: [h]\r\n\r\n", BAD),
        refused("letters outside of ASCII in Host", "GET / HTTP/1.1\r\nHost: h\u{e4}\r\n\r\n", BAD),
        refused(
            "a Host that tries to be a second header",
            "GET / HTTP/1.1\r\nHost: h%0d%0aX: 1\r\n\r\n",
            BAD,
        ),
        passes(
            "a Host with a port",
            "GET / HTTP/1.1\r\nHost: h.example:8080\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h.example:8080\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\n\
             X-Forwarded-Host: h.example:8080\r\nX-Real-Ip: 127.0.0.1\r\n\r\n",
        ),
        passes(
            "a Host in the visitor's own letters",
            "GET / HTTP/1.1\r\nhOST: H_1.Example\r\n\r\n",
            "GET / HTTP/1.1\r\nhOST: H_1.Example\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\n\
             X-Forwarded-Host: H_1.Example\r\nX-Real-Ip: 127.0.0.1\r\n\r\n",
        ),
    ]
}

fn versions() -> Vec<Row> {
    vec![
        unreadable("HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
        unreadable("HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n"),
        unreadable("HTTP/0.9 with a version", "GET / HTTP/0.9\r\nHost: h\r\n\r\n"),
        unreadable("HTTP/0.9 without one", "GET /\r\n"),
        unreadable("a version in small letters", "GET / http/1.1\r\nHost: h\r\n\r\n"),
        unreadable("a version with a longer number", "GET / HTTP/1.10\r\nHost: h\r\n\r\n"),
        unreadable("the beginning of HTTP/2, and then something else", "PRI * HTTP/2.0\r\n\r\nSN"),
        row(
            "HTTP/1.0 ends after one request",
            [
                sends("GET / HTTP/1.0\r\nHost: h\r\n\r\n"),
                reaches(GOT),
                answers(OK),
                hears("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                Step::Closed,
            ],
        ),
        row(
            "HTTP/1.0 goes on if it asks to",
            [
                sends("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"),
                reaches(GOT),
                answers(OK),
                hears("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"),
                Step::Stays,
            ],
        ),
        row(
            "HTTP/1.0 without a Host: the panel is told that there is none",
            [
                sends("GET / HTTP/1.0\r\n\r\n"),
                reaches(
                    "GET / HTTP/1.1\r\nHost: \r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\n\r\n",
                ),
                answers(OK),
                hears("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                Step::Closed,
            ],
        ),
        row(
            "HTTP/1.0 with two Hosts",
            [
                sends("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"),
                hears(page(BAD, "Connection: close\r\n").replace("HTTP/1.1", "HTTP/1.0")),
                Step::Closed,
            ],
        ),
        row(
            "a visitor who asks for the end gets it",
            [
                sends("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
                reaches(GOT),
                answers(OK),
                hears("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
                Step::Closed,
            ],
        ),
        row(
            "a later keep-alive does not undo an earlier close",
            [
                sends("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n"),
                reaches(GOT),
                answers(OK),
                hears("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
                Step::Closed,
            ],
        ),
    ]
}

fn one_after_another() -> Vec<Row> {
    let first = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let reached = |path: &str| reaches(format!("GET /{path} HTTP/1.1\r\nHost: h\r\n{{door}}\r\n"));
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    vec![
        row(
            "requests that are sent at once are answered in their order",
            [
                sends([first("a"), first("b"), first("c")].concat()),
                reached("a"),
                answers(answer("first")),
                hears(answer("first")),
                reached("b"),
                answers(answer("second")),
                hears(answer("second")),
                reached("c"),
                answers(answer("third")),
                hears(answer("third")),
                Step::Stays,
            ],
        ),
        row(
            "after one that cannot be read none is read",
            [
                sends([first("a"), "GET / HTTP/9\r\n\r\n".to_owned(), first("c")].concat()),
                reached("a"),
                answers(answer("first")),
                hears(answer("first")),
                hears(UNREADABLE),
                Step::Closed,
            ],
        ),
        row(
            "after one that is refused none is read",
            [
                sends([first("a"), "GET / HTTP/1.1\r\n\r\n".to_owned(), first("c")].concat()),
                reached("a"),
                answers(answer("first")),
                hears(answer("first")),
                hears(page(BAD, "Connection: close\r\n")),
                Step::Closed,
            ],
        ),
        row(
            "after one that asks for the end none is read",
            [
                sends(
                    ["GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_owned(), first("b")]
                        .concat(),
                ),
                reached("a"),
                answers(OK),
                hears("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
                Step::Closed,
            ],
        ),
        row(
            "a head in single bytes",
            GET.bytes()
                .map(|byte| sends([byte]))
                .chain([reaches(GOT), answers(OK), hears(OK), Step::Stays])
                .collect::<Vec<_>>(),
        ),
    ]
}
