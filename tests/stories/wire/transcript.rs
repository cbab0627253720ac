//! One row of the table, and how it is tried: a door between a visitor who sends exact bytes and a panel that records
//! exact bytes.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ways::Bench;
use crate::support::tls;
use crate::support::upstream::Stream;

/// Far above what any step takes on a busy machine, and below the door's own time limits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the door says of itself to every panel, in the place of `{door}`, when the visitor asked for the host `h`.
const DOOR: &str = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: h\r\n\
     X-Real-Ip: 127.0.0.1\r\n";

/// A small answer of the panel, with which both connections go on.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a visitor and the panel see, in order and byte for byte. What no step mentions does not happen: at the end of a
/// row both sides must have received nothing else, so that one request in is never two out.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

/// One thing that happens. `{door}` in what reaches the panel stands for the lines that the door adds for the host `h`,
/// `{proto}` for the scheme that it was asked by.
#[derive(Clone, Debug)]
pub enum Step {
    /// The visitor sends this.
    Sends(Vec<u8>),
    /// The panel receives this, and nothing before it.
    Reaches(Vec<u8>),
    /// The panel sends this where it received something last.
    Answers(Vec<u8>),
    /// The visitor receives this, and nothing before it.
    Hears(Vec<u8>),
    /// The visitor ends its half.
    VisitorEnds,
    /// The panel ends its half.
    PanelEnds,
    /// The panel sees that the door has ended its connection.
    PanelLeft,
    /// The visitor sees an orderly end of the connection.
    Closed,
    /// The visitor sees that the connection broke.
    Broken,
    /// The visitor sees an end, of either kind: what was to come is missing all the same.
    Cut,
    /// The visitor's connection is good for another request.
    Stays,
}

/// The visitor sends `bytes`.
pub fn sends(bytes: impl AsRef<[u8]>) -> Step {
    Step::Sends(bytes.as_ref().to_vec())
}

/// The panel receives exactly `bytes`.
pub fn reaches(bytes: impl AsRef<[u8]>) -> Step {
    Step::Reaches(bytes.as_ref().to_vec())
}

/// The panel sends `bytes`.
pub fn answers(bytes: impl AsRef<[u8]>) -> Step {
    Step::Answers(bytes.as_ref().to_vec())
}

/// The visitor receives exactly `bytes`.
pub fn hears(bytes: impl AsRef<[u8]>) -> Step {
    Step::Hears(bytes.as_ref().to_vec())
}

/// Any row.
pub fn row(name: &'static str, steps: impl Into<Vec<Step>>) -> Row {
    Row { name, steps: steps.into() }
}

/// The request is refused with `status`, the panel hears nothing of it, and the connection ends.
pub fn refused(name: &'static str, request: impl AsRef<[u8]>, status: &str) -> Row {
    row(name, [sends(request), hears(page(status, "Connection: close\r\n")), Step::Closed])
}

/// The same for what cannot be read as a request at all.
pub fn unreadable(name: &'static str, request: impl AsRef<[u8]>) -> Row {
    row(name, [sends(request), hears(UNREADABLE), Step::Closed])
}

/// What is said to something that cannot be read as a request.
pub const UNREADABLE: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The request reaches the panel as `reached`, a small answer comes back, and the connection stays.
pub fn passes(name: &'static str, request: impl AsRef<[u8]>, reached: impl AsRef<[u8]>) -> Row {
    row(name, [sends(request), reaches(reached), answers(OK), hears(OK), Step::Stays])
}

/// `GET / HTTP/1.1` is answered by the panel with `answer`, the visitor hears `heard`, and the connection stays.
pub fn relays(name: &'static str, answer: impl AsRef<[u8]>, heard: impl AsRef<[u8]>) -> Row {
    row(name, [sends(GET), reaches(GOT), answers(answer), hears(heard), Step::Stays])
}

/// The plainest request.
pub const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
/// The same as it reaches the panel.
pub const GOT: &str = "GET / HTTP/1.1\r\nHost: h\r\n{door}\r\n";

/// A page of the door's own, e.g. for `400 Bad Request`, with further fields.
pub fn page(status: &str, fields: &str) -> String {
    let body = format!("<!doctype html>\n<title>{status}</title>\n<h1>{status}</h1>\n");
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a row said before it failed.
type Tried = Result<(), String>;

impl Bench {
    /// Tries every row; fails with all that do not hold.
    pub async fn hold(&mut self, rows: Vec<Row>) {
        assert!(!rows.is_empty());
        let mut broken = String::new();
        for row in &rows {
            if let Err(problem) = self.holds(row).await {
                writeln!(broken, "\n{}\n{problem}", row.name).unwrap();
            }
        }
        assert!(broken.is_empty(), "{:?}: {broken}", self.way);
        self.elsewhere.catch_up();
        assert_eq!(self.elsewhere.opened, 0, "{:?}: the other listener's panel was asked", self.way);
    }

    async fn holds(&mut self, row: &Row) -> Tried {
        let mut visitor = Visitor { stream: self.connect().await, heard: Vec::new() };
        let mut tried = Ok(());
        for (number, step) in row.steps.iter().enumerate() {
            tried = self
                .take(step, &mut visitor)
                .await
                .map_err(|problem| format!("step {}: {problem}", number + 1));
            if tried.is_err() {
                break;
            }
        }
        drop(visitor);
        // Whatever else had been sent to the panel is there before what comes after it.
        let fence = self.fence().await;
        self.panel.catch_up();
        let more = std::mem::take(&mut self.panel.received);
        tried.and(fence).and_then(|()| nothing("besides, the panel received", &more))
    }

    async fn take(&mut self, step: &Step, visitor: &mut Visitor) -> Tried {
        match step {
            Step::Sends(bytes) => {
                let _ = visitor.stream.write_all(bytes).await; // a door that has left is seen in what comes back
                let _ = visitor.stream.flush().await;
                Ok(())
            }
            Step::Reaches(bytes) => self.reaches(bytes).await,
            Step::Answers(bytes) => match self.panel.send(bytes).await {
                true => Ok(()),
                false => Err("the panel's connection is gone".to_owned()),
            },
            Step::Hears(bytes) => same("the visitor heard", bytes, &visitor.hear(bytes.len()).await),
            Step::VisitorEnds => visitor.stream.shutdown().await.map_err(|error| error.to_string()),
            Step::PanelEnds => {
                self.panel.end().await;
                Ok(())
            }
            Step::PanelLeft => match self.panel.is_ended(PATIENCE).await {
                true => Ok(()),
                false => Err("the door keeps the panel's connection".to_owned()),
            },
            Step::Closed => visitor.ends("an orderly end", |end| matches!(end, End::Orderly)).await,
            Step::Broken => visitor.ends("a broken connection", |end| matches!(end, End::Broken(_))).await,
            Step::Cut => visitor.ends("an end", |end| !matches!(end, End::NotYet)).await,
            Step::Stays => {
                nothing("the visitor also heard", &std::mem::take(&mut visitor.heard))?;
                self.exchange(visitor).await
            }
        }
    }

    async fn reaches(&mut self, bytes: &[u8]) -> Tried {
        let expected = self.spelled_out(bytes);
        same("the panel received", &expected, &self.panel.take(expected.len(), PATIENCE).await)
    }

    async fn exchange(&mut self, visitor: &mut Visitor) -> Tried {
        visitor
            .stream
            .write_all(GET.as_bytes())
            .await
            .map_err(|error| format!("it does not stay: {error}"))?;
        visitor.stream.flush().await.map_err(|error| format!("it does not stay: {error}"))?;
        self.reaches(GOT.as_bytes()).await?;
        if !self.panel.send(OK.as_bytes()).await {
            return Err("the panel's connection is gone".to_owned());
        }
        same("at last the visitor heard", OK.as_bytes(), &visitor.hear(OK.len()).await)
    }

    /// One more request, on a connection of its own.
    async fn fence(&mut self) -> Tried {
        let mut visitor = Visitor { stream: self.connect().await, heard: Vec::new() };
        self.exchange(&mut visitor).await.map_err(|problem| format!("after it: {problem}"))
    }

    async fn connect(&self) -> Box<dyn Stream> {
        match &self.tls {
            None => {
                let stream = TcpStream::connect(self.door).await.unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
            Some(tls) => Box::new(tls::connect(self.door, tls).await.unwrap()),
        }
    }

    fn spelled_out(&self, bytes: &[u8]) -> Vec<u8> {
        let proto = if self.tls.is_some() { "https" } else { "http" };
        replaced(&replaced(bytes, b"{door}", DOOR.as_bytes()), b"{proto}", proto.as_bytes())
    }
}

struct Visitor {
    stream: Box<dyn Stream>,
    /// Received, and not yet looked at.
    heard: Vec<u8>,
}

/// How a connection ended for the visitor.
#[derive(Debug)]
enum End {
    Orderly,
    Broken(#[expect(dead_code, reason = "for the message")] std::io::Error),
    NotYet,
}

impl Visitor {
    /// Takes the next `length` bytes; fewer if there are no more.
    async fn hear(&mut self, length: usize) -> Vec<u8> {
        let enough = async {
            while self.heard.len() < length && matches!(self.stream.read_buf(&mut self.heard).await, Ok(1..))
            {
            }
        };
        let _ = tokio::time::timeout(PATIENCE, enough).await;
        self.heard.drain(..length.min(self.heard.len())).collect()
    }

    async fn ends(&mut self, wanted: &str, is_so: impl FnOnce(&End) -> bool) -> Tried {
        let end = async {
            loop {
                match self.stream.read_buf(&mut self.heard).await {
                    Ok(0) => return End::Orderly,
                    Ok(_) => {}
                    Err(error) => return End::Broken(error),
                }
            }
        };
        let end = tokio::time::timeout(PATIENCE, end).await.unwrap_or(End::NotYet);
        nothing("the visitor also heard", &self.heard)?;
        if is_so(&end) { Ok(()) } else { Err(format!("expected {wanted}, got {end:?}")) }
    }
}

fn same(what: &str, expected: &[u8], actual: &[u8]) -> Tried {
    if expected == actual {
        return Ok(());
    }
    Err(format!("{what}\n  {}\ninstead of\n  {}", shown(actual), shown(expected)))
}

fn nothing(what: &str, bytes: &[u8]) -> Tried {
    if bytes.is_empty() { Ok(()) } else { Err(format!("{what}\n  {}", shown(bytes))) }
}

fn shown(bytes: &[u8]) -> String {
    const ENOUGH: usize = 2000;
    let cut = if bytes.len() > ENOUGH { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{cut}", bytes[..bytes.len().min(ENOUGH)].escape_ascii())
}

fn replaced(text: &[u8], mark: &[u8], with: &[u8]) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(text.len() + with.len());
    let mut rest = text;
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        spelled.extend_from_slice(&rest[..at]);
        spelled.extend_from_slice(with);
        rest = &rest[at + mark.len()..];
    }
    spelled.extend_from_slice(rest);
    spelled
}
