//! No secret is anywhere that anybody can look, whatever is done and whatever goes wrong. Needs Pebble.

use std::path::Path;

use super::*;
use crate::support::doorman;
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::{Upstream, plain};

/// An order with Pebble takes two or three seconds; a busy machine may need more.
const ORDER: Duration = Duration::from_secs(60);

/// Of the configuration, besides the token.
const OURS: [&str; 6] =
    ["proxy-pa55word", "hook-pa55word", "hook-path", "hook-query", "hook-hmac-key", "admin-t0ken"];

/// What the store keeps to itself: the lines of its private keys, and the account's key.
fn keys(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(keys(&path));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let mut parts = text.split("PRIVATE KEY-----");
            while let Some(body) = parts.nth(1) {
                found.extend(body.lines().filter(|line| line.len() > 20).map(ToOwned::to_owned));
            }
            let account = text.split("\"key_pkcs8\"").skip(1);
            found.extend(account.filter_map(|rest| Some(rest.split('"').nth(1)?.to_owned())));
        }
    }
    found
}

/// Everything that a daemon and the commands that ask it say, with where they say it.
async fn everything_said(door: &Doorman) -> Vec<(String, String)> {
    let mut said = Vec::new();
    let file = door.settings_file();
    let file = file.to_str().unwrap();
    for (locale, command) in [
        ("C", "alert test"),
        ("C", "renew"),
        ("C", "renew --force"),
        ("C", "status"),
        ("C", "status --json"),
        ("C", "doctor"),
        ("C", "doctor --json"),
        ("C", "check"),
        ("zh_CN.UTF-8", "status"),
        ("zh_CN.UTF-8", "doctor"),
    ] {
        let words: Vec<_> = command.split(' ').chain(["--config", file]).collect();
        let output = doorman::command_in(locale, &words).await;
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        said.push((format!("doorman {command} ({locale})"), text));
    }
    for target in ["/status", "/metrics", "/?lang=en", "/?lang=zh-CN", "/live", "/ready", "/elsewhere"] {
        said.push((format!("GET {target}"), door.admin("GET", target).await.text().to_owned()));
    }
    said.push(("POST /alert/test".to_owned(), door.admin("POST", "/alert/test").await.text().to_owned()));
    said.push(("the log".to_owned(), door.process.log().join("\n")));
    said
}

#[tokio::test]
async fn no_secret_is_in_any_answer_of_the_daemon_in_any_command_or_in_the_log_at_any_level() {
    // A proxy that is no help: its page repeats the address that was asked for, which has the token in it.
    let proxy = Upstream::answering(|request| plain(502, &format!("no way to {}", request.start))).await;
    let port = free_port();
    let mut pebble = Pebble::start(Terms::quick(port)).await;
    let through = proxy.url().replace("http://", "http://ada:proxy-pa55word@");
    let settings = telling("127.0.0.1:1".parse().unwrap(), &[ALICE])
        .certificate(&pebble, &["127.0.0.1"])
        .set("http", "listen", vec![format!("127.0.0.1:{port}")])
        .set("http", "access_log", "full")
        .set("telegram", "proxy", through)
        .set("telegram", "commands", true)
        .set("webhook", "url", "http://ada:hook-pa55word@127.0.0.1:1/hook-path?key=hook-query")
        .set("webhook", "secret", "hook-hmac-key")
        .set("admin", "token", "admin-t0ken");
    let door = Doorman::start_by(&["env", "RUST_LOG=trace"], &settings).await;
    door.reaches("valid", ORDER).await;
    pebble.stop(); // from here on renewals fail
    let said = everything_said(&door).await;

    let keys = keys(door.stored("live").parent().unwrap());
    assert!(keys.len() >= 4, "the pair's, the local CA's and the account's: {}", keys.len());
    let (_, log) = said.last().unwrap();
    assert!(
        log.contains("TRACE") && log.contains("not Telegram's Bot API"),
        "not everything happened: {log}"
    );
    let asked = proxy.seen();
    assert!(asked.iter().any(|request| request.start.contains(SECRET)), "the token has been used");
    for (place, text) in &said {
        assert!(!text.is_empty(), "{place} says nothing");
        for secret in OURS.into_iter().chain([SECRET]).chain(keys.iter().map(String::as_str)) {
            assert!(!text.contains(secret), "{secret} is in {place}: {text}");
        }
    }
}
