//! The settings as used: typed, checked, complete.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::defaults::PROFILE;
use super::values::{Network, Secret};

/// Everything that the daemon was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[http]`: the listeners that own port 80, and their limits.
    pub http: Http,
    /// `[https]`: listeners that terminate TLS.
    pub https: Https,
    /// `[panel]`: where everything goes that is not a challenge.
    pub panel: Upstream,
    /// `[[forward]]`: further ports that the door takes over.
    pub forwards: Vec<Forward>,
    /// `[ip_cert]`: the certificate to keep fresh; `None` when absent or `enabled = false`.
    pub ip_cert: Option<IpCert>,
    /// `[xray]`: how Xray is found and made to serve the certificate.
    pub xray: Xray,
    /// `[telegram]`: `None` without a token or without chats.
    pub telegram: Option<Telegram>,
    /// `[webhook]`: `None` without a URL.
    pub webhook: Option<Webhook>,
    /// `[admin]`: the interface of `status`, `renew` and the page.
    pub admin: Admin,
    /// `[store]`: where certificates, keys and state are kept.
    pub store: Store,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Addresses to listen on; may be empty.
    pub listen: Vec<SocketAddr>,
    /// Worker threads, already resolved: at least one.
    pub workers: usize,
    /// Answer everything but challenges and loopback peers with a redirect to https.
    pub redirect_to_https: bool,
    /// A directory with tokens of other ACME clients.
    pub acme_webroot: Option<PathBuf>,
    /// `host:port` of another ACME client that answers unknown tokens.
    pub acme_upstream: Option<Address>,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// What a client may use up.
    pub limits: Limits,
    /// What is logged of each request.
    pub access_log: AccessLog,
}

/// The limits of `[http]`, which hold for every listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections open at once, over all workers.
    pub max_connections: usize,
    /// Connections open at once from one address; loopback is exempt.
    pub max_connections_per_ip: usize,
    /// Tunnels (upgraded connections) open at once.
    pub max_tunnels: usize,
    /// Bytes of a request head; beyond: 431. At least 1024, so it may be less than hyper's smallest buffer (8192).
    pub max_header_bytes: usize,
    /// Header lines of a request; beyond: 431.
    pub max_headers: usize,
    /// Bytes of a request target; beyond: 414.
    pub max_uri_bytes: usize,
    /// For a whole request head, from its first byte.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Between two pieces of a body, either way.
    pub body_timeout: Duration,
    /// How long an old generation lets downloads and tunnels live.
    pub drain_timeout: Duration,
}

/// `http.access_log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// No line per request.
    Off,
    /// One request in a hundred.
    Sampled,
    /// Every request.
    Full,
}

/// `[https]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Https {
    /// Addresses to listen on; may be empty.
    pub listen: Vec<SocketAddr>,
    /// A fixed pair (certificate, key) instead of the managed one.
    pub fixed_pair: Option<(PathBuf, PathBuf)>,
}

/// Where an upstream is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An address or a name that is looked up, and a port.
    Tcp {
        /// Without brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// A socket file.
    Unix(PathBuf),
}

/// How an upstream is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheme {
    /// Plain HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https(UpstreamTrust),
}

/// Which certificate an `https://` upstream may present.
#[derive(Clone, Debug, PartialEq)]
pub enum UpstreamTrust {
    /// Any: the default for a loopback upstream.
    Anything,
    /// One that the machine's or the built-in roots vouch for.
    PublicRoots,
    /// One issued by a CA in this PEM file.
    CaFile(PathBuf),
    /// The leaf with this SHA-256.
    Pin([u8; 32]),
}

/// `[panel]`, or the upstream of a `[[forward]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Where it listens.
    pub address: Address,
    /// Where the panel lives: begins and ends with `/`.
    pub base_path: String,
    /// Paths that may pass.
    pub allow_paths: AllowPaths,
    /// How long requests that can be repeated wait while the upstream refuses, counted from its last answer.
    pub restart_grace: Duration,
    /// For a connection to the upstream, TLS included.
    pub connect_timeout: Duration,
    /// Until the response head.
    pub response_timeout: Duration,
}

/// `allow_paths`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowPaths {
    /// Every path passes.
    Everything,
    /// Only these pass; everything else is 404. The entries are relative to `base_path`, without a leading `/`; the
    /// preset `"x-panel"` is already spelled out.
    ///
    /// A path is compared as the panel's router sees it: percent-decoded once. What could be read in two ways never
    /// passes: dot segments, empty segments, backslashes, controls, a second layer of encoding, broken escapes.
    /// `base_path` without its last `/` counts as the base. An entry is exact unless it ends in `/`: `""` is the base
    /// alone, `login` is that path alone, `panel/` is everything below it but not `panel` itself.
    Only(Vec<String>),
}

/// One `[[forward]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Addresses to listen on; at least one.
    pub listen: Vec<SocketAddr>,
    /// Terminate TLS with the managed certificate.
    pub tls: bool,
    /// Where it goes.
    pub upstream: Upstream,
}

/// `[ip_cert]`, when enabled.
#[derive(Clone, Debug, PartialEq)]
pub struct IpCert {
    /// The identifiers, without duplicates; at least one.
    pub ips: Vec<IpAddr>,
    /// The account's contact; may be absent.
    pub email: Option<String>,
    /// Renew without being asked.
    pub auto_renew: bool,
    /// Due at the latest when this much is left.
    pub renew_threshold: Duration,
    /// Longest time between two looks.
    pub check_interval: Duration,
    /// What is served when the certificate has expired.
    pub fallback: Fallback,
    /// Who issues.
    pub directory: Directory,
    /// The profile asked for; `None` asks for none.
    pub profile: Option<Profile>,
    /// External account binding: key identifier and HMAC key (base64url, as the CA gave it).
    pub eab: Option<(String, Secret)>,
    /// A pair to keep current besides the store: certificate, key.
    pub export: Option<Export>,
}

/// `ip_cert.profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `shortlived`, where the CA offers it.
    Usual,
    /// Another one, and none but that.
    Named(String),
}

impl Profile {
    /// As the CA calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Usual => PROFILE,
            Self::Named(name) => name,
        }
    }
}

/// `ip_cert.fallback_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// A leaf of the local CA goes in everywhere.
    SelfSigned,
    /// The expired one stays.
    None,
}

/// `ip_cert.directory` and `directory_ca`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// The ACME directory's URL.
    pub url: String,
    /// PEM file with the roots to trust for it, instead of the public ones.
    pub ca_file: Option<PathBuf>,
}

/// `ip_cert.export_cert` and `export_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Where the chain goes.
    pub certificate: PathBuf,
    /// Where the key goes.
    pub key: PathBuf,
}

/// `[xray]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Xray {
    /// The file that Xray was started with; read only.
    pub config: PathBuf,
    /// The API's address; `None`: from `config`.
    pub api: Option<Address>,
    /// Further `host:port` that must serve the certificate.
    pub probe: Vec<Address>,
    /// The ladder, in order.
    pub reload: Vec<Rung>,
    /// `signal` even to a process that dies of it.
    pub signal_anyway: bool,
    /// What the rung `restart` runs.
    pub restart_command: Vec<String>,
}

/// A rung of `xray.reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Xray reads the files anew by itself.
    Files,
    /// The inbound is made anew over Xray's API.
    Api,
    /// The panel is restarted.
    Restart,
    /// SIGHUP.
    Signal,
}

/// `[telegram]`, when configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Telegram {
    /// The bot's token.
    pub bot_token: Secret,
    /// Who is told; negative for groups.
    pub chat_ids: Vec<i64>,
    /// Language of the texts.
    pub language: Language,
    /// The Bot API's address, without a trailing `/`.
    pub api_url: String,
    /// `socks5://` or `http://` proxy.
    pub proxy: Option<String>,
    /// Say it when a renewal succeeded.
    pub notify_success: bool,
    /// Answer commands; only with a bot of its own.
    pub commands: bool,
}

/// Language of what is sent to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Simplified Chinese, `zh-CN`.
    Chinese,
    /// English, `en`.
    English,
}

impl Language {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Chinese, Self::English];

    /// Its tag (RFC 5646).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// As those who speak it call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chinese => "中文",
            Self::English => "English",
        }
    }

    /// That of a tag, whatever its script or region: `zh-TW` reads zh-CN rather than English.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = |tag: &str| tag.split(['-', '_', '.', '@']).next().unwrap_or(tag).to_ascii_lowercase();
        Self::ALL.into_iter().find(|language| primary(language.tag()) == primary(tag))
    }
}

/// `[webhook]`, when configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where alerts are posted; all but its host is secret.
    pub url: Secret,
    /// Key of the HMAC-SHA256 signature.
    pub secret: Option<Secret>,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// A socket file or a loopback address.
    pub listen: AdminAddress,
    /// Needed for POST over TCP.
    pub token: Option<Secret>,
}

/// `admin.listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A socket file, mode 0660.
    Unix(PathBuf),
    /// A loopback address.
    Tcp(SocketAddr),
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// The directory; made when missing.
    pub dir: PathBuf,
    /// A group that may read `live/`.
    pub group: Option<String>,
}
