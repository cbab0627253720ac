//! curl, in every version of HTTP that it speaks.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::Site;
use crate::support::{pattern, peer};

/// Tells the version, the status, how many connections were made and how many bytes were sent.
const REPORT: &str = "%{stderr}%{http_version} %{response_code} %{num_connects} %{size_upload}\\n";

/// The panel's `/pattern` is that long.
const PATTERN: usize = 32 << 20;

/// What came of one call.
pub(super) struct Fetched {
    version: String,
    pub(super) status: u16,
    connections: u32,
    uploaded: u64,
    /// All heads, as curl writes them.
    heads: String,
    body: Vec<u8>,
}

impl Fetched {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn has(&self, line: &str) -> bool {
        self.heads.lines().any(|found| found.eq_ignore_ascii_case(line))
    }
}

#[tokio::test]
async fn each_client_is_answered_in_its_own_version_and_the_panel_asked_in_1_1() {
    let site = Site::open().await;
    let (http, https) = (site.http("/fields").await, site.https("/fields").await);
    for (option, url, version) in [
        ("--http1.0", &http, "1"),
        ("--http1.1", &http, "1.1"),
        ("--http2", &http, "1.1"), // an upgrade to h2c is not taken up
        ("--http1.0", &https, "1"),
        ("--http1.1", &https, "1.1"),
        ("--http2", &https, "2"),
    ] {
        let fetched = curl(&[option, url]).await;

        assert_eq!((fetched.version.as_str(), fetched.status), (version, 200), "{option} {url}");
        let seen = fetched.json();
        assert_eq!((seen["httpVersion"].as_str(), seen["method"].as_str()), (Some("1.1"), Some("GET")));
        let names: Vec<_> =
            seen["fields"].as_array().unwrap().iter().map(|field| field[0].as_str().unwrap()).collect();
        for name in ["Connection", "Upgrade", "Http2-Settings", "HTTP2-Settings"] {
            assert!(!names.contains(&name), "{option} {url}: {names:?}");
        }
    }
}

#[tokio::test]
async fn http_1_0_gets_no_chunks_and_keeps_its_connection_only_if_it_asks() {
    let site = Site::open().await;
    let url = site.http("/trailers").await;

    let fetched = curl(&["--http1.0", &url]).await;
    assert_eq!(fetched.text(), "body");
    assert!(
        fetched.heads.starts_with("HTTP/1.0 200")
            && !fetched.heads.to_lowercase().contains("transfer-encoding")
    );

    let url = site.http("/style/[1-3].css").await;
    assert_eq!(curl(&["--http1.0", &url]).await.connections, 1, "the last of three");
    let url = site.http("/image/[1-3].svg").await;
    assert_eq!(curl(&["--http1.0", "-H", "Connection: keep-alive", &url]).await.connections, 0);
}

#[tokio::test]
async fn uploads_arrive_whole_however_they_are_framed() {
    let site = Site::open().await;
    let files = TempDir::new().unwrap();
    let (file, body) = (files.path().join("body"), pattern(10_000_019));
    std::fs::write(&file, &body).unwrap();
    let file = file.to_str().unwrap();
    let (http, https) = (site.http("/digest").await, site.https("/digest").await);
    for (option, url) in [("--http1.1", &http), ("--http1.1", &https), ("--http2", &https)] {
        for (expectation, chunked) in [
            ("Expect:", false),
            ("Expect:", true),
            ("Expect: 100-continue", false),
            ("Expect: 100-continue", true),
        ] {
            let coding = if chunked { "Transfer-Encoding: chunked" } else { "X-Sized: yes" };
            // HTTP/2 has no chunks: there, curl leaves the length away.
            let fetched = curl(&[option, "-T", file, "-H", expectation, "-H", coding, url]).await;

            assert_eq!(fetched.status, 200, "{option} {url} {expectation} {coding}: {}", fetched.text());
            let seen = fetched.json();
            assert_eq!(seen["length"], body.len(), "{option} {url} {expectation} {coding}");
            assert_eq!(seen["sha256"].as_str().unwrap(), sha256(&body));
            // hyper cannot say 100 over HTTP/2; the client begins when its own patience is over.
            let told_to_continue = expectation != "Expect:" && option != "--http2";
            assert_eq!(
                fetched.heads.contains(" 100 "),
                told_to_continue,
                "{option} {url}: {}",
                fetched.heads
            );
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_not_wanted_is_refused_before_it_is_sent() {
    let site = Site::open().await;
    let files = TempDir::new().unwrap();
    let file = files.path().join("body");
    std::fs::write(&file, pattern(5_000_000)).unwrap();
    let body = format!("@{}", file.display());
    let (http, https) = (site.http("/refused").await, site.https("/refused").await);
    for (option, url) in [("--http1.1", &http), ("--http1.1", &https), ("--http2", &https)] {
        // curl waits for the 100 as long as it takes.
        let patience = ["--expect100-timeout", "100", "-H", "Expect: 100-continue"];
        let mut arguments = vec![option, "--data-binary", &body, url];
        arguments.extend(patience);
        let fetched = curl(&arguments).await;

        assert_eq!((fetched.status, fetched.text().as_str()), (413, "too much\n"));
        assert_eq!(fetched.uploaded, 0, "{url}");
    }
}

#[tokio::test]
async fn parts_heads_and_what_is_not_modified_come_as_the_panel_says() {
    let site = Site::open().await;
    let whole = pattern(PATTERN);
    for (option, url) in
        [("--http1.1", site.http("/pattern").await), ("--http2", site.https("/pattern").await)]
    {
        let part = curl(&[option, "-r", "1000-2999", &url]).await;
        assert_eq!((part.status, part.body.as_slice()), (206, &whole[1000..3000]));
        assert!(part.has("Content-Range: bytes 1000-2999/33554432"), "{}", part.heads);

        let end = curl(&[option, "-r", "-7", &url]).await;
        assert_eq!((end.status, end.body.as_slice()), (206, &whole[PATTERN - 7..]));

        let none = curl(&[option, "-r", "99999999-", &url]).await;
        assert_eq!((none.status, none.text().as_str()), (416, "no such range\n"));
        assert!(none.has("Content-Range: bytes */33554432"), "{}", none.heads);

        let head = curl(&[option, "-I", &url]).await;
        assert_eq!(head.status, 200);
        assert!(head.has("Content-Length: 33554432") && head.has("ETag: \"pattern-1\""), "{}", head.heads);

        let fresh = curl(&[option, "-H", "If-None-Match: \"pattern-1\"", &url]).await;
        assert_eq!((fresh.status, fresh.body.len()), (304, 0));
        assert!(fresh.has("ETag: \"pattern-1\""), "{}", fresh.heads);

        let all = curl(&[option, &url]).await;
        assert!(all.body == whole, "{} of {PATTERN} bytes, or others", all.body.len());
    }
}

#[tokio::test]
async fn what_the_panel_compresses_stays_compressed_and_nothing_else_is() {
    let site = Site::open().await;
    for (option, url) in
        [("--http1.1", site.http("/compressed").await), ("--http2", site.https("/compressed").await)]
    {
        let plain = curl(&[option, &url]).await;
        assert!(
            !plain.heads.to_lowercase().contains("content-encoding") && plain.has("Vary: Accept-Encoding")
        );
        let raw = curl(&[option, "-H", "Accept-Encoding: gzip", &url]).await;
        assert!(raw.has("Content-Encoding: gzip") && raw.body.len() < plain.body.len());
        let decoded = curl(&[option, "--compressed", &url]).await;
        assert!(decoded.has("Content-Encoding: gzip") && decoded.body == plain.body);
    }
}

#[tokio::test]
async fn trailers_reach_those_who_ask_and_early_hints_harm_nobody() {
    let site = Site::open().await;
    let (http, https) = (site.http("/trailers").await, site.https("/trailers").await);
    for (option, url) in [("--http1.1", &http), ("--http2", &https)] {
        let fetched = curl(&[option, "-H", "TE: trailers", url]).await;
        assert_eq!(fetched.text(), "body");
        assert!(fetched.has("X-Digest: after the body"), "{}", fetched.heads);
    }
    assert!(!curl(&[&http]).await.has("X-Digest: after the body"), "nobody asked");

    for (option, url) in [("--http1.1", site.http("/hints").await), ("--http2", site.https("/hints").await)] {
        let fetched = curl(&[option, &url]).await;
        assert_eq!((fetched.status, fetched.text().as_str()), (200, "after the hints"));
        assert_eq!(fetched.heads.matches("HTTP/").count(), 1, "{}", fetched.heads);
    }
}

#[tokio::test]
async fn a_login_with_cookies_and_a_redirect_works() {
    let site = Site::open().await;
    let files = TempDir::new().unwrap();
    // The panel answers before it has read what is sent; whether that did harm was a matter of microseconds.
    let over_http_2 = vec![("--http2", site.https("/login").await); 20];
    let others = [("--http1.1", site.http("/login").await), ("--http1.1", site.https("/login").await)];
    for (option, url) in others.into_iter().chain(over_http_2) {
        let jar = files.path().join(format!("{}{option}", url.split(':').next().unwrap()));
        let jar = jar.to_str().unwrap();
        let fetched = curl(&[option, "-c", jar, "-b", jar, "-L", "-d", "name=admin", &url]).await;

        assert_eq!(fetched.status, 200);
        let mut cookies: Vec<_> = fetched.text().split("; ").map(str::to_owned).collect();
        cookies.sort();
        assert_eq!(cookies, ["session=s3cr3t", "theme=dark"]);
        assert!(fetched.has("Location: /me"), "{}", fetched.heads);
    }
}

#[tokio::test]
async fn answers_that_end_with_the_connection_are_whole_and_connections_are_used_again() {
    let site = Site::open().await;
    for (option, url) in [
        ("--http1.0", site.http("/endless").await),
        ("--http1.1", site.http("/endless").await),
        ("--http2", site.https("/endless").await),
    ] {
        assert_eq!(curl(&[option, &url]).await.text(), "until the end", "{option}");
    }
    for (option, url) in [
        ("--http1.1", site.http("/script/[1-200].js").await),
        ("--http2", site.https("/script/[1-200].js").await),
    ] {
        let fetched = curl(&[option, "--compressed", &url]).await;
        assert_eq!((fetched.status, fetched.connections), (200, 0), "the last of 200");
        assert_eq!(fetched.text().matches("loaded(").count(), 200);
    }
}

/// Runs curl. Of several transfers the bodies and heads are in a row, and the rest is what the last one was.
pub(super) async fn curl(arguments: &[&str]) -> Fetched {
    let files = TempDir::new().unwrap();
    let heads = files.path().join("heads");
    let mut command = Command::new("curl");
    command.args([
        "--disable",
        "--silent",
        "--show-error",
        "--insecure",
        "--noproxy",
        "*",
        "--max-time",
        "300",
    ]);
    command.arg("--dump-header").arg(&heads).args(["--write-out", REPORT]).args(arguments);
    let output = peer::run(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {said}");
    let report: Vec<_> = said.lines().last().unwrap_or_default().split(' ').collect();
    let [version, status, connections, uploaded] = report[..] else { panic!("curl said {said}") };
    Fetched {
        version: version.to_owned(),
        status: status.parse().unwrap(),
        connections: connections.parse().unwrap(),
        uploaded: uploaded.parse().unwrap(),
        heads: std::fs::read_to_string(heads).unwrap(),
        body: output.stdout,
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
