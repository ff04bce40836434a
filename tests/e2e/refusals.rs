//! Who does not get in, and who gets in and may nothing: 401 of the webhook's making, 403 of RBAC's.

use tests::{
    herald,
    sts::{ALICE, BOB, EVE},
};

use crate::{
    kubectl::{is_forbidden, is_unauthorized},
    world::{CLUSTER, World, runs, until},
};

const MAPPINGS: &str = "  mapRoles:\n  - {roleARN: 'arn:aws:iam::123456789012:role/Developers', username: 'dev:{{SessionName}}', \
                        groups: [developers]}";

#[tokio::test]
async fn whoever_is_not_mapped_is_told_so_in_the_log_of_the_api_server() {
    let Some(world) = World::start(MAPPINGS).await else { return };
    let eve = world.person(&EVE.key()).await;
    let refused = eve.run(&["get", "configmaps"]).await;
    assert!(is_unauthorized(&refused), "{refused:?}");
    assert_eq!(refused.stdout, "");
    assert!((1..=6).contains(&runs(&eve)), "kubectl asks again a few times, and no more: {}", runs(&eve));
    until(async || world.cluster.log().contains("not_mapped: ")).await;
    let log = world.cluster.log();
    let id = log.split("(decision ").nth(1).and_then(|rest| rest.split(')').next()).expect("a decision id");
    let line = world.server.audit_of(id).await.expect("its line");
    assert_eq!((&line["caller"]["arn"], &line["reason"]), (&EVE.arn.into(), &"not_mapped".into()), "{line}");
    assert!(!log.contains("k8s-aws-v1."), "no token is in a log: {log}");

    let audit = world.server.folder().join("audit.log");
    std::fs::write(&audit, world.server.stderr.text()).expect("written");
    let config = world.server.folder().join("config.yaml").display().to_string();
    let audit = audit.display().to_string();
    let arguments = ["explain", "--config", &config, "--decision", id, "--audit-log", &audit];
    let explained = herald::run(&arguments, world.sts.environment()).await.expect("herald runs");
    assert!(explained.stdout.contains(EVE.arn) && explained.stdout.contains("not_mapped"), "{explained:?}");
}

#[tokio::test]
async fn a_token_that_proves_nobody_is_refused_without_a_word() {
    let Some(world) = World::start(MAPPINGS).await else { return };
    let alice = world.person(&ALICE.key()).await;
    let client = world.cluster.client();
    let other = tests::tokens::Draft::new(&ALICE, "staging.example.com", tests::now()).token();
    let late = tests::tokens::Draft::new(&ALICE, CLUSTER, tests::now() - std::time::Duration::from_secs(3600)).token();
    for token in [other.as_str(), &late, "k8s-aws-v1.bm9uc2Vuc2U", "somebody-elses", ""] {
        let answer = world.cluster.get(&client, "/api/v1/namespaces", token).await;
        let expected = if token.is_empty() { 403 } else { 401 };
        assert_eq!(answer.status, expected, "{token}: {}", answer.text);
    }
    let wrong = alice.clone().env("AWS_SECRET_ACCESS_KEY", "wrong").run(&["auth", "whoami"]).await;
    assert!(is_unauthorized(&wrong), "{wrong:?}");
    let nobody = alice.without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY").run(&["auth", "whoami"]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("no AWS credentials"), "the plugin's own words: {}", nobody.stderr);
}

#[tokio::test]
async fn a_role_may_nothing_before_it_is_bound() {
    let Some(world) = World::start(MAPPINGS).await else { return };
    let (admin, alice) = (world.admin(), world.person(&ALICE.key()).await);
    let refused = alice.run(&["get", "configmaps"]).await;
    assert!(is_forbidden(&refused) && refused.stderr.contains(r#"User "dev:alice" cannot list"#), "{refused:?}");
    let rbac = async || {
        let config = world.server.folder().join("config.yaml").display().to_string();
        let cluster = admin.kubeconfig().display().to_string();
        let arguments = ["explain", "--config", &config, "--arn", ALICE.arn, "--rbac", "--kubeconfig", &cluster];
        let explained = herald::run(&arguments, [("HOME", "/nowhere")]).await.expect("herald runs");
        explained.success().expect("she is let in").stdout
    };
    assert!(rbac().await.contains("RBAC will answer 403"), "{}", rbac().await);

    admin.get(&["create", "clusterrolebinding", "developers", "--clusterrole=view", "--group=developers"]).await;
    until(async || alice.run(&["get", "configmaps"]).await.code == Some(0)).await;
    assert!(rbac().await.contains("ClusterRoleBinding developers"), "{}", rbac().await);
    let written = alice.run(&["create", "configmap", "mine"]).await;
    assert!(is_forbidden(&written) && written.stderr.contains("dev:alice"), "{written:?}");
    assert_eq!(alice.get(&["auth", "can-i", "list", "configmaps"]).await, "yes\n");
    assert_eq!(alice.run(&["auth", "can-i", "delete", "configmaps"]).await.stdout, "no\n");

    admin.get(&["create", "role", "writer", "--verb=create", "--resource=configmaps"]).await;
    admin.get(&["create", "rolebinding", "alice", "--role=writer", "--user=dev:alice"]).await;
    until(async || alice.run(&["create", "configmap", "mine"]).await.code == Some(0)).await;
    admin.get(&["delete", "clusterrolebinding", "developers"]).await;
    until(async || is_forbidden(&alice.run(&["get", "configmaps"]).await)).await;
}

/// Nobody but the webhook's own cloud is asked, and a token does not get in by another name.
#[tokio::test]
async fn nobody_acts_as_somebody_else() {
    let Some(world) = World::start(&format!(
        "{MAPPINGS}\n  mapUsers:\n  - {{userARN: '{}', username: bob, groups: ['system:masters']}}",
        BOB.arn
    ))
    .await
    else {
        return;
    };
    let alice = world.person(&ALICE.key()).await;
    let refused = alice.run(&["--as", "bob", "get", "configmaps"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("Error from server (Forbidden)"), "{refused:?}");
    let bob = world.person(&BOB.key()).await;
    let user = bob.json(&["--as", "dev:alice", "auth", "whoami"]).await;
    assert_eq!(user["status"]["userInfo"]["username"], "dev:alice", "an administrator may");
}
