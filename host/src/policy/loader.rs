//! Loading: a component's file becomes a [`Policy`] that is linked, configured and ready, or does not go live.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use wasmtime::{
    Store,
    component::{Component, Instance},
};

use super::{
    Compiled, CompiledFolder, Config, Digest, Elsewhere, Engine, Fault, Kind, LoadError, LoadProblem, OnFault, Policy,
    Prepared, Tables,
    cases::{Case, Document},
    compiled::{Form, Origin},
    examples,
    limits::{Guest, MAX_REASON},
    schema::Schema,
    sections::Sections,
    snapshot::{Instrumented, Taken},
    stranger,
    text::{tame, tame_lines},
    track::{self, Grants, Track},
};

/// Largest component file.
pub(super) const MAX_COMPONENT: u64 = 32 << 20;
/// Largest component that is compiled while serving: it takes about 16 MiB of memory then.
pub(super) const MAX_COMPILED_IN_PROCESS: usize = 256 << 10;
/// The first bytes of every WebAssembly file (WebAssembly Core Specification, "Binary Format: Modules").
const MAGIC: &[u8] = b"\0asm";
/// What follows them in a core module; a component has another number there.
const CORE_VERSION: [u8; 4] = [1, 0, 0, 0];

/// A component's file, read and recognised.
pub(super) struct Source {
    pub(super) bytes: Vec<u8>,
    digest: Digest,
}

/// Reads, compiles or fetches, links and configures one policy. `for_cases`: as if there were a snapshot wherever there can be
/// one.
pub(super) fn load(
    engine: &Engine,
    config: &Config,
    compiled: Option<&CompiledFolder>,
    tables: Tables,
    for_cases: bool,
) -> Result<Policy, LoadProblem> {
    if config.on_fault == OnFault::Skip && config.kind != Kind::Augment {
        return Err(LoadProblem::Skip);
    }
    let source = Source::pinned(config)?;
    let (engine, prepared) = prepare(
        engine,
        config,
        &source,
        compiled,
        Grants { data: !tables.is_empty(), cloud: !config.cloud.is_empty() },
        for_cases,
    )?;
    let Config { name, kind, limits, .. } = config;
    Ok(Policy {
        engine: engine.clone(),
        name: name.clone(),
        kind: *kind,
        digest: source.digest,
        limits: *limits,
        tables,
        granted: config.cloud.clone(),
        cloud: None,
        prepared: Arc::new(prepared),
    })
}

/// The bytes of the component at `path`.
///
/// # Errors
///
/// [`LoadError`], when it cannot be read, is too large or is something else.
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    Source::read(path).map(|source| source.bytes).map_err(LoadError::about(path))
}

/// Compiles the component at `path` into `folder`, without settings, unless that has been done: what
/// `herald policy compile FILE` does. Takes up to half a minute and 350 MiB for the largest; [`Engine::for_compiling`] makes
/// the engine for it.
///
/// # Errors
///
/// [`LoadError`], naming the file and what is wrong with it. Imports and settings are checked when it loads.
pub fn compile(engine: &Engine, path: &Path, folder: &CompiledFolder) -> Result<Compiled, LoadError> {
    let compile = || compile_as_built(engine, &Source::read(path)?, folder);
    compile().map_err(LoadError::about(path))
}

/// What [`compile`] would find in `folder` and not compile again; `None` if there is no such code, or none that is ours and whole.
///
/// # Errors
///
/// [`LoadError`], naming the file and what is wrong with it.
pub fn find_compiled(engine: &Engine, path: &Path, folder: &CompiledFolder) -> Result<Option<Compiled>, LoadError> {
    let source = Source::read(path).map_err(LoadError::about(path))?;
    Ok(folder.find(engine, source.in_form(Form::AsBuilt)))
}

/// Compiles the policy that `config` describes into `folder`, its settings taken in, unless that has been done: what
/// `herald policy compile --config` does. A component that cannot be snapshotted is compiled as it is.
///
/// # Errors
///
/// [`LoadError`], naming the file and what is wrong with it or its settings.
pub fn compile_configured(engine: &Engine, config: &Config, folder: &CompiledFolder) -> Result<Compiled, LoadError> {
    let compile = || {
        let (source, settings) = (Source::pinned(config)?, config.settings.to_string());
        let configured = source.configured(&settings);
        let sections = Sections::of(&source.bytes)?;
        let is_whole =
            || Ok::<_, LoadProblem>(sections.examples()?.is_none() || kept(engine, &source, Some(folder)).is_some());
        if let Some(found) = folder.find(engine, configured)
            && is_whole()?
        {
            return Ok(found);
        }
        fits(sections.schema()?.as_ref(), config)?;
        if let Some(instrumented) = Instrumented::of(&source) {
            folder.writable().map_err(LoadProblem::NotKept)?;
            let grants = Grants { data: !config.tables.is_empty(), cloud: !config.cloud.is_empty() };
            if let Some(Taken { bytes, .. }) = instrumented.take(engine, config, Some(folder), grants)? {
                return keep(engine, folder, configured, &bytes);
            }
        }
        compile_as_built(engine, &source, folder)
    };
    compile().map_err(LoadError::about(&config.component))
}

fn compile_as_built(engine: &Engine, source: &Source, folder: &CompiledFolder) -> Result<Compiled, LoadProblem> {
    let as_built = source.in_form(Form::AsBuilt);
    match folder.find(engine, as_built) {
        Some(found) => Ok(found),
        None => {
            folder.writable().map_err(LoadProblem::NotKept)?;
            keep(engine, folder, as_built, &source.bytes)
        }
    }
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
        let track = track::link(engine, &component, Grants { data: true, cloud: true })?;
        let cases = cases.map(Document::into_cases).unwrap_or_default();
        let apart = Instrumented::of(&source).is_some();
        examples::run(engine, config, track.as_ref(), schema.as_ref(), &cases, apart)
    };
    check().map_err(LoadError::about(&config.component))
}

/// Compiles `bytes` and writes the code down as made of `origin`, with what has been kept for other settings.
fn keep(engine: &Engine, folder: &CompiledFolder, origin: Origin<'_>, bytes: &[u8]) -> Result<Compiled, LoadProblem> {
    let compile = || compiled_from(|| engine.wasmtime().precompile_component(bytes));
    let code = match (engine.functions(), origin.form) {
        (Some(functions), Form::Configured(_)) => {
            functions.begin(folder.functions(engine, origin.component).as_deref());
            let code = compile();
            if let Some(used) = functions.end() {
                let kept = folder.store(engine, Origin { form: Form::Functions, ..origin }, &used);
                if let Err(error) = kept {
                    tracing::debug!(component = %origin.component, %error, "other settings will take as long to compile");
                }
            }
            code?
        }
        _ => compile()?,
    };
    folder.store(engine, origin, &code).map_err(LoadProblem::NotKept)
}

/// What the compiler makes of somebody's component.
fn compiled_from<T>(compile: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, LoadProblem> {
    stranger::caught(compile)?.map_err(|error| LoadProblem::invalid(&error))
}

/// What decisions start from, tried once, and the engine that it is for: a snapshot from the folder; or one taken here, if the
/// component is small, or elsewhere, if it is large; or else the component as it is. Nothing is prepared of one whose settings do
/// not fit or whose examples fail.
fn prepare<'a>(
    engine: &'a Engine,
    config: &Config,
    source: &Source,
    compiled: Option<&CompiledFolder>,
    grants: Grants,
    for_cases: bool,
) -> Result<(&'a Engine, Prepared), LoadProblem> {
    let sections = Sections::of(&source.bytes)?;
    let (schema, cases) = (sections.schema()?, sections.examples()?);
    fits(schema.as_ref(), config)?;
    let settings = config.settings.to_string();
    let configured = source.configured(&settings);
    let snapshot = fetch(engine, configured, compiled);
    let mut unconfigured = (snapshot.is_some() && cases.is_some()).then(|| kept(engine, source, compiled)).flatten();
    let is_whole = source.is_small() || cases.is_none() || unconfigured.is_some();
    let snapshot = match snapshot {
        Some(component) if is_whole => Some(component),
        None if source.is_small() => {
            let taken = Instrumented::of(source).map(|it| it.take(engine, config, compiled, grants));
            let here = |taken: Taken| {
                unconfigured = Some((engine.draft(), taken.readable));
                compile_here(engine, &taken.bytes, configured, compiled)
            };
            taken.transpose()?.flatten().map(here).transpose()?
        }
        _ => match made_elsewhere(engine, config, source, configured, compiled) {
            Ok(component) => component,
            Err(unmade) => {
                let cases = cases.map(Document::into_cases).unwrap_or_default();
                let meanwhile = meanwhile(engine, config, source, compiled, grants, (schema.as_ref(), &cases))?;
                match (&meanwhile, &unmade) {
                    (Some(_), LoadProblem::NotCompiledElsewhere(why)) => {
                        tracing::warn!(policy = %config.name, "takes its settings in at every decision, since it could not be compiled with them: {why}");
                    }
                    (Some(_), _) => {
                        tracing::info!(policy = %config.name, "takes its settings in at every decision until it is compiled with them");
                    }
                    (None, _) => {}
                }
                return meanwhile.ok_or(unmade);
            }
        },
    };
    let (component, settings) = match snapshot {
        Some(component) => (component, None),
        None => {
            let component = as_built(engine, source, compiled)?;
            unconfigured = Some((engine, component.clone()));
            (component, Some(settings))
        }
    };
    let track = track::link(engine, &component, grants)?;
    let apart = settings.is_none() || (for_cases && !source.is_small() && Instrumented::of(source).is_some());
    let configures_apart = apart && settings.is_some();
    let limits = if configures_apart { config.limits.of_configure() } else { config.limits };
    engine.with_load_slot(|slot| start(&mut slot.store(&limits), track.as_ref(), settings.as_deref()).map(drop))?;
    if let Some(cases) = cases {
        let (engine, unconfigured) = match unconfigured.or_else(|| kept(engine, source, compiled)) {
            Some(found) => found,
            None => (engine, as_built(engine, source, compiled)?),
        };
        let track = track::link(engine, &unconfigured, grants)?;
        examples::run(engine, config, track.as_ref(), schema.as_ref(), &cases.into_cases(), apart)?;
    }
    let facts = track::facts(engine, &component);
    Ok((
        engine,
        Prepared { track, settings, configures_apart, meanwhile: false, facts, share: engine.share(config.mode) },
    ))
}

/// What decisions start from while there is no snapshot with the settings of `config` yet: code that takes any, if taking them
/// in is within the limits of one decision. Where there will be a snapshot, the decision has its own limits behind that, so that
/// none fails which would not later. `None`: there is no such code, or it takes longer.
fn meanwhile<'a>(
    engine: &'a Engine,
    config: &Config,
    source: &Source,
    compiled: Option<&CompiledFolder>,
    grants: Grants,
    (schema, cases): (Option<&Schema>, &[Case]),
) -> Result<Option<(&'a Engine, Prepared)>, LoadProblem> {
    let code = |engine: &'a Engine, form| Some((engine, fetch(engine, source.in_form(form), compiled)?));
    let readable = code(engine.draft(), Form::Readable).map(|found| (found, true));
    let as_built = || code(engine, Form::AsBuilt).map(|found| (found, Instrumented::of(source).is_some()));
    let Some(((engine, component), apart)) = readable.or_else(as_built) else { return Ok(None) };
    let track = track::link(engine, &component, grants)?;
    let settings = config.settings.to_string();
    let tried =
        engine.with_load_slot(|slot| start(&mut slot.store(&config.limits), track.as_ref(), Some(&settings)).map(drop));
    match tried {
        // A snapshot's bounds are wider.
        Err(LoadProblem::Fault { fault: Fault::Fuel | Fault::Timeout, .. }) => return Ok(None),
        tried => tried?,
    }
    examples::run(engine, config, track.as_ref(), schema, cases, apart)?;
    let facts = track::facts(engine, &component);
    Ok(Some((
        engine,
        Prepared {
            track,
            settings: Some(settings),
            configures_apart: apart,
            meanwhile: true,
            facts,
            share: engine.share(config.mode),
        },
    )))
}

/// The snapshot of a large component, made where its compiling harms nobody. `None`: there can be none of it, or nobody who
/// makes it.
fn made_elsewhere(
    engine: &Engine,
    config: &Config,
    source: &Source,
    configured: Origin<'_>,
    compiled: Option<&CompiledFolder>,
) -> Result<Option<Component>, LoadProblem> {
    let elsewhere = |folder: &CompiledFolder| folder.compile_elsewhere(config, source.digest);
    match compiled.and_then(elsewhere) {
        None => Ok(None),
        Some(Ok(Elsewhere::Done)) => Ok(fetch(engine, configured, compiled)),
        Some(Ok(Elsewhere::UnderWay)) => Err(LoadProblem::Compiling),
        Some(Err(why)) => Err(LoadProblem::NotCompiledElsewhere(why)),
    }
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

/// The code that takes any settings, if it is in the folder, and the engine that it is for. What the component's own examples
/// run in.
fn kept<'a>(engine: &'a Engine, source: &Source, compiled: Option<&CompiledFolder>) -> Option<(&'a Engine, Component)> {
    let form = |engine: &'a Engine, form| Some((engine, fetch(engine, source.in_form(form), compiled)?));
    form(engine.draft(), Form::Readable).or_else(|| form(engine, Form::AsBuilt))
}

/// Holds the settings of `config` to the schema, if there is one.
fn fits(schema: Option<&Schema>, config: &Config) -> Result<(), LoadProblem> {
    let violations = schema.map(|schema| schema.check(&config.settings)).unwrap_or_default();
    if violations.is_empty() { Ok(()) } else { Err(LoadProblem::Schema(violations)) }
}

/// The code made of `origin`, if it is in the folder.
pub(super) fn fetch(engine: &Engine, origin: Origin<'_>, compiled: Option<&CompiledFolder>) -> Option<Component> {
    compiled.and_then(|folder| folder.fetch(engine, origin))
}

/// How often the system is asked for the memory that a component starts with, and how long to wait before each other time.
const IMAGE_TRIES: usize = 10;
const IMAGE_PAUSE: Duration = Duration::from_millis(200);

/// Compiles `bytes`, and keeps the code for the next start if there is a folder; then it is the kept code that is run, as it
/// will be then, whose pages the kernel can drop.
pub(super) fn compile_here(
    engine: &Engine,
    bytes: &[u8],
    origin: Origin<'_>,
    compiled: Option<&CompiledFolder>,
) -> Result<Component, LoadProblem> {
    let component = compiled_from(|| Component::from_binary(engine.wasmtime(), bytes))?;
    if let Some(folder) = compiled {
        let code = component.serialize().map_err(|error| io::Error::other(format!("{error:#}")));
        match code.and_then(|code| folder.store(engine, origin, &code)) {
            Ok(_) => {
                if let Some(kept) = folder.fetch(engine, origin) {
                    return Ok(kept);
                }
            }
            Err(error) => {
                tracing::warn!(component = %origin.component, %error, "the compiled policy could not be kept: it is compiled again next time");
            }
        }
    }
    with_image(&component)?;
    Ok(component)
}

/// Makes the memory that instances of a component start with, which takes a file in memory that nobody can change. While
/// anything in the kernel still looks at the pages just written, it refuses that (`EBUSY`, fcntl(2), "File Sealing"):
/// nobody's fault, and over a moment later.
pub(super) fn with_image(component: &Component) -> Result<(), LoadProblem> {
    tries(IMAGE_TRIES, IMAGE_PAUSE, || component.initialize_copy_on_write_image())
        .map_err(|error| LoadProblem::System(tame(&format!("{error:#}"), MAX_REASON)))
}

/// What `attempt` gives the first time that it succeeds, or the `most`th time that it does not.
pub(super) fn tries<T, E>(most: usize, pause: Duration, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..most {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
        thread::sleep(pause);
    }
    attempt()
}

/// Starts an instance in `store` and lets it check `settings`, under the bounds of a decision.
pub(super) fn start(
    store: &mut Store<Guest>,
    track: &dyn Track,
    settings: Option<&str>,
) -> Result<Instance, LoadProblem> {
    let said = track.start(store, settings).now_or_never().expect("a load never yields");
    let said = said.map_err(|error| LoadProblem::at_start(&error, store.data().log.last_error()))?;
    said.map_err(|why| LoadProblem::Settings(tame_lines(&why, MAX_REASON)))
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
        stranger::check(&bytes)?;
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

    fn configured<'a>(&self, settings: &'a str) -> Origin<'a> {
        self.in_form(Form::Configured(settings))
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
