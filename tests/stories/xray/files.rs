//! The rung that costs nothing: Xray reads the files.

use std::time::Duration;

use super::visitor::Visitor;
use super::{NOTICED, Site, begin};
use crate::support::xray::{Client, Inbound, Xray, broken};

/// Xray looks each second; listeners that share a certificate may need some of these looks on a busy machine.
const FOLLOWED: Duration = Duration::from_secs(120);

#[tokio::test]
async fn inbounds_that_read_the_files_follow_and_no_connection_is_cut() {
    let mut xray = Xray::stopped(Vec::new());
    let exported = tempfile::tempdir().unwrap();
    let [certificate, key] = ["fullchain.pem", "privkey.pem"].map(|name| exported.path().join(name));
    let site = Site::open(&xray, |settings| {
        let settings = settings.set("ip_cert", "export_cert", certificate.to_str());
        settings.set("ip_cert", "export_key", key.to_str())
    })
    .await;
    let files = || site.files();
    let second_place = serde_json::json!([crate::support::xray::files(&certificate, &key)]);
    let inbounds = vec![
        Inbound::new("vless-tcp", "vless", "tcp", files()),
        Inbound::new("vless-ws", "vless", "ws", files()),
        Inbound::new("vless-httpupgrade", "vless", "httpupgrade", files()),
        Inbound::new("trojan-tcp", "trojan", "tcp", files()),
        Inbound::new("vless-grpc", "vless", "grpc", files()),
        Inbound::new("vless-xhttp", "vless", "xhttp", files()),
        Inbound::new("exported-xhttp", "vless", "xhttp", second_place),
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
    let visitors: Vec<_> = all.iter().flat_map(|inbound| inbound.addresses()).map(Visitor::of).collect();

    let leaf = site.renew().await;

    for inbound in &all {
        let entry = site.serves(inbound.tag, "current", FOLLOWED).await;
        for presented in xray.presented(inbound.tag).await {
            assert_eq!(presented, leaf, "{} against {entry:#}", inbound.tag);
        }
        println!("{} {}", inbound.tag, entry["seconds_to_served"]);
    }
    for chain in [site.certificate(), certificate] {
        let text = std::fs::read_to_string(&chain).unwrap();
        assert!(text.trim_ascii_end().ends_with("-----END CERTIFICATE-----"), "{chain:?}: {text}");
    }
    let log = site.door.process.log().join("\n");
    assert!(!log.contains("xhttp was made anew"), "that would have cut its connections");
    println!("the range was made anew: {}", log.contains("range was made anew"));
    for visitor in visitors {
        visitor.was_never_refused(0).await;
    }
    assert_eq!(broken(flows).await, [""; 0]);
}
