//! Whether a daemon runs, and what it says of itself.

use serde_json::Value;

use super::{Finding, Machine};

const ABOUT: &str = "daemon";

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let status = match &machine.status {
        Ok(status) => status,
        Err(why) => {
            let remedy = "systemctl start doorman, or doorman run; as root, if it may not be asked";
            return vec![Finding::warning(ABOUT, why.trim_end_matches('.'), remedy)];
        }
    };
    let text = |key: &str| status[key].as_str().unwrap_or("?").to_owned();
    let state = text("state");
    let mut found = vec![match state.as_str() {
        "valid" | "disabled" | "renewing" => {
            Finding::fine(ABOUT, format!("version {} runs, its state is {state}", text("version")))
        }
        "failed" => Finding::warning(ABOUT, said(status), "doorman status says more"),
        _ => Finding::broken(ABOUT, said(status), "docs/runbook.md has a section about this state"),
    }];
    for trouble in status["troubles"].as_array().into_iter().flatten() {
        let what = trouble["detail"].as_str().unwrap_or("?");
        found.push(Finding::broken(ABOUT, what, "doorman status says more, and whether it is over"));
    }
    found
}

fn said(status: &Value) -> String {
    let state = status["state"].as_str().unwrap_or("?");
    match status["last_error"].as_str() {
        Some(error) => format!("its state is {state}: {error}"),
        None => format!("its state is {state}"),
    }
}
