//! How many connections and tunnels there may be.

use std::net::IpAddr;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{SOON, SWITCHING, UPGRADE, door, soon};
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::{Upstream, plain};
use crate::support::{network, until};

#[tokio::test]
async fn who_comes_above_max_connections_hears_a_503_and_is_served_when_a_place_is_free() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("max_connections", "3")]).await;
    let (http, https) = (door.http().await, door.https().await);
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut client = Connection::open(http).await;
        assert_eq!(client.get("/").await.status(), 200);
        inside.push(client);
    }

    // It hears so without having asked for anything.
    let mut silent = Connection::open(http).await;
    is_turned_away(&mut silent).await;
    let mut asking = Connection::open(http).await;
    asking.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    is_turned_away(&mut asking).await;
    // TLS has no words for it before the handshake, which is what costs.
    let mut tls = Connection::open(https).await;
    assert!(soon("the TLS listener closes", tls.rest()).await.is_empty());
    assert_eq!(door.metric("doorman_connections_refused_total").await, 3);

    // Who is inside is not touched.
    for client in &mut inside {
        assert_eq!(client.get("/").await.status(), 200);
    }
    inside.pop();
    until("the place is free", SOON, async || {
        let mut client = Connection::open(http).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        (client.answer().await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_has_no_more_than_its_share_from_other_addresses() {
    let files = tempfile::TempDir::new().unwrap();
    let socket = files.path().join("panel.sock");
    let panel = Upstream::on_socket(&socket);
    let settings = Settings::panel(format!("unix:{}", socket.display()))
        .set("http", "listen", network::DOOR.to_vec())
        .set("http", "max_connections_per_ip", 2);
    let door = Doorman::start_by(&network::LAUNCHER, &settings).await;

    for (to, guest, another) in [
        (network::DOOR[0], "192.0.2.7", "192.0.2.8"),
        // An address is an address: the others of its network have a share of their own.
        (network::DOOR[1], "2001:db8::7", "2001:db8::8"),
    ] {
        let [guest, another] = [guest, another].map(|address| address.parse::<IpAddr>().unwrap());
        let to = to.parse().unwrap();
        let mut first = network::connect(&door.process, guest, to).await;
        let mut second = network::connect(&door.process, guest, to).await;
        for client in [&mut first, &mut second] {
            assert_eq!(client.get("/").await.status(), 200);
        }
        assert_eq!(panel.seen().last().unwrap().field("x-forwarded-for"), Some(&*guest.to_string()));

        is_turned_away(&mut network::connect(&door.process, guest, to).await).await;
        let mut other = network::connect(&door.process, another, to).await;
        assert_eq!(other.get("/").await.status(), 200);

        drop(second);
        until("the place is free", SOON, async || {
            let mut client = network::connect(&door.process, guest, to).await;
            client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
            (client.answer().await.status() == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn loopback_has_no_share_of_its_own() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("max_connections_per_ip", "1")]).await;
    let http = door.http().await;

    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Connection::open(http).await;
        assert_eq!(client.get("/").await.status(), 200);
        clients.push(client);
    }
}

#[tokio::test]
async fn a_tunnel_above_max_tunnels_is_a_503_and_plain_requests_go_on() {
    let (release, released) = watch::channel(false);
    let (ask, mut asked) = watch::channel(false);
    let panel = Upstream::with(move |mut client| {
        let (mut released, ask) = (released.clone(), ask.clone());
        async move {
            while let Some(request) = client.request().await {
                if request.field("upgrade").is_none() {
                    client.send(plain(200, "plain")).await;
                    continue;
                }
                // Asked for, but not granted yet.
                ask.send_replace(true);
                let _ = released.wait_for(|released| *released).await;
                client.send(SWITCHING).await;
                client.rest().await;
                return;
            }
        }
    })
    .await;
    let door = door(&panel, &[("max_tunnels", "1")]).await;
    let http = door.http().await;
    let mut first = Connection::open(http).await;
    first.send(UPGRADE).await;

    soon("the first one is asked for", asked.wait_for(|asked| *asked)).await.unwrap();

    // It has its place from that moment.
    let mut second = Connection::open(http).await;
    second.send(UPGRADE).await;
    let refused = soon("an answer at once", second.answer()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("503 Service Unavailable"), "{refused:?}");
    assert_eq!(second.get("/").await.text(), "plain", "its connection goes on");

    release.send(true).unwrap();
    assert_eq!(first.head().await.unwrap().status(), 101);
    until("it counts as a tunnel", SOON, async || (door.metric("doorman_tunnels").await == 1).then_some(()))
        .await;
    drop(first);
    until("the tunnel's place is free", SOON, async || {
        let mut third = Connection::open(http).await;
        third.send(UPGRADE).await;
        (third.head().await.unwrap().status() == 101).then_some(())
    })
    .await;
}

/// It reads a whole 503, and then the end.
async fn is_turned_away(client: &mut Connection<TcpStream>) {
    let answer = soon("it hears why", client.answer()).await;
    assert_eq!((answer.status(), answer.field("connection")), (503, Some("close")));
    assert!(answer.text().contains("503 Service Unavailable"), "{answer:?}");
    assert!(soon("it is closed", client.rest()).await.is_empty());
}
