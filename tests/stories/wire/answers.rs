//! What the panel answers, and what the visitor gets of it.

use super::transcript::{GET, GOT, OK, Row, Step, answers, hears, reaches, relays, row, sends};

const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK_1_0: &str = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub fn rows() -> Vec<Row> {
    [bodiless(), bodies(), trailers(), interim(), old(), excess()].into_iter().flatten().collect()
}

/// The same exchange with another request.
fn to(name: &'static str, request: &str, answer: &str, heard: &str) -> Row {
    let reached = request.replacen("\r\n\r\n", "\r\n{door}\r\n", 1).replace("HTTP/1.0", "HTTP/1.1");
    row(name, [sends(request), reaches(reached), answers(answer), hears(heard), Step::Stays])
}

/// The plainest request is answered with `answer`, after which nothing more is asked over the panel's connection.
fn relays_last(name: &'static str, answer: impl AsRef<[u8]>, heard: impl AsRef<[u8]>) -> Row {
    row(name, [sends(GET), reaches(GOT), answers(answer), hears(heard), Step::PanelLeft, Step::Stays])
}

fn bodiless() -> Vec<Row> {
    let same = |name, request, answer| to(name, request, answer, answer);
    vec![
        same(
            "HEAD, with the length of what GET would give",
            HEAD,
            "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-A: 1\r\n\r\n",
        ),
        same("HEAD, without a length", HEAD, "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"),
        to(
            "HEAD, of what GET would give in chunks",
            HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n",
        ),
        same("HEAD that finds nothing", HEAD, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"),
        same("204", GET, "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        to(
            "204 with a length",
            GET,
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
        ),
        same("304", GET, "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"),
        to(
            "304 with the length of what is not sent",
            GET,
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n",
        ),
        same("205", GET, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        same("200 with nothing in it", GET, "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n"),
    ]
}

fn bodies() -> Vec<Row> {
    let whole = "x".repeat(300_000);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{whole}", whole.len());
    let pieces = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello";
    let single: Vec<_> = pieces.bytes().map(|byte| answers([byte])).collect();
    vec![
        relays("one of 300 kB", &long, &long),
        relays(
            "one in chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        row(
            "one in chunks goes on as it comes",
            [
                sends(GET),
                reaches(GOT),
                answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
                hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
                answers("1\r\nb\r\n"),
                hears("1\r\nb\r\n"),
                answers("0\r\n\r\n"),
                hears("0\r\n\r\n"),
                Step::Stays,
            ],
        ),
        row(
            "one that only the end of the connection ends",
            [
                sends(GET),
                reaches(GOT),
                answers("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"),
                hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
                Step::PanelEnds,
                hears("0\r\n\r\n"),
                Step::Stays,
            ],
        ),
        relays_last(
            "one that is said to be the last of its connection",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            OK,
        ),
        row(
            "one in single bytes, head and all",
            [sends(GET), reaches(GOT)]
                .into_iter()
                .chain(single)
                .chain([hears(pieces), Step::Stays])
                .collect::<Vec<_>>(),
        ),
        relays(
            "lines that end with LF alone reach the visitor with CRLF",
            "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok",
        ),
    ]
}

fn trailers() -> Vec<Row> {
    const ASKED: &str = "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    const REACHED: &str = "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n{door}\r\n";
    let with = |announced: &str, trailers: &str| {
        format!(
            "HTTP/1.1 200 OK\r\n{announced}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{trailers}\r\n"
        )
    };
    let asked = |name, answer: String, heard: String| {
        row(name, [sends(ASKED), reaches(REACHED), answers(answer), hears(heard), Step::Stays])
    };
    vec![
        asked(
            "trailers for a visitor who wants them",
            with("Trailer: X-Sum\r\n", "X-Sum: 7\r\n"),
            with("Trailer: X-Sum\r\n", "X-Sum: 7\r\n"),
        ),
        asked("trailers that nobody announced stay behind", with("", "X-Sum: 7\r\n"), with("", "")),
        asked(
            "trailers that would frame stay behind",
            with(
                "Trailer: Content-Length, Connection, X-Sum\r\n",
                "Content-Length: 9\r\nConnection: close\r\nX-Sum: 7\r\n",
            ),
            with("Trailer: Content-Length, Connection, X-Sum\r\n", "X-Sum: 7\r\n"),
        ),
        relays(
            "trailers for a visitor who did not ask stay behind",
            with("Trailer: X-Sum\r\n", "X-Sum: 7\r\n"),
            with("Trailer: X-Sum\r\n", ""),
        ),
    ]
}

fn interim() -> Vec<Row> {
    vec![
        relays("102 stays behind", format!("HTTP/1.1 102 Processing\r\n\r\n{OK}"), OK),
        relays(
            "103, twice, and a number that nobody knows",
            format!(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 199 What\r\nX-A: 1\r\n\r\n{OK}"
            ),
            OK,
        ),
        relays("100 that nobody waits for", format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"), OK),
        relays("a flood of them", format!("{}{OK}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20_000)), OK),
        row(
            "103 long before the answer",
            [
                sends(GET),
                reaches(GOT),
                answers("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
    ]
}

/// HTTP/1.0, on either side.
fn old() -> Vec<Row> {
    const OLD: &str = "GET / HTTP/1.0\r\nHost: h\r\n\r\n";
    const OLD_STAYS: &str = "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n";
    vec![
        relays_last("HTTP/1.0 from the panel", OK_1_0, OK),
        relays_last(
            "HTTP/1.0 from the panel that would go on: the next request is HTTP/1.1 all the same",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            OK,
        ),
        row(
            "HTTP/1.0 from the panel, ended by its end",
            [
                sends(GET),
                reaches(GOT),
                answers("HTTP/1.0 200 OK\r\n\r\nhello"),
                hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
                Step::PanelEnds,
                hears("0\r\n\r\n"),
                Step::Stays,
            ],
        ),
        row(
            "chunks, for a visitor of HTTP/1.0",
            [
                sends(OLD),
                reaches(GOT),
                answers(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                ),
                hears("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nhello"),
                Step::Closed,
            ],
        ),
        row(
            "the same for one who would go on",
            [
                sends(OLD_STAYS),
                reaches(GOT),
                answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
                hears("HTTP/1.0 200 OK\r\n\r\nhello"),
                Step::Closed,
            ],
        ),
        row(
            "chunks that break off, for a visitor of HTTP/1.0",
            [
                sends(OLD),
                reaches(GOT),
                answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo"),
                hears("HTTP/1.0 200 OK\r\n\r\nhellowo"),
                Step::PanelEnds,
                Step::Broken,
            ],
        ),
    ]
}

/// More than the answer: nobody's answer, least of all the next request's. What is yet to come of it is not waited for.
fn excess() -> Vec<Row> {
    const MORE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    vec![
        relays_last("a second answer", format!("{OK}{MORE}"), OK),
        relays_last("a longer body than was said", format!("{OK}nonsense"), OK),
        relays_last(
            "bytes after the last chunk",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{MORE}"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        relays_last(
            "a body of 204",
            format!("HTTP/1.1 204 No Content\r\n\r\n{MORE}"),
            "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        relays_last(
            "a body of 304",
            format!("HTTP/1.1 304 Not Modified\r\n\r\n{MORE}"),
            "HTTP/1.1 304 Not Modified\r\n\r\n",
        ),
        to(
            "a body of HEAD",
            "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        ),
    ]
}
