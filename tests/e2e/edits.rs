//! Mappings in the cluster, edited with kubectl while everything runs.

use tests::sts::{ALICE, BOB, EVE};

use crate::world::{World, aws_auth, mapping, until};

const DEVELOPERS: &str = "\
# the developers
- rolearn: arn:aws:iam::123456789012:role/Developers
  username: dev:{{SessionName}}
  groups: [developers]
";

fn log_has(world: &World, words: &[&str]) -> bool {
    world.server.stderr.text().lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[tokio::test]
async fn aws_auth_is_edited_without_a_restart() {
    let Some(world) = World::start("  backendMode: [EKSConfigMap]").await else { return };
    world.ready().await;
    let admin = world.admin();
    let (alice, bob) = (world.person(&ALICE.key()).await, world.person(&BOB.key()).await);
    assert_eq!(alice.name().await, None, "there is no aws-auth yet");
    admin.apply(&aws_auth(DEVELOPERS, "")).await;
    alice.becomes(Some("dev:alice")).await;

    let object = ["configmap", "aws-auth", "-n", "kube-system"];
    admin.edit(&object, "s/dev:{{SessionName}}/engineer:{{SessionName}}/").await;
    alice.becomes(Some("engineer:alice")).await;
    let text = admin.get(&[&["get"], &object[..], &["-o", "jsonpath={.data.mapRoles}"]].concat()).await;
    assert!(text.starts_with("# the developers\n"), "{text}");

    // One entry is wrong: it is left out, and its neighbours stay.
    let bobs = format!("- {{userarn: '{}', username: bob}}\n", BOB.arn);
    let typo = format!("- {{rolearn: 'arn:aws:iam::12345:role/X', username: x}}\n{DEVELOPERS}");
    admin.apply(&aws_auth(&typo, &bobs)).await;
    bob.becomes(Some("bob")).await;
    alice.becomes(Some("dev:alice")).await;
    assert!(log_has(&world, &["mapRoles[0]", "left out"]));
    // The document is no YAML: what was good before is in force.
    admin.apply(&aws_auth("- rolearn: {\n", &bobs)).await;
    until(async || log_has(&world, &["the last good one stays", "mapRoles does not parse"])).await;
    assert_eq!(alice.name().await.as_deref(), Some("dev:alice"));

    admin.get(&["delete", "configmap", "aws-auth", "-n", "kube-system"]).await;
    alice.becomes(None).await;
    bob.becomes(None).await;
}

#[tokio::test]
async fn objects_are_edited_without_a_restart() {
    let Some(world) = World::start("  backendMode: [CRD]").await else { return };
    world.ready().await;
    let admin = world.admin();
    let (alice, eve) = (world.person(&ALICE.key()).await, world.person(&EVE.key()).await);
    admin.apply(&mapping("alice", "arn:aws:iam::123456789012:role/Developers", "dev:{{SessionName}}", &["a"])).await;
    admin.apply(&mapping("eve", EVE.arn, "eve", &[])).await;
    alice.becomes(Some("dev:alice")).await;
    eve.becomes(Some("eve")).await;
    admin.edit(&["iamidentitymapping", "alice"], "s/dev:/engineer:/").await;
    alice.becomes(Some("engineer:alice")).await;
    let patch = r#"{"spec": {"notAfter": "2020-01-01T00:00:00Z"}}"#;
    admin.get(&["patch", "iamidentitymapping", "eve", "--type=merge", "-p", patch]).await;
    eve.becomes(None).await;
    admin.get(&["delete", "iamidentitymappings", "--all"]).await;
    alice.becomes(None).await;

    // What the schema refuses never gets as far as Herald.
    let file = admin.home().join("bad.yaml");
    let bad = mapping("bad", "", "x", &[]);
    std::fs::write(&file, bad).expect("a file");
    let refused = admin.run(&["apply", "-f", file.to_str().expect("UTF-8")]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("spec.arn"), "{}", refused.stderr);
}

#[tokio::test]
async fn after_a_crash_of_the_api_server_edits_take_effect_again() {
    let Some(mut world) = World::start("  backendMode: [EKSConfigMap, CRD]").await else { return };
    world.ready().await;
    let (alice, eve) = (world.person(&ALICE.key()).await, world.person(&EVE.key()).await);
    world.admin().apply(&aws_auth(DEVELOPERS, "")).await;
    world.admin().apply(&mapping("eve", EVE.arn, "eve", &[])).await;
    alice.becomes(Some("dev:alice")).await;
    eve.becomes(Some("eve")).await;
    world.cluster.kill().await;
    until(async || log_has(&world, &["cannot be read", "what was read last stays in force"])).await;
    let down = alice.run(&["auth", "whoami"]).await;
    assert!(down.stderr.contains("connect"), "{down:?}");
    world.cluster.start_again().await;
    assert_eq!(alice.name().await.as_deref(), Some("dev:alice"), "at once, as nothing was forgotten");
    world.admin().apply(&aws_auth(&DEVELOPERS.replace("dev:", "engineer:"), "")).await;
    alice.becomes(Some("engineer:alice")).await;
    world.admin().get(&["delete", "iamidentitymapping", "eve"]).await;
    eve.becomes(None).await;
}
