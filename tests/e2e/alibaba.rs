//! The same on Alibaba Cloud: manifests as they are shipped, and the kubeconfigs that people there have.

use serde_json::json;
use tests::{
    policies,
    sts::{
        BOB,
        alibaba::{LIN, MEI, Person, ROOT, ZOE},
    },
};

use crate::{
    cluster::Cluster,
    kubectl::{Kubectl, is_forbidden},
    world::{CLUSTER, World, apply, person_with, setup_as, sts, until, webhook},
};

const ACCOUNT: &str = "ack-ram-authenticator";

async fn person(cluster: &Cluster, person: &Person) -> Kubectl {
    let environment = [&person.environment()[..], &[("HERALD_PROVIDER", "alibaba")]].concat();
    person_with(cluster, &environment, &[]).await
}

/// A RAMIdentityMapping.
fn mapping(name: &str, arn: &str, username: &str) -> String {
    json!({
        "apiVersion": "ramauthenticator.k8s.alibabacloud/v1alpha1", "kind": "RAMIdentityMapping",
        "metadata": { "name": name }, "spec": { "arn": arn, "username": username, "groups": ["developers"] },
    })
    .to_string()
}

/// An `alibabacloud-auth` ConfigMap.
pub(crate) fn alibabacloud_auth(users: &str, roles: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "alibabacloud-auth", "namespace": "kube-system" },
        "data": { "mapUsers": users, "mapRoles": roles },
    })
    .to_string()
}

/// Herald with these keys under `server`, beside a cluster that has what its manifests for Alibaba Cloud bring.
pub(crate) async fn start(config: &str, files: impl FnOnce(&std::path::Path)) -> Option<World> {
    let mut cluster = Cluster::prepare().await?;
    let sts = sts().await;
    let setup = setup_as(ACCOUNT, &sts, &cluster, config);
    files(setup.folder());
    let server = setup.start().await.expect("a server");
    cluster.start(&webhook(&server), &[]).await;
    for manifest in ["ramidentitymapping.yaml", "ack.yaml", "example-binding.yaml"] {
        apply(&cluster, manifest).await;
    }
    cluster.admin().get(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=2m"]).await;
    Some(World { cluster, server, sts })
}

/// One principal in each source, and both clouds in one cluster.
const SOURCES: &str = r#"
  providers: [aws, alibaba]
  backendMode: [MountedFile, ACKConfigMap, RAMIdentityMapping, DynamicFile, Policy/sessions]
  dynamicFilePath: dynamic.json
  mapUsers:
  - {userARN: 'arn:aws:iam::123456789012:user/bob', username: bob}
  - {userARN: 'acs:ram::1234567890123456:root', username: owner}
  policies:
  - name: sessions
    kind: map
    component: sessions.wasm
    settings:
      rules:
      - {match: {accounts: ['1234567890123456'], role: 'Dev*'}, username: 'by-policy:{{SessionName}}', groups: [policy]}
    limits: {timeout: 5s}
"#;

#[tokio::test]
async fn every_source_names_its_people_of_both_clouds() {
    let started = start(SOURCES, |folder| {
        let dynamic = json!({"mapUsers": [{"userarn": ZOE.arn, "username": "dynamic-zoe"}]}).to_string();
        std::fs::write(folder.join("dynamic.json"), dynamic).expect("a file");
        std::fs::copy(policies::build("session-groups").expect("a policy"), folder.join("sessions.wasm"))
            .expect("copied");
    });
    let Some(world) = started.await else { return };
    world.admin().apply(&mapping("lin", LIN.arn, "lin-by-object")).await;
    world.ready().await;
    let people = [
        (ROOT, "owner", "MountedFile"),
        (LIN, "lin-by-object", "RAMIdentityMapping"),
        (ZOE, "dynamic-zoe", "DynamicFile"),
        (MEI, "by-policy:mei", "Policy/sessions"),
    ];
    for (who, name, stage) in people {
        let kubectl = person(&world.cluster, &who).await;
        kubectl.becomes(Some(name)).await;
        let user = kubectl.whoami().await.expect("a user");
        let stages = user["extra"]["herald.dev/stage"].as_array().expect("the stages");
        assert_eq!(stages.last(), Some(&stage.into()), "{user}");
        assert_eq!(user["extra"]["arn"][0], who.arn, "{user}");
    }
    assert_eq!(world.person(&BOB.key()).await.name().await.as_deref(), Some("bob"));
    // The first source that knows somebody decides.
    let lin = format!("- {{userarn: '{}', username: lin-by-map}}\n", LIN.arn);
    world.admin().apply(&alibabacloud_auth(&lin, "")).await;
    person(&world.cluster, &LIN).await.becomes(Some("lin-by-map")).await;
}

#[tokio::test]
async fn alibabacloud_auth_is_edited_without_a_restart() {
    let config = "  providers: [alibaba]\n  backendMode: [ACKConfigMap, CRD]";
    let Some(mut world) = start(config, |_| {}).await else { return };
    world.ready().await;
    let (lin, mei) = (person(&world.cluster, &LIN).await, person(&world.cluster, &MEI).await);
    assert_eq!(mei.name().await, None, "there is no alibabacloud-auth yet");
    let lins = format!("- {{userarn: '{}', username: lin}}\n", LIN.arn);
    let developers = "- rolearn: acs:ram::1234567890123456:role/Developers\n  username: dev:{{SessionName}}\n";
    world.admin().apply(&alibabacloud_auth(&lins, developers)).await;
    mei.becomes(Some("dev:mei")).await;
    lin.becomes(Some("lin")).await;
    let object = ["configmap", "alibabacloud-auth", "-n", "kube-system"];
    world.admin().edit(&object, "s/dev:{{SessionName}}/engineer:{{SessionName}}/").await;
    mei.becomes(Some("engineer:mei")).await;
    // One entry is wrong: it is left out, and its neighbours stay.
    let typo = format!("- {{rolearn: 'acs:ram::123:role/X', username: x}}\n{developers}");
    world.admin().apply(&alibabacloud_auth(&lins, &typo)).await;
    mei.becomes(Some("dev:mei")).await;

    // Objects and the map outlive a crash of the API server, and what is said afterwards counts.
    world.admin().apply(&alibabacloud_auth(&lins, "")).await;
    mei.becomes(None).await;
    world.admin().apply(&mapping("developers", "acs:ram::1234567890123456:role/*", "object:{{SessionName}}")).await;
    mei.becomes(Some("object:mei")).await;
    world.cluster.kill().await;
    world.cluster.start_again().await;
    assert_eq!(mei.name().await.as_deref(), Some("object:mei"), "at once, as nothing was forgotten");
    world.admin().get(&["delete", "ramidentitymapping", "developers"]).await;
    mei.becomes(None).await;
    lin.becomes(Some("lin")).await;
    world.admin().get(&[&["delete"], &object[..]].concat()).await;
    lin.becomes(None).await;
}

#[tokio::test]
async fn people_of_alibaba_cloud_log_in() {
    let config = "  providers: [alibaba]\n  backendMode: [ACKConfigMap, CRD]";
    let Some(world) = start(config, |_| {}).await else { return };
    world.ready().await;
    let admin = world.admin();
    apply(&world.cluster, "example-ramidentitymapping.yaml").await;
    let people = format!("- {{userarn: '{}', username: alice}}\n", LIN.arn);
    admin.apply(&alibabacloud_auth(&people, "")).await;
    admin.apply(&mapping("developers", "acs:ram::1234567890123456:role/Dev*", "dev:{{SessionName}}")).await;

    let (lin, mei, zoe) =
        (person(&world.cluster, &LIN).await, person(&world.cluster, &MEI).await, person(&world.cluster, &ZOE).await);
    lin.becomes(Some("alice")).await;
    mei.becomes(Some("dev:mei")).await;
    assert_eq!(zoe.name().await, None);
    let user = mei.whoami().await.expect("a user");
    assert_eq!(user["extra"]["arn"][0], MEI.arn, "{user}");
    assert!(user["uid"].as_str().is_some_and(|uid| uid.starts_with("ack-ram-authenticator:")), "{user}");
    // Bound as the example says: one user by name.
    lin.get(&["get", "configmaps"]).await;
    assert!(is_forbidden(&mei.run(&["get", "configmaps"]).await));

    // With the rights that are shipped, statuses are written.
    admin.apply(&mapping("broken", "nonsense", "x")).await;
    for (name, accepted) in [("developers", "True"), ("broken", "False")] {
        let status = "jsonpath={.status.conditions[?(@.type==\"Accepted\")].status}";
        until(async || admin.get(&["get", "ramidentitymapping", name, "-o", status]).await == accepted).await;
    }
    let events = ["get", "events", "--field-selector", "involvedObject.kind=RAMIdentityMapping", "-o", "name"];
    until(async || admin.get(&events).await.lines().count() == 1).await;

    admin.edit(&["ramidentitymapping", "developers"], "s/dev:/engineer:/").await;
    mei.becomes(Some("engineer:mei")).await;
    admin.get(&["delete", "ramidentitymapping", "developers"]).await;
    mei.becomes(None).await;
    until(async || world.cluster.log().contains("not_mapped: ")).await;
}

#[tokio::test]
async fn the_kubeconfig_of_the_old_tool_logs_in() {
    let server = "  providers: [alibaba]\n  mapRoles:\n  - {roleARN: 'acs:ram::1234567890123456:role/Developers', username: \
                  'dev:{{SessionName}}'}";
    let Some(world) = World::start(server).await else { return };
    let mei = person(&world.cluster, &MEI).await.without("HERALD_PROVIDER");
    let tool = mei.home().join("bin/ack-ram-tool");
    std::os::unix::fs::symlink(tests::herald::binary().expect("herald"), &tool).expect("a link");
    let arguments = ["credential-plugin", "get-token", "--cluster-id", CLUSTER, "--api-version", "v1beta1"];
    let arguments = [&arguments[..], &["--log-level", "error"]].concat();
    let kubeconfig = world.kubeconfig(&json!({
        "apiVersion": "client.authentication.k8s.io/v1beta1", "command": "ack-ram-tool",
        "args": arguments,
        "provideClusterInfo": false, "interactiveMode": "Never",
    }));
    assert_eq!(mei.with_kubeconfig(&kubeconfig).name().await.as_deref(), Some("dev:mei"));
}

/// What [`people_of_alibaba_cloud_log_in`] leaves out: the sources outside the cluster, and a policy.
#[tokio::test]
async fn files_and_policies_name_people_of_alibaba_cloud() {
    let server = format!(
        "  providers: [alibaba]\n  backendMode: [MountedFile, DynamicFile, Policy/sessions]\n  dynamicFilePath: dynamic.json\n  \
         mapUsers:\n  - {{userARN: '{}', username: by-file, groups: [operators]}}\n  policies:\n  - name: sessions\n    \
         kind: map\n    component: sessions.wasm\n    settings: {{rules: [{{match: {{accounts: ['1234567890123456']}}, \
         username: 'by-policy:{{{{SessionName}}}}', groups: [policy]}}]}}\n    limits: {{timeout: 5s}}",
        LIN.arn
    );
    let started = World::start_with(&server, &[], |folder| {
        let dynamic = r#"{"mapUsers": [{"userarn": "acs:ram::6543210987654321:user/zoe", "username": "dynamic"}]}"#;
        std::fs::write(folder.join("dynamic.json"), dynamic).expect("a file");
        std::fs::copy(policies::build("session-groups").expect("a policy"), folder.join("sessions.wasm"))
            .expect("copied");
    });
    let Some(world) = started.await else { return };
    world.ready().await;
    for (somebody, name) in [(&LIN, "by-file"), (&MEI, "by-policy:mei"), (&ZOE, "dynamic")] {
        person(&world.cluster, somebody).await.becomes(Some(name)).await;
    }
    assert_eq!(world.cluster.log(), "", "nothing went wrong at the API server");
}
