//! Examines the machine, and says of each thing that it finds what to do about it: for `doorman doctor` and for the bot.
//!
//! A source of findings is a file with a function from [`Machine`] to [`Finding`]s, and a line in [`SOURCES`]. It changes
//! nothing on the machine, needs no daemon, and has a time limit for whatever it waits for.

mod acme_clients;
mod addresses;
mod ca;
mod configuration;
mod daemon;
mod panel;
mod ports;
mod schedule;
mod store;
mod telegram;
mod web;
mod xray;

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::config::{Config, ReadError};
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

/// For all of it; somebody waits. A source has 10 s for each thing that it waits for, and looks at several.
const LIMIT: Duration = Duration::from_secs(45);

type Source = fn(&Machine) -> Vec<Finding>;

/// What is examined, in the order in which it is told.
const SOURCES: [(About, Source); 10] = [
    (About::Config, configuration::findings),
    (About::Daemon, daemon::findings),
    (About::Port, ports::findings),
    (About::Panel, panel::findings),
    (About::Address, addresses::findings),
    (About::Ca, ca::findings),
    (About::Store, store::findings),
    (About::Xray, xray::findings),
    (About::AcmeClient, acme_clients::findings),
    (About::Telegram, telegram::findings),
];

/// What the sources know.
pub(crate) struct Machine {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// What it says.
    pub(crate) config: Result<Config, ReadError>,
    /// What the running daemon says, or why there is none.
    pub(crate) status: Result<Value, Sentence>,
}

impl Machine {
    /// The configuration, if it can be used; the source of that name says what is wrong with it otherwise.
    fn config(&self) -> Option<&Config> {
        self.config.as_ref().ok()
    }

    /// What the running daemon says, if there is one.
    fn status(&self) -> Option<&Value> {
        self.status.as_ref().ok()
    }
}

/// Asks all sources at once and waits for them, but not longer than a person does: of one that hangs, e.g. in a lookup of
/// a name, that is the finding. Its thread ends when what it waits for does.
pub(crate) fn examine(machine: Machine) -> Vec<Finding> {
    examine_within(LIMIT, machine, &SOURCES)
}

fn examine_within(limit: Duration, machine: Machine, sources: &[(About, Source)]) -> Vec<Finding> {
    let until = Instant::now() + limit;
    let machine = Arc::new(machine);
    let (found, findings) = mpsc::channel();
    for (index, (_, source)) in sources.iter().enumerate() {
        let (found, machine, source) = (found.clone(), Arc::clone(&machine), *source);
        let look = move || drop(found.send((index, source(&machine))));
        drop(thread::Builder::new().name("doctor".to_owned()).spawn(look)); // without a thread it is not examined
    }
    drop(found);
    let mut all: Vec<Option<Vec<Finding>>> = vec![None; sources.len()];
    while let Ok((index, found)) = findings.recv_timeout(until.saturating_duration_since(Instant::now())) {
        all[index] = Some(found);
    }
    let told = sources.iter().zip(all);
    told.flat_map(|((about, _), found)| found.unwrap_or_else(|| vec![unexamined(*about, limit)])).collect()
}

fn unexamined(about: About, limit: Duration) -> Finding {
    let seconds = limit.as_secs();
    let finding = Sentence::new(
        format!("this could not be examined within {seconds} s"),
        format!("{seconds} 秒内未能检查完"),
    );
    let remedy = Sentence::new(
        "look at this machine's load and DNS, then try again",
        "请查看本机负载和 DNS，然后重试",
    );
    Finding::warning(about, finding, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::finding::Level;

    fn nowhere() -> Machine {
        let config = crate::config::read(None, &crate::config::Flags::default()).map(|loaded| loaded.config);
        Machine { file: None, config, status: Err(Sentence::quoted("no daemon")) }
    }

    #[test]
    fn one_that_hangs_or_panics_is_said_and_keeps_the_others_from_nothing() {
        let fine: Source = |_| vec![Finding::fine(About::Store, Sentence::quoted("good"))];
        let hangs: Source = |_| loop {
            thread::park();
        };
        let panics: Source = |_| panic!("a fault");
        let sources = [(About::Ca, hangs), (About::Panel, panics), (About::Store, fine)];
        let found = examine_within(Duration::from_millis(200), nowhere(), &sources);
        let told: Vec<_> = found.iter().map(|finding| (finding.about, finding.level)).collect();
        let expected =
            [(About::Ca, Level::Warning), (About::Panel, Level::Warning), (About::Store, Level::Fine)];
        assert_eq!(told, expected);
    }
}
