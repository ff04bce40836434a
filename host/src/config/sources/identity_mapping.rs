//! IAMIdentityMapping and RAMIdentityMapping: one object a mapping, matched by what its `spec` says. Those of Alibaba
//! Cloud may name principals with wildcards.
//!
//! `status` is never looked at: whoever may write it could let anybody in, and it may be behind. Of two objects
//! for one principal the older stays, and of two of the same second the one whose name comes first.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    keeper::{self, Read},
    status::Verdict,
};
use crate::{
    caller::Arn,
    config::{
        entry::{Entries, Place, Style, UserIds},
        error::{Position, Problem},
        live_manifest,
        node::{self, Node, Section},
    },
    kubernetes::watch::{Object, TOO_LARGE, Target},
    mapping::Mappings,
    provider::Cloud,
};

/// The kind, as existing CustomResourceDefinitions have it.
pub(in crate::config) static TARGET: Target = Target {
    group: "iamauthenticator.k8s.aws",
    version: "v1alpha1",
    kind: "IAMIdentityMapping",
    plural: "iamidentitymappings",
    namespace: None,
    name: None,
};
/// The kind for Alibaba Cloud.
pub(in crate::config) static RAM_TARGET: Target = Target {
    group: "ramauthenticator.k8s.alibabacloud",
    kind: "RAMIdentityMapping",
    plural: "ramidentitymappings",
    version: "v1alpha1",
    namespace: None,
    name: None,
};
/// The Lease of whoever writes the statuses of a kind.
const LEASE: &str = "herald-identity-mapping-status";
const RAM_LEASE: &str = "herald-ram-identity-mapping-status";
/// Most values and keys of a `spec`, which has a few, and no use for more groups than a login may have.
const MAX_NODES: usize = 10_000;
/// Clouds of which the ARN of a session stands for its role.
pub(in crate::config) const SESSIONS: &[Cloud] = &Cloud::ALL;
const STYLE: Style = Style { under: "", shared: true, user_ids: UserIds::Idle, globs: false, sessions: SESSIONS };

/// The Lease that whoever writes the statuses of `target` holds.
pub(super) fn lease(target: &Target) -> &'static str {
    if target.kind == RAM_TARGET.kind { RAM_LEASE } else { LEASE }
}

/// Whom `objects` of `target` map, and what is to be written into the status of each at `now`, by its name; nothing where that is
/// said already.
#[must_use]
pub fn read_identity_mappings(
    target: &Target,
    objects: &BTreeMap<String, Object>,
    now: SystemTime,
) -> (Mappings, BTreeMap<String, Option<serde_json::Value>>) {
    let (read, verdicts) = read(target, objects);
    let patches = verdicts.iter().map(|verdict| (verdict.name().to_owned(), verdict.patch(now)));
    (read.mappings, patches.collect())
}

/// What all `objects` of `target` say, and what is to be told of each of them.
pub(super) fn read(target: &Target, objects: &BTreeMap<String, Object>) -> (Read, Vec<Verdict>) {
    let mut sorted: Vec<&Object> = objects.values().collect();
    sorted.sort_by(|left, right| (&left.created, &left.name).cmp(&(&right.created, &right.name)));
    let specs: Vec<String> = sorted.iter().map(|object| spec_of(object)).collect();
    let style = Style { globs: target.kind == RAM_TARGET.kind, ..STYLE };
    let (mut entries, mut verdicts) = (Entries::new("", style), Vec::new());
    for (object, spec) in sorted.iter().zip(&specs) {
        entries.source = spec;
        let in_force = entries.in_force();
        match read_spec(object, spec) {
            Ok(node) => entries.add(Section::Identities, Place::Object(object.name.as_str().into()), &node),
            Err(problem) => entries.findings.left_out(problem.under(&object.name, Position::default())),
        }
        let refused = entries.last_left_out(in_force).map(|(id, text)| (id, without_prefix(&text)));
        // Of one that is too large nobody knows what its status says, which a verdict goes on from.
        if !object.is_too_large {
            verdicts.push(Verdict::new(object, canonical_arn(&object.body["spec"]), refused));
        }
    }
    let (rules, findings, _) = entries.finish();
    let parts = sorted.iter().zip(&specs).flat_map(|(object, spec)| [object.name.as_bytes(), spec.as_bytes()]);
    let hash = keeper::hash(parts);
    let mappings = Mappings { rules, ..Mappings::default() };
    (Read { mappings, warnings: findings.warnings(), refused: Vec::new(), hash, written: None }, verdicts)
}

/// The `spec` of an object. In JSON every text has its quotes, and the one parser of entries reads it as YAML.
fn spec_of(object: &Object) -> String {
    live_manifest::json(&object.body["spec"])
}

fn read_spec(object: &Object, spec: &str) -> Result<Node, Problem> {
    match object.is_too_large {
        true => Err(Problem::new(Position::default(), TOO_LARGE)),
        false => node::read_within(MAX_NODES, spec),
    }
}

/// Why nobody knows what `object` says: there is more in it than is read.
pub(in crate::config) fn beyond_bounds(object: &Object) -> Option<Problem> {
    read_spec(object, &spec_of(object)).err()
}

/// The form in which existing programs keep the ARN in `status`, and compare it.
fn canonical_arn(spec: &serde_json::Value) -> Option<String> {
    let arn: Arn = spec["arn"].as_str()?.parse().ok()?;
    Some(arn.canonical().to_ascii_lowercase())
}

fn without_prefix(text: &str) -> String {
    text.strip_prefix("left out: ").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests;
