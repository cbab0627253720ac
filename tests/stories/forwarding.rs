//! What the panel and its visitors see of the door: nothing.

use std::time::Duration;

use crate::support::client::{Connection, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::{Upstream, plain};
use crate::support::{free_port, until};

/// Far beyond any time limit that these stories set, and far below the defaults.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn every_method_reaches_the_panel_on_one_connection() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-OWN"] {
        client
            .send(format!("{method} /p?q=%2F&r=1+1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"))
            .await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status(), answer.text()),
            (200, format!("the panel: {method} /p?q=%2F&r=1+1 HTTP/1.1").as_str())
        );
        assert_eq!(panel.seen().last().unwrap().body, b"body", "{method}");
    }
}

#[tokio::test]
async fn the_answer_to_head_has_the_length_and_no_body() {
    let panel = Upstream::answering(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n".to_vec()).await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let answer = client.answer_without_body().await;
        assert_eq!((answer.status(), answer.field("content-length")), (200, Some("12345")));
    }
}

#[tokio::test]
async fn the_path_goes_through_byte_for_byte() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    for target in ["/a//b/../c/./d", "/%7Euser/%2e%2E/x", "/?a=b&&c=%zz", "/;v=1/,/@:", "/%E4%B8%AD%E6%96%87"]
    {
        let answer = get(door.http().await, target).await;
        assert_eq!(answer.text(), format!("the panel: GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn the_panel_learns_who_asks_and_cannot_be_lied_to() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client
        .send(
            "GET / HTTP/1.1\r\nHost: 203.0.113.7\r\nX-Forwarded-For: 1.2.3.4\r\nx-real-ip: 1.2.3.4\r\n\
             X-Forwarded-Host: evil\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\r\n",
        )
        .await;
    client.answer().await;

    let seen = panel.only();
    assert_eq!(seen.all("host").collect::<Vec<_>>(), ["203.0.113.7"]);
    assert_eq!(seen.all("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(seen.all("x-real-ip").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-host").collect::<Vec<_>>(), ["203.0.113.7"]);
    assert_eq!(seen.field("forwarded"), None);
    assert_eq!(seen.field("via"), None);
}

#[tokio::test]
async fn an_ipv6_host_gets_no_forwarded_host() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nX-Real-IP: 1.2.3.4\r\n\r\n").await;
    client.answer().await;

    let seen = panel.only();
    assert_eq!(seen.field("host"), Some("[2001:db8::1]:80"));
    assert_eq!((seen.field("x-forwarded-host"), seen.field("x-real-ip")), (None, None));
}

#[tokio::test]
async fn fields_keep_their_order_and_letter_case_and_hop_by_hop_ones_stay_behind() {
    let panel = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nX-B: 1\r\nx-a: 2\r\nSet-Cookie: s=1\r\nSet-Cookie: t=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
          Server: panel\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client
        .send(
            "GET / HTTP/1.1\r\nhost: h\r\nX-Z: 1\r\nx-y: 2\r\nCookie: a=b\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
             Keep-Alive: 5\r\nConnection: X-Also\r\nX-Also: 1\r\nProxy-Connection: x\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;

    let names = |fields: &[(String, String)]| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let seen = names(&panel.only().fields);
    assert_eq!(
        seen.iter()
            .filter(|name| !name.to_ascii_lowercase().starts_with("x-forwarded")
                && !name.eq_ignore_ascii_case("x-real-ip"))
            .collect::<Vec<_>>(),
        ["host", "X-Z", "x-y", "Cookie"]
    );
    let back = names(&answer.fields);
    let order: Vec<_> =
        back.iter().filter(|name| !name.eq_ignore_ascii_case("date")).map(String::as_str).collect();
    assert_eq!(order, ["X-B", "x-a", "Set-Cookie", "Set-Cookie", "Server", "Content-Length"]);
}

#[tokio::test]
async fn a_visitor_of_http_1_0_gets_an_answer_without_chunks() {
    let panel = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    let answer = client.answer().await;

    assert_eq!((answer.field("transfer-encoding"), answer.text()), (None, "hello"));
    assert!(panel.only().start.ends_with("HTTP/1.1"));
}

#[tokio::test]
async fn requests_that_two_servers_could_read_differently_are_refused() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ] {
        let mut client = Connection::open(door.http().await).await;
        client.send(head).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{head:?}");
    }
    assert!(panel.seen().is_empty(), "{:#?}", panel.seen());
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_has_ended_is_passed_on() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!").await;
        client.rest().await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nthe beginning").await;

    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text()), (413, "no!"));
}

#[tokio::test]
async fn a_truncated_answer_looks_truncated() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.head().await;
    let rest = client.rest().await;

    assert!(
        b"5\r\nhello\r\n".starts_with(&rest[..]),
        "an end was made up: {:?}",
        String::from_utf8_lossy(&rest)
    );
}

#[tokio::test]
async fn a_visitor_who_leaves_is_heard_by_the_panel() {
    let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let panel = Upstream::with(move |mut client| {
        let tell = tell.clone();
        async move {
            client.head().await;
            tell.send("asked").unwrap();
            client.rest().await;
            tell.send("gone").unwrap();
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(heard.recv().await, Some("asked"));

    drop(client);

    let last = tokio::time::timeout(SOON, heard.recv()).await.expect("the panel's connection ends");
    assert_eq!(last, Some("gone"));
}

#[tokio::test]
async fn a_panel_that_is_down_is_a_502_that_says_nothing_about_it() {
    let port = free_port();
    let door = Doorman::start(&Settings::panel(format!("http://127.0.0.1:{port}")).set(
        "panel",
        "base_path",
        "/secret/",
    ))
    .await;
    let mut client = Connection::open(door.http().await).await;

    let answer = client.get("/secret/").await;
    assert_eq!(answer.status(), 502);
    says_nothing_about(&answer.head_and_body(), &[&port.to_string(), "secret", "127.0.0.1", "refused"]);

    // The same connection is good for the panel that comes back.
    let panel = Upstream::panel_at(([127, 0, 0, 1], port).into()).await;
    until("the panel is found again", Duration::from_secs(10), async || {
        (client.get("/").await.status() == 200).then_some(())
    })
    .await;
    assert!(!panel.seen().is_empty());
}

#[tokio::test]
async fn a_panel_that_says_nothing_is_a_504() {
    let panel = Upstream::with(|mut client| async move {
        client.rest().await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url()).set("panel", "response_timeout", "300ms")).await;

    let answer = get(door.http().await, "/");
    let answer = tokio::time::timeout(SOON, answer).await.expect("silence ends after response_timeout");

    assert_eq!(answer.status(), 504);
    says_nothing_about(&answer.head_and_body(), &[&panel.address.port().to_string(), "127.0.0.1"]);
}

#[tokio::test]
async fn a_panel_that_speaks_nonsense_is_a_502() {
    let panel = Upstream::answering(|_| b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()).await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    assert_eq!(get(door.http().await, "/").await.status(), 502);
}

#[tokio::test]
async fn a_kept_connection_that_the_panel_closed_costs_no_request() {
    let panel = Upstream::with(|mut client| async move {
        // One request a connection, without announcing it: what a restarting panel looks like.
        client.request().await;
        client.send(plain(200, "once")).await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    for _ in 0..200 {
        assert_eq!(client.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn too_large_heads_are_refused_politely() {
    let panel = Upstream::panel().await;
    let settings = Settings::panel(panel.url())
        .set("http", "max_header_bytes", 8192)
        .set("http", "max_headers", 20)
        .set("http", "max_uri_bytes", 1000);
    let door = Doorman::start(&settings).await;
    let address = door.http().await;

    let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(2000));
    let long_field = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(9000));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: 1\r\n".repeat(30));
    for (request, status) in [(long_target, 414), (long_field, 431), (many_fields, 431)] {
        let mut client = Connection::open(address).await;
        client.send(&request).await;
        assert_eq!(client.answer().await.status(), status, "{}", &request[..40]);
    }
    assert!(panel.seen().is_empty());
}

#[tokio::test]
async fn a_request_head_that_never_ends_is_cut_off_in_time() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url()).set("http", "header_timeout", "300ms")).await;
    let mut client = Connection::open(door.http().await).await;
    assert_eq!(client.get("/").await.status(), 200);

    client.send("GET /slow HTTP/1.1\r\nHost: ").await;
    let said = tokio::time::timeout(SOON, client.rest()).await.expect("it ends after header_timeout");

    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&said));
    assert_eq!(panel.seen().len(), 1);
}

#[tokio::test]
async fn an_upload_that_stops_is_cut_off_in_time_and_the_panel_hears_of_it() {
    let (gone, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let panel = Upstream::with(move |mut client| {
        let gone = gone.clone();
        async move {
            client.head().await;
            client.rest().await;
            let _ = gone.send(());
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url()).set("http", "body_timeout", "300ms")).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nonly this").await;
    let said = tokio::time::timeout(SOON, client.rest()).await.expect("it ends after body_timeout");

    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&said));
    tokio::time::timeout(SOON, heard.recv()).await.expect("the panel's connection ends").unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_without_a_word() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url()).set("http", "idle_timeout", "300ms")).await;
    let mut used = Connection::open(door.http().await).await;
    let mut fresh = Connection::open(door.http().await).await;
    assert_eq!(used.get("/").await.status(), 200);

    for connection in [&mut used, &mut fresh] {
        let said = tokio::time::timeout(SOON, connection.rest()).await.expect("it ends after idle_timeout");
        assert!(said.is_empty(), "{:?}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn the_body_waits_for_the_panels_own_100_continue() {
    let (ask, asked) = tokio::sync::oneshot::channel();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Some(asked)));
    let panel = Upstream::with(move |mut client| {
        let asked = std::sync::Arc::clone(&asked);
        async move {
            let head = client.head().await.unwrap();
            assert_eq!(head.field("expect"), Some("100-continue"));
            let asked = asked.lock().unwrap().take().unwrap();
            asked.await.unwrap();
            client.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            assert_eq!(client.bytes(4).await, b"body");
            client.send(plain(200, "got it")).await;
        }
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    let early = tokio::time::timeout(Duration::from_millis(200), client.more()).await;
    assert!(
        early.is_err(),
        "it said to go on before the panel did: {:?}",
        String::from_utf8_lossy(&client.buffer)
    );
    ask.send(()).unwrap();

    assert_eq!(client.head().await.unwrap().status(), 100);
    client.send("body").await;
    assert_eq!(client.answer().await.text(), "got it");
}

#[tokio::test]
async fn trailers_reach_a_visitor_who_wants_them() {
    let panel = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n".to_vec()
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n").await;
    client.head().await;
    let body = String::from_utf8(client.rest().await).unwrap();

    assert!(body.to_ascii_lowercase().ends_with("0\r\nx-sum: 7\r\n\r\n"), "{body:?}");
    assert_eq!(panel.only().field("te"), Some("trailers"));
}

fn says_nothing_about(answer: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!answer.contains(secret), "{secret:?} is in {answer}");
    }
}
