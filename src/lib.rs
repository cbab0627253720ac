//! doorman owns port 80 of a small server: it answers ACME challenges, forwards everything else to a panel, and keeps a
//! short-lived certificate for the server's IP address fresh.
//!
//! This page is the map.
//!
//! | room | what is in it |
//! |---|---|
//! | [`cli`] | one file a command: what it prints and returns |
//! | [`config`] | settings as written -> checked, all problems at once -> typed |
//! | [`policy`] | decisions, pure: the certificate's life, what an ACME problem means, routing, header rules |
//! | `machine` | looks at the machine: who listens where, what a process is |
//! | [`shared`] | the corridor between the planes: cells with one writer, counters, the clock |
//! | [`proxy`] | the data plane: the ports and what comes in through them |
//! | [`control`] | the control plane: issue, install, observe, and the admin interface |
//!
//! Two planes that never call each other. The data plane is N threads that serve; it reads what the control plane
//! publishes (tokens, the certificate). The control plane is one supervised thread; it reads what the data plane tells
//! (which ports are ours, counters). Only [`run`] makes the cells between them and hands the writers out.

pub mod cli;
pub mod config;
pub mod control;
mod machine;
pub mod policy;
pub mod proxy;
pub mod shared;

use std::io;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::control::{Answers, Issuer};
use crate::proxy::{Plane, StartError, WorkerDied};
use crate::shared::stats::{Counters, Stats};
use crate::shared::{challenges, clock, listeners, tls};

/// Descriptors that are not for clients: logs, store, admin, the CA, the workers' own. Half of them all if there are few.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Descriptors that one connection may need: the client's and the upstream's.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;

/// Why the daemon ended, other than by being told to.
#[derive(Debug, Error)]
pub enum RunError {
    /// The data plane could not begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A runtime or thread could not be made.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
    /// Without its signals a daemon cannot be ended cleanly.
    #[error("signals could not be caught")]
    Signals(#[source] io::Error),
    /// A worker died; a fresh process serves better than one that is partly dead.
    #[error(transparent)]
    WorkerDied(#[from] WorkerDied),
}

/// Runs the daemon until `shutdown`.
///
/// # Errors
/// It could not begin, or a part of it died that cannot be replaced.
pub fn run(mut config: Config, issuer: Issuer, shutdown: &CancellationToken) -> Result<(), RunError> {
    let started_at = clock::now();
    cap_by_descriptors(&mut config);
    let (publisher, lookup) = challenges::table();
    let answers = Answers::of_before(&config, issuer, publisher); // before anybody can come and ask
    let (certificate, served) = tls::served();
    let (told, listeners) = listeners::board();
    let counters: Vec<_> = (0..config.http.workers).map(|_| Arc::new(Counters::default())).collect();
    let stats = Stats::new(counters.iter().cloned());

    let data =
        proxy::Context { challenges: lookup, served, listeners: told, counters, shutdown: shutdown.clone() };
    let mut plane = Plane::start(&config, data)?;
    let control = control::spawn(control::Context {
        config,
        issuer,
        answers,
        served: certificate,
        listeners,
        stats,
        started_at,
        shutdown: shutdown.clone(),
    })
    .map_err(RunError::Thread)?;

    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Thread)?;
    let held = runtime.block_on(plane.hold());
    shutdown.cancel();
    plane.join();
    if control.join().is_err() {
        warn!("the control plane ended by a panic");
    }
    info!("ended");
    Ok(held?)
}

/// Raises the soft limit of descriptors to the hard one, and lowers `max_connections` to what that allows.
fn cap_by_descriptors(config: &mut Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(descriptors) = descriptors else { return };
    let reserved = RESERVED_DESCRIPTORS.min(descriptors / 2);
    let allowed = (descriptors - reserved) / DESCRIPTORS_PER_CONNECTION;
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX).max(1);
    let limits = &mut config.http.limits;
    if allowed < limits.max_connections {
        info!(
            descriptors,
            allowed,
            configured = limits.max_connections,
            "fewer connections: the descriptor limit"
        );
        limits.max_connections = allowed;
    }
}
