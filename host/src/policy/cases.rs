//! Cases for a policy: settings, a caller, and the decision that is expected. Authors write them in YAML, for
//! `herald policy test` and as the examples that a component carries.
//!
//! ```yaml
//! settings: {…}                     # for all cases; default {}
//! tables: {rota: {key: value}}      # likewise; not-ready instead of the keys: attached, and not loaded yet
//! instance: {id: i-…, tags: {…}}    # likewise; or not-found, forbidden, unavailable; default: not granted
//! tags: {key: value}                # likewise, of the caller's role or user
//! kind: augment                     # answers beyond this power are policy_out_of_bounds; default: any answer
//! ceiling: {groups: [dev]}          # so are answers above this; default: no ceiling
//! limits: {memory: 32Mi}            # also `fuel` and `timeout`; default: the usual, and a clock that is patient
//! cases:
//! - name: what this case shows
//!   settings: {…}                   # instead of those above
//!   caller: {arn: "arn:aws:sts::111122223333:assumed-role/Dev/alice"}
//!   expect: abstain                 # or one of:
//! # expect: {allow: {username: alice, groups: [dev]}}   all of the mapping, exactly
//! # expect: {deny: "not allowed"}                       a part of the text
//! # expect: {fault: policy_timeout}                     the reason label
//! # expect: {unloadable: "unknown field"}               a part of what the operator is told
//! ```
//!
//! A case may also set `clusterId`, `now`, `current` and `trail`, and a caller every field that the
//! ARN does not tell. What is left out has one fixed value, so a case means the same every day.
//! Examples know no `kind`, `ceiling` and `limits`: those are the operator's.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use super::{
    Ceiling, Facts, Kind, Mapping, Request, Tables,
    cloud::{Instance, MadeUp},
};
use crate::caller::{Arn, Caller, PrincipalId, made_up};

mod outcome;
mod terms;

pub use outcome::{Outcome, answers_difference, difference};
pub use terms::{SomeLimits, Terms};

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Settings of the cases that have none of their own. Default `{}`.
    #[serde(default = "no_settings")]
    settings: Value,
    /// Tables of all cases: name → key → value. Default none.
    #[serde(default)]
    tables: Tables,
    /// The machine that callers are, where a case says nothing else. Default: the policy is not granted to know it.
    instance: Option<MadeUp<Instance>>,
    /// The tags of callers' roles and users, likewise.
    tags: Option<MadeUp<BTreeMap<String, String>>>,
    /// See [`Terms::kind`].
    kind: Option<Kind>,
    /// See [`Terms::ceiling`].
    ceiling: Option<Ceiling>,
    /// See [`Terms::limits`].
    #[serde(default)]
    limits: SomeLimits,
    /// At least one.
    cases: Vec<CaseEntry>,
}

/// One case, ready to be run.
#[derive(Debug)]
pub struct Case {
    /// What the case shows.
    pub name: String,
    /// The policy's settings.
    pub settings: Value,
    /// What the policy is asked.
    pub request: OwnedRequest,
    /// What it must answer.
    pub expect: Expectation,
}

/// A [`Request`] that owns what it is made of.
#[derive(Clone, Debug)]
pub struct OwnedRequest {
    /// See [`Request::caller`].
    pub caller: Arc<Caller>,
    /// See [`Request::cluster_id`].
    pub cluster_id: String,
    /// See [`Request::now`].
    pub now: SystemTime,
    /// See [`Request::current`].
    pub current: Option<Mapping>,
    /// See [`Request::trail`].
    pub trail: Vec<String>,
    /// What the policy may read.
    pub tables: Tables,
    /// What it may know about the caller.
    pub facts: Facts,
}

/// What a policy must answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Expectation {
    /// It has no opinion.
    Abstain,
    /// It gives exactly this mapping.
    Allow(StrictMapping),
    /// It refuses, and its words hold this text.
    Deny(String),
    /// It faults, with this reason label.
    Fault(String),
    /// It does not take its settings, and its words hold this text.
    Unloadable(String),
}

/// A [`Mapping`] in which a misspelt key is an error, because a case that compares less than its
/// author thinks is worse than none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct StrictMapping {
    username: String,
    uid: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseEntry {
    name: String,
    settings: Option<Value>,
    caller: CallerEntry,
    #[serde(default = "cluster_id")]
    cluster_id: String,
    #[serde(default)]
    now: Moment,
    current: Option<StrictMapping>,
    #[serde(default)]
    trail: Vec<String>,
    instance: Option<MadeUp<Instance>>,
    tags: Option<MadeUp<BTreeMap<String, String>>>,
    expect: Expectation,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CallerEntry {
    #[serde(deserialize_with = "arn")]
    arn: Arn,
    principal_id: Option<String>,
    access_key_id: Option<String>,
    sso_permission_set: Option<String>,
    sts_region: Option<String>,
    signed_at: Option<Moment>,
    expires_at: Option<Moment>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// A time as RFC 3339 writes it, e.g. `2026-01-01T00:00:00Z`.
#[derive(Clone, Copy, Debug)]
struct Moment(SystemTime);

/// Seconds from 1970 to 2026-01-01T00:00:00Z, the time of every case that sets none.
pub const DEFAULT_NOW: Duration = Duration::from_secs(1_767_225_600);

// === impl Document ===

impl Document {
    /// How many cases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is no case at all, which is a mistake.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// What the cases are asked under.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms { kind: self.kind, ceiling: self.ceiling.clone(), limits: self.limits }
    }

    /// The cases in order.
    #[must_use]
    pub fn into_cases(self) -> Vec<Case> {
        let Self { settings, tables, instance, tags, cases, .. } = self;
        let complete = |mut case: CaseEntry| {
            case.instance = case.instance.or_else(|| instance.clone());
            case.tags = case.tags.or_else(|| tags.clone());
            case.complete(&settings, &tables)
        };
        cases.into_iter().map(complete).collect()
    }
}

// === impl CaseEntry ===

impl CaseEntry {
    fn complete(self, default_settings: &Value, tables: &Tables) -> Case {
        let Self { name, settings, caller, cluster_id, now: Moment(now), current, trail, instance, tags, expect } =
            self;
        let request = OwnedRequest {
            caller: Arc::new(caller.complete(now)),
            cluster_id,
            now,
            current: current.map(Into::into),
            trail,
            tables: tables.clone(),
            facts: Facts::made_up(instance, tags),
        };
        Case { name, settings: settings.unwrap_or_else(|| default_settings.clone()), request, expect }
    }
}

// === impl CallerEntry ===

impl CallerEntry {
    fn complete(self, now: SystemTime) -> Caller {
        let mut caller = made_up::caller(&self.arn, now);
        if let Some(id) = self.principal_id {
            caller.principal_id = PrincipalId::new(id);
        }
        caller.access_key_id = self.access_key_id.unwrap_or(caller.access_key_id);
        caller.sso_permission_set = self.sso_permission_set.or(caller.sso_permission_set);
        caller.sts_region = self.sts_region.unwrap_or(caller.sts_region);
        caller.signed_at = self.signed_at.map_or(caller.signed_at, |Moment(time)| time);
        caller.expires_at = self.expires_at.map_or(caller.expires_at, |Moment(time)| time);
        caller.attributes = self.attributes.into_iter().collect();
        caller
    }
}

// === impl OwnedRequest ===

impl OwnedRequest {
    /// What a case asks that says nothing but who the caller is.
    #[must_use]
    pub fn from(caller: Caller, now: SystemTime) -> Self {
        Self {
            caller: Arc::new(caller),
            cluster_id: cluster_id(),
            now,
            current: None,
            trail: Vec::new(),
            tables: Tables::default(),
            facts: Facts::default(),
        }
    }

    /// The request that a stage takes.
    #[must_use]
    pub fn borrow(&self) -> Request<'_> {
        Request {
            caller: &self.caller,
            cluster_id: &self.cluster_id,
            now: self.now,
            current: self.current.as_ref(),
            trail: &self.trail,
            tables: None,
        }
    }
}

// === impl StrictMapping ===

impl From<StrictMapping> for Mapping {
    fn from(mapping: StrictMapping) -> Self {
        let StrictMapping { username, uid, groups, extra } = mapping;
        Self { username, uid, groups, extra: extra.into_iter().collect() }
    }
}

// === impl Moment ===

impl Default for Moment {
    fn default() -> Self {
        Self(SystemTime::UNIX_EPOCH + DEFAULT_NOW)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text);
        time.map(Self).map_err(|error| D::Error::custom(format!("not a time such as 2026-01-01T00:00:00Z: {error}")))
    }
}

fn arn<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arn, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn no_settings() -> Value {
    Value::Object(serde_json::Map::new())
}

fn cluster_id() -> String {
    "test.example.com".to_owned()
}
