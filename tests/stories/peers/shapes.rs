//! The shapes of requests that are put to real servers, one a line.

use crate::support::pattern;

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The request line.
    pub start: String,
    fields: Vec<String>,
    body: Vec<u8>,
}

impl Shape {
    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\nHost: panel.test\r\n", self.start).into_bytes();
        for field in &self.fields {
            bytes.extend_from_slice(field.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Whether the client says that it is the last on its connection.
    pub fn is_last(&self) -> bool {
        self.start.ends_with("/1.0") || self.fields.iter().any(|field| field == "Connection: close")
    }

    fn field(mut self, line: &str) -> Self {
        self.fields.push(line.to_owned());
        self
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.field(&format!("Content-Length: {}", body.len()))
    }

    fn chunked(mut self, chunks: &[&[u8]]) -> Self {
        for chunk in chunks {
            self.body.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            self.body.extend_from_slice(chunk);
            self.body.extend_from_slice(b"\r\n");
        }
        self.body.extend_from_slice(b"0\r\n\r\n");
        self.field("Transfer-Encoding: chunked")
    }
}

/// A request without fields of its own: `"GET /path"`.
fn plain(method_and_target: &str) -> Shape {
    Shape { start: format!("{method_and_target} HTTP/1.1"), fields: Vec::new(), body: Vec::new() }
}

fn old(method_and_target: &str) -> Shape {
    Shape { start: format!("{method_and_target} HTTP/1.0"), ..plain("") }
}

/// Files as any server has them: `/index.html`, `/text.txt`, `/large.bin`, `/zero.txt`, `/sub/`.
fn files() -> Vec<Shape> {
    let dated = "Tue, 14 Nov 2023 22:13:20 GMT";
    vec![
        plain("GET /"),
        plain("HEAD /"),
        plain("GET /text.txt"),
        plain("HEAD /text.txt"),
        plain("GET /text.txt?a=b&c=%20%2F"),
        plain("GET /text.txt").field("Accept-Encoding: gzip"),
        plain("HEAD /text.txt").field("Accept-Encoding: gzip"),
        plain("GET /text.txt").field("Accept-Encoding: gzip, br;q=0, identity;q=0.5"),
        plain("GET /text.txt").field("accept-encoding: identity"),
        plain("GET /large.bin"),
        plain("HEAD /large.bin"),
        plain("GET /zero.txt"),
        plain("HEAD /zero.txt"),
        plain("GET /large.bin").field("Range: bytes=0-0"),
        plain("GET /large.bin").field("Range: bytes=1000000-"),
        plain("GET /large.bin").field("Range: bytes=-17"),
        plain("HEAD /large.bin").field("Range: bytes=5-9"),
        plain("GET /large.bin").field("Range: bytes=99999999-"),
        plain("GET /large.bin").field("Range: lines=1-2"),
        plain("GET /large.bin").field("Range: bytes=0-9").field("If-Range: \"another\""),
        plain("GET /text.txt").field(&format!("If-Modified-Since: {dated}")),
        plain("GET /text.txt").field("If-Modified-Since: Tue, 14 Nov 2000 22:13:20 GMT"),
        plain("GET /text.txt").field("If-None-Match: *"),
        plain("GET /text.txt").field("If-None-Match: \"another\", W/\"one\""),
        // nginx ends the connection after a 412 and does not say so.
        plain("GET /text.txt").field("If-Match: \"another\"").field("Connection: close"),
        plain("GET /text.txt")
            .field("If-Unmodified-Since: Tue, 14 Nov 2000 22:13:20 GMT")
            .field("Connection: close"),
        plain("GET /sub"),
        plain("GET /sub/"),
        plain("GET /sub/index.html"),
        plain("GET /sub/deeper/"),
        plain("GET /sub/missing"),
        plain("HEAD /sub/missing"),
        plain("GET /sub/%69ndex.html"),
        plain("GET //sub//index.html"),
        plain("GET /sub/./index.html"),
        plain("GET /sub/../text.txt").field("Range: bytes=0-3"),
        plain("GET /%E4%B8%AD%E6%96%87?%E4%B8%AD=%E6%96%87"),
        plain("GET /zero.txt").field("Connection: close"),
        plain("POST /text.txt").body(b"a=b"),
        plain("DELETE /text.txt"),
        plain("OPTIONS /text.txt"),
        plain("PATCH /text.txt").body(b""),
        old("GET /text.txt"),
        old("GET /sub/missing"),
        old("HEAD /large.bin"),
    ]
}

/// What the configurations answer by themselves.
fn pages() -> Vec<Shape> {
    vec![
        plain("GET /teapot"),
        plain("HEAD /teapot"),
        plain("POST /teapot").body(b"tea"),
        plain("POST /teapot").chunked(&[b"tea", b"and milk"]),
        plain("GET /nothing"),
        plain("GET /moved"),
        plain("GET /asked"),
        plain("GET /asked?q=1&q=2&%71=%33").field("Cookie: session=1; theme=dark").field("X-Own: first"),
        plain("GET /asked").field("X-Own:   spaces around   ").field("x-own: again"),
        plain("GET /asked").field("X-Own: caf\u{e9}"),
        plain("GET /nothing").field("Connection: close"),
        old("GET /teapot"),
    ]
}

/// For `tests/peers/nginx.conf`.
pub fn nginx() -> Vec<Shape> {
    let mut all = files();
    all.extend(pages());
    let large = pattern(2_000_003);
    all.extend([
        plain("GET /empty"),
        plain("GET /found"),
        plain("GET /see-other"),
        plain("POST /temporary").body(b"again"),
        plain("POST /permanent").body(b"again"),
        plain("GET /broken"),
        plain("GET /busy"),
        plain("GET /odd"),
        plain("GET /secret/"),
        plain("GET /cookies"),
        plain("HEAD /cookies"),
        plain("GET /cased"),
        plain("GET /private/page.html"),
        plain("GET /private/page.html").field("Authorization: Basic YWRtaW46c2VjcmV0"),
        plain("GET /private/page.html").field("Authorization: Basic YWRtaW46d3Jvbmc="),
        plain("GET /cached/index.html"),
        plain("GET /unbuffered/text.txt"),
        plain("GET /unbuffered/text.txt").field("Accept-Encoding: gzip"),
        plain("PUT /small/file").body(b"more than ten bytes"),
        plain("PUT /dav/one").body(b"one"),
        plain("GET /dav/one"),
        plain("PUT /dav/one").chunked(&[b"another", b" one"]),
        plain("GET /dav/one"),
        plain("DELETE /dav/one"),
        plain("GET /dav/one"),
        plain("PUT /dav/large").body(&large),
        plain("GET /dav/large"),
        plain("DELETE /dav/large"),
        plain("MKCOL /dav/folder/"),
        plain("DELETE /dav/folder/"),
        plain("BREW /teapot"),
    ]);
    all
}

/// For `tests/peers/Caddyfile`.
pub fn caddy() -> Vec<Shape> {
    let mut all = files();
    all.extend(pages());
    all
}

/// For `tests/peers/haproxy.cfg`.
pub fn haproxy() -> Vec<Shape> {
    let mut all = pages();
    all.extend([
        plain("GET /"),
        plain("HEAD /"),
        plain("GET /cookies"),
        plain("GET /prefix/a?b=%63"),
        plain("GET /busy"),
        plain("HEAD /busy"),
        plain("DELETE /missing"),
        plain("BREW /teapot"),
        old("GET /"),
    ]);
    all
}
