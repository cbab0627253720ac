//! Whether Xray's inbounds present the certificate, and whether each can follow a new one.

use std::fs;

use procfs::process::Process;
use serde_json::Value;

use super::Machine;
use super::daemon::words;
use crate::control::xray::examine;
use crate::machine::sockets;
use crate::policy::finding::{About, Finding, Level};
use crate::policy::sentence::Sentence;

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
            (entries, words(status, "xray_note"))
        }
        None => {
            let examined = examine(config).unwrap_or_default();
            let entries = examined.entries.iter().filter_map(|entry| serde_json::to_value(entry).ok());
            (entries.collect(), examined.note)
        }
    };
    let mut found: Vec<_> = note.into_iter().map(whole).collect();
    found.extend(entries.iter().map(inbound));
    let sockets = sockets::listening().unwrap_or_default();
    let user = user(machine);
    let joins = |port: u16| {
        let mut there = sockets.iter().filter(|socket| socket.address.port() == port).peekable();
        there.peek().is_some() && there.all(|socket| Some(socket.uid) == user)
    };
    found
        .extend(fs::read_to_string(HANDED_OVER).ok().and_then(|value| resets(&entries, value.trim(), joins)));
    if found.is_empty() {
        let finding = Sentence::new(
            "no inbound of an Xray that is known here uses this certificate",
            "没有发现使用本证书的 Xray 入站",
        );
        found.push(Finding::fine(About::Xray, finding));
    }
    found
}

fn whole(note: Sentence) -> Finding {
    let remedy = Sentence::new(
        "start Xray, or set xray.api to where its API listens, and xray.config to the file that the panel writes",
        "请启动 Xray；或把 xray.api 设为其 API 的监听地址，把 xray.config 设为面板写出的配置文件",
    );
    Finding::warning(About::Xray, note, remedy)
}

/// Whose the daemon is, or will be if this command's user starts it.
fn user(machine: &Machine) -> Option<u32> {
    match machine.status().and_then(|status| status["pid"].as_i64()) {
        // The owner of its directory in /proc is root where it has a capability.
        Some(pid) => Some(Process::new(i32::try_from(pid).ok()?).and_then(|it| it.status()).ok()?.euid),
        None => Some(rustix::process::geteuid().as_raw()),
    }
}

/// Where an inbound is going to be made anew, its listener closes, and what waits for it is reset unless the kernel may
/// hand it to the next one, or doorman `joins` the listeners of that port.
fn resets(entries: &[Value], handed_over: &str, joins: impl Fn(u16) -> bool) -> Option<Finding> {
    let mut made_anew = entries.iter().filter(|entry| entry["audit"]["by_itself"] == false);
    let alone = made_anew.any(|entry| !port(entry).is_some_and(&joins));
    (alone && handed_over == "0").then(|| {
        let finding = Sentence::new(
            "while an inbound is made anew over Xray's API, a connection that is just being made may be reset: \
             doorman and Xray are not the same user, and net.ipv4.tcp_migrate_req is 0",
            "通过 Xray 的 API 更换入站证书的瞬间，个别正在建立的连接可能被内核重置：doorman 与 Xray 不是同一用户，\
             且 net.ipv4.tcp_migrate_req 为 0",
        );
        let remedy =
            "echo net.ipv4.tcp_migrate_req=1 | sudo tee /etc/sysctl.d/60-doorman.conf && sudo sysctl --system";
        Finding::warning(About::Xray, finding, Sentence::same(remedy))
    })
}

/// The first of an inbound.
fn port(entry: &Value) -> Option<u16> {
    let (_, ports) = entry["address"].as_str()?.rsplit_once(':')?;
    ports.split(['-', ',']).next()?.parse().ok()
}

fn inbound(entry: &Value) -> Finding {
    let said = |key: &str| entry[key].as_str().unwrap_or("?");
    let audit = &entry["audit"];
    let (tag, address, transport, serves) = (said("tag"), said("address"), said("transport"), said("serves"));
    let mut finding = Sentence::new(
        format!("{tag} on {address} ({transport}) is {serves}"),
        format!("{address} 上的 {tag}（{transport}）：{}", serves_in_chinese(serves)),
    );
    if !audit.is_null() {
        let follows = |language: &str| audit["follows"][language].as_str().unwrap_or("?").to_owned();
        finding = finding
            .and(&Sentence::new(both(&follows("en"), &follows("zh-CN")), follows("zh-CN")))
            .and(&settings(audit));
    }
    let advice = advice(entry);
    let level = level(entry, advice.is_some());
    if level != Level::Fine {
        finding = finding.and(&words(entry, "detail").unwrap_or_default());
    }
    Finding { about: About::Xray, level, finding, remedy: advice }
}

fn serves_in_chinese(serves: &str) -> &str {
    match serves {
        "current" => "新证书",
        "stale" => "旧证书",
        _ => "未知",
    }
}

/// On the machine itself it is said in both languages: what is to be changed stands in the panel's pages.
fn both(en: &str, zh_cn: &str) -> String {
    format!("{en}. {zh_cn}")
}

/// What its settings say, in Xray's own words.
fn settings(audit: &Value) -> Sentence {
    let says = |key: &str| audit[key] == true;
    let (source, from) =
        if says("inline") { ("in the settings", "写在设置里") } else { ("in files", "来自文件") };
    let (readable, may) = match audit["readable"].as_bool() {
        Some(true) => (", readable by Xray's user", "，运行 Xray 的用户可读"),
        Some(false) => (", NOT readable by Xray's user", "，运行 Xray 的用户不可读"),
        None => ("", ""),
    };
    let (position, certificates) = (&audit["position"], &audit["certificates"]);
    let seconds = &audit["interval_seconds"];
    let others = format!(
        "usage {}, rejectUnknownSni {}",
        audit["usage"].as_str().unwrap_or("?"),
        says("reject_unknown_sni")
    );
    let once = says("one_time_loading");
    Sentence::new(
        format!(
            "certificate {position} of {certificates}, {source}{readable}, oneTimeLoading {once}, looked at every \
             {seconds} s, {others}"
        ),
        format!(
            "第 {position} 份证书（共 {certificates} 份），{from}{may}，oneTimeLoading {once}，每 {seconds} 秒检查一次，{others}"
        ),
    )
}

/// What to change, and what to do now.
fn advice(entry: &Value) -> Option<Sentence> {
    let texts = [&entry["audit"]["remedy"], &entry["advice"]].into_iter();
    let texts = texts.filter_map(|text| {
        let (en, zh_cn) = (text["en"].as_str()?, text["zh-CN"].as_str()?);
        Some(Sentence::new(both(en, zh_cn), zh_cn))
    });
    texts.reduce(|remedy, advice| remedy.and(&advice))
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
    use crate::config::Language;

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
            "in-443 on 0.0.0.0:443 (ws) is current; cannot. 不能; ",
            "certificate 2 of 3, in files, NOT readable",
            "oneTimeLoading true",
            "every 3600 s",
            "usage encipherment",
            "rejectUnknownSni true",
        ] {
            assert!(finding.finding.english().contains(part), "{part:?} is not in {finding:?}");
        }
        assert_eq!(finding.remedy.as_ref().map(Sentence::english), Some("move it. 移动"));
        assert_eq!(finding.remedy.unwrap().in_language(Language::Chinese), "移动", "a chat has one language");
        assert_eq!(finding.level, Level::Warning);
    }

    #[test]
    fn what_the_kernel_resets_is_said_where_an_inbound_is_going_to_be_made_anew() {
        let (follows, cannot) = (entry("current", true, &Value::Null), entry("current", false, &Value::Null));
        let (joins, may_not_join) = (|port| port == 443, |_| false);
        assert_eq!(resets(std::slice::from_ref(&follows), "0", may_not_join), None);
        assert_eq!(resets(&[follows.clone(), cannot.clone()], "1", may_not_join), None);
        assert_eq!(resets(&[follows.clone(), cannot.clone()], "0", joins), None);
        let finding = resets(&[follows, cannot], "0", may_not_join).unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.remedy.unwrap().english().contains("net.ipv4.tcp_migrate_req=1"));
    }

    #[test]
    fn what_to_do_now_stands_behind_what_to_change() {
        let mut stuck = entry("stale", false, &json!({"en": "move it", "zh-CN": "移动"}));
        stuck["advice"] = json!({"en": "save it", "zh-CN": "保存"});
        assert_eq!(
            inbound(&stuck).remedy.as_ref().map(Sentence::english),
            Some("move it. 移动; save it. 保存")
        );
        stuck["audit"]["remedy"] = Value::Null;
        assert_eq!(inbound(&stuck).remedy.as_ref().map(Sentence::english), Some("save it. 保存"));
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
