//! Secrets: in the file, or in a file of their own.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::field::quoted;
use super::section::Section;
use crate::config::values::Secret;

/// The longest secret file that is read; a token has fewer than 100 bytes.
const LARGEST: u64 = 64 * 1024;

/// The secret of `key`, or of the file that `<key>_file` names, without blanks around it.
pub(super) fn read(section: &Section<'_>, key: &str) -> Option<Secret> {
    let inline = section.filled(key).map(|mut field| {
        field.secret = true;
        field
    });
    let file_key = format!("{key}_file");
    let Some(file) = section.filled(&file_key) else {
        return inline?.text("…").map(Secret::new);
    };
    if inline.is_some() {
        file.refuse(format!("{key} or {file_key}, not both"));
        return None;
    }
    let path = file.path("/etc/doorman/secret")?;
    match contents(&path) {
        Ok(secret) if secret.is_empty() => {
            file.refuse(format!("the name of a file that holds the secret; {} is empty", quoted_path(&path)));
            None
        }
        Ok(secret) if secret.chars().any(char::is_control) => {
            file.refuse("the name of a file with the secret alone in it, on one line");
            None
        }
        Ok(secret) => Some(Secret::new(secret)),
        Err(error) => {
            file.refuse(format!("the name of a file that doorman may read: {error}"));
            None
        }
    }
}

/// Refuses the secret of `key`, wherever it came from, without showing it.
pub(super) fn refuse(section: &Section<'_>, key: &str, write: &str) {
    let given = section.filled(key).or_else(|| section.filled(&format!("{key}_file")));
    if let Some(mut field) = given {
        field.secret = true;
        field.refuse(write);
    }
}

fn contents(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
