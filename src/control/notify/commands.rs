//! A bot of doorman's own: `/status`, `/renew`, `/doctor`, for the configured chats alone.
//!
//! This is the one place that fetches messages, and only with `telegram.commands`: whoever fetches takes them away from
//! every other program with the same token.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use teloxide_core::payloads::GetUpdatesSetters;
use teloxide_core::requests::Requester;
use teloxide_core::types::{AllowedUpdate, Message, UpdateKind};
use teloxide_core::{ApiError, RequestError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::client::ClientError;
use super::telegram::Sender;
use super::{Board, LONGEST, Language, Place, split};
use crate::config::Telegram;
use crate::control::doctor::{Machine, examine};
use crate::control::driver::{Answer, Ask};
use crate::control::{Context, admin};
use crate::policy::alert::outbox::{Outcome, PAUSES};
use crate::policy::alert::reply::{self, Renewal, Standing};
use crate::policy::finding::Finding;
use crate::policy::lifecycle::{Insistence, Lifecycle, Word};
use crate::shared::clock;

/// How long Telegram keeps a question for messages open.
const POLL_SECONDS: u32 = 50;

/// For such a question, the way there and back included.
const POLL_LIMIT: Duration = Duration::from_secs(65);

/// An answer that comes sooner than this, with nothing in it, is from a server that does not keep questions open.
const TOO_SOON: Duration = Duration::from_secs(1);

/// What was written longer ago is not obeyed any more: it was meant for another moment.
const STALE_SECONDS: i64 = 120;

/// For the driver to say what came of a request.
const DRIVER_LIMIT: Duration = Duration::from_secs(15);

/// Listens and answers.
pub(super) struct Ears {
    sender: Sender,
    chats: BTreeSet<i64>,
    place: Place,
    language: Language,
    board: Rc<Board>,
    asks: mpsc::Sender<Ask>,
    context: Rc<Context>,
}

impl Ears {
    pub(super) fn new(
        config: &Telegram,
        place: &Place,
        board: &Rc<Board>,
        (context, asks): (&Rc<Context>, &mpsc::Sender<Ask>),
    ) -> Result<Self, ClientError> {
        Ok(Self {
            sender: Sender::new(config, POLL_LIMIT)?,
            chats: config.chat_ids.iter().copied().collect(),
            place: place.clone(),
            language: config.language,
            board: Rc::clone(board),
            asks: asks.clone(),
            context: Rc::clone(context),
        })
    }

    /// For ever, or until another program turns out to use the token.
    pub(super) async fn listen(self) {
        let mut offset = None;
        let mut misses = 0;
        let mut said = None;
        loop {
            let asked_at = Instant::now();
            let mut question = self
                .sender
                .bot()
                .get_updates()
                .timeout(POLL_SECONDS)
                .allowed_updates(vec![AllowedUpdate::Message]);
            question.offset = offset;
            match question.await {
                Ok(updates) => {
                    misses = 0;
                    said = None;
                    if updates.is_empty() && asked_at.elapsed() < TOO_SOON {
                        tokio::time::sleep(TOO_SOON).await;
                    }
                    for update in updates {
                        offset = Some(update.id.as_offset());
                        if let UpdateKind::Message(message) = &update.kind {
                            self.heard(message).await;
                        }
                    }
                }
                Err(error) if conflicts(&error) => {
                    warn!(
                        "another program uses the bot's token for commands, so doorman no longer does; alerts are \
                         sent all the same. Set telegram.commands = false, or give doorman a bot of its own"
                    );
                    return;
                }
                Err(error) => {
                    let pause = self.pause(&error, &mut misses, &mut said);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// How long to wait after an error, which is said once.
    fn pause(&self, error: &RequestError, misses: &mut usize, said: &mut Option<String>) -> Duration {
        let step = PAUSES[(*misses).min(PAUSES.len() - 1)];
        *misses += 1;
        let Some(error) = self.sender.meaning(error) else {
            return step;
        };
        let words = error.to_string();
        if said.as_ref() != Some(&words) {
            warn!(error = words, "commands cannot be fetched; trying again");
            *said = Some(words);
        }
        match error.outcome() {
            Outcome::Wait(after) => step.max(after),
            Outcome::Refused => PAUSES[PAUSES.len() - 1],
            Outcome::Missed | Outcome::Moved(_) | Outcome::Unsendable | Outcome::Sent { .. } => step,
        }
    }

    async fn heard(&self, message: &Message) {
        let chat = message.chat.id.0;
        let age = clock::now().unix_timestamp() - message.date.timestamp();
        let Some(command) = message.text().and_then(command) else { return };
        if !self.chats.contains(&chat) {
            return debug!(command, "a command from a chat that is not configured is ignored");
        }
        if age > STALE_SECONDS {
            return info!(command, age, "a command is too old to be obeyed");
        }
        let answer = match command {
            "status" => reply::status(&self.standing(), &self.place, self.language, clock::now()),
            "renew" => reply::renewal(self.renew().await, &self.place, self.language),
            "doctor" => reply::doctor(&self.findings().await, &self.place, self.language),
            _ => return,
        };
        info!(command, "a command is answered");
        for piece in split(&answer, LONGEST) {
            if let Err(error) = self.sender.send(chat, &piece).await {
                error!(command, %error, "a command could not be answered");
            }
        }
    }

    fn standing(&self) -> Standing {
        let now = clock::now();
        self.board.read_with(|notes| {
            let lifecycle = notes.lifecycle.as_ref();
            Standing {
                word: lifecycle.map_or(Word::Disabled, |it| it.word(now)),
                not_after: notes.certificate.as_ref().map(|certificate| certificate.not_after),
                next_try: lifecycle.and_then(Lifecycle::next_renewal_at),
                error: lifecycle.and_then(|it| Some((it.last_error_class()?, it.last_error()?.clone()))),
                pending: notes.channels.iter().map(|told| told.pending).max().unwrap_or(0),
            }
        })
    }

    /// What the doctor finds, seen by the daemon. It waits for much, so it has threads of its own.
    async fn findings(&self) -> Vec<Finding> {
        let machine = Machine {
            file: None,
            config: Ok(self.context.config.clone()),
            status: Ok(admin::status(&self.context, &self.board)),
        };
        tokio::task::spawn_blocking(|| examine(machine)).await.unwrap_or_else(|panicked| {
            error!(%panicked, "the machine could not be examined");
            Vec::new()
        })
    }

    async fn renew(&self) -> Renewal {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.asks.send(Ask::Renew { insistence: Insistence::Polite, answer }).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(DRIVER_LIMIT, asked).await {
            Ok(Some(Answer::Accepted(how))) => Renewal::Accepted(how),
            Ok(Some(Answer::Refused(why))) => Renewal::Refused(why),
            Ok(Some(Answer::Disabled)) => Renewal::Disabled,
            Ok(None) | Err(_) => Renewal::Busy,
        }
    }
}

/// The command of a message, without the bot's name that groups put behind it: Telegram hands a bot only what it is
/// meant to hear.
fn command(text: &str) -> Option<&str> {
    let word = text.split_whitespace().next()?.strip_prefix('/')?;
    Some(word.split_once('@').map_or(word, |(command, _)| command))
}

/// Another program polls with the same token, or has set a webhook for it.
fn conflicts(error: &RequestError) -> bool {
    match error {
        RequestError::Api(ApiError::TerminatedByOtherGetUpdates | ApiError::CantGetUpdates) => true,
        RequestError::Api(error) => {
            matches!(error, ApiError::Unknown(said) if said.starts_with("Conflict"))
        }
        RequestError::MigrateToChatId(_)
        | RequestError::RetryAfter(_)
        | RequestError::Network(_)
        | RequestError::InvalidJson { .. }
        | RequestError::Io(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_with_and_without_the_name_of_the_bot() {
        assert_eq!(command("/status"), Some("status"));
        assert_eq!(command("/renew@doorman_bot now"), Some("renew"));
        assert_eq!(command("status"), None);
        assert_eq!(command(""), None);
    }

    #[test]
    fn whoever_else_polls_is_recognized() {
        let said =
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete";
        assert!(conflicts(&RequestError::Api(ApiError::Unknown(said.to_owned()))));
        assert!(conflicts(&RequestError::Api(ApiError::TerminatedByOtherGetUpdates)));
        assert!(!conflicts(&RequestError::Api(ApiError::ChatNotFound)));
    }
}
