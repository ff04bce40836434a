//! Every metric of the process, in the OpenMetrics text format.
//!
//! Label values are fixed words, or names the operator wrote (policies, regions), of which at most
//! [`MAX_NAMES`] are told apart: no caller can make a series appear.

use std::{
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

mod compiled;
mod names;
mod old;
mod process;
mod refused;

pub use old::{OldNames, OldResult};

use compiled::CompiledPolicies;
use names::{Name, Names};
use old::Old;
use refused::RefusedTables;

/// Media type of [`Metrics::text`] (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Most policy names, and most regions, that have series of their own; the rest share `other`.
pub const MAX_NAMES: usize = 256;

/// Prefix of every metric but the standard `process_…` ones.
const PREFIX: &str = "herald";

/// Upper bounds for logins and requests to clouds, in seconds: what waits for a timeout of 5 s takes a little longer, and an API
/// server waits for 30 s.
const LOGIN_BUCKETS: [f64; 17] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds for policy evaluations, in seconds.
const POLICY_BUCKETS: [f64; 12] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.25];

/// Every metric of the process. Cheap to update; label values come from fixed sets or the
/// operator's configuration, never from a caller.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    policies: Names,
    regions: Names,
    audit_dropped: Family<Outcome, Counter>,
    audit_write_errors: Counter,
    certificate_end: Gauge<f64, AtomicU64>,
    compiled_policies: CompiledPolicies,
    config_info: Family<Generation, Gauge>,
    config_last_reload_success: Gauge,
    config_last_reload_success_time: Gauge<f64, AtomicU64>,
    connections: Gauge,
    connections_closed: Family<Reason, Counter>,
    decision_seconds: Family<Outcome, Histogram, fn() -> Histogram>,
    decisions: Family<Decision, Counter>,
    ec2_instances: Counter,
    ec2_look_ups: Family<LookUp, Counter>,
    ec2_request_seconds: Histogram,
    ec2_requests: Family<CacheResult, Counter>,
    iam_look_ups: Family<LookUp, Counter>,
    iam_request_seconds: Histogram,
    iam_requests: Family<CacheResult, Counter>,
    in_flight: Gauge,
    policies_compiling: Gauge,
    policy_evaluations: Family<Evaluation, Counter>,
    policy_fuel: Family<Policy, Counter>,
    policy_seconds: Family<Policy, Histogram, fn() -> Histogram>,
    policy_shadows: Family<Evaluation, Counter>,
    refused_tables: RefusedTables,
    rejections: Family<Reason, Counter>,
    source_entries: Family<Source, Gauge>,
    source_failures: Family<SourceFailure, Counter>,
    source_last_sync_time: Family<Source, Gauge<f64, AtomicU64>>,
    source_left_out: Family<Source, Gauge>,
    source_losses: Family<Vital, Counter>,
    source_vital_entries: Family<Vital, Gauge>,
    status_writes: Family<StatusWrite, Counter>,
    sts_cache: Family<CacheResult, Counter>,
    sts_request_seconds: Family<Region, Histogram, fn() -> Histogram>,
    sts_requests: Family<StsRequest, Counter>,
    webhook_distrusted: Gauge,
    /// Under the names of aws-iam-authenticator, if the operator wants them.
    old: Option<Old>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CacheResult {
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Decision {
    provider: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LookUp {
    source: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Evaluation {
    policy: Name,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Generation {
    generation: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Policy {
    policy: Name,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Region {
    region: Name,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Source {
    source: String,
}

impl Source {
    fn of(source: &str) -> Self {
        Self { source: source.to_owned() }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SourceFailure {
    source: String,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StatusWrite {
    source: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StsRequest {
    region: Name,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Vital {
    source: String,
    whom: &'static str,
}

impl Vital {
    fn of(source: &str, whom: &'static str) -> Self {
        Self { source: source.to_owned(), whom }
    }
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Metrics {
    /// Nothing counted yet. `old_names`: count under those names as well.
    #[must_use]
    pub fn new(old_names: Option<OldNames>) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            policies: Names::default(),
            regions: Names::default(),
            audit_dropped: Family::default(),
            audit_write_errors: Counter::default(),
            certificate_end: Gauge::default(),
            compiled_policies: CompiledPolicies::default(),
            config_info: Family::default(),
            config_last_reload_success: Gauge::default(),
            config_last_reload_success_time: Gauge::default(),
            connections: Gauge::default(),
            connections_closed: Family::default(),
            decision_seconds: Family::new_with_constructor(|| Histogram::new(LOGIN_BUCKETS)),
            decisions: Family::default(),
            ec2_instances: Counter::default(),
            ec2_look_ups: Family::default(),
            ec2_request_seconds: Histogram::new(LOGIN_BUCKETS),
            ec2_requests: Family::default(),
            iam_look_ups: Family::default(),
            iam_request_seconds: Histogram::new(LOGIN_BUCKETS),
            iam_requests: Family::default(),
            in_flight: Gauge::default(),
            policies_compiling: Gauge::default(),
            policy_evaluations: Family::default(),
            policy_fuel: Family::default(),
            policy_seconds: Family::new_with_constructor(|| Histogram::new(POLICY_BUCKETS)),
            policy_shadows: Family::default(),
            refused_tables: RefusedTables::default(),
            rejections: Family::default(),
            source_entries: Family::default(),
            source_failures: Family::default(),
            source_last_sync_time: Family::default(),
            source_left_out: Family::default(),
            source_losses: Family::default(),
            source_vital_entries: Family::default(),
            status_writes: Family::default(),
            sts_cache: Family::default(),
            sts_request_seconds: Family::new_with_constructor(|| Histogram::new(LOGIN_BUCKETS)),
            sts_requests: Family::default(),
            webhook_distrusted: Gauge::default(),
            old: None,
        };
        metrics.register();
        // There from the start: an alert sees no counter rise that begins with its first event.
        for outcome in ["allowed", "denied"] {
            metrics.audit_dropped.get_or_create(&Outcome { outcome }).inc_by(0);
        }
        metrics.connections_closed.get_or_create(&Reason { reason: "untrusted" }).inc_by(0);
        metrics.old = old_names.map(|names| Old::register(&mut metrics.registry, names));
        metrics
    }

    /// Names and help texts: the only place that has them. `_total` and units are appended on the wire.
    fn register(&mut self) {
        self.registry.register_collector(Box::new(process::Process));
        let own = self.registry.sub_registry_with_prefix(PREFIX);
        own.register("build", "What this process is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        own.register(
            "audit_dropped",
            "Audit lines left out: the queue was full, or denials came too often",
            self.audit_dropped.clone(),
        );
        own.register("audit_write_errors", "Failed writes of audit lines", self.audit_write_errors.clone());
        own.register_with_unit(
            "certificate_end_timestamp",
            "When the certificate in force ends; 0 if that is not known",
            Unit::Seconds,
            self.certificate_end.clone(),
        );
        self.compiled_policies.register(own);
        own.register("config_info", "Digest of the configuration in force", self.config_info.clone());
        own.register(
            "config_last_reload_successful",
            "1 if the last attempt to load the configuration worked",
            self.config_last_reload_success.clone(),
        );
        own.register_with_unit(
            "config_last_reload_success_timestamp",
            "When the configuration in force was loaded",
            Unit::Seconds,
            self.config_last_reload_success_time.clone(),
        );
        own.register("connections", "Open connections", self.connections.clone());
        own.register(
            "connections_closed",
            "Connections that the server closed, or that broke",
            self.connections_closed.clone(),
        );
        own.register("decisions", "Decisions about tokens", self.decisions.clone());
        own.register_with_unit(
            "decision_duration",
            "Time from a token to its decision",
            Unit::Seconds,
            self.decision_seconds.clone(),
        );
        own.register("ec2_instances", "Instances asked for in calls to EC2", self.ec2_instances.clone());
        own.register("ec2_look_ups", "Look-ups of the node behind a caller", self.ec2_look_ups.clone());
        own.register("ec2_requests", "Calls to EC2", self.ec2_requests.clone());
        own.register_with_unit(
            "ec2_request_duration",
            "Time of one call to EC2, all its pages",
            Unit::Seconds,
            self.ec2_request_seconds.clone(),
        );
        own.register("iam_look_ups", "Look-ups of the tags of a caller", self.iam_look_ups.clone());
        own.register("iam_requests", "Calls to IAM", self.iam_requests.clone());
        own.register_with_unit(
            "iam_request_duration",
            "Time of one call to IAM",
            Unit::Seconds,
            self.iam_request_seconds.clone(),
        );
        own.register("in_flight", "Token reviews under way", self.in_flight.clone());
        own.register(
            "policies_compiling",
            "Policies whose newest version is being compiled, the last good in force",
            self.policies_compiling.clone(),
        );
        own.register("policy_evaluations", "Answers and faults of policies", self.policy_evaluations.clone());
        own.register("policy_fuel", "Fuel that policies used", self.policy_fuel.clone());
        own.register_with_unit(
            "policy_duration",
            "Time in a policy, with the wait for a thread and an instance",
            Unit::Seconds,
            self.policy_seconds.clone(),
        );
        own.register("policy_shadows", "Logins compared with policies in shadow mode", self.policy_shadows.clone());
        own.register("rejected_requests", "Requests that never became a decision", self.rejections.clone());
        own.register("source_entries", "Mappings and accounts in force, of one source", self.source_entries.clone());
        own.register("source_failures", "Failed attempts to read a live source", self.source_failures.clone());
        own.register_with_unit(
            "source_last_sync_timestamp",
            "When a source was last known to be as it is in force",
            Unit::Seconds,
            self.source_last_sync_time.clone(),
        );
        own.register(
            "source_left_out",
            "Entries and documents of one source that are wrong and so not in force",
            self.source_left_out.clone(),
        );
        own.register(
            "source_losses",
            "Changes of a source that left none of its administrators, or none of its nodes",
            self.source_losses.clone(),
        );
        own.register(
            "source_vital_entries",
            "Entries of one source that let administrators in, or nodes",
            self.source_vital_entries.clone(),
        );
        own.register("status_writes", "Statuses of mappings written, or not", self.status_writes.clone());
        own.register("sts_cache", "Look-ups among verified callers", self.sts_cache.clone());
        own.register("sts_requests", "Requests to STS", self.sts_requests.clone());
        own.register_with_unit(
            "sts_request_duration",
            "Time of one STS request",
            Unit::Seconds,
            self.sts_request_seconds.clone(),
        );
        own.register(
            "webhook_kubeconfig_distrusted",
            "1 if the webhook kubeconfig on this machine does not trust the certificate in force",
            self.webhook_distrusted.clone(),
        );
    }

    /// Everything, in the text format that [`CONTENT_TYPE`] names.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.registry).expect("a String takes every write");
        out
    }

    /// One decision went out: outcome `allowed|denied|unavailable`, its reason label, total time.
    pub fn decision(&self, provider: &'static str, outcome: &'static str, reason: &'static str, took: Duration) {
        let provider = if provider.is_empty() { "none" } else { provider };
        self.decisions.get_or_create(&Decision { provider, outcome, reason }).inc();
        self.decision_seconds.get_or_create(&Outcome { outcome }).observe(took.as_secs_f64());
    }

    /// One request to STS ended: region (empty: `global`), result label (`ok`, a reason, or `given_up` if nobody waited for
    /// its answer any more), time.
    pub fn sts_request(&self, region: &str, result: &'static str, took: Duration) {
        let region = self.regions.name(if region.is_empty() { "global" } else { region });
        self.sts_request_seconds.get_or_create(&Region { region: region.clone() }).observe(took.as_secs_f64());
        self.sts_requests.get_or_create(&StsRequest { region, result }).inc();
    }

    /// One call to STS as the old metrics count it: the status of the answer, if there was one.
    pub fn sts_answer(&self, region: &str, status: Option<u16>, is_throttled: bool) {
        let Some(old) = &self.old else { return };
        let region = self.regions.name(if region.is_empty() { "global" } else { region });
        old.sts_answer(region, status, is_throttled);
    }

    /// One login as the old metrics count it.
    pub fn old_login(&self, result: OldResult, took: Duration) {
        if let Some(old) = &self.old {
            old.login(result.label(), took);
        }
    }

    /// Whether DynamicFile is asked, and nothing else. As with the old metrics, neither goes back to 0.
    pub fn old_dynamic_file(&self, is_asked: bool, is_alone: bool) {
        let Some(old) = &self.old else { return };
        if is_asked {
            old.dynamic_file_enabled.set(1);
        }
        if is_alone {
            old.dynamic_file_only.set(1);
        }
    }

    /// What was written at `written`, by its writer's word, is in force at `now`: `dynamic_file` or `dynamic_backend_mode`.
    pub fn old_dynamic_latency(&self, kind: &'static str, written: SystemTime, now: SystemTime) {
        if let Some(old) = &self.old {
            old.dynamic_latency(kind, now.duration_since(written).unwrap_or_default());
        }
    }

    /// A verified-caller look-up: `hit`, `refused` (a remembered refusal), `joined` (single-flight), `miss`.
    pub fn sts_cache(&self, result: &'static str) {
        self.sts_cache.get_or_create(&CacheResult { result }).inc();
    }

    /// One call to EC2 ended: result label (`ok` or a reason), instances asked for, time.
    pub fn ec2_request(&self, result: &'static str, instances: usize, took: Duration) {
        if let Some(old) = &self.old {
            old.ec2_calls.inc();
        }
        self.ec2_instances.inc_by(u64::try_from(instances).unwrap_or(u64::MAX));
        self.ec2_request_seconds.observe(took.as_secs_f64());
        self.ec2_requests.get_or_create(&CacheResult { result }).inc();
    }

    /// One look-up of a node: `cache`, `ec2`, `joined`, `stale` or `none`, and `ok` or a reason label.
    pub fn ec2_look_up(&self, source: &'static str, result: &'static str) {
        self.ec2_look_ups.get_or_create(&LookUp { source, result }).inc();
    }

    /// One call to IAM ended: result label (`ok` or a reason), time.
    pub fn iam_request(&self, result: &'static str, took: Duration) {
        self.iam_request_seconds.observe(took.as_secs_f64());
        self.iam_requests.get_or_create(&CacheResult { result }).inc();
    }

    /// One look-up of a caller's tags: `cache`, `iam`, `joined`, `stale` or `none`, and `ok` or a reason label.
    pub fn iam_look_up(&self, source: &'static str, result: &'static str) {
        self.iam_look_ups.get_or_create(&LookUp { source, result }).inc();
    }

    /// One policy evaluation: policy name, verdict or fault label, time, fuel.
    pub fn policy(&self, policy: &str, result: &'static str, took: Duration, fuel: u64) {
        let policy = self.policies.name(policy);
        let one = Policy { policy: policy.clone() };
        self.policy_seconds.get_or_create(&one).observe(took.as_secs_f64());
        self.policy_fuel.get_or_create(&one).inc_by(fuel);
        self.policy_evaluations.get_or_create(&Evaluation { policy, result }).inc();
    }

    /// One login compared with a policy in shadow mode: `same`, `different`, `fault`; or left out: `dropped`. Beside the
    /// first three, `unrecorded`: it was not written down.
    pub fn shadow(&self, policy: &str, result: &'static str) {
        self.policy_shadows.get_or_create(&Evaluation { policy: self.policies.name(policy), result }).inc();
    }

    /// An audit line was left out: the queue is full, or denials come too often; `outcome` is what the decision was.
    pub fn audit_dropped(&self, outcome: &'static str) {
        self.audit_dropped.get_or_create(&Outcome { outcome }).inc();
    }

    /// Audit lines could not be written; they are kept and written later.
    pub fn audit_write_failed(&self) {
        self.audit_write_errors.inc();
    }

    /// The certificate in force ends then, as far as that is known.
    pub fn certificate(&self, end: Option<SystemTime>) {
        let since = end.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        self.certificate_end.set(since.as_secs_f64());
    }

    /// Whether API servers that are started with the webhook kubeconfig of this machine turn away.
    pub fn webhook_distrusted(&self, is_distrusted: bool) {
        self.webhook_distrusted.set(i64::from(is_distrusted));
    }

    /// A configuration went live at `now`: its digest.
    pub fn config_loaded(&self, generation: &str, now: SystemTime) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.config_info.clear();
        self.config_info.get_or_create(&Generation { generation: generation.to_owned() }).set(1);
        self.config_last_reload_success.set(1);
        self.config_last_reload_success_time.set(since.as_secs_f64());
    }

    /// So many policies of the newest configuration are still being compiled.
    pub fn policies_compiling(&self, policies: usize) {
        self.policies_compiling.set(i64::try_from(policies).unwrap_or(i64::MAX));
    }

    /// A configuration was refused; the last good one stays in force.
    pub fn config_rejected(&self) {
        self.config_last_reload_success.set(0);
    }

    /// A source is in force with so many entries, and so many left out.
    pub fn source_loaded(&self, source: &str, entries: usize, left_out: usize) {
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let source = Source::of(source);
        self.source_entries.get_or_create(&source).set(gauge(entries));
        self.source_left_out.get_or_create(&source).set(gauge(left_out));
    }

    /// So many entries of a source let in `administrators`, or `nodes`.
    pub fn source_vital(&self, source: &str, whom: &'static str, entries: usize) {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        let vital = Vital::of(source, whom);
        self.source_losses.get_or_create(&vital).inc_by(0);
        self.source_vital_entries.get_or_create(&vital).set(entries);
    }

    /// A source had some of them, and has none now.
    pub fn source_lost(&self, source: &str, whom: &'static str) {
        self.source_losses.get_or_create(&Vital::of(source, whom)).inc();
    }

    /// The status of one mapping was to be written: `ok`, `changed` (there is a newer version of it), `gone`, or the
    /// reason of a failure.
    pub fn status_write(&self, source: &'static str, result: &'static str) {
        self.status_writes.get_or_create(&StatusWrite { source, result }).inc();
    }

    /// A source was seen at `now`, and what was seen is in force.
    pub fn source_in_step(&self, source: &str, now: SystemTime) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.source_last_sync_time.get_or_create(&Source::of(source)).set(since.as_secs_f64());
    }

    /// A source is not asked any more: nobody is to be alarmed about its age.
    pub fn source_gone(&self, source: &str) {
        self.table_taken(source, Ok(()));
        for whom in ["administrators", "nodes"] {
            self.source_vital_entries.remove(&Vital::of(source, whom));
        }
        let source = Source::of(source);
        self.source_entries.remove(&source);
        self.source_last_sync_time.remove(&source);
        self.source_left_out.remove(&source);
    }

    /// A live source could not be read: its reason label.
    pub fn source_failed(&self, source: &str, reason: &'static str) {
        if let Some(old) = &self.old {
            old.source_failed(source);
        }
        let Source { source } = Source::of(source);
        self.source_failures.get_or_create(&SourceFailure { source, reason }).inc();
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A connection is gone.
    pub fn connection_ended(&self) {
        self.connections.dec();
    }

    /// A connection ended, and not because its peer closed it in order: `broken` (by the peer or its protocol),
    /// `client_certificate`, `handshake`, `head_timeout`, `idle`, `shutdown`, `slow_body`, `slow_reader`, `untrusted` (our
    /// certificate, by the peer).
    pub fn connection_cut(&self, reason: &'static str) {
        self.connections_closed.get_or_create(&Reason { reason }).inc();
    }

    /// A token review began.
    pub fn review_started(&self) {
        self.in_flight.inc();
    }

    /// A token review ended, answered or not.
    pub fn review_ended(&self) {
        self.in_flight.dec();
    }

    /// A request was turned away without a decision.
    pub fn rejected(&self, reason: &'static str) {
        if let Some(old) = &self.old {
            old.rejected(reason);
        }
        self.rejections.get_or_create(&Reason { reason }).inc();
    }
}

#[cfg(test)]
mod tests;
