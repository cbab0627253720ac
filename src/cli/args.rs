//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::Failure;
use crate::config::{self, Admin};

/// Owns port 80 in front of a proxy panel and keeps its short-lived IP certificate fresh.
#[derive(Debug, Parser)]
#[command(
    name = "doorman",
    version,
    max_term_width = 100,
    after_help = "Without --config, /etc/doorman/doorman.toml is read if it exists. `doorman man` prints the manual page."
)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

const RUN_HELP: &str = "\
Without a configuration --panel is enough, and with --ip it keeps a certificate. RUST_LOG says how much is logged, e.g. \
RUST_LOG=debug. SIGTERM ends it cleanly.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon; what is given here overrules the configuration
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// Show it all on loopback: a sample panel, the door, certificates that live two minutes
    Demo(Demo),
    /// List every problem of the configuration, and what to write instead
    #[command(after_help = "Returns 0 if it can be run, and 78 if not.")]
    Check(File),
    /// Show what the running daemon says
    Status(Status),
    /// Renew the certificate now, and show each step
    Renew(Renew),
    /// Examine the machine: ports, panel, CA, clock, store, Xray, Telegram, and what to do about each
    #[command(
        after_help = "Returns 0 if all is well, 1 if something should be looked at, and 2 if something is broken."
    )]
    Doctor(Doctor),
    /// Try out how alerts arrive
    Alert {
        /// What to do
        #[command(subcommand)]
        what: Alert,
    },
    /// Print a completion script
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
    /// Print the manual page, in roff
    Man,
}

/// `doorman alert`.
#[derive(Debug, Subcommand)]
pub(super) enum Alert {
    /// Send one test message through every configured channel, and say what came of each
    Test(Daemon),
}

/// Where the configuration is.
#[derive(Args, Debug)]
pub(super) struct File {
    /// Configuration, TOML or JSON [default: /etc/doorman/doorman.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// How a command finds the daemon.
#[derive(Args, Debug)]
pub(super) struct Daemon {
    /// The configuration that names the daemon's admin address
    #[command(flatten)]
    pub(super) file: File,
    /// The daemon's admin address: a socket file or a loopback host:port
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<String>,
}

impl Daemon {
    /// Where the daemon is.
    pub(super) fn locate(&self) -> Result<Admin, Failure> {
        Ok(config::admin_address(self.file.config.as_deref(), self.admin.as_deref())?)
    }
}

/// `doorman run`. A flag overrules the file.
#[derive(Args, Debug)]
pub(super) struct Run {
    /// The configuration
    #[command(flatten)]
    pub(super) file: File,
    /// Where the panel is: http://, https:// or unix:/path
    #[arg(long, value_name = "URL")]
    pub(super) panel: Option<String>,
    /// Listen for plain HTTP here (may be repeated)
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Vec<String>,
    /// Listen for HTTPS here (may be repeated)
    #[arg(long, value_name = "ADDR")]
    pub(super) https: Vec<String>,
    /// The IP address to have a certificate for (may be repeated)
    #[arg(long, value_name = "IP")]
    pub(super) ip: Vec<String>,
    /// The CA: letsencrypt, letsencrypt-staging or the URL of an ACME directory
    #[arg(long, value_name = "URL")]
    pub(super) directory: Option<String>,
    /// PEM file with the roots to trust for the CA's own server
    #[arg(long, value_name = "FILE")]
    pub(super) directory_ca: Option<PathBuf>,
    /// Where certificates and state are kept
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
    /// The admin address: a socket file or a loopback host:port
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<String>,
    /// How to write the log
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(super) log: LogFormat,
}

/// `doorman demo`.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Where the front door listens for plain HTTP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(super) http: std::net::SocketAddr,
    /// Where the front door listens for HTTPS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub(super) https: std::net::SocketAddr,
    /// Get the certificates over real ACME, from a `pebble` that is on PATH
    #[arg(long)]
    pub(super) acme: bool,
}

/// `doorman status`.
#[derive(Args, Debug)]
pub(super) struct Status {
    /// The daemon to ask
    #[command(flatten)]
    pub(super) daemon: Daemon,
    /// Print the daemon's answer as it is
    #[arg(long)]
    pub(super) json: bool,
}

/// `doorman renew`.
#[derive(Args, Debug)]
pub(super) struct Renew {
    /// The daemon to ask
    #[command(flatten)]
    pub(super) daemon: Daemon,
    /// Renew even if back-off, Retry-After or a limit of the CA speaks against it
    #[arg(long)]
    pub(super) force: bool,
}

/// `doorman doctor`.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// The daemon to ask, if it runs
    #[command(flatten)]
    pub(super) daemon: Daemon,
    /// Print the findings as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people and journald.
    Text,
    /// One object a line.
    Json,
}
