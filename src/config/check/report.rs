//! Where the checks leave what they find, so that none of them stops at the first problem.

use std::cell::RefCell;

use crate::config::problem::{Found, Problem, Warning};
use crate::config::written::{Node, Origin};

/// What was found so far.
#[derive(Debug, Default)]
pub(in crate::config) struct Report {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Report {
    /// A value that must be written differently. What came by a flag is reported under the flag's name.
    pub(super) fn refuse(&self, key: &str, at: Option<Origin>, found: Found, write: impl Into<String>) {
        let (line, key) = place(key, at);
        self.problems.borrow_mut().push(Problem { line, column: None, key, found, write: write.into() });
    }

    /// Something odd that works.
    pub(super) fn warn(&self, key: &str, at: Option<Origin>, says: impl Into<String>) {
        let (line, key) = place(key, at);
        self.warnings.borrow_mut().push(Warning { line, key, says: says.into() });
    }

    /// Everything found, in the order of the file; what has no line comes last.
    pub(in crate::config) fn finish(self) -> (Vec<Problem>, Vec<Warning>) {
        let mut problems = self.problems.into_inner();
        let mut warnings = self.warnings.into_inner();
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        warnings.sort_by_key(|warning| warning.line.unwrap_or(usize::MAX));
        (problems, warnings)
    }
}

/// How the value of `node` is shown.
pub(super) fn shown(node: &Node<'_>) -> Found {
    match node.at {
        Origin::Line(_) => Found::written(&node.written),
        Origin::Flag(_) => Found::written(&format!("\"{}\"", node.written)),
    }
}

fn place(key: &str, at: Option<Origin>) -> (Option<usize>, String) {
    match at {
        Some(Origin::Line(line)) => (Some(line), key.to_owned()),
        Some(Origin::Flag(flag)) => (None, flag.to_owned()),
        None => (None, key.to_owned()),
    }
}
