//! Clients whose request is there as soon as their connection: nothing is waited for on it.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::recorder::Recorder;
use crate::support::{pattern, until};

const SOON: Duration = Duration::from_secs(10);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A door, the panel behind it, and a client whose first bytes came with its connection.
struct Scene {
    door: Doorman,
    panel: Recorder,
    client: Connection<TcpStream>,
}

impl Scene {
    async fn begin(bytes: &str) -> Self {
        let panel = Recorder::listen().await;
        let door = Doorman::start(&Settings::panel(&panel.url).set("http", "workers", 1)).await;
        let client = ask(&door, bytes).await;
        Self { door, panel, client }
    }

    /// Waits for the head of a request that begins like this.
    async fn panel_is_asked(&mut self, start: &str) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let byte = self.panel.take(1, SOON).await;
            assert!(!byte.is_empty(), "no more than {head:?} came");
            head.push(char::from(byte[0]));
        }
        assert!(head.starts_with(start), "{head:?}");
    }

    async fn is_answered(&mut self) {
        assert!(self.panel.send(ANSWER.as_bytes()).await);
        let answer = tokio::time::timeout(SOON, self.client.answer()).await.expect("an answer");
        assert_eq!(answer.text(), "ok");
    }
}

/// A client whose first bytes the door finds with its connection.
async fn ask(door: &Doorman, bytes: &str) -> Connection<TcpStream> {
    let http = door.http().await;
    stop(door).await;
    let mut client = Connection::open(http).await; // the kernel accepts it
    client.send(bytes).await;
    door.process.signal(Signal::CONT);
    client
}

/// Until SIGCONT.
async fn stop(door: &Doorman) {
    door.process.signal(Signal::STOP);
    until("it stands still", SOON, async || stands_still(door.process.id()).then_some(())).await;
}

/// Whether all threads of a process are stopped.
fn stands_still(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    })
}

#[tokio::test]
async fn who_comes_with_a_request_and_leaves_cancels_it() {
    let mut scene = Scene::begin(GET).await;
    scene.panel_is_asked("GET / ").await;

    drop(scene.client);

    assert!(scene.panel.is_ended(SOON).await, "the panel still works for nobody");
}

#[tokio::test]
async fn what_was_on_its_way_to_who_leaves_is_not_among_what_others_get() {
    const LARGE: usize = 1 << 20;
    const SOME: usize = 100_000;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let mut scene = Scene::begin(GET).await;
    for turn in 1..=5 {
        scene.panel_is_asked("GET / ").await;
        assert!(scene.panel.send(&[head.as_bytes(), &[b'-'; SOME]].concat()).await);
        scene.client.head().await.unwrap();
        scene.client.bytes(SOME).await;
        stop(&scene.door).await;
        scene.client.stream.set_zero_linger().unwrap();
        drop(scene.client); // a reset
        assert!(scene.panel.send(&[b'-'; SOME]).await);
        scene.door.process.signal(Signal::CONT);
        assert!(scene.panel.is_ended(SOON).await);

        scene.client = ask(&scene.door, GET).await;
        scene.panel_is_asked("GET / ").await;
        let answer = [head.as_bytes(), &pattern(LARGE)].concat();
        let (sent, answer) = tokio::join!(scene.panel.send(&answer), scene.client.answer());
        assert!(sent && answer.body == pattern(LARGE), "other bytes came, turn {turn}");
        scene.client = ask(&scene.door, GET).await;
    }
}

#[tokio::test]
async fn who_comes_with_a_request_may_send_another_and_is_told_the_end() {
    let mut scene = Scene::begin(GET).await;
    scene.panel_is_asked("GET / ").await;
    scene.is_answered().await;
    for _ in 0..3 {
        scene.client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
        scene.panel_is_asked("GET /next ").await;
        scene.is_answered().await;
    }
    scene.client.send("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    scene.panel_is_asked("GET /last ").await;
    scene.is_answered().await;
    assert!(scene.client.rest().await.is_empty());
    assert_eq!(scene.panel.opened, 1);
}

#[tokio::test]
async fn what_comes_behind_the_last_request_does_not_take_its_answer_along() {
    for last in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"] {
        let mut scene = Scene::begin(last).await;
        scene.panel_is_asked("GET / ").await;
        scene.client.send("\r\n").await;
        scene.is_answered().await;
        assert!(scene.client.rest().await.is_empty());
    }
}

#[tokio::test]
async fn two_requests_that_come_with_a_connection_are_answered_in_turn() {
    let mut scene = Scene::begin(&format!("{GET}GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    scene.panel_is_asked("GET / ").await;
    scene.is_answered().await;
    scene.panel_is_asked("GET /2 ").await;
    scene.is_answered().await;
}

#[tokio::test]
async fn the_rest_of_what_began_with_a_connection_is_waited_for() {
    let mut scene = Scene::begin("GET /half HTTP/1.1\r\nHo").await;
    scene.client.send("st: h\r\n\r\n").await;
    scene.panel_is_asked("GET /half ").await;
    scene.is_answered().await;

    let mut scene = Scene::begin("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345").await;
    scene.panel_is_asked("POST /body ").await;
    assert_eq!(scene.panel.take(5, SOON).await, b"12345");
    scene.client.send("67890").await;
    assert_eq!(scene.panel.take(5, SOON).await, b"67890");
    scene.is_answered().await;
}

#[tokio::test]
async fn a_body_goes_on_up_while_its_early_answer_comes_down() {
    let mut scene = Scene::begin("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345").await;
    scene.panel_is_asked("POST /body ").await;
    assert!(scene.panel.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nno").await);
    assert_eq!(scene.client.head().await.unwrap().status(), 200);
    assert_eq!(scene.client.bytes(2).await, b"no");
    assert_eq!(scene.panel.take(5, SOON).await, b"12345");
    scene.client.send("67890").await;
    assert_eq!(scene.panel.take(5, SOON).await, b"67890");
    assert!(scene.panel.send(b"ne").await);
    assert_eq!(scene.client.bytes(2).await, b"ne");
}

#[tokio::test]
async fn a_large_answer_to_who_does_not_read_at_first_is_whole() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let body = pattern(LENGTH);
    for connection in ["keep-alive", "close"] {
        let mut scene =
            Scene::begin(&format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n")).await;
        scene.panel_is_asked("GET / ").await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        let panel = &mut scene.panel;
        let client = &mut scene.client;
        let sending = async {
            assert!(panel.send(head.as_bytes()).await);
            assert!(panel.send(&body).await);
        };
        let reading = async {
            client.head().await.unwrap();
            assert!(client.bytes(LENGTH).await == body, "other bytes came");
        };
        tokio::time::timeout(3 * SOON, async { tokio::join!(sending, reading) }).await.expect("all of it");
        if connection == "close" {
            assert!(scene.client.rest().await.is_empty());
        }
    }
}
