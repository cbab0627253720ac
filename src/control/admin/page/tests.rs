use std::collections::BTreeMap;

use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::control::admin::status::{Life, OpenAlert, Renewed};
use crate::control::board::Outcome;
use crate::control::history::Past;
use crate::policy::alert::Kind;
use crate::policy::failure::Class;
use crate::policy::lifecycle::Word;
use crate::policy::occupant::Occupant;
use crate::policy::sentence::Sentence;
use crate::shared::listeners::{self, Listener, State};

const NOW: OffsetDateTime = datetime!(2026-01-02 00:00 UTC);
const HOSTILE: &str = "</td></main><script>alert(\"1\")</script><img src=x onerror='y'>";

fn status() -> Status {
    Status {
        version: "0",
        pid: 1,
        started_at: NOW,
        state: Word::Failed,
        certificate: None,
        next_renewal_at: Some(NOW + Duration::minutes(200)),
        failures: 1,
        last_error: Some(HOSTILE.to_owned()),
        last_error_words: Some(Sentence::new(HOSTILE, format!("汉{HOSTILE}"))),
        last_error_class: None,
        local_ca_sha256: None,
        listeners: vec![Listener {
            address: "192.0.2.1:80".parse().unwrap(),
            kind: listeners::Kind::Http,
            state: State::Waiting,
            detail: None,
            detail_words: None,
            holder: Some(listeners::Holder {
                pid: Some(7),
                program: Some(HOSTILE.to_owned()),
                command: None,
                unit: Some(HOSTILE.to_owned()),
                user: None,
                kind: Occupant::Other,
            }),
            joined: None,
            remedy: None,
            remedy_words: None,
        }],
        xray: Vec::new(),
        xray_note: None,
        xray_note_words: None,
        renewal: None,
        life: Some(Life {
            issued_at: NOW - Duration::hours(80),
            window_start: None,
            window_end: None,
            planned_at: None,
            threshold_at: NOW + Duration::hours(8),
            critical_at: NOW + Duration::hours(56),
            expires_at: NOW + Duration::hours(80),
        }),
        open_alerts: vec![OpenAlert { alert: Kind::RenewalFailing, severity: "warning", told_at: NOW }],
        history: vec![Renewed::of(&Past {
            began_at: NOW,
            ended_at: NOW,
            outcome: Outcome::Failed,
            tries: 7,
            class: Some(Class::Network),
            error: Some(Sentence::new(HOSTILE, "不通")),
            not_after: None,
        })],
        troubles: Vec::new(),
        alerts: crate::control::admin::status::Alerts { pending: 0, channels: Vec::new() },
        renewals: 0,
        failed_renewals: BTreeMap::new(),
        now: NOW,
    }
}

fn shown(language: Language) -> String {
    let (status, traffic) = (status(), Traffic::default());
    let scene = Scene { status: &status, traffic: &traffic, connections: 0, tunnels: 0, challenges: 0 };
    html(&scene, language)
}

#[test]
fn what_others_say_is_text_and_not_markup() {
    let page = shown(Language::English);
    let shown =
        page.matches("&lt;/td&gt;&lt;/main&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;").count();
    assert_eq!(shown, 4, "the last error, the holder's program and unit, and the history: {page}");
    assert_eq!(page.matches("<script").count(), 1, "its own");
    assert!(!page.contains("<img") && !page.contains("alert(\"1\")"));
}

#[test]
fn a_hostile_inbound_is_text_too() {
    let inbound = json!([{
        "tag": HOSTILE, "address": HOSTILE, "transport": HOSTILE, "serves": HOSTILE, "detail": HOSTILE,
        "detail_words": { "en": HOSTILE, "zh-CN": "旧证书在用" },
    }]);
    let mut page = Html::new();
    sections::inbounds(&mut page, words::of(Language::English), (&inbound, Some(HOSTILE)));
    let page = page.finish();
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert_eq!(
        page.matches("&lt;script&gt;").count(),
        5,
        "all but what it serves, which is one of three words: {page}"
    );
    assert!(page.contains("<span class=\"word unknown\">unknown</span>"), "{page}");
    let mut page = Html::new();
    sections::inbounds(&mut page, words::of(Language::Chinese), (&inbound, None));
    assert!(
        page.finish().contains("</td><td>旧证书在用</td>"),
        "what was seen is said in the page's language"
    );
}

#[test]
fn it_speaks_the_language_that_it_says() {
    let english = shown(Language::English);
    for part in ["<html lang=\"en\">", ">failed</h1>", "in 3 h 20 min", "7 tries", "no way to the CA"] {
        assert!(english.contains(part), "{part}");
    }
    let chinese = shown(Language::Chinese);
    for part in [
        "<html lang=\"zh-CN\">",
        ">续期失败</h1>",
        "3 小时 20 分钟后",
        "共 7 次",
        "证书续期连续失败",
        ">不通<",
        "</b> 汉&lt;",
    ] {
        assert!(chinese.contains(part), "{part}");
    }
    let main = |page: &str| page.split("<main>").nth(1).unwrap().split("</main>").next().unwrap().to_owned();
    let visible = main(&chinese).replace(&escaped_hostile(), "");
    for word in ["Renewals", "Requests", "Issued", "Expiry", "Ports", "waiting"] {
        assert!(!visible.contains(&format!(">{word}<")), "{word} is English");
    }
}

fn escaped_hostile() -> String {
    Html::new().text(HOSTILE).finish()
}

#[test]
fn the_policy_lets_nothing_in_but_the_pages_own() {
    let policy = CONTENT_SECURITY_POLICY.as_str();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(!policy.contains("unsafe") && !policy.contains("http"));
    let page = shown(Language::English);
    for outside in ["src=\"", "url(", "@import", "style=\"", " onclick", "//"] {
        let own = page.replace(SCRIPT, "");
        assert!(!own.contains(outside), "{outside} in the page");
    }
}
