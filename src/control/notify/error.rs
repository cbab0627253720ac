//! Why something could not be sent, and what that means for the next try.

use std::time::Duration;

use thiserror::Error;

use crate::policy::alert::outbox::Outcome;
use crate::policy::sentence::Sentence;

/// Why something could not be sent. The sentences have no secret in them: who makes one takes them out.
#[derive(Debug, Error)]
pub(super) enum SendError {
    /// Nobody is there, or the way is closed.
    #[error("{host} cannot be reached: {why}")]
    Unreachable { host: String, why: Sentence },
    /// It takes too long.
    #[error("{host} did not answer within {} s", .limit.as_secs())]
    TimedOut { host: String, limit: Duration },
    /// It answered, but neither yes nor no.
    #[error("{host} has trouble of its own: {said}")]
    Trouble { host: String, said: String },
    /// It wants to be left alone.
    #[error("{host} wants to be asked again in {} s", .after.as_secs())]
    Wait { host: String, after: Duration },
    /// It says no, and will until somebody corrects something.
    #[error("{host} refuses: {said}; {remedy}")]
    Refused { host: String, said: String, remedy: &'static str },
    /// It does not take this message.
    #[error("{host} does not take this message: {said}")]
    Unsendable { host: String, said: String },
    /// The group has another number now.
    #[error("the group is a supergroup now; write {0} into telegram.chat_ids")]
    Moved(i64),
}

impl SendError {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Trouble { .. } => Outcome::Missed,
            Self::Wait { after, .. } => Outcome::Wait(*after),
            Self::Refused { .. } => Outcome::Refused,
            Self::Unsendable { .. } => Outcome::Unsendable,
            Self::Moved(chat) => Outcome::Moved(*chat),
        }
    }
}
