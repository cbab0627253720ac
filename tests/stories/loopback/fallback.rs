//! A real Xray whose fallback is the door: it has the port that browsers know, and hands on what is not meant for it.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::doorman::{Doorman, Settings};
use crate::support::process::Process;
use crate::support::tls::Pair;
use crate::support::upstream::Upstream;
use crate::support::{free_port, peer, until};

const START: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_browser_that_meets_xray_reaches_the_panel_whatever_xray_says_and_speaks() {
    let panel = Upstream::panel().await;
    let settings = Settings::panel(panel.url()).set("http", "redirect_to_https", true);
    let door = Doorman::start(&settings).await;
    for version in 0..=2 {
        let xray = Xray::start(&door, version).await;
        for (option, protocol) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let said = xray.curl(option).await;
            assert_eq!(said, format!("the panel: GET /login HTTP/1.1 {protocol} 200"), "xver {version}");
            // The second loopback address is curl's, and reaches the panel only by a PROXY header.
            let client = if version == 0 { "127.0.0.1" } else { "127.0.0.2" };
            assert_eq!(panel.seen().last().unwrap().field("x-forwarded-for"), Some(client));
        }
    }
    assert_eq!(door.metric("doorman_proxy_header_errors_total").await, 0);
}

/// An Xray with an inbound of VLESS over TLS.
struct Xray {
    port: u16,
    _process: Process,
    _files: TempDir,
}

impl Xray {
    async fn start(door: &Doorman, version: u8) -> Self {
        let files = TempDir::new().unwrap();
        let pair = Pair::for_names(&["127.0.0.1"]);
        let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
        std::fs::write(&chain, &pair.certificate).unwrap();
        std::fs::write(&key, &pair.key).unwrap();
        let port = free_port();
        let config = json!({
            "inbounds": [{
                "listen": "127.0.0.1",
                "port": port,
                "protocol": "vless",
                "settings": {
                    "clients": [{ "id": "b831381d-6324-4d53-ad4f-8cda48b30811" }],
                    "decryption": "none",
                    "fallbacks": [{ "dest": door.http().await.to_string(), "xver": version }],
                },
                "streamSettings": {
                    "network": "tcp",
                    "security": "tls",
                    "tlsSettings": {
                        "alpn": ["h2", "http/1.1"],
                        "certificates": [{ "certificateFile": chain, "keyFile": key }],
                    },
                },
            }],
            "outbounds": [{ "protocol": "freedom" }],
        });
        let file = files.path().join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new(peer::built("xray"));
        let process = Process::start("xray", command.args(["run", "-c"]).arg(&file));
        until("xray listens", START, async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        Self { port, _process: process, _files: files }
    }

    /// What a browser would get, and how.
    async fn curl(&self, option: &str) -> String {
        let mut command = Command::new("curl");
        command.args([
            "-q",
            "-sSk",
            "--noproxy",
            "*",
            "--max-time",
            "60",
            "--interface",
            "127.0.0.2",
            option,
        ]);
        command.args(["-w", " %{http_version} %{response_code}"]);
        command.arg(format!("https://127.0.0.1:{}/login", self.port));
        let output = peer::run(command).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
