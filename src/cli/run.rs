//! `doorman run`: the daemon.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::args::Run;
use super::{Exit, Failure, log};
use crate::RunError;
use crate::config::{self, Flags};
use crate::control::Issuer;
use crate::proxy::StartError;

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) fn run(args: &Run) -> Result<(), Failure> {
    log::start(args.log);
    let file = args.file.config.clone().or_else(config::default_file);
    let flags = Flags {
        panel: args.panel.clone(),
        listen: args.listen.clone(),
        https: args.https.clone(),
        ip: args.ip.clone(),
        directory: args.directory.clone(),
        directory_ca: args.directory_ca.clone(),
        store: args.store.clone(),
        admin: args.admin.clone(),
    };
    let loaded = config::read(file.as_deref(), &flags).map_err(Failure::from)?;
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let shutdown = CancellationToken::new();
    let signals = Signals { file, flags, shutdown: shutdown.clone() };
    signals.watch().map_err(|source| failed(&RunError::Signals(source)))?;
    crate::run(loaded.config, Issuer::Acme, &shutdown).map_err(|error| failed(&error))
}

/// The words for a daemon that could not run.
pub(super) fn failed(error: &RunError) -> Failure {
    let (exit, remedy) = match error {
        RunError::Start(StartError::Trust(_)) => {
            (Exit::Config, "Correct the file or the path that is named.")
        }
        RunError::Start(StartError::Thread(_)) | RunError::Thread(_) | RunError::Signals(_) => {
            (Exit::Unavailable, "Look at the machine's limits for threads and descriptors.")
        }
        RunError::WorkerDied(_) => (Exit::Software, "Start it again; the log above says what happened."),
    };
    let causes = anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>();
    Failure::new(exit, format!("The daemon cannot run: {}.", causes.join(": ")), remedy)
}

/// What the signals mean.
struct Signals {
    file: Option<std::path::PathBuf>,
    flags: Flags,
    shutdown: CancellationToken,
}

/// The signals that doorman takes.
struct Caught {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl Caught {
    /// Within a runtime.
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }
}

impl Signals {
    /// Catches them from now on, before anything listens, so that none ends the process by itself; a thread follows them
    /// until the daemon was told to end.
    fn watch(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let caught = Caught::new()?;
        drop(within);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(self.follow(caught));
            self.shutdown.cancel();
        })?;
        Ok(())
    }

    async fn follow(&self, mut caught: Caught) {
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                _ = caught.terminate.recv() => break,
                _ = caught.interrupt.recv() => break,
                _ = caught.hangup.recv() => self.look_at_configuration(),
                _ = caught.upgrade.recv() => {
                    warn!("SIGUSR2: this version cannot hand over its sockets; nothing was done");
                }
            }
        }
        info!("asked to end");
    }

    /// Says whether the configuration on disk could be run. It takes effect at the next start.
    fn look_at_configuration(&self) {
        match config::read(self.file.as_deref(), &self.flags) {
            Ok(_) => warn!("SIGHUP: the configuration is good; this version applies it at the next start"),
            Err(problems) => {
                error!("SIGHUP: the configuration is bad and would not start:\n{}", Failure::from(problems));
            }
        }
    }
}
