//! The PROXY protocol, versions 1 and 2.

use tokio::net::TcpStream;

use super::{REQUEST, SOON, abroad, binary, door, in_pieces, ip};
use crate::support::client::{Connection, Message};
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::Upstream;
use crate::support::{network, tls, until};

/// The addresses and ports of a header of version 2: from 198.51.100.7.
const V4: [u8; 12] = [198, 51, 100, 7, 192, 0, 2, 1, 0xc3, 0x50, 0, 80];

/// What is sent, and the client that the panel hears of.
fn headers() -> Vec<(Vec<u8>, &'static str)> {
    let v6 = [&ip6("2001:db8::7")[..], &ip6("2001:db8::1"), &[0xc3, 0x50, 0, 80]].concat();
    let with_more = [&V4[..], &[0x02, 0, 4], b"name", &[0x04, 0, 1, 0]].concat();
    vec![
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\n".to_vec(), "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 80\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 50000 80\r\n".to_vec(), "198.51.100.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(0x21, 0x11, &V4), "198.51.100.7"),
        (binary(0x21, 0x21, &v6), "2001:db8::7"),
        (binary(0x21, 0x11, &with_more), "198.51.100.7"),
        (binary(0x20, 0x00, &[]), "127.0.0.1"),
        (Vec::new(), "127.0.0.1"),
    ]
}

#[tokio::test]
async fn a_header_from_loopback_names_the_visitor_to_the_panel() {
    let panel = Upstream::panel().await;
    let door = door(Settings::panel(panel.url())).await;
    let (http, https) = (door.http().await, door.https().await);
    let anybody = tls::trusting_anybody(&["http/1.1"]);
    for (header, client) in headers() {
        let mut plain = Connection::open(http).await;
        plain.send([&header, REQUEST.as_bytes()].concat()).await;
        assert_eq!(plain.answer().await.status(), 200);
        assert_eq!(plain.get("/again").await.status(), 200);

        let mut socket = Connection::open(https).await;
        socket.send(&header).await;
        let mut encrypted = Connection::over(tls::over(socket.stream, &anybody).await.unwrap());
        assert_eq!(encrypted.get("/").await.status(), 200);

        let seen = panel.seen();
        for request in &seen[seen.len() - 3..] {
            let text = String::from_utf8_lossy(&header);
            assert_eq!(request.field("x-forwarded-for"), Some(client), "{text:?}");
            assert_eq!(request.field("x-real-ip"), Some(client), "{text:?}");
        }
    }
}

#[tokio::test]
async fn a_header_in_pieces_loses_no_byte() {
    let panel = Upstream::panel().await;
    let door = door(Settings::panel(panel.url())).await;
    for (header, client) in headers() {
        let bytes = [&header, REQUEST.as_bytes()].concat();
        let mut visitor = Connection::open(door.http().await).await;
        visitor.stream.set_nodelay(true).unwrap();
        for byte in &bytes {
            visitor.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(visitor.answer().await.text(), "the panel: GET / HTTP/1.1");
        assert_eq!(panel.seen().last().unwrap().field("x-forwarded-for"), Some(client));
    }
}

#[tokio::test]
async fn a_header_that_is_none_ends_the_connection_and_is_counted() {
    let panel = Upstream::panel().await;
    let door = door(Settings::panel(panel.url())).await;
    let good = b"PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\n".to_vec();
    let bad = [
        b"PROXY TCP4 198.51.100.7 192.0.2.1 50000\r\n".to_vec(),
        b"PROXY TCP9 198.51.100.7 192.0.2.1 50000 80\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 100][..], b"\r\n"].concat(),
        binary(0x31, 0x11, &[0; 12]),
        binary(0x21, 0x11, &[0; 5]),
        binary(0x21, 0x00, &[0; 60_000]),
        [good.clone(), good].concat(), // who is spoken for does not speak for others
    ];
    for (listener, header) in [door.http().await, door.https().await]
        .iter()
        .flat_map(|to| bad.iter().map(move |header| (*to, header)))
    {
        let mut visitor = Connection::open(listener).await;
        visitor.send([header, REQUEST.as_bytes()].concat()).await;
        assert_eq!(visitor.rest().await, b"", "{:?}", String::from_utf8_lossy(header));
    }
    assert!(panel.seen().is_empty());
    assert_eq!(door.metric("doorman_proxy_header_errors_total").await, 2 * bad.len() as u64);
    door.process.says("malformed PROXY header", SOON).await;
    let log = door.process.log();
    let said: Vec<_> = log.iter().filter(|line| line.contains("malformed PROXY header")).collect();
    assert!(said.len() <= 2, "once for each worker: {said:#?}");
    assert!(said.iter().all(|line| line.contains(" WARN ")), "{said:#?}");
}

#[tokio::test]
async fn a_header_has_header_timeout_and_so_has_what_follows_it() {
    let panel = Upstream::panel().await;
    let door = door(Settings::panel(panel.url()).set("http", "header_timeout", "500ms")).await;
    for start in
        ["P", "PROXY TCP4 198.51", "\r\n\r\n\0", "PRI * HTTP", "PROXY UNKNOWN\r\n", "PROXY UNKNOWN\r\nGET / "]
    {
        let mut visitor = Connection::open(door.http().await).await;
        visitor.send(start).await;
        let rest = tokio::time::timeout(SOON, visitor.rest()).await;
        assert_eq!(rest.unwrap_or_else(|_| panic!("{start:?} is not ended")), b"");
    }
    assert!(panel.seen().is_empty());
}

#[tokio::test]
async fn a_visitor_counts_for_himself_and_not_for_who_forwards_him() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url()).set("http", "max_connections_per_ip", 2)).await;
    let forwarded = async |client: &str| {
        let mut visitor = Connection::open(door.http().await).await;
        visitor.send(format!("PROXY TCP4 {client} 192.0.2.1 50000 80\r\n{REQUEST}")).await;
        let status = visitor.answer().await.status();
        (status, visitor)
    };
    let (first, second) = (forwarded("198.51.100.7").await, forwarded("198.51.100.7").await);
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(forwarded("198.51.100.7").await.0, 503);
    assert_eq!(forwarded("198.51.100.8").await.0, 200);
    drop(second);
    until("the place is free", SOON, async || (forwarded("198.51.100.7").await.0 == 200).then_some(())).await;
}

#[tokio::test]
async fn a_header_is_believed_of_trusted_proxies_and_of_nobody_else_from_other_addresses() {
    let header = b"PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\n".to_vec();
    let (door, panel, _files) = abroad(|settings| {
        settings.set("http", "trusted_proxies", vec!["192.0.2.9"]).set("http", "redirect_to_https", true)
    })
    .await;
    let to = network::DOOR[0].parse().unwrap();

    for header in [header, binary(0x21, 0x11, &V4)] {
        let all = [&header, REQUEST.as_bytes()].concat();
        let mut stranger = network::connect(&door.process, ip("192.0.2.7"), to).await;
        stranger.send(&all).await;
        assert_eq!(stranger.answer().await.status(), 400, "{:?}", String::from_utf8_lossy(&header));
        // The same where it does not show at first what it is.
        let mut stranger = network::connect(&door.process, ip("192.0.2.7"), to).await;
        in_pieces(&door, &mut stranger, [&all[..3], &all[3..]]).await;
        assert_eq!(stranger.answer().await.status(), 400, "{:?}", String::from_utf8_lossy(&header));
    }
    assert!(panel.seen().is_empty());

    // What is trusted is the peer; and it is the peer, not who it speaks for, that may be on loopback.
    let challenge = "/.well-known/acme-challenge/unknown";
    for client in ["198.51.100.7", "127.0.0.1"] {
        let mut proxy = network::connect(&door.process, ip("192.0.2.9"), to).await;
        proxy.send(format!("PROXY TCP4 {client} 192.0.2.1 50000 80\r\n{REQUEST}")).await;
        let answer = proxy.answer().await;
        assert_eq!((answer.status(), answer.field("location")), (308, Some("https://door.test/")));
        assert_eq!(proxy.get(challenge).await.status(), 200);
        assert_eq!(panel.seen().last().unwrap().field("x-forwarded-for"), Some(client));
    }
}

#[tokio::test]
async fn who_is_spoken_for_is_not_believed_even_at_a_trusted_address() {
    let panel = Upstream::panel().await;
    let settings = Settings::panel(panel.url()).set("http", "trusted_proxies", vec!["198.51.100.7"]);
    let door = Doorman::start(&settings).await;
    let mut visitor = Connection::open(door.http().await).await;

    let claim = "X-Forwarded-For: 203.0.113.1\r\n";
    visitor
        .send(format!(
            "PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\nGET / HTTP/1.1\r\nHost: h\r\n{claim}\r\n"
        ))
        .await;

    assert_eq!(visitor.answer().await.status(), 200);
    assert_eq!(panel.only().field("x-forwarded-for"), Some("198.51.100.7"));
}

#[tokio::test]
async fn a_visitor_behind_xray_is_not_redirected_in_a_circle() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url()).set("http", "redirect_to_https", true)).await;
    let answer = forwarded(&door, "198.51.100.7").await;
    assert_eq!((answer.status(), answer.field("location")), (200, None));
}

async fn forwarded(door: &Doorman, client: &str) -> Message {
    let mut visitor: Connection<TcpStream> = Connection::open(door.http().await).await;
    visitor.send(format!("PROXY TCP4 {client} 192.0.2.1 50000 80\r\n{REQUEST}")).await;
    visitor.answer().await
}

fn ip6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}
