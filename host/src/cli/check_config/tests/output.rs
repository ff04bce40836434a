//! What is printed for whom, and the exit code.

use expect_test::expect;

use super::*;

#[test]
fn warnings_count_if_they_are_to() {
    let text = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', username: dev}\n");
    assert!(run(&command(), &[&text]).1);
    assert!(!run(&Command { deny_warnings: true, ..command() }, &[&text]).1);
    let note = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [system:masters]}\n");
    assert!(run(&Command { deny_warnings: true, ..command() }, &[&note]).1);
}

#[test]
fn for_scripts() {
    let text = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', usernam: dev}\n");
    let (out, _) = run(&Command { output: Output::Json, ..command() }, &[&text, "clusterID: [\n"]);
    expect![[r#"
        {
          "findings": [
            {
              "file": "1.yaml",
              "line": 5,
              "column": 55,
              "key": "server.mapRoles[0]",
              "check": "unknown-key",
              "severity": "error",
              "refused": false,
              "message": "left out: unknown key `usernam`",
              "fix": "did you mean `username`?"
            },
            {
              "file": "2.yaml",
              "line": 1,
              "column": 12,
              "key": "",
              "check": "yaml",
              "severity": "error",
              "refused": true,
              "message": "unclosed bracket '['",
              "fix": null
            }
          ],
          "errors": 2,
          "warnings": 0,
          "notes": 0
        }
    "#]]
    .assert_eq(&out);
}

#[test]
fn for_code_scanning() {
    let text = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', username: dev}\n");
    let (out, _) = run(&Command { output: Output::Sarif, ..command() }, &[&text]);
    let log: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let result = &run["results"][0];
    let index = result["ruleIndex"].as_u64().expect("a number") as usize;
    assert_eq!(rules[index]["id"], result["ruleId"]);
    assert!(rules.iter().all(|rule| rule["shortDescription"]["text"].as_str().is_some_and(|text| text.ends_with('.'))));
    expect![[r#"
        {
          "level": "warning",
          "locations": [
            {
              "physicalLocation": {
                "artifactLocation": {
                  "uri": "1.yaml"
                },
                "region": {
                  "startColumn": 15,
                  "startLine": 5
                }
              }
            }
          ],
          "message": {
            "text": "STS leaves out the path of a role: this entry matches by the role's name alone: write `arn:aws:iam::123456789012:role/Dev` (server.mapRoles[0])"
          },
          "ruleId": "role-path",
          "ruleIndex": 20
        }"#]].assert_eq(&serde_json::to_string_pretty(result).expect("JSON"));
}

#[test]
fn a_file_that_is_not_there_is_a_finding() {
    let command = Command { files: vec!["/nowhere/a.yaml".into()], ..command() };
    let mut out = Vec::new();
    let code = command.run(&Globals::default(), io::empty(), &mut out).expect("it runs");
    assert_eq!(code, ExitCode::FAILURE);
    expect![[r#"
        error[unreadable]: cannot be read: No such file or directory (os error 2)
          --> /nowhere/a.yaml:1:1

        1 file: 1 error
    "#]]
    .assert_eq(&String::from_utf8(out).expect("text"));
    assert!(Command { files: vec![], ..command }.run(&Globals::default(), io::empty(), &mut Vec::new()).is_err());
}

/// As for the server of a DaemonSet, whose configuration leaves its places to the command line.
#[test]
fn places_of_the_server_may_stand_on_its_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state_dir, generate_kubeconfig) = (folder.path().join("state"), folder.path().join("kubeconfig.yaml"));
    let server = server::Config {
        state_dir: state_dir.clone(),
        generate_kubeconfig: generate_kubeconfig.clone(),
        ..server::Config::default()
    };
    drop(server::Keeper::open(&server, crate::cli::now()).expect("a pair"));
    std::fs::write(&generate_kubeconfig, "current-context: webhook\n").expect("written");
    let text = roles("");
    let one = Command { state_dir: Some(state_dir), ..command() };
    let both = Command { generate_kubeconfig: Some(generate_kubeconfig), ..one.clone() };
    for (command, told) in [(command(), false), (one, false), (both, true)] {
        let (out, _) = run(&command, &[&text]);
        let words = "kubeconfig.yaml: it is no kubeconfig that an API server can use: no current context";
        assert_eq!(out.contains("warning[webhook-trust]") && out.contains(words), told, "{out}");
    }
}

#[test]
fn a_token_in_a_file_is_not_repeated() {
    let (out, _) = run(&command(), &["token: k8s-aws-v1.secret\nserver: {token: k8s-aws-v1.secret}\n"]);
    assert!(!out.contains("secret"), "{out}");
}

/// What the server logs is what stands here, but for notes.
#[test]
fn the_server_says_the_same() {
    let text = roles(
        "  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', username: n}\n  - {rolearn: 'arn:aws:iam::123456789012:role/b/Dev', username: b, groups: [system:masters]}\n",
    );
    let loaded = crate::config::Config::parse(Path::new("1.yaml"), &text).expect("it loads");
    let file = CheckedFile::parse(Path::new("1.yaml"), text);
    let worse = file.findings.iter().filter(|finding| finding.severity > Severity::Note);
    assert_eq!(worse.cloned().collect::<Vec<_>>(), loaded.warnings);
    assert_eq!(file.findings.len(), loaded.warnings.len() + 1);
}
