//! Mapping: who a verified caller is in the cluster, decided by an ordered list of stages.
//!
//! A [`Stage`] is a static source or a Wasm policy; a [`Chain`] asks them in order and checks what
//! comes out. Three answers: `Allow` decides, `Abstain` passes on, `Deny` or a fault refuses.

use std::fmt;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::policy::{Fault, LogLine, Request, Verdict, Versions};

pub mod bootstrap_admins;
pub mod chain;
pub mod guard;
pub mod live;
pub mod mounted_file;
pub mod near;
pub mod node;
pub mod policy_stage;
pub mod rule;
pub mod shadow;
pub mod template;

pub use crate::policy::ceiling;
pub use bootstrap_admins::BootstrapAdmins;
pub use chain::Chain;
pub use guard::Guard;
pub use live::{Live, Mappings};
pub use mounted_file::MountedFile;
pub use node::{NodeName, NodeNames};
pub use policy_stage::PolicyStage;
pub use rule::Rules;
pub use shadow::Shadow;

use rule::Rule;

/// One place that may know who a caller is.
pub trait Stage: Send + Sync {
    /// The name in `server.backendMode`, in the trail, in logs and metrics: `MountedFile`, `Policy/oncall`.
    fn name(&self) -> &str;

    /// Answers one request. Bounded in time by the stage itself.
    fn decide<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Answer>;

    /// Adds to `versions` those of the tables that it looks at, for all stages of one login to see the same.
    fn hold_tables(&self, _versions: &mut Versions) {}

    /// Why it cannot answer yet; `None` if it can.
    fn missing(&self) -> Option<String> {
        None
    }
}

/// What a stage said, and what it cost.
#[derive(Debug)]
pub struct Answer {
    /// The verdict, or why there is none.
    pub verdict: Result<Verdict, StageError>,
    /// What a policy logged.
    pub log: Vec<LogLine>,
    /// Fuel a policy used.
    pub fuel: Option<u64>,
    /// The entry that names the caller and waits for the name of a node; the verdict stands as long as there is none.
    pub waiting: Option<Rule>,
    /// The private DNS name of the caller's instance, if the stage was granted to know it.
    pub node: Option<String>,
    /// Whether callers of this account are let in under their own ARN when no stage of the chain maps them. Found by the
    /// same look as the verdict: a source may change before the last stage is asked.
    pub lists_account: bool,
}

/// Why a stage gave no verdict. Every one of them refuses the login.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// An entry matched that needs the name of a node, and there is none.
    #[error(transparent)]
    Node(#[from] node::NoNode),
    /// The source has not been read yet. Worth a retry.
    #[error("the source is not loaded yet")]
    NotReady,
    /// A policy's fault.
    #[error(transparent)]
    Policy(#[from] Fault),
    /// An entry matched, but its template cannot be rendered for this caller.
    #[error("the mapping's template does not fit this caller: {0}")]
    Template(String),
}

/// Why a chain let nobody in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A policy said no. Its words are for the audit log.
    #[error("denied by {stage}")]
    Denied {
        /// The stage that said so.
        stage: String,
        /// The policy's own words.
        why: String,
    },
    /// What the stages agreed on is not an acceptable Kubernetes identity.
    #[error("refused by the guard after {stage}: {source}")]
    Guard {
        /// The stage that mapped the caller, and those that had a say after it.
        stage: String,
        /// The broken rule.
        source: guard::GuardError,
    },
    /// The caller is an account's root, and the operator lets none in. No stage was asked.
    #[error("this cluster lets no account's root in (server.denyRoot): log in as a user or a role")]
    Root,
    /// A stage failed.
    #[error("{stage} failed: {source}")]
    Stage {
        /// The stage that failed.
        stage: String,
        /// Its error.
        source: StageError,
    },
    /// No stage knows this caller.
    #[error("no mapping names this caller")]
    NotMapped,
}

/// One stage's part in a decision, for the audit log and `herald verify`.
#[derive(Clone, Debug, Serialize)]
pub struct StageRecord {
    /// The stage's name.
    pub stage: String,
    /// `abstain`, `allow`, `deny` or the error's reason label.
    pub verdict: &'static str,
    /// Time it took, in microseconds.
    pub micros: u64,
    /// Fuel it used, if it is a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// How the name of a node was found, if the entry asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<node::NodeRecord>,
    /// What it logged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

// === impl Answer ===

impl Answer {
    /// A verdict that cost nothing worth recording: a static source's.
    #[must_use]
    pub fn plain(verdict: Result<Verdict, StageError>) -> Self {
        Self { verdict, log: Vec::new(), fuel: None, waiting: None, node: None, lists_account: false }
    }

    /// An entry that names the caller and needs the name of the node that he is. Refuses, unless somebody finds it.
    #[must_use]
    pub fn waiting(rule: Rule) -> Self {
        Self { waiting: Some(rule), ..Self::plain(Err(node::NoNode::not_asked().into())) }
    }
}

// === impl StageError ===

impl StageError {
    /// The stable label for metrics, logs and `TokenReview.status.error`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Node(none) => none.reason,
            Self::NotReady => "source_not_ready",
            Self::Policy(fault) => fault.reason(),
            Self::Template(_) => "template",
        }
    }

    /// Whether asking again later can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Node(none) => none.is_retryable,
            error => matches!(error, Self::NotReady | Self::Policy(Fault::Overloaded | Fault::Unavailable(_))),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// The stable label for metrics, logs and `TokenReview.status.error`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "policy_denied",
            Self::Guard { source, .. } => source.reason(),
            Self::Stage { source, .. } => source.reason(),
            Self::NotMapped => "not_mapped",
            Self::Root => "root_denied",
        }
    }

    /// Whether asking again later can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Stage { source, .. } if source.is_retryable())
    }
}

impl fmt::Debug for dyn Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({})", self.name())
    }
}
