//! Asking the CA when it wants a certificate renewed (RFC 9773 section 4). Neither an account nor a signature is needed.

use serde::Deserialize;
use thiserror::Error;
use time::OffsetDateTime;

use super::wire::{Wire, WireError};
use crate::config::Directory;
use crate::policy::renewal_info::{Window, WindowError};
use crate::policy::schedule::Life;
use crate::shared::clock;
use crate::shared::trust::TrustError;

/// What the CA said.
#[derive(Debug)]
pub(crate) struct RenewalInfo {
    /// The window; `None` when the CA has no renewal information.
    pub(crate) window: Option<Window>,
    /// The moment before which it wants not to be asked again.
    pub(crate) retry_at: Option<OffsetDateTime>,
    /// A page for people about why the window is what it is.
    pub(crate) explanation: Option<String>,
}

/// Why nothing that makes sense was heard.
#[derive(Debug, Error)]
pub(crate) enum RenewalInfoError {
    /// The file of `directory_ca` cannot be used.
    #[error("the roots of ip_cert.directory_ca cannot be used")]
    Roots(#[from] TrustError),
    /// No answer.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An answer of another kind.
    #[error("what answered is no renewal information")]
    Json(#[from] serde_json::Error),
    /// A window that no certificate can be renewed in.
    #[error(transparent)]
    Window(#[from] WindowError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    suggested_window: Suggested,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<String>,
}

#[derive(Deserialize)]
struct Suggested {
    #[serde(with = "time::serde::rfc3339")]
    start: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    end: OffsetDateTime,
}

/// Asks about the certificate of this name and life.
pub(crate) async fn ask(
    directory: &Directory,
    certificate_id: &str,
    life: Life,
) -> Result<RenewalInfo, RenewalInfoError> {
    let wire = Wire::new(directory)?;
    let resources: Resources = serde_json::from_slice(&wire.get(&directory.url).await?)?;
    let Some(url) = resources.renewal_info else {
        return Ok(RenewalInfo { window: None, retry_at: None, explanation: None });
    };
    let url = format!("{}/{certificate_id}", url.trim_end_matches('/'));
    let answer: Answer = serde_json::from_slice(&wire.get(&url).await?)?;
    let Suggested { start, end } = answer.suggested_window;
    Ok(RenewalInfo {
        window: Some(Window::new(start, end, life)?),
        retry_at: wire.retry_after().filter(|at| *at > clock::now()),
        explanation: answer.explanation_url,
    })
}
