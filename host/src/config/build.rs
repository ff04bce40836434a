//! Build: from a configuration to the pipeline that it describes.
//!
//! What is expensive and does not depend on mappings (connections, caches, the policy engine) lives in
//! [`Shared`] and outlives the configurations that use it.

use std::{fmt, sync::Arc};

use super::{Config, ConfigError, Source};
use crate::{
    authenticator::Authenticator,
    mapping::{Chain, Guard, MountedFile, PolicyStage, chain::Link},
    observe::Metrics,
    policy::{self, Engine, Kind, OnFault, Policy},
    provider::{
        Provider,
        aws::{self, Aws},
    },
    sts::{self, Executor},
};

/// What configurations share: it is kept over a reload that does not change its own settings.
#[derive(Clone)]
pub struct Shared {
    metrics: Arc<Metrics>,
    sts: Arc<Executor>,
    sts_config: sts::Config,
    engine: Engine,
    engine_config: policy::EngineConfig,
}

// === impl Shared ===

impl Shared {
    /// What `config` needs, all of it new.
    ///
    /// # Errors
    ///
    /// When the STS client or the policy engine cannot be made.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Result<Self, ConfigError> {
        Ok(Self {
            sts: executor(config, &metrics)?,
            sts_config: config.sts.clone(),
            engine: engine(config)?,
            engine_config: config.policy_engine.clone(),
            metrics,
        })
    }

    /// What `config` needs, with everything kept whose settings are the same.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn follow(&self, config: &Config) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        if config.sts != self.sts_config {
            next.sts = executor(config, &self.metrics)?;
            next.sts_config = config.sts.clone();
        }
        if config.policy_engine != self.engine_config {
            next.engine = engine(config)?;
            next.engine_config = config.policy_engine.clone();
        }
        Ok(next)
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
    let executor = Executor::new(&config.sts, Arc::clone(metrics));
    executor.map(Arc::new).map_err(|error| config.fault("server.sts", &error))
}

fn engine(config: &Config) -> Result<Engine, ConfigError> {
    Engine::new(&config.policy_engine).map_err(|error| config.fault("server.policyEngine", &error))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sts_config, engine_config, .. } = self;
        f.debug_struct("Shared").field("sts", sts_config).field("engine", engine_config).finish_non_exhaustive()
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
        let cluster_id = self.cluster_id.as_ref().ok_or_else(|| ConfigError::Build {
            file: self.file.clone(),
            what: "no cluster id: set clusterID here, or --cluster-id on the command line".to_owned(),
        })?;
        Ok(Authenticator {
            cluster_id: cluster_id.as_str().to_owned(),
            generation: self.generation.clone(),
            providers: self.providers(cluster_id),
            sts: Arc::clone(&shared.sts),
            chain: self.chain(shared)?,
            scrubbed: self.scrubbed_accounts.clone(),
            metrics: Arc::clone(&shared.metrics),
        })
    }

    /// Every cloud whose tokens are accepted.
    fn providers(&self, cluster_id: &aws::ClusterId) -> Vec<Arc<dyn Provider>> {
        let aws =
            aws::Config { cluster_id: cluster_id.clone(), partition: self.partition, hosts: self.sts_hosts.clone() };
        vec![Arc::new(Aws::new(aws))]
    }

    fn chain(&self, shared: &Shared) -> Result<Chain, ConfigError> {
        let policies = |kind| self.policies.iter().filter(move |policy| policy.kind == kind);
        let links = |kind| policies(kind).map(|policy| self.policy(policy, shared)).collect::<Result<Vec<_>, _>>();
        Ok(Chain {
            map: self.sources.iter().map(|source| self.source(source, shared)).collect::<Result<_, _>>()?,
            accounts: self.map_accounts.clone(),
            augment: links(Kind::Augment)?,
            guards: links(Kind::Guard)?,
            guard: Guard::new(self.reserved_prefixes.clone()),
        })
    }

    fn source(&self, source: &Source, shared: &Shared) -> Result<Link, ConfigError> {
        match source {
            Source::MountedFile => {
                let stage = Box::new(MountedFile::new(Arc::clone(&self.rules)));
                Ok(Link { stage, ceiling: None, skip_on_fault: false })
            }
            Source::Policy(name) => {
                let policy = self.policies.iter().find(|policy| policy.name.as_str() == name);
                self.policy(policy.expect("backendMode was checked against policies"), shared)
            }
        }
    }

    fn policy(&self, config: &policy::Config, shared: &Shared) -> Result<Link, ConfigError> {
        let failed = |error| self.fault(&format!("policy {}", config.name.as_str()), &error);
        let policy = Policy::load(&shared.engine, config, None).map_err(failed)?;
        Ok(Link {
            stage: Box::new(PolicyStage::new(Arc::new(policy))),
            ceiling: Some(config.ceiling.clone()),
            skip_on_fault: config.on_fault == OnFault::Skip,
        })
    }

    /// That `part` does not work, with the whole chain of causes in one line.
    fn fault(&self, part: &str, error: &dyn std::error::Error) -> ConfigError {
        let mut what = format!("{part}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            what.push_str(&format!(": {error}"));
            cause = error.source();
        }
        ConfigError::Build { file: self.file.clone(), what }
    }
}
