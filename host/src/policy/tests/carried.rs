//! What a component carries about itself, when it loads: settings are held to its schema, and its examples run.

use super::{
    super::sections::{EXAMPLES, SETTINGS_SCHEMA, tests::section},
    *,
};

const SCHEMA: &str = r#"{"type": "object", "properties": {"team": {"type": "string"}}, "additionalProperties": false}"#;

/// The only case of some examples.
fn example(settings: &str, expect: &str) -> String {
    format!(
        r#"{{"settings": {settings}, "cases": [{{"name": "the one", "caller": {{"arn": "arn:aws:iam::111122223333:user/bob"}},
        "expect": {expect}}}]}}"#
    )
}

fn carrying(guest: &Guest, sections: &[(&str, &str)]) -> Fixture {
    let mut bytes = guest.component();
    sections.iter().for_each(|(name, text)| bytes.extend(section(name, text.as_bytes())));
    Fixture::new(&bytes)
}

#[track_caller]
fn check(fixture: &Fixture, expected: Result<(), (&str, &str)>) {
    // Once compiled here, and once with the code of before.
    let (_, folder) = fixture.compiled();
    for compiled in [None, Some(&folder), Some(&folder)] {
        let found = Policy::load(&ENGINE, &fixture.config, compiled).map(drop);
        match (&found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err((reason, words))) => {
                assert_eq!(error.reason(), reason, "{error}");
                assert!(error.to_string().contains(words), "{error}");
            }
            _ => panic!("{found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn settings_are_held_to_the_schema_before_the_policy_sees_them() {
    let with = |settings: serde_json::Value| {
        // A policy that would never take any settings, so that the schema must have been first.
        let mut fixture = carrying(&Guest::configuring("unreachable"), &[(SETTINGS_SCHEMA, SCHEMA)]);
        fixture.config.settings = settings;
        fixture
    };
    check(
        &with(serde_json::json!({"taem": 1})),
        Err(("settings_schema", "taem: unknown key `taem`, did you mean `team`?")),
    );
    check(&with(serde_json::json!({"team": 1})), Err(("settings_schema", "team: expected text, found a number")));
    check(&with(serde_json::json!({"team": "a"})), Err(("policy_trap", "trapped")));
    check(&carrying(&Guest::default(), &[(SETTINGS_SCHEMA, SCHEMA)]), Ok(()));
    check(
        &carrying(&Guest::default(), &[(SETTINGS_SCHEMA, "{\"oneOf\": []}")]),
        Err(("bad_section", "unknown field `oneOf`")),
    );
}

#[test]
fn an_example_that_fails_keeps_the_policy_out() {
    let with = |guest: &Guest, expect: &str| carrying(guest, &[(EXAMPLES, &example("{}", expect))]);
    let alice = r#"{"allow": {"username": "alice", "groups": ["dev"]}}"#;
    check(&with(&Guest::allowing(), alice), Ok(()));
    check(&with(&Guest::default(), r#""abstain""#), Ok(()));
    check(
        &with(&Guest::default(), alice),
        Err(("example_failed", "its own example \"the one\" fails: expected allow \"alice\"")),
    );
    check(&with(&Guest::allowing(), r#""abstain""#), Err(("example_failed", "found    allow \"alice\"")));
    check(&with(&Guest::deciding("unreachable"), r#""abstain""#), Err(("example_failed", "fault policy_trap")));
    check(&with(&Guest::deciding(LOOP), r#"{"fault": "policy_fuel"}"#), Ok(()));
    check(&with(&Guest::default(), r#"{"unloadable": "no"}"#), Err(("example_failed", "found    abstain")));
    check(&carrying(&Guest::default(), &[(EXAMPLES, "[]")]), Err(("bad_section", "herald:examples")));
}

/// A server takes a snapshot with ten times the fuel, and its decisions pay nothing for it; without one, each of them pays.
#[test]
fn an_example_pays_for_what_a_decision_pays_for() {
    let with = |guest: &Guest| {
        let example = example("{}", r#"{"allow": {"username": "alice", "groups": ["dev"]}}"#);
        carrying(guest, &[(EXAMPLES, &example)]).limited(PATIENT, SMALL, 2000)
    };
    check(&with(&fuel::configured()), Ok(()));
    check(&with(&fuel::never_a_snapshot()), Err(("policy_fuel", "fuel")));
}

#[test]
fn examples_have_settings_of_their_own() {
    let sections = |settings: &str, expect: &str| {
        carrying(&Guest::default(), &[(SETTINGS_SCHEMA, SCHEMA), (EXAMPLES, &example(settings, expect))])
    };
    check(&sections(r#"{"team": "a"}"#, r#""abstain""#), Ok(()));
    check(&sections(r#"{"team": 7}"#, r#"{"unloadable": "team: expected text"}"#), Ok(()));
    check(&sections(r#"{"team": 7}"#, r#""abstain""#), Err(("example_failed", "found    not to load")));
}
