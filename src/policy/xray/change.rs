//! Make before break: an inbound with the new pair listens beside the old one before that goes. What is written down
//! before each step, and how a change that was cut off is completed or undone.

use serde::{Deserialize, Serialize};

/// What a second inbound is called while there are two.
const TEMPORARY: &str = "doorman-in-the-meantime:";

/// A change in progress, as it is written down. It holds no key: what is needed stands in Xray itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The inbound.
    pub tag: String,
    /// SHA-256 of the new leaf, hex.
    pub fingerprint: String,
    /// What may have been done already.
    pub phase: Phase,
}

/// How far a change may have come; written before the step itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The second inbound is being made. The first is untouched.
    Adding,
    /// The first is being removed and made again. The second has the right users.
    Replacing,
    /// The first has the right pair and users. The second is being removed.
    Leaving,
}

/// What becomes of a change that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nothing of it is left: it came to its end, or Xray was started anew.
    Forget,
    /// Only the second inbound is removed.
    RemoveTemporary {
        /// The first has the new pair.
        completed: bool,
    },
    /// The first is made again, from the second.
    Recreate,
    /// The first is there again; it gets the users of the second.
    SettleUsers,
}

/// What Xray has of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct There {
    /// The inbound itself.
    pub original: Original,
    /// The second one.
    pub temporary: bool,
}

/// What the inbound that is changed is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// It is not there.
    Absent,
    /// It has the pair of before.
    Old,
    /// It has the new pair.
    New,
}

impl Change {
    /// The second inbound's tag.
    #[must_use]
    pub fn temporary(&self) -> String {
        format!("{TEMPORARY}{}", self.tag)
    }

    /// How to go on after doorman was killed, or Xray did not answer.
    #[must_use]
    pub fn resume(&self, there: There) -> Resume {
        match (there.temporary, there.original, self.phase) {
            (false, _, _) => Resume::Forget,
            (true, Original::Absent, _) => Resume::Recreate,
            (true, Original::New, Phase::Replacing) => Resume::SettleUsers,
            (true, Original::New, Phase::Leaving) => Resume::RemoveTemporary { completed: true },
            // Whoever gave the new pair to an inbound that we had not touched yet gave it its users, too.
            (true, Original::New, Phase::Adding) | (true, Original::Old, _) => {
                Resume::RemoveTemporary { completed: false }
            }
        }
    }
}

/// Whether this is the tag of a second inbound.
#[must_use]
pub fn is_temporary(tag: &str) -> bool {
    tag.starts_with(TEMPORARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_there_a_change_is_completed_or_undone_and_never_leaves_a_port_without_a_listener() {
        for phase in [Phase::Adding, Phase::Replacing, Phase::Leaving] {
            let change = Change { tag: "in".into(), fingerprint: String::new(), phase };
            for original in [Original::Absent, Original::Old, Original::New] {
                let there = |temporary| There { original, temporary };
                assert_eq!(change.resume(there(false)), Resume::Forget);
                let expected = match (original, phase) {
                    (Original::Absent, _) => Resume::Recreate,
                    (Original::New, Phase::Replacing) => Resume::SettleUsers,
                    (Original::New, Phase::Leaving) => Resume::RemoveTemporary { completed: true },
                    (Original::Old, _) | (Original::New, Phase::Adding) => {
                        Resume::RemoveTemporary { completed: false }
                    }
                };
                assert_eq!(change.resume(there(true)), expected);
            }
        }
        assert!(is_temporary(
            &Change { tag: "a".into(), fingerprint: String::new(), phase: Phase::Adding }.temporary()
        ));
        assert!(!is_temporary("inbound-443"));
    }
}
