//! The data plane: the ports, and what comes in through them.
//!
//! It begins to serve before the control plane does anything, needs nothing of it, and only ever reads what it
//! publishes: tokens and the certificate.

mod accept;
mod activity;
mod body;
mod connect;
mod connection;
mod driver;
mod forward;
mod gate;
mod holder;
mod inbound;
mod link;
mod listen;
mod now;
mod pool;
mod respond;
mod service;
mod stream;
mod timer;
mod tls;
mod tunnel;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::connect::Connector;
use self::gate::Gate;
use self::listen::ClaimError;
use self::tls::Terminator;
use self::worker::{Assignment, Plan};
use crate::config::{AllowPaths, Config, Scheme, Upstream};
use crate::shared::cell::Writer;
use crate::shared::challenges::Lookup;
use crate::shared::listeners::{Holder, Kind, Listener, State};
use crate::shared::stats::Counters;
use crate::shared::tls::Served;
use crate::shared::trust::TrustError;

/// Between two tries to claim a port that another program has; the last entry repeats.
const CLAIM_BACKOFF: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// What the data plane is given.
#[derive(Debug)]
pub struct Context {
    /// Tokens to answer.
    pub challenges: Lookup,
    /// The certificate to present.
    pub served: Served,
    /// Where the state of the ports is told.
    pub listeners: Writer<Vec<Listener>>,
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
    listeners: Writer<Vec<Listener>>,
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

/// A port that should be ours.
#[derive(Clone)]
struct Wanted {
    address: SocketAddr,
    kind: Kind,
    tls: Option<Terminator>,
    upstream: usize,
    redirect: bool,
    claimed: bool,
    /// Who has it instead, as the last try found.
    holder: Option<Holder>,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted")
            .field("address", &self.address)
            .field("claimed", &self.claimed)
            .finish_non_exhaustive()
    }
}

impl Plane {
    /// Starts the workers and claims every port that is free.
    ///
    /// # Errors
    /// A worker cannot be started, or an upstream's CA file not be used. Ports that are not free are no error.
    pub fn start(config: &Config, context: Context) -> Result<Self, StartError> {
        let upstreams = upstreams(config)?;
        let acme_upstream = acme_upstream(config)?;
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
            wanted: wanted(config, &Terminator::new(context.served)),
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
        loop {
            let complete = self.wanted.iter().all(|wanted| wanted.claimed);
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                () = any_ended(&mut self.workers) => {
                    return if self.shutdown.is_cancelled() { Ok(()) } else { Err(WorkerDied) };
                }
                () = tokio::time::sleep(pause), if !complete => {
                    self.claim_what_is_free();
                    pause = later.next().copied().unwrap_or(pause);
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
        let mut listeners = Vec::with_capacity(self.wanted.len());
        for wanted in &mut self.wanted {
            if !wanted.claimed {
                match listen::claim(wanted.address, self.workers.len()) {
                    Ok(group) => wanted.hand_out(group, &self.workers),
                    Err(error) => wanted.missed(&error, &self.listeners.load()),
                }
            }
            listeners.push(wanted.listener());
        }
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

impl Wanted {
    fn hand_out(&mut self, group: Vec<std::net::TcpListener>, workers: &[Worker]) {
        self.claimed = true;
        self.holder = None;
        if let Some(Ok(address)) = group.first().map(std::net::TcpListener::local_addr) {
            self.address = address;
        }
        info!(address = %self.address, kind = ?self.kind, "listening");
        for (socket, worker) in group.into_iter().zip(workers) {
            let assignment = Assignment {
                socket,
                tls: self.tls.clone(),
                upstream: self.upstream,
                redirect: self.redirect,
            };
            if worker.assignments.send(assignment).is_err() {
                error!("a worker is gone"); // `hold` ends the process
            }
        }
    }

    /// Finds out who has the port, and says it when that is news.
    fn missed(&mut self, error: &ClaimError, known: &[Listener]) {
        self.holder = match error {
            ClaimError::Taken => holder::of(self.address),
            ClaimError::NotAllowed | ClaimError::NotHere | ClaimError::Bind(_) => None,
        };
        let news = !known.iter().any(|known| known.address == self.address && known.holder == self.holder);
        if news {
            let holder = self.holder.as_ref();
            let pid = holder.and_then(|holder| holder.pid);
            let program = holder.and_then(|holder| holder.program.as_deref());
            let unit = holder.and_then(|holder| holder.unit.as_deref());
            warn!(address = %self.address, %error, pid, program, unit, "this port is not ours yet; trying again until it is");
        }
    }

    fn listener(&self) -> Listener {
        let state = if self.claimed { State::Listening } else { State::Waiting };
        Listener { address: self.address, kind: self.kind, state, holder: self.holder.clone() }
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

/// The panel first, then the forwards, as [`Wanted::upstream`] counts them.
fn upstreams(config: &Config) -> Result<Vec<(Upstream, Connector)>, TrustError> {
    let forwards = config.forwards.iter().map(|forward| &forward.upstream);
    std::iter::once(&config.panel)
        .chain(forwards)
        .map(|upstream| Ok((upstream.clone(), Connector::new(&upstream.scheme)?)))
        .collect()
}

/// The other ACME client, spoken to with the panel's time limits.
fn acme_upstream(config: &Config) -> Result<Option<(Upstream, Connector)>, TrustError> {
    let Some(address) = config.http.acme_upstream.clone() else {
        return Ok(None);
    };
    let upstream = Upstream {
        scheme: Scheme::Http,
        address,
        base_path: "/".to_owned(),
        allow_paths: AllowPaths::Everything,
        ..config.panel.clone()
    };
    let connector = Connector::new(&upstream.scheme)?;
    Ok(Some((upstream, connector)))
}

fn wanted(config: &Config, terminator: &Terminator) -> Vec<Wanted> {
    let http = config.http.listen.iter().map(|address| (*address, Kind::Http, false, 0));
    let https = config.https.listen.iter().map(|address| (*address, Kind::Https, true, 0));
    let forwards = config.forwards.iter().enumerate().flat_map(|(index, forward)| {
        forward.listen.iter().map(move |address| (*address, Kind::Forward, forward.tls, index + 1))
    });
    http.chain(https)
        .chain(forwards)
        .map(|(address, kind, tls, upstream)| Wanted {
            address,
            kind,
            tls: tls.then(|| terminator.clone()),
            upstream,
            redirect: kind == Kind::Http && config.http.redirect_to_https,
            claimed: false,
            holder: None,
        })
        .collect()
}
