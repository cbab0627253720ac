//! `doorman doctor`: what it finds on the machine, with and without a daemon.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::doorman::{self, Doorman, Settings};
use crate::support::free_port;
use crate::support::pebble::{Pebble, Terms};
use crate::support::telegram::{self, Telegram};
use crate::support::tls;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn a_machine_that_is_well_has_nothing_but_fine_findings() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let settings = Settings::panel(panel.url()).certificate(&pebble, &["127.0.0.1"]).set(
        "http",
        "listen",
        vec![format!("127.0.0.1:{port}")],
    );
    let door = Doorman::start(&settings).await;
    door.reaches("valid", Duration::from_secs(30)).await;

    let (code, report) = doctor(&door.settings_file(), &[]).await;

    assert_eq!((code, &report["verdict"]), (0, &Value::from("fine")), "{report:#}");
    for about in ["config", "daemon", "port", "panel", "address", "ca", "clock", "store", "acme client"] {
        assert_eq!(found(&report, about)["level"], "fine", "{report:#}");
    }
    let said = door.command(&["doctor"]).await;
    assert!(String::from_utf8_lossy(&said.stdout).ends_with("All is well.\n"), "{said:?}");
}

#[tokio::test]
async fn without_a_daemon_it_names_who_has_the_port_and_what_to_do() {
    let panel = Upstream::panel().await;
    let holder = Upstream::panel().await;
    let listen = vec![holder.address.to_string(), format!("[::1]:{}", holder.address.port())];
    let file = written(&Settings::panel(panel.url()).set("http", "listen", listen));

    let (code, report) = doctor(file.path(), &[]).await;

    assert_eq!((code, &report["verdict"]), (2, &Value::from("broken")), "{report:#}");
    let port = found(&report, "port");
    assert_eq!(port["level"], "broken");
    assert!(port["finding"].as_str().unwrap().contains(&format!("pid {}", std::process::id())), "{port:#}");
    assert!(port["remedy"].as_str().unwrap().contains("another port"), "{port:#}");
    let free = report["findings"].as_array().unwrap();
    let free = free
        .iter()
        .any(|it| it["finding"].as_str().unwrap() == format!("[::1]:{} is free", holder.address.port()));
    assert!(free, "IPv6 is looked at for itself: {report:#}");
    assert_eq!(found(&report, "daemon")["level"], "warning");
}

#[tokio::test]
async fn a_panel_that_speaks_https_and_a_ca_that_is_away_are_found() {
    let panel = Upstream::with_tls(&tls::Pair::for_names(&["127.0.0.1"])).await;
    let pebble = Pebble::stopped(Terms::quick(1));
    let plain = panel.url().replace("https://", "http://");
    let file = written(&Settings::panel(plain).certificate(&pebble, &["203.0.113.7"]));

    let (code, report) = doctor(file.path(), &[]).await;

    assert_eq!(code, 2, "{report:#}");
    let found_panel = found(&report, "panel");
    assert!(found_panel["finding"].as_str().unwrap().ends_with("speaks HTTPS"), "{report:#}");
    assert!(found_panel["remedy"].as_str().unwrap().contains("https://127.0.0.1:"), "{report:#}");
    assert_eq!(found(&report, "ca")["level"], "broken");
    assert_eq!(found(&report, "address")["level"], "warning", "no interface has it");
}

#[tokio::test]
async fn an_acme_client_that_cannot_renew_behind_the_door_is_a_warning() {
    let panel = Upstream::panel().await;
    let home = tempfile::TempDir::new().unwrap();
    let directory = home.path().join(".acme.sh/a.example_ecc");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("a.example.conf"), "Le_Domain='a.example'\nLe_Webroot='no'\n").unwrap();
    let file = written(&Settings::panel(panel.url()));

    let (code, report) = doctor(file.path(), &[("HOME", home.path().to_str().unwrap())]).await;

    assert_eq!(code, 1, "{report:#}");
    let client = found(&report, "acme client");
    assert_eq!(client["level"], "warning");
    assert!(client["remedy"].as_str().unwrap().contains("http.acme_upstream"), "{client:#}");
}

#[tokio::test]
async fn telegram_is_looked_for_by_the_way_that_alerts_take_and_without_the_token() {
    let telegram = Telegram::start().await;
    let settings = Settings::panel("http://127.0.0.1:1")
        .set("telegram", "bot_token", telegram::TOKEN)
        .set("telegram", "chat_ids", [4711].as_slice())
        .set("telegram", "api_url", format!("http://{}", telegram.address));
    let (_, report) = doctor(written(&settings).path(), &[]).await;
    let finding = found(&report, "telegram");
    assert_eq!((&finding["level"], &finding["finding"]), (&json!("fine"), &json!("127.0.0.1 answers")));

    let behind_nobody = settings.set("telegram", "proxy", "socks5://u:hidden@127.0.0.1:1");
    let (_, report) = doctor(written(&behind_nobody).path(), &[]).await;
    assert_eq!(found(&report, "telegram")["level"], "warning");
    let said = report.to_string();
    assert!(!said.contains(telegram::SECRET) && !said.contains("hidden"), "{report:#}");
}

#[tokio::test]
async fn a_broken_configuration_keeps_it_from_nothing_else() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(&file, "[panel]\nupstreem = 1\n").unwrap();
    let (code, report) = doctor(file.path(), &[]).await;
    assert_eq!(code, 2, "{report:#}");
    assert!(found(&report, "config")["remedy"].as_str().unwrap().contains("doorman check"), "{report:#}");
    assert!(report["findings"].as_array().unwrap().iter().any(|it| it["about"] == "port"), "{report:#}");
}

/// Settings without a daemon.
fn written(settings: &Settings) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let directory = file.path().with_extension("");
    let nowhere = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let settings =
        settings.clone().set("admin", "listen", nowhere("admin.sock")).set("store", "dir", nowhere("store"));
    std::fs::write(&file, settings.toml()).unwrap();
    file
}

async fn doctor(file: &std::path::Path, environment: &[(&str, &str)]) -> (i32, Value) {
    let mut command = Command::new(doorman::BINARY);
    command.args(["doctor", "--json", "--config"]).arg(file).env("HOME", "/nonexistent");
    command.envs(environment.iter().copied());
    let said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let report = serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said.status.code().unwrap(), report)
}

/// The first finding about this.
fn found<'a>(report: &'a Value, about: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["about"] == about)
        .unwrap_or_else(|| panic!("no {about}: {report:#}"))
}
