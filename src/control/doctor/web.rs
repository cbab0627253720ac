//! The little of HTTP and TLS that is needed to see whether somebody is there.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::config::UpstreamTrust;
use crate::shared::trust;

/// For a connection, and for each piece of an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// More of an answer is not looked at.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// A connection to the first address of `host` that accepts one.
pub(super) fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// TLS over it, as far as the handshake.
pub(super) fn handshake(
    stream: TcpStream,
    host: &str,
    trusted: &UpstreamTrust,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let config: ClientConfig = trust::client_config(trusted).map_err(io::Error::other)?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = stream;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// One GET, and the answer as it came.
pub(super) fn get(mut stream: impl Read + Write, host: &str, target: &str) -> io::Result<String> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: doorman-doctor\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_LIMIT).read_to_end(&mut answer);
    match read {
        Err(error) if answer.is_empty() => Err(error),
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) | Err(_) => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// A field of an answer's head.
pub(super) fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The status code of an answer in HTTP/1.
pub(super) fn code(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_a_body_is_no_head() {
        let answer = "HTTP/1.1 204 No Content\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nX-Not: here";
        assert_eq!(code(answer), Some(204));
        assert_eq!(field(answer, "Date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
        assert_eq!(field(answer, "X-Not"), None);
        assert_eq!(code("HTTP/0.0 307 Temporary Redirect\r\n\r\n"), None);
    }
}
