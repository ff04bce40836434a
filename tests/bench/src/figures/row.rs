//! One row of the table: a measure, what the floor and Herald did, and what is to be reached.

use serde::Serialize;

use crate::statistics::{Spread, median};

/// A measure with all its repeats.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// What is measured, with its circumstances.
    measure: String,
    /// The unit of both sides.
    unit: &'static str,
    /// The floor's figures, one a repeat; empty when there is no floor.
    floor: Vec<f64>,
    /// Herald's figures, one a repeat.
    herald: Vec<f64>,
    /// What is to be reached; more than one where there is a stricter goal beside the first.
    goals: Vec<Goal>,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Goal {
    /// Herald's figure is at least this.
    AtLeast(f64),
    /// Herald's figure is at least the floor's times this.
    AtLeastFloor(f64),
    /// Herald's figure is at most this.
    AtMost(f64),
    /// Herald's figure is at most the floor's times this.
    AtMostFloor(f64),
    /// Shown for its own sake.
    Information,
}

// === impl Row ===

impl Row {
    /// A row with a floor beside it, both measured in the same repeats.
    pub(super) fn pair(
        measure: impl Into<String>,
        unit: &'static str,
        floor: Vec<f64>,
        herald: Vec<f64>,
        goal: Goal,
    ) -> Self {
        Self { measure: measure.into(), unit, floor, herald, goals: vec![goal] }
    }

    /// A row without a floor.
    pub(super) fn alone(measure: impl Into<String>, unit: &'static str, herald: Vec<f64>, goal: Goal) -> Self {
        Self::pair(measure, unit, Vec::new(), herald, goal)
    }

    /// In the place of rows that cannot be measured here: a reader is not to take them for met.
    pub(super) fn left_out(what: &str, why: &str) -> Self {
        Self::alone(format!("not measured: {what}; {why}"), "", Vec::new(), Goal::Information)
    }

    /// The same with one more goal.
    pub(super) fn and(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// Herald to floor, within each repeat.
    fn ratios(&self) -> Option<Spread> {
        Spread::of(
            self.floor
                .iter()
                .zip(&self.herald)
                .filter(|(floor, _)| **floor > 0.0)
                .map(|(floor, herald)| herald / floor),
        )
    }

    /// Whether each goal is reached by the medians; `None` when there is none or nothing was measured.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = Option<bool>> {
        self.goals.iter().map(|goal| self.is_met(*goal))
    }

    fn is_met(&self, goal: Goal) -> Option<bool> {
        let (herald, ratio) = (median(self.herald.iter().copied()), self.ratios().map(|spread| spread.median));
        match goal {
            Goal::AtLeast(limit) => Some(herald? >= limit),
            Goal::AtLeastFloor(limit) => Some(ratio? >= limit),
            Goal::AtMost(limit) => Some(herald? <= limit),
            Goal::AtMostFloor(limit) => Some(ratio? <= limit),
            Goal::Information => None,
        }
    }

    /// The columns of this row.
    pub(super) fn columns(&self) -> [String; 6] {
        let show = |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string());
        let unit = if self.unit.is_empty() { String::new() } else { format!(", {}", self.unit) };
        let verdict = |met| match met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "–",
        };
        let goals: Vec<String> = self.goals.iter().map(Goal::to_string).collect();
        [
            format!("{}{unit}", self.measure),
            show(Spread::of(self.floor.iter().copied())),
            show(Spread::of(self.herald.iter().copied())),
            show(self.ratios()),
            goals.join("; "),
            self.verdicts().map(verdict).collect::<Vec<_>>().join("; "),
        ]
    }
}

// === impl Goal ===

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
            Self::AtLeastFloor(limit) => write!(f, "≥ {limit} × floor"),
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::AtMostFloor(limit) => write!(f, "≤ {limit} × floor"),
            Self::Information => f.write_str("–"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_by_medians_and_ratios_within_a_repeat() {
        #[track_caller]
        fn check(floor: &[f64], herald: &[f64], goal: Goal, met: Option<bool>) {
            let row = Row::pair("measure", "µs", floor.to_vec(), herald.to_vec(), goal);
            assert_eq!(row.verdicts().collect::<Vec<_>>(), [met], "{row:?}");
        }
        check(&[100.0], &[180.0], Goal::AtMostFloor(1.8), Some(true));
        check(&[100.0], &[181.0], Goal::AtMostFloor(1.8), Some(false));
        // The loaded repeat slows both: its ratio counts like the others'.
        check(&[100.0, 900.0, 100.0], &[150.0, 1300.0, 150.0], Goal::AtMostFloor(1.5), Some(true));
        check(&[100.0], &[60.0], Goal::AtLeastFloor(0.6), Some(true));
        check(&[], &[0.0], Goal::AtMost(0.0), Some(true));
        check(&[], &[1.0], Goal::AtMost(0.0), Some(false));
        check(&[], &[0.99], Goal::AtLeast(0.98), Some(true));
        check(&[], &[], Goal::AtMost(40.0), None);
        check(&[], &[3.0], Goal::AtMostFloor(2.0), None);
        check(&[1.0], &[3.0], Goal::Information, None);
    }

    #[test]
    fn columns() {
        let row = Row::pair("CPU", "µs", vec![100.0, 110.0], vec![150.0, 165.0], Goal::AtMostFloor(1.8));
        let columns = ["CPU, µs", "105 (100–110)", "158 (150–165)", "1.50", "≤ 1.8 × floor", "met"];
        assert_eq!(row.columns(), columns);
        let columns =
            ["CPU, µs", "105 (100–110)", "158 (150–165)", "1.50", "≤ 1.8 × floor; ≤ 1.4 × floor", "met; missed"];
        assert_eq!(row.and(Goal::AtMostFloor(1.4)).columns(), columns);
        let columns = ["not measured: a login; there is no cloud", "–", "–", "–", "–", "–"];
        assert_eq!(Row::left_out("a login", "there is no cloud").columns(), columns);
    }
}
