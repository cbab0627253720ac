//! A client that writes exactly the bytes it is told and reads one answer at a time.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::tls;

/// One connection, with what was read beyond the last answer.
#[derive(Debug)]
pub struct Connection<S> {
    /// The transport, for stories that leave HTTP.
    pub stream: S,
    /// Read, and not yet used.
    pub buffer: Vec<u8>,
}

/// A whole answer, or a whole request: they are read the same way.
#[derive(Clone, Debug)]
pub struct Message {
    /// The status line or request line.
    pub start: String,
    /// Fields in the order and the letter case they came in.
    pub fields: Vec<(String, String)>,
    /// The body, with a chunked one put together.
    pub body: Vec<u8>,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// `Content-Length`.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Everything until the end of the connection.
    UntilEnd,
}

impl Message {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line")
    }

    /// The first value of a field, by its name in any letter case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// Everything that was received, for looking at what must not be in it.
    pub fn head_and_body(&self) -> String {
        format!("{}\n{:?}\n{}", self.start, self.fields, self.text())
    }

    fn framing(&self, without: Framing) -> Framing {
        if self.start.starts_with("HTTP/") && matches!(self.status(), 100..=199 | 204 | 304) {
            return Framing::Empty;
        }
        if self.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Framing::Chunked;
        }
        self.field("content-length").map_or(without, |length| Framing::Length(length.parse().unwrap()))
    }
}

impl Connection<TcpStream> {
    /// A new connection to `address`.
    pub async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Speaks over `stream`.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends one request without a body and reads its answer.
    pub async fn get(&mut self, target: &str) -> Message {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: door.test\r\n\r\n")).await;
        self.answer().await
    }

    /// Reads one answer with its body.
    pub async fn answer(&mut self) -> Message {
        let message = self.head().await.expect("an answer");
        let framing = message.framing(Framing::UntilEnd);
        self.body(message, framing).await
    }

    /// Reads one request with its body; `None` when the client has gone.
    pub async fn request(&mut self) -> Option<Message> {
        let message = self.head().await?;
        let framing = message.framing(Framing::Empty);
        Some(self.body(message, framing).await)
    }

    /// Reads a head only; `None` when the connection ends before its first byte.
    pub async fn head(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(parse(&String::from_utf8(head).expect("a head of text")));
            }
            if !self.more().await {
                assert!(
                    self.buffer.is_empty(),
                    "a head was cut off: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
                return None;
            }
        }
    }

    /// Reads exactly `length` bytes.
    pub async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.more().await, "the connection ended {} bytes too early", length - self.buffer.len());
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads one chunk of a chunked body; the last one is empty.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let line = self.line().await;
        let length = usize::from_str_radix(line.split(';').next().unwrap(), 16).expect("a chunk size");
        let chunk = self.bytes(length).await;
        if length > 0 {
            assert!(self.line().await.is_empty(), "a chunk longer than it says");
        }
        chunk
    }

    /// Reads until the other side has ended its half; an error counts as the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads some more; `false` at the end.
    pub async fn more(&mut self) -> bool {
        self.buffer.reserve(64 * 1024);
        self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) > 0
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.more().await, "the connection ended within a line");
        }
    }

    async fn body(&mut self, mut message: Message, framing: Framing) -> Message {
        message.body = match framing {
            Framing::Empty => Vec::new(),
            Framing::Length(length) => self.bytes(length).await,
            Framing::UntilEnd => self.rest().await,
            Framing::Chunked => {
                let mut body = Vec::new();
                loop {
                    let chunk = self.chunk().await;
                    if chunk.is_empty() {
                        break;
                    }
                    body.extend_from_slice(&chunk);
                }
                while !self.line().await.is_empty() {} // trailers
                body
            }
        };
        message
    }
}

/// One request on a connection of its own.
pub async fn get(address: SocketAddr, target: &str) -> Message {
    Connection::open(address).await.get(target).await
}

/// One request over a socket file.
pub async fn over_unix(socket: &Path, method: &str, target: &str) -> Option<Message> {
    let mut connection = Connection::over(UnixStream::connect(socket).await.ok()?);
    connection
        .send(format!(
            "{method} {target} HTTP/1.1\r\nHost: doorman\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
        .await;
    Some(connection.answer().await)
}

/// One connection of HTTP/2.
#[derive(Debug)]
pub struct Multiplexed(http2::SendRequest<Full<Bytes>>);

impl Multiplexed {
    /// Over TLS, chosen by ALPN.
    pub async fn open(https: SocketAddr, config: &ClientConfig) -> Self {
        let stream = tls::connect(https, config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// One GET: the status and the body.
    pub async fn get(&mut self, path: &str) -> (u16, String) {
        let (status, body) = self.send("GET", path, Bytes::new()).await;
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A GET with further fields: the status.
    pub async fn get_with(&mut self, path: &str, fields: &[(&str, &str)]) -> u16 {
        let request = http::Request::builder().uri(format!("https://127.0.0.1{path}"));
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.0.ready().await.expect("the connection goes on");
        let answer = self.0.send_request(request.body(Full::default()).unwrap()).await.expect("an answer");
        answer.status().as_u16()
    }

    /// Any request.
    pub async fn send(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, Bytes) {
        let request = http::Request::builder().method(method).uri(format!("https://127.0.0.1{path}"));
        let request = request.body(Full::new(body.into())).unwrap();
        self.0.ready().await.expect("the connection goes on");
        let answer = self.0.send_request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.into_body().collect().await.unwrap().to_bytes())
    }
}

fn parse(head: &str) -> Message {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once(':').expect("a field");
        (name.to_owned(), value.trim().to_owned())
    };
    Message { start, fields: lines.map(field).collect(), body: Vec::new() }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
