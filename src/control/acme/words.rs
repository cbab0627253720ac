//! What the CA said, fit for a sentence of ours.

use instant_acme::Problem;

use super::selfcheck::CHALLENGE_PATH;

/// The CA's own words without the token, which is nobody else's business, and without the URL where they go on after it.
pub(super) fn cause(problem: &Problem) -> String {
    let words = words(problem);
    let Some((before, rest)) = words.split_once(CHALLENGE_PATH) else {
        return words;
    };
    let is_of_a_token = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let after = rest.trim_start_matches(is_of_a_token);
    match after.trim_start_matches(['"', '\'', ':', ' ']) {
        "" => format!("{before}{CHALLENGE_PATH}…{after}"),
        _ if !after.contains(':') => format!("{before}{CHALLENGE_PATH}…{after}"),
        cause => cause.to_owned(),
    }
}

/// The CA's own words, on one line, and not more of them than fit a message.
fn words(problem: &Problem) -> String {
    const LONGEST: usize = 300;
    let subproblems = problem.subproblems.iter().filter_map(|sub| sub.detail.as_deref());
    let details: Vec<_> = problem.detail.as_deref().into_iter().chain(subproblems).collect();
    let text = if details.is_empty() {
        problem.r#type.clone().unwrap_or_else(|| "without a reason".to_owned())
    } else {
        details.join("; ")
    };
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|character| !character.is_control())
        .take(LONGEST)
        .collect()
}
