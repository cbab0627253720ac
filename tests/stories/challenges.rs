//! Challenges that are not ours: other ACME clients on the machine go on working behind the door.

use tempfile::TempDir;

use crate::support::client::{Connection, Multiplexed, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::{Upstream, plain};
use crate::support::{network, tls};

const UNKNOWN: &str = "/.well-known/acme-challenge/dGhlIHRva2VuIG9mIGFub3RoZXI";

#[tokio::test]
async fn an_unknown_token_is_looked_for_in_the_webroot_first() {
    let (panel, other) = (Upstream::panel().await, other_client().await);
    let webroot = webroot_with("dGhlIHRva2VuIG9mIGFub3RoZXI", "from the webroot");
    let door = Doorman::start(&behind(&panel, &other, &webroot)).await;

    let answer = get(door.http().await, UNKNOWN).await;

    assert_eq!((answer.status(), answer.text()), (200, "from the webroot"));
    assert!(other.seen().is_empty() && panel.seen().is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_in_the_webroot_is_asked_from_the_other_client() {
    let (panel, other) = (Upstream::panel().await, other_client().await);
    let webroot = webroot_with("something-else", "not this");
    let door = Doorman::start(&behind(&panel, &other, &webroot)).await;

    let answer = get(door.http().await, UNKNOWN).await;

    assert_eq!((answer.status(), answer.text()), (200, "from the other client"));
    assert!(panel.seen().is_empty());
}

#[tokio::test]
async fn the_other_client_is_asked_nothing_that_the_panel_would_not_be() {
    let (panel, other) = (Upstream::panel().await, other_client().await);
    let settings = Settings::panel(panel.url())
        .set("http", "acme_upstream", other.address.to_string())
        .set("http", "max_headers", 20)
        .set("http", "max_uri_bytes", 1000);
    let door = Doorman::start(&settings.set("https", "listen", vec!["127.0.0.1:0"])).await;
    let (many, long) = ("X: 1\r\n".repeat(21), "x".repeat(1000));

    for (fields, status) in [
        ("", 400),
        ("Host: h\r\nHost: h\r\n", 400),
        ("Host: h/x\r\n", 400),
        ("Host: h\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        ("Host: h\r\nExpect: miracles\r\n", 417),
        (&many, 431),
    ] {
        let mut visitor = Connection::open(door.http().await).await;
        visitor.send(format!("GET {UNKNOWN} HTTP/1.1\r\n{fields}\r\n0\r\n\r\n")).await;
        assert_eq!(visitor.answer().await.status(), status, "{fields:?}");
    }
    assert!(other.seen().is_empty() && panel.seen().is_empty());

    let mut multiplexed = Multiplexed::open(door.https().await, &tls::trusting_anybody(&["h2"])).await;
    let many: Vec<String> = (0..21).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "1")).collect();
    assert_eq!(multiplexed.get_with(UNKNOWN, &many).await, 431);
    assert_eq!(multiplexed.get(&format!("{UNKNOWN}{long}")).await.0, 414);
    assert!(other.seen().is_empty() && panel.seen().is_empty());
    assert_eq!(multiplexed.get_with(UNKNOWN, &many[..20]).await, 200);
    assert_eq!(multiplexed.get(UNKNOWN).await, (200, "from the other client".to_owned()));
    assert_eq!(other.seen()[0].field("host"), Some("127.0.0.1"), "HTTP/2 has it in another place");
}

#[tokio::test]
async fn a_token_that_nobody_knows_goes_to_the_panel() {
    let (panel, other) = (Upstream::panel().await, other_client().await);
    let webroot = webroot_with("something-else", "not this");
    let settings = behind(&panel, &other, &webroot);
    drop(other); // its port refuses now, as it does whenever no renewal is under way
    let door = Doorman::start(&settings).await;

    let answer = get(door.http().await, UNKNOWN).await;

    assert_eq!(
        (answer.status(), answer.text()),
        (200, format!("the panel: GET {UNKNOWN} HTTP/1.1").as_str())
    );
}

#[tokio::test]
async fn the_webroot_shows_nothing_but_tokens() {
    let panel = Upstream::panel().await;
    let webroot = webroot_with("token", "a token");
    std::fs::write(webroot.path().join("secret"), "a secret").unwrap();
    let settings = Settings::panel(panel.url()).set("http", "acme_webroot", webroot.path().to_str());
    let door = Doorman::start(&settings).await;

    for target in [
        "/.well-known/acme-challenge/../../secret",
        "/.well-known/acme-challenge/..%2f..%2fsecret",
        "/.well-known/acme-challenge/%2e%2e/%2e%2e/secret",
        "/.well-known/acme-challenge/",
    ] {
        let answer = get(door.http().await, target).await;
        assert!(!answer.text().contains("a secret"), "{target} gave the file away");
        assert!(!answer.text().contains("token\n"), "{target} listed the directory");
    }
}

#[tokio::test]
async fn unknown_tokens_are_never_redirected() {
    let files = TempDir::new().unwrap();
    let socket = files.path().join("panel.sock");
    let _panel = Upstream::on_socket(&socket);
    let settings = Settings::panel(format!("unix:{}", socket.display()))
        .set("http", "listen", network::DOOR.to_vec())
        .set("http", "redirect_to_https", true)
        .set("https", "listen", vec!["127.0.0.1:0"]);
    let door = Doorman::start_by(&network::LAUNCHER, &settings).await;
    // Of loopback nobody is redirected anyhow.
    let (guest, to) = ("192.0.2.7".parse().unwrap(), network::DOOR[0].parse().unwrap());
    let mut visitor = network::connect(&door.process, guest, to).await;

    assert_eq!(visitor.get("/").await.status(), 308);
    let answer = visitor.get(UNKNOWN).await;
    assert_eq!(answer.status(), 200, "{}", answer.start);
}

fn behind(panel: &Upstream, other: &Upstream, webroot: &TempDir) -> Settings {
    Settings::panel(panel.url()).set("http", "acme_webroot", webroot.path().to_str()).set(
        "http",
        "acme_upstream",
        other.address.to_string(),
    )
}

async fn other_client() -> Upstream {
    Upstream::answering(|_| plain(200, "from the other client")).await
}

fn webroot_with(token: &str, text: &str) -> TempDir {
    let webroot = TempDir::new().unwrap();
    let directory = webroot.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(token), text).unwrap();
    webroot
}
