//! Whether anything on the machine starts another ACME client by itself: cron or a timer of systemd.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files of cron, and directories of such.
const CRON: [&str; 5] =
    ["etc/crontab", "etc/cron.d", "etc/cron.daily", "var/spool/cron", "var/spool/cron/crontabs"];

/// Where timers are that were enabled or written by hand; an enabled one is a link in a directory of its target.
const TIMERS: [&str; 2] = ["etc/systemd/system", "etc/systemd/system/timers.target.wants"];

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheduled {
    Yes,
    No,
    /// Something may not be read by who asks.
    Unknown,
}

/// Looks below `root` for `client`, as `certbot` or `acme.sh`.
pub(super) fn of(root: &Path, client: &str) -> Scheduled {
    let mut denied = false;
    let mut all = |places: &[&str]| -> Vec<PathBuf> {
        places.iter().flat_map(|place| files(&root.join(place), &mut denied)).collect()
    };
    let (crons, timers) = (all(&CRON), all(&TIMERS));
    let by_timer = timers.iter().any(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let unit = client.trim_end_matches(".sh");
        name.strip_suffix(".timer").is_some_and(|name| name.contains(unit))
    });
    let by_cron = crons.iter().any(|file| match fs::read(file) {
        Ok(text) => String::from_utf8_lossy(&text)
            .lines()
            .any(|line| !line.trim_start().starts_with('#') && line.contains(client)),
        Err(error) => {
            denied |= error.kind() == ErrorKind::PermissionDenied;
            false
        }
    });
    match (by_timer || by_cron, denied) {
        (true, _) => Scheduled::Yes,
        (false, true) => Scheduled::Unknown,
        (false, false) => Scheduled::No,
    }
}

fn files(place: &Path, denied: &mut bool) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    match fs::read_dir(place) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| !path.is_dir()).collect(),
        Err(error) => {
            *denied |= error.kind() == ErrorKind::PermissionDenied;
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cron_or_an_enabled_timer_starts_it_and_a_comment_does_not() {
        let root = tempfile::TempDir::new().unwrap();
        let write = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("etc/crontab", "# certbot was here\n");
        assert_eq!(of(root.path(), "certbot"), Scheduled::No);
        write("etc/systemd/system/timers.target.wants/snap.certbot.renew.timer", "");
        assert_eq!(of(root.path(), "certbot"), Scheduled::Yes);
        assert_eq!(of(root.path(), "acme.sh"), Scheduled::No);
        write("var/spool/cron/crontabs/root", "7 3 * * * \"/root/.acme.sh\"/acme.sh --cron > /dev/null\n");
        assert_eq!(of(root.path(), "acme.sh"), Scheduled::Yes);
    }
}
