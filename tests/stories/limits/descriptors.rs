//! When there are no descriptors left.

use std::time::Duration;

use tokio::net::TcpStream;

use super::{SOON, door, soon};
use crate::support::client::{Connection, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::until;
use crate::support::upstream::{Upstream, plain};

/// Connections that come although there is no room for them.
const FLOOD: usize = 500;

/// The time that the process may have run for all of them, and for every look at its state meanwhile. A loop around a
/// failing `accept` would take whole seconds.
const CPU_TIME: Duration = Duration::from_secs(2);

/// A while in which nobody comes.
const QUIET: Duration = Duration::from_secs(1);

#[tokio::test]
async fn with_sixty_four_descriptors_it_serves_fewer_and_refuses_the_rest_politely() {
    let panel = Upstream::answering(|_| plain(200, "ok")).await;
    let settings = Settings::panel(panel.url()).set("http", "workers", 2);
    let door = Doorman::start_by(&["prlimit", "--nofile=64:64"], &settings).await;
    door.process.says("fewer connections: the descriptor limit", SOON).await;
    let http = door.http().await;

    let (mut answered, mut refused) = (0, 0);
    let mut clients = Vec::new();
    for _ in 0..FLOOD {
        let mut client = Connection::open(http).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        match soon("an answer", client.answer()).await.status() {
            200 => answered += 1,
            503 => refused += 1,
            other => panic!("a {other}"),
        }
        clients.push(client);
    }
    println!("{answered} were served, {refused} refused; {} descriptors", door.process.descriptors());
    assert!(answered >= 8, "only {answered} were served");
    assert_eq!(door.metric("doorman_connections").await, answered);
    assert_eq!(door.metric("doorman_connections_refused_total").await, refused);
    drop(clients);
    recovers(&door).await;
}

#[tokio::test]
async fn without_a_descriptor_left_it_refuses_politely_and_recovers() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("workers", "1")]).await;
    let (http, https) = (door.http().await, door.https().await);
    let mut inside = Connection::open(http).await;
    assert_eq!(inside.get("/").await.status(), 200);
    // Room for a few clients, which say nothing and so need no upstream, and for whoever asks the admin interface.
    door.process.limit_descriptors(door.process.descriptors() + 10);
    let mut guests = Vec::new();
    until("no descriptor is left", SOON, async || {
        let mut guest = Connection::open(http).await;
        let refused = tokio::time::timeout(SOON / 100, guest.more()).await.is_ok();
        if !refused {
            guests.push(guest);
        }
        refused.then_some(())
    })
    .await;
    let before = door.process.cpu_time();

    let mut polite = 0;
    for number in 0..FLOOD {
        if number % 10 == 0 {
            // TLS has no words for it.
            let mut tls = Connection::<TcpStream>::open(https).await;
            assert!(soon("it is closed", tls.rest()).await.is_empty());
            continue;
        }
        let mut client = Connection::open(http).await;
        let answer = soon("it hears why", client.answer()).await;
        assert_eq!((answer.status(), answer.field("connection")), (503, Some("close")));
        polite += 1;
    }
    let ran = door.process.cpu_time() - before;
    println!("{polite} were refused politely; the process ran for {ran:?}");
    assert!(ran < CPU_TIME, "it ran for {ran:?}");
    assert_eq!(inside.get("/").await.status(), 200, "who is inside is served");

    // Nobody comes for a while. It asks for a descriptor now and then, and not all the time.
    let before = door.process.cpu_time();
    let silence = tokio::time::timeout(QUIET, guests[0].more()).await;
    assert!(silence.is_err(), "a guest was cut");
    let ran = door.process.cpu_time() - before;
    println!("it ran for {ran:?} of {QUIET:?} in which nobody came");
    assert!(ran < QUIET / 4, "it ran for {ran:?} of {QUIET:?}");

    drop(guests);
    recovers(&door).await;
    assert!(door.metric("doorman_accept_errors_total").await > 0);
    assert!(door.metric("doorman_connections_refused_total").await >= polite);
}

#[tokio::test]
async fn an_upstream_that_no_descriptor_is_left_for_is_a_503() {
    // Each request has a connection of its own to the panel, which keeps it.
    let panel = Upstream::with(|mut client| async move {
        client.request().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
        client.rest().await;
    })
    .await;
    let door = door(&panel, &[("workers", "1")]).await;
    let http = door.http().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Connection::open(http).await);
    }
    until("all are there", SOON, async || (door.metric("doorman_connections").await == 20).then_some(()))
        .await;
    door.process.limit_descriptors(door.process.descriptors() + 10);

    let mut statuses = Vec::new();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        statuses.push(soon("an answer", client.head()).await.unwrap().status());
    }

    assert_eq!((statuses[0], statuses[19]), (200, 503), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    drop(clients);
    until("the next request finds room", SOON, async || {
        let mut client = Connection::open(http).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        (client.head().await?.status() == 200).then_some(())
    })
    .await;
}

/// Once there is room, everybody is served again.
async fn recovers(door: &Doorman) {
    let http = door.http().await;
    until("a request is answered again", SOON, async || (get(http, "/").await.status() == 200).then_some(()))
        .await;
    for _ in 0..20 {
        let mut client = Connection::open(http).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 200);
    }
}
