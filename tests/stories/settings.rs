//! Configurations, good and bad, as an administrator meets them: exit codes and what is said.

use std::process::Output;

use tempfile::TempDir;

use crate::support::client::get;
use crate::support::doorman::{self, Settings};
use crate::support::upstream::Upstream;
use crate::support::{free_port, until};

const CONFIG: i32 = 78;
const USAGE: i32 = 64;

#[tokio::test]
async fn every_problem_is_named_at_once_with_its_line_and_key() {
    let text = r#"[panel]
upstream = "ftp://127.0.0.1:9000"
base_path = "secret"

[http]
listen = ["127.0.0.1:80", "somewhere"]
idle_timeout = "soon"
lisen = []

[ip_cert]
ip = "10.0.0.1"
fallback_action = "pray"

[admin]
listen = "0.0.0.0:9180"
"#;
    let checked = check("doorman.toml", text).await;

    assert_eq!(checked.status.code(), Some(CONFIG));
    let said = said(&checked);
    for (line, key) in [
        (2, "upstream"),
        (6, "listen"),
        (7, "idle_timeout"),
        (8, "lisen"),
        (11, "ip"),
        (12, "fallback_action"),
        (15, "listen"),
    ] {
        let named = said.lines().any(|problem| {
            let mut words = problem.split(|c: char| !c.is_alphanumeric() && c != '_');
            let mut numbers = problem.split(|c: char| !c.is_ascii_digit());
            words.any(|word| word == key) && numbers.any(|number| number == line.to_string())
        });
        assert!(named, "line {line}, {key}, is not named in:\n{said}");
    }
}

#[tokio::test]
async fn run_refuses_what_check_refuses() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("doorman.toml");
    std::fs::write(&path, "[panel]\nupstream = 7\n[http]\nlisten = 8\n").unwrap();

    let ran = doorman::command(&["run", "--config", path.to_str().unwrap()]).await;

    assert_eq!(ran.status.code(), Some(CONFIG));
    let said = said(&ran);
    assert!(said.contains("upstream") && said.contains("listen"), "{said}");
}

#[tokio::test]
async fn the_panels_own_json_is_accepted_as_it_stands() {
    let text = r#"{
        "panel": {"upstream": "http://127.0.0.1:13688"},
        "ip_cert": {"enabled": true, "ip": "1.2.3.4", "email": "admin@example.com", "auto_renew": true,
                    "renew_threshold_days": 3, "fallback_action": "self_signed"}
    }"#;

    let checked = check("doorman.json", text).await;

    assert!(checked.status.success(), "{}", said(&checked));
}

#[tokio::test]
async fn two_lines_are_enough() {
    let text = "panel.upstream = \"http://127.0.0.1:13688\"\nip_cert.ip = \"1.2.3.4\"\n";

    let checked = check("doorman.toml", text).await;

    assert!(checked.status.success(), "{}", said(&checked));
}

#[tokio::test]
async fn text_that_is_not_toml_is_a_problem_with_a_line() {
    let checked = check("doorman.toml", "[panel]\nupstream = \n").await;

    assert_eq!(checked.status.code(), Some(CONFIG));
    assert!(said(&checked).contains('2'), "{}", said(&checked));
}

#[tokio::test]
async fn secrets_are_not_repeated_in_a_complaint() {
    let text = r#"[panel]
upstream = "nonsense"

[telegram]
bot_token = "not-a-token-but-a-secret"
chat_ids = ["nobody"]

[webhook]
url = "ftp://hooks.example.com/services/another-secret"
"#;
    let checked = check("doorman.toml", text).await;

    assert_eq!(checked.status.code(), Some(CONFIG));
    assert!(!said(&checked).contains("secret"), "{}", said(&checked));
}

#[tokio::test]
async fn what_the_command_line_cannot_mean_is_a_usage_error() {
    for arguments in
        [&["frobnicate"][..], &["run", "--nope"], &["status", "--json=maybe"], &["completions", "klingon"]]
    {
        let refused = doorman::command(arguments).await;
        assert_eq!(refused.status.code(), Some(USAGE), "{arguments:?}: {}", said(&refused));
        assert!(refused.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_flag_overrules_the_file() {
    let panel = Upstream::panel().await;
    let files = TempDir::new().unwrap();
    let path = files.path().join("doorman.toml");
    let port = free_port();
    let text = format!(
        "[panel]\nupstream = \"http://127.0.0.1:1\"\n[http]\nlisten = [\"127.0.0.1:1\"]\n[store]\ndir = \"{0}/store\"\n\
         [admin]\nlisten = \"{0}/admin.sock\"\n",
        files.path().display()
    );
    std::fs::write(&path, text).unwrap();
    let (url, listen) = (panel.url(), format!("127.0.0.1:{port}"));

    let _door =
        doorman::start(&["run", "--config", path.to_str().unwrap(), "--panel", &url, "--listen", &listen]);

    let limit = std::time::Duration::from_secs(10);
    let address = listen.parse().unwrap();
    until("it listens where the flag says", limit, async || {
        tokio::net::TcpStream::connect(&listen).await.ok().map(drop)
    })
    .await;
    assert_eq!(get(address, "/").await.text(), "the panel: GET / HTTP/1.1");
}

#[tokio::test]
async fn a_disabled_certificate_leaves_the_door_alone() {
    let panel = Upstream::panel().await;
    let settings =
        Settings::panel(panel.url()).set("ip_cert", "enabled", false).set("ip_cert", "ip", "10.0.0.1");

    let door = doorman::Doorman::start(&settings).await;

    assert_eq!(door.status().await["state"], "disabled");
    assert_eq!(get(door.http().await, "/").await.status(), 200);
}

async fn check(name: &str, text: &str) -> Output {
    let files = TempDir::new().unwrap();
    let path = files.path().join(name);
    std::fs::write(&path, text).unwrap();
    doorman::command(&["check", "--config", path.to_str().unwrap()]).await
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
