//! What `status` and `doctor` say beside what the daemon says, in the language that the environment asks for.

use std::env;

use crate::config::Language;
use crate::policy::finding::Level;

/// The words of one language.
pub(super) struct Words {
    pub(super) state: &'static str,
    pub(super) certificate: &'static str,
    pub(super) none_yet: &'static str,
    pub(super) next_renewal: &'static str,
    pub(super) failures: &'static str,
    pub(super) in_a_row: fn(u64) -> String,
    pub(super) last_error: &'static str,
    pub(super) also_wrong: &'static str,
    pub(super) alert: &'static str,
    pub(super) told: fn(&str, &str) -> String,
    pub(super) listener: &'static str,
    pub(super) held_by: &'static str,
    pub(super) joined_by: &'static str,
    pub(super) a_program: &'static str,
    pub(super) user: &'static str,
    pub(super) inbound: &'static str,
    pub(super) alerts: &'static str,
    pub(super) waiting_for: fn(u64, &str, &str) -> String,
    pub(super) issuer: &'static str,
    pub(super) good_until: &'static str,
    pub(super) local_ca: &'static str,
    pub(super) since: fn(&str, u64, &str) -> String,
    pub(super) ahead: fn(&str) -> String,
    pub(super) ago: fn(&str) -> String,
    pub(super) comma: &'static str,
    pub(super) colon: &'static str,
    pub(super) full_stop: &'static str,
    /// How good a finding is, the best first.
    levels: [&'static str; 3],
    /// Every word that the daemon's JSON has for a state, where it is another one.
    states: &'static [(&'static str, &'static str)],
}

const ENGLISH: Words = Words {
    state: "state",
    certificate: "certificate",
    none_yet: "none yet",
    next_renewal: "next renewal",
    failures: "failures",
    in_a_row: |count| format!("{count} in a row"),
    last_error: "last error",
    also_wrong: "also wrong",
    alert: "alert",
    told: |alert, since| format!("{alert}, told {since}"),
    listener: "listener",
    held_by: "held by ",
    joined_by: "joined by ",
    a_program: "a program",
    user: "user ",
    inbound: "inbound",
    alerts: "alerts",
    waiting_for: |count, channel, error| format!("{count} waiting for {channel}: {error}"),
    issuer: "issuer",
    good_until: "good until",
    local_ca: "local CA",
    since: |version, pid, since| format!("{version}, pid {pid}, since {since}"),
    ahead: |span| format!("in {span}"),
    ago: |span| format!("{span} ago"),
    comma: ", ",
    colon: ": ",
    full_stop: ".",
    levels: ["fine", "warning", "broken"],
    states: &[],
};

const CHINESE: Words = Words {
    state: "状态",
    certificate: "证书",
    none_yet: "尚无",
    next_renewal: "下次续期",
    failures: "失败",
    in_a_row: |count| format!("连续 {count} 次"),
    last_error: "最近的错误",
    also_wrong: "其他问题",
    alert: "告警",
    told: |alert, since| format!("{alert}，告知于 {since}"),
    listener: "监听",
    held_by: "占用者：",
    joined_by: "同时在监听：",
    a_program: "某个程序",
    user: "用户 ",
    inbound: "入站",
    alerts: "未送达告警",
    waiting_for: |count, channel, error| format!("{count} 条，发往 {channel}：“{error}”"),
    issuer: "签发者",
    good_until: "有效期至",
    local_ca: "本地 CA",
    since: |version, pid, since| format!("{version}，pid {pid}，启动于 {since}"),
    ahead: |span| format!("{span}后"),
    ago: |span| format!("{span}前"),
    comma: "，",
    colon: "：",
    full_stop: "。",
    levels: ["正常", "注意", "故障"],
    states: &[
        ("valid", "有效"),
        ("renewing", "续期中"),
        ("failed", "续期失败"),
        ("critical", "即将过期"),
        ("expired", "已过期"),
        ("disabled", "未启用"),
        ("listening", "监听中"),
        ("waiting", "等待中"),
        ("current", "新证书"),
        ("stale", "旧证书"),
        ("unknown", "未知"),
    ],
};

impl Words {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }

    /// How good a finding is.
    pub(super) fn level(&self, level: Level) -> &'static str {
        let [fine, warning, broken] = self.levels;
        match level {
            Level::Fine => fine,
            Level::Warning => warning,
            Level::Broken => broken,
        }
    }

    /// A state, as people call it.
    pub(super) fn state_in_words(&self, state: &str) -> String {
        let own = self.states.iter().find(|(key, _)| *key == state);
        own.map_or(state, |(_, word)| word).to_owned()
    }
}

/// What the environment asks for, as locale(7) has it; English where it asks for nothing that we speak, or for
/// characters in another encoding than ours.
pub(super) fn language() -> Language {
    asked_for(["LC_ALL", "LC_MESSAGES", "LANG"].map(|name| env::var(name).ok()))
}

fn asked_for(wishes: [Option<String>; 3]) -> Language {
    let wish = wishes.into_iter().flatten().find(|wish| !wish.is_empty()).unwrap_or_default();
    let encoding = wish.split('@').next().and_then(|wish| wish.split_once('.')).map(|(_, encoding)| encoding);
    let readable = encoding.is_none_or(|it| it.to_ascii_lowercase().replace('-', "") == "utf8");
    Language::of_tag(&wish).filter(|_| readable).unwrap_or(Language::English)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wish_that_is_set_counts() {
        let asked = |wishes: [&str; 3]| asked_for(wishes.map(|wish| Some(wish.to_owned())));
        for wishes in [
            ["zh_CN.UTF-8", "", "en_US.UTF-8"],
            ["", "zh_CN.utf8", "C"],
            ["", "", "zh_CN"],
            ["", "", "zh_TW.UTF-8@radical"],
        ] {
            assert_eq!(asked(wishes), Language::Chinese, "{wishes:?}");
        }
        for wishes in [
            ["C", "zh_CN.UTF-8", "zh_CN.UTF-8"],
            ["", "", "zh_CN.GB18030"],
            ["", "", "fr_FR.UTF-8"],
            ["", "", ""],
        ] {
            assert_eq!(asked(wishes), Language::English, "{wishes:?}");
        }
        assert_eq!(asked_for([None, None, Some("zh_CN.UTF-8".to_owned())]), Language::Chinese);
    }
}
