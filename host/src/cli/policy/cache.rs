//! Machine code that the commands for authors keep between runs: compiling a JavaScript or Python component takes half
//! a minute, and `test`, `run` and `bench` follow each other on the same one; so do commands that look at a configuration.
//! No server reads it.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::Context as _;

use super::progress::Step;
use crate::{
    config::{self, ConfigError, Shared},
    observe::Metrics,
    policy::{self, CompiledFolder, Config, Engine},
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
/// Files that are kept, the newest ones. A large component takes three: as built, readable and with settings.
const KEPT: usize = 16;

/// What `config` needs for a look at it. Its policies are compiled in this process however large they are, and kept.
pub(in crate::cli) fn shared(config: &config::Config) -> Result<Shared, ConfigError> {
    let (metrics, now) = (Arc::new(Metrics::default()), crate::cli::now);
    let cache = if config.policies.is_empty() { None } else { Cache::open().ok() };
    let Some(cache) = cache else { return Shared::new(config, metrics, None, now) };
    let shared = Shared::new(config, metrics, Some(cache.path.clone()), now)?;
    Ok(shared
        .compiling(Arc::new(move |_, policy| cache.compile_configured(policy).map_err(|error| format!("{error:#}")))))
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
        policy::compile_if_new(&Engine::for_compiling()?, component, &self.folder)?;
        Ok(())
    }

    /// Compiles the policy of `config` with its settings taken in, unless that has been done before.
    pub(super) fn compile_configured(&self, config: &Config) -> anyhow::Result<()> {
        let _step = self.step();
        policy::compile_configured_if_new(&Engine::for_compiling()?, config, &self.folder)?;
        Ok(())
    }

    fn step(&self) -> Step {
        // Before the new one comes, so that it is not the one to go. What cannot be removed does no harm.
        let _ = forget_old(&self.path, KEPT);
        Step::start("compiling")
    }
}

fn place(cache: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = cache.map(PathBuf::from).filter(absolute);
    cache.or_else(|| home.filter(absolute).map(|home| home.join(".cache"))).map(|cache| cache.join(PLACE))
}

/// Removes compiled code but the newest `kept` files. Another process may have one open: it keeps it.
fn forget_old(folder: &Path, kept: usize) -> io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)?
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|name| name == "cwasm"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort_unstable();
    let old = files.len().saturating_sub(kept);
    files.into_iter().take(old).try_for_each(|(_, path)| fs::remove_file(path))
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

    #[test]
    fn the_newest_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        for (age, name) in ["new.cwasm", "old.cwasm", "older.cwasm", "key"].iter().enumerate() {
            let file = fs::File::create(folder.path().join(name)).expect("a file");
            let age = std::time::Duration::from_secs(60 * age as u64);
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000) - age).expect("a time");
        }
        forget_old(folder.path(), 1).expect("removed");
        let mut names: Vec<_> =
            folder.path().read_dir().expect("there").map(|e| e.expect("there").file_name()).collect();
        names.sort();
        assert_eq!(names, ["key", "new.cwasm"]);
    }
}
