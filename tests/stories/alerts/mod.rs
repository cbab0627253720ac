//! The administrator hears of it: by Telegram and by webhook, in order, once, and however long nobody can be reached.

mod commands;
mod delivery;
mod proxies;
mod recovery;
mod secrets;
mod test_message;
mod webhook;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::doorman::{Doorman, Settings};
use crate::support::free_port;
use crate::support::telegram::{SECRET, TOKEN, Telegram};

/// For anything that should happen at once, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(20);

const ALICE: i64 = 4711;
const OPS: i64 = -1_001_234_567_890;

/// A door that tells `chats`.
fn telling(telegram: SocketAddr, chats: &[i64]) -> Settings {
    Settings::panel("http://127.0.0.1:1")
        .set("telegram", "bot_token", TOKEN)
        .set("telegram", "chat_ids", chats)
        .set("telegram", "language", "en")
        .set("telegram", "api_url", format!("http://{telegram}"))
}

/// Settings under which another program's port is an alert at once: there is no certificate yet, and no way to one.
fn with_a_taken_port(settings: Settings, port: u16) -> Settings {
    settings.set("http", "listen", vec![format!("127.0.0.1:{port}")]).set("ip_cert", "ip", "127.0.0.1").set(
        "ip_cert",
        "directory",
        "https://127.0.0.1:1/dir",
    )
}

/// Another program on a port.
fn squatter() -> (TcpListener, u16) {
    let port = free_port();
    (TcpListener::bind(("127.0.0.1", port)).unwrap(), port)
}

/// A store with alerts that an earlier run could not deliver; their failures tell them apart.
fn with_alerts(failures: impl IntoIterator<Item = u32>) -> TempDir {
    let store = TempDir::new().unwrap();
    let queue: Vec<Value> = failures.into_iter().map(|failures| alert(failures, "the CA is gone")).collect();
    write_outbox(store.path(), &json!({ "last": 999_999, "queue": queue, "lanes": [] }));
    store
}

fn alert(failures: u32, error: &str) -> Value {
    json!({
        "id": failures, "kind": "renewal_failing", "edge": "news", "at": "2026-01-01T00:00:00Z",
        "not_after": "2026-01-04T00:00:00Z", "failures": failures, "error": error, "class": "network",
        "next_try": null, "detail": null,
    })
}

fn write_outbox(store: &Path, outbox: &Value) {
    std::fs::write(store.join("outbox.json"), outbox.to_string()).unwrap();
}

/// Which alerts of [`with_alerts`] these texts are.
fn failures(texts: &[String]) -> Vec<u32> {
    let after = |text: &String| text.split("Failures in a row: ").nth(1)?.split('.').next()?.parse().ok();
    texts.iter().map(|text| after(text).unwrap_or_else(|| panic!("no failures in {text}"))).collect()
}

fn waiting(status: &Value) -> u64 {
    status["alerts"]["pending"].as_u64().expect("a number")
}

/// The secret half of the token is nowhere that anybody can look.
async fn nothing_is_betrayed(door: &Doorman) {
    let log = door.process.log().join("\n");
    let mut places = vec![("the log", log)];
    for target in ["/status", "/metrics", "/"] {
        places.push((target, door.admin("GET", target).await.text().to_owned()));
    }
    let status = door.command(&["status"]).await;
    places.push(("doorman status", String::from_utf8_lossy(&status.stdout).into_owned()));
    for (place, text) in places {
        assert!(!text.contains(SECRET), "the token is in {place}: {text}");
    }
}

/// Waits until everything is delivered and that is written down.
async fn all_told(door: &Doorman) {
    door.until("no alert is waiting", SOON, |status| waiting(status) == 0).await;
    let file = door.stored("outbox.json");
    crate::support::until("that is written down", SOON, async || {
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()?;
        kept["queue"].as_array()?.is_empty().then_some(())
    })
    .await;
}

async fn start(store: &TempDir, settings: &Settings) -> Doorman {
    Doorman::start_with_store(settings, store.path()).await
}

fn both(telegram: &Telegram) -> Settings {
    telling(telegram.address, &[ALICE, OPS])
}
