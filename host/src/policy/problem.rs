//! Why a policy does not load: which file, what is wrong with it, and whose it is to mend.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use super::{
    Digest, Fault,
    cloud::Fact,
    limits::{self, MAX_REASON},
    loader::{MAX_COMPILED_IN_PROCESS, MAX_COMPONENT},
    schema::Violation,
    sections::SectionError,
    tables::TableError,
    text::tame,
    track,
};

/// A policy that did not load: which file, and what is wrong with it.
#[derive(Debug)]
pub struct LoadError {
    /// The component's file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: LoadProblem,
}

/// What can be wrong with a policy's file or its settings. Nearly all of it is the operator's or the author's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadProblem {
    /// A core module where a component must be.
    #[error("a core WebAssembly module, not a component: build it with `herald policy build`")]
    CoreModule,
    /// One of the examples that it carries does not come out as it says. The author's fault, or this host's.
    #[error("its own example {name:?} fails: {difference}")]
    Example {
        /// What the example is called.
        name: String,
        /// What was expected and what was found.
        difference: String,
    },
    /// It broke a bound or trapped while it took its settings.
    #[error("failed while it took its settings: {fault}{}", said(words.as_deref()))]
    Fault {
        /// How it failed.
        fault: Fault,
        /// The last error that it logged: where it panicked, and why.
        words: Option<String>,
    },
    /// Bytes that are no valid component.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// Imports and exports are there, but with other types than the contract's.
    #[error("does not fit the policy contract: {0}")]
    Mismatch(String),
    /// A component without our export.
    #[error("not a policy: it exports no herald:policy/mapper")]
    NotAPolicy,
    /// Too large to be compiled beside logins, and another process is at it. Nobody has to mend anything.
    #[error("being compiled by another process")]
    Compiling,
    /// Too large to be compiled beside logins.
    #[error(
        "not compiled yet, and with {bytes} bytes too large to compile while serving (at most {MAX_COMPILED_IN_PROCESS}): \
         run `herald policy compile` first"
    )]
    NotCompiled {
        /// The component's size.
        bytes: usize,
    },
    /// Too large to be compiled beside logins, and the process that was to do it did not.
    #[error("not compiled: too large to compile while serving, and a process of its own did not: {0}")]
    NotCompiledElsewhere(String),
    /// Its code was compiled, or would have been, but cannot be written down. The operator's to mend.
    #[error("its compiled code cannot be kept")]
    NotKept(#[source] io::Error),
    /// Not WebAssembly.
    #[error("not a WebAssembly file")]
    NotWasm,
    /// Another file than the pinned one.
    #[error("has the SHA-256 {found}, but {pinned} is pinned")]
    Pin {
        /// What the configuration says.
        pinned: Digest,
        /// What the file has.
        found: Digest,
    },
    /// The file cannot be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// The settings do not fit the schema that it carries; at least one violation.
    #[error("its settings do not fit its schema: {}", listed(.0))]
    Schema(Vec<Violation>),
    /// What it says of itself cannot be used.
    #[error(transparent)]
    Sections(SectionError),
    /// The policy refuses its settings.
    #[error("refuses its settings: {0}")]
    Settings(String),
    /// `onFault: skip` where it could widen what a caller gets.
    #[error("onFault: skip is only for policies of kind augment")]
    Skip,
    /// The system did not give what every component needs. Not the component's fault; tried again at the next load.
    #[error("the system gives no memory to start it with: {0}")]
    System(String),
    /// An interface of the system's, which no policy is granted. The author's to mend: policies are built without.
    #[error(
        "imports {0}, and no policy gets anything of the system: no clock, file, network or environment; build it with \
         `herald policy build`"
    )]
    SystemImport(String),
    /// A table that it is attached cannot be had.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Larger than any policy needs to be.
    #[error("larger than {} MiB", MAX_COMPONENT >> 20)]
    TooLarge,
    /// The file ends before the component does.
    #[error("{}", SectionError::EndsEarly)]
    Truncated,
    /// An interface that this host has, and this policy is not granted.
    #[error("imports {import}, which it is not granted{way}", way = way_to_grant(import, facts))]
    UngrantedImport {
        /// The interface.
        import: String,
        /// The facts about callers that it asks for by it.
        facts: Vec<Fact>,
    },
    /// An interface that this host does not have, or not in that version.
    #[error("imports {0}, which this host does not have")]
    UnknownImport(String),
    /// A version of the contract that this host does not speak.
    #[error("made for version {found} of the policy contract; this host speaks {known}")]
    UnknownVersion {
        /// What the component is made for.
        found: String,
        /// What the host speaks.
        known: String,
    },
}

/// What an operator does who wants to grant `import`, by which it asks for `facts`.
fn way_to_grant(import: &str, facts: &[Fact]) -> String {
    match import.split_once('@') {
        Some((track::CLOUD, _)) => format!(": grant it with `{}`", Fact::grant(facts)),
        Some((track::DATA, _)) => ": attach the tables that it reads with `tables`".to_owned(),
        _ => String::new(),
    }
}

fn said(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| format!("; the last error that it logged: {words}"))
}

/// The first few violations in one line.
fn listed(violations: &[Violation]) -> String {
    const SHOWN: usize = 3;
    let mut text: Vec<String> = violations.iter().take(SHOWN).map(ToString::to_string).collect();
    if violations.len() > SHOWN {
        text.push(format!("and {} more", violations.len() - SHOWN));
    }
    text.join("; ")
}

// === impl LoadError ===

impl LoadError {
    /// Names the file that `problem` is about.
    pub(super) fn about(path: &Path) -> impl FnOnce(LoadProblem) -> Self {
        move |problem| Self { path: path.to_owned(), problem }
    }

    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.problem.reason()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// The problem is in the text, so the source is what is behind it.
impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

// === impl LoadProblem ===

impl LoadProblem {
    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::CoreModule => "core_module",
            Self::Example { .. } => "example_failed",
            Self::Fault { fault, .. } => fault.reason(),
            Self::Invalid(_) => "invalid_component",
            Self::Mismatch(_) => "contract_mismatch",
            Self::NotAPolicy => "not_a_policy",
            Self::NotCompiled { .. } | Self::NotCompiledElsewhere(_) => "not_compiled",
            Self::NotKept(_) => "not_kept",
            Self::NotWasm => "not_wasm",
            Self::Pin { .. } => "pin_mismatch",
            Self::Read(_) => "unreadable",
            Self::Schema(_) => "settings_schema",
            Self::Sections(_) => "bad_section",
            Self::Settings(_) => "settings_refused",
            Self::Skip => "skip_not_allowed",
            Self::System(_) => "system",
            Self::SystemImport(_) => "system_import",
            Self::Table(_) => "table",
            Self::TooLarge => "component_too_large",
            Self::Truncated => "truncated_component",
            Self::UngrantedImport { .. } => "ungranted_import",
            Self::UnknownImport(_) => "unknown_import",
            Self::UnknownVersion { .. } => "unknown_version",
        }
    }

    /// What is wrong, without what every message about settings repeats.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Schema(violations) => listed(violations),
            Self::Settings(why) => why.clone(),
            other => other.to_string(),
        }
    }

    pub(super) fn invalid(error: &wasmtime::Error) -> Self {
        Self::Invalid(tame(&format!("{error:#}"), MAX_REASON))
    }

    /// The first start checks the types of the exports; what is neither a trap nor a bound is about them, or about a value
    /// that is none of its type.
    pub(super) fn at_start(error: &wasmtime::Error, words: Option<&str>) -> Self {
        match limits::fault(error) {
            Fault::Malformed(_) => Self::mismatch(error),
            fault => Self::Fault { fault, words: words.map(str::to_owned) },
        }
    }

    pub(super) fn mismatch(error: &wasmtime::Error) -> Self {
        Self::Mismatch(tame(&format!("{error:#}"), MAX_REASON))
    }
}
