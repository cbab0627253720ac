//! The rows of the table, and which load makes each.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{sleep, timeout};

use crate::conn::Over;
use crate::latency;
use crate::load::{self, Page};
use crate::memory;
use crate::proxies::{Order, Proxy, Running};
use crate::rig::Rig;

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    /// What the command line calls it.
    pub(crate) key: &'static str,
    /// What the table calls it.
    pub(crate) title: &'static str,
    /// What `Sample::cost` is given in.
    pub(crate) unit: Unit,
    work: Work,
}

impl Row {
    /// Whether a proxy can have a turn in it: who knows no HTTP neither answers by itself nor speaks TLS, and its connections
    /// to the upstream come and go with those of its clients.
    pub(crate) fn is_for(&self, proxy: Proxy) -> bool {
        let carried = match self.work {
            Work::KeepAlive(over, _) | Work::Download(over) => over == Over::Plain,
            Work::Upload | Work::Latency | Work::Echo | Work::Bulk => true,
            Work::Challenge
            | Work::NewConnection(_)
            | Work::Http2
            | Work::IdleUnused
            | Work::Idle
            | Work::Gone
            | Work::Peak
            | Work::StartUp
            | Work::AtRest => false,
        };
        carried || proxy != Proxy::Relay
    }
}

/// How a cost is printed; it is kept in seconds or in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// CPU microseconds for one piece of work.
    CpuMicros,
    /// CPU milliseconds for one transfer.
    CpuMillis,
    /// Microseconds that passed.
    Micros,
    /// Milliseconds that passed.
    Millis,
    /// Bytes.
    Bytes,
    /// MiB.
    Mebibytes,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    KeepAlive(Over, Page),
    Challenge,
    NewConnection(Over),
    Http2,
    Download(Over),
    Upload,
    Latency,
    Echo,
    Bulk,
    IdleUnused,
    Idle,
    Gone,
    Peak,
    StartUp,
    AtRest,
}

/// One turn of one proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Seconds or bytes for one piece of work, as the row's unit says.
    pub(crate) cost: f64,
    /// How fast it went, where that was measured.
    pub(crate) pace: Option<Pace>,
}

impl Sample {
    /// What other programs used meanwhile, in cores; 0 where that cannot matter.
    fn others(&self) -> f64 {
        self.pace.map_or(0.0, |pace| pace.others)
    }
}

/// How fast the work went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Pieces of work a second.
    pub(crate) rate: f64,
    /// The share of the time that the proxy used its core: well below 1, the load was the slower one.
    pub(crate) busy: f64,
    /// What programs that have no part in this used meanwhile, in cores.
    pub(crate) others: f64,
}

/// A turn is repeated while other programs use more than this, in cores…
const DISTURBED: f64 = 0.15;
/// … after a pause …
const PAUSE: Duration = Duration::from_secs(1);
/// … this often; then the least disturbed one counts.
const TRIES: usize = 4;

/// Much longer than any turn: a proxy that stalls voids it.
const STALL_LIMIT: Duration = Duration::from_secs(120);

/// All of them, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    row(
        "small",
        "small GET, keep-alive, 64 connections",
        Unit::CpuMicros,
        Work::KeepAlive(Over::Plain, Page::Small),
    ),
    row(
        "64k",
        "64 KiB response, keep-alive, 64 connections",
        Unit::CpuMicros,
        Work::KeepAlive(Over::Plain, Page::Middle),
    ),
    row("down", "100 MiB down, 8 at a time", Unit::CpuMillis, Work::Download(Over::Plain)),
    row("up", "100 MiB up, 8 at a time", Unit::CpuMillis, Work::Upload),
    row("challenge", "challenge answer, 64 connections", Unit::CpuMicros, Work::Challenge),
    row(
        "connection",
        "new connection per request, 64 at a time",
        Unit::CpuMicros,
        Work::NewConnection(Over::Plain),
    ),
    row(
        "handshake",
        "full TLS 1.3 handshake + GET, 64 at a time",
        Unit::CpuMicros,
        Work::NewConnection(Over::Tls),
    ),
    row(
        "tls-small",
        "small GET over TLS, HTTP/1.1, 64 connections",
        Unit::CpuMicros,
        Work::KeepAlive(Over::Tls, Page::Small),
    ),
    row("h2-small", "small GET over TLS, HTTP/2, 16 connections x 4 streams", Unit::CpuMicros, Work::Http2),
    row("tls-down", "100 MiB down over TLS, 8 at a time", Unit::CpuMillis, Work::Download(Over::Tls)),
    row("p99", "p99 of small GETs at half of nginx's top rate, open loop", Unit::Micros, Work::Latency),
    row("ws-echo", "WebSocket echo, 32-byte messages, 64 connections", Unit::CpuMicros, Work::Echo),
    row("ws-bulk", "100 MiB through a WebSocket, 8 at a time", Unit::CpuMillis, Work::Bulk),
    row("idle-unused", "idle connection before its first request, of 5,000", Unit::Bytes, Work::IdleUnused),
    row("idle", "idle keep-alive connection, of 5,000", Unit::Bytes, Work::Idle),
    row("gone", "private memory kept after 5,000 connections", Unit::Mebibytes, Work::Gone),
    row("peak", "peak extra memory, 64 downloads at a time", Unit::Mebibytes, Work::Peak),
    row("start", "exec to first answer", Unit::Millis, Work::StartUp),
    row("rest", "process at rest, private memory", Unit::Mebibytes, Work::AtRest),
];

const fn row(key: &'static str, title: &'static str, unit: Unit, work: Work) -> Row {
    Row { key, title, unit, work }
}

/// Gives a proxy its turn in a row, and another when somebody else was at work on the machine.
///
/// # Errors
/// The proxy does not start, ends, or sends anything but the right bytes: this turn is void.
pub(crate) async fn measure(row: &Row, rig: &Rig, proxy: Proxy) -> anyhow::Result<Sample> {
    let mut best = started_and_measured(row, rig, proxy).await?;
    for _ in 1..TRIES {
        if best.others() <= DISTURBED {
            break;
        }
        sleep(PAUSE).await;
        let again = started_and_measured(row, rig, proxy).await?;
        if again.others() < best.others() {
            best = again;
        }
    }
    Ok(best)
}

/// A GET as a panel's page in a browser sends it.
pub(crate) fn get(host: SocketAddr, path: &str, connection: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\
         Accept-Language: en\r\nCookie: session=MTcwMDAwMDAwMHxEdi1CQkFFQ180SUFBUkFCRUFBQQ\r\n\
         Connection: {connection}\r\n\r\n"
    )
    .into_bytes()
}

async fn started_and_measured(row: &Row, rig: &Rig, proxy: Proxy) -> anyhow::Result<Sample> {
    let order = if matches!(row.work, Work::Challenge) { Order::Stalled } else { Order::No };
    if matches!(row.work, Work::Latency) {
        latency::choose_rate(rig).await?;
    }
    rig.directory.forget();
    let running = proxy.start(rig, order).await?;
    timeout(STALL_LIMIT, turn(row.work, rig, &running)).await.context("no end")?
}

async fn turn(work: Work, rig: &Rig, running: &Running) -> anyhow::Result<Sample> {
    match work {
        Work::KeepAlive(over, page) => load::keep_alive(rig, running, over, page).await,
        Work::Challenge => load::challenge(rig, running).await,
        Work::NewConnection(over) => load::new_connections(rig, running, over).await,
        Work::Http2 => load::http2(rig, running).await,
        Work::Download(over) => load::downloads(rig, running, over).await,
        Work::Upload => load::uploads(rig, running).await,
        Work::Latency => latency::open_loop(rig, running).await,
        Work::Echo => load::echo(rig, running).await,
        Work::Bulk => load::bulk(rig, running).await,
        Work::IdleUnused => memory::idle(rig, running, memory::Used::No).await,
        Work::Idle => memory::idle(rig, running, memory::Used::Once).await,
        Work::Gone => memory::gone(rig, running).await,
        Work::Peak => memory::peak(rig, running).await,
        Work::AtRest => memory::at_rest(running).await,
        Work::StartUp => Ok(Sample { cost: running.first_answer().as_secs_f64(), pace: None }),
    }
}
