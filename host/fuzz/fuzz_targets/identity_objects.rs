//! IAMIdentityMapping and RAMIdentityMapping objects as a watch tells of them: each means by itself what it means among others, and
//! one that is refused nothing; `status` decides nothing and is told once; and a manifest of the objects means the same.
//!
//! Every line is an event of the watch.
#![no_main]

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime},
};

use herald::{
    caller::{Arn, made_up},
    config::{live_manifest::identity_mappings, read_identity_mappings},
    kubernetes::watch::{Object, Target, replay},
    mapping::Rules,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

type Objects = BTreeMap<String, Object>;

/// 2026-01-02T03:04:05Z.
const NOW: Duration = Duration::from_secs(1_767_323_045);
/// Most objects: each is looked at by itself too.
const MAX_OBJECTS: usize = 16;
/// Longest message in a status, in characters.
const MAX_MESSAGE: usize = 500;

fn targets() -> [Target; 2] {
    let of = |group, kind| Target { group, version: "v1alpha1", kind, ..Target::default() };
    [
        of("iamauthenticator.k8s.aws", "IAMIdentityMapping"),
        of("ramauthenticator.k8s.alibabacloud", "RAMIdentityMapping"),
    ]
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

/// Whom they map, and to what.
fn told(rules: &Rules) -> Vec<String> {
    let first = rules.iter().map(|(who, rule)| format!("{who} {rule}"));
    let mut all: Vec<String> = first.chain(rules.every().map(ToString::to_string)).collect();
    all.sort_unstable();
    all
}

fn without_status(objects: &Objects) -> Objects {
    let bare = |object: &Object| Object {
        resource_version: "7".to_owned(),
        body: json!({ "spec": object.body["spec"] }),
        ..object.clone()
    };
    objects.iter().map(|(name, object)| (name.clone(), bare(object))).collect()
}

fn is_in_force(patch: Option<&Value>) -> bool {
    patch.expect("nothing is said yet")["status"]["conditions"][0]["status"] == "True"
}

fuzz_target!(|text: &str| {
    let (objects, lines) = replay(text);
    is_what_the_lines_say(text.lines().take(lines), &objects);
    if objects.len() > MAX_OBJECTS {
        return;
    }
    for target in targets() {
        each_by_itself(&target, &without_status(&objects));
        is_told_once(&target, &objects);
        is_what_a_manifest_says(&target, &objects);
    }
});

/// To a reader that knows nothing of objects, those that are left are those that were told of last. Of what no API server sends
/// nothing is said: a list in the place of an object, which serde takes for one, or what is no JSON where nobody looks at it.
fn is_what_the_lines_say<'a>(lines: impl Iterator<Item = &'a str>, objects: &Objects) {
    let mut left = BTreeMap::new();
    for line in lines {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let object = &event["object"];
        let (Some(kind), false) = (event["type"].as_str(), object["metadata"].is_array()) else { return };
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match kind {
            "ADDED" | "MODIFIED" => drop(left.insert(name, object.clone())),
            "DELETED" => drop(left.remove(&name)),
            _ => assert_eq!(kind, "BOOKMARK"),
        }
    }
    let said = |object: &Value| (object["spec"].clone(), object["status"].clone());
    let left: BTreeMap<_, _> = left.iter().map(|(name, object)| (name, said(object))).collect();
    assert_eq!(objects.iter().map(|(name, object)| (name, said(&object.body))).collect::<BTreeMap<_, _>>(), left);
}

fn each_by_itself(target: &Target, objects: &Objects) {
    let (together, patches) = read_identity_mappings(target, objects, now());
    let in_force = |name: &String| is_in_force(patches[name].as_ref());
    let good: Objects = objects.clone().into_iter().filter(|(name, _)| in_force(name)).collect();
    assert_eq!(together.rules.len(), good.len());
    assert!(together.accounts.is_empty());
    let (without_bad, _) = read_identity_mappings(target, &good, now());
    assert_eq!(told(&together.rules), told(&without_bad.rules));

    let mut every: Vec<String> = Vec::new();
    for (name, object) in &good {
        let (alone, patches) = read_identity_mappings(target, &BTreeMap::from([(name.clone(), object.clone())]), now());
        assert!(alone.rules.len() == 1 && is_in_force(patches[name].as_ref()), "{object:?}");
        every.extend(alone.rules.every().map(ToString::to_string));
        names_whom_it_says(&alone.rules, &object.body["spec"], &patches[name]);
    }
    every.sort_unstable();
    let mut expected: Vec<String> = together.rules.every().map(ToString::to_string).collect();
    expected.sort_unstable();
    assert_eq!(every, expected);
}

/// The one rule is about the ARN in `spec`, and about no other of a name that is like it.
fn names_whom_it_says(rules: &Rules, spec: &Value, patch: &Option<Value>) {
    let named = spec.as_object().and_then(|spec| spec.iter().find(|(key, _)| key.eq_ignore_ascii_case("arn")));
    let text = named.and_then(|(_, arn)| arn.as_str()).expect("who is in force has an ARN");
    let Ok(arn) = text.parse::<Arn>() else { return assert!(text.contains(['*', '?'])) };
    let find = |arn: &Arn| rules.find(&made_up::caller(arn, now()), SystemTime::UNIX_EPOCH).is_some();
    assert!(find(&arn), "{text}");
    assert_eq!(patch.as_ref().expect("new")["status"]["canonicalARN"], canonical(spec, &arn));
    if let Ok(like) = format!("{text}x").parse::<Arn>() {
        let is_session = arn.session_name().is_some();
        assert!(is_session || text.contains(['*', '?']) || !find(&like), "{text}");
    }
}

/// Only of the key as existing programs write it.
fn canonical(spec: &Value, arn: &Arn) -> Value {
    if spec["arn"].is_string() { arn.canonical().to_ascii_lowercase().into() } else { Value::Null }
}

/// What is written into a status says so, stays within its bounds, and leaves nothing to be written.
fn is_told_once(target: &Target, objects: &Objects) {
    let (mappings, patches) = read_identity_mappings(target, objects, now());
    let (bare, verdicts) = read_identity_mappings(target, &without_status(objects), now());
    assert_eq!(told(&mappings.rules), told(&bare.rules), "a status decides nothing");
    let mut next = objects.clone();
    for (name, object) in &mut next {
        let Some(patch) = &patches[name] else { continue };
        assert_eq!(patch["metadata"], json!({ "resourceVersion": object.resource_version }));
        let conditions = patch["status"]["conditions"].as_array().expect("a list");
        let mut ours = conditions.iter().filter(|condition| condition["type"] == "Accepted");
        let (ours, None) = (ours.next().expect("ours"), ours.next()) else { panic!("{patch}") };
        assert_eq!(ours["status"] == "True", is_in_force(verdicts[name].as_ref()));
        assert!(ours["lastTransitionTime"].is_string(), "{patch}");
        assert!(ours["message"].as_str().is_some_and(|text| text.chars().count() <= MAX_MESSAGE));
        merge(&mut object.body, &json!({ "status": patch["status"] }));
        object.resource_version.push('1');
    }
    let later = now() + Duration::from_secs(60);
    let (after, patches) = read_identity_mappings(target, &next, later);
    assert_eq!(told(&mappings.rules), told(&after.rules));
    assert!(patches.values().all(Option::is_none), "{patches:?}");
}

/// RFC 7396.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else { return *value = patch.clone() };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(members) = value else { return };
    for (key, change) in changes {
        match change {
            Value::Null => drop(members.remove(key)),
            change => merge(members.entry(key.as_str()).or_insert(Value::Null), change),
        }
    }
}

fn is_what_a_manifest_says(target: &Target, objects: &Objects) {
    let whole = |object: &Object| {
        let metadata = json!({ "name": object.name, "creationTimestamp": object.created });
        json!({ "metadata": metadata, "spec": object.body["spec"], "status": object.body["status"] })
    };
    let listed: Vec<Value> = objects.values().map(whole).collect();
    let checked = identity_mappings(target, Path::new("fuzz"), &listed);
    let mut manifest: Vec<String> = checked.parts.iter().flat_map(|part| told(&part.config.rules)).collect();
    manifest.sort_unstable();
    assert_eq!(told(&read_identity_mappings(target, objects, now()).0.rules), manifest, "{}", checked.text);
}
