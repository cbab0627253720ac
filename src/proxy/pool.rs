//! The connections of one worker to one upstream.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::Extensions;
use tokio::sync::Notify;
use tracing::info;

use super::connect::{ConnectError, Connector, Trouble};
use super::link::Link;
use super::now::{self, Instant};
use super::reread;
use super::stream::buffer_bytes;
use crate::config::Upstream;

/// Connections kept for later; more would be memory for nothing on a small server.
const MAX_IDLE: usize = 128;

/// How long a connection is kept: below the panels' own 120 s, so that they seldom close one that is just being used.
const IDLE_LIFE: Duration = Duration::from_secs(60);

/// Between two looks at idle connections.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Requests that may wait for an upstream that restarts; each holds its client's connection.
const MAX_WAITING: usize = 256;

/// Records of names that are kept: as many as a panel has kinds of answers, or so.
const MAX_RECORDS: usize = 16;

/// Between two tries to reach an upstream that refuses.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The connections of one worker to one upstream.
pub(super) struct Pool {
    upstream: Upstream,
    connector: Connector,
    idle: RefCell<Vec<Idle>>,
    kept_one: Notify,
    last_answer: Cell<Option<Instant>>,
    /// The setting with its URL.
    setting: Option<&'static str>,
    waiting: Cell<usize>,
    /// hyper's records of names that are not in the usual letters, of the answers that were last.
    records: RefCell<Vec<(Vec<u8>, Extensions)>>,
}

struct Idle {
    link: Box<Link>,
    since: Instant,
}

/// A connection in use; goes back to its pool when it is fit for another request.
pub(super) struct Lease {
    link: Option<Box<Link>>,
    pool: Rc<Pool>,
}

impl Pool {
    /// An empty pool. No connection is opened in advance: some panels close silent ones after 5 s.
    pub(super) fn new(upstream: Upstream, connector: Connector, setting: Option<&'static str>) -> Rc<Self> {
        Rc::new(Self {
            upstream,
            connector,
            idle: RefCell::new(Vec::new()),
            kept_one: Notify::new(),
            last_answer: Cell::new(None),
            setting,
            waiting: Cell::new(0),
            records: RefCell::default(),
        })
    }

    /// The settings of the upstream.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// A kept connection that is still good.
    pub(super) fn reuse(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let kept = self.idle.borrow_mut().pop()?;
            if now::since(kept.since) < IDLE_LIFE && kept.link.is_still_open() {
                return Some(Lease { link: Some(kept.link), pool: Rc::clone(self) });
            }
        }
    }

    /// A new connection. With `patient`, an upstream that refuses because it is being restarted is waited for.
    ///
    /// # Errors
    /// What the last try failed with.
    pub(super) async fn open(self: &Rc<Self>, patient: bool) -> Result<Lease, ConnectError> {
        let mut waiting = None;
        loop {
            let error = match self.connector.connect(&self.upstream).await {
                Ok(stream) => {
                    let link = Box::new(Link::new(stream, buffer_bytes(self.in_use())));
                    return Ok(Lease { link: Some(link), pool: Rc::clone(self) });
                }
                Err(error) => error,
            };
            if !(patient && error.is_refusal() && self.may_be_restarting()) {
                return Err(error);
            }
            if waiting.is_none() {
                waiting = Some(Waiting::begin(self).ok_or(error)?);
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
            now::tick();
        }
    }

    /// The upstream has answered: from now on a refusal may be a restart.
    pub(super) fn answered(&self) {
        self.last_answer.set(Some(now::now()));
        if self.connector.told.change_to(Trouble::None) {
            info!(upstream = ?self.upstream.address, "the upstream answers again");
        }
    }

    /// The upstream gave no answer. Whether this is news.
    pub(super) fn failed(&self, trouble: Trouble) -> bool {
        self.connector.told.change_to(trouble)
    }

    /// The setting with its URL, if it has one.
    pub(super) fn setting(&self) -> Option<&'static str> {
        self.setting
    }

    /// Closes what has been idle for too long or was closed by the upstream. Runs as long as the worker.
    pub(super) async fn sweep(self: Rc<Self>) {
        loop {
            self.kept_one.notified().await;
            while !self.idle.borrow().is_empty() {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                now::tick();
                self.idle
                    .borrow_mut()
                    .retain(|kept| now::since(kept.since) < IDLE_LIFE && kept.link.is_open());
            }
            self.idle.borrow_mut().shrink_to_fit();
        }
    }

    /// How hyper is to write an answer whose names are these, each with a colon.
    pub(super) fn record(&self, names: &[u8]) -> Option<Extensions> {
        let mut records = self.records.borrow_mut();
        if let Some(at) = records.iter().position(|(known, _)| known == names) {
            records[..=at].rotate_right(1);
        } else {
            records.truncate(MAX_RECORDS - 1);
            records.insert(0, (names.to_vec(), reread::record(names)?));
        }
        records.first().map(|(_, record)| record.clone())
    }

    /// How many leases there are, more or less: each has a pointer to its pool, and so have some others.
    pub(super) fn in_use(self: &Rc<Self>) -> usize {
        Rc::strong_count(self)
    }

    fn may_be_restarting(&self) -> bool {
        self.last_answer.get().is_some_and(|last| now::since(last) < self.upstream.restart_grace)
    }

    fn keep(&self, link: Box<Link>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            if idle.is_empty() {
                self.kept_one.notify_one();
            }
            idle.push(Idle { link, since: now::now() });
        }
    }
}

impl Lease {
    /// The connection.
    pub(super) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("a lease has its link until it is dropped or taken")
    }

    /// How much of an answer's content is to come over it, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.link.as_ref().and_then(|link| link.left())
    }

    /// Where it belongs.
    pub(super) fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// The connection for good: it will not go back.
    pub(super) fn take(mut self) -> Box<Link> {
        self.link.take().expect("a lease has its link until it is dropped or taken")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut link) = self.link.take()
            && link.settle()
        {
            self.pool.keep(link);
        }
    }
}

/// A place among the requests that wait.
struct Waiting<'a>(&'a Pool);

impl<'a> Waiting<'a> {
    fn begin(pool: &'a Pool) -> Option<Self> {
        (pool.waiting.get() < MAX_WAITING).then(|| {
            pool.waiting.set(pool.waiting.get() + 1);
            Self(pool)
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}
