//! The connections of one worker to one upstream.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tracing::info;

use super::connect::{ConnectError, Connector, Trouble};
use super::link::Link;
use super::now::{self, Instant};
use super::stream::{Stream, buffer_bytes};
use crate::config::Upstream;
use crate::policy::letters::Letters;

/// Connections kept for later; more would be memory for nothing on a small server.
const MAX_IDLE: usize = 128;

/// How long a connection is kept: below the panels' own 120 s, so that they seldom close one that is just being used.
const IDLE_LIFE: Duration = Duration::from_secs(60);

/// Between two looks at idle connections.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Requests that may wait for an upstream that restarts; each holds its client's connection.
const MAX_WAITING: usize = 256;

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
    /// How new connections are read: one that was made before this changed is not used again.
    letters: Cell<Letters>,
}

struct Idle {
    link: Box<Link>,
    since: Instant,
}

/// A connection in use; goes back to its pool when it is fit for another request.
pub(super) struct Lease {
    link: Option<Box<Link>>,
    pool: Rc<Pool>,
    /// It will not go back.
    last: bool,
}

/// Where a stream goes back to that was taken out of its connection.
pub(super) struct Home {
    pool: Rc<Pool>,
    letters: Letters,
    last: bool,
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
            letters: Cell::new(Letters::Usual),
        })
    }

    /// The settings of the upstream.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// A kept connection that is still good.
    pub(super) fn reuse(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let mut kept = self.idle.borrow_mut().pop()?;
            if kept.link.letters() == self.letters.get()
                && now::since(kept.since) < IDLE_LIFE
                && kept.link.is_still_open()
            {
                return Some(Lease { link: Some(kept.link), pool: Rc::clone(self), last: false });
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
            let error = match self
                .connector
                .connect(&self.upstream, self.letters.get(), buffer_bytes(self.in_use()))
                .await
            {
                Ok(link) => {
                    return Ok(Lease { link: Some(Box::new(link)), pool: Rc::clone(self), last: false });
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
                    .retain_mut(|kept| now::since(kept.since) < IDLE_LIFE && kept.link.is_open());
            }
            self.idle.borrow_mut().shrink_to_fit();
        }
    }

    /// How many leases there are, more or less: each has a pointer to its pool, and so have some others.
    fn in_use(self: &Rc<Self>) -> usize {
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

    /// Where it belongs.
    pub(super) fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// Nothing more is asked over this connection.
    pub(super) fn retire(&mut self) {
        self.last = true;
    }

    /// The stream, with what was read of it and not used, for a while.
    pub(super) fn take_out(mut self) -> Option<(Stream, Bytes, Home)> {
        let link = self.link.take()?;
        let home = Home { pool: Rc::clone(&self.pool), letters: link.letters(), last: self.last };
        let (stream, unused) = link.into_parts()?;
        Some((stream, unused, home))
    }

    /// The connection for good: it will not go back.
    pub(super) fn take(mut self) -> Box<Link> {
        self.link.take().expect("a lease has its link until it is dropped or taken")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        if link.heard_unusual() {
            self.pool.letters.set(Letters::Kept);
        } else if !self.last && link.is_settled() {
            self.pool.keep(link);
        }
    }
}

impl Home {
    /// Nothing more is asked over this connection.
    pub(super) fn close(&mut self) {
        self.last = true;
    }

    /// How many are in use there, more or less.
    pub(super) fn connections(&self) -> usize {
        self.pool.in_use()
    }

    /// Takes the stream back, of which all was read that belonged to the last exchange.
    pub(super) fn take_back(self, stream: Stream) {
        if self.last {
            return;
        }
        // hyper waits for nothing when it begins to speak HTTP/1.1.
        let opened = pin!(Link::open(stream, self.letters, buffer_bytes(self.pool.in_use())));
        if let Poll::Ready(Ok(link)) = opened.poll(&mut Context::from_waker(Waker::noop())) {
            self.pool.keep(Box::new(link));
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
