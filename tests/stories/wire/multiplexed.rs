//! HTTP/2, field by field: one reading of each request reaches the panel, or none does. What is malformed costs its own
//! stream, or the connection that it came on (RFC 9113 section 8.1.1).

use std::time::Duration;

use super::transcript::{OK, page};
use super::ways::{Bench, Way};
use crate::support::frames::{
    self, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, frame,
};
use crate::support::recorder::Recorder;

const PATIENCE: Duration = Duration::from_secs(10);

/// As an error code (RFC 9113 section 7).
const PROTOCOL_ERROR: [u8; 4] = 1u32.to_be_bytes();

/// A field block's first byte for a status (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;
const STATUS_400: u8 = 0x8c;

/// What the door adds for the host `h`.
const DOOR: &str = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\n\
     X-Real-Ip: 127.0.0.1\r\n";

const GET: [Field; 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/")];
const POST: [Field; 4] = [(":method", "POST"), GET[1], GET[2], GET[3]];

type Field = (&'static str, &'static str);

struct Row {
    name: &'static str,
    head: Vec<Field>,
    body: Option<&'static [u8]>,
    trailers: Option<Vec<Field>>,
    outcome: Outcome,
}

enum Outcome {
    /// The panel receives this, and its answer comes back.
    Reaches(String),
    /// The door answers 400.
    Refused,
    /// The stream ends, and the connection goes on.
    Reset,
    /// The connection ends.
    Ended,
}

#[tokio::test]
async fn each_request_of_http_2_has_one_reading_or_none() {
    for way in Way::MULTIPLEXED {
        hold(&mut Bench::open(way, |settings| settings).await).await;
    }
}

async fn hold(bench: &mut Bench) {
    let (https, panel) = (bench.door, &mut bench.panel);
    for row in rows() {
        let mut visitor = Frames::open(https, &[]).await;
        visitor.send(&row.bytes()).await;
        let tried = tokio::time::timeout(PATIENCE, row.holds(&mut visitor, panel)).await;
        tried.unwrap_or_else(|_| panic!("{}: nothing comes", row.name));
        // What else had been sent to the panel would be there before this.
        let mut other = Frames::open(https, &[]).await;
        let (next, stream) = match row.outcome {
            Outcome::Ended => (&mut other, 1),
            Outcome::Reaches(_) | Outcome::Refused | Outcome::Reset => (&mut visitor, 3),
        };
        next.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &frames::literals(&GET))).await;
        reaches(row.name, panel, &format!("GET / HTTP/1.1\r\nHost: h\r\n{DOOR}\r\n")).await;
        assert!(panel.send(OK.as_bytes()).await, "{}", row.name);
        let answer = tokio::time::timeout(PATIENCE, next.until(DATA)).await;
        assert_eq!(answer.expect("the next is answered").payload, b"ok", "{}", row.name);
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_cancels_its_request_and_no_other() {
    for way in Way::MULTIPLEXED {
        let mut bench = Bench::open(way, |settings| settings).await;
        let mut visitor = Frames::open(bench.door, &[]).await;
        let before_the_answer = "";
        let within_the_answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthe beginning";
        for (stream, answer) in [(1, before_the_answer), (5, within_the_answer)] {
            cancels(&mut bench.panel, &mut visitor, stream, answer).await;
            is_answered(&mut bench.panel, &mut visitor, stream + 2).await;
        }
    }
}

/// In chunks, a piece of no length would be the last one.
#[tokio::test]
async fn an_empty_piece_of_a_body_is_not_its_end() {
    for way in Way::MULTIPLEXED {
        let mut bench = Bench::open(way, |settings| settings).await;
        let mut visitor = Frames::open(bench.door, &[]).await;
        visitor.send(&frame(HEADERS, END_HEADERS, 1, &frames::literals(&POST))).await;
        for (flags, piece) in [(0, &b""[..]), (0, b"hi"), (0, b""), (0, b"ho"), (END_STREAM, b"")] {
            visitor.send(&frame(DATA, flags, 1, piece)).await;
        }
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{DOOR}Transfer-Encoding: chunked\r\n\r\n");
        let body = "2\r\nhi\r\n2\r\nho\r\n0\r\n\r\n";
        reaches("a body with empty pieces", &mut bench.panel, &format!("{head}{body}")).await;
        assert!(bench.panel.send(OK.as_bytes()).await);
        let answer = tokio::time::timeout(PATIENCE, visitor.until(DATA)).await.expect("an answer");
        assert_eq!((answer.stream, &answer.payload[..]), (1, &b"ok"[..]));
        is_answered(&mut bench.panel, &mut visitor, 3).await;
    }
}

/// A request that is taken back when so much of its answer has come is taken back from the panel, too.
async fn cancels(panel: &mut Recorder, visitor: &mut Frames, stream: u32, answer: &str) {
    const CANCEL: [u8; 4] = 8u32.to_be_bytes();
    get(panel, visitor, stream).await;
    if !answer.is_empty() {
        assert!(panel.send(answer.as_bytes()).await);
        let data = tokio::time::timeout(PATIENCE, visitor.until(DATA)).await.expect("the beginning");
        assert_eq!((data.stream, &data.payload[..]), (stream, &b"the beginning"[..]));
    }
    visitor.send(&frame(RST_STREAM, 0, stream, &CANCEL)).await;
    assert!(panel.is_ended(PATIENCE).await, "the panel still works for nobody, after {answer:?}");
}

async fn is_answered(panel: &mut Recorder, visitor: &mut Frames, stream: u32) {
    get(panel, visitor, stream).await;
    assert!(panel.send(OK.as_bytes()).await);
    let answer = tokio::time::timeout(PATIENCE, visitor.until(DATA)).await.expect("an answer");
    assert_eq!((answer.stream, &answer.payload[..]), (stream, &b"ok"[..]));
}

async fn get(panel: &mut Recorder, visitor: &mut Frames, stream: u32) {
    visitor.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &frames::literals(&GET))).await;
    reaches("a request", panel, &format!("GET / HTTP/1.1\r\nHost: h\r\n{DOOR}\r\n")).await;
}

impl Row {
    fn bytes(&self) -> Vec<u8> {
        let last = |is: bool| if is { END_STREAM } else { 0 };
        let (body, trailers) = (self.body.as_ref(), self.trailers.as_ref());
        let flags = END_HEADERS | last(body.is_none() && trailers.is_none());
        let head = frame(HEADERS, flags, 1, &frames::literals(&self.head));
        let body = body.map(|body| frame(DATA, last(trailers.is_none()), 1, body));
        let trailers =
            trailers.map(|fields| frame(HEADERS, END_HEADERS | END_STREAM, 1, &frames::literals(fields)));
        [Some(head), body, trailers].into_iter().flatten().flatten().collect()
    }

    async fn holds(&self, visitor: &mut Frames, panel: &mut Recorder) {
        let name = self.name;
        match &self.outcome {
            Outcome::Reaches(expected) => {
                reaches(name, panel, expected).await;
                assert!(panel.send(OK.as_bytes()).await, "{name}");
                assert_eq!(visitor.until(HEADERS).await.payload[0], STATUS_200, "{name}");
                assert_eq!(visitor.until(DATA).await.payload, b"ok", "{name}");
            }
            Outcome::Refused => {
                assert_eq!(visitor.until(HEADERS).await.payload[0], STATUS_400, "{name}");
                let page = page("400 Bad Request", "");
                assert!(page.as_bytes().ends_with(&visitor.until(DATA).await.payload), "{name}");
            }
            Outcome::Reset => {
                let reset = visitor.until(RST_STREAM).await;
                assert_eq!((reset.stream, &reset.payload[..]), (1, &PROTOCOL_ERROR[..]), "{name}");
            }
            Outcome::Ended => {
                assert_eq!(visitor.until(GOAWAY).await.payload[4..8], PROTOCOL_ERROR, "{name}");
                visitor.rest().await;
            }
        }
    }
}

async fn reaches(name: &str, panel: &mut Recorder, expected: &str) {
    let received = panel.take(expected.len(), PATIENCE).await;
    assert_eq!(received.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string(), "{name}");
}

fn rows() -> Vec<Row> {
    [targets(), hosts(), pseudo_fields(), fields(), bodies()].into_iter().flatten().collect()
}

fn row(name: &'static str, head: impl Into<Vec<Field>>, outcome: Outcome) -> Row {
    Row { name, head: head.into(), body: None, trailers: None, outcome }
}

/// A GET with one pseudo-header field changed.
fn with(name: &'static str, value: &'static str) -> Vec<Field> {
    GET.into_iter().map(|field| if field.0 == name { (name, value) } else { field }).collect()
}

fn without(name: &str) -> Vec<Field> {
    GET.into_iter().filter(|field| field.0 != name).collect()
}

fn and(more: &[Field]) -> Vec<Field> {
    [&GET[..], more].concat()
}

fn reached(start: &str, fields: &str) -> Outcome {
    Outcome::Reaches(format!("{start} HTTP/1.1\r\nHost: h\r\n{fields}{DOOR}\r\n"))
}

fn targets() -> Vec<Row> {
    vec![
        row(
            "a path, byte for byte",
            with(":path", "/%2e%2E//a/../b?c=%zz&&"),
            reached("GET /%2e%2E//a/../b?c=%zz&&", ""),
        ),
        row("a fragment is left out", with(":path", "/a?b#c"), reached("GET /a?b", "")),
        row("an empty path", with(":path", ""), Outcome::Reset),
        row("a path without a slash", with(":path", "a"), Outcome::Reset),
        row("an address as the path", with(":path", "http://other/x"), Outcome::Reset),
        row("a space in the path", with(":path", "/a b"), Outcome::Reset),
        row("a line end in the path", with(":path", "/ HTTP/1.1\r\nX: y"), Outcome::Reset),
        row("a star for another method than OPTIONS", with(":path", "*"), Outcome::Refused),
        row(
            "OPTIONS for the server itself",
            [(":method", "OPTIONS"), GET[1], GET[2], (":path", "*")],
            reached("OPTIONS *", ""),
        ),
        row("another scheme", with(":scheme", "ftp"), Outcome::Refused),
        row("a scheme that is an address", with(":scheme", "http://x/"), Outcome::Reset),
        row("a space in the method", with(":method", "GET /x"), Outcome::Ended),
        row("a line end in the method", with(":method", "GET\r\n"), Outcome::Ended),
        row("CONNECT", [(":method", "CONNECT"), (":authority", "h:443")], Outcome::Refused),
        row("CONNECT with a path", with(":method", "CONNECT"), Outcome::Reset),
        row(
            "a WebSocket by CONNECT, which was not offered",
            [(":method", "CONNECT"), (":protocol", "websocket"), GET[1], GET[2], GET[3]],
            Outcome::Reset,
        ),
    ]
}

fn hosts() -> Vec<Row> {
    vec![
        row("no host", without(":authority"), Outcome::Refused),
        row("Host alone", [&without(":authority")[..], &[("host", "h")]].concat(), reached("GET /", "")),
        row("Host beside the same authority", and(&[("host", "h")]), reached("GET /", "")),
        row("Host beside another", and(&[("host", "i")]), Outcome::Refused),
        row(
            "two Hosts",
            [&without(":authority")[..], &[("host", "h"), ("host", "h")]].concat(),
            Outcome::Refused,
        ),
        row("a user in the authority", with(":authority", "u@h"), Outcome::Refused),
        row("a path in the authority", with(":authority", "h/x"), Outcome::Reset),
    ]
}

fn pseudo_fields() -> Vec<Row> {
    vec![
        row("no path", without(":path"), Outcome::Reset),
        row("no scheme", without(":scheme"), Outcome::Reset),
        row("no method", without(":method"), Outcome::Reset),
        row("two paths", and(&[(":path", "/b")]), Outcome::Reset),
        row("two methods", and(&[(":method", "POST")]), Outcome::Reset),
        row("one after a field", [GET[0], GET[1], GET[2], ("x-a", "1"), GET[3]], Outcome::Reset),
        row("one of answers", and(&[(":status", "200")]), Outcome::Reset),
        row("one that nobody knows", and(&[(":x", "1")]), Outcome::Ended),
    ]
}

fn fields() -> Vec<Row> {
    vec![
        row("Connection", and(&[("connection", "close")]), Outcome::Reset),
        row("Keep-Alive", and(&[("keep-alive", "x")]), Outcome::Reset),
        row("Proxy-Connection", and(&[("proxy-connection", "x")]), Outcome::Reset),
        row("Transfer-Encoding", and(&[("transfer-encoding", "chunked")]), Outcome::Reset),
        row("Upgrade", and(&[("upgrade", "websocket")]), Outcome::Reset),
        row("TE for something else than trailers", and(&[("te", "gzip")]), Outcome::Reset),
        row(
            "TE for trailers",
            and(&[("te", "trailers")]),
            reached("GET /", "Te: trailers\r\nConnection: TE\r\n"),
        ),
        row("a capital in a name", and(&[("X-A", "1")]), Outcome::Ended),
        row("a space in a name", and(&[("x a", "1")]), Outcome::Ended),
        row("a colon in a name", and(&[("x:a", "1")]), Outcome::Ended),
        row("a line end in a name", and(&[("x-a\r\nx-b", "1")]), Outcome::Ended),
        row("no name", and(&[("", "1")]), Outcome::Ended),
        row("a line end in a value", and(&[("x-a", "1\r\nX-B: 2")]), Outcome::Ended),
        row("LF alone in a value", and(&[("x-a", "1\nX-B: 2")]), Outcome::Ended),
        row("NUL in a value", and(&[("x-a", "1\0")]), Outcome::Ended),
        row(
            "claims about the visitor",
            and(&[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-real-ip", "1.1.1.1"),
                ("forwarded", "for=1.1.1.1"),
                ("x-a", "1"),
            ]),
            reached("GET /", "X-A: 1\r\n"),
        ),
        row(
            "a cookie in pieces",
            and(&[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2")]),
            reached("GET /", "Cookie: a=1; b=2\r\nX-A: 1\r\n"),
        ),
    ]
}

fn bodies() -> Vec<Row> {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n";
    let with = |name, lengths: &[Field], outcome| Row {
        body: Some(b"hi"),
        ..row(name, [&POST[..], lengths].concat(), outcome)
    };
    let post = |fields: &str, rest: &str| {
        Outcome::Reaches(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}{DOOR}{rest}"))
    };
    vec![
        with("a body", &[("content-length", "2")], post("Content-Length: 2\r\n", "\r\nhi")),
        with("one without a length", &[], post("", &format!("{CHUNKED}\r\n"))),
        with(
            "the same length twice is one length",
            &[("content-length", "2"), ("content-length", "2")],
            post("Content-Length: 2\r\n", "\r\nhi"),
        ),
        with("two lengths", &[("content-length", "2"), ("content-length", "3")], Outcome::Reset),
        with("a list of lengths", &[("content-length", "2, 2")], Outcome::Reset),
        with("a length with a sign", &[("content-length", "+2")], Outcome::Reset),
        with("a body longer than its length", &[("content-length", "1")], Outcome::Reset),
        row("a length and no body", [&POST[..], &[("content-length", "5")]].concat(), Outcome::Reset),
        Row {
            trailers: Some(vec![
                ("x-sum", "7"),
                ("content-length", "9"),
                ("host", "other"),
                ("x-forwarded-for", "1.1.1.1"),
            ]),
            ..with(
                "of trailers those that may pass",
                &[("trailer", "x-sum")],
                post("Trailer: x-sum\r\n", &format!("{CHUNKED}X-Sum: 7\r\n\r\n")),
            )
        },
    ]
}
