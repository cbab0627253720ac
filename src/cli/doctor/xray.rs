//! Whether Xray's inbounds present the certificate, and whether each can follow a new one.

use std::fs;

use serde_json::Value;

use super::{Finding, Level, Machine};
use crate::control::xray::examine;

const ABOUT: &str = "xray";

/// Whether a connection that waits for a listener goes to another one of that port when the first closes
/// (networking/ip-sysctl); absent before Linux 5.14.
const HANDED_OVER: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(config) = machine.config().filter(|config| config.ip_cert.is_some()) else {
        return Vec::new(); // there is no certificate that Xray could present
    };
    let (entries, note) = match machine.status() {
        Some(status) => {
            let entries = status["xray"].as_array().cloned().unwrap_or_default();
            (entries, status["xray_note"].as_str().map(ToOwned::to_owned))
        }
        None => {
            let examined = examine(config).unwrap_or_default();
            let entries = examined.entries.iter().filter_map(|entry| serde_json::to_value(entry).ok());
            (entries.collect(), examined.note)
        }
    };
    let mut found: Vec<_> = note.into_iter().map(whole).collect();
    found.extend(entries.iter().map(inbound));
    found.extend(fs::read_to_string(HANDED_OVER).ok().and_then(|value| resets(&entries, value.trim())));
    if found.is_empty() {
        found.push(Finding::fine(ABOUT, "no inbound of an Xray that is known here uses this certificate"));
    }
    found
}

fn whole(note: String) -> Finding {
    let remedy = "start Xray, or set xray.api to where its API listens, and xray.config to the file that the panel writes";
    Finding::warning(ABOUT, note, remedy)
}

/// Where an inbound is going to be made anew, its listener closes, and what waits for it is reset unless the kernel may
/// hand it to the next one.
fn resets(entries: &[Value], handed_over: &str) -> Option<Finding> {
    let made_anew = entries.iter().any(|entry| entry["audit"]["by_itself"] == false);
    (made_anew && handed_over == "0").then(|| {
        let finding = "while an inbound is made anew over Xray's API, a connection that is just being made may be \
                       reset: net.ipv4.tcp_migrate_req is 0";
        let remedy = "echo net.ipv4.tcp_migrate_req=1 | sudo tee /etc/sysctl.d/60-doorman.conf && sudo sysctl \
                      --system. 通过 Xray 的 API 更换入站证书的瞬间，个别正在建立的连接可能被内核重置；上述命令可以避免";
        Finding::warning(ABOUT, finding, remedy)
    })
}

fn inbound(entry: &Value) -> Finding {
    let said = |key: &str| entry[key].as_str().unwrap_or("?");
    let audit = &entry["audit"];
    let mut finding =
        format!("{} on {} ({}) is {}", said("tag"), said("address"), said("transport"), said("serves"));
    if !audit.is_null() {
        finding.push_str(&format!(
            "; {}. {}; {}",
            audit["follows"]["en"].as_str().unwrap_or("?"),
            audit["follows"]["zh-CN"].as_str().unwrap_or("?"),
            settings(audit)
        ));
    }
    let advice = advice(entry);
    let level = level(entry, advice.is_some());
    if level != Level::Fine {
        finding.push_str(&format!("; {}", said("detail")));
    }
    Finding { about: ABOUT, level, finding, remedy: advice }
}

/// What its settings say, in Xray's own words.
fn settings(audit: &Value) -> String {
    let says = |key: &str| audit[key] == true;
    let source = if says("inline") { "in the settings" } else { "in files" };
    let readable = match audit["readable"].as_bool() {
        Some(true) => ", readable by Xray's user",
        Some(false) => ", NOT readable by Xray's user",
        None => "",
    };
    format!(
        "certificate {} of {}, {source}{readable}, oneTimeLoading {}, looked at every {} s, usage {}, \
         rejectUnknownSni {}",
        audit["position"],
        audit["certificates"],
        says("one_time_loading"),
        audit["interval_seconds"],
        audit["usage"].as_str().unwrap_or("?"),
        says("reject_unknown_sni"),
    )
}

/// What to change, and what to do now, in both languages.
fn advice(entry: &Value) -> Option<String> {
    let texts = [&entry["audit"]["remedy"], &entry["advice"]];
    let both =
        texts.iter().filter_map(|it| Some(format!("{}. {}", it["en"].as_str()?, it["zh-CN"].as_str()?)));
    both.reduce(|remedy, advice| format!("{remedy}; {advice}"))
}

/// What only is to be waited for, or cannot be looked at, is no fault.
fn level(entry: &Value, can_be_better: bool) -> Level {
    let follows = entry["audit"]["by_itself"].as_bool().unwrap_or(true);
    match entry["serves"].as_str() {
        Some("stale") if entry["due_at"].is_null() && can_be_better => Level::Broken,
        Some("stale") => Level::Warning,
        _ if !follows => Level::Warning,
        _ => Level::Fine,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(serves: &str, by_itself: bool, remedy: &Value) -> Value {
        json!({
            "tag": "in-443", "address": "0.0.0.0:443", "transport": "ws", "serves": serves, "due_at": null,
            "detail": "port 443 presents another certificate",
            "audit": {
                "position": 2, "certificates": 3, "inline": false, "one_time_loading": true, "by_itself": by_itself,
                "interval_seconds": 3600, "usage": "encipherment", "reject_unknown_sni": true, "readable": false,
                "follows": {"en": "cannot", "zh-CN": "不能"}, "remedy": remedy,
            },
        })
    }

    #[test]
    fn everything_that_matters_is_said_in_both_languages() {
        let finding = inbound(&entry("current", false, &json!({"en": "move it", "zh-CN": "移动"})));
        for part in [
            "in-443 on 0.0.0.0:443 (ws) is current",
            "cannot. 不能",
            "certificate 2 of 3, in files, NOT readable",
            "oneTimeLoading true",
            "every 3600 s",
            "usage encipherment",
            "rejectUnknownSni true",
        ] {
            assert!(finding.finding.contains(part), "{part:?} is not in {finding:?}");
        }
        assert_eq!(finding.remedy.as_deref(), Some("move it. 移动"));
        assert_eq!(finding.level, Level::Warning);
    }

    #[test]
    fn what_the_kernel_resets_is_said_where_an_inbound_is_going_to_be_made_anew() {
        let (follows, cannot) = (entry("current", true, &Value::Null), entry("current", false, &Value::Null));
        assert_eq!(resets(std::slice::from_ref(&follows), "0"), None);
        assert_eq!(resets(&[follows.clone(), cannot.clone()], "1"), None);
        let finding = resets(&[follows, cannot], "0").unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.remedy.unwrap().contains("net.ipv4.tcp_migrate_req=1"));
    }

    #[test]
    fn what_to_do_now_stands_behind_what_to_change() {
        let mut stuck = entry("stale", false, &json!({"en": "move it", "zh-CN": "移动"}));
        stuck["advice"] = json!({"en": "save it", "zh-CN": "保存"});
        assert_eq!(inbound(&stuck).remedy.as_deref(), Some("move it. 移动; save it. 保存"));
        stuck["audit"]["remedy"] = Value::Null;
        assert_eq!(inbound(&stuck).remedy.as_deref(), Some("save it. 保存"));
    }

    #[test]
    fn what_follows_by_itself_is_fine_and_what_stays_stale_is_not() {
        let faster = json!({"en": "faster", "zh-CN": "更快"});
        assert_eq!(inbound(&entry("current", true, &faster)).level, Level::Fine);
        assert_eq!(inbound(&entry("unknown", true, &Value::Null)).level, Level::Fine);
        assert_eq!(inbound(&entry("stale", false, &faster)).level, Level::Broken);
        let mut waiting = entry("stale", true, &faster);
        waiting["due_at"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(inbound(&waiting).level, Level::Warning);
        let probed =
            json!({"tag": "xray.probe", "address": "127.0.0.1:1", "serves": "current", "audit": null});
        assert_eq!(inbound(&probed).level, Level::Fine);
    }
}
