//! IAMIdentityMapping objects as tables.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::mapping::rule::tests::caller;

const ADMIN: &str = "arn:aws:sts::111122223333:assumed-role/Admin/alice";

/// Objects as `(name, created, body)`; who Admin is, and what is said.
#[track_caller]
fn check(objects: &[(&str, &str, Value)], admin: Option<&str>, warnings: &[&str]) {
    let object = |(name, created, body): &(&str, &str, Value)| {
        let (name, created) = ((*name).to_owned(), (*created).to_owned());
        (name.clone(), Object { name, created, body: body.clone(), ..Object::default() })
    };
    let (read, verdicts) = read(&objects.iter().map(object).collect());
    assert_eq!(verdicts.len(), objects.len());
    let caller = caller(ADMIN);
    let found = read.mappings.rules.find(&caller, SystemTime::UNIX_EPOCH).map(|rule| rule.render(&caller, None));
    let name = found.map(|mapping| mapping.map(|mapping| format!("{} {:?}", mapping.username, mapping.groups)));
    assert_eq!(name.transpose().unwrap().as_deref(), admin);
    let said: Vec<String> =
        read.warnings.iter().map(|warning| format!("{}: {}", warning.path, warning.text())).collect();
    assert_eq!(said, warnings);
}

fn spec(arn: &str, username: &str) -> Value {
    json!({ "spec": { "arn": arn, "username": username, "groups": ["a"] } })
}

#[test]
fn the_spec_decides_and_the_status_is_nothing() {
    let role = "arn:aws:iam::111122223333:role/Admin";
    check(&[("one", "2026-01-01T00:00:00Z", spec(role, "admin"))], Some(r#"admin ["a"]"#), &[]);
    check(&[("one", "", spec("arn:aws:iam::111122223333:role/ADMIN", "admin"))], Some(r#"admin ["a"]"#), &[]);
    let mut other = spec("arn:aws:iam::111122223333:role/Other", "other");
    other["status"] = json!({ "canonicalARN": role, "userID": "AROAEXAMPLE" });
    check(&[("one", "", other)], None, &[]);
    let strange = json!({ "spec": { "arn": role, "username": "y", "groups": null, "team": "x" } });
    check(&[("one", "", strange)], Some("y []"), &["one: the key `team` is none of ours and has no effect"]);
}

#[test]
fn a_wrong_object_costs_itself_alone() {
    let good = || ("good", "2026-01-02T00:00:00Z", spec("arn:aws:iam::111122223333:role/Admin", "admin"));
    let table: [(Value, &str); 5] = [
        (json!({}), "bad: left out: expected a map, found nothing"),
        (json!({ "spec": {} }), "bad: left out: has no `arn`: it names nobody"),
        (spec("role/Admin", "x"), "bad.arn: left out: not the ARN of a principal: bad prefix"),
        (spec("arn:aws:iam::111122223333:role/X", ""), "bad.username: left out: the username is empty"),
        (
            spec("arn:aws:iam::111122223333:role/*", "x"),
            "bad.arn: left out: wildcards are not supported in an ARN: name each role",
        ),
    ];
    for (body, expected) in table {
        check(&[("bad", "2026-01-01T00:00:00Z", body), good()], Some(r#"admin ["a"]"#), &[expected]);
    }
}

#[test]
fn of_two_objects_for_one_principal_the_older_stays() {
    let role = "arn:aws:iam::111122223333:role/Admin";
    let refused = |name: &str| {
        format!(
            "{name}: left out: an older object maps the same principal, which stays in force: keep one entry, with the \
             groups of both"
        )
    };
    let old = ("z", "2026-01-01T00:00:00Z", spec(role, "old"));
    let new = ("a", "2026-01-02T00:00:00Z", spec(role, "new"));
    check(&[old, new], Some(r#"old ["a"]"#), &[&refused("a")]);
    let same = |name, username| (name, "2026-01-01T00:00:00Z", spec(role, username));
    check(&[same("b", "b"), same("a", "a")], Some(r#"a ["a"]"#), &[&refused("b")]);
}
