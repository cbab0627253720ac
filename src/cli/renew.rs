//! `doorman renew`: renew now, and show how it goes.

use std::io::Write;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::daemon::Daemon;
use super::status::moment;
use super::{Exit, Failure, cannot_print};
use crate::config::{Admin, Language};
use crate::shared::clock;

/// Between two looks at the daemon.
const LOOK: Duration = Duration::from_millis(150);

/// The daemon gives an order up sooner than this.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// For inbounds that follow within this time; those that take an hour are only named.
const PATIENCE_WITH_XRAY: Duration = Duration::from_secs(90);

/// Looks in a row that may come to nothing, while the daemon is started anew for instance.
const MOST_MISSED_LOOKS: u32 = 100;

/// Asks the daemon to renew, follows the steps until the end, and prints the new certificate.
///
/// # Errors
/// No daemon answers, it refuses, or the renewal fails (69, with the reason); it may not be asked (77).
pub(super) fn run(admin: &Admin, force: bool, out: &mut impl Write) -> Result<(), Failure> {
    let daemon = Daemon::new(admin)?;
    let target = if force { "/renew?force=true" } else { "/renew" };
    let answer = daemon.ask(&Method::POST, target).map_err(|error| daemon.failure(&error))?;
    let said: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if answer.status != StatusCode::ACCEPTED {
        return Err(refused(answer.status, &said));
    }
    if said["joined"] == true {
        say(out, "a renewal is under way already; following it")?;
    }
    follow(&daemon, &said["renewal"], out)
}

/// Prints each step as it happens.
fn follow(daemon: &Daemon<'_>, id: &Value, out: &mut impl Write) -> Result<(), Failure> {
    let mut shown = 0;
    let mut missed = 0;
    let patience = PATIENCE.as_millis() / LOOK.as_millis();
    for _ in 0..patience {
        let status = match daemon.status() {
            Ok((_, status)) => status,
            Err(failure) if missed == MOST_MISSED_LOOKS => return Err(failure),
            Err(_) => {
                missed += 1;
                daemon.pause(LOOK);
                continue;
            }
        };
        missed = 0;
        let renewal = &status["renewal"];
        if renewal["id"] != *id {
            return Err(lost());
        }
        let steps = renewal["steps"].as_array().map_or(&[][..], Vec::as_slice);
        for step in steps.iter().skip(shown) {
            say(out, &line(step))?;
        }
        shown = steps.len();
        match renewal["outcome"].as_str() {
            Some("renewed") => {
                renewed(&status["certificate"], out)?;
                return inbounds(daemon, id, shown, out);
            }
            Some(_) => return Err(failed(renewal, &status)),
            None => daemon.pause(LOOK),
        }
    }
    Err(Failure::new(
        Exit::Unavailable,
        "The renewal has not ended within a quarter of an hour.",
        "Look at `doorman status` and at the daemon's log.",
    ))
}

fn renewed(certificate: &Value, out: &mut impl Write) -> Result<(), Failure> {
    let fingerprint = certificate["fingerprint_sha256"].as_str().unwrap_or("?");
    let until = moment(&certificate["not_after"], clock::now(), Language::English).unwrap_or_default();
    say(out, &format!("renewed: {fingerprint}\ngood until {until}"))
}

/// Prints each inbound of Xray as it turns current, and at the end those that have not.
fn inbounds(daemon: &Daemon<'_>, id: &Value, shown: usize, out: &mut impl Write) -> Result<(), Failure> {
    let mut shown = shown;
    let looks = PATIENCE_WITH_XRAY.as_millis() / LOOK.as_millis();
    for look in 0..=looks {
        let Ok((_, status)) = daemon.status() else { return Ok(()) }; // the renewal itself is done and told
        let renewal = &status["renewal"];
        let steps = renewal["steps"].as_array().map_or(&[][..], Vec::as_slice);
        for step in steps.iter().skip(shown).filter(|_| renewal["id"] == *id) {
            say(out, &line(step))?;
        }
        shown = shown.max(steps.len());
        let newest = &status["certificate"]["fingerprint_sha256"];
        let entries = status["xray"].as_array().map_or(&[][..], Vec::as_slice);
        if look < looks && entries.iter().any(|entry| follows_soon(entry, newest)) {
            daemon.pause(LOOK);
            continue;
        }
        for entry in entries.iter().filter(|entry| entry["serves"] != "current") {
            let [tag, address, serves, detail] =
                ["tag", "address", "serves", "detail"].map(|key| entry[key].as_str().unwrap_or("?"));
            let due = moment(&entry["due_at"], clock::now(), Language::English);
            let due = due.map(|due| format!("; expected by {due}")).unwrap_or_default();
            say(out, &format!("inbound {tag} on {address} is {serves}: {detail}{due}"))?;
        }
        return Ok(());
    }
    Ok(())
}

/// Whether an inbound is worth waiting for: it was not looked at yet, or its next step is near.
fn follows_soon(entry: &Value, newest: &Value) -> bool {
    let due = entry["due_at"].as_str().and_then(|due| OffsetDateTime::parse(due, &Rfc3339).ok());
    let near = due.is_some_and(|due| due - clock::now() < PATIENCE_WITH_XRAY);
    let unseen = entry["looked_at"].is_null() || entry["compared_with"] != *newest;
    unseen || entry["serves"] == "stale" && near
}

fn line(step: &Value) -> String {
    let at = step["at"].as_str().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let (hour, minute, second) = at.map(|at| at.time().as_hms()).unwrap_or_default();
    let detail = step["detail"].as_str().unwrap_or_default();
    let words = match step["step"].as_str().unwrap_or_default() {
        "account" => "account registered",
        "earlier_failed" => "an earlier order came to nothing, a new one is made",
        "order_placed" => "order placed",
        "already_authorized" => "authorized already",
        "token_checked" => "token checked",
        "validation_requested" => "the CA is asked to validate",
        "validated" => "validated",
        "issued" => "issued",
        "served" => "presented to new connections",
        "installed" => "installed",
        "exported" => "exported",
        "reload" => "reload",
        "inbound_current" => "inbound current",
        "handshake_seen" => "handshake seen on",
        other => other,
    };
    let colon = if words.ends_with(" on") { "" } else { ":" };
    format!("{hour:02}:{minute:02}:{second:02}  {words}{colon} {detail}")
}

fn refused(status: StatusCode, said: &Value) -> Failure {
    let why = said["error"].as_str().unwrap_or("the daemon gave no reason");
    let remedy = match (status, said["reason"].as_str()) {
        (StatusCode::CONFLICT, Some("port")) => "Free the port, or wait until the daemon has it.",
        (StatusCode::CONFLICT, Some("disabled")) => "Configure [ip_cert] and start the daemon again.",
        (StatusCode::CONFLICT, _) => "Wait, or use --force, which spends the CA's limits.",
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            "Set admin.token, the same for daemon and command."
        }
        _ => "Look at `doorman status` and at the daemon's log.",
    };
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NoPermission,
        _ => Exit::Unavailable,
    };
    Failure::new(exit, format!("The daemon does not renew now: {}", ended(why)), remedy)
}

fn failed(renewal: &Value, status: &Value) -> Failure {
    let why = renewal["error"].as_str().unwrap_or("no reason is known");
    let next = moment(&status["next_renewal_at"], clock::now(), Language::English);
    let remedy = next.map_or("Correct that; the daemon tries again then.".to_owned(), |next| {
        format!("The next try is at {next}; correct the cause until then.")
    });
    Failure::new(Exit::Unavailable, format!("The renewal failed: {}", ended(why)), remedy)
}

/// A sentence ends once.
fn ended(sentence: &str) -> String {
    let stop = if sentence.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{sentence}{stop}")
}

fn lost() -> Failure {
    Failure::new(
        Exit::Unavailable,
        "The daemon was restarted, or began another renewal, while this one was followed.",
        "Look at `doorman status` for what came of it.",
    )
}

fn say(out: &mut impl Write, line: &str) -> Result<(), Failure> {
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| cannot_print(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_is_a_line_with_its_time() {
        let step =
            |name: &str| json!({"at": "2026-01-01T10:02:03.004Z", "step": name, "detail": "127.0.0.1:443"});
        assert_eq!(line(&step("handshake_seen")), "10:02:03  handshake seen on 127.0.0.1:443");
        assert_eq!(line(&step("order_placed")), "10:02:03  order placed: 127.0.0.1:443");
    }

    #[test]
    fn a_refusal_says_why_and_what_to_do() {
        let said = json!({"error": "the last try failed", "reason": "backoff"});
        let failure = refused(StatusCode::CONFLICT, &said);
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.happened.contains("the last try failed"));
        assert!(failure.remedy.contains("--force"));
    }
}
