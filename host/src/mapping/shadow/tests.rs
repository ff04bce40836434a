//! Differences as a table.

use serde_json::{Value, json};

use super::*;

fn named(username: &str, groups: &[&str]) -> Mapping {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Mapping { username: username.to_owned(), groups, ..Mapping::default() }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a row reads better")]
fn check(given: Option<Mapping>, outcome: Outcome, expected: Value) {
    let change = Change::between(given.as_ref(), outcome);
    assert_eq!(serde_json::to_value(change).expect("it is data"), expected);
}

#[test]
fn what_would_have_changed() {
    let alice = || named("alice", &["dev", "ops"]);
    check(None, Ok(None), json!({}));
    check(Some(alice()), Ok(Some(alice())), json!({}));
    check(None, Ok(Some(alice())), json!({"letsIn": "alice", "groupsAdded": ["dev", "ops"]}));
    check(Some(alice()), Err(Refused { label: "deny", words: "no".into(), is_fault: false }), json!({"refuses": "no"}));
    check(
        Some(alice()),
        Ok(Some(named("eve", &["ops", "admin"]))),
        json!({"username": ["alice", "eve"], "groupsAdded": ["admin"], "groupsRemoved": ["dev"]}),
    );
    let with = |uid: Option<&str>, value: &str| Mapping {
        uid: uid.map(str::to_owned),
        extra: vec![("k".into(), vec![value.into()])],
        ..alice()
    };
    check(Some(with(None, "a")), Ok(Some(with(Some("7"), "b"))), json!({"uid": ["", "7"], "extraChanged": ["k"]}));
    check(Some(alice()), Ok(Some(with(None, "a"))), json!({"extraChanged": ["k"]}));
}
