//! What a policy's author does at a terminal: write one, look into it, ask it, attack it.

use std::path::Path;

use tests::{
    herald::{self, Finished, repository},
    policies,
};

const ARN: &str = "arn:aws:sts::111122223333:assumed-role/Dev-web/alice@example.com";

async fn policy(arguments: &[&str]) -> Finished {
    let path = std::env::var("PATH").unwrap_or_default();
    herald::run(&[&["policy"], arguments].concat(), [("PATH", path)]).await.expect("herald runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn settings(folder: &Path, username: &str) -> std::path::PathBuf {
    let path = folder.join("settings.yaml");
    let rule = format!(
        "rules: [{{match: {{accounts: ['111122223333'], role: 'Dev-*'}}, username: '{username}', groups: [dev]}}]\n"
    );
    std::fs::write(&path, rule).expect("a file");
    path
}

#[tokio::test]
async fn a_policy_is_looked_into_asked_and_measured() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path(), "dev:{{SessionName}}");
    let (component, settings) = (text(&component), text(&settings));

    let inspected = policy(&["inspect", component]).await.success().expect("it is a policy").stdout;
    for words in
        ["policy    session-groups 0.1.0", "contract  herald:policy/mapper@0.1.0", "pure: ", "held to a schema"]
    {
        assert!(inspected.contains(words), "{words}: {inspected}");
    }
    let json = policy(&["inspect", component, "--json"]).await.success().expect("it is a policy").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["settingsSchema"], &json["examples"]), (&true.into(), &3.into()), "{json}");
    assert_eq!(json["imports"], serde_json::json!(["herald:policy/log@0.1.0"]), "no import that is not used");

    let checked = policy(&["check", component]).await.success().expect("it would load").stdout;
    assert!(checked.contains("needs     no grant") && checked.contains("examples  3 passed"), "{checked}");
    let checked = policy(&["check", component, "--settings", settings]).await.success().expect("it would load").stdout;
    assert!(checked.contains("taken, and they fit the schema"), "{checked}");

    let asked =
        policy(&["run", component, "--settings", settings, "--arn", ARN]).await.success().expect("asked").stdout;
    for words in [
        "decision  allow",
        "username  dev:alice-example.com",
        "groups    dev",
        "log       info: rules[0] fits",
        "fuel ",
    ] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    let measured =
        policy(&["bench", component, "--settings", settings, "--arn", ARN, "--count", "20", "--timeout", "5s"]).await;
    let measured = measured.success().expect("measured").stdout;
    assert!(measured.contains("decisions 20 (0 faults)") && measured.contains("p99 "), "{measured}");
}

#[tokio::test]
async fn a_policy_is_attacked_and_the_hole_is_a_case() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let good = settings(folder.path(), "dev:{{SessionName}}");
    let fuzz = |settings: &Path, more: &[&str]| {
        let mut arguments =
            vec!["fuzz".to_owned(), text(&component).to_owned(), "--settings".to_owned(), text(settings).to_owned()];
        arguments.extend(more.iter().map(|&text| text.to_owned()));
        arguments.extend(["--timeout", "5s", "--count", "1000"].map(str::to_owned));
        arguments
    };
    let run = async |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        policy(&arguments).await
    };
    let fine = run(fuzz(&good, &["--only-account", "111122223333"])).await.success().expect("no hole").stdout;
    assert!(fine.contains("1000 callers, no counter-example"), "{fine}");

    let saved = folder.path().join("found.yaml");
    let found = run(fuzz(&good, &["--never-username", "dev:*", "--save", text(&saved)])).await;
    assert_eq!(found.code, Some(1), "{}", found.stdout);
    assert!(found.stdout.contains("gives the username \"dev:a\""), "as small as can be: {}", found.stdout);
    let tested = policy(&["test", text(&component), text(&saved)]).await;
    assert_eq!(tested.code, Some(1), "it fails until the policy is mended: {}", tested.stdout);

    let report = folder.path().join("report.xml");
    let cases = repository().join("policies/session-groups/cases.yaml");
    policy(&["test", text(&component), text(&cases), "--junit", text(&report)]).await.success().expect("they pass");
    let report = std::fs::read_to_string(report).expect("a report");
    assert!(report.contains("<testsuite name=") && report.contains("failures=\"0\""), "{report}");
}
