//! When the old certificate is nearly over, what would be cut by the API is changed all the same: that cuts one inbound,
//! and a restart all of them.

use std::time::Duration;

use serde_json::json;

use super::{NOTICED, Site, begin, entry};
use crate::support::pebble::Terms;
use crate::support::xray::{Client, Inbound, Xray, broken};

#[tokio::test]
async fn who_would_be_cut_is_made_anew_once_the_old_certificate_has_hours_left_and_others_are_not() {
    let life = Duration::from_secs(5 * 3600);
    let mut xray = Xray::stopped(Vec::new());
    let nothing_else = ["files", "api"].to_vec();
    let site = Site::open_with(
        &xray,
        |port| Terms { life, ..Terms::quick(port) },
        |settings| settings.set("xray", "reload", nothing_else),
    )
    .await;
    let once = || site.files_with(&json!({"oneTimeLoading": true}));
    let path = site.door.stored("in.sock");
    let inbounds = vec![
        Inbound::new("grpc", "vless", "grpc", once()),
        Inbound::new("xhttp", "vless", "xhttp", once()),
        Inbound::new("kcp", "vless", "kcp", once()),
        Inbound::new("hysteria", "hysteria", "hysteria", once()),
        Inbound::new("socket", "vless", "ws", once()).on_a_socket_file(&path),
        Inbound::new("quic", "vless", "xhttp", once()).over_quic(),
        Inbound::new("neighbour", "vless", "tcp", site.files()),
    ];
    begin(&mut xray, inbounds).await;
    for tag in ["grpc", "xhttp", "neighbour", "socket"] {
        site.serves(tag, "current", NOTICED).await;
    }
    let root = site.pebble.root().await;
    let client = Client::start(&[xray.inbound("neighbour")], &root).await;
    let flows = client.connections("neighbour", 3).await;

    let leaf = site.renew().await;

    for tag in ["grpc", "xhttp", "neighbour"] {
        let said = site.serves(tag, "current", NOTICED).await;
        assert_eq!(xray.presented(tag).await, std::slice::from_ref(&leaf), "{tag}");
        println!("late {tag} {}", said["seconds_to_served"]);
    }
    for tag in ["grpc", "xhttp", "kcp", "hysteria"] {
        site.door.process.says(&format!("{tag} was made anew"), NOTICED).await;
    }
    // Xray would leave its socket open, and who comes to that waits for ever.
    site.door.process.says("xray_stale", NOTICED).await;
    site.serves("socket", "stale", NOTICED).await;
    for tag in ["quic", "socket"] {
        let anew = format!("{tag} was made anew");
        assert!(!site.door.process.log().iter().any(|line| line.contains(&anew)), "{tag}");
    }
    // A second inbound on a socket file would have blocked it for good.
    let mut all: Vec<_> = xray.inbounds.iter().map(|inbound| inbound.tag).chain(["api"]).collect();
    all.sort_unstable();
    assert_eq!(xray.tags().await, all);
    let status = site.door.status().await;
    for (tag, held) in [("kcp", false), ("hysteria", false), ("quic", true)] {
        assert_eq!(entry(&status, tag)["serves"], "unknown", "nobody can look at it: {status:#}");
        let detail = entry(&status, tag)["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("it listens on UDP"), "{detail}");
        assert_eq!(detail.contains("its settings hold another certificate"), held, "{detail}");
    }
    assert_eq!(broken(flows).await, [""; 0]);
    let used = ["grpc", "xhttp", "kcp", "hysteria", "quic"].map(|tag| xray.inbound(tag));
    let client = Client::start(&used, &root).await;
    for tag in ["grpc", "xhttp", "kcp", "hysteria", "quic"] {
        assert!(client.gets_through(tag).await, "nobody gets through {tag} any more");
    }
}
