//! Whether a daemon runs, and what it says of itself.

use serde_json::Value;

use super::Machine;
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let status = match &machine.status {
        Ok(status) => status,
        Err(why) => {
            let why = why.clone().map(|why| why.trim_end_matches('.').to_owned());
            let remedy = Sentence::new(
                "systemctl start doorman, or doorman run; as root, if it may not be asked",
                "systemctl start doorman 或 doorman run；若无权询问，请以 root 运行",
            );
            return vec![Finding::warning(About::Daemon, why, remedy)];
        }
    };
    let text = |key: &str| status[key].as_str().unwrap_or("?");
    let (state, version) = (text("state"), text("version"));
    let more = || Sentence::new("doorman status says more", "doorman status 有更多说明");
    let mut found = vec![match state {
        "valid" | "disabled" | "renewing" => Finding::fine(
            About::Daemon,
            Sentence::new(
                format!("version {version} runs, its state is {state}"),
                format!("版本 {version} 正在运行，状态为 {state}"),
            ),
        ),
        "failed" => Finding::warning(About::Daemon, said(state, status), more()),
        _ => Finding::broken(
            About::Daemon,
            said(state, status),
            Sentence::new(
                "docs/runbook.md has a section about this state",
                "docs/runbook.md 中有关于此状态的一节",
            ),
        ),
    }];
    for trouble in status["troubles"].as_array().into_iter().flatten() {
        let remedy = Sentence::new(
            "doorman status says more, and whether it is over",
            "doorman status 会显示是否已恢复",
        );
        found.push(Finding::broken(About::Daemon, words(trouble, "detail").unwrap_or_default(), remedy));
    }
    found
}

fn said(state: &str, status: &Value) -> Sentence {
    let state = Sentence::new(format!("its state is {state}"), format!("状态为 {state}"));
    state.and(&words(status, "last_error").unwrap_or_default())
}

/// What the daemon says there, in each language where it does.
pub(super) fn words(value: &Value, key: &str) -> Option<Sentence> {
    let each = serde_json::from_value(value[format!("{key}_words")].clone()).ok();
    each.or_else(|| value[key].as_str().map(Sentence::quoted))
}
