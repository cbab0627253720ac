//! HTTP as an ACME client needs it: limited in time and size, and without forgetting what a CA said beside the body.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::response::Parts;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient, Problem};
use rustls::CertificateError;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::config::{Directory, UpstreamTrust};
use crate::shared::clock;
use crate::shared::trust::{self, TrustError};

/// For one request, from the first packet to the last byte of the answer.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Of that, for the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A chain with several intermediates has some 10 KiB.
const ANSWER_LIMIT: usize = 1 << 20;

const OUR_NAME: HeaderValue = HeaderValue::from_static(concat!("doorman/", env!("CARGO_PKG_VERSION")));

type Client = legacy::Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>;

/// A connection to one CA. Clones share it, and what it remembers.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
    heard: Arc<Mutex<Heard>>,
}

/// What the last answer said beside its body.
#[derive(Clone, Copy, Default)]
struct Heard {
    retry_after: Option<OffsetDateTime>,
    /// The CA's clock less ours.
    clock: Option<time::Duration>,
}

/// What went wrong below ACME.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    /// No connection, or none that holds.
    #[error("{host} cannot be reached: {}", root_cause(.source))]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why not.
        source: legacy::Error,
    },
    /// It takes too long.
    #[error("{host} did not answer within {} s", REQUEST_LIMIT.as_secs())]
    TimedOut {
        /// Host and port.
        host: String,
    },
    /// The answer broke off or has no end.
    #[error("the answer of {host} could not be read: {source}")]
    Body {
        /// Host and port.
        host: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The CA named something that is no URL.
    #[error("the CA names {url:?} as an address")]
    Url {
        /// What it named.
        url: String,
    },
    /// An error that is no problem document: a load balancer's page.
    #[error("{host} answered {status}")]
    Status {
        /// Host and port.
        host: String,
        /// Its status.
        status: StatusCode,
        /// The moment that it named.
        retry_after: Option<OffsetDateTime>,
    },
}

impl Wire {
    /// Trusts the public roots, or what is in the file alone.
    pub(super) fn new(directory: &Directory) -> Result<Self, TrustError> {
        let trust = directory.ca_file.clone().map_or(UpstreamTrust::PublicRoots, UpstreamTrust::CaFile);
        let tls = trust::client_config(&trust)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        Ok(Self {
            client: legacy::Client::builder(TokioExecutor::new()).build(connector),
            heard: Arc::default(),
        })
    }

    /// The moment that the last answer named.
    pub(super) fn retry_after(&self) -> Option<OffsetDateTime> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).retry_after
    }

    /// The CA's clock less ours, as the last answer that was dated says; to a few seconds.
    pub(super) fn clock(&self) -> Option<time::Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clock
    }

    /// A plain GET: the directory, and renewal information.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, WireError> {
        let request = Request::get(url).header(USER_AGENT, OUR_NAME).body(BodyWrapper::default());
        let request = request.map_err(|_| WireError::Url { url: url.to_owned() })?;
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let (_, body) = self.timely(request, &host).await?;
        Ok(body)
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let wire = self.clone();
        request.headers_mut().insert(USER_AGENT, OUR_NAME);
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        Box::pin(async move {
            let answer = wire.timely(request, &host).await;
            let (parts, body) = answer.map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

impl Wire {
    async fn timely(
        &self,
        request: Request<BodyWrapper<Bytes>>,
        host: &str,
    ) -> Result<(Parts, Bytes), WireError> {
        tokio::time::timeout(REQUEST_LIMIT, self.exchange(request, host))
            .await
            .unwrap_or_else(|_| Err(WireError::TimedOut { host: host.to_owned() }))
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
        host: &str,
    ) -> Result<(Parts, Bytes), WireError> {
        let host = || host.to_owned();
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|source| WireError::Unreachable { host: host(), source })?;
        let (parts, body) = answer.into_parts();
        let now = clock::now();
        let retry_after = retry_after(&parts.headers, now);
        let dated = date(&parts.headers, DATE);
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.retry_after = retry_after;
            heard.clock = dated.map(|dated| dated - now).or(heard.clock);
        }
        let is_error = parts.status.is_client_error() || parts.status.is_server_error();
        let body = match Limited::new(body, ANSWER_LIMIT).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) if is_error => Bytes::new(), // the status says enough
            Err(source) => return Err(WireError::Body { host: host(), source }),
        };
        if is_error && !is_problem(&body) {
            return Err(WireError::Status { host: host(), status: parts.status, retry_after });
        }
        Ok((parts, body))
    }
}

impl WireError {
    /// Whether the CA's own certificate is good at another time than ours.
    pub(super) fn is_about_time(&self) -> bool {
        let Self::Unreachable { source, .. } = self else {
            return false;
        };
        let mut cause = source.source();
        while let Some(error) = cause {
            let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or(error.downcast_ref());
            if let Some(rustls::Error::InvalidCertificate(why)) = tls {
                return matches!(
                    why,
                    CertificateError::Expired
                        | CertificateError::ExpiredContext { .. }
                        | CertificateError::NotValidYet
                        | CertificateError::NotValidYetContext { .. }
                );
            }
            cause = error.source();
        }
        false
    }
}

/// What is at the bottom of an error: "connection refused" rather than "client error (Connect)".
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    if deepest.is::<LengthLimitError>() {
        return "the answer is too large".to_owned();
    }
    deepest.to_string()
}

fn is_problem(body: &[u8]) -> bool {
    serde_json::from_slice::<Problem>(body)
        .is_ok_and(|problem| problem.r#type.is_some() || problem.detail.is_some())
}

/// RFC 9110 section 10.2.3: a number of seconds, or a date.
fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<u32>() {
        Ok(seconds) => Some(now + Duration::from_secs(seconds.into())),
        Err(_) => date(headers, RETRY_AFTER),
    }
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(headers.get(name)?.to_str().ok()?.trim(), &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn said(value: &'static str) -> Option<OffsetDateTime> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        retry_after(&headers, datetime!(2026-01-01 00:00 UTC))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_or_nothing() {
        assert_eq!(said("120"), Some(datetime!(2026-01-01 00:02 UTC)));
        assert_eq!(said("Fri, 02 Jan 2026 03:04:05 GMT"), Some(datetime!(2026-01-02 03:04:05 UTC)));
        assert_eq!(said("soon"), None);
        assert_eq!(said("99999999999999999999"), None);
        assert_eq!(retry_after(&HeaderMap::new(), datetime!(2026-01-01 00:00 UTC)), None);
    }

    #[test]
    fn a_page_is_no_problem_document() {
        assert!(is_problem(br#"{"type":"urn:ietf:params:acme:error:malformed"}"#));
        assert!(!is_problem(b"<html>503</html>"));
        assert!(!is_problem(b"{}"));
        assert!(!is_problem(b""));
    }
}
