use tokio::net::UnixStream;

use super::OverTcp;
use crate::support::client::Connection;
use crate::support::doorman::{self, Doorman, Settings};
use crate::support::upstream::Upstream;

const TOKEN: &str = "token = \"the-admins-token\"";
const SHOWN: &str = "Authorization: Bearer the-admins-token";

#[tokio::test]
async fn a_name_that_a_stranger_made_point_here_gets_nothing() {
    let panel = Upstream::panel().await;
    let door = OverTcp::start(&panel.url(), TOKEN).await;
    for request in ["GET /status", "GET /", "GET /metrics", "GET /live", "POST /renew", "OPTIONS /renew"] {
        for host in ["evil.example", "127.0.0.1.evil.example", "192.0.2.1", "0.0.0.0"] {
            let host = format!("Host: {host}:{}", door.admin.port());
            let refused = door.ask(request, &[&host, SHOWN]).await;
            assert_eq!(refused.status(), 403, "{request} {host}: {}", refused.text());
            assert!(!refused.text().contains("pid"), "{}", refused.text());
        }
    }
    let host = format!("Host: localhost:{}", door.admin.port());
    assert_eq!(door.ask("GET /status", &[&host]).await.status(), 200);
}

#[tokio::test]
async fn a_command_without_the_token_says_that_and_is_told_from_a_daemon_that_is_away() {
    let panel = Upstream::panel().await;
    let door = OverTcp::start(&panel.url(), TOKEN).await;
    let admin = door.admin.to_string();
    for command in [&["renew"][..], &["renew", "--force"], &["alert", "test"]] {
        let refused = doorman::command(&[command, &["--admin", &admin]].concat()).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(77), "{command:?}: {said}");
        assert!(said.contains("admin.token"), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_can_neither_read_nor_change() {
    let panel = Upstream::panel().await;
    let door = OverTcp::start(&panel.url(), TOKEN).await;
    let host = door.host();
    for told in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: https://evil.example",
        "Origin: null",
    ] {
        for request in ["GET /status", "GET /", "POST /renew"] {
            let refused = door.ask(request, &[&host, told, SHOWN]).await;
            assert_eq!(refused.status(), 403, "{request} {told}: {}", refused.text());
        }
    }
    for told in
        ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", &format!("Origin: http://{}", door.admin)]
    {
        assert_eq!(door.ask("GET /status", &[&host, told]).await.status(), 200, "{told}");
    }
    let answer = door.ask("GET /status", &[&host]).await;
    assert_eq!(answer.field("access-control-allow-origin"), None);
}

#[tokio::test]
async fn changes_over_tcp_need_the_token_and_without_one_configured_there_are_none() {
    let panel = Upstream::panel().await;
    let door = OverTcp::start(&panel.url(), TOKEN).await;
    let host = door.host();
    for wrong in [
        "X: y",
        "Authorization: Bearer ",
        "Authorization: Bearer the-admins-tokem",
        "Authorization: Basic the-admins-token",
    ] {
        let refused = door.ask("POST /renew?force=true", &[&host, wrong]).await;
        assert_eq!(refused.status(), 401, "{wrong}");
        assert!(!refused.text().contains("the-admins-token"), "{}", refused.text());
    }
    let allowed = door.ask("POST /renew", &[&host, SHOWN]).await;
    assert_eq!(allowed.status(), 409, "past the guard there is nothing to renew here: {}", allowed.text());
    assert_eq!(door.ask("GET /renew", &[&host]).await.status(), 405, "to look is not to change");

    let without = OverTcp::start(&panel.url(), "").await;
    assert_eq!(without.ask("POST /renew", &[&without.host(), SHOWN]).await.status(), 403);
    assert_eq!(without.ask("GET /status", &[&without.host()]).await.status(), 200);
    assert!(!door.process.log().concat().contains("the-admins-token"));
}

#[tokio::test]
async fn the_socket_file_takes_any_host_but_no_page_of_another_site() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let socket = door.settings_file().with_file_name("admin.sock");
    let ask = async |fields: &str| {
        let mut connection = Connection::over(UnixStream::connect(&socket).await.unwrap());
        connection.send(format!("POST /renew HTTP/1.1\r\n{fields}Connection: close\r\n\r\n")).await;
        connection.answer().await.status()
    };

    assert_eq!(ask("Host: whatever.example\r\n").await, 409, "past the guard there is nothing to renew here");
    // Through `ssh -L 9180:/run/doorman/admin.sock` a browser comes here too.
    assert_eq!(ask("Host: localhost:9180\r\nOrigin: http://localhost:9180\r\n").await, 409);
    assert_eq!(ask("Host: localhost:9180\r\nOrigin: https://evil.example\r\n").await, 403);
    assert_eq!(ask("Host: evil.example:9180\r\nOrigin: http://evil.example:9180\r\n").await, 403);
    assert_eq!(ask("Host: localhost:9180\r\nSec-Fetch-Site: cross-site\r\n").await, 403);
}
