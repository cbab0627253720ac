use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::OverTcp;
use crate::support::client::get;
use crate::support::doorman::{Doorman, Settings};
use crate::support::pebble::{Pebble, Terms};
use crate::support::peer;
use crate::support::process::Process;
use crate::support::upstream::Upstream;
use crate::support::{free_port, until};

const ISSUE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(240);

/// The least contrast of small text in WCAG 2.2, level AA.
const CONTRAST: f64 = 4.5;

#[tokio::test]
async fn the_page_is_whole_in_a_browser_in_both_languages_light_and_dark_on_a_phone_and_on_a_desk() {
    let panel = Upstream::panel().await;
    let http = free_port();
    let pebble = Pebble::start(Terms::quick(http)).await;
    let more = format!(
        "[ip_cert]\nip = \"127.0.0.1\"\ndirectory = {:?}\ndirectory_ca = {:?}\n[https]\nlisten = [\"127.0.0.1:0\"]\n\
         [http]\nlisten = [\"127.0.0.1:{http}\"]",
        pebble.directory(),
        pebble.ca_file()
    );
    let door = OverTcp::start_listening(&panel.url(), &more).await;
    until("it is renewed", ISSUE, async || {
        let status = door.ask("GET /status", &[&door.host()]).await;
        let status: Value = serde_json::from_slice(&status.body).unwrap();
        (status["state"] == "valid" && status["history"].as_array()?.len() == 1).then_some(())
    })
    .await;
    for _ in 0..7 {
        get(([127, 0, 0, 1], http).into(), "/").await;
    }

    let pictures = tempfile::TempDir::new().unwrap();
    let views = looked(&format!("http://{}/", door.admin), pictures.path(), &[]).await;

    assert_eq!(views.len(), 8);
    for view in &views {
        sound(view, &format!("http://{}/", door.admin));
        let words = view["words"].as_str().unwrap();
        let (state, others): (_, &[&str]) = match view["lang"].as_str().unwrap() {
            "zh-CN" => (
                "有效",
                &["计划续期", "最迟续期", "续期记录", "成功", "请求数", "端口", "监听中", "Asia/Shanghai"],
            ),
            _ => (
                "valid",
                &[
                    "Planned renewal",
                    "Renewals",
                    "renewed",
                    "requests",
                    "Ports",
                    "listening",
                    "Asia/Shanghai",
                ],
            ),
        };
        assert_eq!(view["state"]["word"], state);
        assert_eq!(view["title"], format!("{state} · doorman"));
        for part in others.iter().chain(&["127.0.0.1", "Pebble"]) {
            assert!(words.contains(part), "{part} is not in\n{words}");
        }
    }
    let colours = |part: fn(&Value) -> &Value, scheme: &str| {
        views.iter().find(|view| view["scheme"] == scheme).map(part).cloned().unwrap()
    };
    for part in [|view: &Value| &view["background"], |view: &Value| &view["state"]["colour"]]
        as [fn(&Value) -> &Value; 2]
    {
        assert_ne!(colours(part, "light"), colours(part, "dark"));
    }
}

#[tokio::test]
async fn the_facts_are_there_without_a_script_and_in_the_language_that_is_asked_for() {
    let panel = Upstream::panel().await;
    let door = OverTcp::start(&panel.url(), "").await;
    let page = async |target: &str, accepted: &str| {
        let accepted = format!("Accept-Language: {accepted}");
        let page = door.ask(&format!("GET {target}"), &[&door.host(), &accepted]).await;
        assert_eq!((page.status(), page.field("vary")), (200, Some("accept-language")));
        page
    };

    let chinese = page("/", "zh-CN,zh;q=0.9").await;
    assert!(chinese.text().contains("<html lang=\"zh-CN\">") && chinese.text().contains(">未启用</h1>"));
    let english = page("/", "fr,en;q=0.5").await;
    for part in ["<html lang=\"en\">", ">disabled</h1>", "127.0.0.1:", "open connections", "<noscript>"] {
        assert!(english.text().contains(part), "{part} is not in\n{}", english.text());
    }
    assert!(page("/?lang=zh-CN", "en").await.text().contains("<html lang=\"zh-CN\">"), "the switch");
    assert!(page("/?lang=en", "zh").await.text().contains("<html lang=\"en\">"), "the switch");

    let policy = english.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(english.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(english.field("referrer-policy"), Some("no-referrer"));
}

#[tokio::test]
async fn what_went_wrong_is_said_in_the_language_of_the_page_and_in_english_to_programs() {
    let panel = Upstream::panel().await;
    let (http, nobody) = (free_port(), free_port());
    let settings = Settings::panel(panel.url())
        .set("http", "listen", vec![format!("127.0.0.1:{http}")])
        .set("ip_cert", "ip", "127.0.0.1")
        .set("ip_cert", "directory", format!("https://127.0.0.1:{nobody}/dir"));
    let door = Doorman::start(&settings).await;

    let status = door.until("a failure", ISSUE, |status| status["failures"] == 1).await;

    let english = format!("the CA cannot be used now: 127.0.0.1:{nobody} cannot be reached: ");
    assert!(status["last_error"].as_str().unwrap().starts_with(&english), "{status:#}");
    assert!(status["history"][0]["error"].as_str().unwrap().starts_with(&english), "{status:#}");
    let chinese = format!("现在无法使用 CA：无法连接 127.0.0.1:{nobody}：");
    let page = door.admin("GET", "/?lang=zh-CN").await;
    assert_eq!(page.text().matches(&chinese).count(), 2, "why, and in the history: {}", page.text());
    for english in ["cannot", "does this machine", "held by"] {
        assert!(!page.text().contains(english), "{english}: {}", page.text());
    }
    let page = door.admin("GET", "/?lang=en").await;
    assert_eq!(page.text().matches(&english).count(), 2, "{}", page.text());
}

#[tokio::test]
async fn the_renewals_of_the_past_survive_a_restart_and_failures_of_a_kind_are_one_line() {
    let panel = Upstream::panel().await;
    let http = free_port();
    let mut pebble = Pebble::start(Terms::quick(http)).await;
    let settings = Settings::panel(panel.url())
        .set("http", "listen", vec![format!("127.0.0.1:{http}")])
        .certificate(&pebble, &["127.0.0.1"]);
    let mut door = Doorman::start(&settings).await;
    door.reaches("valid", ISSUE).await;
    pebble.stop();
    for failures in 1..=2 {
        door.command(&["renew", "--force"]).await;
        door.until("a failure", ISSUE, |status| status["failures"] == failures).await;
    }
    let told = |status: &Value| {
        let history = status["history"].as_array().unwrap();
        let lines = history
            .iter()
            .map(|past| (past["outcome"].clone(), past["tries"].clone(), past["class"].clone()));
        lines.collect::<Vec<_>>()
    };
    let before = told(&door.status().await);
    let (renewed, failed) = ("renewed".into(), "failed".into());
    assert_eq!(before, [(failed, 2.into(), "network".into()), (renewed, 1.into(), Value::Null)]);
    let page = door.admin("GET", "/?lang=en").await;
    assert!(page.text().contains("2 tries") && page.text().contains("no way to the CA"), "{}", page.text());
    let metrics = door.admin("GET", "/metrics").await;
    assert!(
        metrics.text().contains("doorman_renewal_failures_total{class=\"network\"} 2\n"),
        "{}",
        metrics.text()
    );

    door.process.kill();
    door.start_again().await;
    let after =
        door.until("the history", ISSUE, |status| !status["history"].as_array().unwrap().is_empty()).await;
    assert_eq!(told(&after)[told(&after).len() - 2..], before);
}

/// What a browser saw, view by view; all eight where none is named.
pub(super) async fn looked(url: &str, pictures: &Path, views: &[&str]) -> Vec<Value> {
    let mut script = peer::script("admin_page.mjs");
    let mut browser = Process::start("admin_page.mjs", script.arg(url).arg(pictures).args(views));
    assert!(browser.ended(LOOK).await.success(), "{:#?}", browser.log());
    let lines = browser.log();
    lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Nothing is refused, fetched from elsewhere, cut off, or hard to read.
pub(super) fn sound(view: &Value, own: &str) {
    let name = format!("{} {} {}", view["language"], view["scheme"], view["device"]);
    assert_eq!(view["lang"], view["language"], "{name}");
    assert_eq!(view["violations"], serde_json::json!([]), "{name}");
    assert_eq!(view["complaints"], serde_json::json!([]), "{name}");
    let asked = view["asked"].as_array().unwrap();
    assert!(asked.len() >= 2, "the page has looked again: {name} {asked:?}");
    assert!(asked.iter().all(|url| url == own || url == "data:,"), "{name} {asked:?}");
    assert_eq!(view["overflow"], 0, "{name}");
    assert_eq!(view["broken"], serde_json::json!([]), "{name}: short words that are cut");
    assert_eq!(view["unnamed"], 0, "{name}");
    assert!(
        view["contrast"].as_f64().unwrap() >= CONTRAST,
        "{name}: {} {}",
        view["contrast"],
        view["weakest"]
    );
    let picture = std::fs::metadata(view["picture"].as_str().unwrap()).unwrap();
    assert!(picture.len() > 10_000, "{name}");
}
