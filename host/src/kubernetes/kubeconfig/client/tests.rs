//! What is put in, and what stays.

use expect_test::{Expect, expect};

use super::*;

fn entry() -> Entry {
    Entry {
        name: "prod".to_owned(),
        server: Some("https://prod.example.com".to_owned()),
        certificate_authority: Some("PEM".to_owned()),
        command: "herald".to_owned(),
        args: ["token", "-i", "prod"].map(str::to_owned).to_vec(),
        ..Entry::default()
    }
}

#[track_caller]
fn check(entry: &Entry, existing: &str, expected: &Expect) {
    let merged = entry.merge(existing).expect("it merges");
    expected.assert_eq(&merged);
    assert_eq!(entry.merge(&merged).expect("it merges again"), merged, "once is enough");
}

#[test]
fn a_new_file() {
    let expected = expect![[r#"
        apiVersion: v1
        clusters:
        - cluster:
            certificate-authority-data: UEVN
            server: https://prod.example.com
          name: prod
        contexts:
        - context:
            cluster: prod
            user: prod
          name: prod
        current-context: prod
        kind: Config
        users:
        - name: prod
          user:
            exec:
              apiVersion: client.authentication.k8s.io/v1
              args:
              - token
              - -i
              - prod
              command: herald
              installHint: Install herald and put it on your PATH.
              interactiveMode: IfAvailable
    "#]];
    check(&entry(), "", &expected);
    check(&entry(), "# empty\n", &expected);
    check(&entry(), "apiVersion: v1\nkind: Config\nclusters: []\nusers: null\ncontexts:\n", &expected);
}

const OTHERS: &str = r#"
apiVersion: v1
kind: Config
preferences: {colors: true}
extensions:
- name: minikube
  extension: {provider: minikube.sigs.k8s.io, version: v1.2.3, count: 3}
clusters:
- name: other
  cluster: {server: "https://other", insecure-skip-tls-verify: true}
- name: prod
  cluster: {server: "https://old", certificate-authority: /etc/ca.pem, proxy-url: "http://proxy"}
users:
- name: other
  user: {token: "0123", client-key-data: "yes", password: "1e3", username: "null"}
- name: prod
  user: {token: old}
contexts:
- name: other
  context: {cluster: other, user: other, namespace: "on"}
- name: prod
  context: {cluster: prod, user: prod, namespace: apps}
current-context: other
"#;

#[test]
fn others_stay_as_they_are() {
    let merged = entry().merge(OTHERS).expect("it merges");
    let (before, after): (Value, Value) =
        (serde_saphyr::from_str(OTHERS).expect("YAML"), serde_saphyr::from_str(&merged).expect("YAML"));
    for list in ["clusters", "users", "contexts"] {
        assert_eq!(before[list][0], after[list][0], "{list}");
        assert_eq!(after[list].as_array().map(Vec::len), Some(2), "{list}");
    }
    assert_eq!((&before["extensions"], &before["preferences"]), (&after["extensions"], &after["preferences"]));
    assert_eq!(after["current-context"], "prod");
    assert_eq!(
        after["clusters"][1]["cluster"],
        json!({"server": "https://prod.example.com", "certificate-authority-data": "UEVN", "proxy-url": "http://proxy"})
    );
    assert_eq!(after["contexts"][1]["context"]["namespace"], "apps");
    let user = after["users"][1]["user"].as_object().expect("a map");
    assert!(user.contains_key("exec") && user.len() == 1, "{user:?}");
    // Readers of YAML 1.1, kubectl among them, take these for something else unless they are quoted.
    for text in ["0123", "yes", "1e3", "null", "on"] {
        assert!(
            merged.contains(&format!(": \"{text}\"")) || merged.contains(&format!(": '{text}'")),
            "{text}: {merged}"
        );
    }
}

#[test]
fn a_text_at_the_end_of_the_file_keeps_its_lines() {
    let merged = entry().merge("zone: |+\n  one\n\n\n").expect("it merges");
    let again = entry().merge(&merged).expect("it merges again");
    let read: Value = serde_saphyr::from_str(&again).expect("YAML");
    assert_eq!((again, read["zone"].as_str()), (merged, Some("one\n\n\n")));
}

#[test]
fn names_of_their_own() {
    let entry = Entry {
        user: Some("me".to_owned()),
        context: Some("work".to_owned()),
        server: None,
        certificate_authority: None,
        ..entry()
    };
    let merged = entry.merge(OTHERS).expect("the file knows the server");
    let after: Value = serde_saphyr::from_str(&merged).expect("YAML");
    assert_eq!(after["clusters"][1]["cluster"]["certificate-authority"], "/etc/ca.pem");
    assert_eq!(after["contexts"][2], json!({"name": "work", "context": {"cluster": "prod", "user": "me"}}));
    assert_eq!((&after["users"][1]["user"]["token"], &after["current-context"]), (&"old".into(), &"work".into()));
}

#[test]
fn an_error_says_where_and_repeats_no_credential() {
    let text = "users:\n- name: a\n  user:\n    token: hidden\n  contexts: [\n";
    for error in [entry().merge(text), with_plugin(text, &json!({}))].map(|merged| merged.expect_err("no list ends")) {
        let why = std::error::Error::source(&error).expect("why").to_string();
        assert!(why.contains("line") && !why.contains("hidden"), "{why}");
    }
}

#[test]
fn what_is_no_kubeconfig_is_left_alone() {
    #[track_caller]
    fn check(entry: &Entry, existing: &str, expected: &str) {
        assert_eq!(entry.merge(existing).expect_err("refused").to_string(), expected, "{existing}");
    }
    check(&entry(), "- a\n", "not a kubeconfig: the whole file must be a map");
    check(&entry(), "clusters: {}\n", "not a kubeconfig: clusters, users and contexts must be lists");
    check(&entry(), "users: [{name: prod, user: 3}]\n", "not a kubeconfig: a cluster, user or context must be a map");
    check(&entry(), "a: [\n", "not a kubeconfig");
    check(&entry(), "a: 1\n---\na: 2\n", "not a kubeconfig");
    let lost = Entry { server: None, ..entry() };
    check(&lost, "", "the file has no cluster \"prod\" yet: where is its API server?");
}
