//! Configuration files, whole and spoilt: every one is taken or refused with reasons, and none ends the program.

use std::io::Write as _;

use doorman::config::{self, Flags, ReadError};
use proptest::collection::vec;
use proptest::prelude::*;

const REFERENCE: &str = include_str!("../../conf/reference.toml");

/// Settings as they stand in the reference, with their keys and values mixed.
fn files() -> impl Strategy<Value = String> {
    let lines: Vec<&str> = REFERENCE
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.trim_start_matches('#'))
        .collect();
    let values: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once(" = ").map(|(_, value)| value)).collect();
    let odd = prop_oneof![
        prop::sample::select(values).prop_map(str::to_owned),
        "-?[0-9]{1,20}",
        "\"[ -~]{0,30}\"",
        "\\[(\"[a-z0-9./:]{0,20}\",? ?){0,3}\\]",
        "\\{ [a-z]{1,4} = [0-9] \\}",
        "[ -~]{0,10}",
    ];
    let line =
        (prop::sample::select(lines), prop::option::weighted(0.3, odd)).prop_map(
            |(line, value)| match value {
                Some(value) => format!("{} = {value}", line.split(" = ").next().unwrap_or_default()),
                None => line.to_owned(),
            },
        );
    vec(line, 0..25).prop_map(|lines| lines.join("\n"))
}

#[test]
fn each_is_taken_or_refused_with_reasons() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("doorman.toml");
    super::holds("configuration", &files(), |text| {
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        if let Err(error) = config::read(Some(&path), &Flags::default()) {
            match error {
                ReadError::Wrong { problems, .. } => prop_assert!(!problems.is_empty()),
                ReadError::Missing { .. } | ReadError::Io { .. } => prop_assert!(false, "{}", error),
            }
        }
        Ok(())
    });
}
