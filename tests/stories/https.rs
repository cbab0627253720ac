//! The door's own TLS, before any CA was asked.

use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::support::client::{Connection, Multiplexed, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::tls::{self, Pair};
use crate::support::upstream::{Upstream, plain};
use crate::support::{pattern, until};

#[tokio::test]
async fn http_1_and_http_2_reach_the_panel_and_it_learns_that_it_was_tls() {
    let panel = Upstream::panel().await;
    let door = with_tls(&panel).await;
    let https = door.https().await;

    let stream = tls::connect(https, &tls::trusting_anybody(&["http/1.1"])).await.unwrap();
    assert_eq!(Connection::over(stream).get("/one").await.text(), "the panel: GET /one HTTP/1.1");
    let mut multiplexed = Multiplexed::open(https, &tls::trusting_anybody(&["h2", "http/1.1"])).await;
    assert_eq!(multiplexed.get("/two").await, (200, "the panel: GET /two HTTP/1.1".to_owned()));

    let seen = panel.seen();
    assert!(seen.iter().all(|request| request.field("x-forwarded-proto") == Some("https")), "{seen:#?}");
    assert_eq!(seen[1].field("host"), Some("127.0.0.1"));
}

#[tokio::test]
async fn many_requests_share_one_connection_of_http_2() {
    let panel = Upstream::panel().await;
    let door = with_tls(&panel).await;
    let mut multiplexed = Multiplexed::open(door.https().await, &tls::trusting_anybody(&["h2"])).await;

    for number in 0..300 {
        let (status, body) = multiplexed.get(&format!("/{number}")).await;
        assert_eq!((status, body), (200, format!("the panel: GET /{number} HTTP/1.1")));
    }
}

#[tokio::test]
async fn a_large_body_crosses_http_2_whole_in_both_directions() {
    const LENGTH: usize = 32 << 20;
    let panel = Upstream::with(|mut client| async move {
        while let Some(request) = client.request().await {
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len())).await;
            client.send(request.body).await;
        }
    })
    .await;
    let door = with_tls(&panel).await;
    let mut multiplexed = Multiplexed::open(door.https().await, &tls::trusting_anybody(&["h2"])).await;

    let sent = Bytes::from(pattern(LENGTH));
    let (status, echoed) = multiplexed.send("POST", "/echo", sent.clone()).await;

    assert_eq!(status, 200);
    assert!(echoed == sent, "{} of {LENGTH} bytes came back, or others", echoed.len());
}

#[tokio::test]
async fn a_plain_request_at_the_tls_port_harms_nobody() {
    let panel = Upstream::panel().await;
    let door = with_tls(&panel).await;
    let https = door.https().await;

    let mut confused = Connection::open(https).await;
    confused.stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    confused.rest().await;

    let stream = tls::connect(https, &tls::trusting_anybody(&[])).await.unwrap();
    assert_eq!(Connection::over(stream).get("/").await.status(), 200);
    assert_eq!(panel.seen().len(), 1);
}

#[tokio::test]
async fn a_redirect_to_https_spares_loopback() {
    let panel = Upstream::panel().await;
    let settings = Settings::panel(panel.url()).set("https", "listen", vec!["127.0.0.1:0"]).set(
        "http",
        "redirect_to_https",
        true,
    );
    let door = Doorman::start(&settings).await;

    assert_eq!(get(door.http().await, "/").await.status(), 200);
}

#[tokio::test]
async fn a_fixed_pair_is_served_instead_of_the_managed_one() {
    let panel = Upstream::answering(|_| plain(200, "ok")).await;
    let pair = Pair::for_names(&["127.0.0.1"]);
    let files = TempDir::new().unwrap();
    let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&certificate, &pair.certificate).unwrap();
    std::fs::write(&key, &pair.key).unwrap();
    let settings = Settings::panel(panel.url())
        .set("https", "listen", vec!["127.0.0.1:0"])
        .set("https", "certificate", certificate.to_str())
        .set("https", "key", key.to_str());
    let door = Doorman::start(&settings).await;
    let (https, trusting) = (door.https().await, tls::trusting(&pair.ca, &[]));

    let limit = std::time::Duration::from_secs(10);
    let stream = until("the pair is served", limit, async || tls::connect(https, &trusting).await.ok()).await;

    assert_eq!(tls::fingerprint(&tls::leaf(&stream)), pair.fingerprint());
}

#[tokio::test]
async fn further_ports_are_taken_over_plain_or_with_the_same_certificate() {
    let (panel, subscriptions) =
        (Upstream::panel().await, Upstream::answering(|_| plain(200, "subscribed")).await);
    for encrypted in [false, true] {
        let settings = Settings::panel(panel.url())
            .set("https", "listen", vec!["127.0.0.1:0"])
            .set("[forward]", "listen", vec!["127.0.0.1:0"])
            .set("[forward]", "tls", encrypted)
            .set("[forward]", "upstream", subscriptions.url());
        let door = Doorman::start(&settings).await;
        let (https, forward) = (door.https().await, door.listens("forward").await);

        let answer = if encrypted {
            let anybody = tls::trusting_anybody(&[]);
            let stream = tls::connect(forward, &anybody).await.unwrap();
            let managed = tls::connect(https, &anybody).await.unwrap();
            assert_eq!(tls::leaf(&stream), tls::leaf(&managed));
            Connection::over(stream).get("/sub").await
        } else {
            get(forward, "/sub").await
        };

        assert_eq!(answer.text(), "subscribed");
    }
    assert!(panel.seen().is_empty());
}

/// A door that serves the certificate it makes for its first minutes.
async fn with_tls(panel: &Upstream) -> Doorman {
    Doorman::start(&Settings::panel(panel.url()).set("https", "listen", vec!["127.0.0.1:0"])).await
}
