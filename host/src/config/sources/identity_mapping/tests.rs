//! IAMIdentityMapping objects as tables.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::mapping::rule::tests::caller;

const ADMIN: &str = "arn:aws:sts::111122223333:assumed-role/Admin/alice";

/// Objects as `(name, created, body)`; who Admin is, and what is said.
#[track_caller]
fn check(objects: &[(&str, &str, Value)], admin: Option<&str>, warnings: &[&str]) {
    check_of(&TARGET, ADMIN, objects, admin, warnings);
}

#[track_caller]
fn check_of(target: &Target, arn: &str, objects: &[(&str, &str, Value)], admin: Option<&str>, warnings: &[&str]) {
    let object = |(name, created, body): &(&str, &str, Value)| {
        let (name, created) = ((*name).to_owned(), (*created).to_owned());
        (name.clone(), Object { name, created, body: body.clone(), is_too_large: body.is_null(), ..Object::default() })
    };
    let (read, verdicts) = read(target, &objects.iter().map(object).collect());
    assert_eq!(verdicts.len(), objects.iter().filter(|(_, _, body)| !body.is_null()).count());
    let caller = caller(arn);
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
    for odd in ["\u{7f}", "\u{9f}", "\u{feff}", "\u{ffff}", "\u{1}\n"] {
        let odd = json!({ "spec": { "arn": role, "username": "y", "team": odd } });
        check(&[("one", "", odd)], Some("y []"), &["one: the key `team` is none of ours and has no effect"]);
    }
}

#[test]
fn an_object_of_very_many_values_is_left_out() {
    let mut flood = spec("arn:aws:iam::111122223333:role/Admin", "flood");
    flood["spec"]["groups"] = vec!["a"; 20_000].into();
    let expected = "flood: left out: larger, deeper or with more aliases than a configuration may be";
    let good = ("good", "2026-01-02T00:00:00Z", spec("arn:aws:iam::111122223333:role/Admin", "admin"));
    check(&[("flood", "2026-01-01T00:00:00Z", flood), good], Some(r#"admin ["a"]"#), &[expected]);
}

#[test]
fn a_wrong_object_costs_itself_alone() {
    let good = || ("good", "2026-01-02T00:00:00Z", spec("arn:aws:iam::111122223333:role/Admin", "admin"));
    let table: [(Value, &str); 6] = [
        (json!({}), "bad: left out: expected a map, found nothing"),
        (Value::Null, "bad: left out: there are more values in it than are read, or deeper ones"),
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

#[test]
fn ram_objects_may_have_wildcards() {
    #[track_caller]
    fn by(objects: &[(&str, &str, Value)], expected: Option<&str>, warnings: &[&str]) {
        let dev = "acs:ram::1234567890123456:assumed-role/dev-eu/alice";
        check_of(&RAM_TARGET, dev, objects, expected, warnings);
    }
    let of = |name, arn: &str| (name, "2026-01-01T00:00:00Z", spec(&format!("acs:ram::{arn}"), name));
    by(&[of("exact", "1234567890123456:role/dev-eu")], Some(r#"exact ["a"]"#), &[]);
    by(&[of("glob", "1234567890123456:role/dev-*")], Some(r#"glob ["a"]"#), &[]);
    by(&[of("other", "1234567890123456:role/?")], None, &[]);
    let all = [
        of("a-all", "1234567890123456:*"),
        of("b-roles", "1234567890123456:role/*"),
        of("c-dev", "1234567890123456:role/dev-*"),
        of("d-user", "1234567890123456:user/*"),
    ];
    by(&all, Some(r#"c-dev ["a"]"#), &[]);
    by(&[&all[..], &[of("e-exact", "1234567890123456:role/dev-eu")]].concat(), Some(r#"e-exact ["a"]"#), &[]);
    let session = "refuses every login: the template asks for the name of a session, and users have none: leave \
                   {{SessionName}} and {{SessionNameRaw}} out";
    let named = spec("acs:ram::1234567890123456:user/*", "ram:{{SessionName}}");
    by(&[("users", "", named)], None, &[&format!("users: {session}")]);
    let strangers = "any: names callers of every account that fits, of strangers too: write the account's id";
    by(&[of("any", "*:role/dev-eu")], Some(r#"any ["a"]"#), &[strangers]);
    let sessions = "bob: names some sessions, and is in force for every session of their roles: write \
                    `acs:ram::1234567890123456:role/dev-*`";
    by(&[of("bob", "1234567890123456:assumed-role/dev-*/bob")], Some(r#"bob ["a"]"#), &[sessions]);
    by(&[of("every", "1234567890123456:assumed-role/dev-*/*")], Some(r#"every ["a"]"#), &[]);
    let what = "not an ARN with wildcards of Alibaba Cloud, such as acs:ram::1234567890123456:role/dev-*";
    by(
        &[("bad", "", spec("*", "x")), all[1].clone()],
        Some(r#"b-roles ["a"]"#),
        &[&format!("bad.arn: left out: {what}")],
    );
    let twice = "two: left out: an older object maps the same principal, which stays in force: keep one entry, with the \
                 groups of both";
    by(
        &[of("one", "1234567890123456:role/dev-*"), of("two", "1234567890123456:role/DEV-*")],
        Some(r#"one ["a"]"#),
        &[twice],
    );
}
