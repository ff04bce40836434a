//! Policies: loads those of a configuration. One that is in force is not loaded again, and one whose newest version is
//! still being compiled goes on as it was.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{Config, ConfigError, Shared, Source, line};
use crate::{
    authenticator::facts::Aside,
    config::{
        compilations::{Compilations, Compiler, Stop},
        digest_of, hexadecimal,
        sources::keeper,
    },
    mapping::{PolicyStage, Shadow, chain::Link, shadow::Place},
    policy::{
        self, CompiledFolder, Elsewhere, Engine, FactFinder, Ignored, Kind, LoadError, LoadProblem, Mode, Name,
        OnFault, Policy, schema::Violation,
    },
};

/// The policies that are in force, by name.
#[derive(Debug, Default)]
pub(in crate::config) struct Standing(BTreeMap<Name, Stands>);

/// One policy that is in force.
#[derive(Clone, Debug)]
pub(super) struct Stands {
    /// Its entry when it was loaded; what it may hand out, and what its faults do, are always the newest.
    entry: policy::Config,
    policy: Arc<Policy>,
    /// Digest of the configuration that it was loaded for.
    since: String,
}

/// What a configuration follows that does not wait for large policies.
#[derive(Clone, Copy)]
pub(in crate::config) struct Before<'a> {
    pub(in crate::config) standing: &'a Standing,
    pub(in crate::config) compilations: Option<&'a Arc<Compilations>>,
}

/// The policies of one configuration, as far as they can be had.
#[derive(Debug, Default)]
pub(super) struct Loading {
    pub(super) standing: Standing,
    /// Those whose newest version is being compiled: they go on as they were, or are no shadows yet.
    pub(super) awaited: Vec<Name>,
    /// Those that count, are being compiled and have none that could go on in their place.
    pub(super) missing: Vec<Name>,
}

// === impl Standing ===

impl Standing {
    /// One whose answers count.
    pub(super) fn get(&self, name: &Name) -> &Stands {
        self.find(name).expect("every policy that counts was loaded")
    }

    /// `None` for a shadow that is still being compiled.
    pub(super) fn find(&self, name: &Name) -> Option<&Stands> {
        self.0.get(name)
    }

    /// Whether all would be the same if they were loaded again.
    pub(in crate::config) fn is_settled(&self) -> bool {
        !self.0.values().any(|stands| stands.policy.is_meanwhile())
    }
}

// === impl Stands ===

impl Stands {
    pub(super) fn link(&self) -> Link {
        Link {
            stage: Box::new(PolicyStage::new(Arc::clone(&self.policy))),
            ceiling: Some(self.entry.ceiling.clone()),
            skip_on_fault: self.entry.on_fault == OnFault::Skip,
        }
    }

    pub(super) fn shadow(&self, place: Place) -> Shadow {
        let (policy, ceiling) = (Arc::clone(&self.policy), self.entry.ceiling.clone());
        Shadow::new(policy, ceiling, place, self.entry.on_fault == OnFault::Skip)
    }

    /// Whether loading `entry` would give it again.
    fn is_loaded_by(&self, entry: &policy::Config, engine: &Engine) -> bool {
        self.entry == *entry
            && self.policy.is_settled_in(engine)
            && digest_of(&entry.component).is_ok_and(|digest| digest == *self.policy.digest().as_bytes())
    }

    /// Whether it can go on in the place of `entry`: of the same kind and mode, with tables that are still followed.
    fn stands_in_for(&self, entry: &policy::Config) -> bool {
        let has = |(name, table)| entry.tables.get(name) == Some(table);
        self.entry.kind == entry.kind && self.entry.mode == entry.mode && self.entry.tables.iter().all(has)
    }

    /// What goes on in the place of `entry`: where that takes something away, it is taken away at once.
    fn standing_in_for(self, entry: &policy::Config) -> Self {
        let older = policy::Config { ceiling: entry.ceiling.clone(), on_fault: entry.on_fault, ..self.entry };
        Self { entry: older, ..self }
    }

    /// The same with what it sees of `shared` now, and of the facts that it was granted those that `entry` grants.
    fn renewed(self, entry: &policy::Config, shared: &Shared) -> Result<Self, LoadError> {
        let policy = self.policy.with_tables(&self.entry, |source| shared.sources.table(source))?;
        let granted = self.entry.cloud.iter().copied().filter(|fact| entry.cloud.contains(fact)).collect();
        let policy = policy.with_granted(granted).with_cloud(finder(self.entry.mode, shared));
        Ok(Self { policy: Arc::new(policy), ..self })
    }
}

// === impl Loading ===

impl Loading {
    /// What logins are decided by, as it is shown: where an older version goes on, that is another configuration than the
    /// one in the files.
    pub(super) fn generation(&self, config: &Config) -> String {
        if self.awaited.is_empty() {
            return config.generation.clone();
        }
        let mut whole = Sha256::new_with_prefix(&config.digest);
        for name in &self.awaited {
            whole.update(name.as_str());
            whole.update(self.standing.find(name).map_or("", |stands| stands.since.as_str()));
        }
        keeper::shown(&hexadecimal(&whole.finalize())).to_owned()
    }
}

// === impl Config ===

impl Config {
    /// Loads the policies that are asked. Without anything `before`, waits for those that are compiled elsewhere.
    pub(super) fn load_policies(&self, shared: &Shared, before: Option<Before<'_>>) -> Result<Loading, ConfigError> {
        let compiled = self.compiled(shared, before)?;
        let mut loading = Loading::default();
        for entry in self.policies.iter().filter(|entry| self.asks(entry)) {
            let stood = before.and_then(|before| before.standing.0.get(&entry.name));
            let loaded = match stood.filter(|stood| stood.is_loaded_by(entry, shared.engine())) {
                Some(stood) => stood.clone().renewed(entry, shared),
                None => Self::load_policy(entry, shared, compiled.as_ref()).map(|policy| Stands {
                    entry: entry.clone(),
                    policy: Arc::new(policy),
                    since: self.digest.clone(),
                }),
            };
            let loaded = match loaded {
                Err(LoadError { problem: LoadProblem::Compiling, .. }) => {
                    let stood = stood.filter(|stood| stood.stands_in_for(entry));
                    let counts = entry.mode == Mode::Enforce;
                    let names = if counts && stood.is_none() { &mut loading.missing } else { &mut loading.awaited };
                    names.push(entry.name.clone());
                    let Some(stood) = stood else { continue };
                    stood.clone().standing_in_for(entry).renewed(entry, shared)
                }
                loaded => loaded,
            };
            let loaded = loaded.map_err(|error| self.first_unloadable(entry, &error))?;
            loading.standing.0.insert(entry.name.clone(), loaded);
        }
        Ok(loading)
    }

    /// Those that map are asked only where they are among the sources.
    fn asks(&self, entry: &policy::Config) -> bool {
        entry.kind != Kind::Map || self.sources.contains(&Source::Policy(entry.name.as_str().to_owned()))
    }

    pub(super) fn compiled(
        &self,
        shared: &Shared,
        before: Option<Before<'_>>,
    ) -> Result<Option<CompiledFolder>, ConfigError> {
        let folder = shared.compiled.as_deref().filter(|_| !self.policies.is_empty());
        let folder =
            folder.map(CompiledFolder::open).transpose().map_err(|error| self.fault("compiled policies", &error))?;
        let kept = folder.as_ref().map_or(Ok(()), CompiledFolder::writable);
        shared.metrics.compiled_policies_kept(kept.map_err(|error| error.to_string()));
        let metrics = Arc::clone(&shared.metrics);
        let ignored = move |why: Ignored| metrics.compiled_policy_ignored(why.reason());
        let folder = folder.map(|folder| folder.telling(Arc::new(ignored)));
        let file = self.file.clone();
        let compilations = before.and_then(|before| before.compilations).cloned();
        let elsewhere = match (compilations, shared.compiler.clone()) {
            (Some(compilations), _) => asking(compilations, file),
            (None, Some(compiler)) => waiting(compiler, file),
            (None, None) => return Ok(folder),
        };
        Ok(folder.map(|folder| folder.compiling(elsewhere)))
    }

    pub(super) fn load_policy(
        config: &policy::Config,
        shared: &Shared,
        compiled: Option<&CompiledFolder>,
    ) -> Result<Policy, LoadError> {
        let policy = Policy::load_following(shared.engine(), config, compiled, |source| shared.sources.table(source))?;
        Ok(policy.with_cloud(finder(config.mode, shared)))
    }

    fn first_unloadable(&self, config: &policy::Config, error: &LoadError) -> ConfigError {
        let mut errors = self.unloadable(config, error);
        let more = errors.len() - 1;
        let mut first = errors.swap_remove(0);
        if let ConfigError::Invalid { what, .. } = &mut first
            && more > 0
        {
            what.push_str(&format!(" (and {more} more: `herald check-config` lists them)"));
        }
        first
    }

    /// Why a policy does not load: each violation of its schema at its own place, or one error. Never empty.
    pub(super) fn unloadable(&self, config: &policy::Config, error: &LoadError) -> Vec<ConfigError> {
        let name = config.name.as_str();
        let index = self.policies.iter().position(|policy| policy.name == config.name).unwrap_or_default();
        let LoadProblem::Schema(violations) = &error.problem else {
            let (file, what) = (self.file.clone(), format!("policy {name}: {}", line(error)));
            return vec![ConfigError::Policy { file, what, reason: error.reason() }];
        };
        let places = self.settings_at.get(index);
        let invalid = |violation: &Violation| {
            let settings = format!("server.policies[{index}].settings");
            let path = match violation.place() {
                place if place.is_empty() => settings,
                place if place.starts_with('[') => settings + &place,
                place => format!("{settings}.{place}"),
            };
            let what = format!("policy {name}: {}", violation.what);
            match places.and_then(|places| places.find(&violation.path)) {
                Some(at) => ConfigError::Invalid { file: self.file.clone(), at, path, what },
                None => ConfigError::Build { file: self.file.clone(), what: format!("{what} ({path})") },
            }
        };
        violations.iter().map(invalid).collect()
    }
}

/// Has it compiled for the next reload.
fn asking(compilations: Arc<Compilations>, file: PathBuf) -> policy::CompileElsewhere {
    Arc::new(move |policy, component| compilations.ask(&file, policy, component))
}

/// Compiles while whoever loads waits.
fn waiting(compiler: Compiler, file: PathBuf) -> policy::CompileElsewhere {
    Arc::new(move |policy, _| compiler(&file, policy, &Stop::default()).map(|()| Elsewhere::Done))
}

/// Who looks facts up for a policy: logins come before what is asked in shadow mode.
fn finder(mode: Mode, shared: &Shared) -> Arc<dyn FactFinder> {
    let facts = shared.facts.clone();
    match mode {
        Mode::Enforce => Arc::new(facts),
        Mode::Shadow => Arc::new(Aside(facts)),
    }
}
