//! Inbounds that do not follow by themselves are made anew beside the old one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::visitor::Visitor;
use super::{NOTICED, Site, begin, entry};
use crate::support::stall::{At, Wire};
use crate::support::xray::{Client, Inbound, USER, Xray, broken};
use crate::support::{tls, until};

/// For a change over the API on a busy machine.
const CHANGE: Duration = Duration::from_secs(90);

/// Users that come and go while Xray runs.
const GUEST: &str = "7d2cf6ab-3f5e-4d52-8f26-93a0b6a0f6a1";

fn once() -> Value {
    json!({"oneTimeLoading": true})
}

/// Inbounds that cannot follow, and some that need not; one has the certificate of others first.
fn one_of_each(site: &Site, others: &tls::Pair) -> Vec<Inbound> {
    let first = json!({"certificate": [others.certificate], "key": [others.key]});
    let second = json!([first, site.files()[0]]);
    vec![
        Inbound::new("once-tcp", "vless", "tcp", site.files_with(&once())),
        Inbound::new("once-ws", "vless", "ws", site.files_with(&once())),
        Inbound::new("once-range", "vless", "tcp", site.files_with(&once())).on_three_ports(),
        Inbound::new("inline-trojan", "trojan", "tcp", site.inline()),
        Inbound::new("inline-httpupgrade", "vless", "httpupgrade", site.inline()),
        Inbound::new("once-grpc", "vless", "grpc", site.files_with(&once())),
        Inbound::new("once-xhttp", "vless", "xhttp", site.files_with(&once())),
        Inbound::new("once-hysteria", "hysteria", "hysteria", site.files_with(&once())),
        Inbound::new("hourly", "vless", "tcp", site.files_with(&json!({}))),
        Inbound::new("second", "vless", "tcp", second),
        Inbound::new("proxy", "vless", "tcp", site.files()).with_proxy_protocol(),
        Inbound::new("proxy-once", "vless", "tcp", site.files_with(&once())).with_proxy_protocol(),
    ]
}

#[tokio::test]
async fn what_cannot_follow_is_made_anew_and_what_would_be_cut_is_left_alone() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let theirs = tls::Pair::for_names(&["other.example", "127.0.0.1"]);
    let inbounds = one_of_each(&site, &theirs);
    begin(&mut xray, inbounds).await;
    let made_anew = ["once-tcp", "once-ws", "once-range", "inline-trojan", "inline-httpupgrade"];
    let left_alone = ["once-grpc", "once-xhttp", "hourly"];
    for tag in made_anew.iter().chain(&left_alone) {
        site.serves(tag, "current", NOTICED).await;
    }
    let used: Vec<_> = xray.inbounds.iter().collect();
    let client = Client::start(&used, &(site.pebble.root().await + &theirs.ca)).await;
    let mut flows = Vec::new();
    for inbound in &used {
        flows.extend(client.connections(inbound.tag, 2).await);
    }
    let shows = |tag: &str| !["once-hysteria", "proxy", "proxy-once"].contains(&tag);
    let dialed = used.iter().filter(|inbound| shows(inbound.tag)).flat_map(|inbound| inbound.addresses());
    let visitors: Vec<_> = dialed.map(Visitor::of).collect();

    let leaf = site.renew().await;

    for tag in made_anew {
        let said = site.serves(tag, "current", CHANGE).await;
        assert!(xray.presented(tag).await.iter().all(|it| *it == leaf), "{tag}: {said:#}");
        println!("{tag} {}", said["seconds_to_served"]);
    }
    until("who cannot be looked at is made anew, too", CHANGE, async || {
        (behind_a_proxy_header(&xray, "proxy-once").await == leaf).then_some(())
    })
    .await;
    for tag in left_alone {
        let said = site.serves(tag, "stale", CHANGE).await;
        assert!(xray.presented(tag).await.iter().all(|it| *it != leaf), "{tag}: {said:#}");
    }
    let status = site.door.status().await;
    let says = |tag: &str, part: &str| {
        let detail = entry(&status, tag)["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(part), "{tag} says {detail:?} and not {part:?}");
    };
    says("second", "move our certificate to the first place");
    says("proxy", "PROXY header");
    says(
        "once-hysteria",
        "it listens on UDP, so it cannot be looked at; its settings hold another certificate",
    );
    assert_eq!(entry(&status, "once-hysteria")["transport"], "hysteria");
    assert_eq!(entry(&status, "once-hysteria")["serves"], "unknown");
    says("once-grpc", "oneTimeLoading");
    says("once-grpc", "cuts its open connections");
    let advice = entry(&status, "once-grpc")["advice"]["zh-CN"].as_str().unwrap_or_default();
    assert!(advice.contains("原样保存一次该入站"), "{status:#}");
    assert_eq!(entry(&status, "second")["serves"], "stale");
    assert_eq!(entry(&status, "proxy")["serves"], "unknown");
    assert!(!entry(&status, "hourly")["due_at"].is_null(), "{status:#}");
    let audit = &entry(&status, "second")["audit"];
    assert_eq!((&audit["position"], &audit["certificates"]), (&json!(2), &json!(2)));
    for visitor in visitors {
        visitor.was_never_refused(0).await;
    }
    assert_eq!(broken(flows).await, [""; 0]);
    let log = site.door.process.log().join("\n");
    assert!(log.contains("xray_stale"), "somebody is told of what is left alone");
    assert!(!log.contains("PRIVATE KEY") && !log.contains(USER), "a secret is in the log");
    assert!(!xray.tags().await.iter().any(|tag| tag.starts_with("doorman")), "{:?}", xray.tags().await);
}

#[tokio::test]
async fn users_are_those_of_before_in_both_directions() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    begin(&mut xray, vec![Inbound::new("once", "vless", "tcp", site.files_with(&once()))]).await;
    site.serves("once", "current", NOTICED).await;
    xray.add_user("once", GUEST, "guest@lab").await;
    xray.remove_user("once", "first@lab").await;

    site.renew().await;

    site.serves("once", "current", CHANGE).await;
    let root = site.pebble.root().await;
    let guest = Client::start_as(&[(xray.inbound("once"), GUEST)], &root).await;
    assert!(guest.gets_through("once").await, "who was added at run time is shut out");
    let first = Client::start(&[xray.inbound("once")], &root).await;
    assert!(!first.gets_through("once").await, "who was removed at run time is back");
}

#[tokio::test]
async fn a_kill_between_any_two_calls_leaves_no_port_without_a_listener_and_the_change_is_completed() {
    let mut xray = Xray::stopped(Vec::new());
    let wire = Wire::to(xray.api).await;
    let api = wire.address.to_string();
    let mut site = Site::open(&xray, |settings| settings.set("xray", "api", api)).await;
    begin(&mut xray, vec![Inbound::new("once", "vless", "tcp", site.files_with(&once()))]).await;
    site.serves("once", "current", NOTICED).await;
    xray.add_user("once", GUEST, "guest@lab").await;
    let client = Client::start_as(&[(xray.inbound("once"), GUEST)], &site.pebble.root().await).await;
    let flows = client.connections("once", 3).await;
    let visitor = Visitor::of(xray.inbound("once").addresses()[0]);

    let mut kills = 0;
    for at in [At::Request, At::Answer] {
        for passing in 0.. {
            let leaf = site.renew().await;
            wire.stall_after(passing, at);
            let end = until("the change is done, or stopped", CHANGE, async || {
                let done =
                    xray.presented("once").await == [leaf.clone()] && xray.tags().await == ["api", "once"];
                (wire.is_stalled() || done).then_some(wire.is_stalled())
            })
            .await;
            if end {
                site.door.process.kill();
                kills += 1;
            }
            wire.flow();
            if end {
                site.door.start_again().await;
            }
            site.serves("once", "current", CHANGE).await;
            until("only the inbound itself is there", CHANGE, async || {
                (xray.tags().await == ["api", "once"]).then_some(())
            })
            .await;
            assert_eq!(xray.presented("once").await, [leaf], "after {passing} calls, {at:?}");
            assert!(client.gets_through("once").await, "the guest is shut out after {passing} calls, {at:?}");
            if !end {
                break;
            }
        }
    }
    println!("{kills} kills");
    assert!(kills >= 18, "only {kills} kills: the change has more calls than that");
    visitor.was_never_refused(kills).await;
    assert_eq!(broken(flows).await, [""; 0]);
}

#[tokio::test]
async fn a_file_that_vanished_for_a_moment_ends_xrays_watching_and_the_api_mends_it() {
    let exported = tempfile::tempdir().unwrap();
    let [certificate, key] = ["fullchain.pem", "privkey.pem"].map(|name| exported.path().join(name));
    let mut xray = Xray::stopped(Vec::new());
    let paths = [certificate.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned()];
    let site = Site::open(&xray, |settings| {
        settings.set("ip_cert", "export_cert", paths[0].as_str()).set(
            "ip_cert",
            "export_key",
            paths[1].as_str(),
        )
    })
    .await;
    let files = json!([crate::support::xray::files(&certificate, &key)]);
    begin(&mut xray, vec![Inbound::new("exported", "vless", "ws", files)]).await;
    site.serves("exported", "current", NOTICED).await;
    let client = Client::start(&[xray.inbound("exported")], &site.pebble.root().await).await;
    let flows = client.connections("exported", 3).await;

    std::fs::rename(&certificate, exported.path().join("elsewhere")).unwrap();
    let log = xray.process.as_ref().unwrap();
    log.says("failed to parse certificate", Duration::from_secs(20)).await;
    until("the exported file is there again", NOTICED, async || {
        site.door.status().await; // which makes doorman look
        certificate.exists().then_some(())
    })
    .await;
    let leaf = site.renew().await;

    site.serves("exported", "current", CHANGE).await;
    assert_eq!(xray.presented("exported").await, [leaf]);
    assert!(site.door.process.log().iter().any(|line| line.contains("made anew over Xray's API")));
    assert_eq!(broken(flows).await, [""; 0]);
}

/// The leaf that an inbound presents to whoever sends a PROXY header first.
async fn behind_a_proxy_header(xray: &Xray, tag: &str) -> String {
    let mut stream = TcpStream::connect(xray.inbound(tag).addresses()[0]).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n").await.unwrap();
    let stream = tls::over(stream, &tls::trusting_anybody(&[])).await;
    stream.map_or_else(|error| error.to_string(), |it| tls::fingerprint(&tls::leaf(&it)))
}
