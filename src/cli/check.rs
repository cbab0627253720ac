//! `doorman check`: every problem of the configuration at once, or what it means.

use std::fmt::{self, Display, Write as _};
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::{Exit, Failure};
use crate::config::{
    self, Address, AdminAddress, AllowPaths, Config, Flags, Loaded, Problem, ReadError, Scheme, Upstream,
    Warning,
};

/// Columns of a terminal that nobody has made wider.
const WIDTH: usize = 80;

/// Checks `file`, or without one the default file, and writes to `out` what is wrong with it, or else what it means.
///
/// # Errors
/// 78 with the number of problems, or when there is no file; 77 and 74 when it cannot be read; 74 when `out` is closed.
pub(super) fn run(file: Option<&Path>, out: &mut dyn io::Write) -> Result<(), Failure> {
    let default = config::default_file();
    let Some(file) = file.or(default.as_deref()) else {
        return Err(Failure::new(
            Exit::Config,
            "There is no configuration: /etc/doorman/doorman.toml does not exist.",
            "Write it, or name another file with --config.",
        ));
    };
    match config::read(Some(file), &Flags::default()) {
        Ok(loaded) => put(out, &fine(file, &loaded)),
        Err(ReadError::Wrong { file, problems, warnings }) => {
            put(out, &listing(file.as_deref(), &problems, &warnings))?;
            let (happened, remedy) = summary(file.as_deref(), problems.len());
            Err(Failure::new(Exit::Config, happened, remedy))
        }
        Err(error @ (ReadError::Missing { .. } | ReadError::Io { .. })) => Err(error.into()),
    }
}

/// The warnings of a configuration that can be used, one line or more for each; empty if there is none.
#[must_use]
pub(super) fn warnings(file: Option<&Path>, warnings: &[Warning]) -> String {
    let mut text = String::new();
    for warning in warnings {
        paragraph(
            &mut text,
            "",
            &format!("{}warning: {warning}", Place { file, line: warning.line, column: None }),
        );
    }
    text
}

/// For every command that needs a configuration: the whole list of problems is part of what happened.
impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let happened = sentence(&error);
        match error {
            ReadError::Missing { .. } => {
                Self::new(Exit::Config, happened, "Write it, or name another file with --config.")
            }
            ReadError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Self::new(
                Exit::NoPermission,
                happened,
                "Run this as root, or as the user that doorman runs as.",
            ),
            ReadError::Io { .. } => {
                Self::new(Exit::Io, happened, "Look at the file, or name another one with --config.")
            }
            ReadError::Wrong { file, problems, warnings } => {
                let (happened, remedy) = summary(file.as_deref(), problems.len());
                let list = listing(file.as_deref(), &problems, &warnings);
                Self::new(Exit::Config, format!("{list}{happened}"), remedy)
            }
        }
    }
}

/// Problems, then warnings.
fn listing(file: Option<&Path>, problems: &[Problem], odd: &[Warning]) -> String {
    let mut text = String::new();
    for problem in problems {
        let place = Place { file, line: problem.line, column: problem.column };
        paragraph(&mut text, "", &format!("{place}{problem}"));
        paragraph(&mut text, "    write: ", &problem.write);
    }
    text.push_str(&warnings(file, odd));
    text
}

fn summary(file: Option<&Path>, problems: usize) -> (String, &'static str) {
    let what = file.map_or_else(|| "The command line".to_owned(), |file| file.display().to_string());
    let count = if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") };
    let remedy = match file {
        Some(_) => "Write what is proposed above, then look again with `doorman check`.",
        None => "Write what is proposed above.",
    };
    (format!("{what} has {count}."), remedy)
}

/// What happened, with its cause.
fn sentence(error: &ReadError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}.", cause.unwrap_or_default())
}

fn fine(file: &Path, loaded: &Loaded) -> String {
    let mut text = warnings(Some(file), &loaded.warnings);
    let _infallible = writeln!(text, "{} is fine.", file.display());
    for (name, value) in meaning(&loaded.config) {
        paragraph(&mut text, &format!("  {name:<13}"), &value);
    }
    text
}

/// What a configuration amounts to, line by line.
fn meaning(config: &Config) -> Vec<(&'static str, String)> {
    let mut lines = vec![("http", addresses(&config.http.listen))];
    if !config.https.listen.is_empty() {
        let pair = match &config.https.fixed_pair {
            Some((certificate, _)) => format!(" with {}", certificate.display()),
            None => " with the managed certificate".to_owned(),
        };
        lines.push(("https", addresses(&config.https.listen) + &pair));
    }
    lines.push(("panel", upstream(&config.panel)));
    for forward in &config.forwards {
        let tls = if forward.tls { " (TLS)" } else { "" };
        lines.push((
            "forward",
            format!("{}{tls} to {}", addresses(&forward.listen), upstream(&forward.upstream)),
        ));
    }
    match &config.ip_cert {
        Some(cert) => {
            let ips: Vec<String> = cert.ips.iter().map(ToString::to_string).collect();
            lines.push(("identifiers", ips.join(", ")));
            lines.push(("directory", cert.directory.url.clone()));
        }
        None => lines.push(("identifiers", "none: no certificate is kept, the door alone runs".to_owned())),
    }
    lines.push(("store", config.store.dir.display().to_string()));
    let admin = match &config.admin.listen {
        AdminAddress::Unix(path) => path.display().to_string(),
        AdminAddress::Tcp(address) => address.to_string(),
    };
    lines.push(("admin", admin));
    lines
}

fn addresses(list: &[SocketAddr]) -> String {
    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
    if list.is_empty() { "nowhere".to_owned() } else { list.join(", ") }
}

fn upstream(upstream: &Upstream) -> String {
    let scheme = match upstream.scheme {
        Scheme::Http => "http",
        Scheme::Https(_) => "https",
    };
    let target = match &upstream.address {
        Address::Tcp { host, port } if host.contains(':') => format!("{scheme}://[{host}]:{port}"),
        Address::Tcp { host, port } => format!("{scheme}://{host}:{port}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    match &upstream.allow_paths {
        AllowPaths::Everything => target,
        AllowPaths::Only(paths) => format!("{target}, {} paths below {}", paths.len(), upstream.base_path),
    }
}

/// Where in a file something stands, as compilers write it; nothing for a flag.
struct Place<'a> {
    file: Option<&'a Path>,
    line: Option<usize>,
    column: Option<usize>,
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(file), Some(line)) = (self.file, self.line) else {
            return Ok(());
        };
        write!(f, "{}:{line}", file.display())?;
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        f.write_str(": ")
    }
}

/// Appends `words` behind `label`, broken before the terminal's edge, the further lines indented.
fn paragraph(text: &mut String, label: &str, words: &str) {
    let indent = if label.is_empty() { 4 } else { label.chars().count() };
    text.push_str(label);
    let mut column = label.chars().count();
    for (index, word) in words.split(' ').enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > WIDTH {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

fn put(out: &mut dyn io::Write, text: &str) -> Result<(), Failure> {
    let closed = |error: io::Error| {
        Failure::new(Exit::Io, format!("Writing failed: {error}."), "Look at the output's end.")
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, text: &str) -> (Result<(), Failure>, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut out = Vec::new();
        let result = run(Some(&file), &mut out);
        let out = String::from_utf8(out).unwrap().replace(dir.path().to_str().unwrap(), "");
        (result, out)
    }

    #[test]
    fn a_fine_file_is_explained() {
        let text = "[panel]\nupstream = \"http://127.0.0.1:13688\"\n[ip_cert]\nip = [\"9.9.9.9\", \"2620:fe::fe\"]\n";
        let (result, out) = checked("a.toml", text);
        assert!(result.is_ok());
        for part in [
            "/a.toml is fine.",
            "  http         0.0.0.0:80, [::]:80\n",
            "  panel        http://127.0.0.1:13688\n",
            "  identifiers  9.9.9.9, 2620:fe::fe\n",
            "  directory    https://acme-v02.api.letsencrypt.org/directory\n",
            "  store        /var/lib/doorman\n",
            "  admin        /run/doorman/admin.sock\n",
        ] {
            assert!(out.contains(part), "{part} in\n{out}");
        }
    }

    #[test]
    fn problems_are_listed_with_line_and_remedy_within_80_columns() {
        let text = "[panel]\nupstream = \"127.0.0.1:13688\"\n[http]\nlisten = [\"0.0.0.0:80\", \"1.2.3.4:80\"]\nworker = 1\n";
        let (result, out) = checked("b.toml", text);
        let failure = result.unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.happened.ends_with("b.toml has 3 problems."), "{failure}");
        assert!(out.contains(
            "/b.toml:2: panel.upstream = \"127.0.0.1:13688\"\n    write: \"http://127.0.0.1:13688\"\n"
        ));
        assert!(out.contains("/b.toml:4: http.listen[1] = \"1.2.3.4:80\"\n    write: another port"), "{out}");
        assert!(out.contains("/b.toml:5: http.worker is not a key\n    write: workers\n"), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
    }

    #[test]
    fn what_cannot_be_read_has_its_own_exit() {
        let dir = tempfile::tempdir().unwrap();
        let missing = run(Some(&dir.path().join("none.toml")), &mut Vec::new()).unwrap_err();
        assert_eq!(missing.exit, Exit::Config);
        assert!(missing.happened.ends_with("none.toml does not exist."), "{missing}");
        let directory = run(Some(dir.path()), &mut Vec::new()).unwrap_err();
        assert_eq!(directory.exit, Exit::Io);
        let denied = ReadError::Io { file: "x.toml".into(), source: io::ErrorKind::PermissionDenied.into() };
        assert_eq!(Failure::from(denied).exit, Exit::NoPermission);
    }

    #[test]
    fn a_failure_of_run_carries_the_list() {
        let flags = Flags { panel: Some("nonsense:".into()), ..Flags::default() };
        let failure = Failure::from(config::read(None, &flags).unwrap_err());
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.happened.starts_with("--panel = \"nonsense:\"\n    write: \"http://"), "{failure}");
        assert!(failure.happened.ends_with("The command line has 1 problem."), "{failure}");
    }
}
