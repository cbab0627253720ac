//! Unsteady files, for listeners that share a certificate.
//!
//! Xray keeps one copy of the pair for all listeners of an inbound, and each listener has a watcher. A watcher takes the
//! pair over only if the files differ from that copy, which the first one to look brings up to date: the others see no
//! change. So while they look, which they do within milliseconds of each other, the files never stay the same: white
//! space behind the chain changes every few microseconds. When they look is learned from inotify.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::watch::each;
use crate::control::chain::Chain;
use crate::policy::xray::ticks::Ticks;

/// Changes one after another. On an idle machine two watchers read at the same time, a few microseconds apart.
const BURST: Duration = Duration::from_micros(150);

/// Between two bursts a processor is free, also where there is only one: then the watchers read in the pauses, one after
/// another, and the end of a pause comes between them.
const PAUSE: Duration = Duration::from_micros(20);

/// A counter in white space, one bit each.
const BITS: usize = 24;

/// A chain is some kilobytes.
const LARGEST: u64 = 1 << 20;

/// Of a chain, as we write it.
const BEGINNING: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// For some hundred events of 16 bytes each (inotify(7)).
const BUFFER: usize = 8192;

/// No two looks find the same, even in two windows.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// What is to be watched, and what is to be unsteady.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Chains that listeners share.
    pub(super) files: Vec<PathBuf>,
    /// How often they are looked at.
    pub(super) intervals: Vec<Duration>,
    /// Of these, the ones where a listener has yet to follow.
    pub(super) stale: Vec<Duration>,
    /// The leaf in the files; another one is in other files.
    pub(super) fingerprint: String,
}

/// A task that goes on while this is there.
pub(super) struct Unrest {
    wanted: watch::Sender<Wanted>,
    _task: JoinSet<()>,
}

impl Unrest {
    pub(super) fn start() -> Self {
        let (wanted, receiver) = watch::channel(Wanted::default());
        let mut task = JoinSet::new();
        task.spawn_local(run(receiver));
        Self { wanted, _task: task }
    }

    pub(super) fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|before| {
            let changed = *before != wanted;
            *before = wanted;
            changed
        });
    }
}

async fn run(mut wanted: watch::Receiver<Wanted>) {
    let epoch = Instant::now();
    let mut opens = Opens::default();
    let mut ticks: Vec<Ticks> = Vec::new();
    loop {
        let want = wanted.borrow_and_update().clone();
        opens.watch(&want.files);
        ticks.retain(|ticks| want.intervals.contains(&ticks.interval()));
        for interval in &want.intervals {
            if ticks.iter().all(|ticks| ticks.interval() != *interval) {
                ticks.push(Ticks::every(*interval));
            }
        }
        let stale = ticks.iter().filter(|ticks| want.stale.contains(&ticks.interval()));
        let window = stale.filter_map(Ticks::window).min_by_key(|window| window.start);
        let start = window.as_ref().map_or(epoch, |window| epoch + window.start);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Ok(()) = opens.readable() => if opens.count() > 0 {
                let at = epoch.elapsed();
                ticks.iter_mut().for_each(|ticks| ticks.seen(at));
            },
            () = sleep_until(start), if window.is_some() => if let Some(window) = window {
                let window = window.start..window.end.max(epoch.elapsed());
                let ours = unsettle(want.files, epoch + window.end).await;
                let somebody_came = opens.count() > ours;
                ticks.iter_mut().for_each(|ticks| ticks.passed(&window, somebody_came));
            },
        }
    }
}

/// Keeps the files changing until then. Returns how often we opened one ourselves.
async fn unsettle(files: Vec<PathBuf>, until: Instant) -> usize {
    let changed = tokio::task::spawn_blocking(move || {
        let (unsteady, failed): (Vec<_>, Vec<_>) =
            files.iter().map(|file| Unsteady::open(file)).partition(Result::is_ok);
        for error in failed.into_iter().filter_map(Result::err) {
            tracing::warn!(error = %Chain(&error), "listeners that share a certificate cannot be helped");
        }
        let unsteady: Vec<Unsteady> = unsteady.into_iter().flatten().collect();
        while Instant::now() < until && !unsteady.is_empty() {
            let burst = Instant::now() + BURST;
            while Instant::now() < burst {
                let count = CHANGES.fetch_add(1, Ordering::Relaxed);
                for file in &unsteady {
                    file.change(count);
                }
            }
            std::thread::sleep(PAUSE);
        }
        unsteady.len()
    });
    changed.await.unwrap_or_default()
}

/// A chain with white space behind it. What it says is the same at every instant; dropping it ends it as before.
struct Unsteady {
    file: File,
    end: u64,
}

impl Unsteady {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        if length > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut text, 0)?;
        if !text.starts_with(BEGINNING) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not the chain that was there"));
        }
        // What a kill left behind has spaces in it; the line ends before them are the chain's own.
        let bare = text.trim_ascii_end().len();
        let own = text[bare..].iter().take_while(|byte| **byte == b'\n').count();
        let own = if own == text.len() - bare { own } else { own.min(1) };
        Ok(Self { file, end: (bare + own) as u64 })
    }

    fn change(&self, count: u64) {
        let tail: [u8; BITS] = std::array::from_fn(|bit| if count >> bit & 1 == 0 { b' ' } else { b'\n' });
        let _ = self.file.write_all_at(&tail, self.end); // a full disk: it stays as it is
    }
}

impl Drop for Unsteady {
    fn drop(&mut self) {
        let _ = self.file.set_len(self.end); // white space more or less; the next time removes it
    }
}

/// Sees that a file is opened.
#[derive(Default)]
struct Opens {
    /// Read like a pipe, which is all that inotify is.
    events: Option<Receiver>,
}

impl Opens {
    /// Watches these, as they are now. One that is replaced says so, and is watched anew then.
    fn watch(&mut self, files: &[PathBuf]) {
        if files.is_empty() {
            self.events = None;
            return;
        }
        if self.events.is_none() {
            let made = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
            self.events = made.ok().and_then(|events| Receiver::from_owned_fd_unchecked(events).ok());
        }
        let Some(events) = &self.events else { return };
        for file in files.iter().filter_map(|file| fs::canonicalize(file).ok()) {
            let what = WatchFlags::OPEN | WatchFlags::ATTRIB | WatchFlags::DELETE_SELF;
            let _ = inotify::add_watch(events, &file, what); // it is tried again with whatever happens next
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match &self.events {
            Some(events) => events.readable().await,
            None => std::future::pending().await,
        }
    }

    /// How often a file was opened since the last time.
    fn count(&self) -> usize {
        let Some(events) = &self.events else { return 0 };
        let (mut buffer, mut opened) = ([0; BUFFER], 0);
        while let Ok(read) = events.try_read(&mut buffer) {
            each(&buffer[..read], |what, _| opened += usize::from(what.contains(ReadFlags::OPEN)));
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

    #[test]
    fn only_white_space_changes_and_it_ends_as_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fullchain.pem");
        for (before, after) in [(CHAIN, CHAIN.to_owned()), (&format!("{CHAIN}\n"), format!("{CHAIN}\n"))] {
            fs::write(&path, before).unwrap();
            let unsteady = Unsteady::open(&path).unwrap();
            let looks: Vec<_> = (0..100)
                .map(|count| {
                    unsteady.change(count);
                    fs::read_to_string(&path).unwrap()
                })
                .collect();
            assert!(looks.windows(2).all(|two| two[0] != two[1]));
            assert!(looks.iter().all(|look| look.trim_end() == CHAIN.trim_end()));
            drop(unsteady);
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn what_is_no_chain_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fullchain.pem");
        fs::write(&path, "something else  ").unwrap();
        assert!(Unsteady::open(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "something else  ");
    }

    #[test]
    fn what_a_kill_left_behind_is_cleared_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fullchain.pem");
        fs::write(&path, CHAIN).unwrap();
        let unsteady = Unsteady::open(&path).unwrap();
        unsteady.change(5);
        std::mem::forget(unsteady);
        drop(Unsteady::open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), CHAIN);
    }

    #[tokio::test]
    async fn a_file_that_is_opened_is_noticed_and_so_is_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fullchain.pem");
        fs::write(&path, CHAIN).unwrap();
        let mut opens = Opens::default();
        for _ in 0..2 {
            opens.watch(std::slice::from_ref(&path));
            opens.count();
            fs::read(&path).unwrap();
            opens.readable().await.unwrap();
            assert_eq!(opens.count(), 1);
            fs::write(directory.path().join("new"), CHAIN).unwrap();
            fs::rename(directory.path().join("new"), &path).unwrap();
            opens.readable().await.unwrap();
            assert_eq!(opens.count(), 0, "it is another file now");
        }
    }
}
