//! Mappings in the cluster, edited with kubectl while everything runs.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::{
    sts::{ALICE, BOB, EVE, Person, alibaba, alibaba::LIN},
    tokens::{Draft, alibaba::Draft as AlibabaDraft},
};

use crate::world::{CLUSTER, World, apply, aws_auth, mapping, until};

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

/// The promise, with nothing added for API servers that remember. The webhook itself is asked, with another token each time.
const PROMISED: Duration = Duration::from_secs(5);

/// Waits until the webhook says `expected` of the next token, and holds it to the promise.
async fn within_five_seconds(world: &World, what: &str, token: impl Fn(Duration) -> String, expected: Option<&str>) {
    let (began, mut ago) = (Instant::now(), 0);
    loop {
        ago += 1;
        let token = token(Duration::from_secs(ago % 600));
        let answer = world.server.review(&token).await.expect("an answer");
        if answer.username().as_deref() == expected {
            return;
        }
        assert!(began.elapsed() < PROMISED, "{what}: {} after {:?}", answer.text, began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn of(person: &Person) -> impl Fn(Duration) -> String {
    |ago| Draft::new(person, CLUSTER, tests::now() - ago).token()
}

fn of_alibaba(person: &alibaba::Person) -> impl Fn(Duration) -> String {
    |ago| AlibabaDraft::new(person, CLUSTER, tests::now() - ago).token()
}

#[tokio::test]
async fn an_edit_counts_within_five_seconds() {
    let started = "  providers: [aws, alibaba]\n  backendMode: [EKSConfigMap, CRD, RAMIdentityMapping]";
    let Some(world) = World::start(started).await else { return };
    apply(&world.cluster, "ramidentitymapping.yaml").await;
    world.ready().await;
    let admin = world.admin();
    admin.get(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"]).await;
    let map = ["configmap", "aws-auth", "-n", "kube-system"];
    admin.apply(&aws_auth(DEVELOPERS, "")).await;
    within_five_seconds(&world, "aws-auth applied", of(&ALICE), Some("dev:alice")).await;
    admin.edit(&map, "s/dev:{{/engineer:{{/").await;
    within_five_seconds(&world, "aws-auth edited", of(&ALICE), Some("engineer:alice")).await;
    admin.get(&[&["delete"], &map[..]].concat()).await;
    within_five_seconds(&world, "aws-auth deleted", of(&ALICE), None).await;

    admin.apply(&mapping("bob", BOB.arn, "bob", &[])).await;
    within_five_seconds(&world, "an IAMIdentityMapping applied", of(&BOB), Some("bob")).await;
    admin.edit(&["iamidentitymapping", "bob"], "s/username: bob/username: robert/").await;
    within_five_seconds(&world, "an IAMIdentityMapping edited", of(&BOB), Some("robert")).await;
    admin.get(&["delete", "iamidentitymapping", "bob"]).await;
    within_five_seconds(&world, "an IAMIdentityMapping deleted", of(&BOB), None).await;

    let lin = mapping("lin", LIN.arn, "lin", &[]);
    let lin = lin.replace("iamauthenticator.k8s.aws", "ramauthenticator.k8s.alibabacloud");
    admin.apply(&lin.replace("IAMIdentityMapping", "RAMIdentityMapping")).await;
    within_five_seconds(&world, "a RAMIdentityMapping applied", of_alibaba(&LIN), Some("lin")).await;
    admin.edit(&["ramidentitymapping", "lin"], "s/username: lin/username: linda/").await;
    within_five_seconds(&world, "a RAMIdentityMapping edited", of_alibaba(&LIN), Some("linda")).await;
    admin.get(&["delete", "ramidentitymapping", "lin"]).await;
    within_five_seconds(&world, "a RAMIdentityMapping deleted", of_alibaba(&LIN), None).await;
}

/// Herald stands still while mappings are taken away, and the API server that it watched is another process afterwards.
#[tokio::test]
async fn what_was_deleted_while_nobody_listened_is_gone() {
    let Some(mut world) = World::start("  backendMode: [EKSConfigMap, CRD]").await else { return };
    world.ready().await;
    world.admin().apply(&aws_auth(DEVELOPERS, "")).await;
    world.admin().apply(&mapping("eve", EVE.arn, "eve", &[])).await;
    within_five_seconds(&world, "aws-auth applied", of(&ALICE), Some("dev:alice")).await;
    within_five_seconds(&world, "an object applied", of(&EVE), Some("eve")).await;
    world.server.signal(Signal::STOP).expect("it runs");
    world.admin().get(&["delete", "configmap", "aws-auth", "-n", "kube-system"]).await;
    world.admin().get(&["delete", "iamidentitymapping", "eve"]).await;
    world.cluster.kill().await;
    world.cluster.start_again().await;
    world.server.signal(Signal::CONT).expect("it is there");
    for person in [&ALICE, &EVE] {
        let from = tests::now();
        until(async || {
            let ago = tests::now().duration_since(from).unwrap_or_default();
            let answer = world.server.review(&of(person)(ago)).await.expect("an answer");
            answer.username().is_none()
        })
        .await;
    }
    world.admin().apply(&mapping("eve", EVE.arn, "eve-again", &[])).await;
    until(async || {
        let answer = world.server.review(&of(&EVE)(Duration::from_secs(1))).await.expect("an answer");
        answer.username().as_deref() == Some("eve-again")
    })
    .await;
}
