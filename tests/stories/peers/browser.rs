//! A real browser: 200 resources, uploads, downloads, events and a WebSocket on one page, which checks them itself.

use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::{Site, panel};
use crate::support::doorman::{Doorman, Settings};
use crate::support::pebble::{Pebble, Terms};
use crate::support::process::Process;
use crate::support::{free_port, peer};

/// A visit takes seconds; a browser's start on a loaded machine may take longer than that.
const VISIT: Duration = Duration::from_secs(150);
const ISSUE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_page_works_in_a_browser_over_plain_http() {
    let site = Site::open().await;
    let mut browser = visit(&site.http("/").await, 2, None);
    went_well(&mut browser, 2, "http/1.1").await;
}

#[tokio::test]
async fn a_page_works_in_a_browser_over_https() {
    let site = Site::open().await;
    let mut browser = visit(&site.https("/").await, 2, None);
    went_well(&mut browser, 2, "h2").await;
}

#[tokio::test]
async fn a_browser_does_not_notice_that_the_certificate_is_swapped() {
    const VISITS: usize = 4;
    let (_panel, url) = panel().await;
    let http = free_port();
    let pebble = Pebble::start(Terms::quick(http)).await;
    let settings = Settings::panel(url)
        .set("http", "listen", vec![format!("127.0.0.1:{http}")])
        .certificate(&pebble, &["127.0.0.1"]);
    let door = Doorman::start(&settings).await;
    let first = fingerprint(&door.reaches("valid", ISSUE).await);

    // This browser trusts the CA's root, and nothing that is not in order under it.
    let root = NamedTempFile::new().unwrap();
    std::fs::write(root.path(), pebble.root().await).unwrap();
    let mut browser = visit(&format!("https://{}/", door.https().await), VISITS, Some(root.path()));
    browser.says("kept", VISIT).await;
    let mut swaps = 0;
    while browser.is_running() {
        let renewed = door.command(&["renew", "--force"]).await;
        assert!(renewed.status.success(), "{}", String::from_utf8_lossy(&renewed.stderr));
        swaps += 1;
    }

    went_well(&mut browser, VISITS, "h2").await;
    assert_ne!(fingerprint(&door.status().await), first);
    println!("the certificate was swapped {swaps} times during {} visits", VISITS - 1);
}

/// A browser that visits `url` so many times, and trusts only `root`, or anybody.
fn visit(url: &str, times: usize, root: Option<&Path>) -> Process {
    let mut command = peer::script("browser.mjs");
    command.args([url, &times.to_string()]).args(root);
    Process::start("browser.mjs", &mut command)
}

/// The page kept all of its promises, each time, and everything came by `protocol`.
async fn went_well(browser: &mut Process, visits: usize, protocol: &str) {
    let end = browser.ended(VISIT * u32::try_from(visits).unwrap()).await;
    let said = browser.log();
    let titles: Vec<_> =
        said.iter().filter(|line| line.starts_with("kept ") || line.starts_with("broken")).collect();
    assert!(end.success(), "{end}: {said:#?}");
    assert_eq!(titles, vec![&format!("kept 10 of 10 over {protocol}"); visits], "{said:#?}");
}

fn fingerprint(status: &serde_json::Value) -> String {
    status["certificate"]["fingerprint_sha256"].as_str().expect("a certificate").to_owned()
}
