//! HTTP/2 without TLS, from who knows beforehand that it is spoken.

use std::process::Command;

use super::{SOON, abroad, door, in_pieces, ip};
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::frames::{self, DATA, Frames, HEADERS};
use crate::support::upstream::Upstream;
use crate::support::{network, peer};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn curl_with_prior_knowledge_is_answered_and_every_rule_holds() {
    let panel = Upstream::panel().await;
    let webroot = tempfile::TempDir::new().unwrap();
    let tokens = webroot.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&tokens).unwrap();
    std::fs::write(tokens.join("token"), "from the webroot").unwrap();
    let settings = Settings::panel(panel.url())
        .set("panel", "allow_paths", vec!["login"])
        .set("http", "acme_webroot", webroot.path().to_str())
        .set("http", "max_uri_bytes", 1024)
        .set("http", "max_headers", 20)
        .set("http", "redirect_to_https", true);
    let door = Doorman::start(&settings).await;
    let long = format!("/{}", "x".repeat(2000));
    let many: Vec<String> = (0..30).map(|number| format!("-HX-{number}: x")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (path, options, expected) in [
        ("/login", &["-HX-Forwarded-For: 1.1.1.1"][..], "2 200 the panel: GET /login HTTP/1.1"),
        ("/.well-known/acme-challenge/token", &[], "2 200 from the webroot"),
        ("/login", &["-d", "name=admin"], "2 200 the panel: POST /login HTTP/1.1"),
        ("/closed", &[], "2 404"),
        (&long, &[], "2 414"),
        ("/login", &many, "2 431"),
    ] {
        let said = curl(&door, path, options).await;
        assert!(said.starts_with(expected), "{path}: {said}");
    }
    let seen = panel.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen[0].field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen[0].field("host"), Some(&*door.http().await.to_string()));
    assert_eq!(seen[1].text(), "name=admin");
}

#[tokio::test]
async fn h2load_without_tls_is_answered_each_time() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut command = Command::new("h2load");
    command.args(["-n", "4000", "-c", "8", "-m", "32"]).arg(format!("http://{}/", door.http().await));
    let output = peer::run(command).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("4000 succeeded, 0 failed") && said.contains("Application protocol: h2c"),
        "{said}"
    );
    assert_eq!(panel.seen().len(), 4000);
}

#[tokio::test]
async fn the_preface_may_come_in_pieces_and_after_a_proxy_header() {
    let panel = Upstream::panel().await;
    let door = door(Settings::panel(panel.url())).await;
    for header in ["", "PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\n"] {
        let mut visitor = Connection::open(door.http().await).await;
        visitor.stream.set_nodelay(true).unwrap();
        for byte in [header.as_bytes(), PREFACE, EMPTY_SETTINGS, &frames::get_on(1, "/")].concat() {
            visitor.send([byte]).await;
            tokio::task::yield_now().await;
        }
        let mut frames = Frames::resumed(visitor.stream);
        assert_eq!(frames.until(HEADERS).await.stream, 1);
        assert_eq!(frames.until(DATA).await.payload, b"the panel: GET / HTTP/1.1");
        let client = if header.is_empty() { "127.0.0.1" } else { "198.51.100.7" };
        assert_eq!(panel.seen().last().unwrap().field("x-forwarded-for"), Some(client));
    }
}

#[tokio::test]
async fn others_are_not_spoken_to_in_http_2_without_tls_from_other_addresses() {
    let (door, panel, _files) =
        abroad(|settings| settings.set("http", "trusted_proxies", vec!["192.0.2.9"])).await;
    let to = network::DOOR[0].parse().unwrap();
    let hello = [PREFACE, EMPTY_SETTINGS, &frames::get_on(1, "/")].concat();

    let mut stranger = network::connect(&door.process, ip("192.0.2.7"), to).await;
    stranger.send(&hello).await;
    let rest = tokio::time::timeout(SOON, stranger.rest()).await.expect("it ends");
    assert_eq!(rest, b"");
    // The same where it does not show at first what it is.
    let mut stranger = network::connect(&door.process, ip("192.0.2.7"), to).await;
    in_pieces(&door, &mut stranger, [&hello[..3], &hello[3..]]).await;
    let rest = tokio::time::timeout(SOON, stranger.rest()).await.expect("it ends");
    assert_eq!(rest, b"");
    assert!(panel.seen().is_empty());

    let mut proxy = network::connect(&door.process, ip("192.0.2.9"), to).await;
    proxy.send(&hello).await;
    let mut frames = Frames::resumed(proxy.stream);
    assert_eq!(frames.until(DATA).await.payload, b"the panel: GET / HTTP/1.1");
    assert_eq!(panel.only().field("x-forwarded-for"), Some("192.0.2.9"));
}

#[tokio::test]
async fn an_upgrade_to_it_is_never_taken_up_not_even_on_loopback() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut visitor = Connection::open(door.http().await).await;
    visitor
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
        .await;
    let answer = visitor.answer().await;
    assert_eq!((answer.start.as_str(), answer.field("upgrade")), ("HTTP/1.1 200 Scripted", None));
    let request = panel.only();
    assert_eq!((request.field("upgrade"), request.field("http2-settings")), (None, None));
}

/// The version, the status and the body.
async fn curl(door: &Doorman, path: &str, options: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "--noproxy", "*", "--max-time", "60", "--http2-prior-knowledge"]);
    command.args(["-w", "\n%{http_version} %{response_code}"]).args(options);
    command.arg(format!("http://{}{path}", door.http().await));
    let output = peer::run(command).await;
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let (body, report) = said.rsplit_once('\n').unwrap();
    format!("{report} {body}")
}
