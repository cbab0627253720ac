//! The token, fetched through our own door, before the CA is told to: a path that is broken here costs no limit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::shared::listeners::{Kind, Listener, State};

/// We talk to ourselves.
const LIMIT: Duration = Duration::from_secs(5);

/// The CA reads no more than that of an answer either.
const ANSWER_LIMIT: usize = 1024;

/// RFC 8555 section 8.3.
pub(super) const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// Why a token was not seen.
#[derive(Debug, Error)]
pub(crate) enum SelfCheckError {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    /// The exchange broke off.
    #[error("the exchange broke off")]
    Http(#[source] hyper::Error),
    /// The answer broke off, or is too large to be a key authorization.
    #[error("the answer could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It takes too long.
    #[error("no answer within {} s", LIMIT.as_secs())]
    TimedOut,
    /// One of our own limits: no other answer of ours to a token is a 503.
    #[error("all connections that http.max_connections or the descriptor limit allow are in use (503)")]
    Full,
    /// Another answer than 200.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// Another body than the key authorization.
    #[error("another program answers there")]
    OtherBody,
    /// The token cannot be part of a URL.
    #[error("the token is no token")]
    Token(#[source] http::Error),
}

/// Our listeners through which the CA could come.
pub(super) fn doors(listeners: &[Listener]) -> impl Iterator<Item = SocketAddr> + '_ {
    listeners
        .iter()
        .filter(|listener| listener.kind == Kind::Http && listener.state == State::Listening)
        .map(|listener| dialable(listener.address))
}

/// The address at which a listener is reached from its own machine.
pub(crate) fn dialable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

/// Fetches the token as the CA will.
pub(super) async fn fetch(
    door: SocketAddr,
    identifier: IpAddr,
    token: &str,
    key_authorization: &str,
) -> Result<(), SelfCheckError> {
    tokio::time::timeout(LIMIT, exchange(door, identifier, token, key_authorization))
        .await
        .unwrap_or(Err(SelfCheckError::TimedOut))
}

async fn exchange(
    door: SocketAddr,
    identifier: IpAddr,
    token: &str,
    key_authorization: &str,
) -> Result<(), SelfCheckError> {
    let request = Request::get(format!("{CHALLENGE_PATH}{token}"))
        .header(HOST, host(identifier))
        .body(Empty::<Bytes>::new())
        .map_err(SelfCheckError::Token)?;
    let stream = TcpStream::connect(door).await.map_err(SelfCheckError::Connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(AskFirst::new(stream)))
        .await
        .map_err(SelfCheckError::Http)?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(SelfCheckError::Http)?;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Err(SelfCheckError::Full);
        }
        if answer.status() != StatusCode::OK {
            return Err(SelfCheckError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
            .collect()
            .await
            .map_err(SelfCheckError::Body)?
            .to_bytes();
        if body.trim_ascii_end() == key_authorization.as_bytes() {
            Ok(())
        } else {
            Err(SelfCheckError::OtherBody)
        }
    };
    tokio::pin!(talk, connection);
    tokio::select! {
        seen = &mut talk => seen,
        ended = &mut connection => {
            ended.map_err(SelfCheckError::Http)?;
            talk.await // the answer is complete when the connection ends well
        }
    }
}

/// A stream that shows nothing before it was written to. A door that is full answers before it is asked, which would be
/// taken for an answer to nothing.
struct AskFirst {
    stream: TcpStream,
    /// Who waits to read, until something was asked.
    unasked: Option<Option<Waker>>,
}

impl AskFirst {
    fn new(stream: TcpStream) -> Self {
        Self { stream, unasked: Some(None) }
    }
}

impl AsyncRead for AskFirst {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some(reader) = &mut self.unasked {
            *reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for AskFirst {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        if let Some(Some(reader)) = self.unasked.take() {
            reader.wake();
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// RFC 8738 section 3: the Host field is the bare address, IPv6 in brackets.
pub(super) fn host(identifier: IpAddr) -> String {
    match identifier {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_dialled_on_loopback() {
        let dial = |text: &str| dialable(text.parse().unwrap()).to_string();
        assert_eq!(dial("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(dial("[::]:80"), "[::1]:80");
        assert_eq!(dial("192.0.2.1:8080"), "192.0.2.1:8080");
    }

    #[test]
    fn the_host_is_the_bare_address() {
        assert_eq!(host("2001:db8::1".parse().unwrap()), "[2001:db8::1]");
        assert_eq!(host("192.0.2.1".parse().unwrap()), "192.0.2.1");
    }
}
