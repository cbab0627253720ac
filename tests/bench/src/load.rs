//! The rows that count CPU: clients in a closed loop.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{bail, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::conn::{Conn, LARGE, Over, SMALL};
use crate::cycle::Cycle;
use crate::directory::TOKEN;
use crate::meter::{steady, whole};
use crate::proxies::{FIXED_ANSWER, Proxy, Running};
use crate::rig::Rig;
use crate::rows::{Sample, get};
use crate::tls::Client;
use crate::upstream::{LARGE_BODY, MIDDLE_BODY, SMALL_BODY};
use crate::websocket;

/// Clients of the rows with small messages.
pub(crate) const CLIENTS: usize = 64;
/// Clients of the rows that stream.
const STREAMS: usize = 8;
/// Connections of the HTTP/2 row, and streams on each.
const H2: (usize, usize) = (16, 4);
/// How long doorman may take to publish a token, or to listen with TLS.
const PATIENCE: Duration = Duration::from_secs(20);

/// A page of the upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Page {
    /// 200 bytes.
    Small,
    /// 64 KiB.
    Middle,
}

/// One GET after another on 64 connections.
pub(crate) async fn keep_alive(
    rig: &Rig,
    running: &Running,
    over: Over,
    page: Page,
) -> anyhow::Result<Sample> {
    let (path, length, buffer) = match page {
        Page::Small => ("/small", SMALL_BODY, SMALL),
        Page::Middle => ("/64k", MIDDLE_BODY, LARGE),
    };
    repeat_get(rig, running, over, path, (rig.texts.noise.clone(), length), buffer).await
}

/// GETs of a published token; nginx and the others answer one that stands in their configuration.
pub(crate) async fn challenge(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let path = format!("/.well-known/acme-challenge/{TOKEN}");
    let answer = match running.proxy() {
        Proxy::Doorman => published(rig, &path).await?,
        Proxy::Nginx | Proxy::NginxTuned | Proxy::Haproxy | Proxy::Caddy | Proxy::Relay => {
            FIXED_ANSWER.to_owned()
        }
    };
    let length = answer.len() as u64;
    repeat_get(rig, running, Over::Plain, &path, (Cycle::of(answer.into_bytes()), length), SMALL).await
}

/// Waits until doorman has published the token of its order.
async fn published(rig: &Rig, path: &str) -> anyhow::Result<String> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(answer) = rig.directory.key_authorization() {
            let mut conn = Conn::open(rig.http, None, SMALL).await?;
            conn.send(&get(rig.http, path, "keep-alive")).await?;
            if conn.response_head().await?.length == Some(answer.len() as u64) {
                return Ok(answer);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("no token was published")
}

async fn repeat_get(
    rig: &Rig,
    running: &Running,
    over: Over,
    path: &str,
    (text, length): (Cycle, u64),
    buffer: usize,
) -> anyhow::Result<Sample> {
    let (to, tls) = door(rig, over).await?;
    let request: Rc<[u8]> = get(to, path, "keep-alive").into();
    steady(rig, running, CLIENTS, |tally| {
        let (request, text, tls) = (Rc::clone(&request), text.clone(), tls.clone());
        async move {
            let mut conn = Conn::open(to, tls.as_ref(), buffer).await?;
            loop {
                conn.send(&request).await?;
                conn.expect_response(&text, length).await?;
                tally.add();
            }
        }
    })
    .await
}

/// A connection for each GET, which the proxy closes.
pub(crate) async fn new_connections(rig: &Rig, running: &Running, over: Over) -> anyhow::Result<Sample> {
    let (to, tls) = door(rig, over).await?;
    let request: Rc<[u8]> = get(to, "/small", "close").into();
    steady(rig, running, CLIENTS, |tally| {
        let (request, text, tls) = (Rc::clone(&request), rig.texts.noise.clone(), tls.clone());
        async move {
            loop {
                let mut conn = Conn::open(to, tls.as_ref(), SMALL).await?;
                conn.send(&request).await?;
                conn.expect_response(&text, SMALL_BODY).await?;
                conn.expect_end().await?;
                tally.add();
            }
        }
    })
    .await
}

/// GETs on 4 streams of each of 16 connections.
pub(crate) async fn http2(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let (to, _) = door(rig, Over::Tls).await?;
    let (connections, streams) = H2;
    let connection = Connections::open(rig, connections).await?;
    let result = steady(rig, running, connections * streams, |tally| {
        let mut sender = connection.senders[tally.number % connections].clone();
        let text = rig.texts.noise.clone();
        let uri = format!("https://{to}/small");
        async move {
            let request = http::Request::get(uri)
                .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")
                .header("accept", "*/*")
                .header("accept-language", "en")
                .header("cookie", "session=MTcwMDAwMDAwMHxEdi1CQkFFQ180SUFBUkFCRUFBQQ")
                .body(())?;
            loop {
                sender = sender.ready().await?;
                let (response, _) = sender.send_request(request.clone(), true)?;
                let response = response.await?;
                ensure!(response.status() == 200, "status {}", response.status());
                let mut body = response.into_body();
                let mut seen = 0;
                while let Some(piece) = body.data().await.transpose()? {
                    ensure!(text.holds(seen, &piece), "wrong byte in the {} after {seen}", piece.len());
                    body.flow_control().release_capacity(piece.len())?;
                    seen += piece.len() as u64;
                }
                ensure!(seen == SMALL_BODY, "{seen} bytes, not {SMALL_BODY}");
                tally.add();
            }
        }
    })
    .await;
    drop(connection);
    result
}

struct Connections {
    senders: Vec<h2::client::SendRequest<bytes::Bytes>>,
    /// Ends them when dropped.
    _drivers: JoinSet<Result<(), h2::Error>>,
}

impl Connections {
    async fn open(rig: &Rig, count: usize) -> anyhow::Result<Self> {
        let mut drivers = JoinSet::new();
        let mut senders = Vec::new();
        for _ in 0..count {
            let tcp = tokio::net::TcpStream::connect(rig.https).await?;
            tcp.set_nodelay(true)?;
            let tls = rig.tls_h2.handshake(tcp).await?;
            ensure!(tls.get_ref().1.alpn_protocol() == Some(b"h2"), "no HTTP/2");
            let (sender, connection) = h2::client::handshake(tls).await?;
            drivers.spawn_local(connection);
            senders.push(sender);
        }
        Ok(Self { senders, _drivers: drivers })
    }
}

/// Downloads of 100 MiB, one after another on 8 connections.
pub(crate) async fn downloads(rig: &Rig, running: &Running, over: Over) -> anyhow::Result<Sample> {
    let (to, tls) = door(rig, over).await?;
    let request: Rc<[u8]> = get(to, "/100m", "keep-alive").into();
    whole(rig, running, STREAMS, |turn| {
        let (request, text, tls) = (Rc::clone(&request), rig.texts.noise.clone(), tls.clone());
        async move {
            let mut conn = Conn::open(to, tls.as_ref(), LARGE).await?;
            while turn.goes_on() {
                conn.send(&request).await?;
                conn.expect_response(&text, LARGE_BODY).await?;
                turn.tally.add();
            }
            Ok(())
        }
    })
    .await
}

/// Uploads of 100 MiB; the upstream compares them before it answers.
pub(crate) async fn uploads(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let to = rig.http;
    whole(rig, running, STREAMS, |turn| {
        let text = rig.texts.noise.clone();
        async move {
            let head = format!("POST /upload HTTP/1.1\r\nHost: {to}\r\nContent-Length: {LARGE_BODY}\r\n\r\n");
            let mut conn = Conn::open(to, None, SMALL).await?;
            while turn.goes_on() {
                conn.send(head.as_bytes()).await?;
                conn.send_text(&text, 0, LARGE_BODY).await?;
                conn.expect_response(&text, SMALL_BODY).await?;
                turn.tally.add();
            }
            Ok(())
        }
    })
    .await
}

/// One 32-byte message after another, each waited for, on 64 connections.
pub(crate) async fn echo(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let to = rig.http;
    steady(rig, running, CLIENTS, |tally| {
        let noise = rig.texts.noise.clone();
        async move {
            let mut conn = open_websocket(to, "/ws/echo", SMALL).await?;
            for number in 0.. {
                let message = websocket::asked(&noise, number);
                conn.send(&message).await?;
                let reply = websocket::echoed(&message);
                while conn.unread().len() < reply.len() {
                    conn.fill().await?;
                }
                ensure!(conn.unread() == reply, "another message came back");
                conn.consume(reply.len());
                tally.add();
            }
            bail!("there are more numbers than that")
        }
    })
    .await
}

/// 100 MiB and 100 MiB and so on of long frames from the upstream, on 8 connections.
pub(crate) async fn bulk(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let to = rig.http;
    whole(rig, running, STREAMS, |turn| {
        let text = rig.texts.bulk.clone();
        async move {
            let mut conn = open_websocket(to, "/ws/bulk", LARGE).await?;
            let mut position = 0;
            while turn.goes_on() {
                conn.expect_text(&text, position, LARGE_BODY).await?;
                position += LARGE_BODY;
                turn.tally.add();
            }
            Ok(())
        }
    })
    .await
}

async fn open_websocket(to: std::net::SocketAddr, path: &str, buffer: usize) -> anyhow::Result<Conn> {
    let mut conn = Conn::open(to, None, buffer).await?;
    conn.send(websocket::opening(&to.to_string(), path).as_bytes()).await?;
    let status = conn.response_head().await?.status;
    ensure!(status == 101, "status {status}, not 101");
    Ok(conn)
}

/// Where to connect, once the proxy listens there.
async fn door(rig: &Rig, over: Over) -> anyhow::Result<(std::net::SocketAddr, Option<Client>)> {
    match over {
        Over::Plain => Ok((rig.http, None)),
        Over::Tls => {
            let started = Instant::now();
            loop {
                match Conn::open(rig.https, Some(&rig.tls), SMALL).await {
                    Ok(_) => return Ok((rig.https, Some(rig.tls.clone()))),
                    Err(error) if started.elapsed() > PATIENCE => return Err(error),
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        }
    }
}
