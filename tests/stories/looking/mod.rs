//! What an administrator can look at: the page, the metrics, the log; and who may.

mod guard;
mod logs;
mod metrics;
mod page;
mod states;

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::client::{Connection, Message};
use crate::support::doorman;
use crate::support::process::Process;
use crate::support::{free_port, until};

/// A doorman whose admin interface is a port on loopback.
struct OverTcp {
    admin: SocketAddr,
    process: Process,
    _home: TempDir,
}

impl OverTcp {
    /// With a panel, and this after `[admin] listen = …` in the configuration.
    async fn start(panel: &str, more: &str) -> Self {
        Self::start_listening(panel, &format!("{more}\n[http]\nlisten = [\"127.0.0.1:0\"]")).await
    }

    /// The same with an `[http]` in `more`.
    async fn start_listening(panel: &str, more: &str) -> Self {
        let home = TempDir::new().unwrap();
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let file = home.path().join("doorman.toml");
        let store = home.path().join("store");
        let text = format!(
            "panel.upstream = {panel:?}\nstore.dir = {store:?}\n[admin]\nlisten = \"{admin}\"\n{more}\n"
        );
        std::fs::write(&file, text).unwrap();
        let process = doorman::start(&["run", "--config", file.to_str().unwrap()]);
        let door = Self { admin, process, _home: home };
        until("the admin port answers", Duration::from_secs(10), async || {
            TcpStream::connect(door.admin).await.ok()
        })
        .await;
        door
    }

    /// One request with these lines after the request line; the Host is one of them.
    async fn ask(&self, request: &str, fields: &[&str]) -> Message {
        let mut connection = Connection::open(self.admin).await;
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        connection.send(format!("{request} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n")).await;
        connection.answer().await
    }

    fn host(&self) -> String {
        format!("Host: {}", self.admin)
    }
}
