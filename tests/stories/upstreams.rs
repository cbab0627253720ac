//! The ways a panel is reached: plain, over TLS, through a socket file.

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::support::client::{Connection, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::tls::Pair;
use crate::support::upstream::Upstream;

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

        assert_eq!(get(door.http().await, "/").await.status(), status);
    }
}

#[tokio::test]
async fn a_panel_that_turns_out_to_speak_https_is_a_502() {
    // What an HTTPS panel of Go says to plain HTTP.
    let panel =
        Upstream::answering(|_| b"HTTP/0.0 307 Temporary Redirect\r\nLocation: https://h/\r\n\r\n".to_vec())
            .await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    let answer = get(door.http().await, "/").await;

    assert_eq!((answer.status(), answer.field("location")), (502, None));
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
