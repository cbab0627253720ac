//! From the first order to a certificate that is served.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{ORDER, Visitor, address, moment, with_certificate};
use crate::support::client::{Connection, get};
use crate::support::doorman::{self, Doorman, Settings};
use crate::support::pebble::{Pebble, Terms, Version};
use crate::support::upstream::{self, Upstream};
use crate::support::{free_port, tls, until};

#[tokio::test]
async fn flags_alone_are_enough_and_the_certificate_is_there_within_ten_seconds() {
    let panel = Upstream::panel().await;
    let (http, https) = (address(free_port()), address(free_port()));
    let terms = Terms { retry_after: (3, 5), ..Terms::quick(http.port()) }; // what Pebble's own settings say
    let mut pebble = Pebble::start(terms).await;
    let files = TempDir::new().unwrap();
    let (store, admin) = (files.path().join("store"), files.path().join("admin.sock"));
    let (http_text, https_text, ca) = (http.to_string(), https.to_string(), pebble.ca_file());
    let (panel_url, directory) = (panel.url(), pebble.directory());
    let paths = [store.to_str().unwrap(), admin.to_str().unwrap(), ca.to_str().unwrap()];

    #[rustfmt::skip]
    let mut process = doorman::start(&[
        "run", "--panel", &panel_url, "--listen", &http_text, "--https", &https_text, "--ip", "127.0.0.1",
        "--directory", &directory, "--directory-ca", paths[2], "--store", paths[0], "--admin", paths[1],
    ]);
    until("the panel answers through the door", ORDER, async || {
        tokio::net::TcpStream::connect(http).await.ok().map(drop)
    })
    .await;
    let visitor = Visitor::of(http);
    let root = pebble.root().await;
    let trusting = tls::trusting(&root, &["http/1.1"]);
    until("the certificate is served", Duration::from_secs(10), async || {
        tls::connect(https, &trusting).await.ok()
    })
    .await;
    // It is served first, and seen to be served a moment later.
    let status = until("the state is valid", ORDER, async || {
        let status = doorman::command(&["status", "--json", "--admin", paths[1]]).await;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["state"] == "valid").then_some(status)
    })
    .await;
    assert_eq!(status["certificate"]["identifiers"], serde_json::json!(["127.0.0.1"]));
    assert_eq!(status["certificate"]["self_signed"], false);
    assert_eq!(status["failures"], 0);

    pebble.stop();
    let stream = tls::connect(https, &trusting).await.expect("it is served without the CA, too");
    assert_eq!(tls::addresses(&tls::leaf(&stream)), [http.ip()]);
    assert_eq!(status["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    assert_eq!(Connection::over(stream).get("/in").await.text(), "the panel: GET /in HTTP/1.1");
    visitor.has_come_often().await;
    visitor.was_always_answered().await;

    process.signal(Signal::TERM);
    assert!(process.ended(Duration::from_secs(10)).await.success());
}

#[tokio::test]
async fn one_certificate_holds_the_v4_and_the_v6_address() {
    issues_for_both_families(Version::Current).await;
}

pub(super) async fn issues_for_both_families(version: Version) {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms { version, ..Terms::quick(port) }).await;
    let settings = Settings::panel(panel.url())
        .certificate(&pebble, &["127.0.0.1", "::1"])
        .set("http", "listen", vec![format!("127.0.0.1:{port}"), format!("[::1]:{port}")])
        .set("https", "listen", vec!["127.0.0.1:0", "[::1]:0"]);
    let door = Doorman::start(&settings).await;

    let status = door.reaches("valid", ORDER).await;

    let trusting = tls::trusting(&pebble.root().await, &[]);
    let listeners = status["listeners"].as_array().unwrap();
    let https: Vec<SocketAddr> = listeners
        .iter()
        .filter(|listener| listener["kind"] == "https")
        .map(|listener| listener["address"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(https.len(), 2, "{status:#}");
    for address in https {
        let leaf = tls::leaf(&tls::connect(address, &trusting).await.unwrap());
        let mut named = tls::addresses(&leaf);
        named.sort();
        assert_eq!(named, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }
}

#[tokio::test]
async fn https_works_from_the_first_second_and_the_panel_never_waits_for_the_ca() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let mut pebble = Pebble::stopped(Terms::quick(port));
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let visitor = Visitor::of(door.http().await);

    let https = door.https().await;
    let stream =
        tls::connect(https, &tls::trusting_anybody(&[])).await.expect("a certificate for the first minutes");
    let first = tls::fingerprint(&tls::leaf(&stream));
    assert_eq!(Connection::over(stream).get("/").await.status(), 200);
    let status = door.reaches("failed", ORDER).await;
    assert!(!status["last_error"].as_str().unwrap_or_default().is_empty(), "{status:#}");
    assert!(status["failures"].as_u64().unwrap() >= 1, "{status:#}");
    assert!(!status["next_renewal_at"].is_null(), "{status:#}");
    assert!(!door.stored("live").exists(), "the certificate of the first minutes is not for others");

    pebble.run().await;
    let refused = door.admin("POST", "/renew").await;
    assert_eq!(refused.status(), 409, "{}", refused.text());
    // The back-off of the first failure is a minute and its jitter.
    let status = door.reaches("valid", Duration::from_secs(150)).await;

    assert_eq!(status["failures"], 0);
    let trusting = tls::trusting(&pebble.root().await, &[]);
    let stream = tls::connect(https, &trusting).await.unwrap();
    assert_ne!(tls::fingerprint(&tls::leaf(&stream)), first);
    visitor.was_always_answered().await;
}

#[tokio::test]
async fn challenges_come_before_every_other_rule() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let webroot = TempDir::new().unwrap();
    let settings = with_certificate(&panel, &pebble, port)
        .set("http", "redirect_to_https", true)
        .set("http", "acme_webroot", webroot.path().to_str())
        .set("http", "acme_upstream", panel.address.to_string())
        .set("panel", "base_path", "/hidden/")
        .set("panel", "allow_paths", vec!["login"]);
    let door = Doorman::start(&settings).await;

    door.reaches("valid", ORDER).await;

    let validated = pebble.validated();
    assert!(!validated.is_empty());
    let asked = |token: &String| panel.seen().iter().any(|request| request.start.contains(token));
    assert!(!validated.iter().any(asked), "the panel was asked for our token");
    // Once the order is done the token is nobody's again.
    get(door.http().await, &validated[0]).await;
    assert!(asked(&validated[0]), "the token is still published");
}

#[tokio::test]
async fn every_listener_answers_the_token_while_it_is_published() {
    let panel = Upstream::panel().await;
    let (http, https, forward) = (address(free_port()), address(free_port()), address(free_port()));
    // What the CA asks is asked from every listener before it gets its answer.
    let answers = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&answers);
    let perspective = Upstream::with(move |mut client| {
        let heard = Arc::clone(&heard);
        async move {
            let request = client.request().await.unwrap();
            let path = request.start.split(' ').nth(1).unwrap().to_owned();
            let anybody = tls::trusting_anybody(&[]);
            let plain = get(http, &path).await;
            let other = get(forward, &path).await;
            let over_tls = Connection::over(tls::connect(https, &anybody).await.unwrap()).get(&path).await;
            client.send(upstream::plain(plain.status(), plain.text())).await;
            heard.lock().unwrap().push([plain, other, over_tls]);
        }
    })
    .await;
    let pebble = Pebble::start(Terms::quick(perspective.address.port())).await;
    let settings = with_certificate(&panel, &pebble, http.port())
        .set("https", "listen", vec![https.to_string()])
        .set("[forward]", "listen", vec![forward.to_string()])
        .set("[forward]", "tls", false)
        .set("[forward]", "upstream", panel.url());
    let door = Doorman::start(&settings).await;

    door.reaches("valid", ORDER).await;

    assert!(panel.seen().is_empty(), "{:#?}", panel.seen());
    let answers = answers.lock().unwrap();
    let (token, _) = answers[0][0].text().split_once('.').expect("token and thumbprint");
    assert!(pebble.validated()[0].ends_with(token));
    for answer in answers.iter().flatten() {
        assert_eq!((answer.status(), answer.text()), (200, answers[0][0].text()));
    }
}

#[tokio::test]
async fn it_renews_by_itself_with_the_same_account_and_the_same_profile() {
    let panel = Upstream::panel().await;
    let port = free_port();
    const LIFE: Duration = Duration::from_secs(24);
    let terms = Terms { life: LIFE, ..Terms::quick(port) };
    let pebble = Pebble::start(terms).await;
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let first = door
        .until("a certificate of the CA", ORDER, |status| status["certificate"]["self_signed"] == false)
        .await;

    let first = first["certificate"]["fingerprint_sha256"].clone();
    let second = door
        .until("another certificate", ORDER, |status| status["certificate"]["fingerprint_sha256"] != first)
        .await;

    assert_eq!(second["certificate"]["self_signed"], false);
    assert_eq!(second["failures"], 0);
    let certificate = &second["certificate"];
    let life = moment(&certificate["not_after"]) - moment(&certificate["not_before"]);
    assert!(life <= LIFE, "the profile `default` has ninety days: {life}");
    assert_eq!(pebble.accounts(), 1);
    assert_eq!(pebble.issued(), 2);
    let stream = tls::connect(door.https().await, &tls::trusting(&pebble.root().await, &[])).await.unwrap();
    assert_eq!(second["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
}

#[tokio::test]
async fn a_ca_that_remembers_the_validation_sends_nobody_and_still_issues() {
    remembers_the_validation(Version::Current).await;
}

pub(super) async fn remembers_the_validation(version: Version) {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms { authz_reuse: 100, version, ..Terms::quick(port) }).await;
    let door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    door.reaches("valid", ORDER).await;
    let looked = pebble.validated().len();

    let renewed = door.command(&["renew", "--force"]).await;

    assert!(renewed.status.success(), "{renewed:?}");
    assert_eq!((pebble.issued(), pebble.validated().len()), (2, looked));
}

#[tokio::test]
async fn the_exported_pair_is_kept_current_with_owner_and_mode() {
    use std::os::unix::fs::PermissionsExt;
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let files = TempDir::new().unwrap();
    let (chain, key) = (files.path().join("fullchain.pem"), files.path().join("privkey.pem"));
    for (path, mode) in [(&chain, 0o604), (&key, 0o640)] {
        std::fs::write(path, "what another client left").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let settings = with_certificate(&panel, &pebble, port).set("ip_cert", "export_cert", chain.to_str()).set(
        "ip_cert",
        "export_key",
        key.to_str(),
    );
    let door = Doorman::start(&settings).await;

    door.reaches("valid", ORDER).await;

    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&chain), read(&door.stored("live/fullchain.pem")));
    assert_eq!(read(&key), read(&door.stored("live/privkey.pem")));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&chain), mode(&key)), (0o604, 0o640));
    assert_eq!(mode(&door.stored("live/privkey.pem")), 0o600);
    let left: Vec<_> =
        std::fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
