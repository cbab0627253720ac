//! Whether Telegram can be reached, by the way that alerts take. Nothing is asked of the bot: its token stays here.

use std::io;
use std::time::Duration;

use super::client::{ClientError, REQUEST_LIMIT};
use super::error::SendError;
use super::telegram::Sender;
use crate::config::{Language, Telegram};
use crate::control::zh_cn::InWords;
use crate::machine::words::foreign;
use crate::policy::sentence::{Sentence, quotation};

/// Asks for the front page of `telegram.api_url`; returns who answered, whatever the answer was. It waits for that.
pub(crate) fn reach_telegram(config: &Telegram) -> Result<String, Sentence> {
    let sender = Sender::new(config, REQUEST_LIMIT).map_err(|error| unusable(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| no_runtime(&error))?;
    let reached = runtime.block_on(sender.reach());
    runtime.shutdown_timeout(Duration::ZERO); // not for a name that is still looked up
    reached.map(|()| sender.host().to_owned()).map_err(|error| in_words(&error))
}

fn in_words(error: &SendError) -> Sentence {
    let chinese = match error {
        SendError::Unreachable { host, why } => {
            format!("无法连接 {host}：{}", why.in_language(Language::Chinese))
        }
        SendError::TimedOut { host, limit } => format!("{host} 在 {} 秒内没有应答", limit.as_secs()),
        SendError::Trouble { .. }
        | SendError::Wait { .. }
        | SendError::Refused { .. }
        | SendError::Unsendable { .. }
        | SendError::Moved(_) => quotation(&error.to_string()),
    };
    Sentence::new(error.to_string(), chinese)
}

fn unusable(error: &ClientError) -> Sentence {
    let chinese = match error {
        ClientError::Trust(error) => error.chinese(),
        ClientError::Client(_) => "无法创建 HTTP 客户端".to_owned(),
    };
    Sentence::new(format!("Telegram cannot be used: {error}"), format!("无法使用 Telegram：{chinese}"))
}

fn no_runtime(error: &io::Error) -> Sentence {
    Sentence::new(
        format!("Telegram could not be asked: {error}"),
        format!("无法询问 Telegram：{}", foreign(error)),
    )
}
