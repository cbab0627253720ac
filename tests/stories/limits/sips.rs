//! Who takes or brings little at a time over HTTP/2, and is served all the same.

use super::bodies::{INITIAL_WINDOW, endless};
use super::{DRIP, door, soon};
use crate::support::doorman::Doorman;
use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, WINDOW_UPDATE, frame};
use crate::support::upstream::Upstream;

/// So often, in all longer than `body_timeout`.
const TIMES: usize = 40;

/// Bytes that a reader takes at a time: in a frame of little more than the one that allows it.
const SIP: u32 = 100;

#[tokio::test]
async fn a_reader_that_takes_a_little_at_a_time_is_served() {
    let (panel, _ended) = endless().await;
    let door = hurried(&panel).await;
    let mut reader = reader(&door).await;
    reader.send(&frames::get_on(1, "/")).await;
    reader.until(HEADERS).await;

    sip(&mut reader).await;
}

#[tokio::test]
async fn a_reader_that_takes_a_little_at_a_time_is_served_however_much_it_has_said() {
    let (panel, _ended) = endless().await;
    let door = hurried(&panel).await;
    let mut reader = reader(&door).await;
    reader.send(&frame(HEADERS, END_HEADERS, 1, &frames::post("/", &[]))).await;
    reader.until(HEADERS).await;
    for _ in 0..4 {
        assert!(reader.send(&frame(DATA, 0, 1, &[b'x'; 12_000])).await);
    }

    sip(&mut reader).await;
}

#[tokio::test]
async fn an_upload_that_brings_a_little_at_a_time_goes_on_behind_the_head_of_its_answer() {
    let panel = Upstream::with(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
        for _ in 0..TIMES {
            assert_eq!(client.chunk().await, b"x");
        }
        client.send("ok").await;
        client.rest().await;
    })
    .await;
    let door = hurried(&panel).await;
    let mut client = Frames::open(door.https().await, &[]).await;
    client.send(&frame(HEADERS, END_HEADERS, 1, &frames::post("/", &[]))).await;
    client.until(HEADERS).await;

    let mut tick = tokio::time::interval(DRIP);
    for number in 1..=TIMES {
        tick.tick().await;
        let flags = if number == TIMES { END_STREAM } else { 0 };
        assert!(client.send(&frame(DATA, flags, 1, b"x")).await);
    }
    assert_eq!(soon("the answer", client.until(DATA)).await.payload, b"ok");
}

/// A door that has no patience with who does nothing.
async fn hurried(panel: &Upstream) -> Doorman {
    door(panel, &[("body_timeout", "1s")]).await
}

/// Somebody who takes nothing beforehand.
async fn reader(door: &Doorman) -> Frames {
    Frames::open(door.https().await, &[(INITIAL_WINDOW, 0)]).await
}

async fn sip(reader: &mut Frames) {
    let mut tick = tokio::time::interval(DRIP);
    for _ in 0..TIMES {
        tick.tick().await;
        assert!(reader.send(&frame(WINDOW_UPDATE, 0, 1, &SIP.to_be_bytes())).await);
        assert_eq!(soon("a sip", reader.until(DATA)).await.payload.len(), SIP as usize);
    }
}
