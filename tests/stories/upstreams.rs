//! The ways a panel is reached: plain, over TLS, through a socket file.

use std::time::Duration;

use socket2::SockRef;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::client::{Connection, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::tls::Pair;
use crate::support::until;
use crate::support::upstream::Upstream;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_panel_behind_a_socket_file_answers() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("panel.sock");
    let panel = Upstream::on_socket(&path);
    let door = Doorman::start(&Settings::panel(format!("unix:{}", path.display()))).await;

    let answer = get(door.http().await, "/login").await;

    assert_eq!((answer.status(), answer.text()), (200, "the panel: GET /login HTTP/1.1"));
    assert_eq!(panel.only().field("host"), Some("door.test"));
}

#[tokio::test]
async fn a_panel_on_loopback_may_present_any_certificate() {
    let panel = Upstream::with_tls(&Pair::for_names(&["some.other.name"])).await;
    let door = Doorman::start(&Settings::panel(format!("https://{}", panel.address))).await;

    let answer = get(door.http().await, "/login").await;

    assert_eq!((answer.status(), answer.text()), (200, "the panel: GET /login HTTP/1.1"));
}

#[tokio::test]
async fn a_panel_vouched_for_by_the_given_ca_answers_and_another_does_not() {
    let files = TempDir::new().unwrap();
    let (right, wrong) = (Pair::for_names(&["127.0.0.1"]), Pair::for_names(&["127.0.0.1"]));
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, &right.ca).unwrap();
    for (pair, status) in [(&right, 200), (&wrong, 502)] {
        let panel = Upstream::with_tls(pair).await;
        let settings =
            Settings::panel(format!("https://{}", panel.address)).set("panel", "ca_file", ca.to_str());
        let door = Doorman::start(&settings).await;

        assert_eq!(get(door.http().await, "/").await.status(), status);
    }
}

#[tokio::test]
async fn a_pinned_panel_answers_and_another_does_not() {
    let (right, wrong) = (Pair::for_names(&["some.name"]), Pair::for_names(&["some.name"]));
    for (pair, status) in [(&right, 200), (&wrong, 502)] {
        let panel = Upstream::with_tls(pair).await;
        let settings = Settings::panel(format!("https://{}", panel.address)).set(
            "panel",
            "pin_sha256",
            right.fingerprint(),
        );
        let door = Doorman::start(&settings).await;

        let answer = get(door.http().await, "/").await;
        assert_eq!(answer.status(), status);
        assert!(!answer.text().contains("speaks"), "it is not the scheme that is wrong: {}", answer.text());
    }
}

#[tokio::test]
async fn a_panel_that_turns_out_to_speak_https_is_a_502_that_says_so() {
    for answer_to_plain_http in [
        // X-Panel and 3x-ui, Go's own server, and a TLS library that sends an alert.
        &b"HTTP/0.0 307 Temporary Redirect\r\nLocation: https://h/\r\n\r\n"[..],
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ] {
        let panel = Upstream::with(move |mut client| async move {
            client.head().await;
            client.send(answer_to_plain_http).await;
        })
        .await;
        let door = Doorman::start(&Settings::panel(panel.url())).await;

        says_the_scheme(&door, &panel, "https").await;
    }
}

#[tokio::test]
async fn a_panel_that_turns_out_to_speak_http_is_a_502_that_says_so() {
    // What servers say to a TLS handshake.
    let panel = Upstream::with(|mut client| async move {
        client.more().await;
        client.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(format!("https://{}", panel.address))).await;

    says_the_scheme(&door, &panel, "http").await;
}

#[tokio::test]
async fn a_refusal_in_http_1_0_that_says_something_else_is_the_panels_own() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.0 400 Bad Request\r\n\r\nClient sent ").await;
        client.send("something else.\n").await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    let answer = get(door.http().await, "/").await;

    assert_eq!((answer.status(), answer.text()), (400, "Client sent something else.\n"));
}

/// A reset is told once, and whoever asks again hears of an end.
#[tokio::test]
async fn a_refusal_that_breaks_off_before_it_is_understood_does_not_look_whole() {
    for said in ["", "Client sent an"] {
        let panel = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = Doorman::start(&Settings::panel(format!("http://{}", panel.local_addr().unwrap()))).await;
        let mut visitor = Connection::open(door.http().await).await;
        visitor.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut asked = Connection::over(panel.accept().await.unwrap().0);
        asked.head().await.expect("the visitor's request");

        asked.send(format!("HTTP/1.0 400 Bad Request\r\n\r\n{said}")).await;
        SockRef::from(&asked.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(asked);

        let heard = timeout(SOON, visitor.rest()).await.expect("the connection ends");
        assert!(!heard.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&heard));
    }
}

#[tokio::test]
async fn what_go_says_to_plain_http_means_so_only_as_go_says_it() {
    const TEXT: &str = "Client sent an HTTP request to an HTTPS server.\n";
    let panel = Upstream::with(|mut client| async move {
        let head = client.head().await.unwrap();
        let start = match head.start.split(' ').nth(1).unwrap() {
            "/status" => "HTTP/1.0 403 Forbidden\r\n",
            "/version" => "HTTP/1.1 400 Bad Request\r\n",
            "/fields" => "HTTP/1.0 400 Bad Request\r\nServer: panel\r\n",
            other => panic!("{other}"),
        };
        client.send(format!("{start}\r\n{TEXT}")).await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    for (target, status) in [("/status", 403), ("/version", 400), ("/fields", 400)] {
        let answer = get(door.http().await, target).await;
        assert_eq!((answer.status(), answer.text()), (status, TEXT), "{target}");
    }
}

/// The page says it without a word about the panel, and the log once, with what to write.
async fn says_the_scheme(door: &Doorman, panel: &Upstream, scheme: &str) {
    for _ in 0..3 {
        let answer = get(door.http().await, "/").await;
        assert_eq!((answer.status(), answer.field("location")), (502, None));
        assert!(answer.text().contains(&format!("speaks {},", scheme.to_uppercase())), "{}", answer.text());
        assert!(!answer.head_and_body().contains(&panel.address.port().to_string()));
    }
    let expected = format!("write panel.upstream = \"{scheme}://{}\"", panel.address);
    let said = until("the log says what to write", SOON, async || {
        let said: Vec<_> = door.process.log().into_iter().filter(|line| line.contains("WARN")).collect();
        said.iter().any(|line| line.contains(&expected)).then_some(said)
    })
    .await;
    assert_eq!(said.iter().filter(|line| line.contains("upstream")).count(), 1, "{said:#?}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_not_held_against_the_panel() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.rest().await;
    })
    .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345").await;
    client.stream.shutdown().await.unwrap();
    let answer = client.rest().await;

    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let metrics = door.admin("GET", "/metrics").await;
    assert!(metrics.text().contains("doorman_upstream_errors_total 0\n"), "{}", metrics.text());
    assert!(!door.process.log().iter().any(|line| line.contains("WARN")));
}
