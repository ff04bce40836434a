//! The metrics of aws-iam-authenticator, or of ack-ram-authenticator, under their own names, for dashboards and alerts that
//! know them: an option.
//!
//! Names, labels and the spelling of values are those programs', `uknown_user` included; what is counted is what Herald
//! does. Its connections to STS are pooled, and what it knows already costs no call, so counts of STS are lower.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::Name;

/// Upper bounds in seconds: those of the Go client library where nobody gives others.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds in seconds of what files of other programs take to be in force.
const DYNAMIC_BUCKETS: [f64; 8] = [1.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0];

/// Rejections that say that a request is no TokenReview.
const MALFORMED: [&str; 6] = ["broken_body", "media_type", "method", "not_a_token_review", "slow_body", "too_large"];

/// How a login ended, in the words of the old metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OldResult {
    /// The token proves nobody.
    InvalidToken,
    /// The caller is proven, and not let in.
    NotAllowed,
    /// STS refuses the token, gives no answer, or is not asked for now.
    StsError,
    /// STS asks for fewer calls.
    StsThrottling,
    /// The caller is let in.
    Success,
}

/// Whose names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OldNames {
    /// Those of aws-iam-authenticator.
    AwsIamAuthenticator,
    /// Those of ack-ram-authenticator, and what only aws-iam-authenticator counts under its prefix too.
    AckRamAuthenticator,
}

#[derive(Debug)]
pub(super) struct Old {
    latency: Family<Result, Histogram, fn() -> Histogram>,
    connection_failures: Family<Labels<1>, Counter>,
    throttling: Family<Labels<1>, Counter>,
    responses: Family<Labels<2>, Counter>,
    config_map_failures: Counter,
    dynamic_file_failures: Counter,
    dynamic_latency: Family<Kind, Histogram, fn() -> Histogram>,
    pub(super) ec2_calls: Counter,
    pub(super) dynamic_file_enabled: Gauge,
    pub(super) dynamic_file_only: Gauge,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct Result {
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct Kind {
    r#type: &'static str,
}

/// Labels whose names are not those of fields in Rust.
type Labels<const N: usize> = [(&'static str, Name); N];

// === impl OldNames ===

impl OldNames {
    /// What all of them start with.
    fn prefix(self) -> &'static str {
        match self {
            Self::AwsIamAuthenticator => "aws_iam_authenticator",
            Self::AckRamAuthenticator => "ack_ram_authenticator",
        }
    }
}

// === impl Old ===

impl Old {
    pub(super) fn register(registry: &mut Registry, names: OldNames) -> Self {
        let old = Self {
            latency: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            connection_failures: Family::default(),
            throttling: Family::default(),
            responses: Family::default(),
            config_map_failures: Counter::default(),
            dynamic_file_failures: Counter::default(),
            dynamic_latency: Family::new_with_constructor(|| Histogram::new(DYNAMIC_BUCKETS)),
            ec2_calls: Counter::default(),
            dynamic_file_enabled: Gauge::default(),
            dynamic_file_only: Gauge::default(),
        };
        let all = registry.sub_registry_with_prefix(names.prefix());
        all.register("authenticate_latency_seconds", "Time of a login, by its end", old.latency.clone());
        all.register(
            "configmap_watch_failures",
            "Failed reads of aws-auth or alibabacloud-auth",
            old.config_map_failures.clone(),
        );
        let since = "Time from LastUpdatedDateTime until a file is in force";
        all.register("dynamic_e2e_latency_seconds", since, old.dynamic_latency.clone());
        all.register("dynamic_file_enabled", "1 if DynamicFile is asked", old.dynamic_file_enabled.clone());
        all.register("dynamic_file_only", "1 if nothing but DynamicFile is asked", old.dynamic_file_only.clone());
        all.register("dynamicfile_failures", "Failed reads of DynamicFile", old.dynamic_file_failures.clone());
        all.register("ec2_describe_instances_calls", "Calls to EC2", old.ec2_calls.clone());
        all.register("sts_connection_failures", "Calls to STS without an answer", old.connection_failures.clone());
        all.register("sts_responses", "Answers of STS", old.responses.clone());
        all.register("sts_throttling", "Answers of STS that ask for fewer calls", old.throttling.clone());
        old
    }

    pub(super) fn login(&self, result: &'static str, took: Duration) {
        self.latency.get_or_create(&Result { result }).observe(took.as_secs_f64());
    }

    pub(super) fn dynamic_latency(&self, kind: &'static str, took: Duration) {
        self.dynamic_latency.get_or_create(&Kind { r#type: kind }).observe(took.as_secs_f64());
    }

    pub(super) fn sts_answer(&self, region: Name, status: Option<u16>, is_throttled: bool) {
        let region = [("StsRegion", region)];
        if is_throttled {
            self.throttling.get_or_create(&region).inc();
        }
        match status {
            Some(code) => {
                let code = ("ResponseCode", Name(code.to_string().into()));
                let [region] = region;
                self.responses.get_or_create(&[code, region]).inc();
            }
            None => drop(self.connection_failures.get_or_create(&region).inc()),
        }
    }

    pub(super) fn rejected(&self, reason: &'static str) {
        if MALFORMED.contains(&reason) {
            self.login("malformed_request", Duration::ZERO);
        }
    }

    pub(super) fn source_failed(&self, source: &str) {
        match source {
            "DynamicFile" => drop(self.dynamic_file_failures.inc()),
            "ACKConfigMap" | "EKSConfigMap" => drop(self.config_map_failures.inc()),
            _ => {}
        }
    }
}

// === impl OldResult ===

impl OldResult {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::InvalidToken => "invalid_token",
            Self::NotAllowed => "uknown_user",
            Self::StsError => "sts_error",
            Self::StsThrottling => "sts_throttling",
            Self::Success => "success",
        }
    }
}
