//! The rows that weigh the proxy.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::conn::{Conn, LARGE, SMALL};
use crate::machine;
use crate::proxies::Running;
use crate::rig::Rig;
use crate::rows::{Sample, get};
use crate::upstream::{LARGE_BODY, SMALL_BODY};

/// Idle connections.
const IDLE: u64 = 5_000;
/// Connections before the first weighing, so that what a proxy sets up once is not divided among the idle ones.
const BEFORE: usize = 64;
/// Downloads at a time while the peak is watched.
const DOWNLOADS: usize = 64;
/// Time to settle: to park idle connections, to give memory back.
const SETTLE: Duration = Duration::from_secs(3);

/// What the idle connections have done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Used {
    /// Nothing yet.
    No,
    /// One request.
    Once,
}

/// Private memory for each of 5,000 idle connections.
pub(crate) async fn idle(rig: &Rig, running: &Running, used: Used) -> anyhow::Result<Sample> {
    let before = settled_after_warm_up(rig, running).await?;
    let connections = open(rig, used).await?;
    sleep(SETTLE).await;
    let with = machine::private_memory(&running.pids())?;
    drop(connections);
    Ok(bytes(with.saturating_sub(before) / IDLE))
}

/// Private memory that is kept after 5,000 connections, each used once, have gone.
pub(crate) async fn gone(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let before = settled_after_warm_up(rig, running).await?;
    drop(open(rig, Used::Once).await?);
    sleep(SETTLE).await;
    Ok(bytes(machine::private_memory(&running.pids())?.saturating_sub(before)))
}

/// The most memory that 64 downloads at a time add.
pub(crate) async fn peak(rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    let pids = running.pids();
    let before = machine::resident_memory(&pids)?;
    machine::forget_peak(&pids)?;
    let mut clients: JoinSet<anyhow::Result<Infallible>> = JoinSet::new();
    let request = get(rig.http, "/100m", "keep-alive");
    for _ in 0..DOWNLOADS {
        let (request, text, to) = (request.clone(), rig.texts.noise.clone(), rig.http);
        clients.spawn_local(async move {
            let mut conn = Conn::open(to, None, LARGE).await?;
            loop {
                conn.send(&request).await?;
                conn.expect_response(&text, LARGE_BODY).await?;
            }
        });
    }
    tokio::select! {
        () = sleep(rig.turn.max(Duration::from_secs(2))) => {}
        Some(ended) = clients.join_next() => match ended?? {},
    }
    Ok(bytes(machine::peak_memory(&pids)?.saturating_sub(before)))
}

/// Private memory after one answer and a while.
pub(crate) async fn at_rest(running: &Running) -> anyhow::Result<Sample> {
    sleep(SETTLE).await;
    Ok(bytes(machine::private_memory(&running.pids())?))
}

async fn settled_after_warm_up(rig: &Rig, running: &Running) -> anyhow::Result<u64> {
    let mut connections = Vec::new();
    for _ in 0..BEFORE {
        connections.push(ask(rig).await?);
    }
    drop(connections);
    sleep(SETTLE).await;
    machine::private_memory(&running.pids())
}

async fn open(rig: &Rig, used: Used) -> anyhow::Result<Vec<Conn>> {
    let mut connections = Vec::new();
    for _ in 0..IDLE {
        connections.push(match used {
            Used::No => Conn::open(rig.http, None, SMALL).await?,
            Used::Once => ask(rig).await?,
        });
    }
    Ok(connections)
}

async fn ask(rig: &Rig) -> anyhow::Result<Conn> {
    let mut conn = Conn::open(rig.http, None, SMALL).await?;
    conn.send(&get(rig.http, "/small", "keep-alive")).await?;
    conn.expect_response(&rig.texts.noise, SMALL_BODY).await?;
    Ok(conn)
}

fn bytes(count: u64) -> Sample {
    Sample { cost: count as f64, pace: None }
}
