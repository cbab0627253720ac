//! The rung that costs nothing: Xray reads the files.

use std::time::Duration;

use super::{NOTICED, Site, begin, entry};
use crate::support::xray::{Client, Inbound, Xray, broken};

#[tokio::test]
async fn inbounds_that_read_the_files_follow_and_no_connection_is_cut() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let files = || site.files();
    let inbounds = vec![
        Inbound::new("vless-tcp", "vless", "tcp", files()),
        Inbound::new("vless-ws", "vless", "ws", files()),
        Inbound::new("vless-httpupgrade", "vless", "httpupgrade", files()),
        Inbound::new("trojan-tcp", "trojan", "tcp", files()),
        Inbound::new("vless-grpc", "vless", "grpc", files()),
        Inbound::new("vless-xhttp", "vless", "xhttp", files()),
        Inbound::new("range", "vless", "tcp", files()).on_three_ports(),
    ];
    begin(&mut xray, inbounds).await;
    let all: Vec<_> = xray.inbounds.iter().collect();
    let client = Client::start(&all, &site.pebble.root().await).await;
    let mut flows = Vec::new();
    for inbound in &all {
        site.serves(inbound.tag, "current", NOTICED).await;
        flows.extend(client.connections(inbound.tag, 2).await);
    }

    let leaf = site.renew().await;

    // What shares a certificate between listeners may have to be helped, which is looked at below.
    for inbound in all.iter().filter(|inbound| !["vless-xhttp", "range"].contains(&inbound.tag)) {
        let entry = site.serves(inbound.tag, "current", Duration::from_secs(60)).await;
        for presented in xray.presented(inbound.tag).await {
            assert_eq!(presented, leaf, "{} against {entry:#}", inbound.tag);
        }
        println!("{} {}", inbound.tag, entry["seconds_to_served"]);
    }
    // A range that stays stale is made anew over the API; XHTTP would lose its connections by that.
    site.serves("range", "current", Duration::from_secs(240)).await;
    assert!(xray.presented("range").await.iter().all(|it| *it == leaf));
    let status = site.door.status().await;
    let said = entry(&status, "vless-xhttp");
    let shown = xray.presented("vless-xhttp").await == [leaf];
    assert_eq!(said["serves"] == "current", shown, "{said:#}");
    let log = site.door.process.log().join("\n");
    assert!(shown || log.contains("written again"), "it was not helped: {said:#}");
    assert_eq!(broken(flows).await, [""; 0]);
}
