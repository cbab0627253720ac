//! What must hold of any bytes whatever. Guided by coverage they are tried by `tests/fuzz/run`; what that has found
//! worth keeping is in `tests/fuzz/corpus`, and is tried with every run of the tests.

pub(crate) mod answer;
mod configuration;
pub(crate) mod fields;
pub(crate) mod paths;
mod preface;

use std::path::Path;

fn replay(name: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn kept_answers_hold() {
    replay("answer", answer::check);
}

#[test]
fn kept_configurations_hold() {
    replay("configuration", configuration::check);
}

#[test]
fn kept_fields_hold() {
    replay("fields", fields::check);
}

#[test]
fn kept_paths_hold() {
    replay("paths", paths::check);
}

#[test]
fn kept_prefaces_hold() {
    replay("preface", preface::check);
}
