//! WebSockets: the handshake, and what comes after it.

use super::transcript::{OK, Row, Step, answers, hears, page, passes, reaches, row, sends};

pub const ASKS: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub const ASKED: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{door}\r\n";
pub const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
     Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// The same request without what asks for a WebSocket.
const PLAIN: &str = "GET /ws HTTP/1.1\r\nHost: h\r\n{door}\r\n";

pub fn rows() -> Vec<Row> {
    [handshakes(), after(), refusals(), plain_requests()].into_iter().flatten().collect()
}

fn handshakes() -> Vec<Row> {
    vec![
        row(
            "bytes both ways, and the visitor ends first",
            [
                sends(ASKS),
                reaches(ASKED),
                answers(SWITCHES),
                hears(SWITCHES),
                sends("\x00ping"),
                reaches("\x00ping"),
                answers("pong\r\n\r\n"),
                hears("pong\r\n\r\n"),
                Step::VisitorEnds,
                Step::PanelLeft,
                answers("a last word"),
                hears("a last word"),
                Step::PanelEnds,
                Step::Closed,
            ],
        ),
        row(
            "fields of this hop and claims stay behind, on both sides",
            [
                sends(
                    "GET /ws HTTP/1.1\r\nHost: h\r\nx-forwarded-for: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nOrigin: http://h\r\n\
                     connection: keep-alive, Upgrade, X-Hop\r\nX-Hop: 1\r\nupgrade: WebSocket\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n",
                ),
                reaches(
                    "GET /ws HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                     x-forwarded-for: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: h\r\nX-Real-Ip: 127.0.0.1\r\n\r\n",
                ),
                answers(
                    "HTTP/1.1 101 Switching\r\nupgrade: WebSocket\r\nConnection: x-hop, upgrade\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
                     Sec-WebSocket-Accept: x\r\nDate: never\r\n\r\n",
                ),
                hears(
                    "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x\r\nDate: never\r\nConnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
                ),
                Step::PanelEnds,
                Step::VisitorEnds,
                Step::PanelLeft,
                Step::Closed,
            ],
        ),
    ]
}

fn after() -> Vec<Row> {
    vec![
        row(
            "what the panel says along with the handshake",
            [
                sends(ASKS),
                reaches(ASKED),
                answers(format!("{SWITCHES}early")),
                hears(format!("{SWITCHES}early")),
                Step::VisitorEnds,
                Step::PanelLeft,
            ],
        ),
        row(
            "what the visitor says along with the handshake",
            [
                sends(format!("{ASKS}GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n")),
                reaches(ASKED),
                answers(SWITCHES),
                hears(SWITCHES),
                reaches("GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"),
                Step::VisitorEnds,
                Step::PanelLeft,
            ],
        ),
        row(
            "the panel ends first",
            [
                sends(ASKS),
                reaches(ASKED),
                answers(SWITCHES),
                hears(SWITCHES),
                Step::PanelEnds,
                sends("a last word"),
                reaches("a last word"),
                Step::Closed,
                Step::VisitorEnds,
                Step::PanelLeft,
            ],
        ),
    ]
}

fn refusals() -> Vec<Row> {
    let bad = |name, answer: &str| {
        row(
            name,
            [
                sends(ASKS),
                reaches(ASKED),
                answers(answer),
                hears(page("502 Bad Gateway", "")),
                Step::PanelLeft,
                Step::Stays,
            ],
        )
    };
    vec![
        row("the panel answers 200", [sends(ASKS), reaches(ASKED), answers(OK), hears(OK), Step::Stays]),
        row(
            "the panel wants a newer version",
            [
                sends(ASKS),
                reaches(ASKED),
                answers(
                    "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 14\r\nContent-Length: 0\r\n\r\n",
                ),
                hears(
                    "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 14\r\nContent-Length: 0\r\n\r\n",
                ),
                Step::Stays,
            ],
        ),
        bad(
            "the panel switches to something else",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ),
        bad(
            "the panel switches to two things",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
        ),
        bad(
            "the panel does not say that it means this connection",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        ),
        bad(
            "the panel does not say what to",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        ),
        row(
            "the panel switches without being asked",
            [
                sends("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n"),
                reaches(PLAIN),
                answers(SWITCHES),
                hears(page("502 Bad Gateway", "")),
                Step::PanelLeft,
                Step::Stays,
            ],
        ),
    ]
}

/// What looks like a handshake and is forwarded as a plain request.
fn plain_requests() -> Vec<Row> {
    let plain =
        |name, fields: &str| passes(name, format!("GET /ws HTTP/1.1\r\nHost: h\r\n{fields}\r\n"), PLAIN);
    vec![
        plain(
            "HTTP/2",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        plain("HTTP/2 or a WebSocket", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"),
        plain("a WebSocket or HTTP/2", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"),
        plain("a WebSocket of some version", "Connection: Upgrade\r\nUpgrade: websocket/13\r\n"),
        plain("TLS", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
        plain("an upgrade that Connection does not name", "Connection: keep-alive\r\nUpgrade: websocket\r\n"),
        plain("a Connection that names it without one", "Connection: Upgrade\r\n"),
        passes(
            "a handshake with a body",
            "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
            "GET /ws HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{door}\r\nhello",
        ),
        passes(
            "a handshake with a body in chunks",
            "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET /ws HTTP/1.1\r\nHost: h\r\n{door}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        passes(
            "a handshake of another method",
            "POST /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "POST /ws HTTP/1.1\r\nHost: h\r\n{door}\r\n",
        ),
        row(
            "a handshake in HTTP/1.0",
            [
                sends("GET /ws HTTP/1.0\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
                reaches(PLAIN),
                answers(OK),
                hears("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                Step::Closed,
            ],
        ),
    ]
}
