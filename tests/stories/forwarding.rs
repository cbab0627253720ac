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
async fn a_connection_is_idle_however_the_answer_ended() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n2\r\nok\r\n0\r\nX-A: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    ] {
        let panel = Upstream::with(move |mut client| async move {
            client.head().await;
            client.send(answer).await;
        })
        .await;
        let door = Doorman::start(&Settings::panel(panel.url())).await;
        let mut client = Connection::open(door.http().await).await;

        client.send("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n").await;
        client.head().await.expect("an answer");

        until(&format!("the connection is parked after {answer:?}"), SOON, async || {
            (door.metric("doorman_connections_parked").await == 1).then_some(())
        })
        .await;
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

fn says_nothing_about(answer: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!answer.contains(secret), "{secret:?} is in {answer}");
    }
}
