//! The same on Alibaba Cloud: manifests as they are shipped, and the kubeconfigs that people there have.

use tests::{
    policies,
    sts::alibaba::{LIN, MEI, Person, ZOE},
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
    serde_json::json!({
        "apiVersion": "ramauthenticator.k8s.alibabacloud/v1alpha1", "kind": "RAMIdentityMapping",
        "metadata": { "name": name }, "spec": { "arn": arn, "username": username, "groups": ["developers"] },
    })
    .to_string()
}

#[tokio::test]
async fn people_of_alibaba_cloud_log_in() {
    let Some(mut cluster) = Cluster::prepare().await else { return };
    let sts = sts().await;
    let config = "  providers: [alibaba]\n  backendMode: [ACKConfigMap, CRD]";
    let server = setup_as(ACCOUNT, &sts, &cluster, config).start().await.expect("a server");
    cluster.start(&webhook(&server), &[]).await;
    for manifest in ["ramidentitymapping.yaml", "ack.yaml", "example-binding.yaml"] {
        apply(&cluster, manifest).await;
    }
    let world = World { cluster, server, sts };
    world.ready().await;
    let admin = world.admin();
    admin.get(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"]).await;
    apply(&world.cluster, "example-ramidentitymapping.yaml").await;
    let people = format!("- {{userarn: '{}', username: alice}}\n", LIN.arn);
    let map = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "alibabacloud-auth", "namespace": "kube-system" },
        "data": { "mapUsers": people },
    });
    admin.apply(&map.to_string()).await;
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
    let kubeconfig = world.kubeconfig(&serde_json::json!({
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
         username: 'by-policy:{{{{SessionName}}}}', groups: [policy]}}]}}",
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
