//! The policy's rules as tables. `cases.yaml` holds the ones that an operator reads.

use herald_policy::testing;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;

const RULES: &str = r#"{"rules": [
    {"match": {"accounts": ["111122223333"], "role": "Admin"}, "username": "admin:{{SessionNameRaw}}", "groups": ["admins"]},
    {"match": {"accounts": ["111122223333", "444455556666"], "role": "Dev-*", "sessionName": "*@example.com"},
     "username": "{{SessionName}}", "groups": ["devs", "role:{{RoleName}}"]},
    {"match": {"accounts": ["444455556666"], "permissionSet": "ReadOnly"},
     "username": "{{SessionNameRaw}}", "groups": ["set:{{PermissionSet}}", "account:{{AccountID}}"]},
    {"match": {"accounts": ["777788889999"]}, "username": "{{PermissionSet}}"}
]}"#;

fn decide(settings: &str, request: &Request) -> Decision {
    let policy: SessionGroups = testing::configure(settings).expect("good settings");
    policy.decide(request).expect("this policy never faults")
}

#[track_caller]
fn check(account: &str, role: &str, session: &str, expected: Result<(&str, &[&str]), &str>) {
    let found = decide(RULES, &testing::session(account, role, session));
    let expected = match expected {
        Ok((username, groups)) => Mapping::named(username).with_groups(groups.iter().copied()).into(),
        Err("abstain") => Decision::Abstain,
        Err(why) => Decision::deny(why),
    };
    assert_eq!(found, expected);
}

#[test]
fn the_first_rule_that_fits_decides() {
    check("111122223333", "Admin", "alice", Ok(("admin:alice", &["admins"])));
    check("111122223333", "Dev-web", "bob@example.com", Ok(("bob-example.com", &["devs", "role:Dev-web"])));
    check("444455556666", "Dev-web", "bob@example.com", Ok(("bob-example.com", &["devs", "role:Dev-web"])));
}

#[test]
fn all_conditions_must_hold() {
    check("444455556666", "Admin", "alice", Err("abstain"));
    check("111122223333", "admin", "alice", Err("abstain"));
    check("111122223333", "Admin2", "alice", Err("abstain"));
    check("111122223333", "Dev-web", "bob@example.com.evil", Err("abstain"));
    check("111122223333", "Dev", "bob@example.com", Err("abstain"));
    check("999999999999", "Admin", "alice", Err("abstain"));
}

#[test]
fn words_that_are_no_names_are_denied() {
    let why = "the caller's SessionNameRaw has a character outside letters, digits and +=,.@_-";
    check("111122223333", "Admin", "x:system:masters", Err(why));
    check("111122223333", "Admin", "alice bob", Err(why));
    check("111122223333", "Admin", "alice\n", Err(why));
    check("777788889999", "Any", "alice", Err("the caller has no PermissionSet"));
}

/// A few words and patterns over them, so that many a rule fits.
fn glob() -> impl Strategy<Value = Option<&'static str>> {
    option::of(select(vec!["a", "A", "ab", "a*", "*b", "?", "*"]))
}

fn words() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "A", "ab", "b", "", "*"])
}

fn rule() -> impl Strategy<Value = Value> {
    let accounts = vec(select(vec!["111122223333", "444455556666"]), 1..3);
    (accounts, glob(), glob(), glob()).prop_map(|(accounts, role, permission_set, session_name)| {
        let conditions =
            json!({"accounts": accounts, "role": role, "permissionSet": permission_set, "sessionName": session_name});
        json!({"match": conditions, "username": "user"})
    })
}

proptest! {
    /// What finds rules among thousands gives what looking at one after another gives.
    #[test]
    fn no_rule_that_fits_is_passed_over(
        rules in vec(rule(), 1..12),
        (role, session, permission_set) in (words(), words(), option::of(words())),
    ) {
        let settings = json!({"rules": rules}).to_string();
        let mut request = testing::session("111122223333", role, session);
        request.caller.sso_permission_set = permission_set.map(str::to_owned);
        let each: Settings = serde_json::from_str(&settings).expect("good settings");
        let expected = each.rules.iter().position(|rule| rule.conditions.fit(&request.caller, session));
        let policy: SessionGroups = testing::configure(&settings).expect("good settings");
        let _ = testing::logged();
        let decided = policy.decide(&request).expect("this policy never faults");
        prop_assert_eq!(decided == Decision::Abstain, expected.is_none());
        let logged = expected.map(|index| ("info", format!("rules[{index}] fits")));
        prop_assert_eq!(testing::logged(), Vec::from_iter(logged));
    }
}

#[test]
fn permission_sets_come_from_the_host() {
    let mut request = testing::session("444455556666", "AWSReservedSSO_ReadOnly_0123456789abcdef", "carol");
    assert_eq!(decide(RULES, &request), Decision::Abstain);
    request.caller.sso_permission_set = Some("ReadOnly".to_owned());
    let expected = Mapping::named("carol").with_groups(["set:ReadOnly", "account:444455556666"]);
    assert_eq!(decide(RULES, &request), expected.into());
}

#[test]
fn callers_without_a_session() {
    let user = testing::user("111122223333", "Admin");
    assert_eq!(decide(RULES, &user), Decision::Abstain);
    let strict = RULES.replacen('{', r#"{"requireSession": true, "#, 1);
    assert_eq!(decide(&strict, &user), Decision::deny("not a role session"));
    let session = testing::session("999999999999", "Admin", "alice");
    assert_eq!(decide(&strict, &session), Decision::Abstain);
}

#[test]
fn unknown_clouds_are_not_guessed_at() {
    let mut request = testing::session("111122223333", "Admin", "alice");
    request.caller.provider = "other".to_owned();
    assert_eq!(decide(RULES, &request), Decision::Abstain);
}

#[test]
fn the_rule_is_logged() {
    let _ = testing::logged();
    check("111122223333", "Dev-web", "bob@example.com", Ok(("bob-example.com", &["devs", "role:Dev-web"])));
    assert_eq!(testing::logged(), [("info", "rules[1] fits".to_owned())]);
}

#[test]
fn settings_that_do_not_load() {
    #[track_caller]
    fn check(settings: &str, expected: &str) {
        let error = testing::configure::<SessionGroups>(settings).expect_err("bad settings");
        assert_eq!(error, expected);
    }
    let rule = |conditions: &str, rest: &str| format!(r#"{{"rules": [{{"match": {{{conditions}}}{rest}}}]}}"#);
    let accounts = r#""accounts": ["111122223333"]"#;
    let username = r#", "username": "{{SessionName}}""#;
    check("{}", "missing field `rules`");
    check(r#"{"rules": []}"#, "rules: at least one is needed");
    check(
        r#"{"rules": [], "requiresession": true}"#,
        "unknown field `requiresession`, expected `requireSession` or `rules`",
    );
    check(&rule("", username), "missing field `accounts`");
    check(
        &rule(r#""accounts": []"#, username),
        "rules[0].match.accounts: at least one is needed, or roles of any account in the world would fit",
    );
    check(
        &rule(r#""accounts": ["*"]"#, username),
        "rules[0].match.accounts: an account is 12 digits (AWS) or 16 digits (Alibaba Cloud)",
    );
    check(
        &rule(&format!(r#"{accounts}, "role": "arn:aws:iam::111122223333:role/Dev""#), username),
        "rules[0].match.role: a role's name, without ARN and path",
    );
    check(
        &rule(&format!(r#"{accounts}, "rol": "Dev""#), username),
        "unknown field `rol`, expected one of `accounts`, `permissionSet`, `role`, `sessionName`",
    );
    check(
        &rule(&format!(r#"{accounts}, "role": """#), username),
        "a pattern must not be empty: leave it out, or write * for anything",
    );
    check(&rule(accounts, ""), "missing field `username`");
    check(
        &rule(accounts, r#", "username": "{{User}}""#),
        "unknown placeholder {{User}}, expected one of AccountID PermissionSet PrincipalID RoleName SessionName \
         SessionNameRaw",
    );
    check(
        &rule(accounts, &format!(r#"{username}, "groups": ["system:{{{{RoleName}}}}"]"#)),
        "a name under system: must be written out, without placeholders",
    );
    check(&rule(accounts, &format!(r#"{username}, "groups": [""]"#)), "a name must not be empty");
}
