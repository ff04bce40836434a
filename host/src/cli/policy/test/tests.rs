//! The runner against a fake policy, and what it says about cases that fail.

use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};

use super::*;
use crate::policy::{
    Fault, Mapping, Verdict,
    cases::SomeLimits,
    tests::{Fixture, guest::Guest},
};

fn role(expect: &str) -> String {
    format!(
        "cases:\n- name: the case\n  caller: {{arn: \"arn:aws:sts::111122223333:assumed-role/Dev/alice\"}}\n  \
         expect: {expect}\n"
    )
}

#[track_caller]
fn check(cases: &str, outcome: &Outcome, expected: &Expect) -> Summary {
    let cases = parse(cases);
    let mut out = Vec::new();
    let summary = run(&cases, |_| ran(outcome.clone()), &mut out).expect("memory takes all");
    expected.assert_eq(&format!("{}{summary}\n", String::from_utf8(out).expect("text")));
    summary
}

fn ran(outcome: Outcome) -> Ran {
    let log = vec![LogLine { level: "info", message: "a\u{7}b".to_owned() }];
    Ran { outcome, log, took: Duration::ZERO }
}

#[track_caller]
fn parse(text: &str) -> Vec<Case> {
    Suite::parse(text).expect("good cases").cases
}

fn allow(username: &str, groups: &[&str]) -> Outcome {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Outcome::Verdict(Verdict::Allow(Mapping { username: username.to_owned(), groups, ..Mapping::default() }))
}

#[test]
fn expectations_that_hold() {
    let passed = || {
        expect![[r#"
            ok      the case
            1 passed, 0 failed
        "#]]
    };
    check(&role("abstain"), &Outcome::Verdict(Verdict::Abstain), &passed());
    check(&role("{allow: {username: alice, groups: [dev]}}"), &allow("alice", &["dev"]), &passed());
    check(&role("{deny: no}"), &Outcome::Verdict(Verdict::Deny("certainly not".to_owned())), &passed());
    check(&role("{fault: policy_timeout}"), &Outcome::Fault(Fault::Timeout), &passed());
    check(&role("{unloadable: rolls}"), &Outcome::Unloadable("unknown field `rolls`".to_owned()), &passed());
}

#[test]
fn differences_are_told_field_by_field() {
    let summary = check(
        &role("{allow: {username: alice, groups: [dev], uid: \"7\", extra: {b: [x], a: []}}}"),
        &allow("alice@example.com", &["dev", "ops"]),
        &expect![[r#"
            FAILED  the case
                    username: expected "alice"
                              found    "alice@example.com"
                    uid: expected "7"
                         found    the host's own
                    groups: unexpected ["ops"]
                    extra: expected {a=[], b=["x"]}
                           found    {}
                    log info: a\u{7}b
            0 passed, 1 failed
        "#]],
    );
    assert_eq!(summary, Summary { passed: 0, failed: 1 });
}

#[test]
fn groups_are_told_apart() {
    #[track_caller]
    fn check(expected: &str, found: &[&str], told: &str) {
        let cases = parse(&role(&format!("{{allow: {{username: alice, groups: {expected}}}}}")));
        let told = Some(told).filter(|told| !told.is_empty()).map(str::to_owned);
        assert_eq!(difference(&cases[0].expect, &allow("alice", found)), told);
    }
    check("[a, b]", &["a", "b"], "");
    check("[a, b]", &["a"], "        groups: missing [\"b\"]");
    check("[a, b]", &["b", "c"], "        groups: missing    [\"a\"]\n                unexpected [\"c\"]");
    check("[a]", &["a", "a"], "        groups: unexpected [\"a\"]");
    check(
        "[a, b]",
        &["b", "a"],
        "        groups, in order: expected [\"a\", \"b\"]\n                          found    [\"b\", \"a\"]",
    );
}

/// Keys are a policy's own words as well, and two of them never look the same.
#[test]
fn keys_of_extra_steer_no_terminal() {
    #[track_caller]
    fn check(key: &str, told: Option<&str>) {
        let cases = parse(&role(r#"{allow: {username: alice, extra: {"a\nb": [x]}}}"#));
        let extra = vec![(key.to_owned(), vec!["x".to_owned()])];
        let found = Mapping { username: "alice".to_owned(), extra, ..Mapping::default() };
        let told = told.map(|key| {
            format!("        extra: expected {{\"a\\nb\"=[\"x\"]}}\n               found    {{{key}=[\"x\"]}}")
        });
        assert_eq!(difference(&cases[0].expect, &Outcome::Verdict(Verdict::Allow(found))), told);
    }
    check("a\nb", None);
    check("a.example.com/b", Some("a.example.com/b"));
    check("\u{1b}[2J", Some(r#""\u{1b}[2J""#));
    check(r#""a\nb""#, Some(r#""\"a\\nb\"""#));
}

#[test]
fn other_verdicts_are_told_whole() {
    check(
        &role("abstain"),
        &allow("alice", &["dev"]),
        &expect![[r#"
            FAILED  the case
                    expected abstain
                    found    allow "alice", groups ["dev"]
                    log info: a\u{7}b
            0 passed, 1 failed
        "#]],
    );
    check(
        &role("{fault: \"policy_trap\\nok      all\\e[2J\"}"),
        &allow("alice", &[]),
        &expect![[r#"
            FAILED  the case
                    expected fault policy_trap\u{a}ok      all\u{1b}[2J
                    found    allow "alice", groups []
                    log info: a\u{7}b
            0 passed, 1 failed
        "#]],
    );
    check(
        &role("{deny: later}"),
        &Outcome::Verdict(Verdict::Deny("now".to_owned())),
        &expect![[r#"
            FAILED  the case
                    expected deny with "later" in its text
                    found    deny "now"
                    log info: a\u{7}b
            0 passed, 1 failed
        "#]],
    );
    check(
        &role("{allow: {username: alice}}"),
        &Outcome::Fault(Fault::Fuel),
        &expect![[r#"
            FAILED  the case
                    expected allow "alice", groups []
                    found    fault policy_fuel: the policy ran out of fuel
                    log info: a\u{7}b
            0 passed, 1 failed
        "#]],
    );
    check(
        &role("{fault: policy_timeout}"),
        &Outcome::Unloadable("a typo".to_owned()),
        &expect![[r#"
            FAILED  the case
                    expected fault policy_timeout
                    found    not to load: "a typo"
                    log info: a\u{7}b
            0 passed, 1 failed
        "#]],
    );
}

#[test]
fn the_count_covers_all_cases() {
    let text = "
settings: {team: a}
cases:
- {name: one, caller: {arn: 'arn:aws:iam::111122223333:user/a'}, expect: abstain}
- {name: two, caller: {arn: 'arn:aws:iam::111122223333:user/b'}, settings: {team: b}, expect: abstain}
";
    let cases = parse(text);
    let mut out = Vec::new();
    let by_team = |case: &Case| match case.settings["team"].as_str() {
        Some("a") => ran(Outcome::Verdict(Verdict::Abstain)),
        _ => ran(Outcome::Verdict(Verdict::Deny(case.request.caller.name.clone()))),
    };
    let summary = run(&cases, by_team, &mut out).expect("memory takes all");
    assert_eq!(summary, Summary { passed: 1, failed: 1 });
    expect![[r#"
        ok      one
        FAILED  two
                expected abstain
                found    deny "b"
                log info: a\u{7}b
    "#]]
    .assert_eq(&String::from_utf8(out).expect("text"));
}

#[test]
fn callers_follow_from_their_arn() {
    #[track_caller]
    fn check(arn: &str, expected: &Expect) {
        let text = format!("cases: [{{name: x, caller: {{arn: '{arn}'}}, expect: abstain}}]");
        let cases = parse(&text);
        expected.assert_eq(&serde_json::to_string_pretty(&cases[0].request.caller).expect("JSON"));
    }
    check(
        "arn:aws-cn:sts::111122223333:assumed-role/AWSReservedSSO_Dev_Ops_0123456789abcdef/alice",
        &expect![[r#"
            {
              "provider": "aws",
              "partition": "aws-cn",
              "accountId": "111122223333",
              "kind": "assumed-role",
              "arn": "arn:aws-cn:sts::111122223333:assumed-role/AWSReservedSSO_Dev_Ops_0123456789abcdef/alice",
              "canonicalArn": "arn:aws-cn:iam::111122223333:role/AWSReservedSSO_Dev_Ops_0123456789abcdef",
              "name": "AWSReservedSSO_Dev_Ops_0123456789abcdef",
              "principalId": "AROAEXAMPLEEXAMPLE000",
              "sessionName": "alice",
              "ssoPermissionSet": "Dev_Ops",
              "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
              "stsRegion": "us-east-1",
              "uid": ""
            }"#]],
    );
    check(
        "acs:ram::1234567890123456:user/alice",
        &expect![[r#"
            {
              "provider": "alibaba",
              "partition": "acs",
              "accountId": "1234567890123456",
              "kind": "user",
              "arn": "acs:ram::1234567890123456:user/alice",
              "canonicalArn": "acs:ram::1234567890123456:user/alice",
              "name": "alice",
              "principalId": "AIDAEXAMPLEEXAMPLE000",
              "sessionName": null,
              "ssoPermissionSet": null,
              "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
              "stsRegion": "us-east-1",
              "uid": ""
            }"#]],
    );
}

#[test]
fn requests_have_one_fixed_time_unless_told() {
    let text = "
cases:
- {name: a, caller: {arn: 'arn:aws:iam::111122223333:user/a'}, expect: abstain}
- name: b
  caller: {arn: 'arn:aws:iam::111122223333:user/a', signedAt: '2026-05-04T11:50:00Z', attributes: {x: y}}
  now: '2026-05-04T12:00:00Z'
  clusterId: prod
  current: {username: bob}
  trail: [MountedFile]
  expect: abstain
";
    let cases = parse(text);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let request = cases[0].request.borrow();
    assert_eq!((request.now, request.cluster_id), (at(1_767_225_600), "test.example.com"));
    assert_eq!((request.current, request.trail), (None, &[][..]));
    let request = cases[1].request.borrow();
    assert_eq!((request.now, request.caller.signed_at), (at(1_777_896_000), at(1_777_895_400)));
    assert_eq!(request.caller.attributes, [("x".to_owned(), "y".to_owned())]);
    assert_eq!(request.current.map(|mapping| mapping.username.as_str()), Some("bob"));
    assert_eq!((request.cluster_id, request.trail), ("prod", &["MountedFile".to_owned()][..]));
}

#[test]
fn files_that_are_no_cases() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Suite::parse(text).expect_err("no cases").to_string();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
    check("cases: []", "there are no cases in it");
    check("case: []", "unknown field `case`");
    check(&role("{allow: {username: alice, gruops: [dev]}}"), "unknown field `gruops`");
    check(&role("maybe"), "maybe");
    check("cases: [{name: x, caller: {arn: 'arn:aws:iam::1:user/a'}, expect: abstain}]", "bad account");
    check(
        "cases: [{name: x, now: noon, caller: {arn: 'arn:aws:iam::111122223333:user/a'}, expect: abstain}]",
        "not a time such as 2026-01-01T00:00:00Z",
    );
}

#[test]
fn the_ready_made_policies_cases_are_good() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    for policy in fs::read_dir(policies).expect("policies/") {
        let cases = Suite::read(&policy.expect("an entry").path().join("cases.yaml")).expect("good cases").cases;
        assert!(cases.len() > 3);
    }
}

fn ready_made(repository: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(repository.join("policies")).expect("policies/");
    folders.map(|policy| policy.expect("an entry").path())
}

/// Whatever a ready-made policy is asked: again, and by an engine that has just been made. The numbers themselves are the
/// compiler's and the dependencies' as much as ours.
#[test]
fn the_same_case_costs_the_same_fuel_each_time() {
    let mut decided = 0;
    for folder in ready_made(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")) {
        let component = super::super::build::build(&folder, None).expect("it builds").output;
        let tested = [(); 2].map(|()| Tested::open(&component).expect("it loads"));
        let limits = SomeLimits::default().patient().expect("limits");
        let [mut one, mut another] =
            tested.each_ref().map(|tested| tested.evaluations(Kind::Map, limits).expect("it loads"));
        for Case { name, settings, request, .. } in Suite::read(&folder.join("cases.yaml")).expect("good cases").cases {
            let asked = [one(&settings, &request), one(&settings, &request), another(&settings, &request)];
            let fuel = asked.map(|asked| asked.map(|evaluation| evaluation.fuel).ok());
            assert_eq!(fuel, [fuel[0]; 3], "{}: {name}", folder.display());
            decided += usize::from(fuel[0].is_some_and(|fuel| fuel > 0));
        }
    }
    assert!(decided > 50, "{decided}");
}

/// Builds in the repository's own target folder, so only the first run compiles anything.
#[test]
fn policies_pass_their_cases() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ready_made = ready_made(&repository);
    let of_tests = ["hostile", "tables", "tags"].map(|name| repository.join("tests/policies").join(name));
    for folder in ready_made.chain(of_tests) {
        let component = super::super::build::build(&folder, None).expect("it builds").output;
        let (code, out) = test(&component, &[&folder.join("cases.yaml")], &[]).expect("it runs");
        assert_eq!(code, ExitCode::SUCCESS, "{out}");
    }
}

#[test]
fn files_that_are_no_policy() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/session-groups/cases.yaml");
    let error = test(&cases, &[&cases], &[]).expect_err("not a policy");
    assert!(format!("{error:#}").contains("not a WebAssembly file"), "{error:#}");
}

fn test(component: &Path, cases: &[&Path], more: &[&str]) -> anyhow::Result<(ExitCode, String)> {
    use clap::Parser as _;
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }
    let paths = [component].into_iter().chain(cases.iter().copied()).map(|path| path.to_str().expect("UTF-8"));
    let arguments = ["test"].into_iter().chain(paths).chain(more.iter().copied());
    let mut out = Vec::new();
    let code = Cli::parse_from(arguments).command.run(&mut out)?;
    Ok((code, String::from_utf8(out).expect("text")))
}

/// A file that says so, or an option that does.
#[test]
fn cases_are_asked_under_an_operators_terms() {
    let allowing = Fixture::new(&Guest::allowing().component());
    let large = Fixture::new(&Guest { pages: 17 * 16, ..Guest::allowing() }.component());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cases.yaml");
    let ceiling = folder.path().join("ceiling.yaml");
    fs::write(&ceiling, "groups: [ops]").expect("written");
    let ceiling = ceiling.to_str().expect("UTF-8");
    let check = |fixture: &Fixture, terms: &str, current: &str, more: &[&str], expected: &str| {
        let cases = format!(
            "{terms}\n{}",
            role("{allow: {username: alice, groups: [dev]}}").replace("  expect", &format!("  {current}\n  expect"))
        );
        fs::write(&path, cases).expect("written");
        let (code, out) = test(fixture.path(), &[&path], more).expect("it runs");
        let passed = if expected == "ok " { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        assert!(code == passed && out.contains(expected), "{terms} {more:?}: {out}");
    };
    check(&allowing, "", "", &[], "ok ");
    check(&large, "", "", &[], "more memory than its limit");
    check(&large, "limits: {memory: 32Mi}", "", &[], "ok ");
    check(&large, "", "", &["--memory", "32Mi"], "ok ");
    check(&large, "limits: {memory: 32Mi}", "", &["--memory", "16Mi"], "more memory than its limit");
    check(&allowing, "limits: {fuel: 5}", "", &[], "fuel");
    check(&allowing, "ceiling: {groups: [ops]}", "", &[], "policy_out_of_bounds");
    check(&allowing, "", "", &["--ceiling", ceiling], "policy_out_of_bounds");
    let current = "current: {username: alice}";
    check(&allowing, "kind: augment", current, &[], "ok ");
    check(&allowing, "kind: guard", current, &[], "a guard policy may not add a group");
    check(&allowing, "kind: augment", current, &["--kind", "guard"], "a guard policy may not add a group");
    fs::write(&path, format!("limits: {{memory: 65Mi}}\n{}", role("abstain"))).expect("written");
    let error = format!("{:#}", test(allowing.path(), &[&path], &[]).expect_err("beyond the maximum"));
    assert!(error.contains("cases.yaml") && error.contains("limits.memory must be between"), "{error}");
}

#[test]
fn several_files_have_one_report() {
    let fixture = Fixture::new(&Guest::allowing().component());
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two, report] = ["one.yaml", "two.yaml", "report.xml"].map(|name| folder.path().join(name));
    fs::write(&one, role("{allow: {username: alice, groups: [dev]}}")).expect("written");
    fs::write(&two, role("abstain")).expect("written");
    let (code, out) =
        test(fixture.path(), &[&one, &two], &["--junit", report.to_str().expect("UTF-8")]).expect("it runs");
    assert_eq!(code, ExitCode::FAILURE);
    let expected = format!("{}\nok      the case\n{}\nFAILED  the case\n", one.display(), two.display());
    assert!(out.starts_with(&expected) && out.ends_with("1 passed, 1 failed\n"), "{out}");
    let report = fs::read_to_string(&report).expect("a report");
    assert!(report.matches("<testsuite ").count() == 2 && report.contains("tests=\"2\" failures=\"1\""), "{report}");
}
