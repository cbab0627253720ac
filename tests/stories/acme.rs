//! The certificate's life with a real CA, Pebble, from the first order to a CA that is gone.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::client::{Connection, Multiplexed, get};
use crate::support::doorman::{self, Doorman, Settings};
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::{self, Upstream};
use crate::support::{free_port, tls, until};

/// An order with Pebble takes two or three seconds; a busy machine may need more.
const ORDER: Duration = Duration::from_secs(30);

#[tokio::test]
async fn flags_alone_are_enough_and_the_certificate_is_there_within_ten_seconds() {
    let panel = Upstream::panel().await;
    let (http, https) = (address(free_port()), address(free_port()));
    let terms = Terms { retry_after: (3, 5), ..Terms::quick(http.port()) }; // what Pebble's own settings say
    let mut pebble = Pebble::start(terms).await;
    let files = TempDir::new().unwrap();
    let (store, admin) = (files.path().join("store"), files.path().join("admin.sock"));
    let (http_text, https_text, ca) = (http.to_string(), https.to_string(), pebble.ca_file());
    let (panel_url, directory) = (panel.url(), pebble.directory());
    let paths = [store.to_str().unwrap(), admin.to_str().unwrap(), ca.to_str().unwrap()];

    #[rustfmt::skip]
    let mut process = doorman::start(&[
        "run", "--panel", &panel_url, "--listen", &http_text, "--https", &https_text, "--ip", "127.0.0.1",
        "--directory", &directory, "--directory-ca", paths[2], "--store", paths[0], "--admin", paths[1],
    ]);
    until("the panel answers through the door", ORDER, async || {
        tokio::net::TcpStream::connect(http).await.ok().map(drop)
    })
    .await;
    let visitor = Visitor::of(http);
    let root = pebble.root().await;
    let trusting = tls::trusting(&root, &["http/1.1"]);
    until("the certificate is served", Duration::from_secs(10), async || {
        tls::connect(https, &trusting).await.ok()
    })
    .await;
    // It is served first, and seen to be served a moment later.
    let status = until("the state is valid", ORDER, async || {
        let status = doorman::command(&["status", "--json", "--admin", paths[1]]).await;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["state"] == "valid").then_some(status)
    })
    .await;
    assert_eq!(status["certificate"]["identifiers"], serde_json::json!(["127.0.0.1"]));
    assert_eq!(status["certificate"]["self_signed"], false);
    assert_eq!(status["failures"], 0);

    pebble.stop();
    let stream = tls::connect(https, &trusting).await.expect("it is served without the CA, too");
    assert_eq!(tls::addresses(&tls::leaf(&stream)), [http.ip()]);
    assert_eq!(status["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    assert_eq!(Connection::over(stream).get("/in").await.text(), "the panel: GET /in HTTP/1.1");
    visitor.was_always_answered().await;

    process.signal(Signal::TERM);
    assert!(process.ended(Duration::from_secs(10)).await.success());
}

#[tokio::test]
async fn one_certificate_holds_the_v4_and_the_v6_address() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let settings = Settings::panel(panel.url())
        .certificate(&pebble, &["127.0.0.1", "::1"])
        .set("http", "listen", vec![format!("127.0.0.1:{port}"), format!("[::1]:{port}")])
        .set("https", "listen", vec!["127.0.0.1:0", "[::1]:0"]);
    let door = Doorman::start(&settings).await;

    let status = door.reaches("valid", ORDER).await;

    let trusting = tls::trusting(&pebble.root().await, &[]);
    let listeners = status["listeners"].as_array().unwrap();
    let https: Vec<SocketAddr> = listeners
        .iter()
        .filter(|listener| listener["kind"] == "https")
        .map(|listener| listener["address"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(https.len(), 2, "{status:#}");
    for address in https {
        let leaf = tls::leaf(&tls::connect(address, &trusting).await.unwrap());
        let mut named = tls::addresses(&leaf);
        named.sort();
        assert_eq!(named, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }
}

#[tokio::test]
async fn https_works_from_the_first_second_and_the_panel_never_waits_for_the_ca() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let mut pebble = Pebble::stopped(Terms::quick(port));
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let visitor = Visitor::of(door.http().await);

    let https = door.https().await;
    let stream =
        tls::connect(https, &tls::trusting_anybody(&[])).await.expect("a certificate for the first minutes");
    let first = tls::fingerprint(&tls::leaf(&stream));
    assert_eq!(Connection::over(stream).get("/").await.status(), 200);
    let status = door.reaches("failed", ORDER).await;
    assert!(!status["last_error"].as_str().unwrap_or_default().is_empty(), "{status:#}");
    assert!(status["failures"].as_u64().unwrap() >= 1, "{status:#}");
    assert!(!status["next_renewal_at"].is_null(), "{status:#}");
    assert!(!door.stored("live").exists(), "the certificate of the first minutes is not for others");

    pebble.run().await;
    let refused = door.admin("POST", "/renew").await;
    assert_eq!(refused.status(), 409, "{}", refused.text());
    // The back-off of the first failure is a minute and its jitter.
    let status = door.reaches("valid", Duration::from_secs(150)).await;

    assert_eq!(status["failures"], 0);
    let trusting = tls::trusting(&pebble.root().await, &[]);
    let stream = tls::connect(https, &trusting).await.unwrap();
    assert_ne!(tls::fingerprint(&tls::leaf(&stream)), first);
    visitor.was_always_answered().await;
}

#[tokio::test]
async fn challenges_come_before_every_other_rule() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let webroot = TempDir::new().unwrap();
    let settings = with_certificate(&panel, &pebble, port)
        .set("http", "redirect_to_https", true)
        .set("http", "acme_webroot", webroot.path().to_str())
        .set("http", "acme_upstream", panel.address.to_string())
        .set("panel", "base_path", "/hidden/")
        .set("panel", "allow_paths", vec!["login"]);
    let door = Doorman::start(&settings).await;

    door.reaches("valid", ORDER).await;

    let validated = pebble.validated();
    assert!(!validated.is_empty());
    let asked = |token: &String| panel.seen().iter().any(|request| request.start.contains(token));
    assert!(!validated.iter().any(asked), "the panel was asked for our token");
    // Once the order is done the token is nobody's again.
    get(door.http().await, &validated[0]).await;
    assert!(asked(&validated[0]), "the token is still published");
}

#[tokio::test]
async fn every_listener_answers_the_token_while_it_is_published() {
    let panel = Upstream::panel().await;
    let (http, https, forward) = (address(free_port()), address(free_port()), address(free_port()));
    // What the CA asks is asked from every listener before it gets its answer.
    let answers = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&answers);
    let perspective = Upstream::with(move |mut client| {
        let heard = Arc::clone(&heard);
        async move {
            let request = client.request().await.unwrap();
            let path = request.start.split(' ').nth(1).unwrap().to_owned();
            let anybody = tls::trusting_anybody(&[]);
            let plain = get(http, &path).await;
            let other = get(forward, &path).await;
            let over_tls = Connection::over(tls::connect(https, &anybody).await.unwrap()).get(&path).await;
            client.send(upstream::plain(plain.status(), plain.text())).await;
            heard.lock().unwrap().push([plain, other, over_tls]);
        }
    })
    .await;
    let pebble = Pebble::start(Terms::quick(perspective.address.port())).await;
    let settings = with_certificate(&panel, &pebble, http.port())
        .set("https", "listen", vec![https.to_string()])
        .set("[forward]", "listen", vec![forward.to_string()])
        .set("[forward]", "tls", false)
        .set("[forward]", "upstream", panel.url());
    let door = Doorman::start(&settings).await;

    door.reaches("valid", ORDER).await;

    assert!(panel.seen().is_empty(), "{:#?}", panel.seen());
    let answers = answers.lock().unwrap();
    let (token, _) = answers[0][0].text().split_once('.').expect("token and thumbprint");
    assert!(pebble.validated()[0].ends_with(token));
    for answer in answers.iter().flatten() {
        assert_eq!((answer.status(), answer.text()), (200, answers[0][0].text()));
    }
}

#[tokio::test]
async fn it_renews_by_itself_with_the_same_account() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let terms = Terms { life: Duration::from_secs(24), ..Terms::quick(port) };
    let pebble = Pebble::start(terms).await;
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let first = door
        .until("a certificate of the CA", ORDER, |status| status["certificate"]["self_signed"] == false)
        .await;

    let first = first["certificate"]["fingerprint_sha256"].clone();
    let second = door
        .until("another certificate", ORDER, |status| status["certificate"]["fingerprint_sha256"] != first)
        .await;

    assert_eq!(second["certificate"]["self_signed"], false);
    assert_eq!(second["failures"], 0);
    assert_eq!(pebble.accounts(), 1);
    assert_eq!(pebble.issued(), 2);
    let stream = tls::connect(door.https().await, &tls::trusting(&pebble.root().await, &[])).await.unwrap();
    assert_eq!(second["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
}

#[tokio::test]
async fn a_restart_orders_nothing() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let mut door = Doorman::start(&with_certificate(&panel, &pebble, port).set(
        "https",
        "listen",
        vec![address(free_port()).to_string()],
    ))
    .await;
    let before = door.reaches("valid", ORDER).await;

    door.process.signal(Signal::TERM);
    assert!(door.process.ended(Duration::from_secs(10)).await.success());
    door.start_again().await;
    let after = door.reaches("valid", ORDER).await;

    assert_eq!(before["certificate"], after["certificate"]);
    let stream = tls::connect(door.https().await, &tls::trusting(&pebble.root().await, &[])).await.unwrap();
    assert_eq!(after["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    assert_eq!((pebble.issued(), pebble.accounts()), (1, 1));
}

#[tokio::test]
async fn a_ca_that_remembers_the_validation_sends_nobody_and_still_issues() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms { authz_reuse: 100, ..Terms::quick(port) }).await;
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    door.reaches("valid", ORDER).await;
    let looked = pebble.validated().len();

    let renewed = door.command(&["renew", "--force"]).await;

    assert!(renewed.status.success(), "{renewed:?}");
    assert_eq!((pebble.issued(), pebble.validated().len()), (2, looked));
}

#[tokio::test]
async fn the_exported_pair_is_kept_current_with_owner_and_mode() {
    use std::os::unix::fs::PermissionsExt;
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let files = TempDir::new().unwrap();
    let (chain, key) = (files.path().join("fullchain.pem"), files.path().join("privkey.pem"));
    for (path, mode) in [(&chain, 0o604), (&key, 0o640)] {
        std::fs::write(path, "what another client left").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let settings = with_certificate(&panel, &pebble, port).set("ip_cert", "export_cert", chain.to_str()).set(
        "ip_cert",
        "export_key",
        key.to_str(),
    );
    let door = Doorman::start(&settings).await;

    door.reaches("valid", ORDER).await;

    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&chain), read(&door.stored("live/fullchain.pem")));
    assert_eq!(read(&key), read(&door.stored("live/privkey.pem")));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&chain), mode(&key)), (0o604, 0o640));
    assert_eq!(mode(&door.stored("live/privkey.pem")), 0o600);
    let left: Vec<_> =
        std::fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_stops_neither_the_door_nor_status() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let files = TempDir::new().unwrap();
    let in_the_way = files.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let door =
        Doorman::start_with_store(&with_certificate(&panel, &pebble, port), &in_the_way.join("store")).await;

    let status = door.reaches("failed", ORDER).await;

    assert!(status["last_error"].as_str().unwrap_or_default().contains("store"), "{status:#}");
    assert_eq!(get(door.http().await, "/").await.status(), 200);
    assert!(tls::connect(door.https().await, &tls::trusting_anybody(&[])).await.is_ok());
    assert_eq!(pebble.count("Added order"), 0, "no order without a place for its certificate");
}

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

#[tokio::test]
async fn kill_9_at_any_moment_of_a_renewal_leaves_a_whole_pair_and_one_account() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let settings = with_certificate(&panel, &pebble, port).set(
        "https",
        "listen",
        vec![address(free_port()).to_string()],
    );
    let mut door = Doorman::start(&settings).await;
    door.reaches("valid", ORDER).await;

    // Each round dies a little later: after so many things were seen to happen, at the CA or in the store.
    for moment in [0, 2, 5, 8, 11, 14, 17, 20, 24, 30] {
        let before = door.status().await["renewal"].clone();
        let seen = happened(&pebble, &door);
        assert_eq!(door.admin("POST", "/renew?force=true").await.status(), 202);
        until("the moment has come", ORDER, async || {
            let past = happened(&pebble, &door) >= seen + moment;
            let renewal = &door.status().await["renewal"];
            let over = moment > 0 && *renewal != before && !renewal["finished_at"].is_null();
            (past || over).then_some(())
        })
        .await;
        door.process.kill();

        let live = |name: &str| std::fs::read_to_string(door.stored("live").join(name)).unwrap();
        assert!(tls::is_matching_pair(&live("fullchain.pem"), &live("privkey.pem")), "after {moment}");
        door.start_again().await;
        let status = door.reaches("valid", ORDER).await;
        let stream =
            tls::connect(door.https().await, &tls::trusting(&pebble.root().await, &[])).await.unwrap();
        assert_eq!(status["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    }

    assert_eq!(pebble.accounts(), 1);
    let renewed = door.command(&["renew", "--force"]).await;
    assert!(renewed.status.success(), "after all that it still renews: {renewed:?}");
}

/// How much has visibly happened: requests to the CA, and names in the store.
fn happened(pebble: &Pebble, door: &Doorman) -> usize {
    fn names(directory: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return 0;
        };
        entries
            .flatten()
            .map(|entry| 1 + if entry.path().is_symlink() { 0 } else { names(&entry.path()) })
            .sum()
    }
    pebble.log().len() + names(&door.stored(""))
}

fn with_certificate(panel: &Upstream, pebble: &Pebble, port: u16) -> Settings {
    Settings::panel(panel.url()).certificate(pebble, &["127.0.0.1"]).set(
        "http",
        "listen",
        vec![format!("127.0.0.1:{port}")],
    )
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
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

/// Someone who asks for the panel's page again and again, each time anew.
struct Visitor {
    ended: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Visitor {
    fn of(http: SocketAddr) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            let mut answered = 0;
            while !end.load(Ordering::Relaxed) {
                let answer = get(http, "/page").await;
                assert_eq!((answer.status(), answer.text()), (200, "the panel: GET /page HTTP/1.1"));
                answered += 1;
                tokio::time::sleep(Duration::from_millis(5)).await; // the pace, not a wait
            }
            answered
        });
        Self { ended, task }
    }

    async fn was_always_answered(self) {
        self.ended.store(true, Ordering::Relaxed);
        let answered = self.task.await.expect("every visit was answered");
        assert!(answered > 50, "only {answered} visits");
    }
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
