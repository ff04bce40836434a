//! What is no YAML, in the words of an operator: where it is, and what most often leads to it.

use serde::de::DeserializeOwned;

use super::{
    error::{Position, Problem},
    finding::CheckId,
    node::position,
};

const BEYOND_BUDGET: &str = "larger, deeper or with more aliases than a configuration may be";
const TWO_DOCUMENTS: &str = "a second document starts here: a file holds one";

/// Reads a document that is no configuration, in YAML or JSON.
///
/// # Errors
///
/// What is wrong with it, behind its line and column.
pub(crate) fn read_document<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let problem = from_yaml(&error, text);
        let Position { line, column } = problem.at.unwrap_or_default();
        format!("line {line} column {column}: {problem}")
    })
}

/// The parser's `error` about `text`.
pub(super) fn from_yaml(error: &serde_saphyr::Error, text: &str) -> Problem {
    let at = error.location().map_or(Position { line: 1, column: 1 }, |location| position(&location));
    let words = error.without_snippet().to_string();
    let what = match words.split(" at line ").next().unwrap_or_default() {
        _ if matches!(error.without_snippet(), serde_saphyr::Error::MultipleDocuments { .. }) => {
            TWO_DOCUMENTS.to_owned()
        }
        what if what.starts_with("budget breached") => BEYOND_BUDGET.to_owned(),
        what => what.replace('\n', " "),
    };
    let line = text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default();
    let unquoted = line.split_once(':').is_some_and(|(_, value)| value.trim_start().starts_with("{{"))
        || line.trim_start().trim_start_matches("- ").trim_start().starts_with("{{");
    let tab = line.chars().take_while(|letter| letter.is_whitespace()).any(|letter| letter == '\t');
    let misplaced = what.contains("did not find expected");
    let problem = Problem::new(at, what).id(CheckId::Yaml);
    match (unquoted, tab) {
        (true, _) => problem.fix("a value that starts with {{ needs quotes"),
        (_, true) => problem.fix("indent with blanks, YAML allows no tabs there"),
        _ if misplaced => problem.fix("compare how far this line and those above it are indented"),
        _ => problem,
    }
}
