//! What one run needs besides the proxies: a directory, a certificate, an upstream.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::args::Args;
use crate::directory::Directory;
use crate::tls::{Client, Pair};
use crate::upstream::{self, Texts};

/// Below the ephemeral ports, so that no outgoing connection takes a proxy's place.
const PORTS: std::ops::Range<u16> = 21_000..29_000;

/// Set up once for all rows.
pub(crate) struct Rig {
    /// Configurations, certificates and temporary files; gone after the run.
    pub(crate) dir: Workdir,
    /// doorman's binary.
    pub(crate) doorman: PathBuf,
    /// The panel behind the proxies.
    pub(crate) upstream: SocketAddr,
    /// Where the proxies listen for HTTP.
    pub(crate) http: SocketAddr,
    /// Where the proxies listen for HTTPS.
    pub(crate) https: SocketAddr,
    /// The ACME server that makes doorman publish a token.
    pub(crate) directory: Directory,
    /// The TLS client of the HTTP/1.1 rows.
    pub(crate) tls: Client,
    /// The TLS client of the HTTP/2 row.
    pub(crate) tls_h2: Client,
    /// The bytes that travel.
    pub(crate) texts: Texts,
    /// The length of one turn.
    pub(crate) turn: Duration,
    /// Requests a second in the open loop, once chosen.
    pub(crate) open_loop_rate: Cell<Option<f64>>,
}

impl Rig {
    /// Builds it; upstream and ACME server run on the current thread from then on.
    ///
    /// # Errors
    /// No free port, no room for files.
    pub(crate) async fn build(args: &Args) -> anyhow::Result<Self> {
        let dir = Workdir::new()?;
        let pair = Pair::issue(dir.path())?;
        let texts = Texts::new();
        let mut ports = PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut free_port =
            || ports.find(|&address| TcpListener::bind(address).is_ok()).context("no free port");
        Ok(Self {
            doorman: args.doorman.clone(),
            upstream: upstream::start(texts.clone()).await?,
            http: free_port()?,
            https: free_port()?,
            directory: Directory::start(pair.acceptor()?).await?,
            tls: pair.client("http/1.1")?,
            tls_h2: pair.client("h2")?,
            texts,
            turn: args.turn,
            open_loop_rate: Cell::new(None),
            dir,
        })
    }
}

/// A directory that is removed with what is in it.
#[derive(Debug)]
pub(crate) struct Workdir(PathBuf);

impl Workdir {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("doorman-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        // Nothing depends on it; the system clears its temporary directory itself.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
