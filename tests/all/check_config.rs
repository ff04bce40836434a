//! `herald check-config` as a pipeline runs it: what it prints, and how it ends.

use std::{path::Path, process::Stdio};

use expect_test::expect;
use serde_json::Value;
use tests::{
    herald::{self, Finished, Setup},
    kubernetes::{Kind, Kubernetes},
    policies,
};
use tokio::io::AsyncWriteExt as _;

use crate::support::config;

const NONE: [(&str, &str); 0] = [];

async fn check(arguments: &[&str]) -> Finished {
    herald::run(&[&["check-config"], arguments].concat(), NONE).await.expect("herald runs")
}

/// A folder with one configuration in `config.yaml`.
fn folder(text: &str) -> Setup {
    Setup::new(text).expect("a folder")
}

fn path(folder: &Path) -> String {
    folder.join("config.yaml").display().to_string()
}

#[tokio::test]
async fn the_scenarios_own_configuration_is_good() {
    let setup = folder(&config(""));
    let file = path(setup.folder());
    let finished = check(&[&file]).await.success().expect("no error");
    assert!(finished.stdout.ends_with("1 file: 1 warning, 1 note\n"), "{}", finished.stdout);
    assert!(finished.stdout.contains("warning[role-path]"), "{}", finished.stdout);
    assert_eq!(check(&["--deny-warnings", &file]).await.code, Some(1));
    assert_eq!(check(&["--config", &file]).await.stdout, finished.stdout);
}

#[tokio::test]
async fn the_examples_are_good() {
    for file in ["config/languages.yaml", "config/reference.yaml", "config/quickstart.yaml", "deploy/herald.yaml"] {
        let file = herald::repository().join("examples").join(file).display().to_string();
        let finished = check(&["--deny-warnings", "--no-policies", &file]).await;
        assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_among_the_errors() {
    let setup = folder(&config("  mapRolls: []\n  port: many"));
    let refused = setup.run().await.expect("an end");
    let first = refused.complaint().expect("one line").trim_start_matches("herald: ").to_owned();
    let finished = check(&["-o", "json", &path(setup.folder())]).await;
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let report: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(report["errors"], 2);
    let says = |finding: &Value| {
        let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        format!("{}:{}:{}: {}", word("file"), finding["line"], finding["column"], word("message"))
    };
    let rows = report["findings"].as_array().expect("a list");
    assert!(rows.iter().any(|row| row["refused"] == true && first.starts_with(&says(row))), "{first}");
}

#[tokio::test]
async fn policies_are_loaded() {
    let entry = "  backendMode: [MountedFile, Policy/mine]\n  policies:\n  - {name: mine, kind: map, component: mine.wasm, settings: {rulez: []}}";
    let setup = folder(&config(entry));
    let file = path(setup.folder());
    let words = |text: &str| text.replace(&setup.folder().display().to_string(), "…");
    let error = |text: &str| {
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("error")).take(2).collect();
        words(&lines.join("\n"))
    };
    let missing = check(&[&file]).await;
    assert_eq!(missing.code, Some(1), "{}", missing.stderr);
    expect![[r#"
        error[policy]: policy mine: …/mine.wasm: cannot be read: No such file or directory (os error 2)
          --> …/config.yaml:22:5 (server.policies[0])"#]]
    .assert_eq(&error(&missing.stdout));
    std::fs::copy(policies::build("session-groups").expect("a policy"), setup.folder().join("mine.wasm"))
        .expect("copied");
    expect![[r#"
        error[policy]: policy mine: the key `rules` is missing
          --> …/config.yaml:22:61 (server.policies[0].settings)"#]]
    .assert_eq(&error(&check(&[&file]).await.stdout));
    check(&["--no-policies", &file]).await.success().expect("no error");
}

#[tokio::test]
async fn a_manifest_comes_by_a_pipe() {
    let mut command = tokio::process::Command::new(herald::binary().expect("the binary"));
    command.args(["check-config", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("herald runs");
    let manifest = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth}\ndata:\n  mapRoles: |\n    - rolearn: arn:aws:iam::123456789012:role/Admin\n      username: n\n      groups: [system:masters]\n";
    child.stdin.take().expect("a pipe").write_all(manifest).await.expect("written");
    let output = child.wait_with_output().await.expect("an end");
    assert_eq!(output.status.code(), Some(1));
    expect![[r#"
        warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
          --> stdin:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

        error[yaml-trap]: left out: expected text, found `n`, which many readers of YAML take for a boolean
          --> stdin:7:17 (data.mapRoles[0].username)
           |
         7 |       username: n
           |                 ^
           = fix: write it in quotes

        error[no-administrator]: nobody gets `system:masters`: the entry that gives it is left out
          --> stdin:7:17
           |
         7 |       username: n
           |                 ^

        1 file: 2 errors, 1 warning
    "#]]
    .assert_eq(&String::from_utf8(output.stdout).expect("text"));
}

#[tokio::test]
async fn without_a_file_it_says_so() {
    let finished = check(&[]).await;
    assert_eq!(finished.code, Some(1));
    expect!["herald: which files? Name them, or give --config or --cluster"]
        .assert_eq(finished.complaint().expect("one line"));
    assert_eq!(check(&["--output", "xml", "a"]).await.code, Some(2));
}

const ROLES: &str = "\
# by eksctl
- rolearn: arn:aws:iam::123456789012:role/Nodes
  username: system:node:{{SessionName}}
  groups: [system:bootstrappers, system:nodes]
- rolearn: arn:aws:iam::123456789012:role/Admin
  username: n
";

#[tokio::test]
async fn a_cluster_is_checked_as_its_manifests_are() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let url = kubernetes.url();
    let nothing = check(&["--cluster", "--master", &url]).await;
    assert_eq!(nothing.code, Some(1));
    expect!["herald: the cluster has neither aws-auth nor alibabacloud-auth, and no IAMIdentityMapping or RAMIdentityMapping"]
        .assert_eq(nothing.complaint().expect("one line"));
    kubernetes.put_aws_auth(ROLES, "");
    kubernetes.put_identity("broken", "arn:aws:iam::123456789012:rule/Admin", "x", &[]);
    let found = check(&["--master", &url]).await;
    assert_eq!(found.code, Some(1), "{}", found.stderr);
    expect![[r#"
        warning[no-administrator]: nobody gets `system:masters`
          --> kube-system/configmaps/aws-auth:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: name another group of administrators with --admin-group

        warning[system-name]: whoever may assume this role chooses the rest of a `system:` name
          --> kube-system/configmaps/aws-auth:5:7 (data.mapRoles[0])
           |
         5 |     - rolearn: arn:aws:iam::123456789012:role/Nodes
           |       ^^^^^^^

        error[yaml-trap]: left out: expected text, found `n`, which many readers of YAML take for a boolean
          --> kube-system/configmaps/aws-auth:9:17 (data.mapRoles[1].username)
           |
         9 |       username: n
           |                 ^
           = fix: write it in quotes

        error[invalid-arn]: left out: not the ARN of a principal: bad resource
          --> iamidentitymappings.iamauthenticator.k8s.aws:6:8 (broken.spec.arn)
           |
         6 |   arn: arn:aws:iam::123456789012:rule/Admin
           |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

        2 files: 2 errors, 2 warnings
    "#]]
    .assert_eq(&found.stdout);
    // Somebody in another source of the same cluster is an administrator.
    kubernetes.put_identity(
        "admin",
        "arn:aws:iam::123456789012:role/Boss",
        "boss:{{SessionName}}",
        &["system:masters"],
    );
    kubernetes.delete_identity("broken");
    kubernetes.put_aws_auth(&ROLES.replace("username: n\n", "username: noah\n"), "");
    let good = check(&["--master", &url]).await.success().expect("no error");
    expect![[r#"
        warning[system-name]: whoever may assume this role chooses the rest of a `system:` name
          --> kube-system/configmaps/aws-auth:5:7 (data.mapRoles[0])
           |
         5 |     - rolearn: arn:aws:iam::123456789012:role/Nodes
           |       ^^^^^^^

        2 files: 1 warning
    "#]]
    .assert_eq(&good.stdout);
    let sarif = check(&["--master", &url, "-o", "sarif"]).await.success().expect("SARIF").stdout;
    let sarif: Value = serde_json::from_str(&sarif).expect("JSON");
    assert!(sarif["runs"][0]["results"].is_array());
}

#[tokio::test]
async fn what_cannot_be_read_of_a_cluster_is_a_finding() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let url = kubernetes.url();
    kubernetes.put_aws_auth(ROLES, "");
    kubernetes.undefine(Kind::Identity);
    kubernetes.forbid("get", Kind::ConfigMap);
    let forbidden = check(&["--master", &url]).await;
    assert_eq!(forbidden.code, Some(1), "{}", forbidden.stderr);
    expect![[r#"
        error[unreadable]: cannot be read: the API server answers 403: configmaps is forbidden: User "u" cannot get resource "configmaps"
          --> kube-system/configmaps/aws-auth:1:1

        warning[unreadable]: cannot be read: the API server answers 403: configmaps is forbidden: User "u" cannot get resource "configmaps"
          --> kube-system/configmaps/alibabacloud-auth:1:1

        2 files: 1 error, 1 warning
    "#]].assert_eq(&forbidden.stdout);
    kubernetes.set_down(true);
    let down = check(&["--master", &url, "-o", "json"]).await;
    assert_eq!(down.code, Some(1), "{}", down.stderr);
    let report: Value = serde_json::from_str(&down.stdout).expect("JSON");
    let rows: Vec<String> = report["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| format!("{} {} {}", row["file"], row["check"], row["severity"]))
        .collect();
    expect![[r#"
        "kube-system/configmaps/aws-auth" "unreadable" "error"
        "kube-system/configmaps/alibabacloud-auth" "unreadable" "warning"
        "iamidentitymappings.iamauthenticator.k8s.aws" "unreadable" "warning"
        "ramidentitymappings.ramauthenticator.k8s.alibabacloud" "unreadable" "warning""#]]
    .assert_eq(&rows.join("\n"));
}
