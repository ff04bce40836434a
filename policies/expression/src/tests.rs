//! What is refused when the policy loads, word for word, and what is left to fail at a login. `cases.yaml` has the decisions.

use std::thread;

use expect_test::{Expect, expect};
use herald_policy::testing;

use super::*;

/// A policy of one rule, whose `match` is `expression`.
fn matching(expression: &str) -> Result<Expressions, String> {
    rules(&serde_json::json!([{"match": expression, "username": "'a'"}]))
}

fn rules(rules: &serde_json::Value) -> Result<Expressions, String> {
    testing::configure(&serde_json::json!({ "rules": rules }).to_string())
}

fn session() -> Request {
    testing::session("111122223333", "Dev", "alice@example.com")
}

#[track_caller]
fn refused(expression: &str, expected: &Expect) {
    expected.assert_eq(&matching(expression).err().expect("it does not load"));
}

#[track_caller]
fn holds(expression: &str) {
    let policy = matching(expression).unwrap_or_else(|why| panic!("{why}"));
    let decision = policy.decide(&session());
    assert_eq!(decision, Ok(Mapping::named("a").into()), "{expression}");
}

#[track_caller]
fn faults(expression: &str, expected: &Expect) {
    let policy = matching(expression).unwrap_or_else(|why| panic!("{why}"));
    match policy.decide(&session()) {
        Err(Fault::Broken(why)) => expected.assert_eq(&why),
        other => panic!("{expression}: {other:?}"),
    }
}

#[test]
fn what_is_no_expression() {
    refused(
        "caller.accountId ==",
        &expect![[r#"
        rules[0].match, line 1, column 20: mismatched input '<EOF>'
        caller.accountId ==
                           ^"#]],
    );
    refused(
        "caller.accountId = '1'",
        &expect![[r#"
        rules[0].match, line 1, column 18: token recognition error at: '= '
        caller.accountId = '1'
                         ^"#]],
    );
    refused(
        "",
        &expect![[r#"
        rules[0].match, line 1, column 1: mismatched input '<EOF>'

        ^"#]],
    );
    refused(
        "true)",
        &expect![[r#"
        rules[0].match, line 1, column 5: extraneous input ')' expecting <EOF>
        true)
            ^"#]],
    );
    refused(
        "caller.?accountId == '1'",
        &expect![[r#"
        rules[0].match, line 1, column 7: unsupported syntax '.?'
        caller.?accountId == '1'
              ^"#]],
    );
    refused(
        "true &&\n  'häuser' == )",
        &expect![[r#"
        rules[0].match, line 2, column 15: mismatched input ')'
          'häuser' == )
                      ^"#]],
    );
    refused(
        &"(".repeat(200),
        &expect![[r#"
            rules[0].match, line 1, column 97: nested too deeply
            ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((
                                                             ^"#]],
    );
    refused(
        &vec!["true"; 500].join(" ? true : "),
        &expect![[r#"
            rules[0].match, line 1, column 1345: nested too deeply
            true : true ? true : true ? true : true ? true : true ? true : true ? true : true ? true : true ? tr
                                                             ^"#]],
    );
}

/// What is too deep is found before anything calls itself that often, and never while somebody logs in.
#[test]
fn what_is_too_deep() {
    let row = |operator: &str, of: usize| vec!["1"; of].join(operator);
    let as_deep_as_may_be = || {
        holds(&format!("{} == 199", row("+", 199)));
        refused(
            &format!("{} == 200", row("+", 200)),
            &expect![[r#"
                rules[0].match, line 1, column 1: nested too deeply
                1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+
                ^"#]],
        );
    };
    thread::scope(|scope| {
        // Code for tests takes more of a stack than a policy's.
        let deep = thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, as_deep_as_may_be);
        deep.unwrap().join().unwrap();
    });
    refused(
        &format!("true &&\n{} > 0", row(" + ", 1000)),
        &expect![[r#"
            rules[0].match, line 2, column 2003: nested too deeply
             + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1
                                                             ^"#]],
    );
    let inner = ["(", &row("+", 490), ")"].concat();
    for deep in [
        format!("{inner}{} > 0", "+1".repeat(20)),
        format!("[{inner}].size() < 1 || trail{}", ".a".repeat(600)),
        format!("trail{} == 'a'", "[0]".repeat(600)),
        row("<", 1000),
    ] {
        let why = matching(&deep).err().expect("it does not load");
        assert!(why.lines().next().is_some_and(|first| first.ends_with(": nested too deeply")), "{why}");
    }
    // What stands side by side is not deep, however much it is, and neither is what stands in a text or comment.
    holds(&vec!["1 < 2 + 3"; 300].join("&&"));
    holds(&format!("1 in [{}]", row(",", 1000)));
    holds(&format!(r#"'{}' != "\"""#, "+".repeat(1000)));
    holds(&format!("// {}\ntrue", "+".repeat(1000)));
    holds(&format!(r"r'\' != '{}'", "+".repeat(1000)));
    holds(&format!("'''it's {}''' != 'a'", "+".repeat(1000)));
}

#[test]
fn what_is_not_known() {
    refused(
        "calller.accountId == '1'",
        &expect![[r#"
        rules[0].match, line 1, column 1: there is no variable `calller`; did you mean `caller`?
        calller.accountId == '1'
        ^"#]],
    );
    refused(
        "caller.acountId == '1'",
        &expect![[r#"
        rules[0].match, line 1, column 8: `caller` has no field `acountId`; did you mean `accountId`?
        caller.acountId == '1'
               ^"#]],
    );
    refused(
        "true &&\n  'häuser' == callr.name",
        &expect![[r#"
        rules[0].match, line 2, column 15: there is no variable `callr`; did you mean `caller`?
          'häuser' == callr.name
                      ^"#]],
    );
    refused(
        "now.getHours() > 3",
        &expect![[r#"
        rules[0].match, line 1, column 5: there is no method `getHours`
        now.getHours() > 3
            ^"#]],
    );
    refused(
        "timestamp(now) == 1",
        &expect![[r#"
        rules[0].match, line 1, column 1: there is no function `timestamp`
        timestamp(now) == 1
        ^"#]],
    );
    refused(
        "caller.name.startWith('a')",
        &expect![[r#"
        rules[0].match, line 1, column 13: there is no method `startWith`; did you mean `startsWith`?
        caller.name.startWith('a')
                    ^"#]],
    );
    refused(
        "matches(caller.name, 'a')",
        &expect![[r#"
        rules[0].match, line 1, column 1: there is no function `matches`
        matches(caller.name, 'a')
        ^"#]],
    );
    refused(
        "strings.quote('a') == 'b'",
        &expect![[r#"
        rules[0].match, line 1, column 9: there is no method `quote`
        strings.quote('a') == 'b'
                ^"#]],
    );
    refused(
        "trail.exists(x, y == 'a')",
        &expect![[r#"
        rules[0].match, line 1, column 17: there is no variable `y`
        trail.exists(x, y == 'a')
                        ^"#]],
    );
    refused(
        "trail.exists(x, x == 'a') && x == 'a'",
        &expect![[r#"
        rules[0].match, line 1, column 30: there is no variable `x`
        trail.exists(x, x == 'a') && x == 'a'
                                     ^"#]],
    );
    refused(
        "int == string",
        &expect![[r#"
        rules[0].match, line 1, column 1: there is no variable `int`
        int == string
        ^"#]],
    );
}

#[test]
fn what_does_not_fit() {
    refused(
        "caller.accountId == 111122223333",
        &expect![[r#"
        rules[0].match, line 1, column 18: `==` does not take string and int
        caller.accountId == 111122223333
                         ^"#]],
    );
    refused(
        "caller.name",
        &expect![[r#"
        rules[0].match, line 1, column 8: is of type string, but has to be of type bool
        caller.name
               ^"#]],
    );
    refused(
        "caller.name + 1 == 'a'",
        &expect![[r#"
        rules[0].match, line 1, column 13: `+` does not take string and int
        caller.name + 1 == 'a'
                    ^"#]],
    );
    refused(
        "caller.name in 'abc'",
        &expect![[r#"
        rules[0].match, line 1, column 13: `in` does not take string and string
        caller.name in 'abc'
                    ^"#]],
    );
    refused(
        "caller.name in ['a', 1]",
        &expect![[r#"
        rules[0].match, line 1, column 22: of type int, among values of type string
        caller.name in ['a', 1]
                             ^"#]],
    );
    refused(
        "has(caller.sessionName)",
        &expect![[r#"
        rules[0].match, line 1, column 1: `caller.sessionName` is always there, and empty where there is none
        has(caller.sessionName)
        ^"#]],
    );
    refused(
        "caller.name.first == 'a'",
        &expect![[r#"
        rules[0].match, line 1, column 13: values of type string have no fields
        caller.name.first == 'a'
                    ^"#]],
    );
    refused(
        "caller.name.all(c, c == 'a')",
        &expect![[r#"
        rules[0].match, line 1, column 13: goes over a list or the keys of a map, not over type string
        caller.name.all(c, c == 'a')
                    ^"#]],
    );
    refused(
        "trail.map(x, x + 1) == trail",
        &expect![[r#"
        rules[0].match, line 1, column 16: `+` does not take string and int
        trail.map(x, x + 1) == trail
                       ^"#]],
    );
    refused(
        "trail.all(x, x)",
        &expect![[r#"
        rules[0].match, line 1, column 7: `&&` does not take bool and string
        trail.all(x, x)
              ^"#]],
    );
    refused(
        "true ? 1 : 'a'",
        &expect![[r#"
        rules[0].match, line 1, column 6: `?:` does not take bool and int and string
        true ? 1 : 'a'
             ^"#]],
    );
    refused(
        "caller.name == null",
        &expect![[r#"
        rules[0].match, line 1, column 16: there is no null here: what is not known is empty
        caller.name == null
                       ^"#]],
    );
    refused(
        "now > 1.5",
        &expect![[r#"
        rules[0].match, line 1, column 7: numbers are of type int here
        now > 1.5
              ^"#]],
    );
    refused(
        "caller == current",
        &expect![[r#"
        rules[0].match, line 1, column 8: `==` does not take caller and current
        caller == current
               ^"#]],
    );
    refused(
        "caller.name.matches('(')",
        &expect![[r#"
        rules[0].match, line 1, column 21: not a pattern: found open group without closing ')'
        caller.name.matches('(')
                            ^"#]],
    );
    refused(
        "caller.name.matches(caller.arn)",
        &expect![[r#"
        rules[0].match, line 1, column 13: the pattern of `matches` has to be a text that is written out here
        caller.name.matches(caller.arn)
                    ^"#]],
    );
    refused(
        "caller.name.split() == []",
        &expect![[r#"
        rules[0].match, line 1, column 13: type string has no method `split` that takes ()
        caller.name.split() == []
                    ^"#]],
    );
    refused(
        "{1: 'a'}.size() == 1",
        &expect![[r#"
        rules[0].match, line 1, column 2: the keys of a map are of type string, this one is of type int
        {1: 'a'}.size() == 1
         ^"#]],
    );
    refused(
        "caller{name: 'a'} == caller",
        &expect![[r#"
        rules[0].match, line 1, column 7: there are no types to make values of here
        caller{name: 'a'} == caller
              ^"#]],
    );
    refused(
        "caller.attributes[1] == 'a'",
        &expect![[r#"
        rules[0].match, line 1, column 18: `[]` does not take map(string, string) and int
        caller.attributes[1] == 'a'
                         ^"#]],
    );
}

#[test]
fn what_every_function_gives() {
    for expression in [
        "caller.provider == 'aws' && caller.partition == 'aws' && caller.kind == 'assumed-role'",
        "caller.name == 'Dev' && caller.accountId in ['111122223333', '2']",
        "caller.sessionName.endsWith('@example.com') && caller.permissionSet == ''",
        "caller.sessionName.split('@')[0] == 'alice' && caller.sessionName.split('@').join('.') == 'alice.example.com'",
        "caller.arn.matches('^arn:aws:sts::[0-9]{12}:assumed-role/[^/]+/alice@') && !caller.arn.matches('^bob')",
        "caller.arn.contains(':assumed-role/') && caller.arn.startsWith('arn:')",
        "caller.sessionName.replace('@', '-').upperAscii() == 'ALICE-EXAMPLE.COM' && ' A '.trim().lowerAscii() == 'a'",
        "caller.sessionName.indexOf('@') == 5 && caller.sessionName.lastIndexOf('e') == 12",
        "caller.sessionName.substring(0, 5) == 'alice' && caller.sessionName.substring(6) == 'example.com'",
        "current.username == '' && current.groups == [] && current.uid == '' && size(current.extra) == 0",
        "trail.size() == 0 && clusterId == 'test.example.com' && now == 1767225600 && caller.expiresAt > caller.signedAt",
        "(now / 3600) % 24 == 0 && -now < 0 && now * 2 - now == now",
        "['a', 'b'].exists(x, x == 'b') && ['a'].all(x, x == 'a') && ['a', 'b'].exists_one(x, x < 'b')",
        "['a', 'b'].map(x, 'x:' + x).filter(x, x != 'x:a') == ['x:b'] && ['a', 'b'].map(x, x == 'b', x + x) == ['bb']",
        "[] + ['a'] == ['a'] && size('ab') == 2 && string(1) == '1' && int('12') == 12 && string(true) == 'true'",
        "{'a': 1, 'b': 2}['b'] == 2 && 'a' in {'a': 1} && {'a': 1}.a == 1 && !has({'a': 1}.b) && !('x' in caller.attributes)",
        "{'a': 1}.exists(key, key == 'a') && (false ? [] : ['a']) == ['a'] && 'a' <= 'b' && 'b' >= 'a' && 'b' > 'a'",
        "caller.attributes.size() == 0 || caller.attributes['none'] == 'x'",
    ] {
        holds(expression);
    }
}

#[test]
fn what_fails_at_a_login_refuses() {
    faults("caller.attributes['x'] == 'a'", &expect!["rules[0].match: No such key: x"]);
    faults("caller.attributes.x == 'a'", &expect!["rules[0].match: No such key: x"]);
    faults("trail[0] == 'a'", &expect!["rules[0].match: Index out of bounds: Int(0)"]);
    faults("1 / (now - now) == 1", &expect!["rules[0].match: Division by zero of Int(1)"]);
    faults(
        "9223372036854775807 + now == 1",
        &expect!["rules[0].match: Overflow from binary operator 'add': Int(9223372036854775807), Int(1767225600)"],
    );
    faults(
        "int(caller.name) == 1",
        &expect!["rules[0].match: Error executing function 'int': string parse error: invalid digit found in string"],
    );
    faults(
        "caller.name.substring(9) == ''",
        &expect!["rules[0].match: Error executing function 'substring': index out of range: 9"],
    );
    // What CEL's `||` does not need to know cannot fail; what it needs can.
    holds("caller.attributes['x'] == 'a' || true");
    faults("caller.attributes['x'] == 'a' || false", &expect!["rules[0].match: No such key: x"]);
}

#[test]
fn rules_that_say_too_little_or_too_much() {
    #[track_caller]
    fn check(written: &serde_json::Value, expected: &str) {
        assert_eq!(rules(written).err().as_deref(), Some(expected));
    }
    check(
        &serde_json::json!([{"match": "true"}]),
        "rules[0]: says what to look for, but not what to do: `username`, `groups` or `deny`",
    );
    check(
        &serde_json::json!([{"match": "true", "deny": "'no'", "groups": "[]"}]),
        "rules[0]: a rule with `deny` has neither `username` nor `groups`",
    );
    check(
        &serde_json::json!([{"match": "true", "username": "'a'"}, {"match": "true", "groups": "['a', 1]"}]),
        "rules[1].groups, line 1, column 7: of type int, among values of type string\n['a', 1]\n      ^",
    );
}

#[test]
fn who_is_named_by_nobody_needs_a_name() {
    let written = serde_json::json!([
        {"match": "false", "groups": "[]"},
        {"match": "true", "groups": "current.groups + ['a']"},
    ]);
    let policy = rules(&written).expect("good rules");
    let why = "rules[1].match: a rule without `username` matches a caller whom nobody has named";
    assert_eq!(policy.decide(&session()), Err(Fault::broken(why)));
    let known = Request { current: Some(Mapping::named("x").with_group("b").with_uid("7")), ..session() };
    assert_eq!(policy.decide(&known), Ok(Mapping::named("x").with_groups(["b", "a"]).with_uid("7").into()));
}
