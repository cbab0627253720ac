//! Telegram by way of real proxies, and over TLS; and a Bot API that others wrote.

use std::process::Command;

use super::*;
use crate::support::process::Process;
use crate::support::tls::Pair;
use crate::support::{peer, until};

async fn listening(program: &'static str, command: &mut Command, port: u16) -> Process {
    let process = Process::start(program, command);
    until(&format!("{program} listens"), SOON, async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
    })
    .await;
    process
}

async fn tested(door: &Doorman) -> String {
    let output = door.command(&["alert", "test"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test]
async fn a_socks_proxy_with_a_password_carries_it_and_looks_the_name_up() {
    let telegram = Telegram::start().await;
    let port = free_port();
    let text = port.to_string();
    let mut command = Command::new("microsocks");
    command.args(["-i", "127.0.0.1", "-p", &text, "-u", "ada", "-P", "pa55word"]);
    let proxy = listening("microsocks", &mut command, port).await;
    let settings = telling(telegram.address, &[ALICE])
        .set("telegram", "api_url", format!("http://localhost:{}", telegram.address.port()))
        .set("telegram", "proxy", format!("socks5://ada:pa55word@127.0.0.1:{port}"));
    let door = Doorman::start(&settings).await;

    tested(&door).await;
    telegram.hears(ALICE, 1, SOON).await;
    proxy.says(&format!("connected to localhost:{}", telegram.address.port()), SOON).await;

    drop(proxy);
    let output = door.command(&["alert", "test"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("NOT sent: localhost cannot be reached"), "never past the proxy: {said}");
    assert!(!said.contains("pa55word") && !door.process.log().join("\n").contains("pa55word"), "{said}");
    assert_eq!(telegram.heard(ALICE).len(), 1);
}

#[tokio::test]
async fn an_http_proxy_carries_it_in_plain_and_over_tls() {
    let pair = Pair::for_names(&["127.0.0.1"]);
    let files = TempDir::new().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, &pair.ca).unwrap();
    let port = free_port();
    let settings_of_the_proxy = files.path().join("tinyproxy.conf");
    std::fs::write(
        &settings_of_the_proxy,
        format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nMaxClients 20\nLogLevel Connect\n"
        ),
    )
    .unwrap();
    let mut command = Command::new("tinyproxy");
    command.arg("-d").arg("-c").arg(&settings_of_the_proxy);
    let proxy = listening("tinyproxy", &mut command, port).await;
    let plain = Telegram::start().await;
    let over_tls = Telegram::with_tls(&pair).await;
    let through = format!("http://127.0.0.1:{port}");

    let settings = telling(plain.address, &[ALICE]).set("telegram", "proxy", through.clone());
    tested(&Doorman::start(&settings).await).await;
    assert_eq!(plain.heard(ALICE).len(), 1);

    let settings = telling(over_tls.address, &[ALICE])
        .set("telegram", "api_url", format!("https://{}", over_tls.address))
        .set("telegram", "proxy", through);
    let roots = format!("SSL_CERT_FILE={}", ca.display());
    let door = Doorman::start_by(&["env", &roots], &settings).await;
    tested(&door).await;
    assert_eq!(over_tls.heard(ALICE).len(), 1);
    proxy.says(&format!("CONNECT {} HTTP/1.1", over_tls.address), SOON).await;
    assert!(!proxy.log().join("\n").contains(SECRET) || !door.process.log().join("\n").contains(SECRET));
}

#[tokio::test]
async fn a_server_whose_certificate_nobody_vouches_for_hears_nothing() {
    let telegram = Telegram::with_tls(&Pair::for_names(&["127.0.0.1"])).await;
    let settings = telling(telegram.address, &[ALICE]).set(
        "telegram",
        "api_url",
        format!("https://{}", telegram.address),
    );
    let door = Doorman::start(&settings).await;

    let output = door.command(&["alert", "test"]).await;

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("invalid peer certificate"), "{said}");
    assert!(telegram.calls().is_empty());
}

#[tokio::test]
async fn a_bot_api_that_others_wrote_takes_it_too() {
    let port = free_port();
    let mut command = peer::script("telegram.mjs");
    command.arg(port.to_string()).arg(TOKEN);
    let server = listening("telegram.mjs", &mut command, port).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let settings = telling(address, &[ALICE]).set("telegram", "commands", true);
    let door = Doorman::start(&settings).await;

    tested(&door).await;
    let message = server.says("This is a test of doorman", SOON).await;
    let message: Value = serde_json::from_str(&message).unwrap();
    assert_eq!((&message["chat_id"], &message["parse_mode"]), (&json!(ALICE), &json!("HTML")));
    server.says("disabled: no certificate is wanted", SOON).await; // its client has sent /status
}
