//! The data plane: the ports, and what comes in through them.
//!
//! It begins to serve before the control plane does anything, needs nothing of it, and only ever reads what it
//! publishes: tokens and the certificate.

mod accept;
mod activity;
mod batch;
mod body;
mod connect;
mod connection;
mod forward;
mod gate;
mod hearing;
mod inbound;
mod line;
mod link;
mod listen;
mod memory;
mod now;
mod park;
mod pool;
mod preface;
mod reading;
mod relay;
mod reread;
mod respond;
mod sending;
mod service;
mod socket;
mod spelled;
mod splice;
mod steer;
mod stream;
mod timer;
mod tls;
mod tunnel;
mod upload;
mod upstreams;
mod wanted;
mod watched;
mod wire;
mod worker;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::gate::Gate;
use self::tls::Terminator;
use self::wanted::Wanted;
use self::worker::{Assignment, Plan};
use crate::config::Config;
use crate::shared::challenges::Lookup;
use crate::shared::listeners::Teller;
use crate::shared::stats::Counters;
use crate::shared::tls::Served;
use crate::shared::trust::TrustError;

/// Between two tries to claim a port that another program has; the last entry repeats.
const CLAIM_BACKOFF: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Between two looks whether another program listens on a port of ours.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// After so long the start is over, and what only it needed can go.
const START: Duration = Duration::from_secs(1);

/// What the data plane is given.
#[derive(Debug)]
pub struct Context {
    /// Tokens to answer.
    pub challenges: Lookup,
    /// The certificate to present.
    pub served: Served,
    /// Where the state of the ports is told.
    pub listeners: Teller,
    /// One set of counters for each worker.
    pub counters: Vec<Arc<Counters>>,
    /// Cancelled when the daemon ends.
    pub shutdown: CancellationToken,
}

/// Why the data plane could not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// A worker's thread could not be made.
    #[error("a worker thread could not be started")]
    Thread(#[source] io::Error),
    /// An upstream's CA file cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// The running data plane.
#[derive(Debug)]
pub struct Plane {
    workers: Vec<Worker>,
    wanted: Vec<Wanted>,
    listeners: Teller,
    shutdown: CancellationToken,
}

/// A thread, and the way to give it listeners.
#[derive(Debug)]
struct Worker {
    thread: JoinHandle<()>,
    assignments: mpsc::UnboundedSender<Assignment>,
    /// Resolves when the thread has ended, for whatever reason.
    ended: oneshot::Receiver<()>,
}

impl Plane {
    /// Starts the workers and claims every port that is free.
    ///
    /// # Errors
    /// A worker cannot be started, or an upstream's CA file not be used. Ports that are not free are no error.
    pub fn start(config: &Config, context: Context) -> Result<Self, StartError> {
        let upstreams = upstreams::all(config)?;
        let acme_upstream = upstreams::acme(config)?;
        let gate = Gate::new(&config.http.limits);
        let mut workers = Vec::with_capacity(context.counters.len());
        for (index, counters) in context.counters.iter().enumerate() {
            let plan = Plan {
                limits: config.http.limits.clone(),
                challenges: context.challenges.clone(),
                acme_webroot: config.http.acme_webroot.as_deref().map(Arc::from),
                acme_upstream: acme_upstream.clone(),
                trusted_proxies: config.http.trusted_proxies.clone(),
                access_log: config.http.access_log,
                upstreams: upstreams.clone(),
                counters: Arc::clone(counters),
                gate: Arc::clone(&gate),
            };
            workers.push(Worker::spawn(index, plan, context.shutdown.clone()).map_err(StartError::Thread)?);
        }
        let mut plane = Self {
            workers,
            wanted: Wanted::all(config, &Terminator::new(context.served, context.challenges)),
            listeners: context.listeners,
            shutdown: context.shutdown,
        };
        plane.claim_what_is_free();
        Ok(plane)
    }

    /// Goes on claiming what is not ours yet, until the daemon ends or a worker has died.
    ///
    /// # Errors
    /// [`WorkerDied`]: the process should end, so that it is started anew.
    pub async fn hold(&mut self) -> Result<(), WorkerDied> {
        let mut later = CLAIM_BACKOFF.iter().skip(1);
        let mut pause = CLAIM_BACKOFF[0];
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        let mut start = std::pin::pin!(tokio::time::sleep(START));
        loop {
            let complete = self.wanted.iter().all(Wanted::is_ours);
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                () = any_ended(&mut self.workers) => {
                    return if self.shutdown.is_cancelled() { Ok(()) } else { Err(WorkerDied) };
                }
                () = tokio::time::sleep(pause), if !complete => {
                    self.claim_what_is_free();
                    pause = later.next().copied().unwrap_or(pause);
                }
                () = &mut start, if !start.is_elapsed() => memory::let_go_of_code(),
                _ = looks.tick() => {
                    self.wanted.iter_mut().for_each(Wanted::look);
                    self.tell();
                }
            }
        }
    }

    /// Waits for the workers after the shutdown was announced.
    pub fn join(self) {
        for worker in self.workers {
            drop(worker.assignments);
            if worker.thread.join().is_err() {
                error!("a worker ended by a panic");
            }
        }
    }

    /// Tries each port that is not ours, and tells what came of it.
    fn claim_what_is_free(&mut self) {
        for wanted in self.wanted.iter_mut().filter(|wanted| !wanted.is_ours()) {
            wanted.claim(&self.workers);
        }
        self.tell();
    }

    fn tell(&self) {
        let listeners: Vec<_> = self.wanted.iter().map(Wanted::listener).collect();
        if **self.listeners.load() != listeners {
            self.listeners.publish(listeners);
        }
    }
}

/// A worker's thread ended without being asked to.
#[derive(Debug, Error)]
#[error("a worker died")]
pub struct WorkerDied;

impl Worker {
    fn spawn(index: usize, plan: Plan, shutdown: CancellationToken) -> io::Result<Self> {
        let (assignments, received) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let _end = end; // dropped with the thread, even when it panics
            if let Err(error) = worker::run(plan, received, &shutdown) {
                error!(%error, "a worker could not run");
            }
        })?;
        Ok(Self { thread, assignments, ended })
    }
}

async fn any_ended(workers: &mut [Worker]) {
    std::future::poll_fn(|cx| {
        let ended =
            workers.iter_mut().any(|worker| std::pin::Pin::new(&mut worker.ended).poll(cx).is_ready());
        if ended { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
