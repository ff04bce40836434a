//! Machine code that the commands for authors keep between runs: compiling a JavaScript or Python component takes half
//! a minute, and `test`, `run` and `bench` follow each other on the same one; so do commands that look at a configuration.
//! No server reads it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use super::progress::Step;
use crate::{
    config::{self, ConfigError, Shared},
    observe::Metrics,
    policy::{self, Bounds, CompiledFolder, Config, Engine, LoadError, LoadProblem},
};

/// Where it is kept; a folder for this process alone if there is no better one.
pub(super) struct Cache {
    folder: CompiledFolder,
    path: PathBuf,
    /// Gone with this.
    _scratch: Option<TempDir>,
    /// Places that are left if nothing more can be written to this one.
    rest: Vec<Place>,
    /// The next of them, once this was so.
    instead: OnceLock<Box<Self>>,
}

/// Where code may be kept.
#[derive(Clone, Debug)]
enum Place {
    /// In this folder, for the next run.
    Kept(PathBuf),
    /// In one of this process's own below this folder, until it ends.
    Scratch(PathBuf),
}

/// Below the user's cache folder (XDG Base Directory Specification).
const PLACE: &str = "herald/policies";
/// How much is kept. A large component takes three files: as built, readable and with settings. Another command may be at work.
const BOUNDS: Bounds = Bounds { in_use: Duration::from_secs(60), files: 16, ..Bounds::OF_SERVERS };

const NOT_KEPT: &str = "compiled code cannot be kept, so that the next command compiles again";
/// Memory (shm_overview(7)): there is room where a disk is full.
const IN_MEMORY: &str = "/dev/shm";

/// What `config` needs for a look at it. Its policies are compiled in this process however large they are, and kept.
pub(in crate::cli) fn shared(config: &config::Config) -> Result<Shared, ConfigError> {
    let (metrics, now) = (Arc::new(Metrics::default()), crate::cli::now);
    let cache = if config.policies.is_empty() { None } else { Cache::open().ok() };
    let Some(cache) = cache else { return Shared::new(config, metrics, None, now) };
    // Before any is loaded, since only then it is known where they can be kept. What fails here fails there again, and is told.
    config.policies.iter().for_each(|policy| drop(cache.compile_configured(policy)));
    let shared = Shared::new(config, metrics, Some(cache.last().path.clone()), now)?;
    Ok(shared.compiling(Arc::new(move |_, policy, _| {
        cache.compile_configured(policy).map_err(|error| format!("{error:#}"))
    })))
}

// === impl Cache ===

impl Cache {
    /// Opens the user's, or makes one for this process where that cannot be used.
    pub(super) fn open() -> anyhow::Result<Self> {
        let users = place(env::var_os("XDG_CACHE_HOME"), env::home_dir()).map(Place::Kept);
        let scratch = [env::temp_dir(), PathBuf::from(IN_MEMORY)].map(Place::Scratch);
        Self::first(&users.into_iter().chain(scratch).collect::<Vec<_>>())
    }

    /// The first of `places` that can be used.
    fn first(places: &[Place]) -> anyhow::Result<Self> {
        let (place, rest) = places.split_first().context("there is no folder for compiled policies")?;
        match place.open() {
            Ok((folder, path, scratch)) => {
                Ok(Self { folder, path, _scratch: scratch, rest: rest.to_vec(), instead: OnceLock::new() })
            }
            Err(error) if !rest.is_empty() => {
                tracing::warn!("{NOT_KEPT}: {error:#}");
                Self::first(rest)
            }
            Err(error) => Err(error),
        }
    }

    /// Where code went that was compiled last.
    pub(super) fn folder(&self) -> &CompiledFolder {
        &self.last().folder
    }

    /// Compiles `component` on every processor, unless that has been done before.
    pub(super) fn compile(&self, component: &Path) -> anyhow::Result<()> {
        let _step = self.step();
        let engine = Engine::for_compiling()?;
        self.with_room(&|folder| policy::compile(&engine, component, folder).map(drop))
    }

    /// Compiles the policy of `config` with its settings taken in, unless that has been done before.
    pub(super) fn compile_configured(&self, config: &Config) -> anyhow::Result<()> {
        let _step = self.step();
        let engine = Engine::for_compiling()?;
        self.with_room(&|folder| policy::compile_configured(&engine, config, folder).map(drop))
    }

    /// Has `compile` write where that can be done: a folder that opens may be full, or only be read.
    fn with_room(&self, compile: &dyn Fn(&CompiledFolder) -> Result<(), LoadError>) -> anyhow::Result<()> {
        if let Some(instead) = self.instead.get() {
            return instead.with_room(compile);
        }
        let LoadError { path, problem } = match compile(&self.folder) {
            Err(error) if matches!(error.problem, LoadProblem::NotKept(_)) => error,
            done => return done.map_err(Into::into),
        };
        let Ok(instead) = Self::first(&self.rest) else { return Err(LoadError { path, problem }.into()) };
        let (folder, error) = (self.path.display(), anyhow::Error::new(problem));
        tracing::warn!(%folder, "{NOT_KEPT}: {error:#}");
        self.instead.get_or_init(|| Box::new(instead)).with_room(compile)
    }

    /// The one that is used by now.
    fn last(&self) -> &Self {
        self.instead.get().map_or(self, |instead| instead.last())
    }

    fn step(&self) -> Step {
        // Before the new one comes, so that it is not the one to go. What cannot be removed does no harm.
        let _ = self.folder().tidy(&BOUNDS, crate::cli::now());
        Step::start("compiling")
    }
}

// === impl Place ===

impl Place {
    fn open(&self) -> anyhow::Result<(CompiledFolder, PathBuf, Option<TempDir>)> {
        let (path, scratch) = match self {
            Self::Kept(path) => (path.clone(), None),
            Self::Scratch(parent) => {
                let scratch = tempfile::tempdir_in(parent).context("no folder for temporary files")?;
                (scratch.path().join("compiled"), Some(scratch))
            }
        };
        Ok((CompiledFolder::open(&path)?, path, scratch))
    }
}

fn place(cache: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = cache.map(PathBuf::from).filter(absolute);
    cache.or_else(|| home.filter(absolute).map(|home| home.join(".cache"))).map(|cache| cache.join(PLACE))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::policy::tests::{Fixture, guest::Guest};

    #[test]
    fn it_is_where_users_keep_such_things() {
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(place(Some("/x".into()), path("/home/a")), path("/x/herald/policies"));
        assert_eq!(place(Some("".into()), path("/home/a")), path("/home/a/.cache/herald/policies"));
        assert_eq!(place(Some("x".into()), None), None);
        assert_eq!(place(None, path("")), None);
    }

    #[test]
    fn what_cannot_be_kept_is_compiled_all_the_same() {
        let (fixture, folder) = (Fixture::new(&Guest::echoing().component()), tempfile::tempdir().expect("a folder"));
        let (kept, nowhere) = (folder.path().join("kept"), folder.path().join("nowhere"));
        let places = [Place::Kept(kept.clone()), Place::Scratch(nowhere), Place::Scratch(folder.path().to_owned())];
        let engine = Engine::for_compiling().expect("an engine");
        let is_found = |cache: &Cache| {
            policy::find_compiled(&engine, fixture.path(), cache.folder()).expect("a component").is_some()
        };

        let cache = Cache::first(&places).expect("a cache");
        // As it is where nothing can be written; who runs tests may write to what is read-only for others.
        fs::remove_dir_all(&kept).expect("removed");
        cache.compile(fixture.path()).expect("compiled");
        assert!(is_found(&cache) && !kept.exists(), "it is in the second that there is");
        cache.compile(fixture.path()).expect("still there");
        drop(cache);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "and gone with the process");

        let cache = Cache::first(&places[..1]).expect("a cache");
        fs::remove_dir_all(&kept).expect("removed");
        let error = cache.compile(fixture.path()).expect_err("nowhere to write");
        assert!(error.to_string().contains("its compiled code cannot be kept"), "{error:#}");

        fs::write(&kept, "in the way").expect("a file");
        let cache = Cache::first(&places).expect("a cache");
        cache.compile(fixture.path()).expect("compiled");
        assert!(is_found(&cache), "one that does not even open");
    }
}
