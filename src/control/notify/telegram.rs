//! Telegram: `sendMessage`, and nothing else. The panel's own bot polls with the same token, and a second poller would
//! take its messages away.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use teloxide_core::payloads::SendMessageSetters;
use teloxide_core::requests::Requester;
use teloxide_core::types::{ChatId, LinkPreviewOptions, ParseMode};
use teloxide_core::{ApiError, Bot, RequestError};

use super::client::{self, ClientError};
use super::error::SendError;
use crate::config::Telegram;
use crate::machine::words::foreign;
use crate::policy::sentence::Sentence;

/// When it is too much for Telegram and it does not say how long.
const WAIT_UNSAID: Duration = Duration::from_secs(30);

/// Sends to any chat with one token.
pub(super) struct Sender {
    bot: Bot,
    limit: Duration,
    host: String,
    secrets: Vec<String>,
}

impl Sender {
    pub(super) fn new(config: &Telegram, limit: Duration) -> Result<Self, ClientError> {
        let client = client::client(config.proxy.as_deref(), limit)?;
        let mut bot = Bot::with_client(config.bot_token.expose(), client);
        let url = Url::parse(&config.api_url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or("Telegram").to_owned();
        if let Some(url) = url {
            bot = bot.set_api_url(url);
        }
        let mut secrets = vec![config.bot_token.expose().to_owned()];
        let proxy = config.proxy.as_deref().and_then(|proxy| Url::parse(proxy).ok());
        secrets.extend(proxy.and_then(|proxy| proxy.password().map(ToOwned::to_owned)));
        Ok(Self { bot, limit, host, secrets })
    }

    /// For the one thing besides sending, which only `telegram.commands` allows.
    pub(super) fn bot(&self) -> &Bot {
        &self.bot
    }

    /// Who is asked.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether anybody answers there; what is said does not matter.
    pub(super) async fn reach(&self) -> Result<(), SendError> {
        let host = self.host.clone();
        match self.bot.client().get(self.bot.api_url()).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.is_timeout() => Err(SendError::TimedOut { host, limit: self.limit }),
            Err(error) => Err(SendError::Unreachable { host, why: self.cleared(client::causes(&error)) }),
        }
    }

    /// Sends one message in HTML, no longer than Telegram takes.
    pub(super) async fn send(&self, chat: i64, html: &str) -> Result<(), SendError> {
        let quiet = LinkPreviewOptions {
            is_disabled: true,
            url: None,
            prefer_small_media: false,
            prefer_large_media: false,
            show_above_text: false,
        };
        let sent = self
            .bot
            .send_message(ChatId(chat), html)
            .parse_mode(ParseMode::Html)
            .link_preview_options(quiet)
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => self.meaning(&error).map_or(Ok(()), Err),
        }
    }

    /// What an answer means; `None` where the message was taken, and only the library could not read the answer.
    pub(super) fn meaning(&self, error: &RequestError) -> Option<SendError> {
        let host = self.host.clone();
        Some(match error {
            RequestError::Api(error) => self.refusal(error),
            RequestError::MigrateToChatId(chat) => SendError::Moved(chat.0),
            RequestError::RetryAfter(after) => SendError::Wait { host, after: after.duration() },
            RequestError::Network(error) if error.is_timeout() => {
                SendError::TimedOut { host, limit: self.limit }
            }
            RequestError::Network(error) => {
                SendError::Unreachable { host, why: self.cleared(client::causes(error)) }
            }
            RequestError::InvalidJson { raw, .. } if was_taken(raw) => return None,
            RequestError::InvalidJson { .. } => {
                SendError::Trouble { host, said: "what answers is not Telegram's Bot API".to_owned() }
            }
            RequestError::Io(error) => {
                let why = Sentence::new(error.to_string(), foreign(&**error));
                SendError::Unreachable { host, why: self.cleared(why) }
            }
        })
    }

    fn refusal(&self, error: &ApiError) -> SendError {
        let said = if let ApiError::Unknown(said) = error { said.clone() } else { error.to_string() };
        let said = self.without_secrets(said);
        let host = self.host.clone();
        let about_the_text = matches!(
            error,
            ApiError::CantParseEntities(_) | ApiError::MessageIsTooLong | ApiError::MessageTextIsEmpty
        );
        if about_the_text {
            return SendError::Unsendable { host, said };
        }
        if said.starts_with("Too Many Requests") {
            let after = said.rsplit(' ').next().and_then(|word| word.parse().ok());
            return SendError::Wait { host, after: after.map_or(WAIT_UNSAID, Duration::from_secs) };
        }
        let refused = matches!(error, ApiError::InvalidToken)
            || ["Bad Request", "Forbidden", "Unauthorized"].iter().any(|how| said.starts_with(how));
        if !refused {
            return SendError::Trouble { host, said };
        }
        let remedy = if matches!(error, ApiError::InvalidToken) {
            "write the token from BotFather into telegram.bot_token, and see that telegram.api_url is right"
        } else if said.contains("blocked") || said.contains("initiate") {
            "open the chat with the bot and press Start"
        } else {
            "see that telegram.chat_ids is right and the bot is in that chat"
        };
        SendError::Refused { host, said, remedy }
    }

    fn cleared(&self, said: Sentence) -> Sentence {
        said.map(|text| self.without_secrets(text))
    }

    fn without_secrets(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret, "[secret]"))
    }
}

/// Whether Telegram took a message and said so in a way that the library does not know yet. Such a message must not be
/// sent again and again.
fn was_taken(raw: &str) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        ok: bool,
    }
    serde_json::from_str::<Answer>(raw).is_ok_and(|answer| answer.ok)
}
