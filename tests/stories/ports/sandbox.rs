//! A sandbox without netlink sockets, as a hardened unit may have it: who listens is read in the kernel's tables.

use std::net::SocketAddr;
use std::process::Command;

use super::holders::AS_NOBODY;
use super::{SOON, WITHOUT, joiners};
use crate::support::client::get;
use crate::support::doorman::{BINARY, Doorman, Settings};
use crate::support::upstream::{Upstream, plain};

/// Gets no netlink socket, and says at that level that it does without.
const WITHOUT_NETLINK: [&str; 5] = ["env", "RUST_LOG=debug", "python3", WITHOUT, "netlink"];

const READS_TABLES: &str = "the kernel is not to be asked for its sockets; its tables are read";

/// Port and panel of a door that finds another's listener on `taken` and has a free one beside it.
fn beside(taken: SocketAddr, panel: &Upstream) -> Settings {
    Settings::panel(panel.url()).set("http", "listen", vec![taken.to_string(), "[::1]:0".to_owned()])
}

#[tokio::test]
async fn without_netlink_the_holder_is_named_the_rest_is_served_and_the_port_taken_when_it_is_free() {
    let panel = Upstream::panel().await;
    let holder = Upstream::answering(|_| plain(200, "mine")).await;
    let taken = holder.address;

    let door = Doorman::start_by(&WITHOUT_NETLINK, &beside(taken, &panel)).await;

    door.process.says(READS_TABLES, SOON).await;
    let status = door.until("who has it", SOON, |status| !status["listeners"][0]["holder"].is_null()).await;
    assert_eq!(status["listeners"][0]["holder"]["pid"], std::process::id(), "{status:#}");
    let line = door.process.says("this port is not ours yet", SOON).await;
    assert!(line.contains(&format!("pid={}", std::process::id())) && line.contains("remedy="), "{line}");
    assert_eq!(get(door.http().await, "/").await.text(), "the panel: GET / HTTP/1.1");
    assert_eq!(get(taken, "/").await.text(), "mine");

    let doctor = Command::new("python3")
        .args([WITHOUT, "netlink", BINARY, "doctor", "--config"])
        .arg(door.settings_file())
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout);
    let named =
        said.contains(&format!("{taken} is held by")) && said.contains(&std::process::id().to_string());
    assert!(named, "{said}");

    drop(holder);
    door.until("both listen", SOON, |status| status["listeners"][0]["state"] == "listening").await;
    assert_eq!(get(taken, "/").await.text(), "the panel: GET / HTTP/1.1");
}

#[tokio::test]
async fn without_netlink_and_without_a_privilege_the_holders_user_is_known() {
    let panel = Upstream::panel().await;
    let holder = Upstream::panel().await; // in this process, which is root's
    let launcher = [&WITHOUT_NETLINK[..], &AS_NOBODY].concat();

    let door = Doorman::start_by(&launcher, &beside(holder.address, &panel)).await;

    door.process.says(READS_TABLES, SOON).await;
    let status = door.until("who has it", SOON, |status| !status["listeners"][0]["holder"].is_null()).await;
    let told = &status["listeners"][0]["holder"];
    assert_eq!((&told["user"], &told["pid"]), (&"root".into(), &serde_json::Value::Null), "{status:#}");
}

#[tokio::test]
async fn without_netlink_who_joins_is_named() {
    let panel = Upstream::panel().await;
    let door = Doorman::start_by(&WITHOUT_NETLINK, &joiners::settings(&panel, "127.0.0.1")).await;

    let _joiner = joiners::join(door.http().await);

    let status =
        door.until("somebody joined", SOON, |status| !status["listeners"][0]["joined"].is_null()).await;
    assert_eq!(status["listeners"][0]["joined"]["pid"], std::process::id(), "{status:#}");
}
