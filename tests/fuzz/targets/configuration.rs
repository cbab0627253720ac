//! A configuration file: taken or refused with reasons.

use std::path::PathBuf;

use doorman::config::{self, Flags, ReadError};

/// None ends the program, and what is refused says why.
pub(super) fn check(bytes: &[u8]) {
    let path = file();
    std::fs::write(&path, bytes).expect("a folder to write to");
    let read = config::read(Some(&path), &Flags::default());
    std::fs::remove_file(&path).expect("the file just written");
    match read {
        Ok(_) => {}
        Err(ReadError::Wrong { problems, .. }) => assert!(!problems.is_empty()),
        // Bytes that are no text cannot be read.
        Err(error @ (ReadError::Io { .. } | ReadError::Missing { .. })) => {
            assert!(std::str::from_utf8(bytes).is_err(), "{error}");
        }
    }
}

fn file() -> PathBuf {
    let memory = PathBuf::from("/dev/shm"); // where writing costs least
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("doorman-fuzz-{}.toml", std::process::id()))
}
