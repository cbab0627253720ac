//! What answers behind the proxies: a panel that knows a few pages by heart.

use std::net::SocketAddr;

use anyhow::{bail, ensure};
use tokio::net::{TcpListener, TcpStream};

use crate::conn::{Conn, LARGE};
use crate::cycle::Cycle;
use crate::websocket;

/// The body of `/small`, bytes.
pub(crate) const SMALL_BODY: u64 = 200;
/// The body of `/64k`.
pub(crate) const MIDDLE_BODY: u64 = 64 * 1024;
/// The body of `/100m` and of an upload, and the length of a WebSocket stream.
pub(crate) const LARGE_BODY: u64 = 100 * 1024 * 1024;

/// Everything the upstream and the clients agree on.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    /// Every HTTP body, from its beginning.
    pub(crate) noise: Cycle,
    /// A WebSocket stream.
    pub(crate) bulk: Cycle,
}

impl Texts {
    /// Makes them.
    pub(crate) fn new() -> Self {
        let noise = Cycle::noise();
        Self { bulk: websocket::bulk(&noise), noise }
    }
}

/// Starts the upstream on the current thread and says where it listens.
///
/// # Errors
/// No free port on loopback.
pub(crate) async fn start(texts: Texts) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::task::spawn_local(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let texts = texts.clone();
            // What goes wrong here goes wrong at the client too, which counts it.
            tokio::task::spawn_local(async move { serve(tcp, &texts).await });
        }
    });
    Ok(address)
}

async fn serve(tcp: TcpStream, texts: &Texts) -> anyhow::Result<()> {
    tcp.set_nodelay(true)?;
    let mut conn = Conn::accepted(tcp, LARGE);
    while let Some(request) = conn.request_head().await? {
        match request.what.as_str() {
            "GET /small" => answer(&mut conn, texts, SMALL_BODY).await?,
            "GET /64k" => answer(&mut conn, texts, MIDDLE_BODY).await?,
            "GET /100m" => answer(&mut conn, texts, LARGE_BODY).await?,
            "POST /upload" => {
                ensure!(request.length == LARGE_BODY, "an upload of {} bytes", request.length);
                conn.expect_text(&texts.noise, 0, LARGE_BODY).await?;
                answer(&mut conn, texts, SMALL_BODY).await?;
            }
            "GET /ws/echo" => return echo(conn).await,
            "GET /ws/bulk" => {
                conn.send(websocket::ACCEPTED).await?;
                return conn.send_text(&texts.bulk, 0, u64::MAX).await;
            }
            other => bail!("nothing here by the name of {other}"),
        }
        if request.close {
            break;
        }
    }
    Ok(())
}

async fn answer(conn: &mut Conn, texts: &Texts, length: u64) -> anyhow::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: no-store\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: {length}\r\n\r\n"
    );
    // Head and beginning of the body in one segment, as a panel with a buffer would.
    let first = length.min(MIDDLE_BODY);
    let mut message = head.into_bytes();
    message.extend_from_slice(texts.noise.at(0, first as usize));
    conn.send(&message).await?;
    conn.send_text(&texts.noise, first, length).await
}

async fn echo(mut conn: Conn) -> anyhow::Result<()> {
    conn.send(websocket::ACCEPTED).await?;
    loop {
        while conn.unread().len() < websocket::ASKED {
            conn.fill().await?;
        }
        let reply = websocket::echoed(&conn.unread()[..websocket::ASKED]);
        conn.consume(websocket::ASKED);
        conn.send(&reply).await?;
    }
}
