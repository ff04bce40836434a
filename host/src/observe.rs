//! What an operator sees: metrics, the audit log and the process log.
//!
//! This room looks at no other one: whoever has something to tell hands it over as plain numbers,
//! fixed labels or serialisable records. Nothing here ever sees a token.

use serde::Deserialize;

pub mod audit;
pub mod log;
pub mod metrics;

pub use audit::AuditLog;
pub use metrics::Metrics;

/// Where the records of this process go.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// The audit log. Default: JSON lines on stderr.
    pub audit: audit::Config,
}
