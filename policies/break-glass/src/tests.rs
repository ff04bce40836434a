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
    wrong(&"x".repeat(4097), "its key or its entry is too long");
    wrong("tonight", "expected ident at line 1 column 2");
    wrong("{}", "missing field `from` at line 1 column 2");
    let early = "2026-01-01T00:00:01Z";
    wrong(&grant(early, early), "until must be later than from");
    wrong(&grant(NOW, "2026-01-01T12:00:01Z"), "lasts longer than 12 hours");
    wrong(&grant(NOW, "tomorrow"), "tomorrow: not a time such as 2026-01-01T00:00:00Z at line 1 column 70");
    let with = |from: &str, to: &str| grant(NOW, "2026-01-01T01:00:00Z").replace(from, to);
    wrong(&with("OnCall", "On*"), "role and user are names alone, without path and pattern");
    wrong(&with("OnCall", ""), "role and user are names alone, without path and pattern");
    wrong(&with(r#""OnCall""#, "null"), "invalid type: null, expected a string at line 1 column 13");
    wrong(&with(r#""role""#, r#""user": "x", "role""#), "either `role` or `user` is needed");
    wrong(&with(r#""role": "OnCall""#, r#""user": "x", "sessionName": "*""#), "a user has no session name");
    wrong(&with("the database is on fire", "fire"), "reason: say who decided it, and why, in 10 to 300 characters");
    wrong(&with(r#"["a", "b"]"#, r#"["a", ""]"#), "groups: name at least one, and none without a name");
}

/// What of `lines` the host keeps: 32 of them, and 4096 bytes.
fn kept(lines: &[(&'static str, String)]) -> usize {
    let mut bytes = 0;
    let fit = lines.iter().take(32).take_while(|(_, text)| {
        bytes += text.len();
        text.len() <= 1024 && bytes <= 4096
    });
    fit.count()
}

#[test]
fn whoever_is_given_groups_has_alarms_that_are_kept() {
    // How many entries of what kind there are beside the one grant that anybody reads about; and how many grants are given.
    #[track_caller]
    fn check(beside: &str, count: usize, given: usize) {
        let (open, wrong) = (grant(NOW, "2026-01-01T01:00:00Z"), grant(NOW, "tomorrow"));
        let entry = match beside {
            "open" => open.clone(),
            "long" => open.replace("is on fire", &format!("is {}", "火".repeat(280))),
            "wide" => open.replace(r#""b""#, &format!("{:?}", "b".repeat(900))),
            "huge" => wrong.replace("tomorrow", &"x".repeat(300 << 10)),
            "hidden" => open.replace("is on fire", &format!("is {}", r"\u202e".repeat(280))),
            "wrong" => wrong,
            other => unreachable!("{other}"),
        };
        let key = |n: usize| format!("111122223333.{n:03}");
        let entries: Vec<_> = (0..count).map(|n| (key(n), entry.clone())).chain([(key(999), open)]).collect();
        testing::set_table("grants", entries.iter().map(|(key, entry)| (key.as_str(), entry.as_str())));
        let policy: BreakGlass = testing::configure("{}").expect("good settings");
        let decision = policy.decide(&testing::session("111122223333", "OnCall", "alice")).expect("no fault");
        assert_eq!(matches!(decision, Decision::Allow(_)), given > 0);
        let logged = testing::logged();
        let alarms = logged.iter().filter(|(_, text)| text.contains(" gets a, b")).count();
        let told = logged.iter().take_while(|(level, _)| *level == "warn").count();
        assert_eq!((alarms, kept(&logged) >= told), (given, true), "{logged:#?}");
        assert!(logged[told..].iter().all(|(_, text)| text.len() <= 200 && !text.contains("BREAK GLASS")));
    }
    check("wrong", 60, 1);
    check("huge", 1, 1);
    check("wide", 1, 1);
    check("open", 1, 2);
    check("open", 60, 3);
    check("long", 1, 2);
    check("long", 20, 3);
    check("hidden", 20, 3);
}

#[test]
fn each_grant_is_told_before_what_is_wrong_with_others() {
    let open = grant(NOW, "2026-01-01T01:00:00Z");
    let alarm = |key: &str| {
        let caller = "arn:aws:sts::111122223333:assumed-role/OnCall/alice";
        format!("BREAK GLASS: {caller} gets a, b for another 60 minutes by {key}: the database is on fire")
    };
    let (first, second) = (alarm("111122223333.x"), alarm("111122223333.y"));
    check(
        &[("111122223333.w", "tonight"), ("111122223333.x", &open), ("111122223333.y", &open)],
        &[
            ("warn", &first),
            ("warn", &second),
            ("error", "break-glass grant 111122223333.w is left out: expected ident at line 1 column 2"),
        ],
    );
}

/// What is said where `entry` stands `count` times, and behind it a grant that is open; and whether that one is given.
fn beside(count: usize, entry: &str) -> (bool, Vec<(&'static str, String)>) {
    let open = grant(NOW, "2026-01-01T01:00:00Z");
    let keys: Vec<String> = (0..=count).map(|n| format!("111122223333.{n:03}")).collect();
    let entries = keys.iter().enumerate().map(|(n, key)| (key.as_str(), if n < count { entry } else { open.as_str() }));
    testing::set_table("grants", entries);
    let policy: BreakGlass = testing::configure("{}").expect("good settings");
    let decision = policy.decide(&testing::session("111122223333", "OnCall", "alice")).expect("no fault");
    (matches!(decision, Decision::Allow(_)), testing::logged())
}

#[test]
fn nobody_has_to_clear_away_what_is_over() {
    let over = grant("2025-12-31T23:00:00Z", NOW);
    for count in [200, 899] {
        let (is_given, logged) = beside(count, &over);
        assert!(is_given && logged.iter().all(|(level, _)| *level != "error"), "{count}: {logged:#?}");
    }
    // What is wrong with it, by what settings have become since, is nobody's concern.
    let long = grant("2025-01-01T00:00:00Z", NOW);
    assert_eq!(beside(1, &long).1[1], ("info", "break-glass grant 111122223333.000 is over".to_owned()));
}

#[test]
fn more_grants_than_are_read() {
    #[track_caller]
    fn check(count: usize, entry: &str, lines: usize) {
        const TOLD: &str = "too many grants begin with 111122223333.: take old ones away, not all are read";
        let (is_given, logged) = beside(count, entry);
        assert_eq!((is_given, logged.len(), &logged[0]), (false, lines, &("error", TOLD.to_owned())));
    }
    check(200, "tonight", 201);
    check(200, &grant("2026-01-01T00:00:01Z", "2026-01-01T01:00:00Z"), 201);
    check(900, &grant("2025-12-31T23:00:00Z", NOW), 901);
    assert!(beside(199, "tonight").0);
}
