//! How large a request head may be, and how long it may take.

use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::{SOON, door, drip, soon};
use crate::support::client::{Connection, Multiplexed};
use crate::support::frames::{self, Frames, GOAWAY, HEADERS, PING, frame};
use crate::support::tls;
use crate::support::upstream::{Upstream, plain};

/// How a header block begins that has this status (RFC 7541 sections 6.1 and 6.2.1; "431" in the code of appendix B).
const STATUS_200: &[u8] = &[0x88];
const STATUS_431: &[u8] = &[0x48, 0x83, 0x69, 0x90, 0xff];

#[tokio::test]
async fn a_head_within_its_limits_passes_and_beyond_them_is_told_which() {
    let panel = Upstream::panel().await;
    let door =
        door(&panel, &[("max_header_bytes", "4096"), ("max_headers", "20"), ("max_uri_bytes", "1000")]).await;
    let line = |length: usize| format!("X: {}\r\n", "a".repeat(length));
    let head = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    for (request, status) in [
        (head("/", &line(4000)), 200),
        (head("/", &line(4096)), 431),
        (head("/", &line(1000).repeat(5)), 431),
        (head("/", &line(1).repeat(19)), 200),
        (head("/", &line(1).repeat(20)), 431),
        (head(&target(1000), ""), 200),
        (head(&target(1001), ""), 414),
    ] {
        let mut client = Connection::open(door.http().await).await;
        client.send(&request).await;
        let answer = soon("an answer", client.answer()).await;
        assert_eq!(answer.status(), status, "{} bytes: {}", request.len(), &request[..40]);
        if status != 200 {
            assert!(soon("the connection ends", client.rest()).await.is_empty());
        }
    }
}

/// Counted is everything from the first letter of the method to the empty line.
#[tokio::test]
async fn a_head_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let panel = Upstream::panel().await;
    let small = door(&panel, &[("workers", "1"), ("max_header_bytes", "4096")]).await;
    let usual = door(&panel, &[("workers", "1")]).await;
    for (door, limit) in [(&small, 4096), (&usual, 65_536)] {
        let mut bystander = Connection::open(door.http().await).await;
        assert_eq!(bystander.get("/").await.status(), 200);
        for (length, status) in [(limit, 200), (limit + 1, 431)] {
            let head = sized(length);
            for split in [length, length - 1, length / 2] {
                let mut client = Connection::open(door.http().await).await;
                client.stream.set_nodelay(true).unwrap();
                client.send(&head[..split]).await;
                // Its turn comes after that piece was read.
                assert_eq!(bystander.get("/").await.status(), 200);
                client.send(&head[split..]).await;
                let answer = soon("an answer", client.answer()).await;
                assert_eq!(
                    answer.status(),
                    status,
                    "{length} bytes, the first {split} of them before the rest"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_limits_that_nobody_set_are_those_that_are_documented() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[]).await;
    for (target, lines, status) in [
        (16_384, 0, 200),
        (16_385, 0, 414),
        (1, 99, 200), // and Host
        (1, 100, 431),
    ] {
        let mut client = Connection::open(door.http().await).await;
        let (target, lines) = (format!("/{}", "a".repeat(target - 1)), "X: 1\r\n".repeat(lines));
        client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).await;
        assert_eq!(soon("an answer", client.answer()).await.status(), status, "{} bytes", target.len());
    }
}

/// A head of so many bytes.
fn sized(length: usize) -> String {
    let head = |filler: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(filler));
    head(length - head(0).len())
}

/// Counted is what RFC 9113 section 6.5.2 says: names and values, and 32 bytes for each field.
#[tokio::test]
async fn a_head_of_http_2_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("max_header_bytes", "4096")]).await;
    let others = [":method", "GET", ":scheme", "https", ":authority", "door.test", ":path", "/", "x"];
    let counted = others.iter().map(|text| text.len()).sum::<usize>() + 5 * 32;
    for (filler, status) in [(4096 - counted, STATUS_200), (4096 - counted + 1, STATUS_431)] {
        let mut client = Frames::open(door.https().await, &[]).await;
        let value = "a".repeat(filler);
        client.send(&frame(HEADERS, 0x5, 1, &frames::get("/", &[("x", &value)]))).await;
        let answer = soon("an answer", client.until(HEADERS)).await;
        assert!(answer.payload.starts_with(status), "{filler}: {:x?}", answer.payload);
        // One stream was refused, and not the connection.
        client.send(&frames::get_on(3, "/")).await;
        let answer = soon("an answer", client.until(HEADERS)).await;
        assert_eq!((answer.stream, &answer.payload[..1]), (3, STATUS_200));
    }
}

#[tokio::test]
async fn the_limits_of_a_head_hold_for_http_2_as_well() {
    let panel = Upstream::panel().await;
    let door =
        door(&panel, &[("max_header_bytes", "4096"), ("max_headers", "20"), ("max_uri_bytes", "1000")]).await;
    let https = door.https().await;
    let long = "a".repeat(3800);
    let names: Vec<String> = (0..21).map(|number| format!("x-{number}")).collect();
    let fields = |count: usize| names[..count].iter().map(|name| (&**name, "1")).collect::<Vec<_>>();
    for (target, fields, status) in [
        ("/", vec![("x", &*long)], 200),
        ("/", fields(20), 200),
        ("/", fields(21), 431),
        // The target is the whole URI: with "https://127.0.0.1" before the path.
        (&*format!("/{}", "a".repeat(1000 - 18)), vec![], 200),
        (&*format!("/{}", "a".repeat(1000 - 17)), vec![], 414),
    ] {
        let mut client = Multiplexed::open(https, &tls::trusting_anybody(&["h2"])).await;
        let many = fields.len();
        assert_eq!(client.get_with(target, &fields).await, status, "{target:.20} with {many} fields");
        assert_eq!(client.get("/").await.0, 200, "one stream was refused, and not the connection");
    }

    // A client that ignores the size that it was told hears 431, too.
    let seen = panel.seen().len();
    let mut client = Frames::open(https, &[]).await;
    let too_long = "a".repeat(5000);
    client.send(&frame(HEADERS, 0x5, 1, &frames::get("/", &[("x", &too_long)]))).await;
    let answer = soon("an answer", client.until(HEADERS)).await;
    assert!(answer.stream == 1 && answer.payload.starts_with(STATUS_431), "{:x?}", answer.payload);
    assert_eq!(panel.seen().len(), seen, "the panel never heard of it");
}

#[tokio::test]
async fn a_byte_now_and_then_does_not_prolong_a_head() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("header_timeout", "500ms"), ("idle_timeout", "10m")]).await;
    let (http, https) = (door.http().await, door.https().await);
    let begun = "GET / HTTP/1.1\r\nHost: h\r\nX: ";

    let mut first = Connection::open(http).await;
    first.send(begun).await;
    assert!(soon("the first head", drip(&mut first)).await.is_empty());

    let mut second = Connection::open(http).await;
    assert_eq!(second.get("/").await.status(), 200);
    second.send(begun).await;
    assert!(soon("the second head", drip(&mut second)).await.is_empty());

    let stream = tls::connect(https, &tls::trusting_anybody(&["http/1.1"])).await.unwrap();
    let mut over_tls = Connection::over(stream);
    over_tls.send(begun).await;
    assert!(soon("a head over TLS", drip(&mut over_tls)).await.is_empty());
    assert_eq!(panel.seen().len(), 1);
}

#[tokio::test]
async fn a_head_that_began_during_the_answer_before_it_has_no_more_time() {
    let (finish, finished) = watch::channel(false);
    let panel = Upstream::with(move |mut client| {
        let mut finished = finished.clone();
        async move {
            client.request().await;
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").await;
            let _ = finished.wait_for(|finished| *finished).await;
            client.send("lf").await;
            client.rest().await;
        }
    })
    .await;
    let door = door(&panel, &[("header_timeout", "500ms"), ("idle_timeout", "10m")]).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.bytes(2).await, b"ha");
    client.send("GET /next HTTP/1.1\r\nHo").await;
    finish.send(true).unwrap();

    assert_eq!(client.bytes(2).await, b"lf");
    assert!(soon("it ends after header_timeout", client.rest()).await.is_empty());
}

#[tokio::test]
async fn a_tls_handshake_has_the_time_of_a_head() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("header_timeout", "500ms"), ("idle_timeout", "10m")]).await;
    let mut client = Connection::open(door.https().await).await;

    // The record of a ClientHello that has 16 KiB, of which one byte comes now and then: it takes minutes.
    client.send([0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3]).await;

    soon("the handshake", drip(&mut client)).await;
    assert_eq!(door.metric("doorman_tls_handshake_errors_total").await, 1);
}

#[tokio::test]
async fn a_head_of_http_2_has_no_more_time_and_pings_do_not_prolong_it() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("header_timeout", "500ms"), ("idle_timeout", "10m")]).await;
    let mut client = Frames::open(door.https().await, &[]).await;

    // No CONTINUATION ever comes.
    client.send(&frame(HEADERS, 0, 1, &frames::get("/", &[]))).await;
    soon("half a header block", client.rest()).await;

    let mut client = Frames::open(door.https().await, &[]).await;
    let pinged = async {
        while client.send(&frame(PING, 0, 0, &[0; 8])).await {
            if client.until_or_end(PING).await.is_none() {
                return;
            }
        }
    };
    soon("a connection without a request", pinged).await;
    assert!(panel.seen().is_empty());
}

#[tokio::test]
async fn an_idle_connection_ends_after_idle_timeout_whatever_it_speaks() {
    let panel = Upstream::answering(|_| plain(200, "ok")).await;
    let door = door(&panel, &[("idle_timeout", "500ms"), ("header_timeout", "10m")]).await;
    let (http, https) = (door.http().await, door.https().await);

    let mut fresh = Connection::open(http).await;
    assert!(soon("a fresh connection", fresh.rest()).await.is_empty());
    let mut used = Connection::open(http).await;
    assert_eq!(used.get("/").await.status(), 200);
    assert!(soon("a used connection", used.rest()).await.is_empty());
    let stream = tls::connect(https, &tls::trusting_anybody(&["http/1.1"])).await.unwrap();
    let mut over_tls = Connection::over(stream);
    assert_eq!(over_tls.get("/").await.status(), 200);
    assert!(soon("a used connection over TLS", over_tls.rest()).await.is_empty());
    over_tls.stream.shutdown().await.ok();
}

#[tokio::test]
async fn a_tls_connection_that_says_nothing_ends_too() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("idle_timeout", "500ms"), ("header_timeout", "500ms")]).await;
    let mut client = Connection::open(door.https().await).await;

    assert!(soon("it is closed", client.rest()).await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_told_goodbye() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("idle_timeout", "500ms"), ("header_timeout", "500ms")]).await;
    let mut client = Frames::open(door.https().await, &[]).await;
    client.send(&frames::get_on(1, "/")).await;
    client.until(HEADERS).await;

    let said = tokio::time::timeout(SOON, client.rest()).await.expect("it ends");

    assert!(said.iter().any(|frame| frame.kind == GOAWAY), "{said:?}");
}
