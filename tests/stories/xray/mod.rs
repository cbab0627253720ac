//! Xray serves the new certificate and nobody is cut off: told with the real Xray, its real client, and data under way.

mod again;
mod api;
mod arrivals;
mod files;
mod hourly;
mod lasting;
mod late;
mod looking;
mod misfortunes;
mod visitor;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::doorman::{Doorman, Settings};
use crate::support::free_port;
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::Upstream;
use crate::support::xray::{Inbound, Xray, files, files_with, inline};

/// An order with Pebble takes two or three seconds; a busy machine may need more.
const ORDER: Duration = Duration::from_secs(60);

/// What is added or changed is seen within ten seconds, and a busy machine is slow.
const NOTICED: Duration = Duration::from_secs(60);

/// A door with a certificate, and a CA that makes more of them.
struct Site {
    door: Doorman,
    pebble: Pebble,
    _panel: Upstream,
}

impl Site {
    /// With a certificate in its store; `more` adds to the settings.
    async fn open(xray: &Xray, more: impl FnOnce(Settings) -> Settings) -> Self {
        Self::open_with(xray, Terms::quick, more).await
    }

    /// With a CA of these terms.
    async fn open_with(
        xray: &Xray,
        terms: impl FnOnce(u16) -> Terms,
        more: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        Self::build(&[], xray, terms, more).await
    }

    /// By way of another program that becomes doorman.
    async fn open_by(launcher: &[&str], xray: &Xray, more: impl FnOnce(Settings) -> Settings) -> Self {
        Self::build(launcher, xray, Terms::quick, more).await
    }

    async fn build(
        launcher: &[&str],
        xray: &Xray,
        terms: impl FnOnce(u16) -> Terms,
        more: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let panel = Upstream::panel().await;
        let port = free_port();
        let pebble = Pebble::start(terms(port)).await;
        let settings = Settings::panel(panel.url())
            .certificate(&pebble, &["127.0.0.1"])
            .set("http", "listen", vec![format!("127.0.0.1:{port}")])
            .set("xray", "config", xray.config().to_str());
        open(pebble.ca_file().parent().unwrap(), 0o711);
        let door = Doorman::start_by(launcher, &more(settings)).await;
        door.reaches("valid", ORDER).await;
        Self { door, pebble, _panel: panel }
    }

    fn certificate(&self) -> PathBuf {
        self.door.stored("live/fullchain.pem")
    }

    fn key(&self) -> PathBuf {
        self.door.stored("live/privkey.pem")
    }

    /// The certificate in two files that Xray reads each second.
    fn files(&self) -> Value {
        serde_json::json!([files(&self.certificate(), &self.key())])
    }

    fn files_with(&self, settings: &Value) -> Value {
        serde_json::json!([files_with(&self.certificate(), &self.key(), settings)])
    }

    fn inline(&self) -> Value {
        serde_json::json!([inline(&self.certificate(), &self.key())])
    }

    /// Renews, and says which leaf came of it.
    async fn renew(&self) -> String {
        let answer = self.door.admin("POST", "/renew?force=true").await;
        assert_eq!(answer.status(), 202, "{}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        let status = self
            .door
            .until("the renewal succeeded", ORDER, |status| {
                status["renewal"]["id"] == said["renewal"] && status["renewal"]["outcome"] == "renewed"
            })
            .await;
        status["certificate"]["fingerprint_sha256"].as_str().unwrap().to_owned()
    }

    /// Waits until an inbound serves what it should, in doorman's eyes.
    async fn serves(&self, tag: &str, serves: &str, limit: Duration) -> Value {
        let what = format!("{tag} is {serves}");
        let status = self.door.until(&what, limit, |status| entry(status, tag)["serves"] == serves).await;
        entry(&status, tag).clone()
    }
}

fn open(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What `status` says of an inbound.
fn entry<'a>(status: &'a Value, tag: &str) -> &'a Value {
    let all = status["xray"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|entry| entry["tag"] == tag).unwrap_or(&Value::Null)
}

/// Starts Xray once the certificate is there, without which it would not start.
async fn begin(xray: &mut Xray, inbounds: Vec<Inbound>) {
    xray.inbounds = inbounds;
    xray.write();
    xray.run().await;
}
