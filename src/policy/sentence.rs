//! What people read, in each of the languages that doorman speaks.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Language;

/// A sentence or a few, the same in every language. The log has it in English.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Sentence {
    en: String,
    #[serde(rename = "zh-CN")]
    zh_cn: String,
}

/// As it may stand in a file: earlier versions knew English only.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    English(String),
    Each {
        en: String,
        #[serde(rename = "zh-CN")]
        zh_cn: String,
    },
}

impl Sentence {
    /// In each language.
    pub fn new(en: impl Into<String>, zh_cn: impl Into<String>) -> Self {
        Self { en: en.into(), zh_cn: zh_cn.into() }
    }

    /// The same in every language: a command, a name, a number.
    pub fn same(words: impl Into<String>) -> Self {
        let words = words.into();
        Self { en: words.clone(), zh_cn: words }
    }

    /// English words of somebody else, which are not translated: other languages have them as a quotation.
    pub fn quoted(words: impl Into<String>) -> Self {
        let en = words.into();
        Self { zh_cn: quotation(&en), en }
    }

    /// As `language` has it.
    #[must_use]
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::English => &self.en,
            Language::Chinese => &self.zh_cn,
        }
    }

    /// As logs and programs get it.
    #[must_use]
    pub fn english(&self) -> &str {
        &self.en
    }

    /// Changed in each language.
    #[must_use]
    pub fn map(self, change: impl Fn(String) -> String) -> Self {
        Self { en: change(self.en), zh_cn: change(self.zh_cn) }
    }

    /// This and another one, with what each language puts between them.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (text, between, more) in [(&mut self.en, "; ", &other.en), (&mut self.zh_cn, "；", &other.zh_cn)]
        {
            if !text.is_empty() && !more.is_empty() {
                text.push_str(between);
            }
            text.push_str(more);
        }
        self
    }
}

/// A duration in its two largest units, without one that is zero: `3 h`, `6 d 16 h`, `1 min 59 s`.
#[must_use]
pub fn roughly(span: Duration) -> Sentence {
    told(span, Finest::Second)
}

/// The same for what need not be so exact: seconds only where there are no minutes.
#[must_use]
pub fn to_the_minute(span: Duration) -> Sentence {
    told(span, Finest::Minute)
}

/// English words in a Chinese sentence. Without any there is nothing to quote.
#[must_use]
pub fn quotation(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("“{words}”") }
}

/// The unit that comes behind minutes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finest {
    Second,
    Minute,
}

fn told(span: Duration, finest: Finest) -> Sentence {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let odd = if finest == Finest::Second { seconds % 60 } else { 0 };
    let units = [("d", "天"), ("h", "小时"), ("min", "分钟"), ("s", "秒")];
    let two = match (days, hours, minutes) {
        (0, 0, 0) => [(seconds, units[3]), (0, units[3])],
        (0, 0, minutes) => [(minutes, units[2]), (odd, units[3])],
        (0, hours, minutes) => [(hours, units[1]), (minutes, units[2])],
        (days, hours, _) => [(days, units[0]), (hours, units[1])],
    };
    let some = two.iter().enumerate().filter(|(index, (count, _))| *index == 0 || *count > 0);
    let (en, zh_cn): (Vec<_>, Vec<_>) =
        some.map(|(_, (count, (en, zh_cn)))| (format!("{count} {en}"), format!("{count} {zh_cn}"))).unzip();
    Sentence::new(en.join(" "), zh_cn.join(" "))
}

impl From<Written> for Sentence {
    fn from(written: Written) -> Self {
        match written {
            Written::English(words) => Self::same(words),
            Written::Each { en, zh_cn } => Self { en, zh_cn },
        }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_in_each_language_and_what_an_earlier_version_kept_is_read() {
        let sentence = Sentence::new("no room", "没有空间");
        let kept = serde_json::to_string(&sentence).unwrap();
        assert_eq!(serde_json::from_str::<Sentence>(&kept).unwrap(), sentence);
        let before: Sentence = serde_json::from_str("\"no room\"").unwrap();
        assert_eq!(before.in_language(Language::Chinese), "no room");
    }

    #[test]
    fn a_duration_is_told_in_its_two_largest_units_in_each_language() {
        for (seconds, en, zh_cn) in [
            (0, "0 s", "0 秒"),
            (7, "7 s", "7 秒"),
            (60, "1 min", "1 分钟"),
            (119, "1 min 59 s", "1 分钟 59 秒"),
            (3 * 3600 + 59, "3 h", "3 小时"),
            (3 * 3600 + 1200, "3 h 20 min", "3 小时 20 分钟"),
            (160 * 3600, "6 d 16 h", "6 天 16 小时"),
            (5 * 86_400 + 60, "5 d", "5 天"),
        ] {
            let told = roughly(Duration::from_secs(seconds));
            assert_eq!((told.english(), told.in_language(Language::Chinese)), (en, zh_cn));
        }
        assert_eq!(to_the_minute(Duration::from_secs(119)).english(), "1 min");
        assert_eq!(to_the_minute(Duration::from_secs(59)).in_language(Language::Chinese), "59 秒");
    }

    #[test]
    fn words_of_others_are_marked_where_they_are_foreign() {
        let said = Sentence::quoted("connection refused");
        assert_eq!(said.in_language(Language::Chinese), "“connection refused”");
        assert_eq!(said.english(), "connection refused");
        assert_eq!(Sentence::same("df -h").in_language(Language::Chinese), "df -h");
    }

    #[test]
    fn two_are_joined_as_each_language_does() {
        let both = Sentence::new("a", "甲").and(&Sentence::new("b", "乙"));
        assert_eq!((both.english(), both.in_language(Language::Chinese)), ("a; b", "甲；乙"));
        assert_eq!(Sentence::default().and(&both), both);
    }
}
