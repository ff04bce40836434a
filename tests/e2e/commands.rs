//! Herald's commands for a cluster, and what its server writes there.

use serde_json::Value;
use tests::{
    herald::{self, Finished},
    sts::{ALICE, BOB},
};

use crate::{
    kubectl::Kubectl,
    world::{World, aws_auth, mapping, until},
};

const DEVELOPERS: &str = "arn:aws:iam::123456789012:role/Developers";

/// Runs `herald` with the kubeconfig of `who`.
async fn run(who: &Kubectl, arguments: &[&str]) -> Finished {
    let file = who.kubeconfig().display().to_string();
    let arguments = [arguments, &["--kubeconfig", &file]].concat();
    herald::run(&arguments, who.environment().iter().cloned()).await.expect("herald runs")
}

#[tokio::test]
async fn add_list_and_remove() {
    let Some(world) = World::start("  backendMode: [EKSConfigMap]").await else { return };
    world.ready().await;
    let (admin, alice) = (world.admin(), world.person(&ALICE.key()).await);
    let add = ["add", "role", "--rolearn", DEVELOPERS, "--username", "dev:{{SessionName}}", "--groups", "developers"];
    run(&admin, &add).await.success().expect("the map is made");
    alice.becomes(Some("dev:alice")).await;
    let admins = ["add", "user", "--userarn", BOB.arn, "--username", "bob", "--groups", "system:masters"];
    run(&admin, &admins).await.success().expect("an administrator");
    // Now bob may do what the administrator could, by his own plugin.
    let bob = world.person(&BOB.key()).await;
    bob.becomes(Some("bob")).await;
    let list = run(&bob, &["list"]).await.success().expect("a list").stdout;
    assert!(list.contains(DEVELOPERS) && list.contains(BOB.arn), "{list}");
    let refused = run(&alice, &["list"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("403"), "{refused:?}");
    // kubectl and Herald edit the same text.
    let comment = "s/^    - rolearn:/    # by hand\\n    - rolearn:/";
    admin.edit(&["configmap", "aws-auth", "-n", "kube-system"], comment).await;
    let replace = [&add[..4], &["--username", "engineer:{{SessionName}}", "--replace"]].concat();
    run(&bob, &replace).await.success().expect("replaced");
    alice.becomes(Some("engineer:alice")).await;
    let text =
        admin.get(&["get", "configmap", "aws-auth", "-n", "kube-system", "-o", "jsonpath={.data.mapRoles}"]).await;
    assert!(text.contains("# by hand") && !text.contains("dev:"), "{text}");
    run(&bob, &["remove", "role", "--rolearn", DEVELOPERS]).await.success().expect("removed");
    alice.becomes(None).await;
    let last = run(&bob, &["remove", "user", "--userarn", BOB.arn]).await;
    assert!(last.code == Some(1) && last.stderr.contains("--force"), "the last administrator stays: {last:?}");
}

#[tokio::test]
async fn a_cluster_is_checked_as_it_is() {
    let Some(world) = World::start("  backendMode: [EKSConfigMap, CRD]").await else { return };
    let admin = world.admin();
    let roles = format!("- {{rolearn: '{DEVELOPERS}', username: admin, groups: ['system:masters']}}\n");
    admin.apply(&aws_auth(&format!("{roles}- {{rolearn: 'arn:aws:iam::12345:role/X', username: x}}\n"), "")).await;
    until(async || admin.run(&["get", "iamidentitymappings"]).await.code == Some(0)).await;
    admin.apply(&mapping("broken", "nonsense", "x", &[])).await;
    let checked = run(&admin, &["check-config", "--cluster", "-o", "json"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let report: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    assert_eq!(report["errors"], 2, "{report:#}");
    let wrong = report["findings"].as_array().into_iter().flatten().filter(|finding| finding["severity"] == "error");
    let wrong: Vec<_> = wrong.map(|finding| (&finding["check"], &finding["file"])).collect();
    let invalid = |file: &str| (Value::from("invalid-arn"), Value::from(file));
    let expected =
        [invalid("kube-system/configmaps/aws-auth"), invalid("iamidentitymappings.iamauthenticator.k8s.aws")];
    assert_eq!(wrong, expected.iter().map(|(check, file)| (check, file)).collect::<Vec<_>>(), "{report:#}");
    admin.apply(&aws_auth(&roles, "")).await;
    admin.get(&["delete", "iamidentitymapping", "broken"]).await;
    run(&admin, &["check-config", "--cluster"]).await.success().expect("nothing is wrong any more");
}

/// The status by one write an object, and an Event where kubectl looks for it, with no more rights than are shipped.
#[tokio::test]
async fn mappings_tell_whether_they_are_in_force() {
    let Some(world) = World::start("  backendMode: [CRD]").await else { return };
    world.ready().await;
    let admin = world.admin();
    admin.apply(&mapping("bob", BOB.arn, "bob", &[])).await;
    admin.apply(&mapping("broken", "nonsense", "x", &[])).await;
    let accepted = async |name: &str| {
        let status = "jsonpath={.status.conditions[?(@.type==\"Accepted\")].status}";
        admin.get(&["get", "iamidentitymapping", name, "-o", status]).await
    };
    until(async || accepted("bob").await == "True").await;
    until(async || accepted("broken").await == "False").await;
    admin.get(&["wait", "--for=condition=Accepted", "iamidentitymapping/bob", "--timeout=2m"]).await;
    let bob = admin.json(&["get", "iamidentitymapping", "bob"]).await;
    assert_eq!((&bob["status"]["canonicalARN"], &bob["metadata"]["generation"]), (&BOB.arn.into(), &1.into()), "{bob}");
    let table = admin.get(&["get", "iamidentitymappings"]).await;
    assert!(table.lines().next().is_some_and(|head| head.contains("ACCEPTED")), "{table}");
    let events = async || {
        let events = admin.json(&["get", "events", "--field-selector", "involvedObject.name=broken"]).await;
        events["items"].as_array().cloned().unwrap_or_default()
    };
    until(async || events().await.len() == 1).await;
    let event = &events().await[0];
    assert_eq!((&event["type"], &event["reason"]), (&"Warning".into(), &"InvalidArn".into()), "{event}");
    let described = admin.get(&["describe", "iamidentitymapping", "broken"]).await;
    assert!(described.contains("InvalidArn") && described.contains("Events:"), "{described}");
    admin.get(&["get", "lease", "herald-identity-mapping-status", "-n", "kube-system"]).await;
    let log = world.server.stderr.text();
    let (_, since) = log.split_once("this replica writes the statuses of mappings").expect("it told so");
    assert!(!since.contains("level=warning") && !since.contains("level=error"), "{log}");
}
