//! Replays of decisions that another configuration has made here, as a server would have.

use std::time::SystemTime;

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::{
    caller::letters::steers,
    policy::tests::{Fixture, guest::Guest},
};

const AT: &str = "2026-05-04T12:00:00Z";
const ALICE: &str = "arn:aws:sts::123456789012:assumed-role/Dev/alice";
const BOB: &str = "arn:aws:iam::123456789012:user/bob";
const CAROL: &str = "arn:aws:sts::123456789012:assumed-role/Dev/carol";
const EVE: &str = "arn:aws:iam::210987654321:user/eve";
const EVERYBODY: [&str; 4] = [ALICE, BOB, CAROL, EVE];

/// Alice and Carol by their role; neither Bob nor Eve.
const DEVELOPERS: &str = "mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', \
                          username: 'dev:{{SessionName}}', groups: [lead, developers]}]";

fn at() -> SystemTime {
    humantime::parse_rfc3339(AT).expect("a time")
}

fn config(server: &str) -> Config {
    let text = format!("clusterID: c\nserver:\n  {server}\n");
    Config::parse(Path::new("config.yaml"), &text).expect("it loads").config
}

fn reserving(prefix: &str) -> String {
    format!("reservedPrefixConfig: [{{backendMode: MountedFile, usernamePrefixReserveList: ['{prefix}']}}]")
}

/// A configuration that asks a policy, and what its entry has besides.
fn with_policy(policy: &Fixture, more: &str) -> Config {
    let path = policy.path().display();
    let entry = format!("{{name: p, kind: map, component: '{path}', limits: {{timeout: 5s}}{more}}}");
    config(&format!("{DEVELOPERS}\n  backendMode: [MountedFile, Policy/p]\n  policies: [{entry}]"))
}

/// What the audit log has of a login of `arn` by `config`, with his name as its id.
fn line(config: &Config, arn: &str) -> Value {
    let uid = "aws-iam-authenticator:123456789012:AROAX";
    let recorded = json!({"caller": {"arn": arn, "principalId": "AROAX", "accessKeyId": "ASIAX", "uid": uid}});
    let caller = Arc::new(record::caller(&recorded, at()).expect("a caller"));
    let decision = cluster::run(async { Ok(explain::build(config, false).await?.decide_unproven(caller, at()).await) });
    let mut line = serde_json::to_value(decision.expect("it builds")).expect("JSON");
    line["time"] = AT.into();
    line["verifiedBy"] = "sts".into();
    line["decisionId"] = arn.rsplit('/').next().into();
    line
}

fn replay(config: &Config, lines: &[Value]) -> Report {
    let log: Vec<String> = lines.iter().map(Value::to_string).collect();
    let log = log.join("\n");
    cluster::run(async { Ok(Replayer::new(config).await?.replay(log.as_bytes()).await?) }).expect("it runs")
}

fn text(report: &Report) -> String {
    let mut out = Vec::new();
    report.write(&mut out).expect("memory takes all");
    String::from_utf8(out).expect("text")
}

/// Who came under the configuration `was`, replayed with `now`.
#[track_caller]
fn check(was: &str, now: &str, people: &[&str], expected: &Expect) {
    let (was, now) = (config(was), config(now));
    let lines: Vec<Value> = people.iter().map(|arn| line(&was, arn)).collect();
    let report = replay(&now, &lines);
    expected.assert_eq(&text(&report));
    assert_eq!(report.is_good(), report.json()["different"] == 0);
}

#[test]
fn the_same_configuration_gives_the_same() {
    let allowing = Fixture::new(&Guest::allowing().component());
    let trapping = Fixture::new(&Guest::deciding("unreachable").component());
    let configs = [
        config(DEVELOPERS),
        config("mapAccounts: ['123456789012']"),
        config(&format!("{DEVELOPERS}\n  {}", reserving("dev:"))),
        with_policy(&allowing, ""),
        with_policy(&trapping, ""),
    ];
    for config in configs {
        let report = replay(&config, &EVERYBODY.map(|arn| line(&config, arn)));
        assert!(report.is_good() && report.json()["same"] == 4, "{}", text(&report));
    }
}

#[test]
fn differences_are_told_once_for_a_role_or_user() {
    check(
        DEVELOPERS,
        &DEVELOPERS.replace("lead, developers", "developers, ops"),
        &EVERYBODY,
        &expect![[r#"
            arn:aws:iam::123456789012:role/Dev
                    decisions: 2, such as alice
                    groups: missing    ["lead"]
                            unexpected ["ops"]
            2 the same, 2 different, 0 not comparable, 0 without a verified caller
        "#]],
    );
    check(
        DEVELOPERS,
        "mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/bob', username: bob}]",
        &[ALICE, BOB, EVE],
        &expect![[r#"
            arn:aws:iam::123456789012:role/Dev
                    decisions: 1, such as alice
                    expected allow "dev:alice", groups ["developers", "lead"]
                    found    deny "no mapping names this caller (not_mapped)"
            arn:aws:iam::123456789012:user/bob
                    decisions: 1, such as bob
                    expected deny "no mapping names this caller (not_mapped)"
                    found    allow "bob", groups []
            1 the same, 2 different, 0 not comparable, 0 without a verified caller
        "#]],
    );
    check(
        DEVELOPERS,
        &DEVELOPERS.replace("'dev:", "'d:"),
        &[ALICE],
        &expect![[r#"
            arn:aws:iam::123456789012:role/Dev
                    decisions: 1, such as alice
                    username: expected "dev:alice"
                              found    "d:alice"
            0 the same, 1 different, 0 not comparable, 0 without a verified caller
        "#]],
    );
    check(
        DEVELOPERS,
        "partition: aws-cn",
        &[ALICE],
        &expect![[r#"
            arn:aws:iam::123456789012:role/Dev
                    decisions: 1, such as alice
                    expected allow "dev:alice", groups ["developers", "lead"]
                    found    deny "tokens are not accepted from partition aws (partition)"
            0 the same, 1 different, 0 not comparable, 0 without a verified caller
        "#]],
    );
}

#[test]
fn what_is_the_same_to_whoever_came_is_no_difference() {
    let same = expect![[r#"
        2 the same, 0 different, 0 not comparable, 0 without a verified caller
    "#]];
    let people = [ALICE, EVE];
    check(DEVELOPERS, &DEVELOPERS.replace("lead, developers", "developers, lead"), &people, &same);
    check(DEVELOPERS, &DEVELOPERS.replace("]}]", "], notAfter: 2026-05-04T13:00:00Z}]"), &people, &same);
    let eves = "mapUsers: [{userarn: 'arn:aws:iam::210987654321:user/eve', username: 'aws:eve'}]";
    check(DEVELOPERS, &format!("{DEVELOPERS}\n  {eves}\n  {}", reserving("aws:")), &people, &same);
}

/// It is his name in the audit logs of API servers, and what webhooks of a cluster go by.
#[test]
fn uid_and_extra_are_compared_and_no_value_of_one_login_is_shown() {
    let lines = [ALICE, CAROL].map(|arn| line(&config(DEVELOPERS), arn));
    let report = replay(&config(&format!("{DEVELOPERS}\n  scrubbedAccounts: ['123456789012']")), &lines);
    let text = text(&report);
    for part in [
        "uid: expected the host's own\n             found    \"aws-iam-authenticator:administrative:dev:alice\"",
        "extra: expected {accessKeyId=[\"the caller's own\"], arn=[\"the caller's own\"], ",
        "               found    {}\n",
        "0 the same, 2 different, ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("ASIAX"), "{text}");
}

#[test]
fn a_policy_that_fails_is_a_difference_with_its_reason() {
    let trapping = Fixture::new(&Guest::deciding("unreachable").component());
    let lines = EVERYBODY.map(|arn| line(&config(DEVELOPERS), arn));
    let report = replay(&with_policy(&trapping, ""), &lines);
    let text = text(&report);
    assert!(text.contains("found    deny \"Policy/p failed: the policy trapped: "), "{text}");
    assert!(text.contains("(policy_trap)\""), "{text}");
    assert!(text.ends_with("2 the same, 2 different, 0 not comparable, 0 without a verified caller\n"), "{text}");
}

#[test]
fn what_only_a_cloud_knows_is_not_comparable() {
    let lines = EVERYBODY.map(|arn| line(&config(DEVELOPERS), arn));
    let allowing = Fixture::new(&Guest::allowing().component());
    let report = replay(&with_policy(&allowing, ", cloud: [caller-tags]"), &lines);
    expect![[r#"
        not comparable
                decisions: 2, such as bob
                Policy/p: no cloud is asked here, and it has `cloud: [caller-tags]`
        2 the same, 0 different, 2 not comparable, 0 without a verified caller
    "#]]
    .assert_eq(&text(&report));
    let nodes = DEVELOPERS.replace("dev:{{SessionName}}", "system:node:{{EC2PrivateDNSName}}");
    let report = replay(&config(&nodes), &lines);
    expect![[r#"
        not comparable
                decisions: 2, such as alice
                MountedFile: the entry asks for the name of a node, which is not looked up here
        2 the same, 0 different, 2 not comparable, 0 without a verified caller
    "#]]
    .assert_eq(&text(&report));
    assert!(!replay(&config(&nodes), &lines[..1]).is_good(), "nothing was compared");
}

#[test]
fn lines_that_do_not_say_enough_are_never_the_same() {
    let config = config(DEVELOPERS);
    #[track_caller]
    fn check(config: &Config, change: impl FnOnce(&mut Value), expected: &str) {
        let mut record = line(config, ALICE);
        change(&mut record);
        let report = replay(config, &[record]);
        assert!(text(&report).ends_with(&format!("{expected}\n")), "{}", text(&report));
    }
    let not_comparable = "0 the same, 0 different, 1 not comparable, 0 without a verified caller";
    check(&config, |_| (), "1 the same, 0 different, 0 not comparable, 0 without a verified caller");
    check(&config, |record| record["caller"] = Value::Null, not_comparable);
    check(&config, |record| record["caller"]["arn"] = "alice".into(), not_comparable);
    check(&config, |record| record["time"] = "noon".into(), not_comparable);
    check(&config, |record| record["user"] = Value::Null, not_comparable);
    check(&config, |record| record["truncated"] = true.into(), not_comparable);
    let refused = json!({"decisionId": "x", "outcome": "denied", "reason": "expired", "class": "notAuthenticated"});
    let left_out = "0 the same, 0 different, 0 not comparable, 1 without a verified caller";
    check(&config, |record| record.clone_from(&refused), left_out);
    let busy = json!({"outcome": "denied", "reason": "policy_overloaded", "class": "unavailable"});
    let merge = |record: &mut Value| {
        for (key, value) in busy.as_object().expect("an object") {
            record[key] = value.clone();
        }
    };
    check(&config, merge, not_comparable);
}

/// A log may be anybody's.
#[test]
fn nothing_that_a_log_has_steers_a_terminal() {
    const STEERING: &str = "\u{1b}[2J\u{202E}\u{3164}";
    let (was, eves) =
        (config(DEVELOPERS), "mapUsers: [{userarn: 'arn:aws:iam::210987654321:user/eve', username: eve}]");
    let [mut denied, mut allowed] = [EVE, ALICE].map(|arn| line(&was, arn));
    denied["message"] = STEERING.into();
    allowed["user"]["extra"][STEERING] = json!(["x"]);
    let text = text(&replay(&config(&format!("{DEVELOPERS}\n  {eves}")), &[denied, allowed]));
    assert!(text.contains("found    allow \"eve\"") && text.contains("extra: expected {"), "{text:?}");
    assert!(text.ends_with("0 the same, 2 different, 0 not comparable, 0 without a verified caller\n"), "{text:?}");
    assert!(text.chars().all(|letter| letter == '\n' || !steers(letter)), "{text:?}");
}

#[test]
fn what_is_no_decision_is_passed_over() {
    let good = line(&config(DEVELOPERS), ALICE).to_string();
    let shadow = json!({"event": "shadow", "decisionId": "x", "verdict": "allow"}).to_string();
    // A line beyond every record's length, with a record at its end.
    let long = "x".repeat(1 << 20) + &good;
    let rows: [&[u8]; 8] = [
        b"time=2026-05-04T12:00:00Z component=herald msg=\"listening on 1\"",
        b"\xff\xfe{}",
        long.as_bytes(),
        good.as_bytes(),
        br#"{"outcome": "allowed"}"#,
        shadow.as_bytes(),
        b"",
        good.as_bytes(),
    ];
    let log = rows.join(&b'\n');
    let decisions = |log: &[u8]| record::lines(log).filter_map(|line| record::decision(&line.expect("memory"))).count();
    assert_eq!((decisions(&log), decisions(b"")), (2, 0));
}

#[test]
fn nothing_that_a_record_has_of_its_caller_is_lost() {
    #[track_caller]
    fn check(recorded: &Value, keys: usize) {
        let caller = record::caller(&json!({"caller": recorded}), at()).expect("a caller");
        assert_eq!(serde_json::to_value(&caller).expect("JSON"), *recorded);
        assert_eq!(caller.extra().count(), keys);
        assert!(caller.signed_at < at() && at() < caller.expires_at);
    }
    let role = json!({
        "provider": "aws", "partition": "aws-cn", "accountId": "123456789012", "kind": "assumed-role",
        "arn": "arn:aws-cn:sts::123456789012:assumed-role/AWSReservedSSO_Dev_0123456789abcdef/alice",
        "canonicalArn": "arn:aws-cn:iam::123456789012:role/AWSReservedSSO_Dev_0123456789abcdef",
        "name": "AWSReservedSSO_Dev_0123456789abcdef", "principalId": "AROAX", "sessionName": "alice",
        "ssoPermissionSet": "Dev", "accessKeyId": "ASIAX", "stsRegion": "cn-north-1", "uid": "u",
    });
    let user = json!({
        "provider": "alibaba", "partition": "acs", "accountId": "1234567890123456", "kind": "user",
        "arn": "acs:ram::1234567890123456:user/dora", "canonicalArn": "acs:ram::1234567890123456:user/dora",
        "name": "dora", "principalId": "299", "sessionName": null, "ssoPermissionSet": null, "accessKeyId": "LTAIX",
        "stsRegion": "", "uid": "u", "attributes": [["alibaba.identity-type", "RAMUser"]],
    });
    check(&role, 6);
    check(&user, 3);
}

#[test]
fn a_report_is_bounded() {
    let mut report = Report::default();
    for kind in 0..2005 {
        let difference = format!("        {kind}");
        let (caller, was, now) = (ALICE.to_owned(), Value::Null, Value::Null);
        report.add(&json!({"decisionId": "x"}), Fate::Different { caller, difference, was, now });
    }
    let json = report.json();
    assert_eq!(json["differences"].as_array().map(Vec::len), Some(2000));
    assert_eq!((&json["different"], &json["differencesNotKept"]), (&json!(2005), &json!(5)));
    assert!(text(&report).contains("and others\n        decisions: 5, "), "{}", text(&report));
}

#[test]
fn programs_are_told_both_answers() {
    let lines = [line(&config(DEVELOPERS), ALICE)];
    let report = replay(&config("mapAccounts: ['123456789012']"), &lines).json();
    let difference = &report["differences"][0];
    assert_eq!(difference["caller"], "arn:aws:iam::123456789012:role/Dev");
    assert_eq!((&difference["count"], &difference["decisionId"]), (&json!(1), &json!("alice")));
    assert_eq!(difference["expected"]["groups"], json!(["developers", "lead"]));
    assert_eq!(difference["found"]["username"], "arn:aws:iam::123456789012:role/Dev");
    assert_eq!(difference["found"]["extra"]["accessKeyId"], json!(["the caller's own"]));
}
