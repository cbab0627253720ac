//! Peers that forward for others, as Xray's fallbacks do from loopback: PROXY headers, and HTTP/2 without TLS.

mod fallback;
mod headers;
mod http2;

use std::net::IpAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::Upstream;
use crate::support::{network, until};

/// What a limit of some hundred milliseconds takes at most on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: door.test\r\n\r\n";

/// A door with both kinds of listener.
async fn door(settings: Settings) -> Doorman {
    Doorman::start(&settings.set("https", "listen", vec!["127.0.0.1:0"])).await
}

/// A door with visitors from other addresses than loopback, and the panel behind it.
async fn abroad(settings: impl FnOnce(Settings) -> Settings) -> (Doorman, Upstream, TempDir) {
    let files = TempDir::new().unwrap();
    let socket = files.path().join("panel.sock");
    let panel = Upstream::on_socket(&socket);
    let base =
        Settings::panel(format!("unix:{}", socket.display())).set("http", "listen", network::DOOR.to_vec());
    (Doorman::start_by(&network::LAUNCHER, &settings(base)).await, panel, files)
}

/// Sends the second piece when the first one was read. Nobody else may come meanwhile.
async fn in_pieces(door: &Doorman, visitor: &mut Connection<TcpStream>, [first, second]: [&[u8]; 2]) {
    for (piece, unheard) in [(&b""[..], 1), (first, 0)] {
        visitor.send(piece).await;
        until("it was read", SOON, async || {
            (door.metric("doorman_connections_parked").await == unheard).then_some(())
        })
        .await;
    }
    visitor.send(second).await;
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A PROXY header of version 2.
fn binary(kind: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[kind, family][..], &length, rest].concat()
}
