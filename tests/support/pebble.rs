//! Let's Encrypt's own test CA, the real program, on ports of its own.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustls::ClientConfig;
use tempfile::TempDir;

use super::client::Connection;
use super::free_port;
use super::network::Network;
use super::process::Process;
use super::tls::{self, Pair};

/// A running Pebble. It forgets accounts and makes new roots at each start.
#[derive(Debug)]
pub struct Pebble {
    process: Option<Process>,
    files: TempDir,
    terms: Terms,
    listen: SocketAddr,
    management: SocketAddr,
    client: ClientConfig,
    /// What starts it elsewhere.
    launcher: Vec<String>,
}

/// What this CA is like.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Where it looks for challenges.
    pub http_port: u16,
    /// Where it looks for those over TLS.
    pub tls_port: u16,
    /// Percent of good nonces that it refuses.
    pub nonce_reject: u8,
    /// Percent of authorizations that it uses again.
    pub authz_reuse: u8,
    /// How long a certificate of the profile `shortlived` lives.
    pub life: Duration,
    /// Seconds of Retry-After while an authorization and while an order is pending.
    pub retry_after: (u64, u64),
    /// Seconds before it comes to validate: anything below, for each of the three who come; 0: at once.
    pub sleep: u8,
    /// What a new account must be bound to.
    pub binding: Option<Binding>,
    /// Which Pebble.
    pub version: Version,
}

/// An account elsewhere that new ones are bound to (RFC 8555 section 7.3.4).
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its name.
    pub id: &'static str,
    /// Its key, base64url.
    pub key: &'static str,
}

/// Which Pebble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Built by `tests/run`, with profiles and renewal windows.
    Current,
    /// Debian's 2.4, without both.
    Debian,
}

impl Terms {
    /// As Let's Encrypt is, but quick: 160 hours, and a second between two looks.
    pub fn quick(http_port: u16) -> Self {
        Self {
            http_port,
            tls_port: 1, // nobody listens there
            nonce_reject: 0,
            authz_reuse: 0,
            life: Duration::from_secs(160 * 3600),
            retry_after: (1, 1),
            sleep: 0,
            binding: None,
            version: Version::Current,
        }
    }

    /// The same with Debian's Pebble.
    pub fn of_debian(self) -> Self {
        Self { version: Version::Debian, ..self }
    }
}

impl Pebble {
    /// Starts one.
    pub async fn start(terms: Terms) -> Self {
        let mut pebble = Self::stopped(terms);
        pebble.run().await;
        pebble
    }

    /// One that has a port and a CA file, and does not run yet.
    pub fn stopped(terms: Terms) -> Self {
        Self::stopped_at(terms, SocketAddr::from(([127, 0, 0, 1], free_port())), "localhost")
    }

    /// Starts one in a network of its own, where it has this address and this name.
    pub async fn start_in(network: &Network, terms: Terms, listen: SocketAddr, name: &str) -> Self {
        let mut pebble = Self { launcher: network.launcher(), ..Self::stopped_at(terms, listen, name) };
        pebble.run().await;
        pebble
    }

    fn stopped_at(terms: Terms, listen: SocketAddr, name: &str) -> Self {
        let files = TempDir::new().unwrap();
        let pair = Pair::for_names(&["127.0.0.1", name]);
        for (name, text) in [("ca.pem", &pair.ca), ("cert.pem", &pair.certificate), ("key.pem", &pair.key)] {
            std::fs::write(files.path().join(name), text).unwrap();
        }
        let management = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let client = tls::trusting(&pair.ca, &["http/1.1"]);
        Self { process: None, files, terms, listen, management, client, launcher: Vec::new() }
    }

    /// Starts it, after [`Pebble::stopped`] or [`Pebble::stop`].
    pub async fn run(&mut self) {
        let settings = self.files.path().join("pebble.json");
        std::fs::write(&settings, self.settings()).unwrap();
        let program = self.terms.version.program();
        let mut words = self.launcher.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command
            .args(words)
            .arg("-config")
            .arg(settings)
            .env("PEBBLE_VA_NOSLEEP", if self.terms.sleep == 0 { "1" } else { "0" })
            .env("PEBBLE_VA_SLEEPTIME", self.terms.sleep.to_string())
            .env("PEBBLE_WFE_NONCEREJECT", self.terms.nonce_reject.to_string())
            .env("PEBBLE_AUTHZREUSE", self.terms.authz_reuse.to_string());
        let process = Process::start("pebble", &mut command);
        process.says("ACME directory available at", Duration::from_secs(10)).await;
        self.process = Some(process);
    }

    /// Ends it; its port then refuses.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The directory's URL.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.listen)
    }

    /// PEM file with the CA that its API is served under.
    pub fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// Where its API is.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Who trusts the certificate of its API.
    pub fn client(&self) -> &ClientConfig {
        &self.client
    }

    /// Other terms, from the next start on.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Has it say `answer` when it is asked when to renew `certificate` (PEM).
    pub async fn set_renewal_info(&self, certificate: &str, answer: &serde_json::Value) {
        let body =
            serde_json::json!({ "certificate": certificate, "ariResponse": answer.to_string() }).to_string();
        let stream = tls::connect(self.management, &self.client).await.unwrap();
        let mut management = Connection::over(stream);
        let length = body.len();
        management
            .send(format!(
                "POST /set-renewal-info/ HTTP/1.1\r\nHost: pebble\r\nUser-Agent: story\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        let answer = management.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }

    /// The root that its certificates end at, in PEM.
    pub async fn root(&self) -> String {
        let stream = tls::connect(self.management, &self.client).await.unwrap();
        let answer = Connection::over(stream).get("/roots/0").await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text().to_owned()
    }

    /// What it logged since its last start.
    pub fn log(&self) -> Vec<String> {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// How many log lines contain `part`.
    pub fn count(&self, part: &str) -> usize {
        self.log().iter().filter(|line| line.contains(part)).count()
    }

    /// Certificates issued since its last start.
    pub fn issued(&self) -> usize {
        self.count("Issued certificate serial")
    }

    /// Accounts made since its last start.
    pub fn accounts(&self) -> usize {
        self.count("accounts in memory")
    }

    /// Paths that it asked for to validate a challenge.
    pub fn validated(&self) -> Vec<String> {
        let log = self.log();
        let urls = log.iter().filter_map(|line| line.split_once("Attempting to validate w/ HTTP: "));
        urls.map(|(_, url)| url[url.find("/.well-known/").expect("a challenge")..].trim().to_owned())
            .collect()
    }

    fn settings(&self) -> String {
        let file = |name| self.files.path().join(name);
        serde_json::json!({ "pebble": {
            "listenAddress": self.listen.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": file("cert.pem"),
            "privateKey": file("key.pem"),
            "httpPort": self.terms.http_port,
            "tlsPort": self.terms.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self.terms.binding.is_some(),
            "externalAccountMACKeys": self.terms.binding.map_or_else(
                || serde_json::json!({}),
                |binding| serde_json::json!({ binding.id: binding.key }),
            ),
            "keyAlgorithm": "ecdsa",
            "retryAfter": { "authz": self.terms.retry_after.0, "order": self.terms.retry_after.1 },
            "profiles": {
                "default": { "description": "ninety days", "validityPeriod": 7_776_000 },
                "shortlived": { "description": "short", "validityPeriod": self.terms.life.as_secs() },
            },
        }})
        .to_string()
    }
}

impl Version {
    fn program(self) -> PathBuf {
        let program = match self {
            Self::Current => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/pebble"),
            Self::Debian => PathBuf::from("/usr/bin/pebble"),
        };
        assert!(program.exists(), "Pebble is missing: tests/run installs it");
        program
    }
}
