//! Explanations without a network, one file a subject.

use std::io;

use clap::Parser as _;
use expect_test::{Expect, expect};
use futures_util::FutureExt as _;

use super::*;
use crate::{
    mapping::rule::tests::caller,
    policy::{
        Mapping,
        tests::{Fixture, guest::Guest},
    },
};

mod callers;
mod decisions;
mod dynamic_file;
mod tokens;

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

/// Runs the command in a folder of its own.
fn run_with(arguments: &[&str], config: &str, audit: &str) -> (anyhow::Result<ExitCode>, String) {
    run_in(tempfile::tempdir().expect("a folder").path(), arguments, config, audit)
}

/// Runs the command in `folder`, with `config.yaml` and `audit.log`.
fn run_in(folder: &Path, arguments: &[&str], config: &str, audit: &str) -> (anyhow::Result<ExitCode>, String) {
    let (file, log) = (folder.join("config.yaml"), folder.join("audit.log"));
    std::fs::write(&file, config).expect("written");
    std::fs::write(&log, audit).expect("written");
    let log = log.display().to_string();
    let mut words = vec!["explain"];
    words.extend(arguments);
    if arguments.contains(&"--decision") {
        words.extend(["--audit-log", &log]);
    }
    let command = Cli::try_parse_from(words).expect("good arguments").command;
    let globals = Globals { config: Some(file), ..Globals::default() };
    let mut out = Vec::new();
    let code = command.run(&globals, io::empty(), SystemTime::UNIX_EPOCH + NOW, &mut out);
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
fn what_a_policy_in_shadow_mode_would_change_is_told() {
    let policy = Fixture::new(&Guest::allowing().component());
    let config = format!(
        "clusterID: c\nserver:\n  backendMode: [MountedFile, Policy/tried]\n  policies:\n  - {{name: tried, kind: map, mode: shadow, \
         component: '{}', limits: {{timeout: 5s}}}}\n",
        policy.path().display()
    );
    let about = ["--arn", "arn:aws:iam::123456789012:user/eve"];
    let (code, out) = run_with(&about, &config, "");
    assert_eq!(code.expect("it runs"), ExitCode::FAILURE);
    assert!(out.contains("in shadow mode\n  Policy/tried   allow\n    would let in: alice\n"), "{out}");
    let (_, out) = run_with(&[&about[..], &["-o", "json"]].concat(), &config, "");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&json["outcome"], &json["shadows"][0]["letsIn"]), (&"denied".into(), &"alice".into()), "{json}");
}

/// The name of the source that this command could not read, and what it says to do about it.
#[test]
fn where_this_command_cannot_read_a_source_no_server_is_at_fault() {
    #[track_caller]
    fn check(more: &[&str], source: &str, expected: &str) {
        let words = [&["explain", "--arn", "arn:aws:iam::123456789012:user/eve"], more].concat();
        let command = Cli::try_parse_from(words).expect("good arguments").command;
        let (config, now) = (Config::default(), SystemTime::UNIX_EPOCH + NOW);
        let record = serde_json::json!({
            "outcome": "denied", "reason": "source_not_ready", "stages": [
                {"stage": "MountedFile", "verdict": "abstain"}, {"stage": source, "verdict": "source_not_ready"},
            ],
        });
        let fix = command.explain_own(record.clone(), &config, None, now).fix.expect("advice");
        assert!(fix.starts_with(expected) && !fix.contains("server"), "{fix}");
        let of_the_server = Explanation::of(record, &config, None, now).fix.expect("advice");
        assert!(of_the_server.contains("the server's log"), "{of_the_server}");
    }
    check(&[], "EKSConfigMap", "name the cluster that has EKSConfigMap, with --context or --kubeconfig;");
    check(&["--context", "prod"], "CRD", "mend what the line about CRD on stderr says of this cluster");
    check(&[], "DynamicFile", "mend what the line about DynamicFile on stderr says of the file");
}

/// As without a configuration, where a good token says who its caller is and nothing else.
#[test]
fn who_is_not_known_to_be_let_in_is_not_let_in() {
    let caller = serde_json::json!({ "caller": { "arn": "arn:aws:iam::123456789012:user/eve" } });
    let outcome = |outcome: &str| serde_json::json!({ "outcome": outcome });
    for (record, is_good) in
        [(None, true), (Some(caller), false), (Some(outcome("allowed")), true), (Some(outcome("denied")), false)]
    {
        let explanation = Explanation { record, ..Explanation::default() };
        assert_eq!(explanation.is_good(), is_good, "{explanation:?}");
    }
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
