//! Mappings in the cluster, edited with kubectl while everything runs.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{
    herald::Answer,
    kubernetes::garbled,
    policies,
    sts::{ALICE, BOB, EVE, Person, alibaba, alibaba::LIN},
    tokens::{Draft, alibaba::Draft as AlibabaDraft},
};

use crate::{
    alibaba::{alibabacloud_auth, start as start_alibaba},
    kubectl::Kubectl,
    world::{CLUSTER, SOON, World, apply, aws_auth, mapping, until},
};

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
    until(async || log_has(&world, &["mapRoles[0]", "left out"])).await;
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

/// A PolicyTable for the policy account-tiers.
fn tiers(entries: &Value) -> String {
    json!({
        "apiVersion": "herald.dev/v1alpha1", "kind": "PolicyTable", "metadata": { "name": "account-tiers" },
        "spec": { "entries": entries },
    })
    .to_string()
}

/// Waits until the API server knows somebody by these groups and its own.
async fn gets(person: &Kubectl, groups: &[&str]) {
    let groups = [groups, &["system:authenticated"]].concat();
    let expected = json!(groups);
    until(async || person.whoami().await.is_ok_and(|user| user["groups"] == expected)).await;
}

/// A policy decides by what stands in an object: as it is applied, edited and deleted.
#[tokio::test]
async fn policy_tables_are_edited_without_a_restart() {
    let server = format!(
        "  mapUsers: [{{userARN: '{}', username: bob}}]\n  policies:\n  - name: tiers\n    kind: augment\n    component: tiers.wasm\n    \
         tables: {{accounts: {{policyTable: account-tiers}}}}\n    ceiling: {{groups: ['account-*']}}\n    limits: {{timeout: 5s}}",
        BOB.arn
    );
    let started = World::start_with(&server, &[], |folder| {
        let component = policies::build("account-tiers").expect("a policy");
        std::fs::copy(component, folder.join("tiers.wasm")).expect("copied");
    });
    let Some(world) = started.await else { return };
    let (admin, bob) = (world.admin(), world.person(&BOB.key()).await);
    apply(&world.cluster, "policytable.yaml").await;
    admin.get(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=2m"]).await;
    apply(&world.cluster, "example-policytable.yaml").await;
    world.ready().await;
    gets(&bob, &[]).await;
    admin.apply(&tiers(&json!({ "123456789012": { "tier": "prod", "ou": "payments" } }))).await;
    counts(&world, "a PolicyTable applied", of(&BOB), has(&["account-ou:payments", "account-tier:prod"])).await;
    gets(&bob, &["account-ou:payments", "account-tier:prod"]).await;
    admin.edit(&["policytable", "account-tiers"], "s/tier: prod/tier: dev/").await;
    counts(&world, "a PolicyTable edited", of(&BOB), has(&["account-ou:payments", "account-tier:dev"])).await;
    gets(&bob, &["account-ou:payments", "account-tier:dev"]).await;

    // What the schema refuses never gets as far as Herald.
    let file = admin.home().join("bad.yaml");
    std::fs::write(&file, tiers(&json!(["123456789012"]))).expect("a file");
    let refused = admin.run(&["apply", "-f", file.to_str().expect("UTF-8")]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("spec.entries"), "{}", refused.stderr);
    gets(&bob, &["account-ou:payments", "account-tier:dev"]).await;

    // An entry that is taken away is gone; a table that is taken away is not empty, and nobody is let in without it.
    let patch = r#"{"spec": {"entries": {"123456789012": null}}}"#;
    admin.get(&["patch", "policytable", "account-tiers", "--type=merge", "-p", patch]).await;
    counts(&world, "an entry taken out of a PolicyTable", of(&BOB), has(&[])).await;
    gets(&bob, &[]).await;
    admin.get(&["delete", "policytable", "account-tiers"]).await;
    let is_unavailable = |answer: &Answer| answer.reason().as_deref() == Some("policy_unavailable");
    counts(&world, "a PolicyTable deleted", of(&BOB), is_unavailable).await;
    let asked = async || world.server.review(&of(&BOB)(Duration::ZERO)).await.expect("an answer");
    assert_eq!(asked().await.status, 503);
    bob.becomes(None).await;
    admin.apply(&tiers(&json!({ "123456789012": { "tier": "prod" } }))).await;
    gets(&bob, &["account-tier:prod"]).await;
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

/// The promise, with nothing added for API servers that remember: each edit has to keep it.
const PROMISED: Duration = Duration::from_secs(5);
/// What one look at the webhook counts for at most: while the machine stands still, an edit does so too.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the webhook says so of the next token, no longer than is promised. kubectl ends when the API server has taken an
/// edit, so that the time runs from there. The webhook itself is asked, with another token each time.
async fn counts(world: &World, what: &str, token: impl Fn(Duration) -> String, is_expected: impl Fn(&Answer) -> bool) {
    let (mut took, mut ago) = (Duration::ZERO, 0);
    loop {
        let began = Instant::now();
        ago += 1;
        let token = token(Duration::from_secs(ago % 600));
        let answer = world.server.review(&token).await.expect("an answer");
        if is_expected(&answer) {
            return;
        }
        assert!(took < PROMISED, "{what}: {} after {took:?}", answer.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
        took += began.elapsed().min(LOOK);
    }
}

/// Somebody is let in, with these groups and no others.
fn has(groups: &[&str]) -> impl Fn(&Answer) -> bool {
    move |answer| answer.username().is_some() && answer.groups() == groups
}

/// Who the answer says that it is.
fn is(name: Option<&str>) -> impl Fn(&Answer) -> bool {
    move |answer| answer.username().as_deref() == name
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
    admin.get(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=2m"]).await;
    let map = ["configmap", "aws-auth", "-n", "kube-system"];
    admin.apply(&aws_auth(DEVELOPERS, "")).await;
    counts(&world, "aws-auth applied", of(&ALICE), is(Some("dev:alice"))).await;
    admin.edit(&map, "s/dev:{{/engineer:{{/").await;
    counts(&world, "aws-auth edited", of(&ALICE), is(Some("engineer:alice"))).await;
    let patch = json!({ "data": { "mapRoles": DEVELOPERS } }).to_string();
    admin.get(&[&["patch"], &map[..], &["--type=merge", "-p", &patch]].concat()).await;
    counts(&world, "aws-auth patched", of(&ALICE), is(Some("dev:alice"))).await;
    admin.get(&[&["delete"], &map[..]].concat()).await;
    counts(&world, "aws-auth deleted", of(&ALICE), is(None)).await;

    let object = ["iamidentitymapping", "bob"];
    admin.apply(&mapping("bob", BOB.arn, "bob", &[])).await;
    counts(&world, "an IAMIdentityMapping applied", of(&BOB), is(Some("bob"))).await;
    admin.edit(&object, "s/username: bob/username: robert/").await;
    counts(&world, "an IAMIdentityMapping edited", of(&BOB), is(Some("robert"))).await;
    for (end, name) in [(json!("2020-01-01T00:00:00Z"), None), (Value::Null, Some("robert"))] {
        let patch = json!({ "spec": { "notAfter": end } }).to_string();
        admin.get(&[&["patch"], &object[..], &["--type=merge", "-p", &patch]].concat()).await;
        counts(&world, &format!("an IAMIdentityMapping patched: {patch}"), of(&BOB), is(name)).await;
    }
    admin.get(&[&["delete"], &object[..]].concat()).await;
    counts(&world, "an IAMIdentityMapping deleted", of(&BOB), is(None)).await;

    let lin = mapping("lin", LIN.arn, "lin", &[]);
    let lin = lin.replace("iamauthenticator.k8s.aws", "ramauthenticator.k8s.alibabacloud");
    admin.apply(&lin.replace("IAMIdentityMapping", "RAMIdentityMapping")).await;
    counts(&world, "a RAMIdentityMapping applied", of_alibaba(&LIN), is(Some("lin"))).await;
    admin.edit(&["ramidentitymapping", "lin"], "s/username: lin/username: linda/").await;
    counts(&world, "a RAMIdentityMapping edited", of_alibaba(&LIN), is(Some("linda"))).await;
    let patch = r#"{"spec": {"username": "lin"}}"#;
    admin.get(&["patch", "ramidentitymapping", "lin", "--type=merge", "-p", patch]).await;
    counts(&world, "a RAMIdentityMapping patched", of_alibaba(&LIN), is(Some("lin"))).await;
    admin.get(&["delete", "ramidentitymapping", "lin"]).await;
    counts(&world, "a RAMIdentityMapping deleted", of_alibaba(&LIN), is(None)).await;
}

#[tokio::test]
async fn an_edit_of_alibabacloud_auth_counts_within_five_seconds() {
    let started = start_alibaba("  providers: [alibaba]\n  backendMode: [ACKConfigMap]", |_| {}).await;
    let Some(world) = started else { return };
    world.ready().await;
    let (admin, map) = (world.admin(), ["configmap", "alibabacloud-auth", "-n", "kube-system"]);
    let users = format!("- {{userarn: '{}', username: lin}}\n", LIN.arn);
    admin.apply(&alibabacloud_auth(&users, "")).await;
    counts(&world, "alibabacloud-auth applied", of_alibaba(&LIN), is(Some("lin"))).await;
    admin.edit(&map, "s/username: lin/username: linda/").await;
    counts(&world, "alibabacloud-auth edited", of_alibaba(&LIN), is(Some("linda"))).await;
    let patch = json!({ "data": { "mapUsers": users } }).to_string();
    admin.get(&[&["patch"], &map[..], &["--type=merge", "-p", &patch]].concat()).await;
    counts(&world, "alibabacloud-auth patched", of_alibaba(&LIN), is(Some("lin"))).await;
    admin.get(&[&["delete"], &map[..]].concat()).await;
    counts(&world, "alibabacloud-auth deleted", of_alibaba(&LIN), is(None)).await;
}

/// Herald's own log, from byte `from` on, once it has told of the next version of aws-auth.
async fn told(world: &World, from: usize) -> String {
    let next =
        |text: &str| text.get(from..).filter(|said| said.contains("msg=\"mappings changed\"")).map(str::to_owned);
    let said = world.server.stderr.wait_for(SOON, next).await;
    said.unwrap_or_else(|| panic!("nothing is told: {:?}", world.server.stderr.text().get(from..)))
}

/// The `nth` version of aws-auth that nobody can have meant, and what it makes of alice; nothing where that is the text's matter.
fn garbled_object(nth: usize) -> (String, Option<Option<&'static str>>) {
    let text = garbled(DEVELOPERS, nth);
    let (key, value, alice) = match nth % 6 {
        0 | 1 => ("data", json!({ "mapRoles": text }), None),
        2 => ("data", json!({ "mapRoles": DEVELOPERS, "mapUsers": text }), Some(Some("dev:alice"))),
        3 => ("data", json!({ "mapRoles": DEVELOPERS, "mapAccounts": text }), Some(Some("dev:alice"))),
        // Documents that are not there map nobody, whatever stands beside them.
        4 => ("binaryData", json!({ "mapRoles": STANDARD.encode(DEVELOPERS) }), Some(None)),
        _ => ("data", json!({ "maproles": DEVELOPERS, "mapUsers": format!("# {nth}\n[]") }), Some(None)),
    };
    let metadata = json!({ "name": "aws-auth", "namespace": "kube-system" });
    (json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, key: value }).to_string(), alice)
}

/// Some of those of a thousand that `faults` has, by way of a real API server.
#[tokio::test]
async fn garbled_config_maps_leave_the_last_good_one_in_force() {
    const GARBLED: usize = 30;
    let Some(world) = World::start("  backendMode: [EKSConfigMap]").await else { return };
    world.ready().await;
    let admin = world.admin();
    admin.apply(&aws_auth(DEVELOPERS, "")).await;
    counts(&world, "the good one", of(&ALICE), is(Some("dev:alice"))).await;
    let mut refused = 0;
    for nth in 0..GARBLED {
        let was = world.server.review(&of(&ALICE)(Duration::ZERO)).await.expect("an answer").username();
        let from = world.server.stderr.text().len();
        let (object, mut alice) = garbled_object(nth);
        admin.apply(&object).await;
        if told(&world, from).await.contains("the last good one stays: mapRoles does not parse") {
            refused += 1;
            alice = Some(was.as_deref());
        }
        if let Some(name) = alice {
            counts(&world, &object, of(&ALICE), is(name)).await;
        }
        counts(&world, &object, of(&EVE), is(None)).await;
    }
    assert!(refused > 0);
    admin.apply(&aws_auth(&DEVELOPERS.replace("dev:", "engineer:"), "")).await;
    counts(&world, "the next good one", of(&ALICE), is(Some("engineer:alice"))).await;
}

/// Herald stands still while mappings are taken away, and the API server that it watched is another process afterwards.
#[tokio::test]
async fn what_was_deleted_while_nobody_listened_is_gone() {
    let Some(mut world) = World::start("  backendMode: [EKSConfigMap, CRD]").await else { return };
    world.ready().await;
    world.admin().apply(&aws_auth(DEVELOPERS, "")).await;
    world.admin().apply(&mapping("eve", EVE.arn, "eve", &[])).await;
    counts(&world, "aws-auth applied", of(&ALICE), is(Some("dev:alice"))).await;
    counts(&world, "an object applied", of(&EVE), is(Some("eve"))).await;
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
