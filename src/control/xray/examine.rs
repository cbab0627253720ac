//! One look at Xray without a daemon, for `doorman doctor`. It changes nothing.

use std::io;
use std::time::Duration;

use tokio::task::LocalSet;

use super::entry::Entry;
use super::learn::{OurPair, learn};
use super::look::{look, unseen};
use super::subject::Subject;
use crate::config::Config;
use crate::control::store::Store;
use crate::policy::sentence::Sentence;
use crate::shared::clock;

/// For the API and all handshakes, each of which has a shorter limit.
const LIMIT: Duration = Duration::from_secs(20);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Inbounds that use our pair, and the addresses of `xray.probe`.
    pub(crate) entries: Vec<Entry>,
    /// What is to be said of Xray as a whole.
    pub(crate) note: Option<Sentence>,
}

/// Looks once; what takes too long is left out.
///
/// # Errors
/// There is no runtime to be had.
pub(crate) fn examine(config: &Config) -> io::Result<Examined> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let examined = LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(LIMIT, once(config)).await.unwrap_or_else(|_| Examined {
            note: Some(Sentence::new(
                format!("Xray did not answer within {} s", LIMIT.as_secs()),
                format!("Xray 在 {} 秒内没有应答", LIMIT.as_secs()),
            )),
            ..Examined::default()
        })
    });
    runtime.shutdown_timeout(Duration::ZERO);
    Ok(examined)
}

async fn once(config: &Config) -> Examined {
    let store = Store::new(&config.store);
    let read = store.off_thread(|store| Ok(store.leaves_as_they_are())).await;
    let (live, issued) = read.unwrap_or_default();
    let fingerprint = live.unwrap_or_default();
    let learned = learn(&config.xray, &OurPair::of(config, &issued), &mut None).await;
    let now = clock::now();
    let inbounds = learned.known.into_iter().map(|known| Subject::inbound(known, now));
    let probes = config.xray.probe.iter().map(|address| Subject::probed(address, now));
    let mut entries = Vec::new();
    for mut subject in inbounds.chain(probes) {
        let verdict = match &subject.targets {
            Ok(targets) => look(targets, subject.looks(), &fingerprint).await,
            Err(why) => unseen(why, subject.held(), &fingerprint),
        };
        subject.seen(verdict, clock::now());
        entries.push(subject.entry(&fingerprint));
    }
    Examined { entries, note: learned.note }
}
