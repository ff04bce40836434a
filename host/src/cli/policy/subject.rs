//! What `herald policy run`, `bench`, `fuzz` and `check` work on: a component with settings and tables, and a made-up caller,
//! whom a case may describe.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    cache::Cache,
    suite::{CaseAt, Chosen},
    terms::Budget,
};
use crate::{
    caller::{Arn, PrincipalKind, arn::ACS_PARTITION, made_up},
    config::read_document,
    policy::{
        Ceiling, Config, Engine, EngineConfig, Evaluation, Facts, Kind, Limits, Mapping, Mode, Name, OnFault, Policy,
        TableSource,
        cases::{DEFAULT_NOW, OwnedRequest},
        cloud::{Fabric, Fact, MadeUp},
    },
};

/// The policy: its component, and what a configuration would give it.
#[derive(clap::Args, Clone, Debug)]
pub struct Subject {
    /// The policy's component.
    #[arg(value_name = "POLICY.wasm")]
    pub component: PathBuf,
    /// Its settings, a file in YAML or JSON. Default: none.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// A table that it may read: its name and a file in YAML or JSON. Can be given again.
    #[arg(long = "table", value_name = "NAME=FILE")]
    pub tables: Vec<Table>,
    /// What it is told of the caller's own machine: a YAML file with `id`, `privateDnsName`, `tags` …, or the word not-found,
    /// forbidden or unavailable. Grants it to ask.
    #[arg(long, value_name = "FILE")]
    pub instance: Option<PathBuf>,
    /// What it is told of the tags of the caller's role or user: a YAML file with each key and its value, or the word not-found,
    /// forbidden or unavailable. Grants it to ask.
    #[arg(long, value_name = "FILE")]
    pub tags: Option<PathBuf>,
    #[command(flatten)]
    pub(super) budget: Budget,
}

/// Who asks.
#[derive(clap::Args, Clone, Debug)]
pub struct Asked {
    /// The caller's ARN; everything else of him is made up.
    #[arg(long, value_name = "ARN", required_unless_present = "case")]
    pub arn: Option<Arn>,
    /// Ask what a case asks, of whatever caller and cluster; the colon and NAME may be left out where FILE has one case only.
    /// What its file says of settings, tables, instance, tags, kind, ceiling and limits counts where no option says otherwise.
    #[arg(long, value_name = "FILE:NAME", conflicts_with_all = ["arn", "now", "username", "groups"])]
    pub case: Option<CaseAt>,
    /// When he asks.
    #[arg(long, value_parser = humantime::parse_rfc3339, value_name = "TIME")]
    pub now: Option<SystemTime>,
    /// The username that a stage before this policy gave him. Default: nobody has mapped him.
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// A group that a stage before this policy gave him. Can be given again.
    #[arg(long = "group", value_name = "GROUP", requires = "username")]
    pub groups: Vec<String>,
}

/// `NAME=FILE`.
#[derive(Clone, Debug)]
pub struct Table(Name, PathBuf);

/// A policy that is loaded, and what it needs while it is.
pub(super) struct Loaded {
    pub(super) policy: Policy,
    pub(super) settings: Value,
    pub(super) limits: Limits,
    /// Settings and compiling together.
    pub(super) load_time: Duration,
    runtime: tokio::runtime::Runtime,
    /// Holds the compiled code.
    _cache: Cache,
    /// Holds the tables of a case.
    _tables: Option<TempDir>,
}

/// A question, and the case that it is of.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) request: OwnedRequest,
    pub(super) case: Option<Chosen>,
}

// === impl Subject ===

impl Subject {
    /// Loads it with its settings taken in, as a server does after `herald policy compile --config`: so that answers, fuel,
    /// time and memory are the server's.
    pub(super) fn load(&self) -> anyhow::Result<Loaded> {
        self.load_for(None)
    }

    /// The same with what is around `case`, where no option says otherwise.
    pub(super) fn load_for(&self, case: Option<&Chosen>) -> anyhow::Result<Loaded> {
        let mut config = self.config()?;
        let mut facts = self.facts()?;
        let tables = case.map(|case| self.surround(case, &mut config, &mut facts)).transpose()?;
        Ok(Loaded { _tables: tables, ..Self::load_with(config, facts)? })
    }

    /// The same as an entry of `server.policies` that says more than [`config`](Self::config).
    pub(super) fn load_as(&self, config: Config) -> anyhow::Result<Loaded> {
        Self::load_with(config, self.facts()?)
    }

    fn facts(&self) -> anyhow::Result<Facts> {
        Ok(Facts::made_up(made_up(self.instance.as_deref())?, made_up(self.tags.as_deref())?))
    }

    fn load_with(config: Config, facts: Facts) -> anyhow::Result<Loaded> {
        let (started, cache) = (std::time::Instant::now(), Cache::open()?);
        cache.compile_configured(&config)?;
        let engine = Engine::new(&EngineConfig::default())?;
        let policy = Policy::load(&engine, &config, Some(cache.folder()))?;
        let policy = policy.with_cloud(Arc::new(facts));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (settings, limits, load_time) = (config.settings, config.limits, started.elapsed());
        Ok(Loaded { policy, settings, limits, load_time, runtime, _cache: cache, _tables: None })
    }

    /// Writes into `config` and `facts` what is around `case`, and its tables into the folder that it gives.
    fn surround(&self, case: &Chosen, config: &mut Config, facts: &mut Facts) -> anyhow::Result<TempDir> {
        let Chosen { case, tables, terms } = case;
        if self.settings.is_none() {
            config.settings.clone_from(&case.settings);
        }
        if self.instance.is_none() {
            facts.instance.clone_from(&case.request.facts.instance);
        }
        if self.tags.is_none() {
            facts.tags.clone_from(&case.request.facts.tags);
        }
        config.cloud = facts.granted();
        config.limits = self.budget.limits().or(terms.limits).complete()?;
        let folder = tempfile::tempdir().context("no folder for temporary files")?;
        for (name, table) in tables.as_object().into_iter().flatten() {
            let name: Name = name.parse()?;
            let path = folder.path().join(name.as_str());
            // A word instead of keys: it is attached, and nobody has read it.
            let source =
                if table.is_string() { TableSource::Object { name: name.to_string() } } else { path.clone().into() };
            if table.is_object() {
                fs::write(&path, table.to_string())?;
            }
            config.tables.entry(name).or_insert(source);
        }
        Ok(folder)
    }

    /// What cases have beside their callers: `settings`, and `tables`, `instance` and `tags` if there are any.
    pub(super) fn surroundings(&self, settings: &Value) -> anyhow::Result<Value> {
        let mut all = json!({"settings": settings});
        for Table(name, path) in &self.tables {
            all["tables"][name.as_str()] = read_yaml(path)?;
        }
        for (key, path) in [("instance", &self.instance), ("tags", &self.tags)] {
            if let Some(path) = path {
                all[key] = read_yaml(path)?;
            }
        }
        Ok(all)
    }

    fn granted(&self) -> Vec<Fact> {
        let granted = [(&self.instance, Fact::CallerInstance), (&self.tags, Fact::CallerTags)];
        granted.into_iter().filter(|(path, _)| path.is_some()).map(|(_, fact)| fact).collect()
    }

    /// As an entry of `server.policies` would have it.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        Ok(Config {
            name: "under-test".parse()?,
            kind: Kind::Map,
            component: self.component.clone(),
            sha256: None,
            settings: self.settings.as_deref().map_or_else(|| Ok(Value::Object(serde_json::Map::new())), read_yaml)?,
            tables: self.tables.iter().map(|Table(name, path)| (name.clone(), path.clone().into())).collect(),
            cloud: self.granted(),
            ceiling: Ceiling::default(),
            mode: Mode::default(),
            on_fault: OnFault::default(),
            limits: self.budget.limits().complete()?,
        })
    }
}

/// The fact that stands in `path`, if there is one.
fn made_up<T: DeserializeOwned + Fabric>(path: Option<&Path>) -> anyhow::Result<Option<MadeUp<T>>> {
    let read = |path: &Path| serde_json::from_value(read_yaml(path)?).with_context(|| path.display().to_string());
    path.map(read).transpose()
}

/// A document in YAML or JSON.
pub(super) fn read_yaml(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    read_document(&text).map_err(anyhow::Error::msg).with_context(|| path.display().to_string())
}

// === impl Asked ===

impl Asked {
    pub(super) fn question(&self) -> anyhow::Result<Question> {
        if let Some(at) = &self.case {
            let case = at.read()?;
            return Ok(Question { request: case.case.request.clone(), case: Some(case) });
        }
        let arn = self.arn.as_ref().context("--arn or --case says who asks")?;
        ensure!(arn.kind() != PrincipalKind::Role, "{arn} is a role, and nobody is one: ask with {}", session_of(arn));
        let now = self.now.unwrap_or(SystemTime::UNIX_EPOCH + DEFAULT_NOW);
        let current = self.username.clone().map(|username| Mapping {
            username,
            groups: self.groups.clone(),
            ..Mapping::default()
        });
        let trail = current.iter().map(|_| "MountedFile".to_owned()).collect();
        let request = OwnedRequest { current, trail, ..OwnedRequest::from(made_up::caller(arn, now), now) };
        Ok(Question { request, case: None })
    }
}

/// How STS names whoever has `role`: a session of it, never the role, and without its path.
fn session_of(role: &Arn) -> String {
    let head = match role.partition() {
        ACS_PARTITION => "acs:ram".to_owned(),
        partition => format!("arn:{partition}:sts"),
    };
    format!("{head}::{}:assumed-role/{}/NAME", role.account_id(), role.name())
}

// === impl Loaded ===

impl Loaded {
    pub(super) fn ask(&self, request: &OwnedRequest) -> Evaluation {
        self.runtime.block_on(self.policy.decide(&request.borrow()))
    }
}

// === impl Table ===

impl FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').ok_or_else(|| "write it as NAME=FILE".to_owned())?;
        Ok(Self(
            name.parse().map_err(|_| "a name is 1 to 63 lowercase letters, digits and dashes".to_owned())?,
            path.into(),
        ))
    }
}
