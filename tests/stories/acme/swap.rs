//! A new certificate under everything that goes on meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ClientConfig;

use super::{ORDER, with_certificate};
use crate::support::client::{Connection, Multiplexed};
use crate::support::doorman::{self, Doorman};
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::{self, Upstream};
use crate::support::{free_port, tls};

#[tokio::test]
async fn ten_renewals_under_load_disturb_nobody() {
    const RENEWALS: usize = 10;
    let panel = talking_panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let mut status = door.reaches("valid", ORDER).await;
    let https = door.https().await;
    let root = pebble.root().await;
    let (http1, h2) = (tls::trusting(&root, &["http/1.1"]), tls::trusting(&root, &["h2"]));
    let mut kept = Connection::over(tls::connect(https, &http1).await.unwrap());
    let mut multiplexed = Multiplexed::open(https, &h2).await;
    let mut tunnel = Connection::over(tls::connect(https, &http1).await.unwrap());
    tunnel.send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(tunnel.head().await.unwrap().status(), 101);
    let load = Load::start(https, http1.clone());
    let reader = Reader::of(door.stored("live"));

    for round in 0..RENEWALS {
        let before = status["certificate"]["fingerprint_sha256"].clone();
        let renewal =
            doorman::start(&["renew", "--force", "--config", door.settings_file().to_str().unwrap()]);
        renewal.says("installed", ORDER).await;
        let first = tls::fingerprint(&tls::leaf(&tls::connect(https, &http1).await.unwrap()));
        assert_ne!(
            before, first,
            "round {round}: the first handshake after the swap has the old certificate"
        );
        status = door
            .until("the renewal's end", ORDER, |status| {
                status["state"] == "valid" && status["certificate"]["fingerprint_sha256"] != before
            })
            .await;
        assert_eq!(status["certificate"]["fingerprint_sha256"], first.as_str());

        assert_eq!(kept.get("/kept").await.text(), "the panel: GET /kept HTTP/1.1");
        assert_eq!(multiplexed.get("/h2").await, (200, "the panel: GET /h2 HTTP/1.1".to_owned()));
        tunnel.send(format!("round {round}")).await;
        assert_eq!(tunnel.bytes(7).await, format!("round {round}").as_bytes());
    }

    let handshakes = load.finish().await;
    let read = reader.finish();
    println!("{handshakes} handshakes and {read} readings, none failed");
    assert!(handshakes > 10 * RENEWALS, "only {handshakes} handshakes");
    assert_eq!((pebble.issued(), pebble.accounts()), (RENEWALS + 1, 1));
}

/// A panel that also talks back through a WebSocket tunnel.
async fn talking_panel() -> Upstream {
    Upstream::with(|mut client| async move {
        while let Some(request) = client.request().await {
            if request.field("upgrade").is_some() {
                client.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
                while !client.buffer.is_empty() || client.more().await {
                    let echo = std::mem::take(&mut client.buffer);
                    client.send(echo).await;
                }
                return;
            }
            client.send(upstream::plain(200, &format!("the panel: {}", request.start))).await;
        }
    })
    .await
}

/// A hundred handshakes a second, each with a request, on a thread of its own.
struct Load {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Load {
    fn start(https: SocketAddr, config: ClientConfig) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(handshakes(https, config, &end))
        });
        Self { ended, thread }
    }

    /// Without blocking the story's own runtime, where the panel lives.
    async fn finish(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await.unwrap();
        joined.expect("no handshake failed")
    }
}

async fn handshakes(https: SocketAddr, config: ClientConfig, end: &AtomicBool) -> usize {
    let mut clients = tokio::task::JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    let mut made = 0;
    while !end.load(Ordering::Relaxed) {
        clock.tick().await;
        let config = config.clone();
        clients.spawn(async move {
            let stream = tls::connect(https, &config).await.expect("a handshake");
            assert_eq!(Connection::over(stream).get("/load").await.status(), 200);
        });
        while let Some(client) = clients.try_join_next() {
            client.unwrap();
            made += 1;
        }
    }
    made + clients.join_all().await.len()
}

/// A program that reads the live pair over and over, as Xray does.
struct Reader {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Reader {
    fn of(live: std::path::PathBuf) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut readings = 0;
            while !end.load(Ordering::Relaxed) {
                let version = std::fs::read_link(&live).expect("live is a link");
                let chain = std::fs::read_to_string(live.join("fullchain.pem")).expect("the chain is there");
                let key = std::fs::read_to_string(live.join("privkey.pem")).expect("the key is there");
                assert!(chain.ends_with("-----END CERTIFICATE-----\n"), "a torn chain: {chain}");
                assert!(key.ends_with("PRIVATE KEY-----\n"), "a torn key");
                if std::fs::read_link(&live).expect("live is a link") == version {
                    assert!(tls::is_matching_pair(&chain, &key), "{version:?} is no pair");
                }
                readings += 1;
                std::thread::sleep(Duration::from_millis(1)); // the pace: the cores are for the others
            }
            readings
        });
        Self { ended, thread }
    }

    fn finish(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("the live pair was always whole")
    }
}
