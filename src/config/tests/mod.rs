//! What is accepted, what is refused and how, and that nothing makes the checks panic or tell a secret.

mod accepted;
mod addresses;
mod finding;
mod mutated;
mod refused;
mod samples;
mod secrets;
mod syntax;

use std::path::Path;

use super::flags::Flags;
use super::problem::{Problem, Warning};
use super::settings::Config;
use super::{check, written};

const PANEL: &str = "[panel]\nupstream = \"http://127.0.0.1:13688\"\n";

/// What becomes of a file of this name and text.
fn outcome(name: &str, text: &str, flags: &Flags) -> (Option<Config>, Vec<Problem>, Vec<Warning>) {
    let (mut table, problems) = written::parse(Path::new(name), text);
    if !problems.is_empty() {
        return (None, problems, Vec::new());
    }
    flags.overrule(&mut table);
    check::config(&table, true)
}

/// The settings of a TOML text that has no problem.
fn accepted(text: &str) -> Config {
    let (config, problems, _) = outcome("a.toml", text, &Flags::default());
    assert_eq!(problems, [], "in\n{text}");
    config.unwrap()
}

/// The problems of a TOML text.
fn refused(text: &str) -> Vec<Problem> {
    let (config, problems, _) = outcome("a.toml", text, &Flags::default());
    assert!(config.is_none() && !problems.is_empty(), "accepted:\n{text}");
    problems
}

/// The warnings of a TOML text that has no problem.
fn warned(text: &str) -> Vec<(Option<usize>, String, String)> {
    let (_, problems, warnings) = outcome("a.toml", text, &Flags::default());
    assert_eq!(problems, [], "in\n{text}");
    let parts = |warning: Warning| (warning.line, warning.key, warning.says);
    warnings.into_iter().map(parts).collect()
}
