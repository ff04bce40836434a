//! What came of a case, and how it differs from what was expected, in words for whoever wrote the case.

use std::fmt::Write as _;

use super::Expectation;
use crate::policy::{Fault, LoadProblem, Mapping, Verdict, limits::MAX_REASON, text::tame};

/// What came of one case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The policy gave no answer.
    Fault(Fault),
    /// The policy did not take its settings; its words.
    Unloadable(String),
    /// The policy answered.
    Verdict(Verdict),
}

/// What is wrong with an outcome, an indented line for each thing; `None` if it is as expected.
#[must_use]
pub fn difference(expected: &Expectation, found: &Outcome) -> Option<String> {
    match (expected, found) {
        (Expectation::Abstain, Outcome::Verdict(Verdict::Abstain)) => None,
        (Expectation::Deny(part), Outcome::Verdict(Verdict::Deny(why))) if why.contains(part) => None,
        (Expectation::Fault(reason), Outcome::Fault(fault)) if fault.reason() == reason => None,
        (Expectation::Unloadable(part), Outcome::Unloadable(why)) if why.contains(part) => None,
        (Expectation::Allow(expected), Outcome::Verdict(Verdict::Allow(found))) => {
            mapping_difference(&expected.clone().into(), found)
        }
        _ => {
            let mut text = String::new();
            line(&mut text, "", &expected.describe(), &found.describe());
            Some(text)
        }
    }
}

/// How two answers of a whole chain differ, likewise; `Err` has the words for why nobody was let in.
#[must_use]
pub fn answers_difference(expected: Result<&Mapping, &str>, found: Result<&Mapping, &str>) -> Option<String> {
    if let (Ok(expected), Ok(found)) = (expected, found) {
        return mapping_difference(expected, found);
    }
    let describe = |answer: Result<&Mapping, &str>| match answer {
        Ok(mapping) => format!("allow {}", describe_mapping(mapping)),
        Err(why) => format!("deny {why:?}"),
    };
    let mut text = String::new();
    compare(&mut text, "", &describe(expected), &describe(found));
    (!text.is_empty()).then_some(text)
}

fn mapping_difference(expected: &Mapping, found: &Mapping) -> Option<String> {
    let mut text = String::new();
    compare(&mut text, "username", &format!("{:?}", expected.username), &format!("{:?}", found.username));
    compare(&mut text, "uid", &describe_uid(expected), &describe_uid(found));
    groups_difference(&mut text, &expected.groups, &found.groups);
    compare(&mut text, "extra", &describe_extra(expected), &describe_extra(found));
    (!text.is_empty()).then_some(text)
}

fn compare(text: &mut String, name: &str, expected: &str, found: &str) {
    if expected != found {
        line(text, name, expected, found);
    }
}

/// The groups that one of them has and the other has not; both lists if they only have another order.
fn groups_difference(text: &mut String, expected: &[String], found: &[String]) {
    let (missing, unexpected) = (without(expected, found), without(found, expected));
    if missing.is_empty() && unexpected.is_empty() {
        compare(text, "groups, in order", &format!("{expected:?}"), &format!("{found:?}"));
        return;
    }
    let parts = [("missing", missing), ("unexpected", unexpected)].into_iter().filter(|(_, groups)| !groups.is_empty());
    lines(text, "groups", &parts.map(|(word, groups)| (word, format!("{groups:?}"))).collect::<Vec<_>>());
}

/// What `list` has more often than `other`.
fn without<'a>(list: &'a [String], other: &[String]) -> Vec<&'a String> {
    let mut left: Vec<&String> = other.iter().collect();
    let is_more = |group: &&String| match left.iter().position(|other| other == group) {
        Some(at) => {
            left.swap_remove(at);
            false
        }
        None => true,
    };
    list.iter().filter(is_more).collect()
}

fn line(text: &mut String, name: &str, expected: &str, found: &str) {
    lines(text, name, &[("expected", expected.to_owned()), ("found", found.to_owned())]);
}

/// Words and what they are about, a line each, one below the other.
fn lines(text: &mut String, name: &str, parts: &[(&str, String)]) {
    let width = parts.iter().map(|(word, _)| word.len()).max().unwrap_or_default();
    let mut name = if name.is_empty() { String::new() } else { format!("{name}: ") };
    for (word, what) in parts {
        let gap = if text.is_empty() { "" } else { "\n" };
        let result = write!(text, "{gap}        {name}{word:width$} {what}");
        result.expect("a string takes all that is written to it");
        name = " ".repeat(name.len());
    }
}

// === impl Expectation ===

impl Expectation {
    fn describe(&self) -> String {
        match self {
            Self::Abstain => "abstain".to_owned(),
            Self::Allow(mapping) => format!("allow {}", describe_mapping(&mapping.clone().into())),
            Self::Deny(part) => format!("deny with {part:?} in its text"),
            Self::Fault(reason) => format!("fault {}", tame(reason, MAX_REASON)),
            Self::Unloadable(part) => format!("not to load, with {part:?} in the message"),
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// What the operator would be told of a policy that does not load.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
    pub fn unloadable(problem: LoadProblem) -> Self {
        Self::Unloadable(problem.words())
    }

    fn describe(&self) -> String {
        match self {
            Self::Fault(fault) => format!("fault {}: {fault}", fault.reason()),
            Self::Unloadable(why) => format!("not to load: {why:?}"),
            Self::Verdict(Verdict::Abstain) => "abstain".to_owned(),
            Self::Verdict(Verdict::Allow(mapping)) => format!("allow {}", describe_mapping(mapping)),
            Self::Verdict(Verdict::Deny(why)) => format!("deny {why:?}"),
        }
    }
}

fn describe_mapping(mapping: &Mapping) -> String {
    let Mapping { username, groups, .. } = mapping;
    let uid = mapping.uid.as_ref().map(|uid| format!(", uid {uid:?}")).unwrap_or_default();
    let extra = if mapping.extra.is_empty() { String::new() } else { format!(", extra {}", describe_extra(mapping)) };
    format!("{username:?}, groups {groups:?}{uid}{extra}")
}

fn describe_uid(mapping: &Mapping) -> String {
    mapping.uid.as_ref().map_or_else(|| "the host's own".to_owned(), |uid| format!("{uid:?}"))
}

/// In order of key: it has no meaning. A key is as it was only where it can neither steer a terminal nor look like another.
fn describe_extra(mapping: &Mapping) -> String {
    let is_plain = |key: &str| key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    let shown = |key: &String| if is_plain(key) { key.clone() } else { format!("{key:?}") };
    let mut extra: Vec<_> = mapping.extra.iter().map(|(key, values)| format!("{}={values:?}", shown(key))).collect();
    extra.sort();
    format!("{{{}}}", extra.join(", "))
}
