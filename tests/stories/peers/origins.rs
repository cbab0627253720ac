//! Real servers behind the door: whoever asks through it gets what it would get without it.
//!
//! Each shape of a request is sent to the server itself and then through the door, byte for byte the same, and the
//! answers are compared field by field, with the order and letter case of the names. What may differ is in
//! [`Answer::of`], and nowhere else.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::shapes::{self, Shape};
use crate::support::client::{Connection, Message};
use crate::support::doorman::{Doorman, Settings};
use crate::support::process::Process;
use crate::support::{free_port, pattern, tls, until};

const START: Duration = Duration::from_secs(30);

/// Fields that belong to one connection and not to the answer (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 3] = ["connection", "keep-alive", "transfer-encoding"];

#[tokio::test]
async fn nginx_answers_through_the_door_as_it_does_itself() {
    let origin = Origin::start("nginx", include_str!("../../peers/nginx.conf"), |file| {
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-c"]).arg(file);
        command
    })
    .await;
    answers_alike(&origin, &shapes::nginx()).await;
}

#[tokio::test]
async fn caddy_answers_through_the_door_as_it_does_itself() {
    let origin = Origin::start("caddy", include_str!("../../peers/Caddyfile"), |file| {
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command
    })
    .await;
    answers_alike(&origin, &shapes::caddy()).await;
}

#[tokio::test]
async fn haproxy_answers_through_the_door_as_it_does_itself() {
    let origin = Origin::start("haproxy", include_str!("../../peers/haproxy.cfg"), |file| {
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(file);
        command
    })
    .await;
    answers_alike(&origin, &shapes::haproxy()).await;
}

/// A server of others, with files to serve.
struct Origin {
    address: SocketAddr,
    _process: Process,
    _files: TempDir,
}

impl Origin {
    async fn start(name: &'static str, template: &str, command: impl Fn(&Path) -> Command) -> Self {
        let files = TempDir::new().unwrap();
        fill(files.path());
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let root = files.path().to_str().unwrap();
        let config = template.replace("ROOT", root).replace("PORT", &address.port().to_string());
        let file = files.path().join("config");
        std::fs::write(&file, config).unwrap();
        let process = Process::start(name, command(&file).env("HOME", root));
        until(&format!("{name} listens"), START, async || TcpStream::connect(address).await.ok()).await;
        Self { address, _process: process, _files: files }
    }
}

/// What an answer is compared by.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    start: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// Without what is of one connection only; the date may be a second later, and the version of the answer to an
    /// HTTP/1.0 client is the door's own. hyper puts fields of one name together and a `Content-Length: 0` last.
    fn of(message: Message) -> Self {
        let own = |name: &str| HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop));
        let mut fields: Vec<_> = message.fields.into_iter().filter(|(name, _)| !own(name)).collect();
        let of_now = |name: &str| ["date", "expires"].iter().any(|clock| name.eq_ignore_ascii_case(clock));
        for (_, value) in fields.iter_mut().filter(|(name, _)| of_now(name)) {
            assert!(value.ends_with(" GMT"), "{value}");
            "a date".clone_into(value);
        }
        let names: Vec<_> = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        fields.sort_by_key(|(name, value)| {
            let first = names.iter().position(|other| name.eq_ignore_ascii_case(other));
            let empty = name.eq_ignore_ascii_case("content-length") && value == "0";
            (empty, first)
        });
        let start = message.start.split_once(' ').expect("a status line").1.to_owned();
        Self { start, fields, body: message.body }
    }
}

async fn answers_alike(origin: &Origin, shapes: &[Shape]) {
    let settings =
        Settings::panel(format!("http://{}", origin.address)).set("https", "listen", vec!["127.0.0.1:0"]);
    let door = Doorman::start(&settings).await;
    let (http, https) = (door.http().await, door.https().await);
    // One after the other, because some of the shapes leave something behind until a later one removes it.
    let direct = ask_all(shapes, async || Connection::open(origin.address).await).await;
    let plain = ask_all(shapes, async || Connection::open(http).await).await;
    let anybody = tls::trusting_anybody(&["http/1.1"]);
    let encrypted =
        ask_all(shapes, async || Connection::over(tls::connect(https, &anybody).await.unwrap())).await;

    let mut different = String::new();
    for (index, shape) in shapes.iter().enumerate() {
        for (way, answers) in [("in plain", &plain), ("over TLS", &encrypted)] {
            if answers[index] != direct[index] {
                let (itself, door) = (&direct[index], &answers[index]);
                let lengths = (itself.body.len(), door.body.len());
                writeln!(
                    different,
                    "{} {way}: bodies {lengths:?}\n  itself {} {:?}\n  door   {} {:?}",
                    shape.start, itself.start, itself.fields, door.start, door.fields
                )
                .unwrap();
            }
        }
    }
    assert!(different.is_empty(), "{different}");
    println!("{} shapes, each answered alike", shapes.len());
}

/// Asks all on one connection as long as it is kept, as a client would.
async fn ask_all<S: crate::support::upstream::Stream>(
    shapes: &[Shape],
    mut open: impl AsyncFnMut() -> Connection<S>,
) -> Vec<Answer> {
    let mut kept = None;
    let mut answers = Vec::new();
    for shape in shapes {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => open().await,
        };
        connection.send(shape.bytes()).await;
        let message = if shape.start.starts_with("HEAD ") {
            connection.head().await.expect("an answer")
        } else {
            connection.answer().await
        };
        let ends = message.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !ends && !shape.is_last() {
            kept = Some(connection);
        }
        let mut answer = Answer::of(message);
        if shape.start.contains(" /dav/") {
            // What was put there a second later has another time.
            let timed =
                |name: &str| ["Last-Modified", "ETag"].iter().any(|own| name.eq_ignore_ascii_case(own));
            answer.fields.retain(|(name, _)| !timed(name));
        }
        answers.push(answer);
    }
    answers
}

/// The files that are served; their time is part of their ETag.
fn fill(root: &Path) {
    let www = root.join("www");
    for folder in ["sub", "sub/deeper", "private", "dav", "small"] {
        std::fs::create_dir_all(www.join(folder)).unwrap();
    }
    let text = "A line of text that compresses well, again and again.\n".repeat(2_000);
    let files: [(&str, &[u8]); 7] = [
        ("www/index.html", b"<!doctype html><title>panel</title>"),
        ("www/404.html", b"<!doctype html><title>not here</title>"),
        ("www/text.txt", text.as_bytes()),
        ("www/sub/index.html", b"<!doctype html><title>sub</title>"),
        ("www/private/page.html", b"<!doctype html><title>private</title>"),
        ("www/large.bin", &pattern(3_000_017)),
        // The password is "secret".
        ("users", b"admin:$apr1$4kp0pp3r$ONlgcSLjrIH0C69Mj7wuH/\n"),
    ];
    for (name, content) in files {
        std::fs::write(root.join(name), content).unwrap();
    }
    std::fs::write(www.join("zero.txt"), b"").unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for name in ["index.html", "text.txt", "large.bin", "zero.txt", "sub/index.html"] {
        let file = std::fs::File::options().write(true).open(www.join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
}
