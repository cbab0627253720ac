//! Those who arrive in the moment when an inbound is made anew.

use std::time::Duration;

use serde_json::json;

use super::visitor::Visitor;
use super::{NOTICED, Site, begin};
use crate::support::xray::{Inbound, Xray};

/// Of as many, where nobody was sent elsewhere before, at least one who arrived was reset in each of four runs.
const CHANGES: usize = 12;

#[tokio::test]
async fn nobody_who_arrives_while_inbounds_are_made_anew_is_reset() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let once = || site.files_with(&json!({"oneTimeLoading": true}));
    let everywhere = Inbound::new("everywhere", "vless", "tcp", once()).everywhere();
    let inbounds = vec![Inbound::new("range", "vless", "tcp", once()).on_three_ports(), everywhere];
    begin(&mut xray, inbounds).await;
    let mut visitors = Vec::new();
    for tag in ["range", "everywhere"] {
        site.serves(tag, "current", NOTICED).await;
        let addresses = xray.inbound(tag).addresses().into_iter().cycle();
        let pause = Duration::from_millis(1);
        visitors.extend(addresses.take(3).map(|address| Visitor::that_rests(address, pause)));
    }

    for _ in 0..CHANGES {
        let leaf = site.renew().await;
        for tag in ["range", "everywhere"] {
            site.serves(tag, "current", NOTICED).await;
            assert!(xray.presented(tag).await.iter().all(|it| *it == leaf), "{tag}");
        }
    }

    for visitor in visitors {
        visitor.was_never_refused(0).await;
    }
}
