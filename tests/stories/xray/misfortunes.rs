//! Xray is not there, is another, is restarted, or is told the wrong thing.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{NOTICED, ORDER, Site, begin, entry};
use crate::support::doorman::Settings;
use crate::support::free_port;
use crate::support::pebble::Terms;
use crate::support::telegram::{TOKEN, Telegram};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::xray::{Client, Inbound, Xray};

fn note(status: &Value, part: &str) -> bool {
    status["xray_note"].as_str().is_some_and(|note| note.contains(part))
}

#[tokio::test]
async fn xray_may_be_absent_and_come_later_and_what_the_panel_adds_and_removes_is_followed() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let status =
        site.door.until("that the API does not answer", NOTICED, |it| note(it, "no connection")).await;
    assert!(note(&status, "added in the panel"), "{status:#}");

    begin(&mut xray, vec![Inbound::new("first", "vless", "tcp", site.files())]).await;
    site.serves("first", "current", NOTICED).await;
    site.door.until("nothing to be known", NOTICED, |status| status["xray_note"].is_null()).await;

    let added = Inbound::new("added", "vless", "ws", site.files()).settings();
    let file = site.door.stored("added.json");
    std::fs::write(&file, json!({"inbounds": [added]}).to_string()).unwrap();
    let output = xray.tool("adi", &[file.to_str().unwrap()]).await;
    assert!(output.status.success(), "{output:?}");
    site.serves("added", "current", NOTICED).await;
    xray.tool("rmi", &["added"]).await;
    site.door.until("that it is gone", NOTICED, |status| entry(status, "added").is_null()).await;

    xray.stop();
    site.serves("first", "unknown", NOTICED).await;
    xray.run().await;
    site.serves("first", "current", NOTICED * 2).await;
}

#[tokio::test]
async fn with_the_api_off_the_file_is_believed_and_the_files_are_followed() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let inbound = Inbound::new("quiet", "vless", "tcp", site.files());
    let written = json!({"inbounds": [inbound.settings()], "outbounds": [{"protocol": "freedom"}]});
    xray.inbounds = vec![inbound];
    xray.run_with(&written).await;
    site.serves("quiet", "current", NOTICED).await;
    assert!(note(&site.door.status().await, "API is off"));

    let leaf = site.renew().await;

    site.serves("quiet", "current", NOTICED).await;
    assert_eq!(xray.presented("quiet").await, [leaf]);
}

#[tokio::test]
async fn another_program_at_the_apis_port_and_a_file_that_is_no_json_stop_nothing() {
    let web = Upstream::panel().await;
    let xray = Xray::stopped(Vec::new());
    let address = web.address.to_string();
    let site = Site::open(&xray, |settings| settings.set("xray", "api", address)).await;
    site.door.until("that this is no Xray", NOTICED, |it| note(it, "does not speak gRPC")).await;
    std::fs::write(xray.config(), "{ this is // not JSON").unwrap();
    site.renew().await;
    assert_eq!(site.door.status().await["state"], "valid");
}

#[tokio::test]
async fn an_xray_that_is_restarted_in_the_middle_serves_the_new_one() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let inbounds = vec![
        Inbound::new("once", "vless", "tcp", site.files_with(&json!({"oneTimeLoading": true}))),
        Inbound::new("inline", "trojan", "tcp", site.inline()),
    ];
    begin(&mut xray, inbounds).await;
    site.serves("inline", "current", NOTICED).await;

    let leaf = site.renew().await;
    xray.process.as_mut().unwrap().kill();
    xray.run().await;

    // The one in the settings is old again after each start, because the file has it; the API helps again.
    for tag in ["once", "inline"] {
        until(tag, Duration::from_secs(60), async || {
            (xray.presented(tag).await == [leaf.clone()]).then_some(())
        })
        .await;
        site.serves(tag, "current", NOTICED).await;
    }
    assert!(!xray.tags().await.iter().any(|tag| tag.starts_with("doorman")));
}

#[tokio::test]
async fn sighup_ends_xray_so_it_is_refused_even_when_it_is_named() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings.set("xray", "reload", vec!["signal"])).await;
    let once = site.files_with(&json!({"oneTimeLoading": true}));
    begin(&mut xray, vec![Inbound::new("once", "vless", "tcp", once)]).await;
    site.serves("once", "current", NOTICED).await;
    site.renew().await;
    site.door.process.says("no SIGHUP is sent", NOTICED).await;
    site.door.process.says("xray_stale", NOTICED).await;
    let is_open = |status: &Value| status["open_alerts"].to_string().contains("\"xray_stale\"");
    site.door.until("the alert is open", NOTICED, is_open).await;
    let metrics = site.door.admin("GET", "/metrics").await;
    assert!(metrics.text().contains("doorman_alert_open{alert=\"xray_stale\"} 1\n"), "{}", metrics.text());
    let process = xray.process.as_mut().unwrap();
    assert!(process.is_running());

    process.signal(Signal::HUP);
    let end = process.ended(NOTICED).await;
    assert_eq!(end.signal(), Some(1), "Xray handles SIGHUP now: this version of it can be told");
}

/// A site whose Xray has no API and does not follow, and whose restart leaves a line in a file.
async fn helpless(file: &Path, life: Duration) -> (Site, Xray) {
    let mut xray = Xray::stopped(Vec::new());
    let script = format!("date +%s%N >> {}", file.display());
    let command =
        |settings: Settings| settings.set("xray", "restart_command", vec!["sh", "-c", script.as_str()]);
    let site = Site::open_with(&xray, |port| Terms { life, ..Terms::quick(port) }, command).await;
    let inbound = Inbound::new("once", "vless", "grpc", site.files_with(&json!({"oneTimeLoading": true})));
    let written = json!({"inbounds": [inbound.settings()], "outbounds": [{"protocol": "freedom"}]});
    xray.inbounds = vec![inbound];
    xray.run_with(&written).await;
    site.serves("once", "current", NOTICED).await;
    site.renew().await;
    site.door.process.says("xray_stale", NOTICED).await;
    (site, xray)
}

#[tokio::test]
async fn a_kill_before_the_alert_is_in_the_outbox_makes_it_late_and_not_lost() {
    let bot: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let mut xray = Xray::stopped(Vec::new());
    let telling = |settings: Settings| {
        settings
            .set("xray", "reload", vec!["files"])
            .set("telegram", "bot_token", TOKEN)
            .set("telegram", "chat_ids", vec![4711])
            .set("telegram", "language", "en")
            .set("telegram", "api_url", format!("http://{bot}"))
    };
    let mut site = Site::open(&xray, telling).await;
    let once = site.files_with(&json!({"oneTimeLoading": true}));
    begin(&mut xray, vec![Inbound::new("once", "vless", "tcp", once)]).await;
    site.serves("once", "current", NOTICED).await;
    let outbox = site.door.stored("outbox.json");
    std::fs::remove_file(&outbox).unwrap();
    std::fs::create_dir_all(outbox.join("in-the-way")).unwrap();

    site.renew().await;
    site.door.process.says("xray_stale", NOTICED).await;
    site.door
        .until("the outbox cannot be written", NOTICED, |status| {
            status["troubles"].to_string().contains("outbox.json")
        })
        .await;
    site.door.process.kill();
    std::fs::remove_dir_all(&outbox).unwrap();
    let telegram = Telegram::start_at(bot).await;
    site.door.start_again().await;

    let heard = telegram.hears(4711, 1, NOTICED).await;
    assert!(heard[0].contains("Xray still serves an old certificate"), "{heard:#?}");
}

#[tokio::test]
async fn a_restart_comes_last_and_only_when_the_old_certificate_is_nearly_over_and_after_the_alert() {
    let made = tempfile::tempdir().unwrap();
    let file = made.path().join("restarted");
    let with_days_left = helpless(&file, Duration::from_secs(160 * 3600)).await;
    assert!(!file.exists(), "the old certificate has days left");
    drop(with_days_left);

    let (site, _xray) = helpless(&file, Duration::from_secs(5 * 3600)).await;
    let restarts = || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    until("the restart", ORDER, async || (restarts() > 0).then_some(())).await;
    site.door.process.says("restarting", NOTICED).await;
    let log = site.door.process.log();
    let line = |part: &str| log.iter().position(|line| line.contains(part)).expect("a line");
    assert!(line("xray_stale") < line("nothing else has helped"), "the alert comes first");
    assert_eq!(restarts(), 1);
}

#[tokio::test]
async fn renew_shows_each_inbound_as_it_turns_current() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let inbounds = vec![
        Inbound::new("by-itself", "vless", "tcp", site.files()),
        Inbound::new("helped", "vless", "ws", site.files_with(&json!({"oneTimeLoading": true}))),
        Inbound::new("hourly", "vless", "tcp", site.files_with(&json!({}))),
    ];
    begin(&mut xray, inbounds).await;
    for tag in ["by-itself", "helped", "hourly"] {
        site.serves(tag, "current", NOTICED).await;
    }

    let output = site.door.command(&["renew", "--force"]).await;

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for part in
        ["inbound current: by-itself on", "inbound current: helped on", "inbound hourly on", "expected by"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let metrics = site.door.admin("GET", "/metrics").await;
    let port = xray.inbound("by-itself").port;
    let labels = format!("tag=\"by-itself\",address=\"127.0.0.1:{port}\",transport=\"tcp\"");
    let line = format!("doorman_xray_inbound_serves{{{labels},serves=\"current\"}} 1");
    assert!(metrics.text().contains(&line), "{}", metrics.text());
    assert!(metrics.text().contains("doorman_xray_inbound_seconds_to_served{tag=\"helped\""));
    let table = site.door.command(&["status"]).await;
    assert!(String::from_utf8_lossy(&table.stdout).contains("by-itself 127.0.0.1:"), "{table:?}");
    let client = Client::start(&[xray.inbound("helped")], &site.pebble.root().await).await;
    assert!(client.gets_through("helped").await);
}
