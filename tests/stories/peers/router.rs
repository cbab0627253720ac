//! The preset `x-panel` of `allow_paths`, against the router of that panel: whatever is let through, a real Gin must bring
//! to an open route, in each of the ways that it can be set up.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::peer;
use crate::support::process::Process;

const BASE: &str = "/secret/";

/// Routes that are open to anyone in that panel, by method.
const CLOSED: [(&str, &str); 3] = [("GET", "getDb"), ("POST", "importDB"), ("POST", "logs/20")];

const OPEN: [(&str, &str); 12] = [
    ("GET", ""),
    ("POST", "login"),
    ("POST", "%6cogin"),
    ("GET", "logout"),
    ("POST", "getTwoFactorEnable"),
    ("GET", "assets/app.js"),
    ("GET", "assets/a%20b/%E4%B8%AD.css"),
    ("GET", "panel"),
    ("GET", "panel/"),
    ("GET", "panel/inbounds?x=1"),
    ("GET", "xui"),
    ("GET", "xui/inbounds"),
];

/// Where a closed name may hide.
const PREFIXES: [&str; 30] = [
    "/secret/",
    "/secret//",
    "//secret/",
    "/secret/./",
    "/./secret/",
    "/secret/x/../",
    "/secret/assets/../",
    "/secret/assets/%2e%2e/",
    "/secret/assets/.%2E/",
    "/secret/assets/..%2f",
    "/secret/assets/..%5c",
    "/secret/assets/..\\",
    "/secret%2f",
    "/secret/%2f",
    "/%73ecret/",
    "/secret/assets/%252e%252e/",
    "/secret/assets//../",
    "/secret/panel/../",
    "/secret/panel/;/../",
    "/secret;/",
    "/secret/;/",
    "/SECRET/",
    "/secret/assets/%00/../",
    "/secret/login/../",
    "/secret/login%2f..%2f",
    "/secret/assets%2f..%2f",
    "/secret/panel%2F%2E%2E%2F",
    "/secret/%",
    "/secret/%c0%ae%c0%ae/",
    "/",
];

/// What may stand behind it.
const SUFFIXES: [&str; 8] = ["", "/", "?login", ";login", "%00", "%2f", "/../login", "%23"];

#[tokio::test]
async fn nothing_that_is_closed_is_reached_and_all_that_is_open_is() {
    let gin = Process::start("gin", &mut Command::new(peer::built("gin")));
    let ports: BTreeMap<String, u16> =
        serde_json::from_value(peer::announced(&gin).await["tcp"].clone()).unwrap();
    assert_eq!(ports.len(), 5);
    for (mode, port) in ports {
        let settings = Settings::panel(format!("http://127.0.0.1:{port}"))
            .set("panel", "base_path", BASE)
            .set("panel", "allow_paths", vec!["x-panel"]);
        let door = Doorman::start(&settings).await;
        let mut through = Visitor::new(door.http().await);
        let mut directly = Visitor::new(([127, 0, 0, 1], port).into());

        let (mut dangerous, mut passed) = (0, 0);
        for (method, target) in targets() {
            let reached = directly.route(method, &target).await;
            let allowed = through.route(method, &target).await;
            dangerous += usize::from(reached.as_deref() == Some("closed"));
            passed += usize::from(allowed.is_some());
            let fine = matches!(allowed.as_deref(), None | Some("open"));
            assert!(fine, "{mode}: {method} {target} reaches a route that is {allowed:?}");
        }
        assert!(dangerous >= 10, "{mode}: only {dangerous} of the table are dangerous");
        println!(
            "{mode}: {dangerous} targets reach a closed route of the panel itself; {passed} pass the door, none of them"
        );

        for (method, below) in OPEN {
            let target = format!("{BASE}{below}");
            let (itself, door) =
                (directly.route(method, &target).await, through.route(method, &target).await);
            assert_eq!(door, itself, "{mode}: {method} {target}");
            assert!(door.is_some(), "{mode}: {method} {target}");
        }
    }
}

fn targets() -> impl Iterator<Item = (&'static str, String)> {
    CLOSED.into_iter().flat_map(|(method, name)| {
        spellings(name).into_iter().flat_map(move |name| {
            PREFIXES.into_iter().flat_map(move |prefix| {
                let name = name.clone();
                SUFFIXES.into_iter().map(move |suffix| (method, format!("{prefix}{name}{suffix}")))
            })
        })
    })
}

/// As it is, with its first letter encoded, wholly encoded, encoded twice, in another letter case.
fn spellings(name: &str) -> [String; 5] {
    let all: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let first = format!("%{:02X}{}", name.as_bytes()[0], &name[1..]);
    [name.to_owned(), first, all.clone(), all.replace('%', "%25"), name.to_uppercase()]
}

/// Asks on one connection as long as it is kept.
struct Visitor {
    address: std::net::SocketAddr,
    kept: Option<Connection<tokio::net::TcpStream>>,
}

impl Visitor {
    fn new(address: std::net::SocketAddr) -> Self {
        Self { address, kept: None }
    }

    /// What kind of route a request comes to; `None` if the door refuses it. A redirect of the router's own counts as open
    /// if it leads to where the door would be asked again.
    async fn route(&mut self, method: &str, target: &str) -> Option<String> {
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await,
        };
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        connection.send(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{length}\r\n")).await;
        let answer = connection.answer().await;
        if !answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.kept = Some(connection);
        }
        match answer.status() {
            301 | 307 | 308 => Some("open".to_owned()),
            _ => answer.field("x-route").map(str::to_owned),
        }
    }
}
