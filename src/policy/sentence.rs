//! What people read, in each of the languages that doorman speaks.

use std::fmt;

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

    /// Words of somebody else, which are not translated.
    pub fn quoted(words: impl Into<String>) -> Self {
        let words = words.into();
        Self { en: words.clone(), zh_cn: words }
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

impl From<Written> for Sentence {
    fn from(written: Written) -> Self {
        match written {
            Written::English(words) => Self::quoted(words),
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
    fn two_are_joined_as_each_language_does() {
        let both = Sentence::new("a", "甲").and(&Sentence::new("b", "乙"));
        assert_eq!((both.english(), both.in_language(Language::Chinese)), ("a; b", "甲；乙"));
        assert_eq!(Sentence::default().and(&both), both);
    }
}
