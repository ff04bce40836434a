//! `herald explain` beside a running server: it says what the server decided, and why.

use std::time::{Duration, Instant};

use expect_test::expect;
use serde_json::Value;
use tests::{
    herald::{self, Finished, Server},
    kubernetes::{Kind, Kubernetes},
    policies,
    sts::{ALICE, BOB, EVE, Running},
};

use crate::support::{CLUSTER, config, draft, fresh, patience, setup, start, sts};

async fn explain(sts: &Running, server: &Server, arguments: &[&str]) -> Finished {
    let file = server.folder().join("config.yaml").display().to_string();
    let arguments = [&["explain", "--config", &file], arguments].concat();
    herald::run(&arguments, sts.environment()).await.expect("herald runs")
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("JSON: {finished:?}"))
}

/// What the server answers and what the command says, for every person by several configurations.
#[tokio::test]
async fn the_command_says_what_the_server_decides() {
    let sts = sts().await;
    let configs = [
        config(""),
        config("  mapAccounts: ['210987654321']"),
        config("  reservedPrefixConfig: [{backendMode: MountedFile, usernamePrefixReserveList: [bob]}]"),
        config(
            "  backendMode: [Policy/groups]\n  policies:\n  - {name: groups, kind: map, component: groups.wasm, settings: {requireSession: true, rules: [{match: {accounts: ['123456789012'], role: Developers}, username: 'by-policy:{{SessionName}}', groups: [policy]}]}, limits: {timeout: 5s}}",
        ),
        format!("clusterID: {CLUSTER}\nserver:\n{}\n", patience("")),
    ];
    let component = policies::build("session-groups").expect("a policy");
    for text in configs {
        let setup = setup(&sts, &text);
        std::fs::copy(&component, setup.folder().join("groups.wasm")).expect("copied");
        let server = setup.start().await.expect("a server");
        for person in [&ALICE, &BOB, &EVE] {
            let token = fresh(person);
            let answer = server.review(&token).await.expect("an answer");
            for about in [["-t", &token], ["--arn", person.arn]] {
                let finished = explain(&sts, &server, &[&about[..], &["-o", "json"]].concat()).await;
                let explained = json(&finished);
                let name = explained["user"]["username"].as_str().map(str::to_owned);
                assert_eq!(name, answer.username(), "{text}\n{explained}");
                assert_eq!(explained["reason"].as_str().map(str::to_owned), answer.reason(), "{text}\n{explained}");
                let groups = explained["user"]["groups"].as_array().into_iter().flatten();
                let groups: Vec<String> = groups.filter_map(Value::as_str).map(str::to_owned).collect();
                assert_eq!(groups, answer.groups(), "{text}\n{explained}");
                assert_eq!(finished.code, Some(i32::from(answer.username().is_none())), "{finished:?}");
                assert!(!finished.stdout.contains(&token), "a token is never printed");
            }
        }
    }
}

#[tokio::test]
async fn a_denial_is_looked_up_by_its_id() {
    let (sts, server) = start("").await;
    let answer = server.review(&fresh(&EVE)).await.expect("an answer");
    let id = answer.decision_id().expect("a decision id");
    server.audit_of(&id).await.expect("its line");
    let log = server.folder().join("audit.log");
    std::fs::write(&log, server.stderr.text()).expect("written");
    let log = log.display().to_string();
    let finished = explain(&sts, &server, &["--decision", &id, "--audit-log", &log]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for part in [&id, EVE.arn, "not_mapped", "add an entry for `arn:aws:iam::210987654321:user/eve`"] {
        assert!(finished.stdout.contains(part), "{part}: {}", finished.stdout);
    }
    let unknown = explain(&sts, &server, &["--decision", &id.replace('0', "1"), "--audit-log", &log]).await;
    assert!(unknown.complaint().expect("one line").contains("has no decision"), "{unknown:?}");
}

#[tokio::test]
async fn a_token_for_another_cluster_is_told_as_that() {
    let (sts, server) = start("").await;
    let other = tests::tokens::Draft::new(&ALICE, "another.example.com", tests::now()).token();
    let finished = explain(&sts, &server, &["-t", &other]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for part in ["age            ok", "sts            FAILED", "make the token for this cluster"] {
        assert!(finished.stdout.contains(part), "{part}: {}", finished.stdout);
    }
    let asked = sts.sts.requests().len();
    let offline = explain(&sts, &server, &["--offline", "-t", &draft(&ALICE).token()]).await;
    assert_eq!(offline.code, Some(0), "{offline:?}");
    assert_eq!(sts.sts.requests().len(), asked, "nobody was asked");
}

const ALICES: &str =
    "- {rolearn: 'arn:aws:iam::123456789012:role/Developers', username: 'dev:{{SessionName}}', groups: [developers]}\n";

#[tokio::test]
async fn bindings_that_name_the_user_are_told() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let (sts, server) = start("").await;
    let url = kubernetes.url();
    let rbac = async |arn: &str, more: &[&str]| {
        let finished = explain(&sts, &server, &[&["--arn", arn, "--master", &url], more].concat()).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let at = finished.stdout.find("rbac\n").expect("a part about RBAC");
        finished.stdout[at..].to_owned()
    };
    expect![[r#"
        rbac
          no binding names this user or its groups: authenticated, but RBAC will answer 403
    "#]]
    .assert_eq(&rbac(BOB.arn, &[]).await);
    let group = |name: &str| serde_json::json!({ "kind": "Group", "name": name });
    let user = |name: &str| serde_json::json!({ "kind": "User", "name": name });
    let everybody = serde_json::json!([group("system:authenticated"), group("Operators")]);
    kubernetes.put_binding(None, "system:basic-user", ("ClusterRole", "system:basic-user"), &everybody);
    assert!(rbac(BOB.arn, &[]).await.contains("RBAC will answer 403"));
    let both = serde_json::json!([user("other"), group("operators")]);
    kubernetes.put_binding(None, "ops", ("ClusterRole", "view"), &both);
    kubernetes.put_binding(Some("shop"), "bob", ("Role", "editor"), &serde_json::json!([user("bob")]));
    expect![[r#"
        rbac
          ClusterRoleBinding ops: ClusterRole view, by group operators
          RoleBinding shop/bob: Role editor, by user bob
    "#]]
    .assert_eq(&rbac(BOB.arn, &[]).await);
    let json = explain(&sts, &server, &["--arn", BOB.arn, "--master", &url, "-o", "json"]).await;
    assert_eq!(self::json(&json)["rbac"]["bindings"].as_array().map(Vec::len), Some(2));
    kubernetes.forbid("list", Kind::RoleBinding);
    expect![[r#"
        rbac
          not known: the API server answers 403: rolebindings is forbidden: User "u" cannot list resource "rolebindings"
    "#]]
    .assert_eq(&rbac(BOB.arn, &[]).await);
    let file = server.folder().join("config.yaml").display().to_string();
    let nowhere = ["explain", "--config", &file, "--arn", BOB.arn, "--rbac", "--kubeconfig", "/nowhere"];
    let nowhere = herald::run(&nowhere, sts.environment()).await.expect("herald runs").success().expect("the rest");
    assert!(
        nowhere.stdout.contains("username       bob") && nowhere.stdout.contains("not known"),
        "{}",
        nowhere.stdout
    );
}

/// It costs five seconds, and what does not depend on it is said all the same.
#[tokio::test]
async fn a_source_out_of_reach_is_given_up() {
    let sts = sts().await;
    let folder = setup(&sts, &config("  backendMode: [MountedFile, EKSConfigMap]\n  master: https://127.0.0.1:1"));
    let file = folder.folder().join("config.yaml").display().to_string();
    let token = fresh(&BOB);
    let rows: [(&[&str], _, _); 3] = [
        (&["explain", "--arn", BOB.arn], 0, "username       bob"),
        (&["explain", "--arn", EVE.arn], 1, "source_not_ready"),
        (&["verify", "-t", &token], 0, "username       bob"),
    ];
    for (arguments, code, words) in rows {
        let begun = Instant::now();
        let arguments = [arguments, &["--config", &file]].concat();
        let finished = herald::run(&arguments, sts.environment()).await.expect("herald runs");
        assert!(begun.elapsed() < Duration::from_secs(120), "{arguments:?}");
        assert_eq!(finished.code, Some(code), "{finished:?}");
        assert!(finished.stdout.contains(words), "{finished:?}");
        let told = "given up after 5s: backendMode: EKSConfigMap cannot be read: ";
        assert!(finished.stderr.contains(told), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn entries_of_the_cluster_that_nearly_match_are_told() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let wrong = "- {rolearn: 'arn:aws:iam::123456789012:user/eve', username: n}\n";
    kubernetes.put_aws_auth(&format!("{}{wrong}", ALICES.replace("Developers", "Developer")), "");
    kubernetes.put_identity("eve", &EVE.arn.replace("210987654321", "123456789012"), "eve", &[]);
    let sts = sts().await;
    let folder = setup(&sts, &format!("clusterID: {CLUSTER}\nserver:\n  backendMode: [EKSConfigMap, CRD]\n"));
    let file = folder.folder().join("config.yaml").display().to_string();
    let url = kubernetes.url();
    let near = async |arn: &str| {
        let arguments = ["explain", "--config", &file, "--arn", arn, "--master", &url];
        let finished = herald::run(&arguments, sts.environment()).await.expect("herald runs");
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let at = finished.stdout.find("near misses\n").expect("near misses");
        finished.stdout[at..].to_owned()
    };
    expect![[r#"
        near misses
          kube-system/configmaps/aws-auth, line 4: names a principal whose name is spelt almost the same
            fix: write `arn:aws:iam::123456789012:role/Developers`
    "#]]
    .assert_eq(&near(ALICE.arn).await);
    expect![[r#"
        near misses
          iamidentitymappings.iamauthenticator.k8s.aws, line 6: names the same principal of another account
            fix: write `arn:aws:iam::210987654321:user/eve`
    "#]]
    .assert_eq(&near(EVE.arn).await);
}
