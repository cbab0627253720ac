//! An ACME server (RFC 8555) that takes an order as far as the challenge and then says nothing more, so that the
//! token stays published for as long as the client waits.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The token of every order: 256 bits, as public CAs make them.
pub(crate) const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
/// The largest request we read.
const LIMIT: usize = 64 * 1024;

/// The running server.
#[derive(Debug)]
pub(crate) struct Directory {
    address: SocketAddr,
    thumbprint: Rc<RefCell<Option<String>>>,
}

impl Directory {
    /// Starts it on the current thread.
    ///
    /// # Errors
    /// No free port on loopback.
    pub(crate) async fn start(acceptor: TlsAcceptor) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let thumbprint = Rc::default();
        let seen = Rc::clone(&thumbprint);
        tokio::task::spawn_local(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Rc::clone(&seen));
                // A client that goes away, goes away.
                tokio::task::spawn_local(
                    async move { serve(acceptor.accept(tcp).await?, address, &seen).await },
                );
            }
            anyhow::Ok(())
        });
        Ok(Self { address, thumbprint })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the client of the last account must publish (RFC 8555, section 8.1); `None` before there is one.
    pub(crate) fn key_authorization(&self) -> Option<String> {
        Some(format!("{TOKEN}.{}", self.thumbprint.borrow().as_deref()?))
    }

    /// Forgets the last account.
    pub(crate) fn forget(&self) {
        self.thumbprint.replace(None);
    }
}

async fn serve(
    mut tls: TlsStream<TcpStream>,
    address: SocketAddr,
    seen: &RefCell<Option<String>>,
) -> anyhow::Result<()> {
    let mut unread = Vec::new();
    let mut nonce = 0_u32;
    while let Some(request) = read(&mut tls, &mut unread).await? {
        let url = |path: &str| format!("https://{address}{path}");
        let (status, location, body) = match request.path.as_str() {
            "/directory" => ("200 OK", None, listing(url)),
            "/nonce" => ("200 OK", None, Value::Null),
            "/account" => {
                seen.replace(Some(thumbprint(&request.body)?));
                ("201 Created", Some(url("/account/1")), json!({"status": "valid"}))
            }
            "/order" => ("201 Created", Some(url("/order/1")), order(url)),
            "/order/1" => ("200 OK", None, order(url)),
            "/authorization" => ("200 OK", None, authorization(url)),
            // The challenge, and whatever else: the client waits.
            _ => return std::future::pending().await,
        };
        nonce += 1;
        let location = location.map(|url| format!("Location: {url}\r\n")).unwrap_or_default();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nReplay-Nonce: {nonce:016}\r\n{location}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tls.write_all(response.as_bytes()).await?;
        tls.flush().await?;
    }
    Ok(())
}

fn listing(url: impl Fn(&str) -> String) -> Value {
    json!({
        "newNonce": url("/nonce"),
        "newAccount": url("/account"),
        "newOrder": url("/order"),
        "revokeCert": url("/revoke"),
        "keyChange": url("/key"),
        "meta": {"profiles": {"shortlived": "for 160 hours"}},
    })
}

fn order(url: impl Fn(&str) -> String) -> Value {
    json!({
        "status": "pending",
        "identifiers": [{"type": "ip", "value": "127.0.0.1"}],
        "authorizations": [url("/authorization")],
        "finalize": url("/finalize"),
    })
}

fn authorization(url: impl Fn(&str) -> String) -> Value {
    let challenge = json!({"type": "http-01", "url": url("/challenge"), "token": TOKEN, "status": "pending"});
    json!({
        "status": "pending",
        "identifier": {"type": "ip", "value": "127.0.0.1"},
        "challenges": [challenge],
    })
}

/// The thumbprint (RFC 7638) of the elliptic-curve key that signed a request for an account.
fn thumbprint(jws: &[u8]) -> anyhow::Result<String> {
    let jws: Value = serde_json::from_slice(jws)?;
    let protected = BASE64.decode(jws["protected"].as_str().context("no protected header")?)?;
    let protected: Value = serde_json::from_slice(&protected)?;
    let key = &protected["jwk"];
    let canonical =
        format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, key["crv"], key["kty"], key["x"], key["y"]);
    Ok(BASE64.encode(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes())))
}

#[derive(Debug)]
struct Request {
    path: String,
    body: Vec<u8>,
}

async fn read(tls: &mut TlsStream<TcpStream>, unread: &mut Vec<u8>) -> anyhow::Result<Option<Request>> {
    while unread.len() < LIMIT {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) = request.parse(unread)? {
            let length =
                request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length: usize = length
                .map_or(Ok(0), |header| std::str::from_utf8(header.value)?.parse().context("length"))?;
            let path = request.path.unwrap_or_default().to_owned();
            if let Some(body) = unread.get(head..head.saturating_add(length)) {
                let body = body.to_vec();
                unread.drain(..head + length);
                return Ok(Some(Request { path, body }));
            }
        }
        if tls.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
    anyhow::bail!("a request of more than {LIMIT} bytes")
}
