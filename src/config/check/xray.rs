//! `[xray]`.

use super::field::{Field, quoted};
use super::section::Section;
use crate::config::parse::address;
use crate::config::settings::{Rung, Xray};
use crate::config::written::Value;

const RUNGS: &[(&str, Rung)] =
    &[("files", Rung::Files), ("api", Rung::Api), ("restart", Rung::Restart), ("signal", Rung::Signal)];

/// `[xray]`.
pub(super) fn xray(section: &Section<'_>) -> Xray {
    let default = Xray::default();
    let config = section.path("config", "/usr/local/x-ui/bin/config.json");
    let api = section.parse("api", "127.0.0.1:62789", address::host_port_or_unix);
    let probe = |field: &Field<'_>| field.parse("127.0.0.1:443", address::host_port);
    let probe = section.list("probe", "\"127.0.0.1:443\"", probe);
    let reload = section.list("reload", "\"files\"", |field| field.word(RUNGS));
    let reload = reload.unwrap_or(default.reload);
    let twice =
        reload.iter().enumerate().any(|(index, rung)| reload.iter().take(index).any(|first| first == rung));
    if let (true, Some(field)) = (twice, section.get("reload")) {
        field.refuse("each step once, in the order in which they are tried");
    }
    let restart_command = restart_command(section, reload.contains(&Rung::Restart));
    Xray {
        config: config.unwrap_or(default.config),
        api,
        probe: probe.unwrap_or_default(),
        reload,
        signal_anyway: section.bool("signal_anyway", default.signal_anyway),
        restart_command: restart_command.unwrap_or(default.restart_command),
    }
}

fn restart_command(section: &Section<'_>, needed: bool) -> Option<Vec<String>> {
    let field = section.get("restart_command")?;
    if let Value::String(command) = &field.node.value {
        let words: Vec<&str> = command.split_whitespace().collect();
        field.refuse(match words.is_empty() {
            true => "[\"systemctl\", \"restart\", \"x-ui\"], a list".to_owned(),
            false => format!("{words:?}, a list with the program first; no shell reads it"),
        });
        return None;
    }
    let word = |field: &Field<'_>| field.text("systemctl").map(str::to_owned);
    let words = section.list("restart_command", "\"systemctl\"", word)?;
    let program = words.first().is_some_and(|program| !program.is_empty());
    if needed && !program {
        field
            .refuse(format!("[{}, \"restart\", \"x-ui\"], or no \"restart\" in reload", quoted("systemctl")));
    }
    Some(words)
}
