//! Shadow: a policy that is tried beside the chain. What it would have changed is told; it changes nothing.
//!
//! A chain does not ask its shadows: it only notes what each would be asked at its place ([`Question`]), so that no
//! answer can depend on one. Whoever has time asks them later.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde::Serialize;

use super::{
    Guard,
    ceiling::Ceiling,
    chain::{grown, micros, shrunk, unite},
    guard::GuardError,
    policy_stage::PREFIX,
};
use crate::{
    caller::Caller,
    policy::{Fault, Kind, LogLine, Mapping, Policy, Request, Verdict, Versions},
};

/// A policy in shadow mode, and where in the chain it would stand.
#[derive(Debug)]
pub struct Shadow {
    name: String,
    policy: Arc<Policy>,
    ceiling: Ceiling,
    place: Place,
    skip_on_fault: bool,
}

/// A place in a chain, before so many of the stages that count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Among the stages that map.
    Map(usize),
    /// With the policies that add.
    Augment,
    /// Among the policies that take away.
    Guard(usize),
}

/// What a shadow would have been asked in one login, and what the chain made of it.
#[derive(Clone, Debug)]
pub struct Question {
    shadow: Arc<Shadow>,
    /// The mapping at its place.
    current: Option<Mapping>,
    trail: Vec<String>,
    /// What the login saw of the tables.
    tables: Versions,
    /// What the chain went on with behind its place; `None`: nobody mapped the caller.
    given: Option<Mapping>,
}

/// The facts of a login that every policy sees.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The verified caller.
    pub caller: &'a Arc<Caller>,
    /// This cluster's id.
    pub cluster_id: &'a str,
    /// When the login was.
    pub now: SystemTime,
}

/// What came of a shadow in one login.
#[derive(Clone, Debug, Serialize)]
pub struct ShadowRecord {
    /// `Policy/<name>`.
    pub stage: String,
    /// `abstain`, `allow`, `deny`, or the reason label of what would have refused the login.
    pub verdict: &'static str,
    /// Whether the login would have come out the same, as far as this policy has a say.
    pub same: bool,
    /// What it would have changed.
    #[serde(flatten)]
    pub change: Change,
    /// Time it took, in microseconds.
    pub micros: u64,
    /// Fuel it used.
    pub fuel: u64,
    /// What it logged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

/// The difference between what a chain went on with and what it would have gone on with.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// It would have let in somebody whom nobody maps, under this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lets_in: Option<String>,
    /// It would have refused, with these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses: Option<String>,
    /// The username before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<[String; 2]>,
    /// The uid before and after; empty: the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<[String; 2]>,
    /// Groups that it would have added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups_added: Vec<String>,
    /// Groups that it would have taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups_removed: Vec<String>,
    /// Keys of `extra` whose values would have been others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_changed: Vec<String>,
}

// === impl Shadow ===

impl Shadow {
    /// Makes `policy` a shadow at `place`, which has to be one of its kind. `skip_on_fault`: its faults would not
    /// refuse anybody.
    #[must_use]
    pub fn new(policy: Arc<Policy>, ceiling: Ceiling, place: Place, skip_on_fault: bool) -> Self {
        Self { name: format!("{PREFIX}{}", policy.name()), policy, ceiling, place, skip_on_fault }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn hold_tables(&self, versions: &mut Versions) {
        self.policy.hold_tables(versions);
    }

    /// What the chain would have gone on with behind this policy, had it said `verdict`; `None`: nobody mapped.
    fn outcome(
        &self,
        verdict: Verdict,
        node: Option<&str>,
        question: &Question,
        guard: &Guard,
        login: &Login<'_>,
    ) -> Outcome {
        let current = question.current.as_ref();
        let given = question.given.clone();
        let after = match verdict {
            Verdict::Abstain => return Ok(given),
            Verdict::Deny(why) => return Err(Refused { label: "deny", words: why, is_fault: false }),
            Verdict::Allow(after) => after,
        };
        let bounds = |rule: &str| Refused::from(Fault::OutOfBounds(rule.to_owned()));
        // As in the chain, where such a policy may have a smaller share of the room.
        let checks = |error: GuardError| if self.skip_on_fault { bounds(&error.to_string()) } else { error.into() };
        self.ceiling.check(&after, current, node).map_err(|why| bounds(&why))?;
        let after = match (self.policy.kind(), current) {
            (Kind::Augment, Some(before)) => {
                grown(before, &after).map_err(bounds)?;
                let mut united = given.unwrap_or_else(|| before.clone());
                unite(&mut united, after);
                united
            }
            (Kind::Guard, Some(before)) => {
                shrunk(before, &after).map_err(bounds)?;
                Mapping { uid: before.uid.clone(), ..after }
            }
            _ => after,
        };
        let first = question.trail.first().map_or(self.name.as_str(), String::as_str);
        guard.check(first, &after, login.caller.extra).map_err(checks)?;
        Ok(Some(after))
    }
}

/// What a chain goes on with: the mapping, if anybody mapped.
type Outcome = Result<Option<Mapping>, Refused>;

/// What would have refused the login.
struct Refused {
    label: &'static str,
    words: String,
    /// The policy's own, which `onFault: skip` passes over.
    is_fault: bool,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { label: fault.reason(), words: fault.to_string(), is_fault: true }
    }
}

impl From<GuardError> for Refused {
    fn from(error: GuardError) -> Self {
        Self { label: error.reason(), words: error.to_string(), is_fault: false }
    }
}

// === impl Question ===

impl Question {
    pub(super) fn new(
        shadow: &Arc<Shadow>,
        current: Option<&Mapping>,
        trail: &[String],
        tables: Option<&Versions>,
    ) -> Self {
        Self {
            shadow: Arc::clone(shadow),
            current: current.cloned(),
            trail: trail.to_vec(),
            tables: tables.cloned().unwrap_or_default(),
            given: current.cloned(),
        }
    }

    pub(super) fn is_at(&self, place: impl Fn(Place) -> bool) -> bool {
        place(self.shadow.place)
    }

    /// That the chain went on with `given` behind this place.
    pub(super) fn given(&mut self, given: &Mapping) {
        self.given = Some(given.clone());
    }

    /// The policy's name in the trail.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.shadow.name
    }

    /// Asks the policy, in an instance that no login waits for, and compares.
    pub async fn ask(&self, login: Login<'_>, guard: &Guard) -> ShadowRecord {
        let started = Instant::now();
        let Login { caller, cluster_id, now } = login;
        let current = self.current.as_ref();
        let request = Request { caller, cluster_id, now, current, trail: &self.trail, tables: Some(&self.tables) };
        let evaluation = self.shadow.policy.decide_aside(&request).await;
        let (label, outcome) = match evaluation.verdict {
            Ok(verdict) => {
                let node = evaluation.node.as_deref();
                (verdict.label(), self.shadow.outcome(verdict, node, self, guard, &login))
            }
            Err(fault) => (fault.reason(), Err(fault.into())),
        };
        let verdict = outcome.as_ref().map_or_else(|refused| refused.label, |_| label);
        let outcome = match outcome {
            Err(refused) if refused.is_fault && self.shadow.skip_on_fault => Ok(self.given.clone()),
            outcome => outcome,
        };
        let change = Change::between(self.given.as_ref(), outcome);
        ShadowRecord {
            stage: self.shadow.name.clone(),
            verdict,
            same: change == Change::default(),
            change,
            micros: micros(started.elapsed()),
            fuel: evaluation.fuel,
            log: evaluation.log,
        }
    }
}

// === impl Change ===

impl Change {
    fn between(given: Option<&Mapping>, outcome: Outcome) -> Self {
        let after = match outcome {
            Err(refused) => return Self { refuses: Some(refused.words), ..Self::default() },
            Ok(None) => return Self::default(),
            Ok(Some(after)) => after,
        };
        let Some(before) = given else {
            return Self { lets_in: Some(after.username), groups_added: after.groups, ..Self::default() };
        };
        let differ = |before: &str, after: &str| (before != after).then(|| [before.to_owned(), after.to_owned()]);
        let uid = |mapping: &Mapping| mapping.uid.clone().unwrap_or_default();
        let missing = |groups: &[String], from: &[String]| {
            groups.iter().filter(|group| !from.contains(group)).cloned().collect::<Vec<_>>()
        };
        let values = |mapping: &Mapping, key: &str| {
            mapping.extra.iter().find(|(name, _)| name == key).map(|(_, values)| values.clone())
        };
        let keys = before.extra.iter().chain(&after.extra).map(|(key, _)| key);
        let mut extra_changed: Vec<String> =
            keys.filter(|key| values(before, key) != values(&after, key)).cloned().collect();
        extra_changed.sort();
        extra_changed.dedup();
        Self {
            username: differ(&before.username, &after.username),
            uid: differ(&uid(before), &uid(&after)),
            groups_added: missing(&after.groups, &before.groups),
            groups_removed: missing(&before.groups, &after.groups),
            extra_changed,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
