//! A worker: one thread, one current-thread runtime, one pool an upstream. Workers share nothing that a request waits for.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::tls::Terminator;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::accept::{self, Listener, Spare};
use super::activity::Activity;
use super::batch;
use super::connect::Connector;
use super::connection;
use super::gate::Gate;
use super::now;
use super::park::Awake;
use super::pool::Pool;
use super::preface::Complaints;
use super::service::AccessSampler;
use crate::config::{AccessLog, Limits, Network, Upstream};
use crate::shared::challenges::Lookup;
use crate::shared::stats::Counters;

/// How long requests in flight may go on after the daemon was told to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// A table that is used by one part in so many is made smaller.
const SHRINK: usize = 8;

/// What a worker is made of; everything in it can be sent to its thread.
pub(super) struct Plan {
    pub(super) limits: Limits,
    pub(super) challenges: Lookup,
    pub(super) acme_webroot: Option<Arc<std::path::Path>>,
    pub(super) acme_upstream: Option<(Upstream, Connector)>,
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) access_log: AccessLog,
    pub(super) upstreams: Vec<(Upstream, Connector)>,
    pub(super) counters: Arc<Counters>,
    pub(super) gate: Arc<Gate>,
}

/// A listener to serve.
pub(super) struct Assignment {
    pub(super) socket: std::net::TcpListener,
    pub(super) tls: Option<Terminator>,
    /// Index into [`Plan::upstreams`].
    pub(super) upstream: usize,
    pub(super) redirect: bool,
}

/// What all connections of a worker share.
pub(super) struct Worker {
    pub(super) limits: Rc<Limits>,
    pub(super) challenges: Lookup,
    pub(super) acme_webroot: Option<Arc<std::path::Path>>,
    pub(super) acme_upstream: Option<Rc<Pool>>,
    pub(super) access_log: AccessSampler,
    pub(super) counters: Arc<Counters>,
    pub(super) gate: Arc<Gate>,
    pub(super) spare: Spare,
    pub(super) complaints: Complaints,
    pub(super) http: connection::Protocols,
    trusted_proxies: Vec<Network>,
    pub(super) awake: Awake,
    roster: Roster,
}

/// What the connections of one listener share.
pub(super) struct Door {
    pub(super) panel: Rc<Pool>,
    pub(super) tls: Option<Terminator>,
    /// Requests come over TLS.
    pub(super) secure: bool,
    pub(super) redirect: bool,
}

/// Serves what is assigned until `shutdown`, then lets requests in flight end.
///
/// # Errors
/// The runtime could not be made.
pub(super) fn run(
    plan: Plan,
    mut assignments: mpsc::UnboundedReceiver<Assignment>,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(now::look)
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let settings =
            std::iter::once("panel.upstream").chain(std::iter::repeat("forward.upstream")).map(Some);
        let upstreams = plan.upstreams.iter().cloned().zip(settings).map(pool).collect::<Vec<_>>();
        let worker = Rc::new(Worker::new(plan));
        let looked_after = Rc::clone(&worker);
        spawn_local(async move { looked_after.awake.look_after().await });
        spawn_local(batch::run());
        let stop = CancellationToken::new();
        loop {
            let assignment = tokio::select! {
                () = shutdown.cancelled() => break,
                assignment = assignments.recv() => assignment,
            };
            let Some(assignment) = assignment else { break };
            match open(assignment, &upstreams) {
                Ok((listener, door)) => {
                    spawn_local(accept::run(listener, Rc::new(door), Rc::clone(&worker), stop.clone()));
                }
                Err(error) => warn!(%error, "a listener could not be given to a worker"),
            }
        }
        stop.cancel();
        worker.roster.farewell().await;
        batch::send();
        Ok(())
    })
}

/// A pool whose idle connections are looked after.
fn pool(((upstream, connector), setting): ((Upstream, Connector), Option<&'static str>)) -> Rc<Pool> {
    let pool = Pool::new(upstream, connector, setting);
    spawn_local(Rc::clone(&pool).sweep());
    pool
}

fn open(assignment: Assignment, upstreams: &[Rc<Pool>]) -> io::Result<(Listener, Door)> {
    let listener = Listener::new(assignment.socket)?;
    let door = Door {
        panel: Rc::clone(&upstreams[assignment.upstream]),
        secure: assignment.tls.is_some(),
        tls: assignment.tls,
        redirect: assignment.redirect,
    };
    Ok((listener, door))
}

impl Worker {
    fn new(plan: Plan) -> Self {
        Self {
            http: connection::Protocols::new(&plan.limits),
            limits: Rc::new(plan.limits),
            challenges: plan.challenges,
            acme_webroot: plan.acme_webroot,
            acme_upstream: plan.acme_upstream.map(|upstream| pool((upstream, None))),
            access_log: AccessSampler::new(plan.access_log),
            counters: plan.counters,
            gate: plan.gate,
            spare: Spare::default(),
            complaints: Complaints::default(),
            trusted_proxies: plan.trusted_proxies,
            awake: Awake::default(),
            roster: Roster::default(),
        }
    }

    /// Whether what this peer says about its client is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }

    /// The connections that are open.
    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }
}

/// The open connections of a worker.
#[derive(Default)]
pub(super) struct Roster {
    open: RefCell<HashMap<u64, Rc<Activity>>>,
    next: Cell<u64>,
    draining: Cell<bool>,
    /// Requests in flight have no more time.
    cut: Cell<bool>,
    left: Notify,
}

impl Roster {
    /// Adds a connection until the entry is dropped.
    pub(super) fn enter(&self, activity: &Rc<Activity>) -> Entry<'_> {
        let id = self.next.get();
        self.next.set(id + 1);
        self.open.borrow_mut().insert(id, Rc::clone(activity));
        if self.draining.get() {
            activity.drain();
        }
        Entry { roster: self, id }
    }

    /// Whether requests in flight have no more time. An answer that is not whole must not look so then.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Asks all to end, and waits while requests are in flight, but not for long.
    async fn farewell(&self) {
        self.draining.set(true);
        self.open.borrow().values().for_each(|activity| activity.drain());
        // Its turn comes after theirs: idle or not, each has said goodbye then.
        let _ = spawn_local(async {}).await;
        let all_answered = async {
            while self.open.borrow().values().any(|activity| activity.is_busy()) {
                self.left.notified().await;
            }
        };
        if tokio::time::timeout(FAREWELL, all_answered).await.is_err() {
            debug!("requests in flight are cut");
            self.cut.set(true);
            self.open.borrow().values().for_each(|activity| activity.wake());
            let _ = spawn_local(async {}).await; // its turn comes after theirs, too
        }
    }
}

/// A connection's entry in its worker's roster.
pub(super) struct Entry<'a> {
    roster: &'a Roster,
    id: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut open = self.roster.open.borrow_mut();
        open.remove(&self.id);
        if open.capacity() / SHRINK > open.len() {
            let room = 2 * open.len();
            open.shrink_to(room);
        }
        drop(open);
        if self.roster.draining.get() {
            self.roster.left.notify_one();
        }
    }
}
