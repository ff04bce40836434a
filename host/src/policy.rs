//! Policies: sandboxed WebAssembly components that decide who a caller is in the cluster.
//!
//! This file is the contract in Rust: what a policy is asked ([`Request`]), what it may answer
//! ([`Verdict`]) and how it can fail ([`Fault`]). Static sources answer in the same words, so a
//! chain has one kind of stage. The same contract in WIT is `wit/`.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::caller::Caller;

/// One question: who is this caller in the cluster?
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The verified caller.
    pub caller: &'a Caller,
    /// This cluster's id.
    pub cluster_id: &'a str,
    /// The only clock there is: read once per login.
    pub now: SystemTime,
    /// What the stages before this one decided; `None` if nobody has mapped the caller yet.
    pub current: Option<&'a Mapping>,
    /// Names of the stages that made or changed `current`, oldest first.
    pub trail: &'a [String],
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
    /// It took more memory than its limit.
    #[error("the policy asked for more memory than its limit")]
    Memory,
    /// All instances are busy and the queue is full. Worth a retry.
    #[error("all policy instances are busy")]
    Overloaded,
    /// Its answer breaks a rule of its kind or its ceiling.
    #[error("the policy's answer is out of bounds: {0}")]
    OutOfBounds(String),
    /// Its answer is larger than the limits allow.
    #[error("the policy's answer is too large")]
    TooLarge,
    /// It ran longer than its timeout.
    #[error("the policy ran out of time")]
    Timeout,
    /// It trapped: a panic, an out-of-bounds access, a stack overflow.
    #[error("the policy trapped: {0}")]
    Trap(String),
    /// The policy said that something outside it is missing. Worth a retry.
    #[error("the policy could not decide now: {0}")]
    Unavailable(String),
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
            Self::Memory => "policy_memory",
            Self::Overloaded => "policy_overloaded",
            Self::OutOfBounds(_) => "policy_out_of_bounds",
            Self::TooLarge => "policy_too_large",
            Self::Timeout => "policy_timeout",
            Self::Trap(_) => "policy_trap",
            Self::Unavailable(_) => "policy_unavailable",
        }
    }
}

// === stubs: replaced by the policy room ===

use std::path::{Path, PathBuf};

use crate::mapping::ceiling::Ceiling;

/// Stub.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Stub.
    pub name: Name,
    /// Stub.
    pub kind: Kind,
    /// Stub.
    pub component: PathBuf,
    /// Stub.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// Stub.
    #[serde(default)]
    pub ceiling: Ceiling,
    /// Stub.
    #[serde(default)]
    pub on_fault: OnFault,
}

/// Stub.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Stub.
    Map,
    /// Stub.
    Augment,
    /// Stub.
    Guard,
}

/// Stub.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// Stub.
    #[default]
    Refuse,
    /// Stub.
    Skip,
}

/// Stub.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Stub.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Stub.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct EngineConfig {
    /// Stub.
    pub instances: u16,
}

/// Stub.
#[derive(Clone)]
pub struct Engine;

impl Engine {
    /// Stub.
    ///
    /// # Errors
    ///
    /// Stub.
    pub fn new(_config: &EngineConfig) -> Result<Self, std::io::Error> {
        Ok(Self)
    }
}

/// Stub.
pub struct CompiledFolder;

/// Stub.
#[derive(Debug)]
pub struct Policy;

impl Policy {
    /// Stub.
    ///
    /// # Errors
    ///
    /// Stub.
    pub fn load(_engine: &Engine, config: &Config, _compiled: Option<&CompiledFolder>) -> Result<Self, std::io::Error> {
        Err(std::io::Error::other(format!("{} is a stub", Path::display(&config.component))))
    }
}
