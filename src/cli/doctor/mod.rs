//! `doorman doctor`: examines the machine, and says of each thing that it finds what to do about it.
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
mod web;
mod xray;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::args;
use super::daemon::Daemon;
use super::{Exit, Failure, cannot_print, colours};
use crate::config::{self, Config, Flags, ReadError};

/// What is examined, in the order in which it is told.
const SOURCES: [fn(&Machine) -> Vec<Finding>; 9] = [
    configuration::findings,
    daemon::findings,
    ports::findings,
    panel::findings,
    addresses::findings,
    ca::findings,
    store::findings,
    xray::findings,
    acme_clients::findings,
];

/// What the sources know.
struct Machine {
    /// The file, if there is one.
    file: Option<PathBuf>,
    /// What it says.
    config: Result<Config, ReadError>,
    /// What the running daemon says, or why there is none.
    status: Result<Value, String>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What it is about, in one word.
    about: &'static str,
    level: Level,
    /// What was found, in a sentence.
    finding: String,
    /// What to do, where there is something to do.
    remedy: Option<String>,
}

/// How good it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Fine,
    Warning,
    Broken,
}

/// The whole answer, for programs.
#[derive(Serialize)]
struct Report<'a> {
    verdict: Level,
    findings: &'a [Finding],
}

impl Finding {
    fn fine(about: &'static str, finding: impl Into<String>) -> Self {
        Self { about, level: Level::Fine, finding: finding.into(), remedy: None }
    }

    fn warning(about: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about, level: Level::Warning, finding: finding.into(), remedy: Some(remedy.into()) }
    }

    fn broken(about: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about, level: Level::Broken, finding: finding.into(), remedy: Some(remedy.into()) }
    }
}

/// Examines the machine and writes what it found to `out`; says how bad the worst of it is.
///
/// # Errors
/// `out` takes nothing (74).
pub(super) fn run(args: &args::Doctor, out: &mut impl Write) -> Result<Exit, Failure> {
    let machine = Machine::look(args);
    let findings: Vec<_> = SOURCES.iter().flat_map(|source| source(&machine)).collect();
    let verdict = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine);
    let text = if args.json {
        let report = Report { verdict, findings: &findings };
        serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
    } else {
        listing(&findings, verdict, colours(&std::io::stdout()))
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| cannot_print(&error))?;
    Ok(match verdict {
        Level::Fine => Exit::Ok,
        Level::Warning => Exit::Warnings,
        Level::Broken => Exit::Broken,
    })
}

impl Machine {
    fn look(args: &args::Doctor) -> Self {
        let file = args.daemon.file.config.clone().or_else(config::default_file);
        let config = config::read(file.as_deref(), &Flags::default()).map(|loaded| loaded.config);
        let status = args.daemon.locate().and_then(|admin| {
            let (_, status) = Daemon::new(&admin)?.status()?;
            Ok(status)
        });
        Self { file, config, status: status.map_err(|failure| failure.happened) }
    }

    /// The configuration, if it can be used; the source of that name says what is wrong with it otherwise.
    fn config(&self) -> Option<&Config> {
        self.config.as_ref().ok()
    }

    fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the running daemon says, if there is one.
    fn status(&self) -> Option<&Value> {
        self.status.as_ref().ok()
    }
}

fn listing(findings: &[Finding], verdict: Level, colours: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, code) = match finding.level {
            Level::Fine => ("fine   ", "32"),
            Level::Warning => ("warning", "33"),
            Level::Broken => ("broken ", "31"),
        };
        let word = if colours { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word.to_owned() };
        text.push_str(&format!("{word}  {:<12}  {}\n", finding.about, finding.finding));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("{:25}{remedy}\n", ""));
        }
    }
    text.push_str(match verdict {
        Level::Fine => "All is well.\n",
        Level::Warning => "It works, and something should be looked at.\n",
        Level::Broken => "Something is broken.\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_stands_below_what_it_is_for() {
        let findings = [
            Finding::fine("store", "/var/lib/doorman can be written"),
            Finding::broken("port", "0.0.0.0:80 is held by nginx", "stop it"),
        ];
        let text = listing(&findings, Level::Broken, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "broken   port          0.0.0.0:80 is held by nginx");
        assert_eq!(lines[2].trim_start(), "stop it");
        assert!(!text.contains('\x1b'));
    }
}
