//! Machine code that the commands for authors keep between runs: compiling a JavaScript or Python component takes half
//! a minute, and `test`, `run` and `bench` follow each other on the same one; so do commands that look at a configuration.
//! No server reads it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;

use super::progress::Step;
use crate::{
    config::{self, ConfigError, Shared},
    observe::Metrics,
    policy::{self, Bounds, CompiledFolder, Config, Engine},
};

/// Where it is kept; a folder for this process alone if there is no better one.
pub(super) struct Cache {
    folder: CompiledFolder,
    path: PathBuf,
    /// Gone with this.
    _scratch: Option<tempfile::TempDir>,
}

/// Below the user's cache folder (XDG Base Directory Specification).
const PLACE: &str = "herald/policies";
/// How much is kept. A large component takes three files: as built, readable and with settings. Another command may be at work.
const BOUNDS: Bounds = Bounds { in_use: Duration::from_secs(60), files: 16, ..Bounds::OF_SERVERS };

/// What `config` needs for a look at it. Its policies are compiled in this process however large they are, and kept.
pub(in crate::cli) fn shared(config: &config::Config) -> Result<Shared, ConfigError> {
    let (metrics, now) = (Arc::new(Metrics::default()), crate::cli::now);
    let cache = if config.policies.is_empty() { None } else { Cache::open().ok() };
    let Some(cache) = cache else { return Shared::new(config, metrics, None, now) };
    let shared = Shared::new(config, metrics, Some(cache.path.clone()), now)?;
    Ok(shared.compiling(Arc::new(move |_, policy, _| {
        cache.compile_configured(policy).map_err(|error| format!("{error:#}"))
    })))
}

// === impl Cache ===

impl Cache {
    /// Opens the user's, or makes one for this process where that cannot be used.
    pub(super) fn open() -> anyhow::Result<Self> {
        if let Some(path) = place(env::var_os("XDG_CACHE_HOME"), env::home_dir())
            && let Ok(folder) = CompiledFolder::open(&path)
        {
            return Ok(Self { folder, path, _scratch: None });
        }
        let scratch = tempfile::tempdir().context("no folder for temporary files")?;
        let path = scratch.path().join("compiled");
        Ok(Self { folder: CompiledFolder::open(&path)?, path, _scratch: Some(scratch) })
    }

    pub(super) fn folder(&self) -> &CompiledFolder {
        &self.folder
    }

    /// Compiles `component` on every processor, unless that has been done before.
    pub(super) fn compile(&self, component: &Path) -> anyhow::Result<()> {
        let _step = self.step();
        policy::compile(&Engine::for_compiling()?, component, &self.folder)?;
        Ok(())
    }

    /// Compiles the policy of `config` with its settings taken in, unless that has been done before.
    pub(super) fn compile_configured(&self, config: &Config) -> anyhow::Result<()> {
        let _step = self.step();
        policy::compile_configured(&Engine::for_compiling()?, config, &self.folder)?;
        Ok(())
    }

    fn step(&self) -> Step {
        // Before the new one comes, so that it is not the one to go. What cannot be removed does no harm.
        let _ = self.folder.tidy(&BOUNDS, crate::cli::now());
        Step::start("compiling")
    }
}

fn place(cache: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = cache.map(PathBuf::from).filter(absolute);
    cache.or_else(|| home.filter(absolute).map(|home| home.join(".cache"))).map(|cache| cache.join(PLACE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_users_keep_such_things() {
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(place(Some("/x".into()), path("/home/a")), path("/x/herald/policies"));
        assert_eq!(place(Some("".into()), path("/home/a")), path("/home/a/.cache/herald/policies"));
        assert_eq!(place(Some("x".into()), None), None);
        assert_eq!(place(None, path("")), None);
    }
}
