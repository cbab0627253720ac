//! Answers that come before the request is complete: whoever is still sending hears them all the same.

use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::curl::curl;
use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::frames::{
    self, DATA, END_HEADERS, END_STREAM, Frame, Frames, HEADERS, PING, RST_STREAM, frame,
};
use crate::support::upstream::{Upstream, plain};
use crate::support::{pattern, until};

/// Times that each is tried: whether the answer was lost was a matter of microseconds.
const TRIES: usize = 10;

/// What the door's own limits may take on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

const NO_ERROR: [u8; 4] = [0; 4];

#[tokio::test]
async fn an_upload_that_is_refused_at_once_hears_so_though_the_panel_hangs_up() {
    let panel = hasty().await;
    let door = with_https(Settings::panel(panel.url())).await;
    let upload = upload(5_000_000);
    let body = format!("@{}", upload.path().display());
    for (option, url) in urls(&door, "/").await {
        for expectation in ["Expect:", "Expect: 100-continue"] {
            for _ in 0..TRIES {
                let fetched = curl(&[option, "-H", expectation, "--data-binary", &body, &url]).await;
                assert_eq!((fetched.status, fetched.text().as_str()), (413, "too much\n"), "{option} {url}");
            }
        }
    }
}

#[tokio::test]
async fn an_upload_that_the_door_itself_refuses_hears_so() {
    let panel = Upstream::panel().await;
    let settings = Settings::panel(panel.url()).set("panel", "allow_paths", vec!["login"]);
    let door = with_https(settings).await;
    let upload = upload(5_000_000);
    let body = format!("@{}", upload.path().display());
    for (option, url) in urls(&door, "/closed").await {
        for _ in 0..TRIES {
            let fetched = curl(&[option, "-H", "Expect:", "--data-binary", &body, &url]).await;
            assert_eq!(fetched.status, 404, "{option} {url}");
        }
    }
    assert!(panel.seen().is_empty());
}

#[tokio::test]
async fn a_head_that_is_too_large_hears_so() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    for _ in 0..TRIES {
        let mut client = Connection::open(door.http().await).await;
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "x".repeat(1_000_000));
        client.send(head).await;
        assert_eq!(client.answer().await.status(), 431);
    }
}

#[tokio::test]
async fn who_never_stops_sending_is_cut_off_and_who_falls_silent_too() {
    let panel = hasty().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    let mut silent = Connection::open(door.http().await).await;
    silent.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n").await;
    assert_eq!(silent.answer().await.status(), 413);
    assert!(silent.rest().await.is_empty(), "the door has said its last");
    let none_open = async || (door.metric("doorman_connections").await == 0).then_some(());
    until("the connection that fell silent is closed", SOON, none_open).await;

    let mut endless = Connection::open(door.http().await).await;
    endless.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n").await;
    assert_eq!(endless.answer().await.status(), 413);
    let mut sent = 0;
    while endless.stream.write_all(&[b'x'; 1 << 16]).await.is_ok() {
        sent += 1 << 16;
    }
    assert!((60_000_000..200_000_000).contains(&sent), "{sent} bytes were taken");
    until("the connection that never stops is closed", SOON, none_open).await;
    drop(silent);
}

#[tokio::test]
async fn over_http_2_the_answer_comes_first_and_then_the_word_to_stop() {
    let panel = hasty().await;
    let door = with_https(Settings::panel(panel.url())).await;
    let mut client = Frames::open(door.https().await, &[]).await;
    client.send(&frame(HEADERS, END_HEADERS, 1, &frames::post("/", &[]))).await;
    client.send(&frame(DATA, 0, 1, b"some")).await;

    let seen = until_reset(&mut client).await;
    let of_stream: Vec<_> = seen.iter().filter(|frame| frame.stream == 1).map(|frame| frame.kind).collect();
    assert_eq!(of_stream, [HEADERS, DATA, RST_STREAM]);
    assert_eq!(seen.last().unwrap().payload, NO_ERROR);
}

#[tokio::test]
async fn over_http_2_who_ends_the_request_in_time_is_not_told_to_stop() {
    let panel = hasty().await;
    let door = with_https(Settings::panel(panel.url())).await;
    let mut client = Frames::open(door.https().await, &[]).await;
    for stream in [1, 3, 5] {
        client.send(&frame(HEADERS, END_HEADERS, stream, &frames::post("/", &[]))).await;
        client.until(DATA).await;
        client.send(&frame(DATA, END_STREAM, stream, b"late")).await;
    }
    client.send(&frame(PING, 0, 0, &[0; 8])).await;
    while let Some(frame) = client.next().await {
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == PING {
            return;
        }
    }
    panic!("it ended");
}

/// A panel that reads a head, answers, and hangs up on what comes after.
async fn hasty() -> Upstream {
    Upstream::with(|mut client| async move {
        client.head().await;
        let answer = String::from_utf8(plain(413, "too much\n")).unwrap();
        client.send(answer.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    })
    .await
}

async fn with_https(settings: Settings) -> Doorman {
    Doorman::start(&settings.set("https", "listen", vec!["127.0.0.1:0"])).await
}

/// curl's options for a version, and where it is spoken.
async fn urls(door: &Doorman, path: &str) -> [(&'static str, String); 3] {
    let (http, https) =
        (format!("http://{}{path}", door.http().await), format!("https://{}{path}", door.https().await));
    [("--http1.1", http), ("--http1.1", https.clone()), ("--http2", https)]
}

fn upload(length: usize) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pattern(length)).unwrap();
    file
}

async fn until_reset(client: &mut Frames) -> Vec<Frame> {
    let mut seen = Vec::new();
    while let Some(frame) = client.next().await {
        let last = frame.kind == RST_STREAM;
        seen.push(frame);
        if last {
            return seen;
        }
    }
    panic!("it ended: {seen:?}");
}
