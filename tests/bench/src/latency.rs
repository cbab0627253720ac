//! Latency in an open loop: requests begin when it is their time, whether or not the proxy has kept up.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};

use crate::conn::{Conn, Over, SMALL};
use crate::load::{self, CLIENTS, Page};
use crate::meter::{Reading, Tally};
use crate::proxies::{Order, Proxy, Running};
use crate::rig::Rig;
use crate::rows::{Sample, get};
use crate::upstream::SMALL_BODY;

/// Windows in a turn.
const WINDOWS: usize = 20;

type Latencies = Rc<RefCell<Vec<Duration>>>;

/// Half of what nginx does in a closed loop, found once a run.
///
/// # Errors
/// nginx cannot be measured.
pub(crate) async fn choose_rate(rig: &Rig) -> anyhow::Result<()> {
    if rig.open_loop_rate.get().is_none() {
        let running = Proxy::Nginx.start(rig, Order::No).await?;
        let sample = load::keep_alive(rig, &running, Over::Plain, Page::Small).await?;
        rig.open_loop_rate.set(sample.pace.map(|pace| pace.rate / 2.0));
    }
    Ok(())
}

/// Small GETs on 64 connections, each connection with a time table of its own; the cost is their typical 99th percentile.
pub(crate) async fn open_loop(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let rate = rig.open_loop_rate.get().context("no rate was chosen")?;
    let (pids, tally, latencies) = (running.pids(), Tally::default(), Latencies::default());
    let begin = Instant::now() + Duration::from_millis(50); // all are connected by then
    let mut clients: JoinSet<anyhow::Result<Infallible>> = JoinSet::new();
    for number in 0..CLIENTS {
        let (tally, latencies) = (tally.clone(), Rc::clone(&latencies));
        let (to, text, request) = (rig.http, rig.texts.noise.clone(), get(rig.http, "/small", "keep-alive"));
        clients.spawn_local(async move {
            let mut conn = Conn::open(to, None, SMALL).await?;
            for turn in 0_u32.. {
                let due = begin
                    + Duration::from_secs_f64((f64::from(turn) * CLIENTS as f64 + number as f64) / rate);
                // A timer wakes once a millisecond, which is longer than what is measured here.
                while Instant::now() < due {
                    yield_now().await;
                }
                conn.send(&request).await?;
                conn.expect_response(&text, SMALL_BODY).await?;
                latencies.borrow_mut().push(due.elapsed());
                tally.add();
            }
            anyhow::bail!("there are more turns than that")
        });
    }
    let measured = async {
        sleep(rig.turn / 4).await;
        latencies.borrow_mut().clear();
        let first = Reading::take(&pids, &tally)?;
        sleep(rig.turn).await;
        first.until(&Reading::take(&pids, &tally)?)
    };
    let sample = tokio::select! {
        sample = measured => sample?,
        Some(ended) = clients.join_next() => match ended?? {},
    };
    let p99 = typical_p99(&latencies.take()).context("too little was completed")?;
    Ok(Sample { cost: p99.as_secs_f64(), ..sample })
}

/// The median, over short windows, of the 99th percentile of each: a virtual machine that stands still for some
/// milliseconds a few times a second would else be all that is seen.
fn typical_p99(latencies: &[Duration]) -> Option<Duration> {
    let p99 = |window: &[Duration]| {
        let mut window = window.to_vec();
        window.sort_unstable();
        window.get(window.len() * 99 / 100).copied()
    };
    let mut windows: Vec<_> =
        latencies.chunks_exact((latencies.len() / WINDOWS).max(1)).filter_map(p99).collect();
    windows.sort_unstable();
    windows.get(windows.len() / 2).copied()
}
