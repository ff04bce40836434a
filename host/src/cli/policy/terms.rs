//! What an operator's entry would say about a policy: its kind, its ceiling and its limits.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::{Deserialize as _, de::IntoDeserializer as _};

use super::subject::read_yaml;
use crate::{
    mapping::chain::within_power,
    policy::{
        self, Ceiling, Evaluation, Fault, Kind, Mapping, Verdict,
        cases::{SomeLimits, Terms},
    },
};

/// What one decision may use.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Longest time of one decision. Default: 50ms; for `fuzz` and `test`, the longest that a policy can be given.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// Most memory of one decision. Default: 16Mi.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<policy::ByteSize>,
    /// Most fuel of one decision, about one unit an instruction. Default: 50000000.
    #[arg(long, value_name = "FUEL")]
    pub fuel: Option<u64>,
}

/// What it may do.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Powers {
    /// What kind of policy it is: answers beyond its power are the fault policy_out_of_bounds, as on a server, and `fuzz` makes up
    /// callers whom such a policy is asked about. Default: any answer will do, and any caller.
    #[arg(long, value_parser = kind(), value_name = "KIND")]
    pub kind: Option<Kind>,
    /// A YAML file with the entry's `ceiling`: `usernames`, `groups`, `uids`. Answers above it are the same fault. Default: no
    /// ceiling at all.
    #[arg(long, value_name = "FILE")]
    pub ceiling: Option<PathBuf>,
}

/// What answers are held to.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) kind: Option<Kind>,
    ceiling: Option<Ceiling>,
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    let read = |word: String| Kind::deserialize(word.as_str().into_deserializer());
    PossibleValuesParser::new(["map", "augment", "guard"])
        .try_map(read as fn(String) -> Result<Kind, serde::de::value::Error>)
}

// === impl Budget ===

impl Budget {
    /// The limits that were given.
    pub(super) fn limits(self) -> SomeLimits {
        let Self { timeout, memory, fuel } = self;
        SomeLimits { timeout, memory, fuel }
    }
}

// === impl Powers ===

impl Powers {
    /// What was given, and what `terms` say where nothing was.
    pub(super) fn held(&self, terms: Option<&Terms>) -> anyhow::Result<Held> {
        let ceiling = match &self.ceiling {
            Some(path) => Some(serde_json::from_value(read_yaml(path)?).with_context(|| path.display().to_string())?),
            None => terms.and_then(|terms| terms.ceiling.clone()),
        };
        Ok(Held { kind: self.kind.or_else(|| terms?.kind), ceiling })
    }
}

// === impl Held ===

impl Held {
    /// Makes an answer beyond them the fault that it is on a server. `before` is what the stages before have decided.
    pub(super) fn hold(&self, evaluation: Evaluation, before: Option<&Mapping>) -> Evaluation {
        let Ok(Verdict::Allow(after)) = &evaluation.verdict else { return evaluation };
        let node = evaluation.node.as_deref();
        let below = self.ceiling.as_ref().map_or(Ok(()), |ceiling| ceiling.check(after, before, node));
        let within = self.kind.map_or(Ok(()), |kind| within_power(kind, before, after));
        match below.and_then(|()| within.map_err(str::to_owned)) {
            Ok(()) => evaluation,
            Err(rule) => Evaluation { verdict: Err(Fault::OutOfBounds(rule)), ..evaluation },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As [`within_power`] and [`Ceiling::check`] have it, of which there are tests.
    #[test]
    fn answers_beyond_them_are_faults() {
        #[track_caller]
        fn check(kind: Option<Kind>, ceiling: Option<&str>, before: Option<&[&str]>, after: &[&str], expected: &str) {
            let named = |groups: &[&str]| Mapping {
                username: "alice".into(),
                groups: groups.iter().map(|&group| group.to_owned()).collect(),
                ..Mapping::default()
            };
            let ceiling = ceiling.map(|groups| Ceiling { groups: Some(vec![groups.to_owned()]), ..Ceiling::default() });
            let (before, verdict) = (before.map(named), Ok(Verdict::Allow(named(after))));
            let evaluation = Evaluation { verdict, log: Vec::new(), fuel: 0, memory: 0, node: None };
            let found = Held { kind, ceiling }.hold(evaluation, before.as_ref()).verdict;
            assert_eq!(found.map_or_else(|fault| fault.to_string(), |_| "fine".to_owned()), expected);
        }
        const OUT: &str = "the policy's answer is out of bounds: ";
        check(None, None, Some(&["a"]), &["b"], "fine");
        check(Some(Kind::Map), None, None, &["b"], "fine");
        check(Some(Kind::Augment), None, Some(&["a"]), &["a", "b"], "fine");
        check(
            Some(Kind::Augment),
            None,
            Some(&["a"]),
            &["b"],
            &format!("{OUT}an augment policy may not take a group away"),
        );
        check(Some(Kind::Guard), None, Some(&["a", "b"]), &["b"], "fine");
        check(Some(Kind::Guard), None, Some(&["a"]), &["a", "b"], &format!("{OUT}a guard policy may not add a group"));
        let nobody = format!("{OUT}only a map policy may name a caller whom nobody has mapped");
        check(Some(Kind::Guard), None, None, &[], &nobody);
        check(None, Some("b*"), None, &["b1"], "fine");
        check(None, Some("b*"), None, &["c"], &format!("{OUT}group \"c\" is above the ceiling"));
    }
}
