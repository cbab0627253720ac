//! The webhook: what is posted, that it can be verified, and that it comes in the end.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::until;
use crate::support::upstream::{Upstream, plain};

const KEY: &str = "a key, with 字 in it";
const PATH: &str = "/hooks/s3cret-path?token=s3cret-query";
const DOCUMENT: &str = include_str!("../../../docs/webhook.md");

/// A door that tells the webhook alone.
fn posting(receiver: &Upstream) -> Settings {
    Settings::panel("http://127.0.0.1:1")
        .set("webhook", "url", format!("{}{PATH}", receiver.url()))
        .set("webhook", "secret", KEY)
}

/// What a program prints that is given `input`.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn an_alert_is_posted_as_it_is_documented_and_others_can_verify_its_signature() {
    let receiver = Upstream::answering(|_| plain(204, "")).await;
    let (_held, port) = squatter();
    let door = Doorman::start_waiting(&with_a_taken_port(posting(&receiver), port)).await;
    until("it is posted", SOON, async || (!receiver.seen().is_empty()).then_some(())).await;
    all_told(&door).await;

    let post = receiver.only();
    assert_eq!(post.start, format!("POST {PATH} HTTP/1.1"));
    assert_eq!(post.field("content-type"), Some("application/json"));
    let signature = post.field("x-doorman-signature").expect("a signature");
    let by_openssl = run("openssl", &["dgst", "-sha256", "-hmac", KEY, "-r"], &post.body);
    assert_eq!(signature, format!("sha256={}", by_openssl.split(' ').next().unwrap()));
    let script = "import hashlib, hmac, sys; print(hmac.new(sys.argv[1].encode(), sys.stdin.buffer.read(), hashlib.sha256).hexdigest())";
    assert_eq!(signature, format!("sha256={}", run("python3", &["-c", script, KEY], &post.body)));

    let body: Value = serde_json::from_slice(&post.body).unwrap();
    assert_eq!(body["version"], 1);
    assert_eq!((&body["event"], &body["kind"]), (&json!("alert"), &json!("port_taken")));
    assert_eq!((&body["severity"], &body["edge"]), (&json!("warning"), &json!("news")));
    assert_eq!(body["addresses"], json!(["127.0.0.1"]));
    assert!(body["text"]["en"].as_str().unwrap().contains("Another program has port 80"));
    assert!(body["text"]["zh-CN"].as_str().unwrap().contains("80 端口被其他程序占用"));
    let documented: Vec<_> =
        DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let mut listed = documented.clone();
    fields.sort_unstable();
    listed.sort_unstable();
    assert_eq!(fields, listed, "docs/webhook.md lists what is posted");
}

#[tokio::test]
async fn a_post_that_fails_comes_again_with_the_same_number() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let receiver = Upstream::answering(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => plain(500, "no"),
        1 => b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => plain(200, "ok"),
    })
    .await;
    let store = with_alerts([1, 2]);
    let door = start(&store, &posting(&receiver)).await;
    all_told(&door).await;

    let bodies: Vec<Value> =
        receiver.seen().iter().map(|post| serde_json::from_slice(&post.body).unwrap()).collect();
    let numbers: Vec<_> = bodies.iter().map(|body| body["id"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["1", "1", "1", "2"]);
    assert_eq!(bodies[3]["failures"], 2);
    door.process.says("asked again in 3 s", SOON).await;
}

#[tokio::test]
async fn a_refusal_says_the_host_and_nothing_else_of_the_address() {
    let receiver = Upstream::answering(|_| {
        b"HTTP/1.1 302 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec()
    })
    .await;
    let store = with_alerts([1]);
    let door = start(&store, &posting(&receiver)).await;
    let status = door
        .until("the refusal", SOON, |status| status["alerts"]["channels"][0]["last_error"].is_string())
        .await;
    let said = status["alerts"]["channels"][0]["last_error"].as_str().unwrap();
    assert!(said.starts_with("127.0.0.1 refuses: it answered 302 Found"), "{said}");
    drop(receiver);
    until("it was noted", SOON, async || {
        door.process.log().iter().any(|line| line.contains("an alert is refused")).then_some(())
    })
    .await;
    let tested = door.command(&["alert", "test"]).await;
    let places = [
        door.process.log().join("\n"),
        door.admin("GET", "/status").await.text().to_owned(),
        door.admin("GET", "/").await.text().to_owned(),
        String::from_utf8_lossy(&tested.stdout).into_owned(),
        String::from_utf8_lossy(&tested.stderr).into_owned(),
    ];
    for place in places {
        assert!(!place.contains("s3cret") && !place.contains(KEY), "{place}");
    }
}
