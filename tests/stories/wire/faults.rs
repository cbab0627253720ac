//! Answers that are none, that could be read in two ways, or that break off.

use super::transcript::{GET, GOT, OK, Row, Step, answers, hears, page, reaches, row, sends};

pub fn rows() -> Vec<Row> {
    [unreadable(), silent_when_kept(), silent(), ambiguous(), truncated()].into_iter().flatten().collect()
}

/// The panel's answer is none; its connection is given up, the visitor's goes on.
fn fails(name: &'static str, answer: impl AsRef<[u8]>) -> Row {
    row(
        name,
        [
            sends(GET),
            reaches(GOT),
            answers(answer),
            hears(page("502 Bad Gateway", "")),
            Step::PanelLeft,
            Step::Stays,
        ],
    )
}

fn unreadable() -> Vec<Row> {
    vec![
        fails("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        fails("HTTP/0.0", "HTTP/0.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        fails("a body of 103", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello"),
        fails("HTTP/2", "HTTP/2 200 OK\r\n\r\n"),
        fails("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
        fails("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        fails("a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
        fails("no status", "HTTP/1.1 OK\r\n\r\n"),
        fails("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
        fails("a folded line", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"),
        fails("NUL in a value", "HTTP/1.1 200 OK\r\nX-A: 1\x002\r\nContent-Length: 2\r\n\r\nok"),
        fails("CR alone in a value", "HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok"),
        fails("CR alone in the words of a status", "HTTP/1.1 200 OK\rX: 1\r\nContent-Length: 2\r\n\r\nok"),
        fails(
            "a head that is too large",
            format!("HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 2\r\n\r\nok", "x".repeat(100_000)),
        ),
    ]
}

/// Ends before there is an answer. A kept connection may have died unnoticed, so what can be repeated is asked once more
/// over a new one, and then no more.
fn silent() -> Vec<Row> {
    const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\n\r\n";
    const POSTED: &str = "POST / HTTP/1.1\r\nHost: h\r\n{door}\r\n";
    vec![
        row(
            "one to a POST",
            [sends(POST), reaches(POSTED), Step::PanelEnds, hears(page("502 Bad Gateway", "")), Step::Stays],
        ),
        row(
            "one to a POST over a kept connection",
            kept([
                sends(POST),
                reaches(POSTED),
                Step::PanelEnds,
                hears(page("502 Bad Gateway", "")),
                Step::Stays,
            ]),
        ),
        row(
            "an end within the head",
            [
                sends(POST),
                reaches(POSTED),
                answers("HTTP/1.1 200 OK\r\nContent-Le"),
                Step::PanelEnds,
                hears(page("502 Bad Gateway", "")),
                Step::Stays,
            ],
        ),
    ]
}

fn silent_when_kept() -> Vec<Row> {
    const PUT: &str = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbegun";
    vec![
        row(
            "an end without a word, to a GET over a kept connection",
            kept([
                sends(GET),
                reaches(GOT),
                Step::PanelEnds,
                reaches(GOT),
                answers(OK),
                hears(OK),
                Step::Stays,
            ]),
        ),
        row(
            "one within the head of an answer",
            kept([
                sends(GET),
                reaches(GOT),
                answers("HTTP/1.1 200 OK\r\nContent-"),
                Step::PanelEnds,
                reaches(GOT),
                answers(OK),
                hears(OK),
                Step::Stays,
            ]),
        ),
        row(
            "two of them",
            kept([
                sends(GET),
                reaches(GOT),
                Step::PanelEnds,
                reaches(GOT),
                Step::PanelEnds,
                hears(page("502 Bad Gateway", "")),
                Step::Stays,
            ]),
        ),
        row(
            "one to a PUT whose body has begun",
            kept([
                sends(PUT),
                reaches("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n{door}\r\nbegun"),
                Step::PanelEnds,
                hears(page("502 Bad Gateway", "Connection: close\r\n")),
                Step::Closed,
            ]),
        ),
    ]
}

/// The same over a connection to the panel that was kept.
fn kept(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    [sends(GET), reaches(GOT), answers(OK), hears(OK)].into_iter().chain(steps).collect()
}

/// Answers whose end could be found in two places.
fn ambiguous() -> Vec<Row> {
    const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        fails(
            "chunked and a length",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"),
        ),
        fails(
            "gzip, then chunked",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{CHUNKS}"),
        ),
        fails(
            "chunked twice",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n{CHUNKS}"),
        ),
        fails(
            "chunked in two lines",
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"
            ),
        ),
        fails("gzip alone", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
        fails("identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
        fails(
            "chunked in HTTP/1.0",
            format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"),
        ),
        fails("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
        fails("a list of two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok"),
        fails("a list of one length", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
        fails("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
        fails("a length of nothing", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"),
        fails("a length beyond 64 bits", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok"),
        fails("the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        row(
            "the same length twice, for HEAD",
            [
                sends("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"),
                reaches("HEAD / HTTP/1.1\r\nHost: h\r\n{door}\r\n"),
                answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n"),
                hears(page("502 Bad Gateway", "").split_inclusive("\r\n\r\n").next().unwrap()),
                Step::PanelLeft,
                Step::Stays,
            ],
        ),
    ]
}

fn truncated() -> Vec<Row> {
    let breaks = |name, answer: &str, heard: &str| {
        row(name, [sends(GET), reaches(GOT), answers(answer), hears(heard), Step::PanelEnds, Step::Cut])
    };
    vec![
        breaks(
            "a body shorter than its length",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        ),
        breaks(
            "chunks without the last",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
        breaks(
            "a chunk that breaks off",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
        ),
        breaks(
            "a last chunk without its empty line",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
        row(
            "a chunk size that is none",
            [
                sends(GET),
                reaches(GOT),
                answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n"),
                hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
                Step::Cut,
            ],
        ),
    ]
}
