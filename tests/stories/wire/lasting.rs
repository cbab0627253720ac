//! Tunnels that last: what no single row can show.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::until;
use crate::support::upstream::Upstream;

use super::tunnels::{ASKS, SWITCHES};

/// Far beyond any time limit that these stories set.
const SOON: Duration = Duration::from_secs(10);

/// An echo, after the handshake.
async fn echo() -> Upstream {
    Upstream::with(|mut client| async move {
        client.head().await;
        client.send(SWITCHES).await;
        loop {
            let said = std::mem::take(&mut client.buffer);
            client.send(said).await;
            if !client.more().await {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn no_time_limit_of_http_holds_in_a_tunnel() {
    let panel = echo().await;
    let short = "300ms";
    let settings = Settings::panel(panel.url())
        .set("http", "header_timeout", short)
        .set("http", "idle_timeout", short)
        .set("http", "body_timeout", short)
        .set("panel", "response_timeout", short);
    let door = Doorman::start(&settings).await;
    let address = door.http().await;
    let mut tunnel = Connection::open(address).await;
    tunnel.send(ASKS).await;
    assert_eq!(tunnel.head().await.unwrap().status(), 101);

    // The clock: connections that the same limits end, one after the other.
    for _ in 0..3 {
        let mut idle = Connection::open(address).await;
        let said = tokio::time::timeout(SOON, idle.rest()).await.expect("it ends after idle_timeout");
        assert!(said.is_empty());
    }

    tunnel.send("still here").await;
    assert_eq!(tunnel.bytes(10).await, b"still here");
}

#[tokio::test]
async fn both_ends_of_a_tunnel_are_probed_for_life() {
    let panel = echo().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let address = door.http().await;
    let mut tunnel = Connection::open(address).await;
    tunnel.send(ASKS).await;
    assert_eq!(tunnel.head().await.unwrap().status(), 101);
    tunnel.send("ping").await;
    assert_eq!(tunnel.bytes(4).await, b"ping");

    let visitor = tunnel.stream.local_addr().unwrap();
    until("the visitor's side is probed", SOON, async || {
        is_probed(Some(address), Some(visitor)).then_some(())
    })
    .await;
    until("the panel's side is probed", SOON, async || is_probed(None, Some(panel.address)).then_some(()))
        .await;
}

/// Whether the kernel has armed the keep-alive timer (`tr` is 02) of an open socket with these ends.
fn is_probed(local: Option<SocketAddr>, remote: Option<SocketAddr>) -> bool {
    const OPEN: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is = |field: &str, end: Option<SocketAddr>| {
        end.is_none_or(|end| field.ends_with(&format!(":{:04X}", end.port())))
    };
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        is(fields[1], local) && is(fields[2], remote) && fields[3] == OPEN && fields[5].starts_with("02:")
    })
}
