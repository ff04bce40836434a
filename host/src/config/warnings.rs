//! What is said about a document that is in force, with a bound.

use super::error::{Problem, Warning};

/// What is reported of a document.
#[derive(Default)]
pub(super) struct Warnings {
    list: Vec<Warning>,
    more: usize,
}

/// Most warnings that are kept with their text.
const MAX_WARNINGS: usize = 1_000;

// === impl Warnings ===

impl Warnings {
    pub(super) fn push(&mut self, line: u32, path: &str, text: String) {
        if self.list.len() == MAX_WARNINGS {
            self.more += 1;
            return;
        }
        self.list.push(Warning { line, path: path.to_owned(), text });
    }

    pub(super) fn left_out(&mut self, problem: &Problem) {
        let line = problem.at.map_or(0, |at| at.line);
        self.push(line, &problem.path(), format!("left out: {}", problem.what));
    }

    /// Those of another part of the same document.
    pub(super) fn append(&mut self, other: Self) {
        self.more += other.more;
        for Warning { line, path, text } in other.list {
            self.push(line, &path, text);
        }
    }

    /// All of them by line, and last how many more there are.
    pub(super) fn finish(mut self) -> Vec<Warning> {
        self.list.sort_by_key(|warning| warning.line);
        if self.more > 0 {
            let text = format!("and {} more of this kind", self.more);
            self.list.push(Warning { line: self.list.last().map_or(0, |last| last.line), path: String::new(), text });
        }
        self.list
    }
}
