//! `doorman alert test`: one message through every channel.

use std::io::Write;

use http::{Method, StatusCode};
use serde_json::Value;

use super::args;
use super::daemon::{Answer, Daemon};
use super::{Exit, Failure, cannot_print};
use crate::config::{self, Flags};
use crate::control::notify::Tested;

/// Sends the test message, through the running daemon or, without one, with the configuration alone.
///
/// # Errors
/// A channel did not take it (69), none is configured (78), or the daemon may not be asked (77).
pub(super) fn test(place: &args::Daemon, out: &mut impl Write) -> Result<(), Failure> {
    let admin = place.locate()?;
    let daemon = Daemon::new(&admin)?;
    let tested = match daemon.ask(&Method::POST, "/alert/test") {
        Ok(answer) => {
            say(out, "sent by the running daemon:")?;
            read(&answer)?
        }
        // Only with a file can it be said what would be told, and to whom.
        Err(error) if error.nobody_there() && place.admin.is_none() => {
            let file = place.file.config.clone().or_else(config::default_file);
            let loaded = config::read(file.as_deref(), &Flags::default()).map_err(Failure::from)?;
            say(out, "no daemon runs; sent from here, as the configuration says:")?;
            daemon.alone(crate::control::notify::test(&loaded.config))
        }
        Err(error) => return Err(daemon.failure(&error)),
    };
    report(&tested, out)
}

fn report(tested: &[Tested], out: &mut impl Write) -> Result<(), Failure> {
    if tested.is_empty() {
        return Err(Failure::new(
            Exit::Config,
            "No channel for alerts is configured, so nobody is told.",
            "Write telegram.bot_token and telegram.chat_ids, or webhook.url, into the configuration.",
        ));
    }
    for one in tested {
        let outcome = one.error.as_deref().map_or("sent".to_owned(), |error| format!("NOT sent: {error}"));
        say(out, &format!("{}: {outcome}", one.channel))?;
    }
    match tested.iter().filter(|one| one.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure::new(
            Exit::Unavailable,
            format!("{failed} of {} test messages did not arrive.", tested.len()),
            "Correct what is said above, and run this again.",
        )),
    }
}

fn read(answer: &Answer) -> Result<Vec<Tested>, Failure> {
    let said: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if answer.status == StatusCode::OK
        && let Ok(tested) = serde_json::from_value(said["channels"].clone())
    {
        return Ok(tested);
    }
    let why = said["error"].as_str().unwrap_or("it does not know this request").to_owned();
    let (exit, remedy) = match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            (Exit::NoPermission, "Set admin.token, the same for daemon and command.")
        }
        _ => (Exit::Unavailable, "Look at the daemon's version with `doorman status`, and at its log."),
    };
    Err(Failure::new(exit, format!("The daemon sends no test message: {why}."), remedy))
}

fn say(out: &mut impl Write, line: &str) -> Result<(), Failure> {
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| cannot_print(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(error: Option<&str>) -> Tested {
        Tested { channel: "telegram -100".to_owned(), error: error.map(ToOwned::to_owned) }
    }

    #[test]
    fn each_channel_is_a_line_and_one_that_fails_makes_the_command_fail() {
        let mut out = Vec::new();
        let failure = report(&[tested(None), tested(Some("chat not found"))], &mut out).unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "telegram -100: sent\ntelegram -100: NOT sent: chat not found\n"
        );
        assert!(report(&[tested(None)], &mut Vec::new()).is_ok());
        assert_eq!(report(&[], &mut Vec::new()).unwrap_err().exit, Exit::Config);
    }
}
