//! What an operator sees: metrics, the audit log and the process log.

use std::time::Duration;

/// Every metric of the process. Cheap to update; label values come from fixed sets or the
/// operator's configuration, never from a caller.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// One decision went out: outcome `allowed|denied|unavailable`, its reason label, total time.
    pub fn decision(&self, _provider: &'static str, _outcome: &'static str, _reason: &'static str, _took: Duration) {}

    /// One request to STS ended: region (empty: `global`), result label (`ok` or a reason), time.
    pub fn sts_request(&self, _region: &str, _result: &'static str, _took: Duration) {}

    /// A verified-caller look-up: `hit`, `refused` (a remembered refusal), `joined` (single-flight), `miss`.
    pub fn sts_cache(&self, _result: &'static str) {}

    /// A configuration went live at `now`: its digest.
    pub fn config_loaded(&self, _generation: &str, _now: std::time::SystemTime) {}

    /// A configuration was refused; the last good one stays in force.
    pub fn config_rejected(&self) {}

    /// One policy evaluation: policy name, verdict or fault label, time, fuel.
    pub fn policy(&self, _policy: &str, _result: &'static str, _took: Duration, _fuel: u64) {}
}

/// Where the records of this process go.
#[derive(Clone, Debug, Default, serde::Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Stub.
    pub audit: Option<String>,
}
