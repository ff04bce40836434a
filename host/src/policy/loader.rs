//! Loading: a component's file becomes a [`Policy`] that is linked, configured and ready, or does not go live.

use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use futures_util::FutureExt as _;
use wasmtime::{Trap, component::Component};

use super::{
    CompiledFolder, Config, Digest, Engine, Fault, Kind, OnFault, Policy, Prepared,
    limits::{self, MAX_REASON},
    text::tame,
    track::{self, Track},
};

/// Largest component file.
const MAX_COMPONENT: u64 = 32 << 20;
/// Largest component that is compiled while serving: it takes about 16 MiB of memory then.
const MAX_COMPILED_IN_PROCESS: usize = 256 << 10;
/// The first bytes of every WebAssembly file (WebAssembly Core Specification, "Binary Format: Modules").
const MAGIC: &[u8] = b"\0asm";
/// What follows them in a core module; a component has another number there.
const CORE_VERSION: [u8; 4] = [1, 0, 0, 0];

/// A policy that did not load: which file, and what is wrong with it.
#[derive(Debug)]
pub struct LoadError {
    /// The component's file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: LoadProblem,
}

/// What can be wrong with a policy's file or its settings. All of it is the operator's or the author's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadProblem {
    /// A core module where a component must be.
    #[error("a core WebAssembly module, not a component: build it with `herald policy build`")]
    CoreModule,
    /// It broke a bound or trapped while it took its settings.
    #[error("failed while it took its settings: {0}")]
    Fault(Fault),
    /// Bytes that are no valid component, truncated ones among them.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// Imports and exports are there, but with other types than the contract's.
    #[error("does not fit the policy contract: {0}")]
    Mismatch(String),
    /// A component without our export.
    #[error("not a policy: it exports no herald:policy/mapper")]
    NotAPolicy,
    /// Too large to be compiled beside logins.
    #[error(
        "not compiled yet, and with {bytes} bytes too large to compile while serving (at most {MAX_COMPILED_IN_PROCESS}): \
         run `herald policy compile` first"
    )]
    NotCompiled {
        /// The component's size.
        bytes: usize,
    },
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
    /// The policy refuses its settings.
    #[error("refuses its settings: {0}")]
    Settings(String),
    /// `onFault: skip` where it could widen what a caller gets.
    #[error("onFault: skip is only for policies of kind augment")]
    Skip,
    /// Larger than any policy needs to be.
    #[error("larger than {} MiB", MAX_COMPONENT >> 20)]
    TooLarge,
    /// An import that no policy is granted.
    #[error("imports {0}, which it is not granted")]
    UngrantedImport(String),
    /// A version of the contract that this host does not speak.
    #[error("made for version {found} of the policy contract; this host speaks {known}")]
    UnknownVersion {
        /// What the component is made for.
        found: String,
        /// What the host speaks.
        known: String,
    },
}

/// A component's file, read and recognised.
pub(super) struct Source {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
}

/// Reads, compiles or fetches, links and configures one policy.
pub(super) fn load(engine: &Engine, config: &Config, compiled: Option<&CompiledFolder>) -> Result<Policy, LoadProblem> {
    if config.on_fault == OnFault::Skip && config.kind != Kind::Augment {
        return Err(LoadProblem::Skip);
    }
    let source = Source::read(&config.component)?;
    source.check_pin(config.sha256)?;
    let track = track::link(engine, &component(engine, &source, compiled)?)?;
    let prepared = Prepared { track, settings: config.settings.to_string() };
    configure(engine, config, prepared.track.as_ref(), &prepared.settings)?;
    let Config { name, kind, limits, .. } = config;
    Ok(Policy {
        engine: engine.clone(),
        name: name.clone(),
        kind: *kind,
        digest: source.digest,
        limits: *limits,
        prepared,
    })
}

/// Machine code for `source`: from the folder, else compiled here if it is small.
fn component(engine: &Engine, source: &Source, compiled: Option<&CompiledFolder>) -> Result<Component, LoadProblem> {
    if let Some(component) = compiled.and_then(|folder| folder.fetch(engine, source.digest)) {
        return Ok(component);
    }
    let bytes = source.bytes.len();
    if bytes > MAX_COMPILED_IN_PROCESS {
        return Err(LoadProblem::NotCompiled { bytes });
    }
    let component =
        Component::from_binary(engine.wasmtime(), &source.bytes).map_err(|error| LoadProblem::invalid(&error))?;
    if let Some(folder) = compiled {
        let stored = component.serialize().map(|code| folder.store(engine, source.digest, &code));
        if !matches!(stored, Ok(Ok(_))) {
            tracing::warn!(component = %source.digest, "the compiled policy could not be kept: it is compiled again next time");
        }
    }
    Ok(component)
}

/// Lets the policy check its settings once, under the bounds of a decision.
fn configure(engine: &Engine, config: &Config, track: &dyn Track, settings: &str) -> Result<(), LoadProblem> {
    let said = engine.with_load_slot(|slot| {
        let mut store = slot.store(&config.limits);
        track.configure(&mut store, settings).now_or_never().expect("a load never yields")
    });
    let said = said.map_err(|error| LoadProblem::at_start(&error))?;
    said.map_err(|why| LoadProblem::Settings(tame(&why, MAX_REASON)))
}

// === impl Source ===

impl Source {
    /// Reads a component's file, or says what else it is.
    pub(super) fn read(path: &Path) -> Result<Self, LoadProblem> {
        let bytes = read_file(path, MAX_COMPONENT).map_err(LoadProblem::Read)?.ok_or(LoadProblem::TooLarge)?;
        let rest = bytes.strip_prefix(MAGIC).ok_or(LoadProblem::NotWasm)?;
        if rest.starts_with(&CORE_VERSION) {
            return Err(LoadProblem::CoreModule);
        }
        Ok(Self { digest: Digest::of(&bytes), bytes })
    }

    fn check_pin(&self, pinned: Option<Digest>) -> Result<(), LoadProblem> {
        match pinned {
            Some(pinned) if pinned != self.digest => Err(LoadProblem::Pin { pinned, found: self.digest }),
            _ => Ok(()),
        }
    }
}

/// The file's bytes; `None` if there are more than `most`.
fn read_file(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.len().min(most)).unwrap_or_default());
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
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
            Self::CoreModule => "core_module",
            Self::Fault(fault) => fault.reason(),
            Self::Invalid(_) => "invalid_component",
            Self::Mismatch(_) => "contract_mismatch",
            Self::NotAPolicy => "not_a_policy",
            Self::NotCompiled { .. } => "not_compiled",
            Self::NotWasm => "not_wasm",
            Self::Pin { .. } => "pin_mismatch",
            Self::Read(_) => "unreadable",
            Self::Settings(_) => "settings_refused",
            Self::Skip => "skip_not_allowed",
            Self::TooLarge => "component_too_large",
            Self::UngrantedImport(_) => "ungranted_import",
            Self::UnknownVersion { .. } => "unknown_version",
        }
    }

    pub(super) fn invalid(error: &wasmtime::Error) -> Self {
        Self::Invalid(tame(&format!("{error:#}"), MAX_REASON))
    }

    /// The first start checks the types of the exports; what is neither a trap nor a bound is about them.
    fn at_start(error: &wasmtime::Error) -> Self {
        match limits::fault(error) {
            Fault::Trap(_) if !error.is::<Trap>() => Self::mismatch(error),
            fault => Self::Fault(fault),
        }
    }

    pub(super) fn mismatch(error: &wasmtime::Error) -> Self {
        Self::Mismatch(tame(&format!("{error:#}"), MAX_REASON))
    }
}
