//! `doorman run`: the daemon.

use tokio::signal::unix::{SignalKind, signal};
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
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.watch())
        .map_err(|source| failed(&RunError::Thread(source)))?;
    crate::run(loaded.config, Issuer::Acme, &shutdown).map_err(|error| failed(&error))
}

/// The words for a daemon that could not run.
pub(super) fn failed(error: &RunError) -> Failure {
    let (exit, remedy) = match error {
        RunError::Start(StartError::Trust(_)) => {
            (Exit::Config, "Correct the file or the path that is named.")
        }
        RunError::Start(StartError::Thread(_)) | RunError::Thread(_) => {
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

impl Signals {
    /// Runs until the daemon was told to end. Without its signals a daemon cannot be ended cleanly, so it ends at once.
    fn watch(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Err(error) = runtime.and_then(|runtime| runtime.block_on(self.listen())) {
            error!(%error, "signals cannot be received");
        }
        self.shutdown.cancel();
    }

    async fn listen(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut upgrade = signal(SignalKind::user_defined2())?;
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => self.look_at_configuration(),
                _ = upgrade.recv() => warn!("SIGUSR2: this version cannot hand over its sockets; nothing was done"),
            }
        }
        info!("asked to end");
        Ok(())
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
