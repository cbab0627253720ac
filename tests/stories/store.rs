//! A store with damaged files, one that vanishes, and a disk that is full or read-only.

use std::time::Duration;

use tempfile::TempDir;

use crate::support::doorman::{Doorman, Settings};
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::Upstream;
use crate::support::{free_port, tls};

/// An order with Pebble takes two or three seconds; a busy machine may need more.
const ORDER: Duration = Duration::from_secs(30);

#[tokio::test]
async fn damaged_files_are_put_aside_and_cost_at_most_one_order() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let mut door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let first = door.reaches("valid", ORDER).await;

    // What only remembers costs nothing.
    door.stop().await;
    for name in ["state.json", "pending.json", "live/origin.json", "ca/ca.pem"] {
        std::fs::write(door.stored(name), "{ torn").unwrap();
    }
    door.start_again().await;
    let again = door.reaches("valid", ORDER).await;
    assert_eq!(again["certificate"], first["certificate"]);
    assert_ne!(again["local_ca_sha256"], first["local_ca_sha256"]);
    door.process.says("put aside", ORDER).await;
    for name in ["state.json.bad", "live/origin.json.bad", "ca/ca.pem.bad"] {
        assert!(door.stored(name).exists(), "{name}");
    }
    assert_eq!((pebble.issued(), pebble.count("Added order")), (1, 1));

    // The pair itself is ordered anew, once, with the account of before.
    door.stop().await;
    std::fs::write(door.stored("live/privkey.pem"), "-----BEGIN").unwrap();
    door.start_again().await;
    door.until("another certificate", ORDER, |status| {
        status["state"] == "valid" && status["certificate"]["serial"] != first["certificate"]["serial"]
    })
    .await;
    assert_eq!((pebble.issued(), pebble.count("Added order"), pebble.accounts()), (2, 2, 1));

    // Without its account it makes another, and orders nothing before its time.
    door.stop().await;
    std::fs::write(door.stored("account.json"), "[]").unwrap();
    door.start_again().await;
    door.reaches("valid", ORDER).await;
    assert_eq!(pebble.count("Added order"), 2);
    let renewed = door.command(&["renew", "--force"]).await;
    assert!(renewed.status.success(), "{renewed:?}");
    assert_eq!((pebble.issued(), pebble.accounts()), (3, 2));
}

#[tokio::test]
async fn a_store_that_vanishes_is_made_again_and_nobody_notices() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let mut door = Doorman::start(&with_certificate(&panel, &pebble, port)).await;
    let first = door.reaches("valid", ORDER).await;

    let elsewhere = TempDir::new().unwrap();
    std::fs::rename(door.stored(""), elsewhere.path()).unwrap(); // at once, whatever is being written
    let stream = tls::connect(door.https().await, &tls::trusting_anybody(&[])).await.unwrap();
    assert_eq!(first["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    let renewed = door.command(&["renew", "--force"]).await;
    assert!(renewed.status.success(), "{renewed:?}");
    let second = door.reaches("valid", ORDER).await;

    door.stop().await;
    door.start_again().await;
    assert_eq!(door.reaches("valid", ORDER).await["certificate"], second["certificate"]);
}

/// As root, in a mount namespace of its own: the store is a small disk.
#[tokio::test]
async fn a_full_or_a_read_only_disk_of_its_own_costs_no_order_and_is_used_again() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let disk = TempDir::new().unwrap();
    let path = disk.path().to_str().unwrap();
    let mount = "mount -t tmpfs -o size=256k none \"$0\"; exec \"$@\"";
    let settings = with_certificate(&panel, &pebble, port);
    let launcher = ["unshare", "--mount", "sh", "-ec", mount, path];
    let door = Doorman::start_with_store_by(&launcher, &settings, &disk.path().join("store")).await;
    door.reaches("valid", ORDER).await;
    let pid = door.process.id().to_string();
    let inside = |script: &str| {
        let arguments = ["--target", &pid, "--mount", "sh", "-ec", script, path];
        let output = std::process::Command::new("nsenter").args(arguments).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    };

    let troubles = [
        ("dd if=/dev/zero of=\"$0\"/fat bs=4k 2>/dev/null || true", "rm \"$0\"/fat"),
        ("mount -o remount,ro \"$0\"", "mount -o remount,rw \"$0\""),
    ];
    for (spoil, mend) in troubles {
        let orders = pebble.count("Added order");
        inside(spoil);
        assert_eq!(door.admin("POST", "/renew?force=true").await.status(), 202);
        let status = door.reaches("failed", ORDER).await;
        assert_eq!((&status["last_error_class"], &status["failures"]), (&"store".into(), &1.into()));
        assert_eq!(pebble.count("Added order"), orders, "no order without a place for its certificate");
        assert!(tls::connect(door.https().await, &tls::trusting_anybody(&[])).await.is_ok());

        inside(mend);
        let renewed = door.command(&["renew", "--force"]).await;
        assert!(renewed.status.success(), "{renewed:?}");
        let status =
            door.until("no trouble", ORDER, |status| status["troubles"] == serde_json::json!([])).await;
        assert_eq!((&status["state"], &status["failures"]), (&"valid".into(), &0.into()));
    }
    inside("test -s \"$0\"/store/live/fullchain.pem");
}

fn with_certificate(panel: &Upstream, pebble: &Pebble, port: u16) -> Settings {
    let settings = Settings::panel(panel.url()).certificate(pebble, &["127.0.0.1"]);
    settings.set("http", "listen", vec![format!("127.0.0.1:{port}")])
}
