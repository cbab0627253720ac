//! Clients and servers of others, through the door: what a library or a browser sees, and not only what a socket sees.

mod browser;
mod curl;
mod early;
mod http2;
mod origins;
mod router;
mod shapes;
mod websocket;

use crate::support::doorman::{Doorman, Settings};
use crate::support::peer;
use crate::support::process::Process;

/// The panel of `tests/peers/panel.mjs` and a door before it, in plain and over TLS.
struct Site {
    door: Doorman,
    _panel: Process,
}

impl Site {
    async fn open() -> Self {
        let (panel, url) = panel().await;
        let settings = Settings::panel(url).set("https", "listen", vec!["127.0.0.1:0"]);
        Self { door: Doorman::start(&settings).await, _panel: panel }
    }

    async fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.door.http().await)
    }

    async fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.door.https().await)
    }
}

/// The panel alone, and its URL.
async fn panel() -> (Process, String) {
    let panel = Process::start("panel.mjs", &mut peer::script("panel.mjs"));
    let url = format!("http://127.0.0.1:{}", peer::announced(&panel).await["tcp"]);
    (panel, url)
}
