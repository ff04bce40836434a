//! What is said in the audit log: whoever uses a grant is not missed, and a grant that is wrong is not silent.

use herald_policy::testing;

use super::*;

const NOW: &str = "2026-01-01T00:00:00Z";

fn grant(from: &str, until: &str) -> String {
    format!(
        r#"{{"role": "OnCall", "from": "{from}", "until": "{until}", "reason": "the database is on fire", "groups": ["a", "b"]}}"#
    )
}

#[track_caller]
fn check(entries: &[(&str, &str)], expected: &[(&str, &str)]) {
    testing::set_table("grants", entries.iter().copied());
    let policy: BreakGlass = testing::configure("{}").expect("good settings");
    policy.decide(&testing::session("111122223333", "OnCall", "alice")).expect("it never faults with its table");
    let logged = testing::logged();
    assert_eq!(logged.iter().map(|(level, text)| (*level, text.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn nobody_uses_a_grant_in_silence() {
    let open = grant(NOW, "2026-01-01T01:00:00Z");
    let alarm = "BREAK GLASS: arn:aws:sts::111122223333:assumed-role/OnCall/alice gets a, b for another 60 minutes by \
                 111122223333.x: the database is on fire";
    check(&[("111122223333.x", &open)], &[("warn", alarm)]);
    // The alarm comes before what else there is to say, of which there may be more than a record has room for.
    let over = grant("2025-12-31T23:00:00Z", NOW);
    let early = grant("2026-01-01T00:00:01Z", "2026-01-01T01:00:00Z");
    let closed = [
        ("info", "break-glass grant 111122223333.a is over"),
        ("info", "break-glass grant 111122223333.b begins later"),
    ];
    check(&[("111122223333.a", &over), ("111122223333.b", &early)], &closed);
    check(
        &[("111122223333.a", &over), ("111122223333.b", &early), ("111122223333.x", &open)],
        &[&[("warn", alarm)], &closed[..]].concat(),
    );
    check(&[("999999999999.x", &open)], &[]);
}

#[test]
fn what_is_wrong_with_a_grant_is_told() {
    let wrong = |entry: &str, why: &str| {
        check(
            &[("111122223333.x", entry)],
            &[("error", &format!("break-glass grant 111122223333.x is left out: {why}"))],
        );
    };
    wrong("tonight", "expected ident at line 1 column 2");
    wrong("{}", "missing field `from` at line 1 column 2");
    wrong(&grant(NOW, NOW), "until must be later than from");
    wrong(&grant(NOW, "2026-01-01T12:00:01Z"), "lasts longer than 12 hours");
    wrong(&grant(NOW, "tomorrow"), "tomorrow: not a time such as 2026-01-01T00:00:00Z at line 1 column 70");
    let with = |from: &str, to: &str| grant(NOW, "2026-01-01T01:00:00Z").replace(from, to);
    wrong(&with("OnCall", "On*"), "role and user are names alone, without path and pattern");
    wrong(&with("OnCall", ""), "role and user are names alone, without path and pattern");
    wrong(&with(r#""role""#, r#""user": "x", "role""#), "either `role` or `user` is needed");
    wrong(&with(r#""role": "OnCall""#, r#""user": "x", "sessionName": "*""#), "a user has no session name");
    wrong(&with("the database is on fire", "fire"), "reason: say who decided it, and why, in 10 to 300 characters");
    wrong(&with(r#"["a", "b"]"#, r#"["a", ""]"#), "groups: name at least one, and none without a name");
}

#[test]
fn more_grants_than_anybody_needs() {
    let (open, keys): (_, Vec<String>) =
        (grant(NOW, "2026-01-01T01:00:00Z"), (0..201).map(|n| format!("111122223333.{n:03}")).collect());
    testing::set_table("grants", keys.iter().map(|key| (key.as_str(), open.as_str())));
    let policy: BreakGlass = testing::configure("{}").expect("good settings");
    policy.decide(&testing::session("111122223333", "OnCall", "alice")).expect("no fault");
    let logged = testing::logged();
    assert_eq!(logged.iter().filter(|(level, _)| *level == "warn").count(), 200);
    assert_eq!(
        logged[0],
        ("error", "more than 200 grants begin with 111122223333.: the others are left out".to_owned())
    );
}
