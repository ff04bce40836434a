//! Errors and warnings of a configuration: each is one line that names the file, the line and the key.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::de::Unexpected;

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
    #[error("{}: {what}", file.display())]
    Build {
        /// The configuration file.
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

/// Something in a file that is left out or has no effect. The rest of the file is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The line, counted from 1.
    pub line: u32,
    /// The key, e.g. `server.mapRoles[3]`.
    pub path: String,
    /// What is wrong and what came of it.
    pub text: String,
}

/// A finding before its file is known. Its path grows outwards as it is handed up.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: Option<Position>,
    /// Innermost first.
    path: Vec<Step>,
    pub(super) what: String,
}

#[derive(Debug)]
enum Step {
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
            Self::Source { .. } => "config_source",
            Self::Unreadable { .. } => "config_unreadable",
        }
    }
}

fn in_brackets(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" ({path})") }
}

// === impl Warning ===

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}{}", self.line, self.text, in_brackets(&self.path))
    }
}

// === impl Problem ===

impl Problem {
    pub(super) fn new(at: Position, what: impl Into<String>) -> Self {
        Self { at: Some(at), path: Vec::new(), what: what.into() }
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

    pub(super) fn in_file(self, file: &Path) -> ConfigError {
        let path = self.path();
        let at = self.at.unwrap_or(Position { line: 1, column: 1 });
        ConfigError::Invalid { file: file.to_owned(), at, path, what: self.what }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self { at: None, path: Vec::new(), what: text.to_string() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` is given twice, under two names"))
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

/// A hint at the known word that `found` is most likely meant to be, or nothing.
pub(super) fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const ALIKE: f64 = 0.6;
    let found = found.to_ascii_lowercase();
    let rate = |word: &'a str| (strsim::normalized_damerau_levenshtein(&found, &word.to_ascii_lowercase()), word);
    let best = known.into_iter().map(rate).max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(alike, _)| *alike >= ALIKE).map_or_else(String::new, |(_, word)| format!(", did you mean `{word}`?"))
}
