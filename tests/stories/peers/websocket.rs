//! Python's `websockets` and Node's `ws`, each with each, in plain and over TLS on both sides of the door.

use std::path::Path;

use tempfile::TempDir;

use crate::support::doorman::{Doorman, Settings};
use crate::support::peer;
use crate::support::process::Process;
use crate::support::tls::Pair;

const CLIENTS: [&str; 2] = ["ws_client.py", "ws_client.mjs"];

#[tokio::test]
async fn pages_speak_with_a_panel_made_with_python_websockets() {
    speaks_with("ws_server.py").await;
}

#[tokio::test]
async fn pages_speak_with_a_panel_made_with_node_ws() {
    speaks_with("ws_server.mjs").await;
}

/// Both clients keep all of their promises, in plain and over TLS, whatever way leads to the panel.
async fn speaks_with(server: &'static str) {
    let files = TempDir::new().unwrap();
    let socket = files.path().join("panel.sock");
    let panel = serve(server, files.path(), &socket);
    let ports = peer::announced(&panel).await;
    let upstreams = [
        format!("http://127.0.0.1:{}", ports["tcp"]),
        format!("https://127.0.0.1:{}", ports["tls"]),
        format!("unix:{}", socket.display()),
    ];
    for upstream in upstreams {
        let settings = Settings::panel(&upstream).set("https", "listen", vec!["127.0.0.1:0"]);
        let door = Doorman::start(&settings).await;
        let urls = [format!("ws://{}", door.http().await), format!("wss://{}", door.https().await)];
        let mut pages = Vec::new();
        for url in &urls {
            for client in CLIENTS {
                pages.push((client, url, Process::start(client, peer::script(client).arg(url))));
            }
        }
        for (client, url, page) in &mut pages {
            let end = page.ended(peer::SCRIPT).await;
            assert!(end.success(), "{client} at {url} before {upstream}: {end}");
            assert!(page.log().iter().any(|line| line.starts_with("all ")), "{client} skipped something");
        }
    }
}

fn serve(server: &'static str, files: &Path, socket: &Path) -> Process {
    let pair = Pair::for_names(&["127.0.0.1"]);
    let (certificate, key) = (files.join("certificate.pem"), files.join("key.pem"));
    std::fs::write(&certificate, &pair.certificate).unwrap();
    std::fs::write(&key, &pair.key).unwrap();
    Process::start(server, peer::script(server).arg(certificate).arg(key).arg(socket))
}
