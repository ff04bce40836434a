//! Build: from a configuration to the pipeline that it describes.
//!
//! What is expensive and does not depend on mappings (connections, caches, the policy engine) lives in
//! [`Shared`] and outlives the configurations that use it.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Config, ConfigError, Source,
    compilations::Compiler,
    files::Stamp,
    sources::{Sources, Stopping},
};
use crate::{
    authenticator::{Authenticator, facts::CloudFacts, nodes::Nodes, shadows::Shadows},
    mapping::{BootstrapAdmins, Chain, Guard, MountedFile, NodeNames, Shadow, Stage, chain::Link, shadow::Place},
    observe::Metrics,
    policy::{self, Bounds, Engine, Kind, Mode, Name, Removed},
    provider::{
        Cloud, ClusterId, Provider,
        alibaba::{self, Alibaba},
        aws::{self, Aws},
    },
    sts::{self, Executor},
};

mod policies;

use policies::Loading;
pub(super) use policies::{Before, Standing};

/// What configurations share: it is kept over a reload that does not change its own settings.
#[derive(Clone)]
pub struct Shared {
    metrics: Arc<Metrics>,
    sts: Arc<Executor>,
    /// What the executor was made for; another answer to any of it makes another executor.
    sts_for: StsFor,
    /// Made for the first configuration that has a policy.
    engine: Option<Engine>,
    engine_config: policy::EngineConfig,
    /// Where compiled policies are kept; `None` compiles them at every load.
    compiled: Option<PathBuf>,
    /// Who compiles what is too large to be compiled here; `None`: nobody.
    pub(super) compiler: Option<Compiler>,
    sources: Sources,
    /// Knows names for hours, and loads nothing until it is asked for one.
    nodes: Arc<Nodes>,
    facts: CloudFacts,
    shadows: Arc<Shadows>,
    clock: fn() -> SystemTime,
}

/// What a configuration was built to.
pub struct Built {
    /// The pipeline.
    pub authenticator: Authenticator,
    /// Its policies.
    pub(super) standing: Standing,
    /// Those of them whose newest version is still being compiled.
    pub(super) awaited: Vec<Name>,
    /// How its files looked when they were read; none if one of them has changed since, so that it may be of others than its
    /// digest.
    pub(super) seen: Vec<Stamp>,
}

/// What became of a configuration that does not wait for large policies.
pub(super) enum Next {
    Built(Box<Built>),
    /// It has none in the place of these, which are compiled for the first time.
    Awaits(Vec<Name>),
}

/// Everything that STS's word depends on. The executor remembers callers by their token alone, so it must not
/// outlive the cluster id, the partition or the hosts that they were verified for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct StsFor {
    config: sts::Config,
    ca_digest: String,
    cluster_id: Option<ClusterId>,
    clouds: Vec<Cloud>,
    alibaba: alibaba::Settings,
    partition: aws::Partition,
    hosts: Vec<aws::ExtraHost>,
}

// === impl StsFor ===

impl StsFor {
    fn of(config: &Config) -> Self {
        Self {
            config: config.sts.clone(),
            ca_digest: config.ca_digest.clone(),
            cluster_id: config.cluster_id.clone(),
            clouds: config.clouds().to_vec(),
            alibaba: config.alibaba.clone(),
            partition: config.partition,
            hosts: config.sts_hosts.clone(),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// What `config` needs, all of it new. `compiled` is the folder for compiled policies; without one they are
    /// compiled at every load. `clock` tells when a source was read. Needs a tokio runtime if there are sources
    /// that are read while Herald runs.
    ///
    /// # Errors
    ///
    /// When the STS client or the policy engine cannot be made.
    pub fn new(
        config: &Config,
        metrics: Arc<Metrics>,
        compiled: Option<PathBuf>,
        clock: fn() -> SystemTime,
    ) -> Result<Self, ConfigError> {
        let nodes = Arc::new(Nodes::new(config.ec2(), clock, Arc::clone(&metrics)));
        Ok(Self {
            sources: Sources::default().follow(config, &metrics, clock),
            facts: CloudFacts::new(Arc::clone(&nodes), config.iam(), clock, Arc::clone(&metrics)),
            nodes,
            shadows: Arc::new(Shadows::new(Arc::clone(&metrics))),
            clock,
            sts: executor(config, &metrics)?,
            sts_for: StsFor::of(config),
            engine: engine(config)?,
            engine_config: config.policy_engine.clone(),
            compiled,
            compiler: None,
            metrics,
        })
    }

    /// Leaves large policies to `compiler`.
    #[must_use]
    pub fn compiling(self, compiler: Compiler) -> Self {
        Self { compiler: Some(compiler), ..self }
    }

    /// What `config` needs, with everything kept whose settings are the same.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn follow(&self, config: &Config) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        let sts_for = StsFor::of(config);
        if sts_for != self.sts_for {
            next.sts = executor(config, &self.metrics)?;
            next.sts_for = sts_for;
        }
        if config.policy_engine != self.engine_config || (next.engine.is_none() && !config.policies.is_empty()) {
            next.engine = engine(config)?;
            next.engine_config = config.policy_engine.clone();
        }
        if config.ec2() != *self.nodes.settings() {
            next.nodes = Arc::new(Nodes::new(config.ec2(), self.clock, Arc::clone(&self.metrics)));
            next.facts = self.facts.with_nodes(Arc::clone(&next.nodes));
        }
        if config.iam() != *self.facts.settings() {
            let (nodes, metrics) = (Arc::clone(&next.nodes), Arc::clone(&self.metrics));
            next.facts = CloudFacts::new(nodes, config.iam(), self.clock, metrics);
        }
        next.sources = self.sources.follow(config, &self.metrics, self.clock);
        Ok(next)
    }

    /// Waits until every source that `before` has not has been read.
    ///
    /// # Errors
    ///
    /// When that takes longer than `limit`: which source it is, and why it cannot be read.
    pub async fn read_once(&self, before: Option<&Self>, limit: Duration) -> Result<(), ConfigError> {
        let none = Sources::default();
        let before = before.map_or(&none, |before| &before.sources);
        self.sources.read_once(before, limit).await.map_err(|error| ConfigError::Source { what: error.to_string() })
    }

    /// Did not take the place of `in_force`: nobody is to be alarmed about sources that only it has.
    pub(super) fn discard(self, in_force: &Self) {
        self.sources.give_way_to(&in_force.sources);
    }

    /// What tells those who hold something in the cluster that the process stops.
    #[must_use]
    pub fn stopping(&self) -> Stopping {
        self.sources.stopping()
    }

    /// Takes the place of `before`, whose other sources nobody reads any more.
    pub(super) fn replace(self, before: &mut Self) {
        before.sources.give_way_to(&self.sources);
        *before = self;
    }

    /// Asks policies in shadow mode, for every configuration.
    #[must_use]
    pub fn shadows(&self) -> &Arc<Shadows> {
        &self.shadows
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("a configuration with policies has made it")
    }

    /// Counts for everybody.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Asks STS.
    #[must_use]
    pub fn sts(&self) -> &Arc<Executor> {
        &self.sts
    }
}

fn executor(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<Executor>, ConfigError> {
    let executor = Executor::new(&config.sts.within(config.server.max_in_flight), Arc::clone(metrics));
    executor.map(Arc::new).map_err(|error| config.fault("server.sts", &error))
}

fn engine(config: &Config) -> Result<Option<Engine>, ConfigError> {
    if config.policies.is_empty() {
        return Ok(None);
    }
    Engine::new(&config.policy_engine).map(Some).map_err(|error| config.fault("server.policyEngine", &error))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sts_for, engine_config, .. } = self;
        f.debug_struct("Shared").field("sts", sts_for).field("engine", engine_config).finish_non_exhaustive()
    }
}

// === impl Config ===

impl Config {
    /// The pipeline that this configuration describes. Blocks while policies load.
    ///
    /// # Errors
    ///
    /// When there is no cluster id, or a policy does not load.
    pub fn build(&self, shared: &Shared) -> Result<Authenticator, ConfigError> {
        self.build_whole(shared).map(|built| built.authenticator)
    }

    /// The same, for those that follow.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn build_first(&self, shared: &Shared) -> Result<Built, ConfigError> {
        // A file that changes twice may have the same text in the end, and another one when it was read.
        let stamps = Stamp::of(self.files());
        let built = self.build_whole(shared)?;
        let is_same = self.is_as_read(&stamps).unwrap_or(false);
        Ok(Built { seen: if is_same { stamps } else { Vec::new() }, ..built })
    }

    /// Whether its files look like `stamps`, and say what they said when it was read.
    pub(super) fn is_as_read(&self, stamps: &[Stamp]) -> Result<bool, ConfigError> {
        Ok(Stamp::of(self.files()) == stamps && self.digest_now()? == self.digest)
    }

    fn build_whole(&self, shared: &Shared) -> Result<Built, ConfigError> {
        let cluster_id = self.known_cluster_id()?;
        self.assemble(shared, cluster_id, self.load_policies(shared, None)?)
    }

    /// The same behind another one, without waiting for what compiles.
    pub(super) fn build_after(&self, shared: &Shared, before: Before<'_>) -> Result<Next, ConfigError> {
        let cluster_id = self.known_cluster_id()?;
        let loading = self.load_policies(shared, Some(before))?;
        if loading.missing.is_empty() {
            return self.assemble(shared, cluster_id, loading).map(Box::new).map(Next::Built);
        }
        Ok(Next::Awaits([loading.missing, loading.awaited].concat()))
    }

    fn known_cluster_id(&self) -> Result<&ClusterId, ConfigError> {
        self.cluster_id.as_ref().ok_or_else(|| ConfigError::Build {
            file: self.file.clone(),
            what: "no cluster id: set clusterID here, or --cluster-id on the command line".to_owned(),
        })
    }

    fn assemble(&self, shared: &Shared, cluster_id: &ClusterId, loading: Loading) -> Result<Built, ConfigError> {
        let dynamic_file = self.sources.contains(&Source::DynamicFile);
        shared.metrics.old_dynamic_file(dynamic_file, dynamic_file && self.sources.len() == 1);
        let authenticator = Authenticator {
            cluster_id: cluster_id.as_str().to_owned(),
            generation: loading.generation(self),
            providers: self.providers(cluster_id)?,
            sts: Arc::clone(&shared.sts),
            chain: self.chain(shared, &loading.standing)?,
            shadows: Arc::clone(&shared.shadows),
            scrubbed: self.scrubbed_accounts.clone(),
            deny_root: self.deny_root,
            metrics: Arc::clone(&shared.metrics),
        };
        let Loading { standing, awaited, .. } = loading;
        Ok(Built { authenticator, standing, awaited, seen: Vec::new() })
    }

    /// Loads every policy by itself, with what `shared` makes for them: what fails, with the number of its policy if it is
    /// about one. Blocks.
    #[must_use]
    pub fn try_policies(
        &self,
        shared: impl Fn(&Self) -> Result<Shared, ConfigError>,
    ) -> Vec<(Option<usize>, ConfigError)> {
        // No policy needs a source or a table to be read.
        let mut without_sources = Self { sources: Vec::new(), ..self.clone() };
        without_sources.policies.iter_mut().for_each(|policy| policy.tables.retain(|_, table| !table.is_live()));
        let made = shared(&without_sources).and_then(|shared| Ok((self.compiled(&shared, None)?, shared)));
        let (compiled, shared) = match made {
            Ok(made) => made,
            Err(error) => return vec![(None, error)],
        };
        let load = |(index, policy)| {
            let failed = Self::load_policy(policy, &shared, compiled.as_ref()).err();
            failed
                .map(|error| self.unloadable(policy, &error))
                .unwrap_or_default()
                .into_iter()
                .map(move |e| (Some(index), e))
        };
        self.policies.iter().enumerate().flat_map(load).collect()
    }

    /// Every cloud whose tokens are accepted.
    fn providers(&self, cluster_id: &ClusterId) -> Result<Vec<Arc<dyn Provider>>, ConfigError> {
        self.clouds().iter().map(|cloud| self.provider(*cloud, cluster_id.clone())).collect()
    }

    fn provider(&self, cloud: Cloud, cluster_id: ClusterId) -> Result<Arc<dyn Provider>, ConfigError> {
        Ok(match cloud {
            Cloud::Alibaba => {
                let endpoint = self.alibaba.host().map_err(|error| self.fault("server.alibaba", &error))?;
                let alibaba::Settings { region, former_cluster_ids, .. } = self.alibaba.clone();
                Arc::new(Alibaba::new(alibaba::Config { cluster_id, former_cluster_ids, endpoint, region }))
            }
            Cloud::Aws => {
                let (partition, hosts) = (self.partition, self.sts_hosts.clone());
                Arc::new(Aws::new(aws::Config { cluster_id, partition, hosts }))
            }
        })
    }

    fn chain(&self, shared: &Shared, standing: &Standing) -> Result<Chain, ConfigError> {
        let links = |kind| {
            let enforced =
                self.policies.iter().filter(move |policy| policy.kind == kind && policy.mode == Mode::Enforce);
            enforced.map(|policy| standing.get(&policy.name).link()).collect()
        };
        Ok(Chain {
            map: self.map_links(shared, standing)?,
            augment: links(Kind::Augment),
            guards: links(Kind::Guard),
            shadows: self.shadows(standing),
            guard: Guard::new(self.reserved_prefixes.clone()),
            nodes: Some(Arc::clone(&shared.nodes) as Arc<dyn NodeNames>),
        })
    }

    /// Keeps the folder of compiled policies: says which of them are needed, and removes what nobody needs any more.
    pub(super) fn keep_compiled(&self, shared: &Shared, now: SystemTime) {
        let (Some(engine), Ok(Some(folder))) = (&shared.engine, self.compiled(shared, None)) else { return };
        self.policies.iter().for_each(|policy| folder.renew(engine, policy));
        match folder.tidy(&Bounds::OF_SERVERS, now) {
            Ok(Removed { files: 0, .. }) => {}
            Ok(Removed { files, bytes }) => {
                tracing::info!(files, bytes, "removed compiled policies that nobody needs any more");
            }
            Err(error) => tracing::warn!(%error, "old compiled policies cannot be removed"),
        }
    }

    /// Every policy in shadow mode that would be asked, and where.
    fn shadows(&self, standing: &Standing) -> Vec<Arc<Shadow>> {
        let mut shadows = Vec::new();
        for (index, policy) in self.policies.iter().enumerate().filter(|(_, policy)| policy.mode == Mode::Shadow) {
            let place = match policy.kind {
                Kind::Augment => Place::Augment,
                Kind::Guard => Place::Guard(self.policies[..index].iter().filter(|other| is_guard(other)).count()),
                Kind::Map => {
                    let source = Source::Policy(policy.name.as_str().to_owned());
                    // Not in the list that is in force, and so not asked.
                    let Some(place) = self.sources.iter().position(|other| *other == source) else { continue };
                    let admins = usize::from(!self.bootstrap_admins.is_empty());
                    Place::Map(admins + self.sources[..place].iter().filter(|source| !self.is_shadow(source)).count())
                }
            };
            shadows.extend(standing.find(&policy.name).map(|stands| Arc::new(stands.shadow(place))));
        }
        shadows
    }

    fn is_shadow(&self, source: &Source) -> bool {
        let Source::Policy(name) = source else { return false };
        self.policies.iter().any(|policy| policy.name.as_str() == name && policy.mode == Mode::Shadow)
    }

    /// Bootstrap admins first, then the sources in order.
    fn map_links(&self, shared: &Shared, standing: &Standing) -> Result<Vec<Link>, ConfigError> {
        let admins = BootstrapAdmins::new(Arc::clone(&self.bootstrap_admins));
        let admins = (!self.bootstrap_admins.is_empty()).then(|| Ok(static_link(Box::new(admins))));
        let enforced = self.sources.iter().filter(|source| !self.is_shadow(source));
        let sources = enforced.map(|source| self.source(source, shared, standing));
        admins.into_iter().chain(sources).collect()
    }

    fn source(&self, source: &Source, shared: &Shared, standing: &Standing) -> Result<Link, ConfigError> {
        match source {
            Source::AckConfigMap
            | Source::Crd
            | Source::DynamicFile
            | Source::EksConfigMap
            | Source::RamIdentityMapping => {
                let live = shared.sources.live(&source.name());
                Ok(static_link(Box::new(live.expect("these are the sources of this configuration"))))
            }
            Source::MountedFile => {
                let stage = MountedFile::new(Arc::clone(&self.rules), self.map_accounts.clone());
                Ok(static_link(Box::new(stage)))
            }
            Source::Policy(name) => {
                let policy = self.policies.iter().find(|policy| policy.name.as_str() == name);
                let policy = policy.ok_or_else(|| ConfigError::Build {
                    file: self.file.clone(),
                    what: format!("Policy/{name} is among the sources, but there is no such policy"),
                })?;
                Ok(standing.get(&policy.name).link())
            }
        }
    }

    /// That `part` does not work, with the whole chain of causes in one line.
    fn fault(&self, part: &str, error: &dyn std::error::Error) -> ConfigError {
        ConfigError::Build { file: self.file.clone(), what: format!("{part}: {}", line(error)) }
    }
}

/// An error with the whole chain of its causes in one line, saying nothing twice.
pub(super) fn line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    text
}

fn is_guard(policy: &policy::Config) -> bool {
    policy.kind == Kind::Guard && policy.mode == Mode::Enforce
}

/// A source whose entries the operator wrote, and so without a ceiling.
fn static_link(stage: Box<dyn Stage>) -> Link {
    Link { stage, ceiling: None, skip_on_fault: false }
}

#[cfg(test)]
mod tests;
