//! Decisions from an audit log.

use expect_test::expect;

use super::*;

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
