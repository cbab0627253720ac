//! What holds when a key is not given. `conf/reference.toml` says the same; a test compares the two.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use super::settings::{AccessLog, Admin, AdminAddress, Http, Limits, Rung, Store, Xray};

/// `restart_grace`: how long a panel takes to come back with a request in flight.
pub(super) const RESTART_GRACE: Duration = Duration::from_secs(12);
/// `connect_timeout`.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// `response_timeout`: the longest that any known panel lets a request run.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// `renew_threshold_days`.
pub(super) const RENEW_THRESHOLD_DAYS: usize = 3;
/// `check_interval_hours`: as often as Let's Encrypt wants to be asked for its window.
pub(super) const CHECK_INTERVAL_HOURS: usize = 6;
/// `profile`: the only one in which Let's Encrypt certifies addresses.
pub(super) const PROFILE: &str = "shortlived";
/// `telegram.api_url`.
pub(super) const TELEGRAM_API: &str = "https://api.telegram.org";

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![(Ipv4Addr::UNSPECIFIED, 80).into(), (Ipv6Addr::UNSPECIFIED, 80).into()],
            workers: available_parallelism().map_or(1, NonZero::get),
            redirect_to_https: false,
            acme_webroot: None,
            acme_upstream: None,
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            access_log: AccessLog::Off,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_connections_per_ip: 1024,
            max_tunnels: 4096,
            max_header_bytes: 65_536,
            max_headers: 100,
            max_uri_bytes: 16_384,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(3600),
        }
    }
}

impl Default for Xray {
    fn default() -> Self {
        Self {
            config: PathBuf::from("/usr/local/x-ui/bin/config.json"),
            api: None,
            probe: Vec::new(),
            reload: vec![Rung::Files, Rung::Api, Rung::Restart],
            signal_anyway: false,
            restart_command: ["systemctl", "restart", "x-ui"].map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: AdminAddress::Unix(PathBuf::from("/run/doorman/admin.sock")), token: None }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { dir: PathBuf::from("/var/lib/doorman"), group: None }
    }
}
