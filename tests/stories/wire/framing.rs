//! Where a request body ends.

use super::transcript::unreadable;
use super::transcript::{
    GET, GOT, OK, Row, Step, answers, hears, page, passes, reaches, refused, row, sends,
};

const TWO_WAYS: &str = "501 Not Implemented";

pub fn rows() -> Vec<Row> {
    [codings(), lengths(), bodies(), bodies_and_what_follows(), chunks(), trailers()]
        .into_iter()
        .flatten()
        .collect()
}

/// A POST with these fields and a body that some would take for another request.
fn post(fields: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
    )
}

fn codings() -> Vec<Row> {
    let refused = [
        ("gzip, then chunked", "gzip, chunked"),
        ("chunked twice", "chunked, chunked"),
        ("chunked twice, in two lines", "chunked\r\nTransfer-Encoding: chunked"),
        ("gzip and chunked in two lines", "gzip\r\nTransfer-Encoding: chunked"),
        ("an empty element before chunked", ", chunked"),
    ]
    .map(|(name, coding)| refused(name, post(&format!("Transfer-Encoding: {coding}\r\n")), TWO_WAYS));
    // Where chunked does not come last nobody could say where the body ends: 400 (RFC 9112 section 6.3).
    let endless = [
        ("chunked, then gzip", "chunked, gzip"),
        ("chunked and identity in two lines", "chunked\r\nTransfer-Encoding: identity"),
        ("identity", "identity"),
        ("gzip alone", "gzip"),
        ("xchunked", "xchunked"),
        ("chunked with a parameter", "chunked;a=b"),
        ("chunked in quotation marks", "\"chunked\""),
        ("an empty element after chunked", "chunked,"),
        ("no coding at all", ""),
        ("a no-break space before chunked", "\u{a0}chunked"),
        ("a vertical tab before chunked", "\x0bchunked"),
        ("a vertical tab after chunked", "chunked\x0b"),
        ("a folded chunked", "\r\n chunked"),
    ]
    .map(|(name, coding)| unreadable(name, post(&format!("Transfer-Encoding: {coding}\r\n"))));
    refused.into_iter().chain(endless).chain(codings_and_lengths()).collect()
}

fn codings_and_lengths() -> Vec<Row> {
    const REACHED: &str =
        "POST / HTTP/1.1\r\nHost: h\r\n{door}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let one_way = |name, fields: &str| {
        row(name, [sends(post(fields)), reaches(REACHED), answers(OK), hears(LAST), Step::Closed])
    };
    vec![
        one_way(
            "chunked and a length: chunked counts, the length is gone, the connection ends",
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        ),
        one_way(
            "the same in the other order, and with a length that is none",
            "Transfer-Encoding: chunked\r\nContent-Length: nonsense\r\n",
        ),
        passes(
            "space around chunked, and other letters",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \t CHUNKED \t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            REACHED,
        ),
        unreadable("a space before the colon of chunked", post("Transfer-Encoding : chunked\r\n")),
        unreadable("chunked in HTTP/1.0", post("Transfer-Encoding: chunked\r\n").replacen("1.1", "1.0", 1)),
    ]
}

fn lengths() -> Vec<Row> {
    let with = |length: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\nhelloGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
        )
    };
    vec![
        unreadable("two lengths", with("5\r\nContent-Length: 6")),
        unreadable("a list of lengths", with("5, 5")),
        unreadable("a length with a sign", with("+5")),
        unreadable("a length below nothing", with("-1")),
        unreadable("a length in hexadecimal", with("0x5")),
        unreadable("a length with a space within", with("5 5")),
        unreadable("a length of nothing", with("")),
        unreadable("a length that ends in a letter", with("5a")),
        unreadable("a length with a fraction", with("5.0")),
        unreadable("a length beyond 64 bits", with("18446744073709551616")),
        unreadable("a length in full-width digits", with("\u{ff15}")),
        row(
            "the same length twice is one length",
            [
                sends("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\nhello"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
    ]
}

fn bodies() -> Vec<Row> {
    vec![
        passes(
            "a POST without any",
            "POST / HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        passes(
            "an empty one",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{door}\r\n",
        ),
        passes(
            "one with zeros before its length",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\n{door}\r\nhello",
        ),
        passes(
            "one of GET",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\nhello",
        ),
        passes(
            "a chunked one of GET",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n{door}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        passes(
            "a chunked one of DELETE",
            "DELETE / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "DELETE / HTTP/1.1\r\nHost: h\r\n{door}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ]
}

fn bodies_and_what_follows() -> Vec<Row> {
    vec![
        row(
            "one in pieces goes on as it comes",
            [
                sends("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n{door}\r\nhello"),
                sends("world"),
                reaches("world"),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
        row(
            "what follows it is the next request",
            [
                sends(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello{GET}")),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\nhello"),
                answers(OK),
                hears(OK),
                reaches(GOT),
                answers(OK),
                hears(OK),
                Step::Stays,
            ],
        ),
        row(
            "one of an HTTP/1.0 visitor",
            [
                sends("POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\nhello"),
                answers(OK),
                hears("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                Step::Closed,
            ],
        ),
        row(
            "one that breaks off breaks off for the panel too",
            [
                sends("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello"),
                reaches("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n{door}\r\nhello"),
                Step::VisitorEnds,
                Step::PanelLeft,
            ],
        ),
    ]
}

fn chunks() -> Vec<Row> {
    const HEAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const REACHED: &str = "POST / HTTP/1.1\r\nHost: h\r\n{door}Transfer-Encoding: chunked\r\n\r\n";
    let passes = |name, body: &str, reached: &str| {
        passes(name, format!("{HEAD}{body}"), format!("{REACHED}{reached}"))
    };
    // The head has gone on by the time that the body turns out to be bad; what must not follow is an end.
    let breaks = |name, body: &str, reached: &str| {
        row(
            name,
            [
                sends(format!("{HEAD}1\r\na\r\n")),
                reaches(format!("{REACHED}1\r\na\r\n")),
                sends(format!("{body}{GET}")),
                reaches(reached),
                Step::PanelLeft,
                hears(page("400 Bad Request", "Connection: close\r\n")),
                Step::Closed,
            ],
        )
    };
    let broken = |name, body: &str| breaks(name, body, "");
    vec![
        passes("an empty chunked body", "0\r\n\r\n", "0\r\n\r\n"),
        passes(
            "chunk extensions stay behind",
            "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        passes(
            "small letters and zeros in a chunk size",
            "0000a\r\n0123456789\r\n000\r\n\r\n",
            "A\r\n0123456789\r\n0\r\n\r\n",
        ),
        passes("space after a chunk size", "5 \t\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        broken("a chunk size that is none", "x\r\n"),
        broken("a chunk size with a sign", "+5\r\nhello\r\n"),
        broken("a chunk size below nothing", "-5\r\nhello\r\n"),
        broken("a chunk size with 0x", "0x5\r\nhello\r\n"),
        broken("a chunk size of nothing", "\r\nhello\r\n"),
        broken("a chunk size beyond 64 bits", "10000000000000005\r\nhello\r\n"),
        broken("a chunk size with a space within", "1 0\r\nhello\r\n"),
        broken("a space before a chunk size", " 5\r\nhello\r\n"),
        broken("a chunk size that ends with LF alone", "5\nhello\r\n"),
        broken("a chunk size that ends with CR alone", "5\rhello\r\n"),
        broken("LF within a chunk extension", "5;a\nb\r\nhello\r\n"),
        broken("CR within a chunk extension", "5;a\rb\r\nhello\r\n"),
        breaks("a chunk longer than its size", "3\r\nhello\r\n", "3\r\nhel\r\n"),
        breaks("no line end after a chunk", "5\r\nhello0\r\n\r\n", "5\r\nhello\r\n"),
        breaks("LF alone after a chunk", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n"),
        broken("LF alone at the end", "0\n\n"),
        broken("a chunk size with a mark within", "1_0\r\nhello\r\n"),
        broken("a chunk extension without an end", &format!("5;{}\r\nhello\r\n", "a".repeat(20_000))),
        broken("a trailer without a colon", "0\r\nnonsense\r\n\r\n"),
        broken("a space before the colon of a trailer", "0\r\nX-A : 1\r\n\r\n"),
        broken("a folded trailer", "0\r\nX-A: 1\r\n 2\r\n\r\n"),
        broken("NUL in a trailer", "0\r\nX-A: 1\0\r\n\r\n"),
        broken("CR alone in a trailer", "0\r\nX-A: 1\rX-B: 2\r\n\r\n"),
        broken("a last chunk without its empty line", "0\r\n"),
    ]
}

fn trailers() -> Vec<Row> {
    let with = |announced: &str, trailers: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{announced}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
        )
    };
    let reached = |announced: &str, trailers: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{announced}{{door}}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
        )
    };
    vec![
        passes(
            "an announced one reaches the panel",
            with("Trailer: X-Sum\r\n", "X-Sum: 7\r\n"),
            reached("Trailer: X-Sum\r\n", "X-Sum: 7\r\n"),
        ),
        passes("one that nobody announced stays behind", with("", "X-Sum: 7\r\n"), reached("", "")),
        passes(
            "none that frames, routes or vouches gets through",
            with(
                "Trailer: Content-Length, Transfer-Encoding, Host, Connection, X-Forwarded-For, X-Sum\r\n",
                "Content-Length: 99\r\nTransfer-Encoding: gzip\r\nHost: other\r\nConnection: close\r\n\
                 X-Forwarded-For: 1.2.3.4\r\nX-Sum: 7\r\n",
            ),
            reached(
                "Trailer: Content-Length, Transfer-Encoding, Host, Connection, X-Forwarded-For, X-Sum\r\n",
                "X-Sum: 7\r\n",
            ),
        ),
    ]
}
