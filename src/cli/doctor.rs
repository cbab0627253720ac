//! `doorman doctor`: what an examination of the machine found, as a list or as JSON.

use std::io::Write;

use serde_json::{Value, json};

use super::args;
use super::daemon::Daemon;
use super::{Exit, Failure, cannot_print, colours};
use crate::config::{self, Flags};
use crate::control::doctor::{Machine, examine};
use crate::policy::finding::{Finding, Level, verdict};
use crate::policy::sentence::Sentence;

/// Examines the machine and writes what it found to `out`; says how bad the worst of it is.
///
/// # Errors
/// `out` takes nothing (74).
pub(super) fn run(args: &args::Doctor, out: &mut impl Write) -> Result<Exit, Failure> {
    let findings = examine(machine(args));
    let verdict = verdict(&findings);
    let text = if args.json {
        serde_json::to_string_pretty(&report(&findings, verdict)).unwrap_or_default() + "\n"
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

fn machine(args: &args::Doctor) -> Machine {
    let file = args.daemon.file.config.clone().or_else(config::default_file);
    let config = config::read(file.as_deref(), &Flags::default()).map(|loaded| loaded.config);
    let status = args.daemon.locate().and_then(|admin| {
        let (_, status) = Daemon::new(&admin)?.status()?;
        Ok(status)
    });
    Machine { file, config, status: status.map_err(|failure| Sentence::quoted(failure.happened)) }
}

/// The whole answer, for programs.
fn report(findings: &[Finding], verdict: Level) -> Value {
    let finding = |it: &Finding| {
        json!({
            "about": it.about.as_str(),
            "level": it.level.as_str(),
            "finding": it.finding.english(),
            "remedy": it.remedy.as_ref().map(Sentence::english),
        })
    };
    json!({ "verdict": verdict.as_str(), "findings": findings.iter().map(finding).collect::<Vec<_>>() })
}

fn listing(findings: &[Finding], verdict: Level, colours: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let code = match finding.level {
            Level::Fine => "32",
            Level::Warning => "33",
            Level::Broken => "31",
        };
        let word = format!("{:<7}", finding.level.as_str());
        let word = if colours { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word };
        text.push_str(&format!("{word}  {:<12}  {}\n", finding.about.as_str(), finding.finding));
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
    use crate::policy::finding::About;

    #[test]
    fn a_remedy_stands_below_what_it_is_for() {
        let findings = [
            Finding::fine(About::Store, Sentence::quoted("/var/lib/doorman can be written")),
            Finding::broken(
                About::Port,
                Sentence::quoted("0.0.0.0:80 is held by nginx"),
                Sentence::quoted("stop it"),
            ),
        ];
        let text = listing(&findings, Level::Broken, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "broken   port          0.0.0.0:80 is held by nginx");
        assert_eq!(lines[2].trim_start(), "stop it");
        assert!(!text.contains('\x1b'));
    }
}
