//! Policies: sandboxed WebAssembly components that decide who a caller is in the cluster.
//!
//! This file is the contract in Rust: what a policy is asked ([`Request`]), what it may answer
//! ([`Verdict`]) and how it can fail ([`Fault`]). Static sources answer in the same words, so a
//! chain has one kind of stage. The same contract in WIT is `wit/`.
//!
//! ```text
//! file ─▶ loader ─▶ snapshot ─▶ compiled ─▶ track ─▶ Policy ─▶ decide ─▶ Evaluation
//!         bytes,    settings    machine     version   linked    fresh instance from the
//!         pin       taken in    code        0.1.x               engine's pool, limits around it
//! ```
//!
//! Only this room names the WebAssembly engine.

use std::{fmt, sync::Arc, time::SystemTime};

use futures_util::future::{BoxFuture, join};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use cloud::{Fact, LookUpError};

pub mod cases;
pub mod ceiling;
pub mod cloud;
mod compiled;
mod config;
mod crew;
mod engine;
mod examples;
mod functions;
mod limits;
mod loader;
mod log;
mod problem;
pub mod schema;
pub mod sections;
pub mod shape;
mod share;
mod since_v0_1;
mod snapshot;
pub(crate) mod stranger;
pub mod tables;
mod text;
mod ticker;
mod track;

pub use ceiling::Ceiling;
pub(crate) use ceiling::name_matches;
pub use cloud::{FactFinder, Facts};
pub use compiled::{
    CompileElsewhere, Compiled, CompiledFolder, Elsewhere, FolderError, Ignored, TellIgnored,
    housekeeping::{Bounds, RENEW_EVERY, Removed},
};
pub use config::{
    ByteSize, Config, Digest, InvalidByteSize, InvalidDigest, InvalidLimit, InvalidName, Kind, Limits, Mode, Name,
    OnFault,
};
pub(crate) use crew::stand_back;
pub use engine::{Engine, EngineConfig, EngineError};
pub use loader::{check, compile, compile_configured, find_compiled, read};
pub use problem::{LoadError, LoadProblem};
pub use tables::{LiveTable, Table, TableSource, Tables, Versions};

/// A policy that is loaded: linked, and content with its settings. A clone is the same policy.
#[derive(Clone)]
pub struct Policy {
    engine: Engine,
    name: Name,
    kind: Kind,
    digest: Digest,
    limits: Limits,
    tables: Tables,
    /// The facts about callers that the operator grants it.
    granted: Vec<Fact>,
    /// Who knows them.
    cloud: Option<Arc<dyn FactFinder>>,
    prepared: Arc<Prepared>,
}

/// What every decision starts from.
struct Prepared {
    track: Box<dyn track::Track>,
    /// What each instance has to take in first; `None` if the component is a snapshot taken after that.
    settings: Option<String>,
    /// Whether taking its settings in has bounds of its own, and is no part of a decision.
    configures_apart: bool,
    /// Whether it decides only until there is code with its settings taken in.
    meanwhile: bool,
    /// The facts about callers that the component imports.
    facts: Vec<Fact>,
    /// What it may have of the engine's instances.
    share: share::Share,
}

/// One question: who is this caller in the cluster?
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The verified caller.
    pub caller: &'a Arc<Caller>,
    /// This cluster's id.
    pub cluster_id: &'a str,
    /// The only clock there is: read once per login.
    pub now: SystemTime,
    /// What the stages before this one decided; `None` if nobody has mapped the caller yet.
    pub current: Option<&'a Mapping>,
    /// Names of the stages that made or changed `current`, oldest first.
    pub trail: &'a [String],
    /// The versions that this login sees of tables that are followed; `None`: those of the moment at which a policy is asked.
    pub tables: Option<&'a Versions>,
}

/// A Kubernetes identity, as `TokenReview.status.user` carries it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Mapping {
    /// The username; never empty in an answer.
    pub username: String,
    /// `None`: the provider's own uid for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Groups in order, duplicates kept as written.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Extra keys; the host adds its own standard keys afterwards and refuses collisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<(String, Vec<String>)>,
}

/// What a stage says about a caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// No opinion.
    Abstain,
    /// From here on the caller is this.
    Allow(Mapping),
    /// Final: no later stage is asked. The text goes to the audit log, never to the caller.
    Deny(String),
}

/// One line a policy logged, cut to the budget.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text, control characters escaped.
    pub message: String,
}

/// What one evaluation gave.
#[derive(Debug)]
pub struct Evaluation {
    /// The answer, or why there is none.
    pub verdict: Result<Verdict, Fault>,
    /// What the policy logged.
    pub log: Vec<LogLine>,
    /// Fuel used: the same for the same request on every machine.
    pub fuel: u64,
    /// Memory that the instance had at the end, in bytes.
    pub memory: u64,
    /// The private DNS name of the caller's instance, if the policy was granted to know it and there is one.
    pub node: Option<String>,
}

/// Why a policy gave no answer. Every fault refuses the login.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The policy said that it or its settings are broken.
    #[error("the policy reports itself broken: {0}")]
    Broken(String),
    /// It computed more than its fuel allows.
    #[error("the policy ran out of fuel")]
    Fuel,
    /// What it handed to the host, its answer among that, does not follow the canonical ABI (Component Model): a text or
    /// a list beyond its memory, a text that is no UTF-8, a case that its type does not have.
    #[error("what the policy handed over is malformed: {0}")]
    Malformed(String),
    /// It took more memory than its limit.
    #[error("the policy asked for more memory than its limit")]
    Memory,
    /// All instances are busy and the queue is full. Worth a retry.
    #[error("all policy instances are busy")]
    Overloaded,
    /// Its answer breaks a rule of its kind or its ceiling.
    #[error("the policy's answer is out of bounds: {0}")]
    OutOfBounds(String),
    /// It asked the host more often than it may.
    #[error("the policy asked the host too often")]
    HostCalls,
    /// Its calls went deeper than the engine's stack. A language that keeps a stack of its own in memory may reach the end
    /// of that first, which is a trap.
    #[error("the policy's calls went too deep")]
    Stack,
    /// It took more elements of tables than it may.
    #[error("the policy asked for larger tables than it may have")]
    Table,
    /// Its answer, or what it asks the host for, is larger than the limits allow.
    #[error("the policy's answer, or what it asks for, is too large")]
    TooLarge,
    /// It ran longer than its timeout.
    #[error("the policy ran out of time")]
    Timeout,
    /// It trapped: a panic, an out-of-bounds access, a division by zero.
    #[error("the policy trapped: {0}")]
    Trap(String),
    /// The policy said that something outside it is missing, or the system has no memory for it. Worth a retry.
    #[error("the policy could not decide now: {0}")]
    Unavailable(String),
}

/// A policy with all that it may use and see in one decision, ready to be asked on whatever thread.
struct Ready {
    prepared: Arc<Prepared>,
    scope: Scope,
}

/// What one decision may use and see.
struct Scope {
    limits: Limits,
    tables: Tables,
    facts: Facts,
}

/// A [`Request`] that goes to another thread, and has brought its tables already.
struct Carried {
    caller: Arc<Caller>,
    cluster_id: String,
    now: SystemTime,
    current: Option<Mapping>,
    trail: Vec<String>,
}

// === impl Request ===

impl<'a> Request<'a> {
    /// The question about `caller` before anybody has been asked.
    #[must_use]
    pub fn new(caller: &'a Arc<Caller>, cluster_id: &'a str, now: SystemTime) -> Self {
        Self { caller, cluster_id, now, current: None, trail: &[], tables: None }
    }
}

// === impl Policy ===

impl Policy {
    /// Loads the policy that `config` describes; its machine code comes from `compiled` if it is there.
    ///
    /// Blocks: a few milliseconds with compiled code, else as long as the compiler needs, and at most the
    /// policy's timeout for its `configure`.
    ///
    /// # Errors
    ///
    /// [`LoadError`], naming the file and what is wrong.
    pub fn load(engine: &Engine, config: &Config, compiled: Option<&CompiledFolder>) -> Result<Self, LoadError> {
        Self::load_following(engine, config, compiled, |_| LiveTable::default())
    }

    /// The same with `live` for the tables that are followed while Herald runs; by itself no policy sees anything in them.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_following(
        engine: &Engine,
        config: &Config,
        compiled: Option<&CompiledFolder>,
        live: impl Fn(&TableSource) -> LiveTable,
    ) -> Result<Self, LoadError> {
        let read = || Ok(Tables::read(&config.tables, live)?);
        let load = |tables| loader::load(engine, config, compiled, tables, false);
        read().and_then(load).map_err(LoadError::about(&config.component))
    }

    /// The same with these tables instead of those that `config` names. For cases: taking settings in is no part of their
    /// decisions, as it is none where a server has taken a snapshot.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_with(
        engine: &Engine,
        config: &Config,
        compiled: Option<&CompiledFolder>,
        tables: &Tables,
    ) -> Result<Self, LoadError> {
        loader::load(engine, config, compiled, tables.clone(), true).map_err(LoadError::about(&config.component))
    }

    /// The same with the tables of `config`, which is of the same policy, read anew.
    ///
    /// # Errors
    ///
    /// As [`Self::load`], about tables alone.
    pub fn with_tables(&self, config: &Config, live: impl Fn(&TableSource) -> LiveTable) -> Result<Self, LoadError> {
        let tables = Tables::read(&config.tables, live).map_err(LoadProblem::from);
        Ok(Self { tables: tables.map_err(LoadError::about(&config.component))?, ..self.clone() })
    }

    /// The same that is granted these facts about callers, and no others.
    #[must_use]
    pub fn with_granted(self, granted: Vec<Fact>) -> Self {
        Self { granted, ..self }
    }

    /// Lets it know of what `cloud` knows the facts that it is granted and its component asks for.
    #[must_use]
    pub fn with_cloud(self, cloud: Arc<dyn FactFinder>) -> Self {
        Self { cloud: Some(cloud), ..self }
    }

    /// Asks one question of a fresh instance. Bounded in time by the policy's timeout and the wait for a free
    /// instance; long computations yield to other tasks. Needs a tokio runtime with its timer.
    pub async fn decide(&self, request: &Request<'_>) -> Evaluation {
        let ready = self.ready(request).await;
        let place = self.engine.crew().line_up().await;
        let (carried, engine) = (Carried::from(request), self.engine.clone());
        let decision = move |begun| async move { ready.decide(&engine, &carried.request(), &begun).await };
        if let Some(crew) = place.crew() {
            return crew::hand_over(&crew, async move { place.decide(decision).await.0 }).await;
        }
        let (decided, _place) = place.decide(decision).await;
        // All that were in line decide before the first of them goes on.
        tokio::task::yield_now().await;
        decided
    }

    /// The same in the one instance that no login uses, however long it takes to be free.
    pub async fn decide_aside(&self, request: &Request<'_>) -> Evaluation {
        let ready = self.ready(request).await;
        let slot = self.engine.slot_aside().await;
        ready.prepared.decide_in(&slot, ready.scope, request).await
    }

    /// Facts are looked up before there is an instance to hold, all at once.
    async fn ready(&self, request: &Request<'_>) -> Ready {
        let instance = self.fact(Fact::CallerInstance, |cloud| cloud.instance(request.caller));
        let tags = self.fact(Fact::CallerTags, |cloud| cloud.tags(request.caller));
        let (instance, tags) = join(instance, tags).await;
        let facts = Facts { instance, tags };
        let tables = self.tables.as_seen_by(request.tables);
        Ready { prepared: Arc::clone(&self.prepared), scope: Scope { limits: self.limits, tables, facts } }
    }

    /// What `find` finds, if the policy may know `fact` and asks for it.
    async fn fact<'a, T>(
        &'a self,
        fact: Fact,
        find: impl FnOnce(&'a dyn FactFinder) -> BoxFuture<'a, Result<T, LookUpError>>,
    ) -> Result<T, LookUpError> {
        match &self.cloud {
            Some(cloud) if self.granted.contains(&fact) && self.prepared.facts.contains(&fact) => {
                find(cloud.as_ref()).await
            }
            _ => Err(LookUpError::NotGranted),
        }
    }

    /// Why it cannot read one of its tables yet; `None` if it can read all of them.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.tables.missing()
    }

    /// Adds to `versions` those that its tables are of now, where they are followed and not there yet.
    pub fn hold_tables(&self, versions: &mut Versions) {
        self.tables.hold(versions);
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it may do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// SHA-256 of its component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether loading it for `engine` again would give the same: it runs there, by the code that is to stay.
    #[must_use]
    pub fn is_settled_in(&self, engine: &Engine) -> bool {
        !self.prepared.meanwhile && std::ptr::eq(self.engine.wasmtime(), engine.wasmtime())
    }

    /// Whether it decides only until there is code with its settings taken in.
    #[must_use]
    pub fn is_meanwhile(&self) -> bool {
        self.prepared.meanwhile
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, digest, limits, .. } = self;
        f.debug_struct("Policy")
            .field("name", name)
            .field("kind", kind)
            .field("digest", digest)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

// === impl Ready ===

impl Ready {
    async fn decide(self, engine: &Engine, request: &Request<'_>, begun: &crew::Begun) -> Evaluation {
        let Self { prepared, scope } = self;
        match engine.slot(&prepared.share).await {
            Ok(slot) => {
                begun.tell();
                prepared.decide_in(&slot, scope, request).await
            }
            Err(fault) => Evaluation::failed(fault),
        }
    }
}

// === impl Prepared ===

impl Prepared {
    async fn decide_in(&self, slot: &engine::Slot<'_>, scope: Scope, request: &Request<'_>) -> Evaluation {
        let Scope { limits, tables, facts } = scope;
        let node = facts.node().map(str::to_owned);
        let mut store = if self.configures_apart { slot.store_apart(&limits) } else { slot.store(&limits) };
        store.data_mut().facts = facts;
        store.data_mut().tables = tables;
        let said = self.track.decide(&mut store, self.settings.as_deref(), request).await;
        let verdict = match said {
            Ok(said) => said.and_then(limits::bounded),
            Err(error) => Err(limits::fault(&error)),
        };
        let fuel = limits.fuel().saturating_sub(store.get_fuel().unwrap_or_default());
        let memory = store.data().room.used();
        Evaluation { verdict, log: store.into_data().log.finish(), fuel, memory, node }
    }
}

// === impl Carried ===

impl Carried {
    fn request(&self) -> Request<'_> {
        let Self { caller, cluster_id, now, current, trail } = self;
        Request { current: current.as_ref(), trail, ..Request::new(caller, cluster_id, *now) }
    }
}

impl From<&Request<'_>> for Carried {
    fn from(request: &Request<'_>) -> Self {
        let Request { caller, cluster_id, now, current, trail, tables: _ } = *request;
        Self {
            caller: Arc::clone(caller),
            cluster_id: cluster_id.to_owned(),
            now,
            current: current.cloned(),
            trail: trail.to_vec(),
        }
    }
}

// === impl Evaluation ===

impl Evaluation {
    /// No instance was there to ask.
    fn failed(fault: Fault) -> Self {
        Self { verdict: Err(fault), log: Vec::new(), fuel: 0, memory: 0, node: None }
    }
}

// === impl Verdict ===

impl Verdict {
    /// `abstain`, `allow` or `deny`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Abstain => "abstain",
            Self::Allow(_) => "allow",
            Self::Deny(_) => "deny",
        }
    }
}

// === impl Fault ===

impl Fault {
    /// The stable label for metrics, logs and `TokenReview.status.error`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Broken(_) => "policy_broken",
            Self::Fuel => "policy_fuel",
            Self::HostCalls => "policy_host_calls",
            Self::Malformed(_) => "policy_malformed",
            Self::Memory => "policy_memory",
            Self::Overloaded => "policy_overloaded",
            Self::OutOfBounds(_) => "policy_out_of_bounds",
            Self::Stack => "policy_stack",
            Self::Table => "policy_table",
            Self::TooLarge => "policy_too_large",
            Self::Timeout => "policy_timeout",
            Self::Trap(_) => "policy_trap",
            Self::Unavailable(_) => "policy_unavailable",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
