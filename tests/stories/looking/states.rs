//! The page in a browser when something is wrong: it has to be read just then.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinHandle;

use super::page::{looked, sound};
use crate::acme::life::Clock;
use crate::support::client::get;
use crate::support::doorman::{Doorman, Settings};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::free_port;
use crate::support::pebble::{Pebble, Terms};
use crate::support::upstream::Upstream;

const ORDER: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// On a phone in the dark and on a desk by day, in one language each.
const VIEWS: [&str; 2] = ["zh-CN/dark/phone", "en/light/desk"];

#[tokio::test]
async fn the_page_is_whole_while_the_certificate_fails_gets_critical_and_expires() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let proxy = FaultProxy::before(&pebble).await;
    let clock = Clock::new();
    let launcher = clock.launcher();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let settings = Settings::panel(panel.url())
        .certificate(&pebble, &["127.0.0.1"])
        .set("http", "listen", vec![format!("127.0.0.1:{port}")])
        .through(&proxy);
    let door = Doorman::start_by(&launcher, &settings).await;
    door.reaches("valid", ORDER).await;
    for _ in 0..40 {
        get(([127, 0, 0, 1], port).into(), "/").await;
    }
    let page = Bridge::to(door.admin_socket()).await;
    let pictures = TempDir::new().unwrap();

    proxy.break_down(Fault::page(503, "", "down"));
    for (hours, state, chinese, english) in [
        (100, "failed", ["续期失败", "现在无法使用 CA："], ["failed", "the CA cannot be used now: "]),
        (140, "critical", ["即将过期", "证书即将过期"], ["critical", "The certificate is about to expire"]),
        (161, "expired", ["已过期", "本地 CA"], ["expired", "The certificate has expired"]),
    ] {
        clock.set(HOUR * hours);
        proxy.set_clock_ahead(HOUR * hours);
        door.until(state, ORDER, |status| {
            status["state"] == state && status["renewal"]["outcome"] == "failed"
        })
        .await;
        let views = page.shows(pictures.path(), state, (&chinese, &english)).await;
        for view in views {
            let words = view["words"].as_str().unwrap();
            let stand_in = ["29 天", "29 days"].iter().any(|days| words.contains(days));
            assert!(!stand_in, "the days of what stands in are no good news: {words}");
        }
    }
}

#[tokio::test]
async fn the_page_is_whole_while_the_certificate_is_over_and_nothing_stands_in() {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms::quick(port)).await;
    let proxy = FaultProxy::before(&pebble).await;
    let clock = Clock::new();
    let launcher = clock.launcher();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let settings = Settings::panel(panel.url())
        .certificate(&pebble, &["127.0.0.1"])
        .set("ip_cert", "fallback_action", "none")
        .set("http", "listen", vec![format!("127.0.0.1:{port}")])
        .through(&proxy);
    let door = Doorman::start_by(&launcher, &settings).await;
    door.reaches("valid", ORDER).await;
    let page = Bridge::to(door.admin_socket()).await;
    let pictures = TempDir::new().unwrap();

    proxy.break_down(Fault::page(503, "", "down"));
    clock.set(HOUR * 161);
    proxy.set_clock_ahead(HOUR * 161);
    door.until("expired", ORDER, |status| {
        status["state"] == "expired" && status["renewal"]["outcome"] == "failed"
    })
    .await;

    let chinese = ["已过期", "访问者看到的是已过期的证书", "Pebble"];
    let english = ["expired", "Visitors see the expired one.", "Pebble"];
    for view in page.shows(pictures.path(), "none", (&chinese, &english)).await {
        let words = view["words"].as_str().unwrap();
        for stand_in in ["顶替", "stands in", "29 天", "29 d"] {
            assert!(!words.contains(stand_in), "{stand_in} is in\n{words}");
        }
    }
}

#[tokio::test]
async fn the_page_is_whole_while_another_program_has_the_port_and_while_a_ca_is_silent() {
    let panel = Upstream::panel().await;
    let pictures = TempDir::new().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let held = holder.local_addr().unwrap().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = |listen: &str| {
        Settings::panel(panel.url())
            .set("http", "listen", vec![listen])
            .set("ip_cert", "ip", "127.0.0.1")
            .set("ip_cert", "directory", format!("https://{}/dir", silent.local_addr().unwrap()))
    };

    let door = Doorman::start_waiting(&settings(&held)).await;
    door.until("who has the port", ORDER, |status| status["listeners"][0]["holder"].is_object()).await;
    let page = Bridge::to(door.admin_socket()).await;
    let chinese = ["不会申请证书", "占用者："];
    page.shows(pictures.path(), "port", (&chinese, &["no order is made", "is held by"])).await;
    drop(door);

    let door = Doorman::start(&settings("127.0.0.1:0")).await;
    door.reaches("renewing", ORDER).await;
    let page = Bridge::to(door.admin_socket()).await;
    page.shows(
        pictures.path(),
        "renewing",
        (&["续期中", "正在申请第一张证书"], &["renewing", "waiting"][..1]),
    )
    .await;
}

/// A door's socket file, for a browser.
struct Bridge {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Bridge {
    async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let socket = socket.clone();
                tokio::spawn(async move {
                    let Ok(mut far) = UnixStream::connect(socket).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, task }
    }

    /// Both views are sound, and say this in their languages.
    async fn shows(&self, pictures: &Path, name: &str, (chinese, english): (&[&str], &[&str])) -> Vec<Value> {
        let pictures = pictures.join(name);
        std::fs::create_dir(&pictures).unwrap();
        let url = format!("http://{}/", self.address);
        let views: Vec<Value> = looked(&url, &pictures, &VIEWS).await;
        assert_eq!(views.len(), VIEWS.len());
        for view in &views {
            sound(view, &url);
            let words = view["words"].as_str().unwrap();
            let parts = if view["lang"] == "en" { english } else { chinese };
            for part in parts {
                assert!(words.contains(part), "{part} is not in\n{words}");
            }
        }
        views
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}
