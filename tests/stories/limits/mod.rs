//! The limits of `[http]`, one story each, and what hostile clients do to the door.

mod bodies;
mod connections;
mod crowds;
mod descriptors;
mod heads;
mod http2;
mod memory;
mod parking;
mod sips;

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::interval;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::Upstream;

/// What a limit of some hundred milliseconds takes at most on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

/// Between two bytes of a client that is slow on purpose.
const DRIP: Duration = Duration::from_millis(50);

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What comes of `future`, which a limit of the door brings about.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

/// Sends a byte now and then until the other side has ended the connection; what it said meanwhile.
async fn drip<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Connection<S>) -> Vec<u8> {
    let mut tick = interval(DRIP);
    loop {
        tokio::select! {
            more = client.more() => if !more { return std::mem::take(&mut client.buffer) },
            _ = tick.tick() => if client.stream.write_all(b"x").await.is_err() {
                return client.rest().await;
            },
        }
    }
}

/// A door with both kinds of listener before a panel that answers everything.
async fn door(panel: &Upstream, limits: &[(&'static str, &'static str)]) -> Doorman {
    let settings = Settings::panel(panel.url()).set("https", "listen", vec!["127.0.0.1:0"]);
    let set = |settings: Settings, (key, value): &(&'static str, &'static str)| match value.parse::<u64>() {
        Ok(number) => settings.set("http", key, number),
        Err(_) => settings.set("http", key, *value),
    };
    Doorman::start(&limits.iter().fold(settings, set)).await
}
