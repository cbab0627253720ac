//! Answers of our own: neutral, small, and saying nothing about what is behind the door.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::body::ResponseBody;
use crate::policy::route::Refusal;

/// The answer to a challenge (RFC 8555 section 8.3).
pub(super) fn challenge(key_authorization: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(key_authorization));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A page that says no more than the status.
pub(super) fn status(status: StatusCode) -> Response<ResponseBody> {
    let reason = status.canonical_reason().unwrap_or("Error");
    let text = format!(
        "<!doctype html>\n<title>{code} {reason}</title>\n<h1>{code} {reason}</h1>\n",
        code = status.as_str()
    );
    let mut response = Response::new(ResponseBody::whole(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a request that is not forwarded.
pub(super) fn refusal(refusal: Refusal) -> Response<ResponseBody> {
    let mut response = status(refusal.status());
    if refusal.ends_connection() {
        close_after(&mut response);
    }
    response
}

/// The same target over https, on its standard port.
pub(super) fn redirect(host: &HeaderValue, path_and_query: &str) -> Option<Response<ResponseBody>> {
    let host = host.to_str().ok()?;
    let name = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        Some(_) | None => host,
    };
    let location = HeaderValue::try_from(format!("https://{name}{path_and_query}")).ok()?;
    let mut response = status(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

/// Ends the connection after this response.
pub(super) fn close_after(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
