//! `Expect: 100-continue`: the visitor is told to go on when the panel says so, and not before.

use super::transcript::{
    GET, GOT, OK, Row, Step, answers, hears, page, passes, reaches, refused, row, sends,
};

const ASKS: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const ASKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n{door}\r\n";
const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

pub fn rows() -> Vec<Row> {
    [wanted(), sent_along(), unwanted(), other()].into_iter().flatten().collect()
}

fn wanted() -> Vec<Row> {
    vec![
        row(
            "the panel wants the body",
            [
                sends(ASKS),
                reaches(ASKED),
                answers(GO_ON),
                hears(GO_ON),
                sends("hello"),
                reaches("hello"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
        row(
            "in chunks, after other interim answers",
            [
                sends(
                    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nexpect: 100-Continue\r\n\r\n",
                ),
                reaches(
                    "POST / HTTP/1.1\r\nHost: h\r\nexpect: 100-Continue\r\n{door}Transfer-Encoding: chunked\r\n\r\n",
                ),
                answers(format!("HTTP/1.1 103 Early Hints\r\n\r\n{GO_ON}")),
                hears(GO_ON),
                sends("5\r\nhello\r\n0\r\n\r\n"),
                reaches("5\r\nhello\r\n0\r\n\r\n"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
        row(
            "another interim answer is not the one that is waited for",
            [
                sends(ASKS),
                reaches(ASKED),
                answers("HTTP/1.1 103 Early Hints\r\n\r\n"),
                answers("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"),
                hears("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
                Step::PanelLeft,
                Step::Closed,
            ],
        ),
    ]
}

/// The body, or more than that, comes at once.
fn sent_along() -> Vec<Row> {
    vec![
        row(
            "what follows the body is the next request",
            [
                sends(ASKS),
                reaches(ASKED),
                answers(GO_ON),
                hears(GO_ON),
                sends(format!("hello{GET}")),
                reaches("hello"),
                answers(OK),
                hears(OK),
                reaches(GOT),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
        row(
            "a visitor who does not wait",
            [
                sends(format!("{ASKS}hello")),
                reaches(ASKED),
                answers(GO_ON),
                hears(GO_ON),
                reaches("hello"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
    ]
}

/// The panel has never heard of expectations, and waits for the body.
pub fn unheard_of() -> Vec<Row> {
    vec![row(
        "the panel says nothing",
        [
            sends(ASKS),
            reaches(ASKED),
            hears(GO_ON),
            sends("hello"),
            reaches("hello"),
            answers(OK),
            hears(OK),
            Step::Stays,
        ],
    )]
}

fn unwanted() -> Vec<Row> {
    vec![
        // Had the door said 100 by itself, the visitor would hear it first.
        row(
            "the panel refuses: what comes after is not read",
            [
                sends(ASKS),
                reaches(ASKED),
                answers("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"),
                hears("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
                sends(HIDDEN),
                Step::PanelLeft,
                Step::Closed,
            ],
        ),
        row(
            "the panel is content without the body",
            [
                sends(ASKS),
                reaches(ASKED),
                answers(OK),
                hears("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
                sends(HIDDEN),
                Step::PanelLeft,
                Step::Closed,
            ],
        ),
        row(
            "the panel is content without the body of a visitor who does not wait",
            [
                sends(format!("{ASKS}hello{HIDDEN}")),
                reaches(ASKED),
                answers(OK),
                hears("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
                Step::PanelLeft,
                Step::Closed,
            ],
        ),
        row(
            "the panel leaves",
            [
                sends(ASKS),
                reaches(ASKED),
                Step::PanelEnds,
                hears(page("502 Bad Gateway", "Connection: close\r\n")),
                sends(HIDDEN),
                Step::Closed,
            ],
        ),
        row(
            "an answer that comes before all of a body has come",
            [
                sends("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nhello"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n{door}\r\nhello"),
                answers("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
                hears("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
                sends(HIDDEN),
                Step::PanelLeft,
                Step::Closed,
            ],
        ),
    ]
}

fn other() -> Vec<Row> {
    vec![
        refused(
            "another expectation",
            format!(
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: miracles\r\n\r\nhello{HIDDEN}"
            ),
            "417 Expectation Failed",
        ),
        refused(
            "another expectation beside it",
            format!(
                "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}"
            ),
            "417 Expectation Failed",
        ),
        passes(
            "an expectation of no body",
            "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{door}\r\n",
        ),
        row(
            "HTTP/1.0 has no expectations",
            [
                sends("POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\nhello"),
                answers(OK),
                hears("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                Step::Closed,
            ],
        ),
        row(
            "an expectation that Connection names is none",
            [
                sends(
                    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: expect\r\n\r\n",
                ),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\n"),
                hears(GO_ON),
                sends("hello"),
                reaches("hello"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
    ]
}
