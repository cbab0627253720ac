//! The control plane: one supervised thread that keeps the certificate fresh and answers `status`.
//!
//! It may die of a fault of ours: port 80 goes on answering, and the plane is started anew.

mod acme;
mod admin;
mod board;
mod chain;
pub(crate) mod doctor;
mod driver;
mod history;
mod local_ca;
pub(crate) mod notify;
mod observe;
mod pair;
mod store;
mod traffic;
pub(crate) mod when;
pub(crate) mod xray;
mod zh_cn;

use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use self::acme::Answers;
use self::board::Board;
use self::notify::Notifier;
use self::store::Store;
use crate::config::Config;
use crate::shared::listeners::Listeners;
use crate::shared::stats::Stats;
use crate::shared::tls;

/// Between a death of the plane and its next life; the last repeats.
const RESTART_BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];

/// After a life of this length a death is the first of its kind.
const HEALTHY_LIFE: Duration = Duration::from_secs(10 * 60);

/// Between two looks whether the daemon ends, while the plane is dead.
const SHUTDOWN_LOOK: Duration = Duration::from_millis(50);

/// For file operations that are under way when the daemon ends.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// File operations take turns; a second thread is for names that the CA's client looks up, a third for those that alerts
/// go to, a fourth waits for the doctor. When a disk hangs the rest queues.
const FILE_THREADS: usize = 5;

/// Requests of the admin interface that wait for the driver.
const MOST_ASKS: usize = 32;

/// Lives of the plane before this one.
static RESTARTS: AtomicU64 = AtomicU64::new(0);

/// What the control plane is given; it outlives every restart of the plane.
#[derive(Debug)]
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Who issues certificates.
    pub issuer: Issuer,
    /// What the CA may be on its way to see.
    pub answers: Answers,
    /// Where the pair goes that HTTPS listeners present.
    pub served: tls::Publisher,
    /// Which ports are ours.
    pub listeners: Listeners,
    /// What the workers counted.
    pub stats: Stats,
    /// When the process started.
    pub started_at: OffsetDateTime,
    /// Cancelled when the daemon ends.
    pub shutdown: CancellationToken,
}

/// Who issues certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The directory of `ip_cert.directory`.
    Acme,
    /// The built-in local CA, for `doorman demo`.
    LocalCa {
        /// How long each certificate lives.
        life: Duration,
    },
}

/// Starts the plane in a thread of its own, which ends soon after [`Context::shutdown`] is cancelled and not before.
///
/// # Errors
/// The thread cannot be made.
pub fn spawn(context: Context) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        let shutdown = context.shutdown.clone();
        let context = Rc::new(context);
        supervise(&shutdown, || live(&context));
    })
}

/// How often the plane was started anew.
fn restarts() -> u64 {
    RESTARTS.load(Ordering::Relaxed)
}

/// Lives again after each death, until the daemon ends.
fn supervise(shutdown: &CancellationToken, mut life: impl FnMut() -> io::Result<()>) {
    let mut deaths_in_a_row = 0;
    loop {
        let born = Instant::now();
        let end = std::panic::catch_unwind(AssertUnwindSafe(&mut life));
        if shutdown.is_cancelled() {
            return;
        }
        match end {
            Ok(Ok(())) => error!("the control plane ended without being asked to; starting it anew"),
            Ok(Err(error)) => error!(%error, "the control plane could not run; starting it anew"),
            Err(panic) => error!(panic = words(&*panic), "the control plane died; starting it anew"),
        }
        RESTARTS.fetch_add(1, Ordering::Relaxed);
        if born.elapsed() > HEALTHY_LIFE {
            deaths_in_a_row = 0;
        }
        let last = RESTART_BACKOFF.len() - 1;
        rest(RESTART_BACKOFF[last.min(deaths_in_a_row)], shutdown);
        deaths_in_a_row += 1;
    }
}

/// Sleeps without a runtime, and not longer than the daemon lives.
fn rest(pause: Duration, shutdown: &CancellationToken) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !shutdown.is_cancelled() {
        std::thread::sleep(SHUTDOWN_LOOK);
    }
}

/// One life of the plane.
fn live(context: &Rc<Context>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("control-files")
        .max_blocking_threads(FILE_THREADS)
        .build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let board = Rc::new(Board::default());
        let store = Store::new(&context.config.store); // one for all: it has one worker at a time
        let notifier = Notifier::new(&context.config, &board, &store);
        let (asks, mut asked) = mpsc::channel(MOST_ASKS);
        let (installed, in_the_files) = watch::channel(None);
        let own_asks = asks.clone();
        tokio::select! {
            () = context.shutdown.cancelled() => {}
            () = driver::run(context, &board, &store, &notifier, &mut asked, installed) => {}
            () = xray::run(context, &board, in_the_files, asks.clone()) => {}
            () = admin::serve(context, &board, &notifier, asks) => {}
            () = notifier.run(context, &own_asks) => {}
            () = traffic::watch(context, &board) => {}
        }
    });
    drop(tasks); // orders in flight end here; what is published for them stays
    runtime.shutdown_timeout(LAST_WRITES);
    Ok(())
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_lives_again_after_a_panic_and_an_error_of_its_own() {
        let shutdown = CancellationToken::new();
        let mut lives = 0;
        supervise(&shutdown, || {
            lives += 1;
            match lives {
                1 => panic!("a fault"),
                2 => Err(io::Error::other("another")),
                _ => {
                    shutdown.cancel();
                    Ok(())
                }
            }
        });
        assert_eq!(lives, 3);
    }
}
