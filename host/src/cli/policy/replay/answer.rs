//! What a replay compares: the answer of a decision, without what each login has of its own.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{
    authenticator::{Decision, Outcome},
    caller::Caller,
    kubernetes::{UserInfo, Values},
    mapping::guard::HOST_EXTRA_PREFIX,
    policy::{Mapping, cases::answers_difference},
};

/// Who a caller is, or why he is nobody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// Groups are sorted, as RBAC knows no order of them; `uid` is `None` if it is the caller's own.
    Allowed(Mapping),
    Denied(Denied),
}

/// Why somebody is not let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Denied {
    /// The stable label.
    reason: String,
    /// The same in words.
    message: String,
    /// A stage failed now, by a trap of its policy say, and nobody has decided that.
    is_fault: bool,
}

/// In the place of a value that repeats a fact about the caller: some of them are other ones in every login.
const OWN: &str = "the caller's own";

// === impl Answer ===

impl Answer {
    /// The answer that `record` has; `None` if it does not say as whom `caller` was let in.
    pub(super) fn recorded(record: &Value, caller: &Caller) -> Option<Self> {
        if record["outcome"] == "allowed" {
            return UserInfo::deserialize(&record["user"]).ok().map(|user| Self::Allowed(mapping(user, caller)));
        }
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        Some(Self::Denied(Denied { reason: text("reason"), message: text("message"), is_fault: false }))
    }

    /// The answer of a decision about `caller`.
    pub(super) fn of(decision: &Decision, caller: &Caller) -> Self {
        match &decision.outcome {
            Outcome::Allowed { user } => Self::Allowed(mapping(user.clone(), caller)),
            Outcome::Denied(denial) => Self::Denied(Denied {
                reason: denial.reason.to_owned(),
                message: denial.message.clone(),
                is_fault: decision.stages.iter().any(|stage| stage.verdict == denial.reason),
            }),
        }
    }

    /// How `now` differs, an indented line for each thing; `None` if it does not.
    pub(super) fn difference(&self, now: &Self) -> Option<String> {
        match (self, now) {
            (Self::Allowed(was), Self::Allowed(now)) => {
                answers_difference(Ok(&with_other_extra(was, now)), Ok(&with_other_extra(now, was)))
            }
            (Self::Denied(was), Self::Denied(now)) if !now.is_fault || now.reason == was.reason => None,
            (was, now) => {
                let (was, now) = (was.in_short(), now.in_short());
                answers_difference(was.as_ref().map_err(String::as_str), now.as_ref().map_err(String::as_str))
            }
        }
    }

    /// The name and the groups, or the words for why there are none.
    fn in_short(&self) -> Result<Mapping, String> {
        match self {
            Self::Allowed(Mapping { username, groups, .. }) => {
                Ok(Mapping { username: username.clone(), groups: groups.clone(), ..Mapping::default() })
            }
            Self::Denied(Denied { reason, message, .. }) => Err(format!("{message} ({reason})")),
        }
    }

    /// The answer for programs.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Allowed(Mapping { username, uid, groups, extra }) => {
                let extra: BTreeMap<String, Vec<String>> = extra.iter().cloned().collect();
                let uid = uid.as_deref().unwrap_or(OWN);
                json!({"outcome": "allowed", "username": username, "uid": uid, "groups": groups, "extra": extra})
            }
            Self::Denied(Denied { reason, message, .. }) => {
                json!({"outcome": "denied", "reason": reason, "message": message})
            }
        }
    }
}

/// `user` without the keys that say which decision it was.
fn mapping(user: UserInfo, caller: &Caller) -> Mapping {
    let UserInfo { username, uid, mut groups, extra } = user;
    let is_own = |key: &str, values: &[String]| caller.extra().any(|(name, value)| name == key && *values == [value]);
    let of_the_login = extra.0.into_iter().filter(|(key, _)| !key.starts_with(HOST_EXTRA_PREFIX));
    let extra = of_the_login.map(|(key, values)| {
        let values = match values {
            Values::Many(values) => values,
            Values::One(value) => vec![value],
        };
        let values = if is_own(&key, &values) { vec![OWN.to_owned()] } else { values };
        (key.into_owned(), values)
    });
    groups.sort();
    Mapping { username, uid: Some(uid).filter(|uid| *uid != caller.uid), groups, extra: extra.collect() }
}

/// `mapping` with those of its extra values alone that `other` has not.
fn with_other_extra(mapping: &Mapping, other: &Mapping) -> Mapping {
    let extra = mapping.extra.iter().filter(|entry| !other.extra.contains(entry)).cloned().collect();
    Mapping { extra, ..mapping.clone() }
}

// === impl Denied ===

impl Denied {
    /// That no token of this partition would be looked at.
    pub(super) fn of_partition(partition: &str) -> Self {
        let message = format!("tokens are not accepted from partition {partition}");
        Self { reason: "partition".to_owned(), message, is_fault: false }
    }
}
