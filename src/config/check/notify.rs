//! Who is told: `[telegram]` and `[webhook]`.

use super::field::Field;
use super::secret;
use super::section::Section;
use crate::config::defaults::TELEGRAM_API;
use crate::config::parse::url::Url;
use crate::config::settings::{Language, Telegram, Webhook};
use crate::config::values::Secret;
use crate::config::written::Value;

/// `[telegram]`; `None` without a token or without chats.
pub(super) fn telegram(section: &Section<'_>) -> Option<Telegram> {
    let bot_token = section.secret("bot_token").filter(|token| is_token(section, token));
    let chat_ids = section.list("chat_ids", "123456789", chat_id).unwrap_or_default();
    let languages = Language::ALL.map(|language| (language.tag(), language));
    let language = section.word("language", &languages, Language::Chinese);
    let api_url = api_url(section);
    let proxy = section.parse("proxy", "socks5://127.0.0.1:1080", proxy);
    let notify_success = section.bool("notify_success", false);
    let commands = section.bool("commands", false);
    match (&bot_token, chat_ids.is_empty()) {
        (Some(_), true) => {
            lacks(section, "nobody is told: write chat_ids = [123456789] with the chats to tell");
        }
        (None, false) => {
            lacks(section, "nobody is told: write bot_token = \"…\" with the token from BotFather");
        }
        (Some(_), false) | (None, true) => {}
    }
    let bot_token = bot_token.filter(|_| !chat_ids.is_empty())?;
    Some(Telegram { bot_token, chat_ids, language, api_url, proxy, notify_success, commands })
}

/// `[webhook]`; `None` without a URL.
pub(super) fn webhook(section: &Section<'_>) -> Option<Webhook> {
    let url = section.secret("url").filter(|url| is_web(section, url));
    let secret = section.secret("secret");
    if url.is_none() && secret.is_some() {
        lacks(section, "nobody is told: the secret is there, but no url = \"https://…\"");
    }
    Some(Webhook { url: url?, secret })
}

fn lacks(section: &Section<'_>, says: &str) {
    section.report.warn(&section.path, section.at, says);
}

fn chat_id(field: &Field<'_>) -> Option<i64> {
    let write = match &field.node.value {
        Value::Integer(id) if *id != 0 => return Some(*id),
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(id) => format!("{id}, without quotes"),
            Err(_) => "the chat's number without quotes, e.g. 123456789, negative for groups".to_owned(),
        },
        Value::Integer(_)
        | Value::Table(_)
        | Value::Array(_)
        | Value::Float
        | Value::Bool(_)
        | Value::Date
        | Value::Null => "the chat's number, e.g. 123456789, negative for groups".to_owned(),
    };
    field.refuse(write);
    None
}

/// A token goes into a URL's path: it must not be able to end there.
fn is_token(section: &Section<'_>, token: &Secret) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    let good = token.expose().bytes().all(plain);
    if !good {
        secret::refuse(section, "bot_token", "the token as BotFather gave it: 123456789:ABC…");
    }
    good
}

fn is_web(section: &Section<'_>, url: &Secret) -> bool {
    let web = |url: Url| matches!(url.scheme.as_str(), "https" | "http");
    let good = Url::parse(url.expose()).is_some_and(web);
    if !good {
        secret::refuse(section, "url", "a URL that begins with https:// or http://");
    }
    good
}

fn api_url(section: &Section<'_>) -> String {
    let default = || TELEGRAM_API.to_owned();
    let Some(mut field) = section.filled("api_url") else {
        return default();
    };
    // Who copies a whole request's URL copies the token with it.
    field.secret = field.text(TELEGRAM_API).is_some_and(|text| text.contains("/bot"));
    let parse = |text: &str| match Url::parse(text) {
        Some(url) if !matches!(url.scheme.as_str(), "https" | "http") => Err(quoted_default()),
        Some(url) if url.path.contains("/bot") => {
            Err(format!("\"{}\": without /bot and what follows", url.origin()))
        }
        Some(url) if url.path.contains('?') => Err(format!("\"{}\", without a query", url.origin())),
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
        None => Err(quoted_default()),
    };
    field.parse(TELEGRAM_API, parse).unwrap_or_else(default)
}

fn quoted_default() -> String {
    format!("\"{TELEGRAM_API}\", or the http(s):// address of a Bot API server of your own")
}

fn proxy(text: &str) -> Result<String, String> {
    let example = || "\"socks5://127.0.0.1:1080\" or \"http://127.0.0.1:8080\"".to_owned();
    let Some(url) = Url::parse(text) else {
        return Err(example());
    };
    match url.scheme.as_str() {
        _ if !matches!(url.path.as_str(), "" | "/") => Err(format!("\"{}\", without a path", url.origin())),
        "socks5" | "http" => Ok(text.to_owned()),
        "socks" | "socks4" | "socks5h" => {
            Err(format!("\"{}\"", Url { scheme: "socks5".to_owned(), ..url }.origin()))
        }
        "https" => Err(format!("\"{}\"", Url { scheme: "http".to_owned(), ..url }.origin())),
        _ => Err(example()),
    }
}
