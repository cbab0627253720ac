//! A real ACME server for the demo: Pebble, from PATH.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::json;

use crate::cli::{Exit, Failure};

/// A directory for the daemon of a demo that has no ACME: nobody asks it.
pub(super) const UNUSED: &str = "https://localhost/directory";

/// How long Pebble may take to listen.
const START: Duration = Duration::from_secs(10);

/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(50);

/// A running Pebble; it ends with this.
pub(super) struct TestCa {
    process: Child,
    /// Its directory.
    pub(super) directory: String,
    /// The PEM file with the root of its own server's certificate.
    pub(super) root: PathBuf,
}

impl TestCa {
    /// Starts Pebble with its files in `home`. It validates on `http_port` and issues certificates of `life`.
    pub(super) fn start(home: &Path, http_port: u16, life: Duration) -> Result<Self, Failure> {
        let (acme, management) = free_ports().map_err(|error| cannot_start(&error.to_string()))?;
        let root = identity(home).map_err(|error| cannot_start(&error.to_string()))?;
        let settings = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": root,
            "privateKey": home.join("pebble.key"),
            "httpPort": http_port,
            "tlsPort": 5001,
            "certificateValidityPeriod": life.as_secs(),
            "profiles": { "shortlived": { "description": "as short as the demo", "validityPeriod": life.as_secs() } },
        }});
        let file = home.join("pebble.json");
        fs::write(&file, settings.to_string()).map_err(|error| cannot_start(&error.to_string()))?;
        let log = File::create(home.join("pebble.log")).map_err(|error| cannot_start(&error.to_string()))?;
        let process = Command::new("pebble")
            .arg("-config")
            .arg(&file)
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(log)
            .spawn()
            .map_err(|error| not_found(&error))?;
        let mut ca = Self { process, directory: format!("https://127.0.0.1:{acme}/dir"), root };
        ca.wait_for(acme)?;
        Ok(ca)
    }

    fn wait_for(&mut self, port: u16) -> Result<(), Failure> {
        for _ in 0..START.as_millis() / LOOK.as_millis() {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(cannot_start(&format!("it ended at once, {status}")));
            }
            std::thread::sleep(LOOK);
        }
        Err(cannot_start("it does not listen"))
    }
}

impl Drop for TestCa {
    fn drop(&mut self) {
        // It may have ended by itself, with the same Ctrl-C.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A self-signed pair for Pebble's own server; the path of the certificate.
fn identity(home: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
    let certificate = params.self_signed(&key)?;
    let path = home.join("pebble.pem");
    fs::write(&path, certificate.pem())?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(home.join("pebble.key"))?;
    file.write_all(key.serialize_pem().as_bytes())?;
    Ok(path)
}

/// Two ports that nobody has.
fn free_ports() -> std::io::Result<(u16, u16)> {
    let (first, second) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

fn not_found(error: &std::io::Error) -> Failure {
    let happened = format!("Pebble could not be started: {error}.");
    Failure::new(
        Exit::Unavailable,
        happened,
        "Install it (apt install pebble), or run the demo without --acme.",
    )
}

fn cannot_start(why: &str) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format!("Pebble could not be prepared: {why}."),
        "Run the demo without --acme.",
    )
}
