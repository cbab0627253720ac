//! Renewal after renewal under load.

use std::time::Duration;

use super::{NOTICED, Site, begin};
use crate::support::xray::{Client, Inbound, Xray, broken};

/// Each swap costs both some memory until the next; what grows with each would be far beyond this after thirty.
const MOST_GROWTH_KIB: u64 = 16 * 1024;

#[tokio::test]
async fn thirty_swaps_under_fifty_connections_lose_none_and_no_memory() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let networks = ["tcp", "ws", "httpupgrade", "grpc", "xhttp"];
    let inbound = |network| Inbound::new(network, "vless", network, site.files()).with_patient_clients();
    let inbounds = networks.map(inbound);
    begin(&mut xray, inbounds.to_vec()).await;
    let all: Vec<_> = xray.inbounds.iter().collect();
    let client = Client::start(&all, &site.pebble.root().await).await;
    let mut flows = Vec::new();
    for network in networks {
        site.serves(network, "current", NOTICED).await;
        flows.extend(client.connections(network, 10).await);
    }
    let memory =
        || [site.door.process.memory_kib("VmRSS"), xray.process.as_ref().unwrap().memory_kib("VmRSS")];
    let mut settled = [0; 2];
    let mut leaf = String::new();

    for swap in 0..30 {
        leaf = site.renew().await;
        for network in networks {
            site.serves(network, "current", Duration::from_secs(90)).await;
        }
        if swap == 9 {
            settled = memory();
        }
    }

    let end = memory();
    for network in networks {
        assert_eq!(xray.presented(network).await, [leaf.clone()], "{network}");
    }
    assert_eq!(flows.len(), 50);
    assert_eq!(broken(flows).await, [""; 0]);
    println!("doorman and Xray, KiB: {settled:?} after ten swaps, {end:?} after thirty");
    for (settled, end) in settled.into_iter().zip(end) {
        assert!(end < settled + MOST_GROWTH_KIB, "{settled} KiB became {end} KiB");
    }
}
