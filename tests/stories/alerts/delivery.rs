//! Order, outages, refusals, restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::support::telegram::Reply;

#[tokio::test]
async fn an_alert_arrives_in_every_chat_with_what_happened_and_what_to_do() {
    let telegram = Telegram::start().await;
    let (held, port) = squatter();
    let door = Doorman::start_waiting(&with_a_taken_port(both(&telegram), port)).await;

    for chat in [ALICE, OPS] {
        let text = telegram.hears(chat, 1, SOON).await.remove(0);
        assert!(text.starts_with("<b>🟡 Another program has port 80"), "{text}");
        assert!(text.contains("\n💻 Host: ") && text.contains("\n🌐 IP: 127.0.0.1\n"), "{text}");
        assert!(text.contains("\n⏳ There is no certificate yet.\n"), "{text}");
        assert!(text.contains(&format!("\n🔎 In particular: 127.0.0.1:{port}")), "{text}");
        assert!(text.contains("\n👉 Stop the program that has port 80"), "{text}");
    }
    all_told(&door).await;
    assert_eq!(telegram.calls().len(), 2, "each once");
    let metrics = door.admin("GET", "/metrics").await;
    assert!(
        metrics.text().contains("doorman_alerts_sent_total{channel=\"telegram\"} 2\n"),
        "{}",
        metrics.text()
    );
    drop(held);
    nothing_is_betrayed(&door).await;
}

#[tokio::test]
async fn in_chinese_it_says_who_has_the_port_in_chinese() {
    let telegram = Telegram::start().await;
    let (_held, port) = squatter();
    let settings = telling(telegram.address, &[ALICE]).set("telegram", "language", "zh-CN");
    let _door = Doorman::start_waiting(&with_a_taken_port(settings, port)).await;
    let text = telegram.hears(ALICE, 1, SOON).await.remove(0);
    let detail = text.split("\n🔎 具体情况：").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(detail.starts_with(&format!("127.0.0.1:{port}：")), "{detail}");
    assert!(
        detail.contains(&format!("（pid {}，", std::process::id())) && detail.contains("用户 "),
        "{detail}"
    );
}

#[tokio::test]
async fn what_could_not_be_sent_waits_on_the_disk_and_comes_in_order() {
    let telegram = Telegram::start().await;
    let address = telegram.address;
    drop(telegram);
    let store = with_alerts(1..=5);
    let mut door = start(&store, &telling(address, &[ALICE, OPS])).await;
    let status = door
        .until("why it is not delivered", SOON, |status| {
            status["alerts"]["channels"][1]["last_error"].is_string()
        })
        .await;
    assert_eq!(waiting(&status), 5, "{status:#}");
    let said = status["alerts"]["channels"][0]["last_error"].as_str().unwrap();
    assert!(said.contains("127.0.0.1 cannot be reached") && said.contains("refused"), "{said}");
    door.process.kill();
    door.start_again().await;

    let telegram = Telegram::start_at(address).await;
    for chat in [ALICE, OPS] {
        let heard = telegram.hears(chat, 5, SOON).await;
        assert_eq!(failures(&heard), [1, 2, 3, 4, 5]);
        assert!(heard[0].contains("late, it could not be sent earlier. It is from 2026-01-01 00:00 UTC."));
    }
    all_told(&door).await;
    assert_eq!(telegram.calls().len(), 10, "each once");
    nothing_is_betrayed(&door).await;
}

#[tokio::test]
async fn who_is_asked_too_often_is_left_alone_as_long_as_it_says() {
    let telegram = Telegram::scripted(|_, number| match number {
        0 => Reply::TooMany(3),
        _ => Reply::Taken,
    })
    .await;
    let store = with_alerts([1, 2]);
    let door = start(&store, &telling(telegram.address, &[ALICE])).await;

    assert_eq!(failures(&telegram.hears(ALICE, 2, SOON).await), [1, 2]);
    let calls = telegram.calls();
    let pause = calls[1].at - calls[0].at;
    assert!(pause >= Duration::from_secs(3) && pause < Duration::from_secs(10), "{pause:?}");
    assert_eq!(calls.len(), 3);
    all_told(&door).await;
}

#[tokio::test]
async fn a_wish_to_be_left_alone_survives_a_restart() {
    let telegram = Telegram::scripted(|_, number| match number {
        0 => Reply::TooMany(6),
        _ => Reply::Taken,
    })
    .await;
    let store = with_alerts([1]);
    let mut door = start(&store, &telling(telegram.address, &[ALICE])).await;
    telegram.called(1, SOON).await;
    crate::support::until("the wish is written down", SOON, async || {
        std::fs::read_to_string(store.path().join("outbox.json")).unwrap().contains("until").then_some(())
    })
    .await;
    door.process.kill();
    door.start_again().await;

    telegram.hears(ALICE, 1, SOON).await;
    let calls = telegram.calls();
    assert!(calls[1].at - calls[0].at >= Duration::from_millis(5900), "{calls:?}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_said_and_neither_spins_nor_is_betrayed() {
    let telegram = Telegram::scripted(|_, _| Reply::Error(401, "Unauthorized")).await;
    let store = with_alerts([1]);
    let door = start(&store, &telling(telegram.address, &[ALICE])).await;

    door.process.says("an alert is refused", SOON).await;
    let status = door.status().await;
    let said = status["alerts"]["channels"][0]["last_error"].as_str().unwrap().to_owned();
    assert!(said.contains("write the token from BotFather into telegram.bot_token"), "{said}");
    assert_eq!(waiting(&status), 1, "it waits until the token is right");
    let shown = door.command(&["status"]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("1 waiting for telegram 4711"));
    assert_eq!(telegram.calls().len(), 1);
    nothing_is_betrayed(&door).await;
}

#[tokio::test]
async fn a_chat_that_is_gone_or_blocks_the_bot_holds_up_no_other() {
    const BOB: i64 = 42;
    let telegram = Telegram::scripted(|call, _| match call.chat {
        ALICE => Reply::Error(400, "Bad Request: chat not found"),
        BOB => Reply::Error(403, "Forbidden: bot was blocked by the user"),
        _ => Reply::Taken,
    })
    .await;
    let store = with_alerts(1..=3);
    let door = start(&store, &telling(telegram.address, &[ALICE, BOB, OPS])).await;

    assert_eq!(failures(&telegram.hears(OPS, 3, SOON).await), [1, 2, 3]);
    let status = door
        .until("both refusals", SOON, |status| {
            let channels = status["alerts"]["channels"].as_array().unwrap();
            channels.iter().filter(|channel| channel["last_error"].is_string()).count() == 2
        })
        .await;
    let channels = status["alerts"]["channels"].to_string();
    assert!(channels.contains("chat not found") && channels.contains("press Start"), "{channels}");
    let refused = telegram.calls().iter().filter(|call| call.chat != OPS).count();
    assert_eq!(refused, 2, "each is asked once, and then seldom");
    nothing_is_betrayed(&door).await;
}

#[tokio::test]
async fn a_chat_that_hangs_or_is_slow_holds_up_no_other_and_no_status() {
    let telegram = Telegram::scripted(|call, _| match call.chat {
        ALICE => Reply::Hanging,
        _ => Reply::Slow(Duration::from_millis(300)),
    })
    .await;
    let store = with_alerts(1..=3);
    let door = start(&store, &both(&telegram)).await;

    assert_eq!(failures(&telegram.hears(OPS, 3, SOON).await), [1, 2, 3]);
    assert_eq!(waiting(&door.status().await), 3);
    assert!(telegram.heard(ALICE).is_empty());
    let status = door
        .until("that it does not answer", Duration::from_secs(40), |status| {
            status["alerts"]["channels"].to_string().contains("did not answer within 15 s")
        })
        .await;
    assert_eq!(status["failures"], 0);
}

#[tokio::test]
async fn killed_while_sending_only_the_last_one_is_sent_again() {
    let silent = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&silent);
    let telegram = Telegram::scripted(move |call, _| {
        let third = failures(std::slice::from_ref(&call.html)) == [3];
        if third && still.load(Ordering::SeqCst) { Reply::Silent } else { Reply::Taken }
    })
    .await;
    let store = with_alerts(1..=5);
    let mut door = start(&store, &telling(telegram.address, &[ALICE])).await;

    telegram.hears(ALICE, 3, SOON).await;
    door.process.kill();
    silent.store(false, Ordering::SeqCst);
    door.start_again().await;

    let heard = telegram.hears(ALICE, 6, SOON).await;
    assert_eq!(failures(&heard), [1, 2, 3, 3, 4, 5], "at least once, for the one that was on its way");
    all_told(&door).await;
}

#[tokio::test]
async fn a_full_outbox_survives_restarts_and_says_what_it_dropped() {
    let telegram = Telegram::scripted(|_, number| match number {
        0..3 => Reply::Error(500, "Internal Server Error"),
        _ => Reply::Taken,
    })
    .await;
    let store = TempDir::new().unwrap();
    let queue: Vec<_> = (1..=64).map(|failures| alert(failures, "the CA is gone")).collect();
    let lane = json!({ "channel": { "telegram": ALICE }, "done": 0, "dropped": 7 });
    write_outbox(store.path(), &json!({ "last": 64, "queue": queue, "lanes": [lane] }));
    let (_held, port) = squatter();
    let settings = with_a_taken_port(telling(telegram.address, &[ALICE]), port);

    // The alert of the port is the sixty-fifth.
    let mut door = Doorman::start_waiting_with_store(&settings, store.path()).await;
    door.process.says("the oldest alert was dropped", SOON).await;
    door.until("64 are waiting", SOON, |status| waiting(status) == 64).await;
    crate::support::until("it is written down that the alert was told", SOON, async || {
        std::fs::read_to_string(store.path().join("state.json")).ok()?.contains("port_taken").then_some(())
    })
    .await;
    door.process.kill();
    door.start_again_waiting().await;

    let heard = telegram.hears(ALICE, 64, Duration::from_secs(60)).await;
    assert!(heard[0].contains("8 older alerts could not be sent"), "{}", heard[0]);
    assert!(!heard[1].contains("older alerts"), "{}", heard[1]);
    assert_eq!(failures(&heard[..63]), (2..=64).collect::<Vec<_>>());
    assert!(heard[63].contains("Another program has port 80"), "{}", heard[63]);
    all_told(&door).await;
}

#[tokio::test]
async fn an_outbox_that_is_damaged_is_put_aside_and_said() {
    let telegram = Telegram::start().await;
    let store = TempDir::new().unwrap();
    std::fs::write(store.path().join("outbox.json"), "{\"queue\": [{\"id\"").unwrap();
    let (_held, port) = squatter();
    let settings = with_a_taken_port(telling(telegram.address, &[ALICE]), port);

    let door = Doorman::start_waiting_with_store(&settings, store.path()).await;

    telegram.hears(ALICE, 1, SOON).await;
    assert!(store.path().join("outbox.json.bad").exists());
    door.process.says("this file is damaged", SOON).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_written_keeps_no_alert_back() {
    let telegram = Telegram::scripted(|_, number| match number {
        0 => Reply::Error(502, "Bad Gateway"),
        _ => Reply::Taken,
    })
    .await;
    let files = TempDir::new().unwrap();
    let in_the_way = files.path().join("store");
    std::fs::write(&in_the_way, "a file where the directory should be").unwrap();
    let (_held, port) = squatter();
    let settings = with_a_taken_port(telling(telegram.address, &[ALICE]), port);

    let door = Doorman::start_waiting_with_store(&settings, &in_the_way).await;

    let heard = telegram.hears(ALICE, 1, Duration::from_secs(40)).await;
    assert!(heard[0].contains("Another program has port 80"), "{}", heard[0]);
    let status = door.status().await;
    assert!(status["troubles"].to_string().contains("store"), "{status:#}");
}

#[tokio::test]
async fn a_long_text_comes_in_pieces_that_are_each_whole() {
    let telegram = Telegram::scripted(|_, number| match number {
        1 => Reply::Error(502, "Bad Gateway"),
        _ => Reply::Taken,
    })
    .await;
    let store = TempDir::new().unwrap();
    let long = "<b>&🔴字".repeat(600);
    let queue = [alert(1, &long), alert(2, "short")];
    write_outbox(store.path(), &json!({ "last": 2, "queue": queue, "lanes": [] }));
    let door = start(&store, &telling(telegram.address, &[ALICE])).await;

    let limit = Duration::from_secs(40);
    let told = |status: &Value| waiting(status) == 0 && telegram.heard(ALICE).len() >= 4;
    let status = door.until("everything is told", limit, told).await;
    assert!(status["alerts"]["channels"][0]["last_error"].is_null(), "{status:#}");
    let heard = telegram.heard(ALICE);
    assert!(heard.len() >= 4, "{} pieces", heard.len());
    let pieces = heard.len() - 1;
    assert!(heard[0].starts_with("<b>🟡 The renewal"), "{}", heard[0]);
    assert_eq!(failures(&heard[pieces - 1..]), [1, 2], "what follows the error is in the last piece");
    let told: usize = heard.iter().map(|text| text.matches("&lt;b&gt;&amp;🔴字").count()).sum();
    assert!(told >= 597, "{told} of 600, and three may be cut between two letters");
}

#[tokio::test]
async fn a_group_that_became_a_supergroup_is_followed() {
    const NEW: i64 = -1_009_999_999_999;
    let telegram = Telegram::scripted(|call, _| match call.chat {
        OPS => Reply::Moved(NEW),
        _ => Reply::Taken,
    })
    .await;
    let store = with_alerts([1, 2]);
    let door = start(&store, &telling(telegram.address, &[OPS])).await;

    assert_eq!(failures(&telegram.hears(NEW, 2, SOON).await), [1, 2]);
    door.process.says("write -1009999999999 into telegram.chat_ids", SOON).await;
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_no_reason_to_repeat_what_was_taken() {
    let telegram = Telegram::scripted(|_, number| match number {
        0 => Reply::Garbage,
        _ => Reply::Unknown,
    })
    .await;
    let store = with_alerts([1, 2]);
    let door = start(&store, &telling(telegram.address, &[ALICE])).await;

    all_told(&door).await;
    assert_eq!(failures(&telegram.heard(ALICE)), [1, 2]);
    assert_eq!(telegram.calls().len(), 3);
}
