//! `doorman alert test`, and that no secret gets out whatever goes wrong.

use super::*;
use crate::support::doorman;
use crate::support::telegram::Reply;
use crate::support::upstream::{Upstream, plain};

const UNAVAILABLE: i32 = 69;
const CONFIGURATION: i32 = 78;

fn printed(output: &std::process::Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn one_message_goes_through_every_channel_with_and_without_a_daemon() {
    let telegram = Telegram::start().await;
    let receiver = Upstream::answering(|_| plain(200, "")).await;
    let settings = both(&telegram).set("webhook", "url", receiver.url());
    let mut door = Doorman::start(&settings).await;

    let (code, said, _) = printed(&door.command(&["alert", "test"]).await);
    assert_eq!(code, 0, "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "sent by the running daemon:",
            "telegram -1001234567890: sent",
            "telegram 4711: sent",
            "webhook: sent"
        ]
    );
    door.process.kill();
    let (code, said, complaint) = printed(&door.command(&["alert", "test"]).await);
    assert_eq!(code, 0, "{said}{complaint}");
    assert!(said.starts_with("no daemon runs; sent from here, as the configuration says:\n"), "{said}");

    assert_eq!(telegram.heard(ALICE).len(), 2);
    assert!(telegram.heard(OPS)[0].starts_with("<b>🔔 This is a test of doorman</b>\n💻 Host: "));
    let body: Value = serde_json::from_slice(&receiver.seen()[0].body).unwrap();
    assert_eq!((&body["version"], &body["event"]), (&json!(1), &json!("test")));
}

#[tokio::test]
async fn what_came_of_each_channel_is_said_and_one_that_fails_makes_it_fail() {
    let telegram = Telegram::scripted(|call, _| match call.chat {
        ALICE => Reply::Error(400, "Bad Request: chat not found"),
        _ => Reply::Taken,
    })
    .await;
    let door = Doorman::start(&both(&telegram).set("webhook", "url", "http://127.0.0.1:1/x")).await;

    let (code, said, complaint) = printed(&door.command(&["alert", "test"]).await);
    assert_eq!(code, UNAVAILABLE, "{said}");
    assert!(said.contains("telegram -1001234567890: sent\n"), "{said}");
    assert!(
        said.contains("telegram 4711: NOT sent: 127.0.0.1 refuses: Bad Request: chat not found"),
        "{said}"
    );
    assert!(said.contains("webhook: NOT sent: 127.0.0.1 cannot be reached"), "{said}");
    assert_eq!(complaint.lines().next(), Some("2 of 3 test messages did not arrive."));
    assert_eq!(waiting(&door.status().await), 0, "a test does not go through the outbox");
}

#[tokio::test]
async fn without_a_channel_or_a_daemon_it_says_so() {
    let door = Doorman::start(&Settings::panel("http://127.0.0.1:1")).await;
    let (code, _, complaint) = printed(&door.command(&["alert", "test"]).await);
    assert_eq!(code, CONFIGURATION);
    assert!(complaint.starts_with("No channel for alerts is configured"), "{complaint}");
    assert_eq!(door.admin("GET", "/alert/test").await.status(), 405);

    let (code, _, complaint) = printed(&doorman::command(&["alert", "test", "--admin", "127.0.0.1:1"]).await);
    assert_eq!(code, UNAVAILABLE);
    assert!(complaint.starts_with("No daemon answers"), "{complaint}");
}

#[tokio::test]
async fn no_secret_gets_out_at_any_level_of_the_log() {
    let telegram = Telegram::scripted(|_, number| match number % 4 {
        0 => Reply::Error(401, "Unauthorized"),
        1 => Reply::Garbage,
        2 => Reply::Error(404, "Not Found"),
        _ => Reply::Taken,
    })
    .await;
    let settings = both(&telegram)
        .set("webhook", "url", "http://user:pa55word@127.0.0.1:1/s3cret")
        .set("webhook", "secret", "s3cret-key")
        .set("telegram", "commands", true);
    let door = Doorman::start_by(&["env", "RUST_LOG=trace"], &settings).await;
    for _ in 0..3 {
        door.command(&["alert", "test"]).await;
    }
    let address = telegram.address;
    drop(telegram);
    let tested = door.command(&["alert", "test"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(said.contains("cannot be reached"), "{address}: {said}");

    let log = door.process.log().join("\n");
    assert!(log.contains("TRACE") && log.contains("a test message was sent"), "the log is not complete");
    for secret in [SECRET, "pa55word", "s3cret"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
    nothing_is_betrayed(&door).await;
}
