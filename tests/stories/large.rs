//! Large bodies go from socket to socket: what holds for small ones holds for them.

mod beside;
mod ending;
mod sizes;
mod uploads;

use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::interval;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::pattern;
use crate::support::recorder::Recorder;

const SOON: Duration = Duration::from_secs(30);

/// Far more than is read at once, and no multiple of it.
const LARGE: usize = 5_000_003;
/// More than sockets on loopback take while nobody reads.
const HUGE: usize = 32 << 20;

/// A panel in the story's hands, and a client of the door before it.
struct Scene {
    panel: Recorder,
    door: Doorman,
    client: Connection<TcpStream>,
}

impl Scene {
    async fn open() -> Self {
        Self::with(|settings| settings).await
    }

    async fn with(change: impl Fn(Settings) -> Settings) -> Self {
        let panel = Recorder::listen().await;
        let door = Doorman::start(&change(Settings::panel(panel.url.clone()))).await;
        let client = Connection::open(door.http().await).await;
        Self { panel, door, client }
    }

    /// From now on the client's socket is full whenever the door has something.
    async fn narrow(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        self.client = Connection::over(socket.connect(self.door.http().await).await.unwrap());
    }

    /// Takes a request head from what the panel hears.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.panel.take(1, SOON).await;
            assert!(!byte.is_empty(), "no head came: {:?}", String::from_utf8_lossy(&head));
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// Sends an answer's head, and says what its length is.
    async fn answer(&mut self, length: usize, fields: &str) {
        assert!(
            self.panel
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n").as_bytes())
                .await
        );
    }

    async fn get(&mut self, target: &str) {
        self.client.send(get(target)).await;
    }

    /// Sends some of an answer's body, and has the client read it meanwhile.
    async fn body_arrives(&mut self, body: &[u8]) {
        let (sent, got) = tokio::join!(self.panel.send(body), self.client.bytes(body.len()));
        assert!(sent, "the panel was cut off");
        assert!(got == body, "other bytes came than were sent");
    }

    /// Has the client send some of a request's body, and the panel read it meanwhile.
    async fn body_goes_up(&mut self, body: &[u8]) {
        let (got, ()) = tokio::join!(self.panel.take(body.len(), SOON), self.client.send(body));
        assert!(got == body, "other bytes came than were sent");
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn post(length: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn answers_follow_each_other_on_the_same_connections() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    scene.client.send([get("/1"), get("/2"), get("/3")].concat()).await;

    for number in 1..=2 {
        assert!(scene.head().await.starts_with(&format!("GET /{number} ")));
        scene.answer(LARGE, "").await;
        assert_eq!(scene.client.head().await.unwrap().field("content-length"), Some("5000003"));
        scene.body_arrives(&body).await;
    }
    assert!(scene.head().await.starts_with("GET /3 "));
    scene.answer(5, "").await;
    scene.panel.send(b"small").await;
    assert_eq!(scene.client.answer().await.text(), "small");
    assert_eq!(scene.panel.opened, 1, "the panel's connection was not used again");
}

#[tokio::test]
async fn requests_follow_each_other_on_the_same_connections() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    for _ in 0..2 {
        scene.client.send(post(LARGE)).await;
        assert!(scene.head().await.contains("Content-Length: 5000003\r\n"));
        scene.body_goes_up(&body).await;
        scene.answer(2, "").await;
        scene.panel.send(b"ok").await;
        assert_eq!(scene.client.answer().await.text(), "ok");
    }

    // The next request comes with the end of the body.
    scene.client.send(post(LARGE)).await;
    scene.head().await;
    scene.body_goes_up(&body[..LARGE - 7]).await;
    scene.client.send([&body[LARGE - 7..], get("/next").as_bytes()].concat()).await;
    assert_eq!(scene.panel.take(7, SOON).await, body[LARGE - 7..]);
    scene.answer(0, "").await;
    assert_eq!(scene.client.answer().await.status(), 200);
    assert!(scene.head().await.starts_with("GET /next "));
    assert_eq!(scene.panel.opened, 1, "the panel's connection was not used again");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    scene.get("/").await;
    scene.head().await;
    scene.answer(LARGE, "").await;
    scene.client.head().await;
    scene.body_arrives(&body[..LARGE - 1]).await;
    scene.panel.end().await;

    let rest = tokio::time::timeout(SOON, scene.client.rest()).await.expect("the client sees an end");
    assert_eq!(rest, b"", "the last byte was made up");
}

#[tokio::test]
async fn what_a_panel_says_after_its_answer_is_nobodys() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    scene.get("/").await;
    scene.head().await;
    scene.answer(LARGE, "").await;
    scene.client.head().await;
    let (rest, extra) = (&body[1..], b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
    scene.body_arrives(&body[..1]).await;
    let sent = [rest, extra].concat();
    let (_, got) = tokio::join!(scene.panel.send(&sent), scene.client.bytes(rest.len()));
    assert!(got == rest, "other bytes came than were sent");

    scene.get("/next").await;
    assert!(scene.head().await.starts_with("GET /next "));
    scene.answer(5, "").await;
    scene.panel.send(b"right").await;
    assert_eq!(scene.client.answer().await.text(), "right");
    assert_eq!(scene.panel.opened, 2);
}

#[tokio::test]
async fn a_panel_that_closes_after_its_answer_is_not_asked_over_that_connection() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    scene.get("/").await;
    scene.head().await;
    scene.answer(LARGE, "Connection: close\r\n").await;
    scene.client.head().await;
    scene.body_arrives(&body).await;

    // It has not closed yet: a POST that was sent there would be lost.
    scene.client.send("POST /next HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    assert!(scene.head().await.starts_with("POST /next "));
    assert_eq!(scene.panel.opened, 2);
}

#[tokio::test]
async fn a_client_that_leaves_a_download_cancels_it() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    scene.get("/").await;
    scene.head().await;
    scene.answer(2 * LARGE, "").await;
    scene.client.head().await;
    scene.body_arrives(&body).await;

    drop(scene.client);

    assert!(scene.panel.is_ended(SOON).await, "the panel still sends for nobody");
}

#[tokio::test]
async fn a_reader_that_is_slow_is_served_and_one_that_stops_is_cut_off() {
    /// Taken so often, in all longer than the time limit.
    const TIMES: usize = 100;
    const TAKEN: usize = HUGE / 2 / TIMES;
    let body = pattern(HUGE); // before the time counts
    let mut scene = Scene::with(|settings| settings.set("http", "body_timeout", "2s")).await;
    scene.narrow().await;
    scene.get("/").await;
    scene.head().await;
    scene.answer(HUGE, "").await;
    scene.client.head().await;
    let reading = async {
        let mut tick = interval(Duration::from_millis(50));
        for piece in body.chunks_exact(TAKEN).take(TIMES) {
            tick.tick().await;
            assert!(scene.client.bytes(TAKEN).await == piece, "it was cut off, or other bytes came");
        }
    };

    let both = async { tokio::join!(scene.panel.send(&body), reading) };
    let (sent, ()) = tokio::time::timeout(SOON, both).await.expect("it is cut off when nothing is read");
    assert!(!sent, "that was less than the sockets hold");
    assert!(scene.panel.is_ended(SOON).await);
}

/// One of these lengths at least ends in a piece of which the client's socket takes some, whatever it holds.
#[tokio::test]
async fn what_a_full_socket_did_not_take_comes_later_to_the_last_byte() {
    const LENGTHS: std::ops::Range<usize> = 1 << 20..7 << 20;
    let body = pattern(LENGTHS.end);
    let mut scene = Scene::open().await;
    scene.narrow().await;
    for length in LENGTHS.step_by(100_000) {
        scene.get("/").await;
        scene.head().await;
        scene.answer(length, "").await;
        scene.client.head().await;
        let mut sending = std::pin::pin!(scene.panel.send(&body[..length]));
        // Nothing is read before all is sent, or no more can be.
        let sent = tokio::time::timeout(Duration::from_millis(50), &mut sending).await;
        let reading = scene.client.bytes(length);
        let (sent, got) = match sent {
            Ok(sent) => (sent, reading.await),
            Err(_) => tokio::join!(sending, reading),
        };
        assert!(sent && got == body[..length], "other bytes came than were sent of {length}");
    }
    assert_eq!(scene.panel.opened, 1);
}

#[tokio::test]
async fn a_panel_that_speaks_http_1_0_is_not_asked_over_that_connection_again() {
    let mut scene = Scene::open().await;
    let body = pattern(LARGE);
    scene.get("/").await;
    scene.head().await;
    let head = format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: {LARGE}\r\n\r\n");
    assert!(scene.panel.send(head.as_bytes()).await);
    assert_eq!(scene.client.head().await.unwrap().start, "HTTP/1.1 200 OK");
    scene.body_arrives(&body).await;

    scene.get("/next").await;
    assert!(scene.head().await.starts_with("GET /next "));
    assert_eq!(scene.panel.opened, 2);
}

#[tokio::test]
async fn without_descriptors_to_move_it_an_answer_comes_all_the_same() {
    let mut scene = Scene::with(|settings| settings.set("http", "workers", 1)).await;
    let body = pattern(LARGE);
    scene.get("/").await;
    scene.head().await;
    scene.answer(2, "").await;
    scene.panel.send(b"ok").await;
    assert_eq!(scene.client.answer().await.text(), "ok");
    scene.door.process.limit_descriptors(scene.door.process.descriptors());

    scene.get("/large").await;
    scene.head().await;
    scene.answer(LARGE, "").await;
    scene.client.head().await;
    scene.body_arrives(&body).await;
    assert_eq!(scene.panel.opened, 1);
}

#[tokio::test]
async fn a_panel_that_stops_in_its_answer_is_given_up_in_time() {
    let mut scene = Scene::with(|settings| settings.set("http", "body_timeout", "1s")).await;
    let body = pattern(LARGE);
    scene.get("/").await;
    scene.head().await;
    scene.answer(2 * LARGE, "").await;
    scene.client.head().await;
    scene.body_arrives(&body).await;

    assert_eq!(scene.client.rest().await, b"");
    assert!(scene.panel.is_ended(SOON).await);
}
