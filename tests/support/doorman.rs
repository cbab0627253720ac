//! The real binary, with a configuration, a store and an admin socket in a directory of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Message, over_unix};
use super::fault_proxy::FaultProxy;
use super::pebble::Pebble;
use super::process::Process;
use super::until;

/// How long a running doorman may take to answer `status` at all.
const START: Duration = Duration::from_secs(10);

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_doorman");

/// A configuration file in the making: values by section and key.
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<&'static str, BTreeMap<&'static str, Value>>);

impl Settings {
    /// Only a panel, and one plain listener on a port that the kernel chooses.
    pub fn panel(upstream: impl Into<String>) -> Self {
        let settings = Self(BTreeMap::new()).set("panel", "upstream", upstream.into());
        settings.set("http", "listen", vec!["127.0.0.1:0"])
    }

    /// Sets one key.
    #[must_use]
    pub fn set(mut self, section: &'static str, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.entry(section).or_default().insert(key, value.into());
        self
    }

    /// A certificate for `ips` from `pebble`, validated on its HTTP port, served by an HTTPS listener.
    #[must_use]
    pub fn certificate(self, pebble: &Pebble, ips: &[&str]) -> Self {
        self.set("ip_cert", "ip", ips.to_vec())
            .set("ip_cert", "directory", pebble.directory())
            .set("ip_cert", "directory_ca", pebble.ca_file().to_str())
            .set("https", "listen", vec!["127.0.0.1:0"])
    }

    /// The same, asked through a proxy that stands before that Pebble.
    #[must_use]
    pub fn through(self, proxy: &FaultProxy) -> Self {
        self.set("ip_cert", "directory", proxy.directory()).set(
            "ip_cert",
            "directory_ca",
            proxy.ca_file().to_str(),
        )
    }

    /// As TOML; the values are written as JSON, which TOML reads alike.
    pub fn toml(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.0 {
            writeln!(text, "[{section}]").unwrap();
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        text
    }
}

/// A running doorman and its directory, which outlives restarts.
#[derive(Debug)]
pub struct Doorman {
    /// The process of the moment.
    pub process: Process,
    home: TempDir,
    store: PathBuf,
}

impl Doorman {
    /// Starts it and waits until its plain listener listens.
    pub async fn start(settings: &Settings) -> Self {
        let doorman = Self::start_waiting(settings).await;
        doorman.listens("http").await;
        doorman
    }

    /// Starts it and waits until it answers `status`, whether or not the ports are its own.
    pub async fn start_waiting(settings: &Settings) -> Self {
        let home = TempDir::new().unwrap();
        let store = home.path().join("store");
        Self::start_at(home, settings, &store).await
    }

    /// Starts it with a store elsewhere.
    pub async fn start_with_store(settings: &Settings, store: &Path) -> Self {
        let doorman = Self::start_at(TempDir::new().unwrap(), settings, store).await;
        doorman.listens("http").await;
        doorman
    }

    /// Starts it with a store elsewhere, by way of another program.
    pub async fn start_with_store_by(launcher: &[&str], settings: &Settings, store: &Path) -> Self {
        let doorman = Self::launch(TempDir::new().unwrap(), settings, store, launcher).await;
        doorman.listens("http").await;
        doorman
    }

    /// The same, and waits only until it answers `status`.
    pub async fn start_waiting_with_store(settings: &Settings, store: &Path) -> Self {
        Self::start_at(TempDir::new().unwrap(), settings, store).await
    }

    /// Starts it by way of another program that becomes it: `prlimit`, `unshare`.
    pub async fn start_by(launcher: &[&str], settings: &Settings) -> Self {
        let doorman = Self::start_waiting_by(launcher, settings).await;
        doorman.listens("http").await;
        doorman
    }

    /// As [`Self::start_by`], whether or not the ports are its own.
    pub async fn start_waiting_by(launcher: &[&str], settings: &Settings) -> Self {
        let home = TempDir::new().unwrap();
        let store = home.path().join("store");
        Self::launch(home, settings, &store, launcher).await
    }

    async fn start_at(home: TempDir, settings: &Settings, store: &Path) -> Self {
        Self::launch(home, settings, store, &[]).await
    }

    async fn launch(home: TempDir, settings: &Settings, store: &Path, launcher: &[&str]) -> Self {
        write(home.path(), settings, store);
        let process = run(home.path(), launcher);
        let doorman = Self { process, home, store: store.to_owned() };
        doorman.answers().await;
        doorman
    }

    /// Starts it again after it ended.
    pub async fn start_again(&mut self) {
        assert!(!self.process.is_running(), "it is still running");
        self.process = run(self.home.path(), &[]);
        self.answers().await;
        self.listens("http").await;
    }

    /// The same by way of another program.
    pub async fn start_again_by(&mut self, launcher: &[&str]) {
        assert!(!self.process.is_running(), "it is still running");
        self.process = run(self.home.path(), launcher);
        self.answers().await;
        self.listens("http").await;
    }

    /// Other settings, from the next start on.
    pub fn change(&self, settings: &Settings) {
        write(self.home.path(), settings, &self.store);
    }

    /// The same, and waits only until it answers `status`.
    pub async fn start_again_waiting(&mut self) {
        assert!(!self.process.is_running(), "it is still running");
        self.process = run(self.home.path(), &[]);
        self.answers().await;
    }

    /// Ends it as an administrator does.
    pub async fn stop(&mut self) {
        self.process.signal(rustix::process::Signal::TERM);
        assert!(self.process.ended(START).await.success());
    }

    /// A file of its store.
    pub fn stored(&self, name: &str) -> PathBuf {
        self.store.join(name)
    }

    /// Its admin interface.
    pub fn admin_socket(&self) -> PathBuf {
        self.home.path().join("admin.sock")
    }

    /// Its configuration file.
    pub fn settings_file(&self) -> PathBuf {
        self.home.path().join("doorman.toml")
    }

    /// What `GET /status` says, or `None` while it does not answer.
    pub async fn try_status(&self) -> Option<Value> {
        let answer = over_unix(&self.home.path().join("admin.sock"), "GET", "/status").await?;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        Some(serde_json::from_slice(&answer.body).expect("JSON"))
    }

    /// What `GET /status` says.
    pub async fn status(&self) -> Value {
        self.try_status().await.expect("the admin socket answers")
    }

    /// Any request to the admin socket.
    pub async fn admin(&self, method: &str, target: &str) -> Message {
        over_unix(&self.home.path().join("admin.sock"), method, target)
            .await
            .expect("the admin socket answers")
    }

    /// A counter or gauge of `GET /metrics` without labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.admin("GET", "/metrics").await;
        let line = page.text().lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Waits until `GET /status` is such that `is` holds.
    pub async fn until(&self, what: &str, limit: Duration, is: impl Fn(&Value) -> bool) -> Value {
        let what = format!("status says {what}");
        let mut last = Value::Null;
        let found = until_or(limit, async || {
            last = self.status().await;
            is(&last).then(|| last.clone())
        })
        .await;
        found.unwrap_or_else(|| panic!("waited {limit:?} in vain until {what}; it said {last:#}"))
    }

    /// Waits for one of the five words.
    pub async fn reaches(&self, state: &str, limit: Duration) -> Value {
        self.until(&format!("state {state:?}"), limit, |status| status["state"] == state).await
    }

    /// The address of its first plain listener.
    pub async fn http(&self) -> SocketAddr {
        self.listens("http").await
    }

    /// The address of its first HTTPS listener.
    pub async fn https(&self) -> SocketAddr {
        self.listens("https").await
    }

    /// Waits for a listener of this kind and says where it is.
    pub async fn listens(&self, kind: &str) -> SocketAddr {
        let status =
            self.until(&format!("a {kind} listener"), START, |status| listener(status, kind).is_some()).await;
        listener(&status, kind).expect("just seen")
    }

    /// Runs a command against this daemon.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        let file = self.settings_file();
        let mut all = arguments.to_vec();
        all.extend(["--config", file.to_str().unwrap()]);
        command(&all).await
    }

    async fn answers(&self) {
        until("it answers status", START, async || self.try_status().await).await;
    }
}

/// Runs the binary to its end.
pub async fn command(arguments: &[&str]) -> Output {
    command_in("C", arguments).await
}

/// The same on a terminal of this locale.
pub async fn command_in(locale: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).env("NO_COLOR", "1").env("LC_ALL", locale);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Starts the binary with these arguments, to be looked at while it runs.
pub fn start(arguments: &[&str]) -> Process {
    launch(&[], arguments)
}

fn write(home: &Path, settings: &Settings, store: &Path) {
    let settings = settings.clone().set("admin", "listen", home.join("admin.sock").to_str()).set(
        "store",
        "dir",
        store.to_str(),
    );
    std::fs::write(home.join("doorman.toml"), settings.toml()).unwrap();
}

fn run(home: &Path, launcher: &[&str]) -> Process {
    launch(launcher, &["run", "--config", home.join("doorman.toml").to_str().unwrap()])
}

fn launch(launcher: &[&str], arguments: &[&str]) -> Process {
    let mut words = launcher.iter().chain([&BINARY]);
    let mut command = Command::new(words.next().expect("at least the binary"));
    Process::start("doorman", command.args(words).args(arguments).env("NO_COLOR", "1").env("LC_ALL", "C"))
}

fn listener(status: &Value, kind: &str) -> Option<SocketAddr> {
    let all = status["listeners"].as_array()?;
    let ours = all.iter().find(|listener| listener["kind"] == kind && listener["state"] == "listening")?;
    ours["address"].as_str()?.parse().ok()
}

async fn until_or<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    tokio::time::timeout(limit, until("it is so", limit * 2, async || look().await)).await.ok()
}
