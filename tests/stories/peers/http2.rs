//! HTTP/2 on the HTTPS listener, against nghttp2's clients.

use std::process::Command;

use tempfile::NamedTempFile;

use super::Site;
use crate::support::{pattern, peer};

/// As each client of h2load counts: requests, connections, streams of each.
struct Load {
    requests: u32,
    clients: u32,
    streams: u32,
}

#[tokio::test]
async fn thousands_of_requests_on_many_streams_are_all_answered() {
    let site = Site::open().await;
    for (path, load) in [
        ("/image/1.svg", Load { requests: 10_000, clients: 16, streams: 32 }),
        ("/style/5.css", Load { requests: 2_000, clients: 100, streams: 100 }),
        ("/script/40.js", Load { requests: 2_000, clients: 4, streams: 128 }),
        ("/pattern", Load { requests: 10, clients: 2, streams: 5 }), // 32 MiB each
    ] {
        all_succeed(&site.https(path).await, &load, &[]).await;
    }
}

#[tokio::test]
async fn a_thousand_uploads_on_many_streams_all_arrive() {
    let site = Site::open().await;
    let (file, length) = (NamedTempFile::new().unwrap(), 100_000);
    std::fs::write(file.path(), pattern(length)).unwrap();
    let load = Load { requests: 1_000, clients: 8, streams: 16 };
    let upload = ["-d", file.path().to_str().unwrap()];

    let said = all_succeed(&site.https("/echo").await, &load, &upload).await;

    let expected = format!("{} (", length * 1_000);
    let data = said.lines().find(|line| line.starts_with("traffic:")).unwrap().rsplit(", ").next().unwrap();
    let came = data.split_once('(').and_then(|(_, bytes)| bytes.split_once(')')).unwrap().0;
    assert_eq!(format!("{came} ("), expected, "{said}");
}

#[tokio::test]
async fn nghttp_fetches_a_page_and_what_belongs_to_it_and_sends_trailers() {
    let site = Site::open().await;
    let mut command = Command::new("nghttp");
    command.args(["-ns", "--no-verify-peer"]);
    command.args([
        site.https("/fields").await,
        site.https("/script/1.js").await,
        site.https("/style/2.css").await,
    ]);
    let said = succeeded(&peer::run(command).await);
    let answers: Vec<_> = said.lines().filter(|line| line.contains(" 200 ")).collect();
    assert_eq!(answers.len(), 3, "{said}");

    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pattern(70_000)).unwrap();
    let mut command = Command::new("nghttp");
    command.args(["--no-verify-peer", "--no-content-length", "--trailer", "x-after: the body"]);
    command.args(["-H", "te: trailers", "-d"]).arg(file.path()).arg(site.https("/digest").await);
    let said = succeeded(&peer::run(command).await);
    assert!(said.contains(r#""length":70000"#) && said.contains(r#""x-after":"the body""#), "{said}");
}

/// Runs h2load; every request must have been answered with 2xx.
async fn all_succeed(url: &str, load: &Load, more: &[&str]) -> String {
    let Load { requests, clients, streams } = load;
    let mut command = Command::new("h2load");
    command.args(["-n", &requests.to_string(), "-c", &clients.to_string(), "-m", &streams.to_string()]);
    let said = succeeded(
        &peer::run({
            command.args(more).arg(url);
            command
        })
        .await,
    );
    let expected = format!(
        "requests: {requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout"
    );
    assert!(said.contains(&expected), "{said}");
    assert!(
        said.contains(&format!("status codes: {requests} 2xx")) && said.contains("Application protocol: h2"),
        "{said}"
    );
    said
}

fn succeeded(output: &std::process::Output) -> String {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}: {said}", output.status);
    said.trim_end().to_owned()
}
