//! The log budget of one evaluation: a flood is counted, not kept.

use super::{LogLine, text::tame};

/// Most lines one evaluation keeps.
const MAX_LINES: usize = 32;
/// Most bytes of text one evaluation keeps, all lines together.
const MAX_BYTES: usize = 4096;
/// Most bytes of one line.
const MAX_LINE: usize = 1024;

/// What one evaluation has logged.
#[derive(Debug, Default)]
pub(super) struct LogBudget {
    lines: Vec<LogLine>,
    bytes: usize,
    dropped: u64,
}

// === impl LogBudget ===

impl LogBudget {
    /// Keeps a line, cuts it to what is left of the budget, or counts it as dropped.
    pub(super) fn push(&mut self, level: &'static str, message: &str) {
        let room = MAX_LINE.min(MAX_BYTES - self.bytes);
        if self.lines.len() == MAX_LINES || room == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let message = tame(message, room);
        self.bytes += message.len();
        self.lines.push(LogLine { level, message });
    }

    /// The last line of level `error`.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.lines.iter().rfind(|line| line.level == "error").map(|line| line.message.as_str())
    }

    /// The lines, and behind them the number of those that were dropped, if any was.
    pub(super) fn finish(mut self) -> Vec<LogLine> {
        if self.dropped > 0 {
            let message = format!("({} more lines were dropped)", self.dropped);
            self.lines.push(LogLine { level: "warn", message });
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_bytes_are_bounded_and_drops_are_counted() {
        #[track_caller]
        fn check(count: usize, message: &str, lines: usize, bytes: usize, last: &str) {
            let mut budget = LogBudget::default();
            (0..count).for_each(|_| budget.push("info", message));
            let found = budget.finish();
            assert_eq!((found.len(), found.iter().map(|line| line.message.len()).sum()), (lines, bytes));
            assert_eq!(found.last().map_or("", |line| &line.message), last);
        }
        check(0, "", 0, 0, "");
        check(1, "a\nb", 1, 7, r"a\u{a}b");
        check(32, "x", 32, 32, "x");
        check(33, "x", 33, 32 + 27, "(1 more lines were dropped)");
        check(9, &"x".repeat(1025), 5, 4 * 1024 + 27, "(5 more lines were dropped)");
    }
}
