//! `doorman demo`: the whole thing on loopback, with nothing else installed.

mod commentary;
mod directory;
mod panel;
mod visitor;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::directory::TestCa;
use super::args::{Demo, LogFormat};
use super::{Exit, Failure, log, run};
use crate::config::{self, Config, Flags};
use crate::control::Issuer;

/// How long each certificate lives: it is renewed at half of that.
const LIFE: Duration = Duration::from_secs(120);

/// Runs the demonstration until Ctrl-C.
pub(super) fn run(args: &Demo) -> Result<(), Failure> {
    if std::env::var_os("RUST_LOG").is_some() {
        log::start(LogFormat::Text); // otherwise the commentary is all there is to read
    }
    let home = TempDir::with_prefix("doorman-demo-").map_err(|error| cannot_prepare(&error))?;
    let shutdown = CancellationToken::new();
    let panel = panel::start(shutdown.clone()).map_err(|error| cannot_prepare(&error))?;
    let ca = if args.acme { Some(TestCa::start(home.path(), args.http.port(), LIFE)?) } else { None };
    let config = settings(args, panel, home.path(), ca.as_ref())?;
    free(args.http)?;
    free(args.https)?;

    let scene = commentary::Scene {
        http: args.http,
        https: args.https,
        panel,
        admin: config.admin.clone(),
        store: config.store.dir.clone(),
        life: LIFE,
        acme: ca.as_ref().map(|ca| ca.directory.clone()),
    };
    let narrator = commentary::spawn(scene, shutdown.clone()).map_err(|error| cannot_prepare(&error))?;
    let issuer = if args.acme { Issuer::Acme } else { Issuer::LocalCa { life: LIFE } };
    let ended = crate::run(config, issuer, &shutdown);
    shutdown.cancel();
    let told = narrator.join();
    ended.map_err(|error| run::failed(&error))?;
    told.unwrap_or_else(|_| {
        Err(Failure::new(Exit::Software, "The demo's commentary broke off.", "Please report this."))
    })?;
    // The terminal may be gone.
    let _ = writeln!(std::io::stdout(), "The end. Nothing is left behind.");
    Ok(())
}

/// The configuration, made of the same flags that `doorman run` has.
fn settings(args: &Demo, panel: SocketAddr, home: &Path, ca: Option<&TestCa>) -> Result<Config, Failure> {
    let flags = Flags {
        panel: Some(format!("http://{panel}")),
        listen: vec![args.http.to_string()],
        https: vec![args.https.to_string()],
        ip: identifiers(args).iter().map(IpAddr::to_string).collect(),
        directory: Some(ca.map_or_else(|| directory::UNUSED.to_owned(), |ca| ca.directory.clone())),
        directory_ca: ca.map(|ca| ca.root.clone()),
        store: Some(home.join("store")),
        admin: Some(home.join("admin.sock").to_string_lossy().into_owned()),
    };
    let mut loaded = config::read(None, &flags).map_err(Failure::from)?;
    loaded.config.http.workers = loaded.config.http.workers.min(2);
    Ok(loaded.config)
}

/// What the certificate is for: where the visitors are.
fn identifiers(args: &Demo) -> Vec<IpAddr> {
    let mut addresses = vec![args.http.ip(), args.https.ip()];
    addresses.dedup();
    addresses
}

/// The daemon would wait for a port that is taken; a demonstration should rather say so.
fn free(address: SocketAddr) -> Result<(), Failure> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Unavailable,
            format!("The demo cannot listen on {address}: {error}."),
            "End the program that has the port, or choose others: doorman demo --http 127.0.0.1:8180 --https 127.0.0.1:8543",
        )),
    }
}

fn cannot_prepare(error: &std::io::Error) -> Failure {
    let happened = format!("The demo could not be prepared: {error}.");
    Failure::new(Exit::Io, happened, "See that the directory for temporary files is writable.")
}
