//! Whether there is a configuration that can be used.

use super::{Finding, Machine};
use crate::config::ReadError;

const ABOUT: &str = "config";

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let named = || machine.file().map_or_else(|| "the flags".to_owned(), |file| file.display().to_string());
    match (&machine.config, machine.file()) {
        (Ok(_), _) => vec![Finding::fine(ABOUT, format!("{} can be used", named()))],
        (Err(ReadError::Wrong { problems, .. }), Some(file)) => {
            let finding = format!("{} has {} problem(s)", file.display(), problems.len());
            let remedy = format!("doorman check --config {} names each of them", file.display());
            vec![Finding::broken(ABOUT, finding, remedy)]
        }
        (Err(ReadError::Wrong { .. }), None) => vec![Finding::warning(
            ABOUT,
            "there is no configuration, so only the machine is looked at",
            "write /etc/doorman/doorman.toml, or name another file with --config",
        )],
        (Err(error @ (ReadError::Missing { .. } | ReadError::Io { .. })), _) => {
            let remedy = "name a file that exists and that you may read, with --config";
            vec![Finding::broken(ABOUT, error.to_string(), remedy)]
        }
    }
}
