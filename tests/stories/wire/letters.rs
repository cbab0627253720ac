//! The letter case of names, where it changes: the door keeps no record of it until there is something to record.

use super::transcript::{GET, GOT, OK, Row, Step, answers, hears, reaches, row, sends};

const UNUSUAL: &str = "GET /2 HTTP/1.1\r\nHost: h\r\nx-a: 1\r\nDNT: 1\r\n\r\n";
const GOT_UNUSUAL: &str = "GET /2 HTTP/1.1\r\nHost: h\r\nx-a: 1\r\nDNT: 1\r\n{door}\r\n";
const USUAL: &str = "GET /2 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n";
const GOT_USUAL: &str = "GET /2 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n{door}\r\n";
const ETAG: &str = "HTTP/1.1 200 OK\r\nETag: 1\r\ncontent-length: 2\r\n\r\nok";
const SMALL: &str = "HTTP/1.1 200 OK\r\netag: 1\r\nContent-Length: 2\r\n\r\nok";

/// Each row is for a door of its own, which has not seen any names yet.
pub fn rows() -> Vec<Row> {
    vec![
        row(
            "of one visitor's requests",
            [
                ask(GET, GOT),
                ask(UNUSUAL, GOT_UNUSUAL),
                ask(USUAL, GOT_USUAL),
                ask(UNUSUAL, GOT_UNUSUAL),
                vec![Step::Stays],
            ]
            .concat(),
        ),
        row(
            "of one panel's answers",
            [exchange(GET, GOT, OK), exchange(GET, GOT, ETAG), exchange(GET, GOT, ETAG), vec![Step::Stays]]
                .concat(),
        ),
        row(
            "of answers that differ in nothing else",
            [
                exchange(GET, GOT, ETAG),
                exchange(GET, GOT, SMALL),
                exchange(GET, GOT, ETAG),
                exchange(GET, GOT, SMALL),
                vec![Step::Stays],
            ]
            .concat(),
        ),
        row(
            "in an answer that comes in pieces",
            [
                sends(GET),
                reaches(GOT),
                answers("HTTP/1.1 200 OK\r\nX-A: 1\r\nETa"),
                answers("g: 1\r\nContent-Length: 2\r\n\r\no"),
                answers("k"),
                hears("HTTP/1.1 200 OK\r\nX-A: 1\r\nETag: 1\r\nContent-Length: 2\r\n\r\nok"),
                Step::Stays,
            ],
        ),
        row(
            "in an answer after another that is not the last",
            [
                sends(GET),
                reaches(GOT),
                answers(format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{ETAG}")),
                hears(ETAG),
                Step::Stays,
            ],
        ),
        row(
            "in an answer whose body is long",
            exchange(
                GET,
                GOT,
                &format!(
                    "HTTP/1.1 200 OK\r\nETag: 1\r\nContent-Length: 300000\r\n\r\n{}",
                    "x".repeat(300_000)
                ),
            ),
        ),
    ]
}

/// The same, where the names of several requests meet on one connection.
pub fn meetings() -> Vec<Row> {
    vec![
        row(
            "in a request that is sent along with another",
            [
                sends(format!("{GET}{UNUSUAL}{USUAL}")),
                reaches(GOT),
                answers(OK),
                hears(OK),
                reaches(GOT_UNUSUAL),
                answers(ETAG),
                hears(ETAG),
                reaches(GOT_USUAL),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
        row("in one that comes while another waits for its answer", while_it_waits(UNUSUAL, GOT_UNUSUAL)),
        row("or does not", while_it_waits(USUAL, GOT_USUAL)),
        row(
            "after an upload",
            [
                sends("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n{door}\r\nhi"),
                answers(OK),
                hears(OK),
                sends(UNUSUAL),
                reaches(GOT_UNUSUAL),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
        row(
            "before an upload, whose rest comes later",
            [
                sends(GET),
                reaches(GOT),
                answers(OK),
                hears(OK),
                sends("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nx-a: 1\r\n\r\nhi"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nx-a: 1\r\n{door}\r\nhi"),
                sends("ya"),
                reaches("ya"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
    ]
}

fn ask(request: &str, reached: &str) -> Vec<Step> {
    exchange(request, reached, OK)
}

fn exchange(request: &str, reached: &str, answer: &str) -> Vec<Step> {
    vec![sends(request), reaches(reached), answers(answer), hears(answer)]
}

fn while_it_waits(request: &str, reached: &str) -> Vec<Step> {
    vec![
        sends(GET),
        reaches(GOT),
        sends(request),
        answers(OK),
        hears(OK),
        reaches(reached),
        answers(OK),
        hears(OK),
        Step::Stays,
    ]
}
