//! How a visitor comes to the door, and how the door comes to the panel.

use std::net::SocketAddr;

use rustls::ClientConfig;

use crate::support::doorman::{Doorman, Settings};
use crate::support::recorder::Recorder;
use crate::support::tls;

/// One way from a visitor to the panel and back.
#[derive(Clone, Copy, Debug)]
pub struct Way(Listener, Panel);

/// Where the visitor comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    Http,
    Https,
    /// A `[[forward]]`, whose upstream is another one than the panel.
    Forward,
    /// The same with TLS.
    ForwardTls,
}

/// How the panel is reached.
#[derive(Clone, Copy, Debug)]
enum Panel {
    Tcp,
    /// A socket file.
    Unix,
    Tls,
}

impl Way {
    /// Every listener, and every kind of upstream behind each.
    pub const ALL: [Self; 12] = [
        Self(Listener::Http, Panel::Tcp),
        Self(Listener::Http, Panel::Unix),
        Self(Listener::Http, Panel::Tls),
        Self(Listener::Https, Panel::Tcp),
        Self(Listener::Https, Panel::Unix),
        Self(Listener::Https, Panel::Tls),
        Self(Listener::Forward, Panel::Tcp),
        Self(Listener::Forward, Panel::Unix),
        Self(Listener::Forward, Panel::Tls),
        Self(Listener::ForwardTls, Panel::Tcp),
        Self(Listener::ForwardTls, Panel::Unix),
        Self(Listener::ForwardTls, Panel::Tls),
    ];

    /// Every listener once, and every kind of upstream at least once.
    pub const FEW: [Self; 4] = [
        Self(Listener::Http, Panel::Tcp),
        Self(Listener::Https, Panel::Tls),
        Self(Listener::Forward, Panel::Tls),
        Self(Listener::ForwardTls, Panel::Unix),
    ];

    /// Those of a visitor who speaks HTTP/2.
    pub const MULTIPLEXED: [Self; 3] = [
        Self(Listener::Https, Panel::Tcp),
        Self(Listener::Https, Panel::Tls),
        Self(Listener::ForwardTls, Panel::Unix),
    ];
}

/// A door in front of a recording panel.
pub struct Bench {
    /// How the rows come and go.
    pub way: Way,
    /// Where the visitor comes in.
    pub door: SocketAddr,
    /// How the visitor speaks TLS, with HTTP/1.1.
    pub tls: Option<ClientConfig>,
    /// The upstream of that listener.
    pub panel: Recorder,
    /// The upstream of the other one: of the forward, or of all others.
    pub elsewhere: Recorder,
    #[expect(dead_code, reason = "its drop ends the door")]
    process: Doorman,
}

impl Bench {
    /// A door with every kind of listener.
    pub async fn open(way: Way, change: impl FnOnce(Settings) -> Settings) -> Self {
        let Way(listener, panel) = way;
        let panel = match panel {
            Panel::Tcp => Recorder::listen().await,
            Panel::Unix => Recorder::on_socket(),
            Panel::Tls => Recorder::with_tls().await,
        };
        let elsewhere = Recorder::listen().await;
        let forward = matches!(listener, Listener::Forward | Listener::ForwardTls);
        let (first, second) = if forward { (&elsewhere, &panel) } else { (&panel, &elsewhere) };
        let settings = Settings::panel(&first.url)
            .set("http", "workers", 1)
            .set("https", "listen", vec!["127.0.0.1:0"])
            .set("[forward]", "listen", vec!["127.0.0.1:0"])
            .set("[forward]", "tls", listener == Listener::ForwardTls)
            .set("[forward]", "upstream", second.url.clone());
        let process = Doorman::start(&change(settings)).await;
        let (door, encrypted) = match listener {
            Listener::Http => (process.http().await, false),
            Listener::Https => (process.https().await, true),
            Listener::Forward => (process.listens("forward").await, false),
            Listener::ForwardTls => (process.listens("forward").await, true),
        };
        let tls = encrypted.then(|| tls::trusting_anybody(&["http/1.1"]));
        Self { way, door, tls, panel, elsewhere, process }
    }
}
