//! Xray keeps what an inbound leaves behind when it is made anew, so that is done once for a certificate.

use serde_json::json;

use super::{NOTICED, Site, begin};
use crate::support::xray::{Inbound, Xray};

#[tokio::test]
async fn an_inbound_that_is_given_the_old_pair_again_is_not_made_anew_twice_for_one_certificate() {
    let mut xray = Xray::stopped(Vec::new());
    let site = Site::open(&xray, |settings| settings).await;
    let inline = Inbound::new("inline", "vless", "tcp", site.inline());
    let file = site.door.stored("old.json");
    std::fs::write(&file, json!({"inbounds": [inline.settings()]}).to_string()).unwrap();
    begin(&mut xray, vec![inline]).await;
    site.serves("inline", "current", NOTICED).await;
    let anew = || site.door.process.log().iter().filter(|line| line.contains("inline was made anew")).count();
    let leaf = site.renew().await;
    site.serves("inline", "current", NOTICED).await;
    assert_eq!(anew(), 1);

    // As a page that is saved: the panel's database still has the old pair.
    xray.tool("rmi", &["inline"]).await;
    let output = xray.tool("adi", &[file.to_str().unwrap()]).await;
    assert!(output.status.success(), "{output:?}");
    site.serves("inline", "stale", NOTICED).await;
    site.door.process.says("xray_stale", NOTICED).await;
    assert_eq!(anew(), 1, "once is what Xray bears for a certificate");
    assert_ne!(xray.presented("inline").await, [leaf]);

    let next = site.renew().await;
    site.serves("inline", "current", NOTICED).await;
    assert_eq!(anew(), 2, "the next certificate has a right of its own");
    assert_eq!(xray.presented("inline").await, [next]);
}
