//! Errors of a configuration: each is one line that names the file, the line and the key.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::de::Unexpected;

use super::finding::{CheckId, Finding};

/// Where something stands in a file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// Why a configuration does not load. The operator's fault; the last good one stays in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// What the file says cannot be put to work.
    #[error("{}{what}", in_front(file))]
    Build {
        /// The configuration file; empty for none.
        file: PathBuf,
        /// The part that failed, and why.
        what: String,
    },
    /// The file does not say what it should.
    #[error("{}:{at}: {what}{}", file.display(), in_brackets(path))]
    Invalid {
        /// The configuration file.
        file: PathBuf,
        /// Where in it.
        at: Position,
        /// The key, e.g. `server.policies[0].name`; empty for the file as a whole.
        path: String,
        /// What is wrong, and what is expected.
        what: String,
    },
    /// A policy does not load.
    #[error("{}: {what}", file.display())]
    Policy {
        /// The configuration file.
        file: PathBuf,
        /// Which policy, and what is wrong with it.
        what: String,
        /// The stable label of that.
        reason: &'static str,
    },
    /// A source that this configuration adds cannot be read.
    #[error("backendMode: {what}")]
    Source {
        /// The source, and why.
        what: String,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read: {cause}", file.display())]
    Unreadable {
        /// That file: the configuration, or one that it names.
        file: PathBuf,
        /// The system's own words.
        cause: std::io::Error,
    },
}

/// A finding before its file is known. Its path grows outwards as it is handed up.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: Option<Position>,
    /// Innermost first.
    path: Vec<Step>,
    pub(super) id: CheckId,
    pub(super) what: String,
    /// What to do about it. A question goes on in the sentence, an instruction follows a colon.
    pub(super) fix: Option<String>,
}

/// One step from a value to what stands in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Index(usize),
    Key(Box<str>),
}

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Build { .. } => "config_build",
            Self::Invalid { .. } => "config_invalid",
            Self::Policy { reason, .. } => reason,
            Self::Source { .. } => "config_source",
            Self::Unreadable { .. } => "config_unreadable",
        }
    }
}

impl ConfigError {
    /// That `finding` refuses `file`.
    pub(super) fn refused(file: &Path, finding: &Finding) -> Self {
        let (at, path, what) = (finding.at, finding.path.clone(), finding.text());
        Self::Invalid { file: file.to_owned(), at, path, what }
    }
}

fn in_front(file: &Path) -> String {
    if file.as_os_str().is_empty() { String::new() } else { format!("{}: ", file.display()) }
}

fn in_brackets(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" ({path})") }
}

// === impl Problem ===

impl Problem {
    pub(super) fn new(at: Position, what: impl Into<String>) -> Self {
        Self { at: Some(at), path: Vec::new(), id: CheckId::InvalidValue, what: what.into(), fix: None }
    }

    /// The same, found by this check.
    pub(super) fn id(self, id: CheckId) -> Self {
        Self { id, ..self }
    }

    /// The same, with what to do about it.
    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// The same, with a hint at what is most likely meant, if there is one.
    pub(super) fn maybe(self, hint: Option<String>) -> Self {
        Self { fix: hint.or(self.fix), ..self }
    }

    /// The same, found under `key`, which stands `at` unless the finding knows better.
    pub(super) fn under(mut self, key: &str, at: Position) -> Self {
        self.path.push(Step::Key(key.into()));
        self.at.get_or_insert(at);
        self
    }

    /// The same, found in a list.
    pub(super) fn within(mut self, index: usize, at: Position) -> Self {
        self.path.push(Step::Index(index));
        self.at.get_or_insert(at);
        self
    }

    /// The key path from the outside in.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.extend([".", key]),
            }
        }
        path
    }

    /// The same as it was numbered before the end of `cut` was taken out of its list.
    pub(super) fn renumber(&mut self, cut: &[Step]) {
        let Some((Step::Index(removed), list)) = cut.split_last() else { return };
        let depth = list.len();
        if self.path.len() <= depth || !self.steps().take(depth).eq(list) {
            return;
        }
        let place = self.path.len() - 1 - depth;
        if let Step::Index(index) = &mut self.path[place] {
            *index += usize::from(*index >= *removed);
        }
    }

    /// The steps from the outside in.
    pub(super) fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.path.iter().rev()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&whole(&self.what, self.fix.as_deref()))
    }
}

impl std::error::Error for Problem {}

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self { at: None, ..Self::new(Position::default(), text.to_string()) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` is missing")).id(CheckId::MissingKey)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` is given twice, under two names")).id(CheckId::DuplicateKey)
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let words: Vec<String> = expected.iter().map(|word| format!("`{word}`")).collect();
        Self::custom(format_args!("expected one of {}, found `{found}`", words.join(", ")))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        if let Unexpected::Signed(_) | Unexpected::Unsigned(_) = found {
            return Self::custom(format_args!("the {found} is out of range"));
        }
        Self::custom(format_args!("expected {expected}, found {found}"))
    }
}

/// A message and what to do about it, in one sentence.
pub(super) fn whole(what: &str, fix: Option<&str>) -> String {
    match fix {
        None => what.to_owned(),
        Some(question) if question.ends_with('?') => format!("{what}, {question}"),
        Some(instruction) => format!("{what}: {instruction}"),
    }
}

/// A hint at the known word that `found` is most likely meant to be.
pub(crate) fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const ALIKE: f64 = 0.6;
    let found = found.to_ascii_lowercase();
    let rate = |word: &'a str| (strsim::normalized_damerau_levenshtein(&found, &word.to_ascii_lowercase()), word);
    let best = known.into_iter().map(rate).max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(alike, _)| *alike >= ALIKE).map(|(_, word)| format!("did you mean `{word}`?"))
}
