//! How long a body, a panel's answer and a connection to it may take.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{DRIP, door, soon};
use crate::support::client::{Connection, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::frames::{self, DATA, END_HEADERS, Frames, HEADERS, PING, WINDOW_UPDATE, frame};
use crate::support::upstream::{Upstream, plain};

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
pub(super) const INITIAL_WINDOW: u16 = 4;

#[tokio::test]
async fn an_upload_that_stops_is_a_408_and_one_that_goes_on_slowly_is_not() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("body_timeout", "1s")]).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n").await;
    let mut tick = tokio::time::interval(DRIP);
    for _ in 0..40 {
        tick.tick().await; // in all longer than body_timeout
        client.send("x").await;
    }
    assert_eq!(client.answer().await.status(), 200);

    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nonly this").await;
    let answer = soon("it ends after body_timeout", client.answer()).await;
    assert_eq!((answer.status(), answer.field("connection")), (408, Some("close")));
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn an_upload_over_http_2_that_stops_is_answered_too() {
    let panel = Upstream::panel().await;
    let door = door(&panel, &[("body_timeout", "500ms")]).await;
    let mut client = Frames::open(door.https().await, &[]).await;

    client.send(&frame(HEADERS, END_HEADERS, 1, &frames::get("/", &[]))).await;
    client.send(&frame(DATA, 0, 1, b"only this")).await;

    assert_eq!(soon("an answer after body_timeout", client.until(HEADERS)).await.stream, 1);
}

#[tokio::test]
async fn a_reader_that_stops_is_cut_off_and_the_panel_with_it() {
    let (panel, mut ended) = endless().await;
    let door = door(&panel, &[("body_timeout", "500ms")]).await;
    let mut client = Connection::open(door.http().await).await;

    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);

    soon("the panel's connection ends", ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_reader_over_http_2_that_takes_nothing_is_cut_off_though_it_pings() {
    let (panel, mut ended) = endless().await;
    let door = door(&panel, &[("body_timeout", "500ms")]).await;
    // A window of one byte: the response begins, and then it waits.
    let mut client = Frames::open(door.https().await, &[(INITIAL_WINDOW, 1)]).await;
    client.send(&frames::get_on(1, "/")).await;
    client.until(DATA).await;

    let ping = async {
        let mut tick = tokio::time::interval(DRIP);
        while client.send(&frame(PING, 0, 0, &[0; 8])).await {
            tick.tick().await;
            if client.until_or_end(PING).await.is_none() {
                return;
            }
        }
    };
    soon("it ends after body_timeout", ping).await;
    soon("the panel's connection ends", ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_reader_over_http_2_that_is_slow_but_reads_is_served() {
    const LENGTH: usize = 40;
    let panel = Upstream::answering(|_| plain(200, &"x".repeat(LENGTH))).await;
    let door = door(&panel, &[("body_timeout", "1s")]).await;
    let mut client = Frames::open(door.https().await, &[(INITIAL_WINDOW, 0)]).await;
    client.send(&frames::get_on(1, "/")).await;

    let mut tick = tokio::time::interval(DRIP);
    let mut got = 0;
    while got < LENGTH {
        tick.tick().await; // in all longer than body_timeout
        assert!(client.send(&frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes())).await);
        got += soon("one more byte", client.until(DATA)).await.payload.len();
    }
}

#[tokio::test]
async fn a_panel_that_stops_within_a_body_leaves_it_visibly_broken_off() {
    let panel = Upstream::with(|mut client| async move {
        let request = client.request().await.unwrap();
        let head = match request.start.contains("chunked") {
            true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            false => "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf",
        };
        client.send(head).await;
        client.rest().await;
    })
    .await;
    let door = door(&panel, &[("body_timeout", "500ms")]).await;
    for (target, body) in [("/length", "half"), ("/chunked", "4\r\nhalf\r\n")] {
        let mut client = Connection::open(door.http().await).await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert_eq!(client.head().await.unwrap().status(), 200);
        assert_eq!(soon("it ends after body_timeout", client.rest()).await, body.as_bytes());
    }
}

#[tokio::test]
async fn response_timeout_counts_to_the_head_and_no_further() {
    let panel = Upstream::with(|mut client| async move {
        let request = client.request().await.unwrap();
        if request.start.contains("slow-body") {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n").await;
            let mut tick = tokio::time::interval(DRIP);
            for _ in 0..40 {
                tick.tick().await; // in all longer than either limit
                client.send("x").await;
            }
        }
        client.rest().await;
    })
    .await;
    let settings = Settings::panel(panel.url()).set("panel", "response_timeout", "1s");
    let door = Doorman::start(&settings.set("http", "body_timeout", "1s")).await;

    let answer = soon("silence", get(door.http().await, "/silent")).await;
    assert_eq!(answer.status(), 504);
    let answer = soon("a slow body", get(door.http().await, "/slow-body")).await;
    assert_eq!((answer.status(), answer.body.len()), (200, 40));
}

#[tokio::test]
async fn a_panel_that_does_not_accept_within_connect_timeout_is_a_504() {
    // A backlog that is full: further attempts are not refused, they are not answered.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(10 * DRIP, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let settings = Settings::panel(format!("http://{address}")).set("panel", "connect_timeout", "500ms");
    let door = Doorman::start(&settings).await;

    let answer = soon("no connection", get(door.http().await, "/")).await;

    assert_eq!(answer.status(), 504);
}

/// A panel whose body has no end, and what tells that the door has left it.
pub(super) async fn endless() -> (Upstream, mpsc::UnboundedReceiver<()>) {
    let (tell, ended) = mpsc::unbounded_channel();
    let panel = Upstream::with(move |mut client| {
        let tell = tell.clone();
        async move {
            client.head().await;
            client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
            while client.stream.write_all(&chunk).await.is_ok() {}
            let _ = tell.send(());
        }
    })
    .await;
    (panel, ended)
}
