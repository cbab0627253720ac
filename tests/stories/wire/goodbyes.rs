//! The end of an HTTP/2 connection, by either side (RFC 9113 section 6.8), and streams above the limit (section 5.1.2):
//! what was begun is completed, and what is not served is refused so that the client knows it can be asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;

use crate::support::doorman::{Doorman, Settings};
use crate::support::frames::{
    self, ACK, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    frame,
};
use crate::support::until;
use crate::support::upstream::{Upstream, plain};

const SOON: Duration = Duration::from_secs(30);

/// Streams of one connection that the door serves at once (`MAX_STREAMS`).
const MAX_STREAMS: u32 = 128;

/// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2).
const MAX_CONCURRENT_STREAMS: [u8; 2] = 3u16.to_be_bytes();

/// In a GOAWAY that only announces another one (RFC 9113 section 6.8).
const ANY_STREAM: u32 = 0x7fff_ffff;

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;

/// A field block's first byte for status 200 (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;

/// A panel that answers when it is told to, and says how often it was asked.
struct Scene {
    door: Doorman,
    asked: Arc<AtomicUsize>,
    answer: watch::Sender<bool>,
    client: Frames,
    _panel: Upstream,
}

impl Scene {
    async fn open() -> Self {
        let (answer, told) = watch::channel(false);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let panel = Upstream::with(move |mut client| {
            let (mut told, count) = (told.clone(), Arc::clone(&count));
            async move {
                while let Some(head) = client.head().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    let length = head.field("content-length").map_or(0, |length| length.parse().unwrap());
                    let body = client.bytes(length).await;
                    told.wait_for(|told| *told).await.unwrap();
                    client.send(plain(200, &format!("{} bytes", body.len()))).await;
                }
            }
        })
        .await;
        let settings = Settings::panel(panel.url()).set("https", "listen", vec!["127.0.0.1:0"]);
        let door = Doorman::start(&settings).await;
        let client = Frames::open(door.https().await, &[]).await;
        Self { door, asked, answer, client, _panel: panel }
    }

    async fn is_asked(&self, times: usize) {
        until("the panel is asked", SOON, async || {
            (self.asked.load(Ordering::Relaxed) == times).then_some(())
        })
        .await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        assert!(self.client.send(bytes).await, "the connection has ended");
    }

    async fn next(&mut self, kind: u8) -> Frame {
        tokio::time::timeout(SOON, self.client.until(kind)).await.expect("a frame comes")
    }

    /// Reads to the end of the connection; which streams were answered with 200 and a whole body, in order.
    async fn answered(&mut self) -> Vec<u32> {
        let rest = tokio::time::timeout(SOON, self.client.rest()).await.expect("the connection ends");
        whole(&rest)
    }
}

/// The streams of which a head with status 200 and an end came.
fn whole(frames: &[Frame]) -> Vec<u32> {
    let has_ended = |stream: u32| {
        let is_end = |frame: &Frame| frame.kind == DATA && frame.flags & END_STREAM != 0;
        frames.iter().any(|frame| frame.stream == stream && is_end(frame))
    };
    let heads = frames.iter().filter(|frame| frame.kind == HEADERS && frame.payload[0] == STATUS_200);
    let mut streams: Vec<u32> = heads.map(|frame| frame.stream).filter(|stream| has_ended(*stream)).collect();
    streams.sort_unstable();
    streams
}

/// Last stream and error of a GOAWAY.
fn goodbye(frame: &Frame) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
    (number(0), number(4))
}

#[tokio::test]
async fn a_door_that_is_ended_completes_the_streams_that_are_open() {
    let mut scene = Scene::open().await;
    let upload = frames::post("/up", &[("content-length", "8")]);
    scene.send(&frames::get_on(1, "/held")).await;
    scene.send(&frame(HEADERS, END_HEADERS, 3, &upload)).await;
    scene.send(&frame(DATA, 0, 3, b"half")).await;
    scene.is_asked(2).await;

    scene.door.process.signal(Signal::TERM);
    assert_eq!(goodbye(&scene.next(GOAWAY).await), (ANY_STREAM, NO_ERROR), "a warning first");
    let ping = scene.next(PING).await;
    // On its way when the warning came: it is served.
    scene.send(&frames::get_on(5, "/late")).await;
    scene.is_asked(3).await;
    scene.send(&frame(PING, ACK, 0, &ping.payload)).await;
    assert_eq!(goodbye(&scene.next(GOAWAY).await), (5, NO_ERROR), "which streams are served");
    // After that it is not, and the client knows that it was not.
    scene.send(&frames::get_on(7, "/too-late")).await;
    scene.send(&frame(DATA, END_STREAM, 3, b"half")).await;
    scene.answer.send_replace(true);

    assert_eq!(scene.answered().await, [1, 3, 5]);
    assert!(scene.door.process.ended(SOON).await.success());
    assert_eq!(scene.asked.load(Ordering::Relaxed), 3, "the panel heard of what was not served");
}

#[tokio::test]
async fn a_door_that_is_ended_says_goodbye_to_who_is_idle() {
    let mut scene = Scene::open().await;
    scene.answer.send_replace(true);
    scene.send(&frames::get_on(1, "/")).await;
    assert_eq!(scene.next(DATA).await.payload, b"0 bytes");

    scene.door.process.signal(Signal::TERM);

    assert_eq!(goodbye(&scene.next(GOAWAY).await).1, NO_ERROR);
    scene.answered().await;
    assert!(scene.door.process.ended(SOON).await.success());
}

#[tokio::test]
async fn a_client_that_says_goodbye_gets_what_it_asked_for() {
    let mut scene = Scene::open().await;
    let upload = frames::post("/up", &[("content-length", "8")]);
    scene.send(&frames::get_on(1, "/held")).await;
    scene.send(&frame(HEADERS, END_HEADERS, 3, &upload)).await;
    scene.send(&frame(DATA, 0, 3, b"half")).await;
    scene.is_asked(2).await;

    let goodbye = [0u32, NO_ERROR].map(u32::to_be_bytes).concat();
    scene.send(&frame(GOAWAY, 0, 0, &goodbye)).await;
    scene.send(&frame(DATA, END_STREAM, 3, b"half")).await;
    scene.answer.send_replace(true);

    assert_eq!(scene.answered().await, [1, 3]);
    assert_eq!(scene.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn one_stream_above_the_limit_is_refused_and_asked_again_when_there_is_room() {
    let mut scene = Scene::open().await;
    let settings = scene.next(SETTINGS).await.payload;
    let told = settings.chunks(6).find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS);
    assert_eq!(told.expect("the client is told")[2..], MAX_STREAMS.to_be_bytes());
    let all: Vec<u32> = (0..MAX_STREAMS).map(|number| 2 * number + 1).collect();
    let above = 2 * MAX_STREAMS + 1;

    let asked: Vec<u8> = all.iter().flat_map(|stream| frames::get_on(*stream, "/held")).collect();
    scene.send(&asked).await;
    scene.is_asked(all.len()).await;
    scene.send(&frames::get_on(above, "/above")).await;
    let refused = scene.next(RST_STREAM).await;
    assert_eq!((refused.stream, refused.payload), (above, REFUSED_STREAM.to_be_bytes().to_vec()));

    scene.answer.send_replace(true);
    let mut heard = Vec::new();
    while whole(&heard).len() < all.len() {
        heard.push(
            tokio::time::timeout(SOON, scene.client.next()).await.expect("it goes on").expect("no end"),
        );
    }
    assert_eq!(whole(&heard), all);
    assert_eq!(scene.asked.load(Ordering::Relaxed), all.len(), "what was refused was forwarded");
    scene.send(&frames::get_on(above + 2, "/again")).await;
    let answer = scene.next(DATA).await;
    assert_eq!((answer.stream, answer.payload), (above + 2, b"0 bytes".to_vec()));
}
