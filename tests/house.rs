//! The rules of the house that no compiler knows: which room may know which, how large a thing may grow, and that what
//! is written for people is true.

#![expect(clippy::unwrap_used, reason = "a rule that cannot be checked is broken")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const LONGEST_FUNCTION: usize = 70;
const LONGEST_FILE: usize = 400;

/// A source file, with its tests taken off.
struct Source {
    /// Relative to the package, e.g. `src/policy/route.rs`.
    name: String,
    /// Its lines of code: neither comments nor what follows `#[cfg(test)]`; with their numbers.
    code: Vec<(usize, String)>,
    /// Every line above the tests, comments too.
    lines: Vec<String>,
}

#[test]
fn the_planes_do_not_know_each_other() {
    nothing_in("src/proxy", &["crate::control", "control::", "{control,"]);
    nothing_in("src/control", &["crate::proxy", "proxy::", "{proxy,"]);
    nothing_in(
        "src/shared",
        &["crate::proxy", "crate::control", "tokio::spawn", "spawn_local", "thread::spawn"],
    );
}

#[test]
fn policy_can_neither_wait_nor_look_at_the_world() {
    nothing_in(
        "src/policy",
        &[
            "tokio",
            "hyper",
            "async ",
            ".await",
            "std::fs",
            "std::env",
            "std::process",
            "std::thread",
            "std::io",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "ToSocketAddrs",
            "SystemTime",
            "Instant::now",
            "now_utc",
            "clock::",
            "rand",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::panel",
        ],
    );
}

#[test]
fn only_the_library_root_hands_out_writers() {
    let mut broken = String::new();
    for source in sources("src") {
        let may = source.name == "src/lib.rs" || source.name.starts_with("src/shared/");
        for maker in ["cell(", "challenges::table(", "listeners::board(", "tls::served("] {
            for (number, line) in source.code.iter().filter(|(_, line)| !may && calls(line, maker)) {
                writeln!(broken, "{}:{number}: {}", source.name, line.trim()).unwrap();
            }
        }
    }
    assert!(
        broken.is_empty(),
        "cells are made in src/lib.rs, which hands a writer to one plane only:\n{broken}"
    );
}

#[test]
fn a_function_fits_a_screen_and_a_file_a_sitting() {
    let mut broken = String::new();
    let mut functions = 0;
    for source in sources("src") {
        if source.lines.len() >= LONGEST_FILE {
            writeln!(broken, "{}: {} lines", source.name, source.lines.len()).unwrap();
        }
        for (number, length) in function_lengths(&source.lines) {
            functions += 1;
            if length > LONGEST_FUNCTION {
                writeln!(broken, "{}:{number}: a function of {length} lines", source.name).unwrap();
            }
        }
    }
    assert!(functions > 10, "the rule found only {functions} functions");
    assert!(broken.is_empty(), "{broken}");
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        concat!("to", "do!("),
        concat!("unimplem", "ented!("),
        concat!("#[ign", "ore"),
        concat!("FIX", "ME"),
    ];
    for room in ["src", "tests"] {
        nothing_in_text_of(room, &words);
    }
}

#[test]
fn every_sample_configuration_passes_the_real_check() {
    let check = |file: &Path| {
        let checked = Command::new(env!("CARGO_BIN_EXE_doorman"))
            .args(["check", "--config"])
            .arg(file)
            .output()
            .unwrap();
        (checked.status.code(), String::from_utf8_lossy(&checked.stdout).into_owned())
    };
    for sample in files("conf", "toml") {
        let (code, said) = check(&sample);
        assert_eq!(code, Some(0), "{}: {said}", sample.display());
    }
    let broken = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(&broken, "[panel]\nupstreem = 1\n").unwrap();
    assert_eq!(check(broken.path()).0, Some(78), "a check that passes everything proves nothing");
}

#[test]
fn the_map_shows_only_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md");
    let rooms = ["src/", "tests/", "docs/", "conf/", "systemd/"];
    let named: Vec<_> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| rooms.iter().any(|room| name.starts_with(room)))
        .collect();
    assert!(!named.is_empty(), "docs/ARCHITECTURE.md names no file");
    for name in named {
        assert!(root.join(name).exists(), "docs/ARCHITECTURE.md names {name}, which does not exist");
    }
}

#[test]
fn messages_are_fetched_in_one_place_only_and_no_webhook_is_touched() {
    let forbidden = ["get_updates", "set_webhook", "delete_webhook", "set_my_commands", "get_me", "log_out"];
    let mut fetching = Vec::new();
    for source in sources("src") {
        for (number, line) in &source.code {
            if forbidden.iter().any(|call| mentions(line, call)) {
                fetching.push(format!("{}:{number}: {}", source.name, line.trim()));
            }
        }
    }
    let [only] = &fetching[..] else { panic!("{fetching:#?}") };
    assert!(only.starts_with("src/control/notify/commands.rs:") && only.contains("get_updates"), "{only}");
}

#[test]
fn every_alert_has_a_section_in_the_runbook() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runbook = std::fs::read_to_string(root.join("docs/runbook.md")).unwrap();
    let headings: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for kind in doorman::policy::alert::Kind::ALL {
        assert!(headings.contains(&kind.as_str()), "docs/runbook.md has no section {kind}");
    }
}

/// None of `words` is in the code of `room`.
fn nothing_in(room: &str, words: &[&str]) {
    let mut broken = String::new();
    for source in sources(room) {
        for (number, line) in &source.code {
            for word in words.iter().filter(|word| mentions(line, word)) {
                writeln!(broken, "{}:{number}: {word:?} in {}", source.name, line.trim()).unwrap();
            }
        }
    }
    assert!(broken.is_empty(), "{broken}");
}

/// None of `words` is in any file of `room`, tests and comments included.
fn nothing_in_text_of(room: &str, words: &[&str]) {
    for path in files(room, "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in words {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
}

/// Whether `word` stands in `line`, and not as a part of a longer name.
fn mentions(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].ends_with(is_name) && word.starts_with(is_name);
        let after = line[at + word.len()..].starts_with(is_name) && word.ends_with(is_name);
        !before && !after
    })
}

/// Whether `line` calls `maker`, a name with its opening parenthesis, and does not define it.
fn calls(line: &str, maker: &str) -> bool {
    !line.contains("fn ") && mentions(line, maker)
}

/// Where each function begins (line number) and how many lines it has, relying on rustfmt's indentation.
fn function_lengths(lines: &[String]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let words: Vec<_> = line.trim_start().split([' ', '(']).take(6).collect();
        let modifiers = ["pub", "crate)", "super)", "const", "async", "unsafe", "extern", "in"];
        if words.iter().find(|word| !modifiers.contains(word)) != Some(&"fn") {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        if let Some(length) = lines[start..].iter().position(|line| {
            *line == end || line.ends_with(';') && line.len() - line.trim_start().len() == indent.len()
        }) {
            found.push((start + 1, length + 1));
        }
    }
    found
}

fn sources(room: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<_> = files(room, "rs")
        .iter()
        .map(|path| {
            (path.strip_prefix(root).unwrap().display().to_string(), std::fs::read_to_string(path).unwrap())
        })
        .filter(|(name, _)| !name.ends_with("/tests.rs") && !name.contains("/tests/"))
        .map(|(name, text)| source(name, &text))
        .collect();
    assert!(!sources.is_empty(), "{room} holds no source");
    sources
}

fn source(name: String, text: &str) -> Source {
    let lines: Vec<_> = text.lines().take_while(|line| *line != "#[cfg(test)]").map(str::to_owned).collect();
    let numbered = lines.iter().enumerate().map(|(index, line)| (index + 1, line.clone()));
    let code = numbered.filter(|(_, line)| !line.trim_start().starts_with("//")).collect();
    Source { name, code, lines }
}

/// Every file below `room` with this extension; there is at least one.
fn files(room: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rooms = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(room)];
    while let Some(room) = rooms.pop() {
        let entries = std::fs::read_dir(&room).unwrap_or_else(|error| panic!("{}: {error}", room.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rooms.extend((path.file_name() != Some("target".as_ref())).then_some(path));
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{room} holds no .{extension} file");
    found.sort();
    found
}

/// The rules themselves, on code that breaks them.
mod rules {
    use super::{calls, function_lengths, mentions};

    #[test]
    fn a_name_is_found_whole_and_not_within_another() {
        assert!(mentions("use crate::control::Context;", "crate::control"));
        assert!(mentions("let x = rand::random();", "rand"));
        assert!(!mentions("let operand = 1;", "rand"));
        assert!(!mentions("let random = 1;", "rand"));
        assert!(calls("let (a, b) = cell(1);", "cell("));
        assert!(!calls("pub fn cell(initial: u8) {", "cell("));
        assert!(!calls("let x = supercell(1);", "cell("));
    }

    #[test]
    fn a_function_is_measured_from_its_first_line_to_its_brace() {
        let text = "impl A {\n    pub(crate) async fn f(\n        x: u8,\n    ) {\n        g();\n    }\n    fn h();\n}\nfn i() {}\n";
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        assert_eq!(function_lengths(&lines), [(2, 5), (7, 1)]);
    }
}
