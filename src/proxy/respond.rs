//! Answers of our own: neutral, small, and saying nothing about what is behind the door.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use socket2::Socket;

use super::body::ResponseBody;
use crate::policy::route::Refusal;

const PAGE_TYPE: &str = "text/html; charset=utf-8";

/// Pieces of 4 KiB that are read of a request that is turned away; more than browsers and scripts send at once.
const UNREAD_PIECES: usize = 16;

/// The answer to a challenge (RFC 8555 section 8.3).
pub(super) fn challenge(key_authorization: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(key_authorization));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A page that says no more than the status.
pub(super) fn status(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(Bytes::from(page(status))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PAGE_TYPE));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page that says that the upstream speaks `other` than it is spoken to in, which only its administrator can mend.
pub(super) fn wrong_scheme(other: &str) -> Response<ResponseBody> {
    let mut response = status(StatusCode::BAD_GATEWAY);
    let mut page = page(StatusCode::BAD_GATEWAY);
    page.push_str(&format!(
        "<p>The server behind this one speaks {other}, and was not spoken to in it.</p>\n"
    ));
    *response.body_mut() = ResponseBody::whole(Bytes::from(page));
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

/// A 503 to a connection that is not served, as far as that can be said without waiting.
///
/// # Errors
/// The client does not take it, or has gone.
pub(super) fn turn_away(socket: &Socket) -> io::Result<()> {
    static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let page = page(StatusCode::SERVICE_UNAVAILABLE);
        let length = page.len();
        format!(
            "HTTP/1.1 {} Service Unavailable\r\nContent-Type: {PAGE_TYPE}\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{page}",
            StatusCode::SERVICE_UNAVAILABLE.as_str()
        )
        .into_bytes()
    });
    socket.set_nonblocking(true)?;
    socket.send(&ANSWER)?;
    socket.shutdown(Shutdown::Write)?;
    // A close with something unread would be a reset, and might overtake the answer.
    let mut unread = [MaybeUninit::uninit(); 4096];
    for _ in 0..UNREAD_PIECES {
        match socket.recv(&mut unread) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Ends the connection after this response.
pub(super) fn close_after(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

fn page(status: StatusCode) -> String {
    let (code, reason) = (status.as_str(), status.canonical_reason().unwrap_or("Error"));
    format!("<!doctype html>\n<title>{code} {reason}</title>\n<h1>{code} {reason}</h1>\n")
}
