//! What the administrator hears while the CA is away for seven days; `docs/runbook.md` shows it as it is generated here,
//! and `tests/golden/` has the messages themselves.

use std::fmt::Write as _;

use super::*;
use crate::config::Language;
use crate::policy::alert::Edge;
use crate::policy::alert::text::Place;

const RUNBOOK: &str = include_str!("../../../../docs/runbook.md");
const FENCE: &str = "```";

const MESSAGES: [(Language, &str, &str); 2] = [
    (Language::English, "seven-days.en.txt", include_str!("../../../../tests/golden/seven-days.en.txt")),
    (
        Language::Chinese,
        "seven-days.zh-CN.txt",
        include_str!("../../../../tests/golden/seven-days.zh-CN.txt"),
    ),
];

/// The world after it, and when it began.
fn outage() -> (World, OffsetDateTime) {
    let mut world = undisturbed(SHORTLIVED, HOUR * 70);
    let gone = world.now;
    world.befalls(Misfortune::CaDown, DAY * 7);
    world.live_until(gone + DAY * 7);
    world.befalls(Misfortune::None, DAY * 2);
    world.live_until(gone + DAY * 8);
    (world, gone)
}

/// The story as a text: hours since the CA went away, and what was said or done.
fn story() -> String {
    let (world, gone) = outage();
    let in_vain = |at: &&OffsetDateTime| (gone..gone + DAY * 7).contains(*at);
    let tries_in_vain = world.tries.iter().filter(in_vain).count();
    let first = *world.tries.iter().find(|at| **at >= gone).unwrap();
    let mut lines = vec![
        (gone, "the CA is gone".to_owned()),
        (first, "the renewal is due; the first try fails".to_owned()),
    ];
    for (at, alert) in &world.alerts {
        let again = if alert.edge == Edge::Reminder { " (reminder)" } else { "" };
        let severity = format!("{:?}", alert.kind.severity()).to_uppercase();
        lines.push((*at, format!("{severity} {}{again}: {}", alert.kind, alert.kind.sentence())));
    }
    lines.push((gone + DAY * 7, format!("the CA is back, after {tries_in_vain} tries in vain")));
    lines.sort_by_key(|(at, _)| *at);
    lines.iter().fold(String::new(), |mut text, (at, line)| {
        let minutes = (*at - gone).whole_minutes();
        writeln!(text, "{:>4} h {:02} min  {line}", minutes / 60, minutes % 60).unwrap();
        text
    })
}

#[test]
fn the_runbook_tells_the_story_of_seven_days_without_a_ca_as_it_is() {
    let (_, rest) = RUNBOOK.split_once("<!-- generated: seven days without the CA -->\n").unwrap();
    let told = rest.split(FENCE).nth(1).unwrap().trim_start_matches("text\n");
    let story = story();
    assert_eq!(told, story, "the story is now:\n{story}");
}

/// Every message of the story, as it is sent in one language.
fn messages(language: Language) -> String {
    let (world, gone) = outage();
    let place =
        Place { host: "vps-1".to_owned(), addresses: vec!["203.0.113.7".to_owned()], stands_in: true };
    world.notices.iter().fold(String::new(), |mut text, notice| {
        let hours = (notice.at - gone).whole_hours();
        let message = notice.html(&place, language, notice.at, 0);
        writeln!(text, "---- {hours} h\n{message}\n").unwrap();
        text
    })
}

#[test]
fn the_messages_of_seven_days_without_a_ca_are_the_golden_ones_in_every_language() {
    for (language, file, golden) in MESSAGES {
        let messages = messages(language);
        assert_eq!(golden, messages, "tests/golden/{file} would be:\n{messages}");
    }
}

#[test]
fn seven_days_without_a_ca_are_asked_sparingly_and_to_the_end() {
    let mut world = undisturbed(SHORTLIVED, HOUR * 70);
    let before = world.tries.len();
    world.befalls(Misfortune::CaDown, DAY * 7);
    world.live_until(BEGIN + HOUR * 70 + DAY * 7);
    let tries = world.tries.len() - before;
    assert!((12..24 * 7).contains(&tries), "{tries} tries");
    assert_eq!(world.lifecycle.health(world.now), Health::Expired);
    let last = *world.tries.last().unwrap();
    assert!(world.now - last < HOUR * 2, "it went on asking");
}
