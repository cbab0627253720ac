//! The webhook: a POST of JSON, as `docs/webhook.md` describes it.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use ring::hmac;
use serde::Serialize;
use time::OffsetDateTime;

use super::client::{self, ClientError, REQUEST_LIMIT};
use super::error::SendError;
use crate::config::{Language, Webhook};
use crate::control::pair::hex;
use crate::control::when;
use crate::policy::alert::outbox::Queued;
use crate::policy::alert::text::{self, Place};
use crate::policy::alert::{Edge, Severity};
use crate::policy::failure::Class;
use crate::policy::sentence::Sentence;

/// Of the body; a number that rises when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

const SIGNATURE: &str = "X-Doorman-Signature";

/// Posts to one address.
pub(super) struct Poster {
    client: Client,
    url: String,
    host: String,
    key: Option<hmac::Key>,
}

/// What is posted.
#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    event: &'static str,
    id: Option<String>,
    #[serde(serialize_with = "when::serialize")]
    at: OffsetDateTime,
    kind: Option<&'static str>,
    severity: &'static str,
    edge: Option<Edge>,
    host: &'a str,
    addresses: &'a [String],
    #[serde(serialize_with = "when::serialize_option")]
    not_after: Option<OffsetDateTime>,
    failures: u32,
    last_error: Option<&'a str>,
    last_error_class: Option<Class>,
    #[serde(serialize_with = "when::serialize_option")]
    next_try_at: Option<OffsetDateTime>,
    detail: Option<&'a str>,
    dropped: u32,
    text: serde_json::Map<String, serde_json::Value>,
}

impl Poster {
    pub(super) fn new(config: &Webhook) -> Result<Self, ClientError> {
        let url = config.url.expose();
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned));
        Ok(Self {
            client: client::client(None, REQUEST_LIMIT)?,
            url: url.to_owned(),
            host: host.unwrap_or_else(|| "the webhook".to_owned()),
            key: config
                .secret
                .as_ref()
                .map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())),
        })
    }

    /// Posts an alert.
    pub(super) async fn send(
        &self,
        queued: &Queued,
        place: &Place,
        now: OffsetDateTime,
        dropped: u32,
    ) -> Result<(), SendError> {
        let notice = &queued.notice;
        let kind = notice.alert.kind;
        let body = Body {
            version: SCHEMA,
            event: "alert",
            id: Some(queued.id.to_string()),
            at: notice.at,
            kind: Some(kind.as_str()),
            severity: kind.severity().as_str(),
            edge: Some(notice.alert.edge),
            host: &place.host,
            addresses: &place.addresses,
            not_after: notice.not_after,
            failures: notice.failures,
            last_error: notice.error.as_ref().map(Sentence::english),
            last_error_class: notice.class,
            next_try_at: notice.next_try,
            detail: notice.detail.as_ref().map(Sentence::english),
            dropped,
            text: in_every_language(|language| notice.plain(place, language, now, dropped)),
        };
        self.post(&body).await
    }

    /// Posts the test message.
    pub(super) async fn test(&self, place: &Place, now: OffsetDateTime) -> Result<(), SendError> {
        let body = Body {
            version: SCHEMA,
            event: "test",
            id: None,
            at: now,
            kind: None,
            severity: Severity::Info.as_str(),
            edge: None,
            host: &place.host,
            addresses: &place.addresses,
            not_after: None,
            failures: 0,
            last_error: None,
            last_error_class: None,
            next_try_at: None,
            detail: None,
            dropped: 0,
            text: in_every_language(|language| text::test_plain(place, language)),
        };
        self.post(&body).await
    }

    async fn post(&self, body: &Body<'_>) -> Result<(), SendError> {
        let body = serde_json::to_vec(body).expect("our bodies have string keys and finite numbers");
        let mut request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            let signature = hmac::sign(key, &body);
            request = request.header(SIGNATURE, format!("sha256={}", hex(signature.as_ref())));
        }
        let host = self.host.clone();
        let answer = request.body(body).send().await.map_err(|error| {
            if error.is_timeout() {
                SendError::TimedOut { host: host.clone(), limit: REQUEST_LIMIT }
            } else {
                SendError::Unreachable { host: host.clone(), why: client::causes(&error) }
            }
        })?;
        let status = answer.status();
        let seconds =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        match seconds.map(Duration::from_secs) {
            _ if status.is_success() => Ok(()),
            Some(after) if busy => Err(SendError::Wait { host, after }),
            _ if busy || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Err(SendError::Trouble { host, said: format!("it answered {status}") })
            }
            _ => Err(SendError::Refused {
                host,
                said: format!("it answered {status}"),
                remedy: "see that webhook.url and webhook.secret are right; redirects are not followed",
            }),
        }
    }
}

fn in_every_language(text: impl Fn(Language) -> String) -> serde_json::Map<String, serde_json::Value> {
    Language::ALL.iter().map(|language| (language.tag().to_owned(), text(*language).into())).collect()
}
