//! Explanations without a network: made-up callers, tokens that are no good, and lines of an audit log.

use std::io;

use clap::Parser as _;
use expect_test::{Expect, expect};
use futures_util::FutureExt as _;

use super::*;
use crate::{mapping::rule::tests::caller, policy::Mapping};

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    command: Command,
}

/// 2026-01-01T00:00:00Z.
const NOW: Duration = Duration::from_secs(1_767_225_600);
const CONFIG: &str = "clusterID: c
server:
  mapRoles:
  - {rolearn: 'arn:aws:iam::123456789012:role/team/Admin', username: 'admin:{{SessionName}}', groups: ['system:masters']}
  - {rolearn: 'arn:aws:iam::123456789012:role/Broken', username: n}
  - {rolearn: 'arn:aws:iam::123456789012:role/AWSReservedSSO_View_fedcba9876543210', username: 'view'}
  - {rolearn: 'arn:aws:iam::123456789012:role/Reserved', username: 'aws:x'}
  - {sso: {permissionSetName: Ops, accountID: '123456789012'}, username: 'ops:{{SessionName}}', groups: [ops]}
  mapUsers:
  - {userarn: 'arn:aws:iam::123456789012:user/ops/bob', username: bob}
  mapAccounts: ['210987654321']
  scrubbedAccounts: ['333333333333']
  reservedPrefixConfig: [{backendMode: MountedFile, usernamePrefixReserveList: ['aws:']}]
";

/// Runs the command in a folder with `config.yaml` and `audit.log`.
fn run_with(arguments: &[&str], config: &str, audit: &str) -> (anyhow::Result<ExitCode>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, log) = (folder.path().join("config.yaml"), folder.path().join("audit.log"));
    std::fs::write(&file, config).expect("written");
    std::fs::write(&log, audit).expect("written");
    let log = log.display().to_string();
    let mut words = vec!["explain"];
    words.extend(arguments);
    if arguments.contains(&"--decision") {
        words.extend(["--audit-log", &log]);
    }
    let command = Cli::try_parse_from(words).expect("good arguments").command;
    let loaded = Config::load(&file).expect("it loads").config;
    let mut out = Vec::new();
    let code = command.run(loaded, Some(&file), io::empty(), SystemTime::UNIX_EPOCH + NOW, &mut out);
    (code, String::from_utf8(out).expect("text"))
}

#[track_caller]
fn check(arguments: &[&str], good: bool, expected: &Expect) {
    check_with(arguments, CONFIG, good, expected);
}

#[track_caller]
fn check_with(arguments: &[&str], config: &str, good: bool, expected: &Expect) {
    let (code, out) = run_with(arguments, config, "");
    let generation = out.lines().filter(|line| !line.starts_with("  generation")).map(|line| format!("{line}\n"));
    expected.assert_eq(&generation.collect::<String>());
    assert_eq!(code.expect("it runs"), if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
}

#[test]
fn admins_sources_outside_the_file_and_entries_that_have_ended() {
    let config = "server:
  bootstrapAdmins: ['arn:aws:iam::123456789012:role/Admin']
  backendMode: [DynamicFile, MountedFile]
  dynamicFilePath: nobody.json
  mapRoles:
  - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: other}
  - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev}
  - {rolearn: 'arn:aws:iam::123456789012:role/Guest', username: guest, notAfter: 1970-01-01T00:00:01Z}
";
    check_with(
        &["--arn", "arn:aws:iam::123456789012:role/Admin"],
        config,
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Admin/session
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          session        session
        stages
          bootstrapAdmins allow by the entry on line 2
        decision
          username       bootstrap-admin
          groups         system:masters
    "#]],
    );
    check_with(
        &["--arn", "arn:aws:iam::123456789012:role/Dev"],
        config,
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Dev/session
          canonical arn  arn:aws:iam::123456789012:role/Dev
          account        123456789012
          session        session
        stages
          bootstrapAdmins abstain
          DynamicFile    abstain
          MountedFile    allow by the entry on line 7
        decision
          username       dev
    "#]],
    );
    check_with(
        &["--arn", "arn:aws:iam::123456789012:role/Guest"],
        config,
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Guest/session
          canonical arn  arn:aws:iam::123456789012:role/Guest
          account        123456789012
          session        session
        stages
          bootstrapAdmins abstain
          DynamicFile    abstain
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        near misses
          line 8: names this caller, and has ended
            fix: give it a later `notAfter`, or take it out
    "#]],
    );
}

#[test]
fn made_up_callers() {
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/Admin/alice"],
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Admin/alice
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          session        alice
        stages
          MountedFile    allow by the entry on line 4
        decision
          username       admin:alice
          groups         system:masters
    "#]],
    );
    check(
        &["--arn", "arn:aws:iam::123456789012:role/team/Admin"],
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Admin/session
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          session        session
        stages
          MountedFile    allow by the entry on line 4
        decision
          username       admin:session
          groups         system:masters
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/Broken/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Broken/alice
          canonical arn  arn:aws:iam::123456789012:role/Broken
          account        123456789012
          session        alice
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        near misses
          line 5: names this caller and is left out: expected text, found `n`, which many readers of YAML take for a boolean: write it in quotes
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice"],
        false,
        &expect![[r#"
            caller, made up
              arn            arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice
              canonical arn  arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef
              account        123456789012
              session        alice
              permission set View
            stages
              MountedFile    abstain
            decision
              denied         no mapping names this caller (not_mapped)
            near misses
              line 6: names another role of the same permission set: the end of the name has changed
                fix: write `sso: {permissionSetName: View, accountID: '123456789012'}`
        "#]],
    );
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/Reserved/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Reserved/alice
          canonical arn  arn:aws:iam::123456789012:role/Reserved
          account        123456789012
          session        alice
        stages
          MountedFile    allow by the entry on line 7
        decision
          denied         refused by the guard after MountedFile: the username starts with a reserved prefix (guard_reserved_prefix)
        what to do
          change the name that the stage gives, or what is reserved
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::444444444444:assumed-role/Admin/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::444444444444:assumed-role/Admin/alice
          canonical arn  arn:aws:iam::444444444444:role/Admin
          account        444444444444
          session        alice
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        near misses
          line 4: names the same principal of another account
            fix: write `arn:aws:iam::444444444444:role/Admin`
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::444444444444:assumed-role/Nobody/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::444444444444:assumed-role/Nobody/alice
          canonical arn  arn:aws:iam::444444444444:role/Nobody
          account        444444444444
          session        alice
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        what to do
          add an entry for `arn:aws:iam::444444444444:role/Nobody`, or a policy that knows this caller
    "#]],
    );
    check(
        &["--arn", "arn:aws:iam::123456789012:user/bob"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:iam::123456789012:user/bob
          canonical arn  arn:aws:iam::123456789012:user/bob
          account        123456789012
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        near misses
          line 10: names the same user with another path
            fix: write `arn:aws:iam::123456789012:user/bob`
    "#]],
    );
    check(
        &["--arn", "arn:aws:iam::210987654321:user/eve"],
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:iam::210987654321:user/eve
          canonical arn  arn:aws:iam::210987654321:user/eve
          account        210987654321
        stages
          MountedFile    abstain
        decision
          username       arn:aws:iam::210987654321:user/eve
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::333333333333:assumed-role/Admin/alice"],
        false,
        &expect![[r#"
        caller
          hidden: its account is one of `scrubbedAccounts`
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
    "#]],
    );
}

#[test]
fn entries_that_nobody_asks_and_permission_sets_that_are_left_out() {
    check_with(
        &["--arn", "arn:aws:iam::123456789012:role/Admin"],
        "server:
  backendMode: [DynamicFile]
  dynamicFilePath: nobody.json
  mapRoles:
  - {rolearn: 'arn:aws:iam::123456789012:role/Admins', username: n}
  - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: a}
",
        false,
        &expect![[r#"
            caller, made up
              arn            arn:aws:sts::123456789012:assumed-role/Admin/session
              canonical arn  arn:aws:iam::123456789012:role/Admin
              account        123456789012
              session        session
            stages
              DynamicFile    abstain
            decision
              denied         no mapping names this caller (not_mapped)
            near misses
              line 6: names this caller, and is not asked
                fix: put MountedFile into `backendMode`
        "#]],
    );
    check_with(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/alice"],
        "server:
  mapRoles:
  - {sso: {permissionSetName: Ops, accountID: 123456789012}, username: ops}
",
        false,
        &expect![[r#"
            caller, made up
              arn            arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/alice
              canonical arn  arn:aws:iam::123456789012:role/AWSReservedSSO_Ops_0123456789abcdef
              account        123456789012
              session        alice
              permission set Ops
            stages
              MountedFile    abstain
            decision
              denied         no mapping names this caller (not_mapped)
            near misses
              line 3: names this caller and is left out: expected text, found the number `123456789012`: write it in quotes
        "#]],
    );
}

#[test]
fn callers_whose_tokens_nobody_accepts_are_told_as_that() {
    #[track_caller]
    fn check(providers: &str, arn: &str, expected: Option<&str>) {
        let config = format!(
            "server:\n  {providers}\n  mapUsers:\n  - {{userarn: 'acs:ram::1234567890123456:user/a', username: a}}\n  - {{userarn: 'arn:aws-cn:iam::123456789012:user/a', username: a}}\n"
        );
        let (code, _) = run_with(&["--arn", arn], &config, "");
        match expected {
            None => assert_eq!(code.expect("it runs"), ExitCode::SUCCESS, "{providers}"),
            Some(words) => assert_eq!(code.expect_err("no decision").to_string(), words, "{providers}"),
        }
    }
    let (acs, cn) = ("acs:ram::1234567890123456:user/a", "arn:aws-cn:iam::123456789012:user/a");
    let words =
        "acs:ram::1234567890123456:user/a is never let in: it is of partition acs, and tokens are accepted from aws";
    check("port: 1", acs, Some(words));
    check("providers: [aws, alibaba]", acs, None);
    let words = "arn:aws-cn:iam::123456789012:user/a is never let in: it is of partition aws-cn, and tokens are accepted from acs";
    check("providers: [alibaba]", cn, Some(words));
    check("partition: aws-cn", cn, None);
}

#[test]
fn tokens_that_are_no_good() {
    let url = |text: &str| {
        use base64::Engine as _;
        format!("k8s-aws-v1.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text))
    };
    let query = "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=";
    let signature = format!("&X-Amz-Signature={}", "0".repeat(64));
    let good = format!("https://sts.eu-west-1.amazonaws.com/?{query}host%3Bx-k8s-aws-id{signature}");
    let offline = |token: &str, good: bool, expected: &Expect| check(&["--offline", "-t", token], good, expected);
    offline(
        &url(&good),
        true,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           ok     sts.eu-west-1.amazonaws.com (eu-west-1)
          query          ok
          request        ok
          date           ok     signed 2026-01-01T00:00:00Z
          credential     ok     access key AKIAIOSFODNN7EXAMPLE
          expires        ok
          signed headers ok     host and cluster id
          signature      ok
          age            ok     good until 2026-01-01T00:15:00Z
    "#]],
    );
    offline(
        "eyJhbGciOi",
        false,
        &expect![[r#"
        token
          prefix         FAILED not a token of a configured provider
          encoding       -
          url            -
          host           -
          query          -
          request        -
          date           -
          credential     -
          expires        -
          signed headers -
          signature      -
          age            -
        what to do
          make a token with `herald token` or `aws eks get-token`
    "#]],
    );
    offline(
        "k8s-aws-v1.$$$",
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       FAILED malformed token: not unpadded base64url after the prefix
          url            -
          host           -
          query          -
          request        -
          date           -
          credential     -
          expires        -
          signed headers -
          signature      -
          age            -
        what to do
          give the whole token, and nothing else
    "#]],
    );
    offline(
        &url(&good.replace("host%3Bx-k8s-aws-id", "host")),
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           ok
          query          ok
          request        ok
          date           ok
          credential     ok
          expires        ok
          signed headers FAILED malformed token: X-Amz-SignedHeaders: x-k8s-aws-id is not signed
          signature      -
          age            -
        what to do
          make the token for this cluster: `herald token -i c`
    "#]],
    );
    offline(
        &url(&good.replace("sts.eu-west-1.amazonaws.com", "example.com")),
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           FAILED malformed token: not signed for a host of STS
          query          -
          request        -
          date           -
          credential     -
          expires        -
          signed headers -
          signature      -
          age            -
        what to do
          use an STS of AWS, or add its host to `server.sts.endpoints`
    "#]],
    );
    offline(
        &url(&good.replace("20260101", "20251231")),
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           ok
          query          ok
          request        ok
          date           ok
          credential     ok
          expires        ok
          signed headers ok
          signature      ok
          age            FAILED the token has expired: it was signed 2025-12-31T00:00:00Z
        what to do
          make a new token: one is good for 15m
    "#]],
    );
}

#[test]
fn a_decision_from_the_audit_log() {
    let id = "019b7600-0000-7000-8000-000000000000";
    let line = |id: &str| {
        serde_json::json!({
            "time": "2026-01-01T00:00:00Z", "event": "decision", "decisionId": id, "generation": "0123456789ab",
            "caller": {"arn": "arn:aws:sts::123456789012:assumed-role/Broken/alice", "accountId": "123456789012"},
            "stages": [{"stage": "MountedFile", "verdict": "abstain", "micros": 3}],
            "outcome": "denied", "reason": "not_mapped", "message": "no mapping names this caller",
        })
        .to_string()
    };
    let log = format!("another program's line\n{}\n{}\n", line("019b7600-0000-7000-8000-000000000001"), line(id));
    let (code, out) = run_with(&["--decision", id], CONFIG, &log);
    expect![[r#"
        caller
          arn            arn:aws:sts::123456789012:assumed-role/Broken/alice
          account        123456789012
        stages
          MountedFile    abstain
        decision
          id             019b7600-0000-7000-8000-000000000000
          time           2026-01-01T00:00:00Z
          denied         no mapping names this caller (not_mapped)
          generation     0123456789ab
          the file at hand is another configuration than the one that decided
        near misses
          line 5: names this caller and is left out: expected text, found `n`, which many readers of YAML take for a boolean: write it in quotes
    "#]].assert_eq(&out);
    assert_eq!(code.expect("it runs"), ExitCode::FAILURE);
    let (code, out) = run_with(&["--decision", id, "-o", "json"], CONFIG, &log);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&json["reason"], &json["nearMisses"][0]["difference"]), (&"not_mapped".into(), &"left_out".into()));
    assert_eq!(code.expect("it runs"), ExitCode::FAILURE);
    let (code, _) = run_with(&["--decision", "019b7600-0000-7000-8000-000000000009"], CONFIG, &log);
    assert!(code.expect_err("no such decision").to_string().contains("has no decision"));
}

/// A log may be anybody's: what is no decision lets nobody in, and nothing in one moves a terminal's cursor.
#[test]
fn lines_of_an_audit_log_that_are_odd() {
    let id = "019b7600-0000-7000-8000-000000000000";
    for outcome in ["null", "\"\"", "\"Allowed\"", "[]"] {
        let (code, _) =
            run_with(&["--decision", id], CONFIG, &format!("{{\"decisionId\": \"{id}\", \"outcome\": {outcome}}}"));
        assert!(code.expect_err("no decision").to_string().contains("has no decision"), "{outcome}");
    }
    let odd = "\u{1b}[2J";
    let log = serde_json::json!({
        "decisionId": id, "outcome": "denied", "reason": odd, "message": odd, "generation": odd, "time": odd,
        "stages": [{"stage": odd, "verdict": odd, "node": {"name": odd, "source": odd}, "log": [{"level": odd, "message": odd}]}],
        "shadows": [{"stage": odd, "verdict": odd, "username": odd}],
        "caller": {"arn": odd, "sessionName": odd},
    });
    let (code, out) = run_with(&["--decision", id], CONFIG, &log.to_string());
    assert_eq!(code.expect("it runs"), ExitCode::FAILURE);
    assert!(out.chars().all(|letter| letter == '\n' || !letter.is_control()), "{out:?}");
}

#[test]
fn the_command_line_asks_about_one_thing() {
    let bad = |words: &[&str]| Cli::try_parse_from([&["explain"], words].concat()).is_err();
    assert!(bad(&[]));
    assert!(bad(&["-t", "a", "--arn", "arn:aws:iam::123456789012:user/a"]));
    assert!(bad(&["--decision", "019b7600-0000-7000-8000-000000000000"]));
    assert!(bad(&["--arn", "Admin"]));
    assert!(bad(&["--offline", "--arn", "arn:aws:iam::123456789012:user/a"]));
}

/// What is explained is what the chain of the server decides, for every caller by every configuration.
#[test]
fn explanations_are_the_servers_decisions() {
    let configs = [
        CONFIG,
        "clusterID: c\nserver: {mapAccounts: ['123456789012']}\n",
        "clusterID: c\nserver: {mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Admin', username: 'system:{{SessionName}}'}]}\n",
        "clusterID: c\n",
    ];
    let arns = [
        "arn:aws:sts::123456789012:assumed-role/Admin/alice",
        "arn:aws:sts::123456789012:assumed-role/Broken/alice",
        "arn:aws:sts::123456789012:assumed-role/Reserved/alice",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/alice",
        "arn:aws:sts::123456789012:federated-user/fred",
        "arn:aws:iam::123456789012:user/ops/bob",
        "arn:aws:iam::210987654321:user/eve",
        "arn:aws:iam::333333333333:root",
    ];
    for (config, arn) in configs.into_iter().flat_map(|config| arns.map(|arn| (config, arn))) {
        let (_, out) = run_with(&["--arn", arn, "-o", "json"], config, "");
        let explained: Value = serde_json::from_str(&out).expect("JSON");
        let loaded = Config::parse(Path::new("config.yaml"), config).expect("it loads").config;
        let authenticator = cluster::run(build(&loaded, false)).expect("it builds");
        let caller = Arc::new(caller(arn));
        let now = SystemTime::UNIX_EPOCH + NOW;
        let request = crate::policy::Request::new(&caller, "c", now);
        let outcome =
            authenticator.chain.decide(request).now_or_never().expect("static sources answer at once").outcome;
        match outcome {
            Ok(Mapping { username, groups, .. }) => {
                assert_eq!(explained["outcome"], "allowed", "{config} {arn}");
                assert_eq!(explained["user"]["username"], username, "{config} {arn}");
                let none = Value::Array(Vec::new());
                assert_eq!(
                    *explained["user"].get("groups").unwrap_or(&none),
                    serde_json::json!(groups),
                    "{config} {arn}"
                );
            }
            Err(refusal) => {
                assert_eq!(explained["outcome"], "denied", "{config} {arn}");
                assert_eq!(explained["reason"], refusal.reason(), "{config} {arn}");
            }
        }
    }
}
