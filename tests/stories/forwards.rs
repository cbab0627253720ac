//! `[[forward]]`: further ports that the door takes over, each with an upstream of its own, under the same rules.

use tempfile::TempDir;

use crate::support::client::{Connection, Message};
use crate::support::doorman::{Doorman, Settings};
use crate::support::tls;
use crate::support::upstream::{Stream, Upstream, plain};

const TOKEN: &str = "/.well-known/acme-challenge/token";
const UPGRADE: &str = "GET /sub/ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly";

/// One forward in plain or with TLS, and what is behind it.
struct Bench {
    door: Doorman,
    panel: Upstream,
    subscriptions: Upstream,
    encrypted: bool,
    _webroot: TempDir,
}

impl Bench {
    async fn new(encrypted: bool, subscriptions: Upstream) -> Self {
        let panel = Upstream::panel().await;
        let webroot = TempDir::new().unwrap();
        let tokens = webroot.path().join(".well-known/acme-challenge");
        std::fs::create_dir_all(&tokens).unwrap();
        std::fs::write(tokens.join("token"), "from the webroot").unwrap();
        let settings = Settings::panel(panel.url())
            .set("http", "acme_webroot", webroot.path().to_str())
            .set("http", "redirect_to_https", true)
            .set("http", "max_uri_bytes", 1024)
            .set("http", "max_headers", 20)
            .set("[forward]", "listen", vec!["127.0.0.1:0"])
            .set("[forward]", "tls", encrypted)
            .set("[forward]", "allow_paths", vec!["sub/"])
            .set("[forward]", "upstream", subscriptions.url());
        let door = Doorman::start(&settings).await;
        Self { door, panel, subscriptions, encrypted, _webroot: webroot }
    }

    /// A visitor of the forward, who says something before TLS.
    async fn visit(&self, first: &str) -> Connection<Box<dyn Stream>> {
        let mut socket = Connection::open(self.door.listens("forward").await).await;
        socket.send(first).await;
        if self.encrypted {
            let stream = tls::over(socket.stream, &tls::trusting_anybody(&["http/1.1"])).await.unwrap();
            return Connection::over(Box::new(stream));
        }
        Connection::over(Box::new(socket.stream))
    }

    async fn ask(&self, request: &str) -> Message {
        let mut visitor = self.visit("").await;
        visitor.send(request).await;
        visitor.answer().await
    }
}

#[tokio::test]
async fn the_rules_of_requests_hold_on_a_forward() {
    for encrypted in [false, true] {
        let bench = Bench::new(encrypted, Upstream::panel().await).await;
        let many = "X: x\r\n".repeat(30);
        let long = format!("/sub/{}", "x".repeat(2000));
        for (start, fields, status) in [
            (
                "GET /sub/a?b=%63",
                "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=2.2.2.2\r\nConnection: X-Own\r\nX-Own: 1\r\n",
                200,
            ),
            ("GET /closed", "", 404),
            ("GET /sub/../closed", "", 404),
            ("GET /sub/", "Host: h\r\n", 400),
            ("POST /sub/", "Transfer-Encoding: gzip, chunked\r\n", 501),
            (&format!("GET {long}"), "", 414),
            ("GET /sub/", &many, 431),
            (&format!("GET {TOKEN}"), "", 200),
        ] {
            let answer = bench.ask(&format!("{start} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
            assert_eq!(answer.status(), status, "{start} {}", answer.text());
            if start.ends_with(TOKEN) {
                assert_eq!(answer.text(), "from the webroot");
            }
        }
        assert!(bench.panel.seen().is_empty(), "it has an upstream of its own");
        let request = bench.subscriptions.only();
        assert_eq!(request.start, "GET /sub/a?b=%63 HTTP/1.1");
        let scheme = if encrypted { "https" } else { "http" };
        for (name, value) in [
            ("host", Some("h")),
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-proto", Some(scheme)),
            ("x-forwarded-host", Some("h")),
            ("x-real-ip", Some("127.0.0.1")),
            ("forwarded", None),
            ("x-own", None),
        ] {
            assert_eq!(request.field(name), value, "{name}");
        }
    }
}

#[tokio::test]
async fn a_websocket_passes_a_forward_with_what_came_early() {
    for encrypted in [false, true] {
        let subscriptions = Upstream::with(|mut client| async move {
            client.head().await;
            client
                .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
                .await;
            let early = client.bytes(5).await;
            client.send(early).await;
        })
        .await;
        let bench = Bench::new(encrypted, subscriptions).await;
        let mut visitor = bench.visit("").await;
        visitor.send(UPGRADE).await;
        assert_eq!(visitor.head().await.unwrap().status(), 101);
        assert_eq!(visitor.bytes(10).await, b"helloearly");
    }
}

#[tokio::test]
async fn a_forward_takes_proxy_headers_from_loopback() {
    for encrypted in [false, true] {
        let bench = Bench::new(encrypted, Upstream::panel().await).await;
        let mut visitor = bench.visit("PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\n").await;
        assert_eq!(visitor.get("/sub/").await.status(), 200);
        assert_eq!(bench.subscriptions.only().field("x-forwarded-for"), Some("198.51.100.7"));
    }
}

#[tokio::test]
async fn a_forward_whose_upstream_is_down_takes_nothing_else_along() {
    for encrypted in [false, true] {
        let subscriptions = Upstream::answering(|_| plain(200, "subscribed")).await;
        let mut bench = Bench::new(encrypted, subscriptions).await;
        bench.subscriptions = Upstream::panel().await; // the first one has gone
        assert_eq!(
            bench.ask("POST /sub/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await.status(),
            502
        );
        let mut visitor = Connection::open(bench.door.http().await).await;
        assert_eq!(visitor.get("/").await.text(), "the panel: GET / HTTP/1.1");
    }
}
