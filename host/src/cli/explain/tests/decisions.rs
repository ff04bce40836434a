//! Decisions from an audit log.

use expect_test::expect;

use super::*;
use crate::caller::letters::steers;

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

/// A log may be anybody's: what is no decision lets nobody in, and nothing in one steers a terminal.
#[test]
fn lines_of_an_audit_log_that_are_odd() {
    let id = "019b7600-0000-7000-8000-000000000000";
    for outcome in ["null", "\"\"", "\"Allowed\"", "[]"] {
        let (code, _) =
            run_with(&["--decision", id], CONFIG, &format!("{{\"decisionId\": \"{id}\", \"outcome\": {outcome}}}"));
        assert!(code.expect_err("no decision").to_string().contains("has no decision"), "{outcome}");
    }
    let odd = "\u{1b}[2J\u{202E}";
    let log = serde_json::json!({
        "decisionId": id, "outcome": "denied", "reason": odd, "message": odd, "generation": odd, "time": odd,
        "stages": [{"stage": odd, "verdict": odd, "node": {"name": odd, "source": odd}, "log": [{"level": odd, "message": odd}]}],
        "shadows": [{"stage": odd, "verdict": odd, "username": odd}],
        "caller": {"arn": odd, "sessionName": odd},
    });
    let (code, out) = run_with(&["--decision", id], CONFIG, &log.to_string());
    assert_eq!(code.expect("it runs"), ExitCode::FAILURE);
    assert!(out.chars().all(|letter| letter == '\n' || !steers(letter)), "{out:?}");
}

/// The server has them, and whoever looks a decision up on a workstation has not.
#[test]
fn a_record_needs_no_policy_of_the_configuration() {
    let id = "019b7600-0000-7000-8000-000000000000";
    let config = "clusterID: c
server:
  backendMode: [Policy/teams, MountedFile]
  policies: [{name: teams, kind: map, component: /nowhere/teams.wasm}]
  mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/bobby-tables', username: bob}]
";
    let log = serde_json::json!({
        "time": "2026-01-01T00:00:00Z", "event": "decision", "decisionId": id, "generation": "0123456789ab",
        "caller": {"arn": "arn:aws:iam::123456789012:user/bobby-table"},
        "stages": [{"stage": "Policy/teams", "verdict": "abstain"}, {"stage": "MountedFile", "verdict": "abstain"}],
        "outcome": "denied", "reason": "not_mapped", "message": "no mapping names this caller",
    })
    .to_string();
    let (code, out) = run_with(&["--decision", id], config, &log);
    assert_eq!(code.expect("it runs"), ExitCode::FAILURE);
    for part in [
        "Policy/teams   abstain",
        "denied         no mapping names this caller (not_mapped)",
        "not checked whether the file at hand is the configuration that decided: /nowhere/teams.wasm: cannot be read: ",
        "line 5: names a principal whose name is spelt almost the same",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains("another configuration"), "nobody knows: {out}");
    let (_, out) = run_with(&["--decision", id, "-o", "json"], config, &log);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert!(json["notChecked"].is_string() && json["otherConfiguration"].is_null(), "{json}");
    let (code, _) = run_with(&["--arn", "arn:aws:iam::123456789012:user/bobby-tables"], config, "");
    code.expect_err("what decides anew needs them");
}

/// Who was not named then may be named now, and is not to be told to add what is there.
#[test]
fn what_has_been_mended_since_is_told_as_that() {
    #[track_caller]
    fn check(entry: &str, expected: Option<&str>) {
        let id = "019b7600-0000-7000-8000-000000000000";
        let log = serde_json::json!({
            "time": "2025-12-01T00:00:00Z", "decisionId": id, "outcome": "denied", "reason": "not_mapped",
            "caller": {"arn": "arn:aws:iam::123456789012:user/bob"},
        })
        .to_string();
        let (_, out) =
            run_with(&["--decision", id, "-o", "json"], &format!("clusterID: c\nserver:\n  {entry}\n"), &log);
        let json: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(json["nearMisses"][0]["difference"].as_str(), expected, "{json}");
        assert_eq!(json["fix"].is_string(), expected.is_none(), "{json}");
    }
    let entry =
        |more: &str| format!("mapUsers: [{{userarn: 'arn:aws:iam::123456789012:user/bob', username: bob{more}}}]");
    check("mapUsers: []", None);
    check(&entry(""), Some("since"));
    check(&entry(", notAfter: 2026-02-01T00:00:00Z"), Some("since"));
    // It was in force in December, and has ended by now.
    check(&entry(", notAfter: 2025-12-15T00:00:00Z"), Some("ended"));
    check(
        &format!("{}\n  backendMode: [Policy/p]\n  policies: [{{name: p, kind: map, component: /nowhere}}]", entry("")),
        Some("not_asked"),
    );
    check("bootstrapAdmins: ['arn:aws:iam::123456789012:user/bob']", Some("since"));
}

/// The audit log has a short form of what is too long for a line.
#[test]
fn what_is_left_of_a_long_line_is_shown_and_that_it_is_not_all() {
    let id = "019b7600-0000-7000-8000-000000000000";
    let line = |outcome: &str, username: Option<&str>, reason: Option<&str>| {
        serde_json::json!({
            "truncated": true, "decisionId": id, "provider": "aws", "generation": "0123456789ab",
            "arn": "arn:aws:iam::444444444444:user/eve", "outcome": outcome, "username": username, "groupCount": 900, "reason": reason,
        })
        .to_string()
    };
    let (code, out) = run_with(&["--decision", id], CONFIG, &line("allowed", Some("eve"), None));
    expect![[r#"
        caller
          arn            arn:aws:iam::444444444444:user/eve
        decision
          id             019b7600-0000-7000-8000-000000000000
          username       eve
          generation     0123456789ab
          the rest is not known: the line was too long for the audit log, which has a part of it
          the file at hand is another configuration than the one that decided
    "#]]
    .assert_eq(&out);
    assert_eq!(code.expect("it runs"), ExitCode::SUCCESS);
    let (_, out) = run_with(&["--decision", id], CONFIG, &line("denied", None, Some("not_mapped")));
    assert!(out.contains("  denied         not_mapped\n"), "{out}");
    assert!(out.contains("add an entry for `arn:aws:iam::444444444444:user/eve`"), "{out}");
}
