use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::support::client::Connection;
use crate::support::doorman::{self, BINARY, Doorman, Settings};
use crate::support::until;
use crate::support::upstream::Upstream;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn with_log_json_every_line_is_json_from_the_start_to_the_end() {
    let panel = Upstream::panel().await;
    let home = TempDir::new().unwrap();
    let file = home.path().join("doorman.toml");
    let (store, socket) = (home.path().join("store"), home.path().join("admin.sock"));
    let good = format!(
        "panel.upstream = {:?}\nhttp.listen = [\"127.0.0.1:0\"]\nhttp.access_log = \"full\"\n\
         store.dir = {store:?}\nadmin.listen = {socket:?}\n",
        panel.url()
    );
    std::fs::write(&file, &good).unwrap();
    let arguments = ["run", "--log", "json", "--config", file.to_str().unwrap()];
    let mut door = doorman::start(&arguments);
    door.says("the admin interface listens", SOON).await;
    std::fs::write(&file, "nonsense = \"with a\\nline break\"\n").unwrap();
    door.signal(Signal::HUP);
    door.says("SIGHUP", SOON).await;
    door.signal(Signal::TERM);
    assert!(door.ended(SOON).await.success());
    let log = door.log();
    assert!(log.len() >= 4, "{log:#?}");
    for line in &log {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "message"] {
            assert!(event[field].is_string(), "{field} in {line}");
        }
    }

    // And when it cannot begin at all.
    let refused = doorman::command(&arguments).await;
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8(refused.stderr).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(last["message"].as_str().unwrap().contains("nonsense") && last["remedy"].is_string(), "{said}");
    assert!(said.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{said}");
}

/// What a doorman that is told where the journal is writes to its standard error, and cannot run.
fn written(journal: impl Fn(&File) -> String) -> String {
    let home = TempDir::new().unwrap();
    let log = File::create(home.path().join("log")).unwrap();
    let mut door = Command::new(BINARY)
        .args(["run", "--panel", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin"])
        .arg(home.path().join("admin.sock"))
        .arg("--store")
        .arg(home.path().join("store"))
        .env("JOURNAL_STREAM", journal(&log))
        .stdin(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .spawn()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let read = || std::fs::read_to_string(home.path().join("log")).unwrap();
    runtime.block_on(until("it listens", SOON, async || read().contains("admin interface").then_some(())));
    door.kill().unwrap();
    door.wait().unwrap();
    read()
}

#[test]
fn what_journald_reads_has_its_priority_and_no_time() {
    let log = written(|file| {
        let there = file.metadata().unwrap();
        format!("{}:{}", there.dev(), there.ino())
    });
    for line in log.lines() {
        assert!(line.starts_with("<6>INFO ") || line.starts_with("<4>WARN "), "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains("20-"), "{line}");
    }
    assert!(log.lines().count() >= 2, "{log}");
}

#[test]
fn a_log_that_journald_does_not_read_has_the_time() {
    let log = written(|_| "8:1234567".to_owned()); // inherited from a service, but not this file
    for line in log.lines() {
        assert!(line.starts_with("20") && line.contains("Z  INFO ") || line.contains("Z  WARN "), "{line}");
        assert!(!line.contains('\u{1b}'), "colour where no terminal is: {line}");
    }
    assert!(log.lines().count() >= 2, "{log}");
}

/// A doorman that has answered so many requests from a client at 127.0.0.77, with a password in the query, and one for
/// a token of nobody.
async fn asked(setting: &str, requests: usize) -> Doorman {
    let panel = Upstream::panel().await;
    let settings = Settings::panel(panel.url()).set("http", "access_log", setting).set("http", "workers", 1);
    let door = Doorman::start(&settings).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.77:0".parse().unwrap()).unwrap();
    let mut client = Connection::over(socket.connect(door.http().await).await.unwrap());
    for _ in 0..requests {
        assert_eq!(client.get("/page?password=hunter2").await.status(), 200);
    }
    assert_eq!(
        client.get("/.well-known/acme-challenge/a-token-of-somebody").await.status(),
        200,
        "the panel's"
    );
    door
}

/// Ends it, so that its log is complete, and gives the lines about requests; nothing in the log tells on a client.
async fn lines(mut door: Doorman) -> Vec<String> {
    door.process.signal(Signal::TERM);
    door.process.says("ended", SOON).await;
    assert!(door.process.ended(SOON).await.success());
    let log = door.process.log();
    for secret in ["127.0.0.77", "hunter2", "a-token-of-somebody"] {
        assert!(!log.join("\n").contains(secret), "{secret} in {log:#?}");
    }
    log.into_iter().filter(|line| line.contains("method=")).collect()
}

#[tokio::test]
async fn the_access_log_is_off_unless_it_is_wanted() {
    assert_eq!(lines(asked("off", 150).await).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_full_access_log_has_every_request_and_names_no_client() {
    let lines = lines(asked("full", 5).await).await;
    assert_eq!(lines.len(), 6, "{lines:#?}");
    for line in &lines[..5] {
        assert!(
            line.contains("method=GET") && line.contains("\"/page\"") && line.contains("status=200"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn of_a_sampled_access_log_one_request_in_a_hundred_is_seen() {
    let lines = lines(asked("sampled", 250).await).await;
    assert_eq!(lines.len(), 3, "of 251 requests the 1st, the 101st and the 201st: {lines:#?}");
}
