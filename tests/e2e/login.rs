//! The first login: kubectl runs the plugin, the API server asks the webhook, and `kubectl auth whoami` tells who one is.

use serde_json::{Value, json};
use tests::{
    policies,
    sts::{ALICE, BOB, EVE, keys},
    tokens::Draft,
    tools::aws_cli,
};

use crate::world::{CLUSTER, World, aws_auth, mapping, person, runs, session, until};

/// One principal in each source.
const SOURCES: &str = r#"
  backendMode: [MountedFile, EKSConfigMap, CRD, DynamicFile, Policy/sessions]
  dynamicFilePath: dynamic.json
  mapRoles:
  - {roleARN: 'arn:aws:iam::123456789012:role/Developers', username: 'dev:{{SessionName}}', groups: [developers]}
  policies:
  - name: sessions
    kind: map
    component: sessions.wasm
    settings:
      rules:
      - {match: {accounts: ['123456789012'], role: Policies}, username: 'by-policy:{{SessionName}}', groups: [policy]}
    limits: {timeout: 5s}
"#;

fn user_groups(user: &Value) -> Vec<&str> {
    user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn every_source_names_its_people() {
    let started = World::start_with(SOURCES, &[], |folder| {
        let dynamic = r#"{"mapRoles": [{"rolearn": "arn:aws:iam::123456789012:role/Dynamic", "username": "dynamic:{{SessionName}}", "groups": ["dynamic"]}]}"#;
        std::fs::write(folder.join("dynamic.json"), dynamic).expect("a file");
        std::fs::copy(policies::build("session-groups").expect("a policy"), folder.join("sessions.wasm"))
            .expect("copied");
    });
    let Some(world) = started.await else { return };
    let bobs = format!("- {{userarn: '{}', username: bob, groups: [operators, on-call]}}\n", BOB.arn);
    world.admin().apply(&aws_auth("", &bobs)).await;
    world.admin().apply(&mapping("eve", EVE.arn, "eve-by-object", &["guests"])).await;
    world.ready().await;
    let people = [
        (ALICE.key(), "dev:alice", &["developers"][..], "MountedFile"),
        (BOB.key(), "bob", &["operators", "on-call"], "EKSConfigMap"),
        (EVE.key(), "eve-by-object", &["guests"], "CRD"),
        (session("Dynamic", "dora"), "dynamic:dora", &["dynamic"], "DynamicFile"),
        (session("Policies", "paul"), "by-policy:paul", &["policy"], "Policy/sessions"),
    ];
    // Not by the API server, which tells in its log of everybody whom nobody names yet.
    for (key, name, ..) in &people {
        until(async || {
            let token = Draft::of_key(key, CLUSTER, tests::now()).token();
            world.server.review(&token).await.expect("an answer").username().as_deref() == Some(*name)
        })
        .await;
    }
    for (key, name, groups, stage) in people {
        let kubectl = world.person(&key).await;
        kubectl.becomes(Some(name)).await;
        let user = kubectl.whoami().await.expect("a user");
        assert_eq!(user_groups(&user), [groups, &["system:authenticated"]].concat(), "{user}");
        let extra = |key: &str| user["extra"][key][0].as_str().unwrap_or_default().to_owned();
        assert_eq!(extra("arn"), key.identity.arn, "{user}");
        let stages = user["extra"]["herald.dev/stage"].as_array().expect("the stages");
        assert_eq!(stages.last().and_then(Value::as_str), Some(stage), "{user}");
        let uid = format!(
            "aws-iam-authenticator:{}:{}",
            key.identity.account,
            key.identity.user_id.split(':').next().expect("an id")
        );
        assert_eq!(user["uid"], uid, "{user}");
        let line = world.server.audit_of(&extra("herald.dev/decision-id")).await.expect("the webhook's own line");
        assert_eq!(line["user"]["username"], name, "{line}");
    }
    assert_eq!(world.cluster.log(), "", "nothing went wrong at the API server");
}

/// What `herald kubeconfig` writes is what kubectl means by a kubeconfig, and every request is one run of the plugin.
#[tokio::test]
async fn the_kubeconfig_of_herald_is_one_of_kubectl() {
    let Some(world) = World::start("  mapAccounts: ['123456789012']").await else { return };
    let bob = world.person(&BOB.key()).await;
    let view = bob.json(&["config", "view"]).await;
    assert_eq!((&view["kind"], &view["current-context"]), (&"Config".into(), &CLUSTER.into()), "{view}");
    assert_eq!(view["clusters"][0]["cluster"]["server"], world.cluster.url());
    let exec = &view["users"][0]["user"]["exec"];
    assert_eq!(
        (&exec["apiVersion"], &exec["command"], &exec["interactiveMode"]),
        (&"client.authentication.k8s.io/v1".into(), &"herald".into(), &"IfAvailable".into()),
        "{exec}"
    );
    assert_eq!(bob.get(&["config", "get-contexts", "-o", "name"]).await, format!("{CLUSTER}\n"));
    assert_eq!(runs(&bob), 0, "looking at it asks nobody");
    assert_eq!(bob.name().await.as_deref(), Some(BOB.arn));
    assert_eq!(runs(&bob), 1);
    // As people go on with it.
    bob.get(&["config", "set-context", "work", "--cluster", CLUSTER, "--user", CLUSTER]).await;
    bob.get(&["config", "use-context", "work"]).await;
    assert_eq!(bob.name().await.as_deref(), Some(BOB.arn));
    let missing = bob.clone().env("PATH", "/nowhere").run(&["auth", "whoami"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("Install herald and put it on your PATH."), "the hint: {}", missing.stderr);
}

#[tokio::test]
async fn kubeconfigs_of_other_programs_log_in() {
    let Some(world) = World::start("  mapAccounts: ['123456789012']").await else { return };
    let binary = tests::herald::binary().expect("herald").display().to_string();
    let links = tempfile::tempdir().expect("a folder");
    let old = links.path().join("aws-iam-authenticator");
    std::os::unix::fs::symlink(&binary, &old).expect("a link");
    let old = old.display().to_string();
    let aws = aws_cli().map(|path| path.display().to_string());
    let eks = ["--region", "us-east-1", "eks", "get-token", "--cluster-name", CLUSTER, "--output", "json"];
    let token = ["token", "-i", CLUSTER];
    let mut rows = vec![
        ("v1", binary.as_str(), &token[..]),
        ("v1beta1", &binary, &token),
        ("v1beta1", &old, &token),
        ("v1beta1", &binary, &eks),
    ];
    rows.extend(aws.as_deref().into_iter().flat_map(|aws| [("v1beta1", aws, &eks[..]), ("v1", aws, &eks)]));
    let bob = world.person(&BOB.key()).await;
    for (version, command, arguments) in rows {
        let text = world.kubeconfig(&json!({
            "apiVersion": format!("client.authentication.k8s.io/{version}"), "command": command, "args": arguments,
            "interactiveMode": "Never", "provideClusterInfo": true,
        }));
        let name = bob.clone().with_kubeconfig(&text).name().await;
        assert_eq!(name.as_deref(), Some(BOB.arn), "{version} {command} {arguments:?}");
    }
}

#[tokio::test]
async fn a_role_is_assumed_on_the_way() {
    let role =
        format!("  mapRoles:\n  - {{roleARN: '{}', username: 'deploy:{{{{SessionName}}}}'}}", keys::DEPLOYER_ROLE);
    let Some(world) = World::start(&role).await else { return };
    let bob = person(&world.cluster, &BOB.key(), &["--role-arn", keys::DEPLOYER_ROLE]).await;
    let bob = world.at_sts(bob);
    let name = bob.name().await.expect("a name");
    assert!(name.starts_with("deploy:"), "{name}");
    let assumed = world.sts.sts.requests().iter().filter(|request| request.action == "AssumeRole").count();
    assert_eq!(assumed, 1);
}

/// `curl` with a bare token, as people try it by hand.
#[tokio::test]
async fn a_bare_token_is_good_for_any_client() {
    let Some(world) = World::start("  mapAccounts: ['123456789012']").await else { return };
    let bob = world.person(&BOB.key()).await;
    let token = tests::herald::run(&["token", "-i", CLUSTER, "--token-only"], bob.environment().iter().cloned()).await;
    let token = token.expect("herald runs").success().expect("a token").stdout;
    let answer = world.cluster.get(&world.cluster.client(), "/api", token.trim_end()).await;
    assert_eq!((answer.status, &answer.json()["kind"]), (200, &"APIVersions".into()), "{}", answer.text);
    let by_flag = world.cluster.kubectl("bare").json(&["--token", token.trim_end(), "auth", "whoami"]).await;
    assert_eq!(by_flag["status"]["userInfo"]["username"], BOB.arn);
}
