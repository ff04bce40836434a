//! Loading: a component's file becomes a [`Policy`] that is linked, configured and ready, or does not go live.

use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use futures_util::FutureExt as _;
use wasmtime::{
    Store, Trap,
    component::{Component, Instance},
};

use super::{
    Compiled, CompiledFolder, Config, Digest, Engine, Fault, Kind, OnFault, Policy, Prepared, Tables,
    cases::Document,
    compiled::{Form, Origin},
    examples,
    limits::{self, Guest, MAX_REASON},
    schema::{Schema, Violation},
    sections::{SectionError, Sections},
    snapshot::{self, Taken},
    tables::TableError,
    text::tame,
    track::{self, Grants, Track},
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
    /// One of the examples that it carries does not come out as it says. The author's fault, or this host's.
    #[error("its own example {name:?} fails: {difference}")]
    Example {
        /// What the example is called.
        name: String,
        /// What was expected and what was found.
        difference: String,
    },
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
    /// A table that it is attached cannot be had.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Larger than any policy needs to be.
    #[error("larger than {} MiB", MAX_COMPONENT >> 20)]
    TooLarge,
    /// An import that no policy is granted.
    #[error("imports {name}, which it is not granted{way}", name = .0, way = way_to_grant(.0))]
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
    digest: Digest,
}

/// Reads, compiles or fetches, links and configures one policy.
pub(super) fn load(
    engine: &Engine,
    config: &Config,
    compiled: Option<&CompiledFolder>,
    tables: Tables,
) -> Result<Policy, LoadProblem> {
    if config.on_fault == OnFault::Skip && config.kind != Kind::Augment {
        return Err(LoadProblem::Skip);
    }
    let source = Source::pinned(config)?;
    let prepared = prepare(engine, config, &source, compiled, Grants { data: !tables.is_empty() })?;
    let Config { name, kind, limits, .. } = config;
    Ok(Policy {
        engine: engine.clone(),
        name: name.clone(),
        kind: *kind,
        digest: source.digest,
        limits: *limits,
        tables,
        prepared,
    })
}

/// Compiles the component at `path` into `folder`, without settings: what `herald policy compile FILE` does. Takes up
/// to half a minute and 350 MiB for the largest; [`Engine::for_compiling`] makes the engine for it.
///
/// # Errors
///
/// [`LoadError`], naming the file and what is wrong with it. Imports and settings are checked when it loads.
pub fn compile(engine: &Engine, path: &Path, folder: &CompiledFolder) -> Result<Compiled, LoadError> {
    let compile = || {
        let source = Source::read(path)?;
        keep(engine, folder, source.in_form(Form::AsBuilt), &source.bytes)
    };
    compile().map_err(LoadError::about(path))
}

/// Compiles the policy that `config` describes into `folder`, its settings taken in: what
/// `herald policy compile --config` does. A component that cannot be snapshotted is compiled as it is.
///
/// # Errors
///
/// [`LoadError`], naming the file and what is wrong with it or its settings.
pub fn compile_configured(engine: &Engine, config: &Config, folder: &CompiledFolder) -> Result<Compiled, LoadError> {
    let compile = || {
        let source = Source::pinned(config)?;
        fits(Sections::of(&source.bytes)?.schema()?.as_ref(), config)?;
        match snapshot::take(engine, config, &source, Some(folder), Grants { data: !config.tables.is_empty() })? {
            Some(Taken { bytes, .. }) => {
                keep(engine, folder, source.in_form(Form::Configured(&config.settings.to_string())), &bytes)
            }
            None => keep(engine, folder, source.in_form(Form::AsBuilt), &source.bytes),
        }
    };
    compile().map_err(LoadError::about(&config.component))
}

/// Checks what can be checked of the component of `config` without its settings: imports, types, what it carries, and
/// its examples. Tables count as attached.
///
/// # Errors
///
/// [`LoadError`], naming the file and what is wrong with it.
pub fn check(engine: &Engine, config: &Config, folder: &CompiledFolder) -> Result<(), LoadError> {
    let check = || {
        let source = Source::pinned(config)?;
        let sections = Sections::of(&source.bytes)?;
        let (schema, cases) = (sections.schema()?, sections.examples()?);
        let component = as_built(engine, &source, Some(folder))?;
        let track = track::link(engine, &component, Grants { data: true })?;
        let cases = cases.map(Document::into_cases).unwrap_or_default();
        examples::run(engine, config, track.as_ref(), schema.as_ref(), &cases)
    };
    check().map_err(LoadError::about(&config.component))
}

/// Compiles `bytes` and writes the code down as made of `origin`.
fn keep(engine: &Engine, folder: &CompiledFolder, origin: Origin<'_>, bytes: &[u8]) -> Result<Compiled, LoadProblem> {
    let code = engine.wasmtime().precompile_component(bytes).map_err(|error| LoadProblem::invalid(&error))?;
    let path = folder.store(engine, origin, &code).map_err(LoadProblem::Read)?;
    Ok(Compiled {
        path,
        digest: origin.component,
        code_bytes: code.len(),
        has_settings: matches!(origin.form, Form::Configured(_)),
    })
}

/// What decisions start from, tried once: a snapshot from the folder; or one taken here, if the component is small;
/// or else the component as it is. Nothing is prepared of one whose settings do not fit or whose examples fail.
fn prepare(
    engine: &Engine,
    config: &Config,
    source: &Source,
    compiled: Option<&CompiledFolder>,
    grants: Grants,
) -> Result<Prepared, LoadProblem> {
    let sections = Sections::of(&source.bytes)?;
    let (schema, cases) = (sections.schema()?, sections.examples()?);
    fits(schema.as_ref(), config)?;
    let settings = config.settings.to_string();
    let configured = source.in_form(Form::Configured(&settings));
    let mut readable = None;
    let snapshot = match fetch(engine, configured, compiled) {
        Some(component) => Some(component),
        None if source.is_small() => match snapshot::take(engine, config, source, compiled, grants)? {
            Some(taken) => {
                readable = Some(taken.readable);
                Some(compile_here(engine, &taken.bytes, configured, compiled)?)
            }
            None => None,
        },
        None => None,
    };
    let (component, settings) = match snapshot {
        Some(component) => (component, None),
        None => {
            let component = as_built(engine, source, compiled)?;
            readable = Some(component.clone());
            (component, Some(settings))
        }
    };
    let track = track::link(engine, &component, grants)?;
    engine
        .with_load_slot(|slot| start(&mut slot.store(&config.limits), track.as_ref(), settings.as_deref()).map(drop))?;
    if let Some(cases) = cases {
        let unconfigured = match readable.or_else(|| fetch(engine, source.in_form(Form::Readable), compiled)) {
            Some(component) => component,
            None => as_built(engine, source, compiled)?,
        };
        let track = track::link(engine, &unconfigured, grants)?;
        examples::run(engine, config, track.as_ref(), schema.as_ref(), &cases.into_cases())?;
    }
    Ok(Prepared { track, settings })
}

/// The component as its author built it, compiled.
fn as_built(engine: &Engine, source: &Source, compiled: Option<&CompiledFolder>) -> Result<Component, LoadProblem> {
    let origin = source.in_form(Form::AsBuilt);
    match fetch(engine, origin, compiled) {
        Some(component) => Ok(component),
        None if source.is_small() => compile_here(engine, &source.bytes, origin, compiled),
        None => Err(LoadProblem::NotCompiled { bytes: source.bytes.len() }),
    }
}

/// Holds the settings of `config` to the schema, if there is one.
fn fits(schema: Option<&Schema>, config: &Config) -> Result<(), LoadProblem> {
    let violations = schema.map(|schema| schema.check(&config.settings)).unwrap_or_default();
    if violations.is_empty() { Ok(()) } else { Err(LoadProblem::Schema(violations)) }
}

/// What an operator does who wants to grant `import`.
fn way_to_grant(import: &str) -> &'static str {
    let data = import.split_once('@').is_some_and(|(interface, _)| interface == track::DATA);
    if data { ": attach the tables that it reads with `tables`" } else { "" }
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

/// The code made of `origin`, if it is in the folder.
pub(super) fn fetch(engine: &Engine, origin: Origin<'_>, compiled: Option<&CompiledFolder>) -> Option<Component> {
    compiled.and_then(|folder| folder.fetch(engine, origin))
}

/// Compiles `bytes`, and keeps the code for the next start if there is a folder.
pub(super) fn compile_here(
    engine: &Engine,
    bytes: &[u8],
    origin: Origin<'_>,
    compiled: Option<&CompiledFolder>,
) -> Result<Component, LoadProblem> {
    let component = Component::from_binary(engine.wasmtime(), bytes).map_err(|error| LoadProblem::invalid(&error))?;
    if let Some(folder) = compiled {
        let stored = component.serialize().map(|code| folder.store(engine, origin, &code));
        if !matches!(stored, Ok(Ok(_))) {
            tracing::warn!(component = %origin.component, "the compiled policy could not be kept: it is compiled again next time");
        }
    }
    Ok(component)
}

/// Starts an instance in `store` and lets it check `settings`, under the bounds of a decision.
pub(super) fn start(
    store: &mut Store<Guest>,
    track: &dyn Track,
    settings: Option<&str>,
) -> Result<Instance, LoadProblem> {
    let said = track.start(store, settings).now_or_never().expect("a load never yields");
    let said = said.map_err(|error| LoadProblem::at_start(&error))?;
    said.map_err(|why| LoadProblem::Settings(tame(&why, MAX_REASON)))
}

// === impl Source ===

impl Source {
    /// Reads a component's file, or says what else it is.
    fn read(path: &Path) -> Result<Self, LoadProblem> {
        let bytes = read_file(path, MAX_COMPONENT).map_err(LoadProblem::Read)?.ok_or(LoadProblem::TooLarge)?;
        let rest = bytes.strip_prefix(MAGIC).ok_or(LoadProblem::NotWasm)?;
        if rest.starts_with(&CORE_VERSION) {
            return Err(LoadProblem::CoreModule);
        }
        Ok(Self { digest: Digest::of(&bytes), bytes })
    }

    /// Reads the component of `config`, if it is the one that is pinned.
    fn pinned(config: &Config) -> Result<Self, LoadProblem> {
        let source = Self::read(&config.component)?;
        match config.sha256 {
            Some(pinned) if pinned != source.digest => Err(LoadProblem::Pin { pinned, found: source.digest }),
            _ => Ok(source),
        }
    }

    /// Whether it may be compiled while serving.
    fn is_small(&self) -> bool {
        self.bytes.len() <= MAX_COMPILED_IN_PROCESS
    }

    pub(super) fn in_form<'a>(&self, form: Form<'a>) -> Origin<'a> {
        Origin { component: self.digest, form }
    }
}

/// The file's bytes; `None` if there are more than `most`.
pub(super) fn read_file(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
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
            Self::Example { .. } => "example_failed",
            Self::Fault(fault) => fault.reason(),
            Self::Invalid(_) => "invalid_component",
            Self::Mismatch(_) => "contract_mismatch",
            Self::NotAPolicy => "not_a_policy",
            Self::NotCompiled { .. } => "not_compiled",
            Self::NotWasm => "not_wasm",
            Self::Pin { .. } => "pin_mismatch",
            Self::Read(_) => "unreadable",
            Self::Schema(_) => "settings_schema",
            Self::Sections(_) => "bad_section",
            Self::Settings(_) => "settings_refused",
            Self::Skip => "skip_not_allowed",
            Self::Table(_) => "table",
            Self::TooLarge => "component_too_large",
            Self::UngrantedImport(_) => "ungranted_import",
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

    fn invalid(error: &wasmtime::Error) -> Self {
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
