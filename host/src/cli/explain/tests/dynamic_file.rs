//! Entries of DynamicFile, which stand beside the configuration.

use super::*;

const CONFIG: &str = "server:
  backendMode: [DynamicFile, MountedFile]
  dynamicFilePath: dynamic.json
  mapRoles:
  - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: second}
";

/// What JSON says of `about` beside a file with `roles`.
#[track_caller]
fn explained(about: &[&str], config: &str, roles: &str, audit: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("dynamic.json"), format!("{{\"mapRoles\": [\n{roles}\n]}}")).expect("written");
    let (_, out) = run_in(folder.path(), &[about, &["-o", "json"]].concat(), config, audit);
    let out = out.replace(&format!("{}/", folder.path().display()), "");
    serde_json::from_str(&out).expect("JSON")
}

#[test]
fn what_an_earlier_source_decides_is_by_no_entry_of_the_configuration() {
    let admin = r#"{"rolearn": "arn:aws:iam::123456789012:role/Admin", "username": "first"}"#;
    let about = ["--arn", "arn:aws:iam::123456789012:role/Admin"];
    for (roles, username, entry) in [(admin, "first", None), ("", "second", Some(5))] {
        let json = explained(&about, CONFIG, roles, "");
        assert_eq!((json["user"]["username"].as_str(), json["entry"].as_u64()), (Some(username), entry));
    }
}

#[test]
fn near_misses_are_looked_for_in_it() {
    for (role, expected) in [
        (r#"{"rolearn": "arn:aws:iam::123456789012:role/Dev", "username": ""}"#, Some("left_out")),
        (r#"{"rolearn": "arn:aws:iam::210987654321:role/Dev", "username": "dev"}"#, Some("account")),
        (r#"{"rolearn": "arn:aws:iam::123456789012:role/Nobody", "username": "nobody"}"#, None),
    ] {
        let json = explained(&["--arn", "arn:aws:iam::123456789012:role/Dev"], CONFIG, role, "");
        let (near, is_advised) = (&json["nearMisses"][0], json["fix"].is_string());
        let expected_at = expected.map(|_| ("dynamic.json", 2));
        assert_eq!(near["object"].as_str().zip(near["line"].as_u64()), expected_at, "{role}");
        assert_eq!((near["difference"].as_str(), is_advised), (expected, expected.is_none()), "{role}");
    }
}

/// Who was made anew has another unique id, which the audit log has and an ARN has not.
#[test]
fn entries_that_match_by_unique_id_are_near_by_either() {
    let config = format!("{CONFIG}  dynamicFileUserIDStrict: true\n");
    let entry = |arn: &str, id: &str| {
        format!(r#"{{"rolearn": "arn:aws:iam::123456789012:role/{arn}", "userid": "{id}", "username": "dev"}}"#)
    };
    let difference = |json: &Value| json["nearMisses"][0]["difference"].as_str().map(str::to_owned);
    let made_up = explained(&["--arn", "arn:aws:iam::123456789012:role/Dev"], &config, &entry("Dev", "AROAONE"), "");
    assert_eq!(difference(&made_up).as_deref(), Some("unique_id"));
    let id = "019b7600-0000-7000-8000-000000000000";
    let log = serde_json::json!({
        "decisionId": id, "outcome": "denied", "reason": "not_mapped",
        "caller": {"arn": "arn:aws:sts::123456789012:assumed-role/Dev/alice", "principalId": "AROATWO"},
    })
    .to_string();
    let anonymous = r#"{"userid": "AROATWO", "username": ""}"#.to_owned();
    for (role, expected) in [
        (entry("Dev", "AROAONE"), Some("unique_id")),
        (entry("Old", "AROATWO"), Some("arn")),
        (anonymous, Some("left_out")),
        (entry("Old", "AROAONE"), None),
    ] {
        let json = explained(&["--decision", id], &config, &role, &log);
        assert_eq!(difference(&json).as_deref(), expected, "{role}");
    }
}
