//! The proxy's CPU clock over the work that its clients have seen complete.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::machine;
use crate::proxies::Running;
use crate::rig::Rig;
use crate::rows::{Pace, Sample};

/// What one client has completed; all of a turn share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    count: Rc<Cell<u64>>,
    /// Which client this is, from 0.
    pub(crate) number: usize,
}

impl Tally {
    /// One more.
    pub(crate) fn add(&self) {
        self.count.set(self.count.get() + 1);
    }
}

/// How long the clients of a turn that counts whole transfers go on beginning new ones.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// What was completed.
    pub(crate) tally: Tally,
    until: Instant,
}

impl Turn {
    /// Whether to begin another.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }
}

/// Clients that never end, looked at twice: after the warm-up and at the end of the turn.
pub(crate) async fn steady<F, C>(
    rig: &Rig,
    running: &Running,
    clients: usize,
    client: F,
) -> anyhow::Result<Sample>
where
    F: Fn(Tally) -> C,
    C: Future<Output = anyhow::Result<Infallible>> + 'static,
{
    let (pids, tally) = (running.pids(), Tally::default());
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        tasks.spawn_local(client(Tally { number, ..tally.clone() }));
    }
    let turn = async {
        sleep(rig.turn / 4).await;
        let begin = Reading::take(&pids, &tally)?;
        sleep(rig.turn).await;
        begin.until(&Reading::take(&pids, &tally)?)
    };
    tokio::select! {
        sample = turn => sample,
        Some(ended) = tasks.join_next() => match ended?? {},
    }
}

/// Clients that complete what they began: what a proxy has taken and not yet passed on is no work done.
pub(crate) async fn whole<F, C>(
    rig: &Rig,
    running: &Running,
    clients: usize,
    client: F,
) -> anyhow::Result<Sample>
where
    F: Fn(Turn) -> C,
    C: Future<Output = anyhow::Result<()>> + 'static,
{
    let (pids, tally) = (running.pids(), Tally::default());
    let begin = Reading::take(&pids, &tally)?;
    let turn = Turn { tally: tally.clone(), until: Instant::now() + rig.turn };
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn_local(client(turn.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    begin.until(&Reading::take(&pids, &tally)?)
}

/// The state of a turn at one moment.
pub(crate) struct Reading {
    at: Instant,
    proxy: Duration,
    load: Duration,
    machine: Duration,
    count: u64,
}

impl Reading {
    /// Looks at the clocks.
    ///
    /// # Errors
    /// The proxy has ended.
    pub(crate) fn take(pids: &[i32], tally: &Tally) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            proxy: machine::cpu_time(pids)?,
            load: machine::own_cpu_time()?,
            machine: machine::machine_cpu_time()?,
            count: tally.count.get(),
        })
    }

    /// CPU time for one piece of work between two readings.
    ///
    /// # Errors
    /// Nothing was completed.
    pub(crate) fn until(&self, end: &Self) -> anyhow::Result<Sample> {
        let done = (end.count - self.count) as f64;
        ensure!(done > 0.0, "nothing was completed");
        let wall = (end.at - self.at).as_secs_f64();
        let (proxy, load) = (end.proxy - self.proxy, end.load - self.load);
        let others = (end.machine - self.machine).saturating_sub(proxy + load);
        Ok(Sample {
            cost: proxy.as_secs_f64() / done,
            pace: Some(Pace {
                rate: done / wall,
                busy: proxy.as_secs_f64() / wall,
                others: others.as_secs_f64() / wall,
            }),
        })
    }
}
