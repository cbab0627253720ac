//! Reading the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::check;
use super::flags::Flags;
use super::problem::{Found, Problem, Warning};
use super::settings::{Admin, Config};
use super::written;

/// A configuration that can be used, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What is odd, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{} does not exist", file.display())]
    Missing {
        /// The file that was asked for.
        file: PathBuf,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", file.display())]
    Io {
        /// The file that was asked for.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What the file and the flags say is wrong.
    #[error("{} in {}", counted(problems.len(), "problem"), named(file.as_deref()))]
    Wrong {
        /// The file, if there is one.
        file: Option<PathBuf>,
        /// Everything that is wrong; never empty.
        problems: Vec<Problem>,
        /// What is odd besides.
        warnings: Vec<Warning>,
    },
}

/// What is read without `--config`, if it exists.
const DEFAULT_FILE: &str = "/etc/doorman/doorman.toml";

/// More than any configuration has; it keeps a wrong file name from filling the memory.
const LARGEST: u64 = 256 * 1024;

/// Reads and checks a configuration: the file, if there is one, overruled by the flags.
///
/// # Errors
/// When the file cannot be read, and with every problem at once when something in it or in the flags is wrong.
pub fn read(file: Option<&Path>, flags: &Flags) -> Result<Loaded, ReadError> {
    let text = file.map(text).transpose()?.unwrap_or_default();
    let (mut table, problems) = file.map_or_else(Default::default, |file| written::parse(file, &text));
    if !problems.is_empty() {
        return Err(wrong(file, problems, Vec::new()));
    }
    flags.overrule(&mut table);
    match check::config(&table, file.is_some()) {
        (Some(config), _, warnings) => Ok(Loaded { config, warnings }),
        (None, problems, warnings) => Err(wrong(file, problems, warnings)),
    }
}

/// `/etc/doorman/doorman.toml`, if it exists; also if it may not be looked at.
#[must_use]
pub fn default_file() -> Option<PathBuf> {
    let file = PathBuf::from(DEFAULT_FILE);
    match file.try_exists() {
        Ok(false) => None,
        Ok(true) | Err(_) => Some(file),
    }
}

/// Where the daemon is found: by the flag, else by `[admin]` of the file or of the default file, else at the default
/// address. What is wrong elsewhere in the file does not matter here, and a default file that may not be read counts
/// as none: the daemon most likely listens at the default address all the same.
///
/// # Errors
/// When the flag is wrong, when the file named cannot be read, or when its `[admin]` cannot be made out.
pub fn admin_address(file: Option<&Path>, flag: Option<&str>) -> Result<Admin, ReadError> {
    let flags = Flags { admin: flag.map(str::to_owned), ..Flags::default() };
    let default = default_file();
    let source = if flag.is_some() { None } else { file.or(default.as_deref()) };
    let text = match source.map(text).transpose() {
        Ok(text) => text.unwrap_or_default(),
        Err(_) if file.is_none() => String::new(),
        Err(error) => return Err(error),
    };
    let (mut table, malformed) = source.map_or_else(Default::default, |file| written::parse(file, &text));
    if !malformed.is_empty() && table.get("admin").is_none() && text.contains("admin") {
        return Err(wrong(source, malformed, Vec::new()));
    }
    flags.overrule(&mut table);
    check::admin(&table).map_err(|problems| wrong(source, problems, Vec::new()))
}

fn wrong(file: Option<&Path>, problems: Vec<Problem>, warnings: Vec<Warning>) -> ReadError {
    ReadError::Wrong { file: file.map(Path::to_owned), problems, warnings }
}

/// The file's text, without a byte order mark.
fn text(file: &Path) -> Result<String, ReadError> {
    let io = |source: io::Error| {
        let file = file.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            ReadError::Missing { file }
        } else {
            ReadError::Io { file, source }
        }
    };
    let mut bytes = Vec::new();
    File::open(file).and_then(|open| open.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io(io::ErrorKind::FileTooLarge.into()));
    }
    let text =
        String::from_utf8(bytes).map_err(|error| wrong(Some(file), vec![not_utf8(&error)], Vec::new()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn not_utf8(error: &std::string::FromUtf8Error) -> Problem {
    let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
    Problem {
        line: Some(good.iter().filter(|byte| **byte == b'\n').count() + 1),
        column: None,
        key: String::new(),
        found: Found::Malformed("text that is not UTF-8".to_owned()),
        write: "the file anew, saved as UTF-8".to_owned(),
    }
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

fn named(file: Option<&Path>) -> String {
    file.map_or_else(|| "the flags".to_owned(), |file| file.display().to_string())
}
