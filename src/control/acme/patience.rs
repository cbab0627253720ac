//! What is tried again at once, because nothing has happened yet: a nonce that was refused, a CA that wants a moment.

use std::time::Duration;

use tokio::time::Instant;

use super::STALL_LIMIT;
use super::error::IssueError;
use super::wire::Wire;
use crate::policy::failure::Kind;
use crate::shared::clock;

/// A request is tried again with a fresh nonce so often; each of these is three tries of the library.
const NONCE_ROUNDS: u32 = 8;

/// A Retry-After up to here is waited for; a longer one ends the try, and is when the next one begins.
const SHORT_WAIT: Duration = Duration::from_secs(10);

/// Asks, and asks again while the CA only dislikes the nonce (RFC 8555 section 6.5) or wants a moment.
pub(super) async fn with_patience<T>(
    wire: &Wire,
    mut call: impl AsyncFnMut() -> Result<T, instant_acme::Error>,
) -> Result<T, IssueError> {
    let patience = Instant::now() + STALL_LIMIT;
    let mut nonces = 1;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => IssueError::from_library(error, wire.retry_after()),
        };
        let bad_nonce = matches!(error, IssueError::Problem { kind: Kind::BadNonce, .. });
        let wait = error.retry_after().and_then(|at| Duration::try_from(at - clock::now()).ok());
        match wait {
            None if bad_nonce && nonces < NONCE_ROUNDS => nonces += 1,
            Some(wait) if wait <= SHORT_WAIT && Instant::now() + wait < patience => {
                tracing::info!(seconds = wait.as_secs(), %error, "the CA wants a moment");
                tokio::time::sleep(wait).await;
            }
            None | Some(_) => return Err(error),
        }
    }
}
