use super::{Flags, PANEL, accepted, outcome, warned};
use crate::config::check::SECTIONS;

const REFERENCE: &str = include_str!("../../../conf/reference.toml");
const START: &str = include_str!("../../../conf/doorman.toml");

/// The keys that a commented-out example would set with a file that is not there.
fn is_secret_file(line: &str) -> bool {
    line.split(" = ").next().is_some_and(|key| key.ends_with("_file") && key != "#ca_file")
}

#[test]
fn two_edited_lines_are_enough_to_start() {
    assert_eq!(accepted(START).ip_cert, None);
    assert_eq!(warned(START).len(), 1);
    let edited = START.replace("#ip = \"203.0.113.7\"", "ip = \"9.9.9.9\"").replace(":13688", ":2053");
    let changed = START.lines().zip(edited.lines()).filter(|(before, after)| before != after).count();
    assert_eq!(changed, 2);
    assert_eq!(accepted(&edited).ip_cert.unwrap().ips.len(), 1);
    assert_eq!(warned(&edited), []);
}

#[test]
fn the_reference_has_every_key() {
    for (section, keys) in SECTIONS.iter().filter(|(section, _)| !section.is_empty()) {
        let header = if *section == "forward" { "#[[forward]]".to_owned() } else { format!("[{section}]") };
        let (_, rest) = REFERENCE.split_once(&format!("\n{header}\n")).unwrap();
        let end = rest.find("\n[").unwrap_or(rest.len());
        for key in *keys {
            let there = rest[..end]
                .lines()
                .any(|line| line.trim_start_matches('#').starts_with(&format!("{key} = ")));
            assert!(there, "{section}.{key} is not in conf/reference.toml");
        }
    }
}

#[test]
fn the_reference_says_the_defaults() {
    assert_eq!(accepted(REFERENCE), accepted(PANEL));
    // The certificate's defaults show once it is enabled, with an address that may be.
    let enabled = REFERENCE.replace("enabled = false", "enabled = true").replace("203.0.113.7", "9.9.9.9");
    let least = format!("{PANEL}[ip_cert]\nip = \"9.9.9.9\"\nprofile = \"shortlived\"\n"); // named, it must be offered
    assert!(accepted(&enabled).ip_cert.is_some());
    assert_eq!(accepted(&enabled), accepted(&least));
}

#[test]
fn each_example_in_the_reference_is_valid() {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    let example = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let mut tried = 0;
    let mut index = 0;
    while index < lines.len() {
        let end = (index..lines.len()).find(|at| !example(lines[*at])).unwrap_or(lines.len());
        if end > index && !is_secret_file(lines[index]) {
            let mut uncommented: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            for line in uncommented[index..end]
                .iter_mut()
                .filter(|line| !line.starts_with("#pin_sha256") || end == index + 1)
            {
                line.remove(0);
            }
            let (_, problems, _) = outcome("reference.toml", &uncommented.join("\n"), &Flags::default());
            assert_eq!(problems, [], "with line {} and on uncommented", index + 1);
            tried += 1;
        }
        index = end.max(index + 1);
    }
    assert!(tried >= 6, "only {tried} examples were found");
}
