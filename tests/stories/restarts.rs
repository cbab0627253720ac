//! A panel that restarts: what can be repeated waits for it, and nothing else does.

use std::net::SocketAddr;
use std::time::Duration;

use procfs::net::{TcpNetEntry, TcpState};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::client::{Connection, Message};
use crate::support::doorman::{Doorman, Settings};
use crate::support::recorder::Recorder;
use crate::support::tls::Pair;
use crate::support::upstream::{Upstream, plain};
use crate::support::{free_port, until};

const SOON: Duration = Duration::from_secs(30);

/// Requests of one worker that wait for a panel at once (`MAX_WAITING`).
const MAX_WAITING: usize = 256;
const TOO_MANY: usize = 40;

/// A door whose panel has answered once and is gone now, and where it was.
async fn without_its_panel(grace: &str) -> (Doorman, SocketAddr, Instant) {
    let address = ([127, 0, 0, 1], free_port()).into();
    let panel = Upstream::panel_at(address).await;
    let settings =
        Settings::panel(panel.url()).set("http", "workers", 1).set("panel", "restart_grace", grace);
    let door = Doorman::start(&settings).await;
    let asked = Instant::now();
    assert_eq!(Connection::open(door.http().await).await.get("/").await.status(), 200);
    drop(panel);
    (door, address, asked)
}

async fn ask(mut client: Connection<TcpStream>, method: &str) -> Message {
    client.send(format!("{method} /{method} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")).await;
    client.answer().await
}

#[tokio::test]
async fn what_can_be_repeated_waits_for_a_panel_that_restarts_and_a_post_does_not() {
    let (door, address, _) = without_its_panel("60s").await;
    let http = door.http().await;
    let mut waiting = JoinSet::new();
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let mut client = Connection::open(http).await;
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        waiting.spawn(async move { client.head().await.unwrap().status() });
    }
    // It refuses: whoever does not wait is told so.
    for method in ["POST", "PATCH", "BREW"] {
        let answer = tokio::time::timeout(SOON, ask(Connection::open(http).await, method)).await;
        assert_eq!(answer.expect("it does not wait").status(), 502, "{method}");
    }

    let panel = Upstream::panel_at(address).await;

    let answers = tokio::time::timeout(SOON, waiting.join_all()).await.expect("they are answered");
    assert_eq!(answers, [200; 5]);
    assert_eq!(panel.seen().len(), 5, "each came once, and nothing that was refused");
}

#[tokio::test]
async fn after_restart_grace_nobody_waits_any_more() {
    const GRACE: Duration = Duration::from_millis(1500);
    let (door, _, asked) = without_its_panel("1500ms").await;
    let mut client = Connection::open(door.http().await).await;

    let answer = tokio::time::timeout(SOON, client.get("/")).await.expect("it does not wait for ever");
    assert_eq!(answer.status(), 502);
    assert!(asked.elapsed() >= GRACE, "it waited only {:?}", asked.elapsed());

    let later = Instant::now();
    assert_eq!(client.get("/").await.status(), 502);
    assert!(later.elapsed() < GRACE, "it waited again, {:?}", later.elapsed());
}

#[tokio::test]
async fn a_panel_that_has_never_answered_is_not_waited_for() {
    let settings = Settings::panel(format!("http://127.0.0.1:{}", free_port()));
    let door = Doorman::start(&settings.set("panel", "restart_grace", "60s")).await;
    let mut client = Connection::open(door.http().await).await;

    let answer = tokio::time::timeout(SOON, client.get("/")).await.expect("it does not wait");

    assert_eq!(answer.status(), 502);
}

#[tokio::test]
async fn a_panel_behind_a_socket_file_is_waited_for_while_the_file_is_missing() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("panel.sock");
    let panel = Upstream::on_socket(&path);
    let settings = Settings::panel(format!("unix:{}", path.display())).set("panel", "restart_grace", "60s");
    let door = Doorman::start(&settings.set("http", "workers", 1)).await;
    let mut client = Connection::open(door.http().await).await;
    assert_eq!(client.get("/").await.status(), 200);
    drop(panel);
    std::fs::remove_file(&path).unwrap();

    let asked = tokio::spawn(async move { client.get("/again").await.text().to_owned() });
    // Comes after it, and does not wait.
    assert_eq!(ask(Connection::open(door.http().await).await, "POST").await.status(), 502);
    assert!(!asked.is_finished());
    let _panel = Upstream::on_socket(&path);

    let answer = tokio::time::timeout(SOON, asked).await.expect("it is answered").unwrap();
    assert_eq!(answer, "the panel: GET /again HTTP/1.1");
}

#[tokio::test]
async fn a_panel_that_comes_back_without_tls_is_not_waited_for() {
    let panel = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings::panel(format!("https://{}", panel.local_addr().unwrap()));
    let door = Doorman::start(&settings.set("panel", "restart_grace", "60s")).await;
    let mut client = Connection::open(door.http().await).await;
    let answers = async {
        let stream = panel.accept().await.unwrap().0;
        let stream = Pair::for_names(&["panel.test"]).acceptor().accept(stream).await.unwrap();
        let mut connection = Connection::over(stream);
        connection.request().await.expect("a request");
        connection.send(plain(200, "over TLS")).await;
    };
    assert_eq!(tokio::join!(client.get("/"), answers).0.status(), 200);

    let refuses = async {
        let mut connection = Connection::over(panel.accept().await.unwrap().0);
        connection.more().await;
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    };
    let asked = async { tokio::join!(client.get("/"), refuses).0.status() };
    assert_eq!(tokio::time::timeout(SOON, asked).await.expect("it does not wait"), 502);
}

#[tokio::test]
async fn only_so_many_wait_for_a_panel_and_the_others_hear_so_at_once() {
    let (door, address, _) = without_its_panel("60s").await;
    let http = door.http().await;
    let mut all = too_many_ask(http).await;
    // Who leaves gives the place back.
    all.shutdown().await;
    until("they are gone", SOON, async || (door.metric("doorman_connections").await == 0).then_some(()))
        .await;
    let all = too_many_ask(http).await;

    let _panel = Upstream::panel_at(address).await;

    let answers = tokio::time::timeout(SOON, all.join_all()).await.expect("the others are answered");
    assert_eq!(answers, [200; MAX_WAITING]);
}

/// Those that wait; the others were refused.
async fn too_many_ask(http: SocketAddr) -> JoinSet<u16> {
    let mut all = JoinSet::new();
    for _ in 0..MAX_WAITING + TOO_MANY {
        let mut client = Connection::open(http).await;
        all.spawn(async move { client.get("/").await.status() });
    }
    for number in 0..TOO_MANY {
        let refused = tokio::time::timeout(SOON, all.join_next()).await;
        let refused = refused.unwrap_or_else(|_| panic!("only {number} are refused"));
        assert_eq!(refused.unwrap().unwrap(), 502);
    }
    all
}

#[tokio::test]
async fn a_request_is_answered_however_many_kept_connections_the_panel_has_closed() {
    /// As many as one worker keeps (`MAX_IDLE`).
    const KEPT: usize = 128;
    let (door, address, _) = without_its_panel("60s").await;
    let http = door.http().await;
    for method in ["GET", "POST"] {
        let mut all = JoinSet::new();
        for _ in 0..KEPT {
            let client = Connection::open(http).await;
            all.spawn(async move { ask(client, "GET").await.status() });
        }
        let panel = Upstream::panel_at(address).await;
        assert_eq!(all.join_all().await, [200; KEPT]);
        ends(panel).await;

        let panel = Upstream::panel_at(address).await;
        let answer = tokio::time::timeout(SOON, ask(Connection::open(http).await, method)).await;
        assert_eq!(answer.expect("it is answered").status(), 200, "{method}");
        ends(panel).await;
    }
}

async fn ends(panel: Upstream) {
    let address = panel.address;
    drop(panel);
    until("it is gone", SOON, async || TcpStream::connect(address).await.is_err().then_some(())).await;
    until("and so are its connections", SOON, async || {
        let sockets = procfs::net::tcp().expect("the kernel's table");
        let open =
            |socket: &TcpNetEntry| socket.local_address == address && socket.state == TcpState::Established;
        (!sockets.iter().any(open)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_connection_to_the_panel_is_opened_in_advance() {
    let mut panel = Recorder::listen().await;
    let door = Doorman::start(&Settings::panel(panel.url.clone())).await;
    let mut visitors = Vec::new();
    for _ in 0..8 {
        visitors.push(Connection::open(door.http().await).await);
    }
    until("they are there", SOON, async || (door.metric("doorman_connections").await == 8).then_some(()))
        .await;
    panel.catch_up();
    assert_eq!(panel.opened, 0);

    visitors[0].send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(!panel.take(1, SOON).await.is_empty());
    panel.catch_up();
    assert_eq!(panel.opened, 1, "one for one request");
}
