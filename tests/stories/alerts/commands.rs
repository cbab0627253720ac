//! A bot of doorman's own.

use tokio::time::Instant;

use super::*;
use crate::support::until;

const STRANGER: i64 = 666;

#[tokio::test]
async fn the_configured_chats_are_answered_and_nobody_else() {
    let telegram = Telegram::start().await;
    let settings = both(&telegram).set("telegram", "commands", true);
    telegram.write(ALICE, "/status", 600);
    telegram.write(STRANGER, "/status", 0);
    telegram.write(ALICE, "good morning", 0);
    telegram.write(ALICE, "/status", 0);
    telegram.write(OPS, "/renew@doorman_bot", 0);
    telegram.write(ALICE, "/doctor", 0);
    let (_held, port) = squatter();
    let door = Doorman::start_waiting(&with_a_taken_port(settings, port)).await;

    let to_alice = telegram.hears(ALICE, 3, SOON).await;
    let answers: Vec<_> = to_alice.iter().filter(|text| !text.contains("Another program")).collect();
    assert_eq!(answers.len(), 2, "the old one and the chat are not answered: {to_alice:#?}");
    assert!(answers[0].starts_with("<b>📊 ") && answers[0].contains("\n💻 Host: "), "{}", answers[0]);
    assert!(answers[1].starts_with("<b>🩺 Something is broken</b>\n💻 Host: "), "{}", answers[1]);
    let holder = format!("🔴 Port: 127.0.0.1:{port} is held by ");
    assert!(answers[1].contains(&holder) && answers[1].contains("\n👉 "), "{}", answers[1]);
    assert!(answers[1].contains("\n🔴 CA: https://127.0.0.1:1/dir cannot be reached"), "{}", answers[1]);
    assert!(answers[1].contains("\n✅ Fine: Configuration, "), "{}", answers[1]);
    let to_ops = telegram.hears(OPS, 2, SOON).await;
    assert!(to_ops.iter().any(|text| text.contains("Not now: port 80 is not doorman's")), "{to_ops:#?}");
    assert_eq!(telegram.heard(STRANGER).len(), 0);

    // What was answered is not answered again.
    let polls = telegram.polls();
    until("it asks on", SOON, async || (telegram.polls() > polls + 1).then_some(())).await;
    assert_eq!(telegram.heard(ALICE).len(), 3);
    nothing_is_betrayed(&door).await;
}

#[tokio::test]
async fn the_doctor_speaks_the_language_of_the_settings_and_keeps_nobody_waiting() {
    let panel = TcpListener::bind("127.0.0.1:0").unwrap(); // it is connected to, and says nothing
    let telegram = Telegram::start().await;
    telegram.write(ALICE, "/doctor", 0);
    let settings = telling(telegram.address, &[ALICE])
        .set("telegram", "language", "zh-CN")
        .set("telegram", "commands", true)
        .set("panel", "upstream", format!("http://{}", panel.local_addr().unwrap()));
    let door = Doorman::start(&settings).await;

    // The doctor waits for the panel, twice 10 s; meanwhile `status` is answered as ever.
    let asked_at = Instant::now();
    while telegram.heard(ALICE).is_empty() {
        let one = Instant::now();
        door.status().await;
        assert!(one.elapsed() < Duration::from_secs(3), "the control plane waits for the doctor");
        assert!(asked_at.elapsed() < Duration::from_secs(60), "the doctor never answers");
    }

    let answer = &telegram.heard(ALICE)[0];
    assert!(answer.starts_with("<b>🩺 有东西坏了</b>\n💻 主机名："), "{answer}");
    assert!(
        answer.contains("🔴 面板：panel.upstream：") && answer.contains("既不是 HTTP 也不是 HTTPS"),
        "{answer}"
    );
    assert!(answer.contains("\n✅ 正常：配置、守护进程、存储目录"), "{answer}");
    nothing_is_betrayed(&door).await;
}

#[tokio::test]
async fn whoever_else_uses_the_token_keeps_it_and_alerts_go_on() {
    let telegram = Telegram::start().await;
    telegram.conflict();
    let settings = telling(telegram.address, &[ALICE]).set("telegram", "commands", true);
    let door = Doorman::start(&settings).await;

    door.process.says("another program uses the bot's token for commands", SOON).await;
    let polls = telegram.polls();
    assert_eq!(door.command(&["alert", "test"]).await.status.code(), Some(0));
    assert_eq!(telegram.heard(ALICE).len(), 1);
    assert_eq!(telegram.polls(), polls, "it was asked once, and is left alone");
}

#[tokio::test]
async fn without_the_setting_nothing_but_messages_is_ever_sent() {
    let telegram = Telegram::start().await;
    let (_held, port) = squatter();
    telegram.write(ALICE, "/status", 0);
    let door = Doorman::start_waiting(&with_a_taken_port(both(&telegram), port)).await;
    all_told(&door).await;
    door.command(&["alert", "test"]).await;
    assert_eq!((telegram.polls(), telegram.calls().len()), (0, 4));
}
