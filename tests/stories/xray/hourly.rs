//! Each inbound has as long as it takes to look at the files; then it is helped.

use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{NOTICED, Site, begin, entry};
use crate::acme::life::Clock;
use crate::support::xray::{Client, Inbound, Xray, broken};

/// Of an inbound whose settings do not say.
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn who_looks_once_an_hour_has_an_hour_and_who_looks_each_minute_has_that() {
    let clock = Clock::new();
    let launcher = clock.launcher();
    let mut xray = Xray::stopped(Vec::new());
    let launcher: Vec<_> = launcher.iter().map(String::as_str).collect();
    let site = Site::open_by(&launcher, &xray, |settings| settings).await;
    let looks = |seconds: u64| site.files_with(&json!({"ocspStapling": seconds}));
    let inbounds = vec![
        Inbound::new("each-minute", "vless", "tcp", looks(60)),
        Inbound::new("hourly", "vless", "tcp", site.files_with(&json!({}))),
        Inbound::new("hourly-too", "trojan", "ws", looks(3600)),
        Inbound::new("hourly-grpc", "vless", "grpc", looks(3600)),
    ];
    begin(&mut xray, inbounds).await;
    let all: Vec<_> = xray.inbounds.iter().collect();
    let client = Client::start(&all, &site.pebble.root().await).await;
    let mut flows = Vec::new();
    for inbound in &all {
        site.serves(inbound.tag, "current", NOTICED).await;
        flows.extend(client.connections(inbound.tag, 2).await);
    }
    let slow = ["hourly", "hourly-too", "hourly-grpc"];

    let leaf = site.renew().await;

    // A minute is there for an inbound whose tick comes late.
    for (tag, interval) in [("each-minute", Duration::from_secs(60)), ("hourly", HOUR), ("hourly-too", HOUR)]
    {
        let said = site.serves(tag, "stale", NOTICED).await;
        let moment = |key: &str| OffsetDateTime::parse(said[key].as_str().unwrap(), &Rfc3339).unwrap();
        let within = moment("due_at") - moment("looked_at");
        assert!(within <= interval + Duration::from_secs(65), "{tag}: {said:#}");
        assert!(within > interval - Duration::from_secs(20), "{tag}: {said:#}");
    }
    let said = site.serves("each-minute", "current", NOTICED * 2).await;
    println!("each-minute {}", said["seconds_to_served"]);
    assert_eq!(xray.presented("each-minute").await, std::slice::from_ref(&leaf));
    let status = site.door.status().await;
    for tag in slow {
        assert_eq!(entry(&status, tag)["serves"], "stale", "{status:#}");
    }
    let anew = || site.door.process.log().join("\n").contains("was made anew");
    assert!(!anew(), "somebody was not waited for");

    clock.set(HOUR + Duration::from_secs(120)); // but not Xray's, which has looked at nothing yet
    for tag in ["hourly", "hourly-too"] {
        site.serves(tag, "current", NOTICED).await;
        assert_eq!(xray.presented(tag).await, std::slice::from_ref(&leaf), "{tag}");
    }
    assert!(anew());
    site.door.process.says("xray_stale", NOTICED).await;
    let said = site.serves("hourly-grpc", "stale", NOTICED).await;
    assert!(
        said["advice"]["en"].as_str().unwrap_or_default().contains("cuts its open connections"),
        "{said:#}"
    );
    assert!(!site.door.process.log().iter().any(|line| line.contains("hourly-grpc was made anew")));
    assert_eq!(broken(flows).await, [""; 0]);
}
