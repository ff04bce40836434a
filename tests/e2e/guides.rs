//! The guides of kops and of ACK to their last line: whoever has followed them lists the nodes of his cluster.

use serde_json::{Value, json};
use tests::{
    herald::{self, Setup},
    sts::{BOB, Keys, Options, Running, alibaba::LIN, keys::Role},
};

use crate::{
    cluster::Cluster,
    kubectl::Kubectl,
    world::{ACCOUNT, CLUSTER, World, webhook},
};

/// A cluster as kops names it.
const NAME: &str = "authenticator.qwertyuiop.k8s.local";
const NODES: [&str; 3] = [
    "ip-172-20-39-241.us-west-1.compute.internal",
    "ip-172-20-39-253.us-west-1.compute.internal",
    "ip-172-20-48-164.us-west-1.compute.internal",
];
/// The role that the account's people may assume.
const ROLE: &str = "arn:aws:iam::123456789012:role/KubernetesAdmin";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

/// kubectl of whoever has Herald on the `PATH` under that name, with these variables.
fn at_work(cluster: &Cluster, name: &str, environment: &[(&str, &str)]) -> Kubectl {
    let kubectl = Kubectl::new(cluster.program("kubectl"), None);
    let bin = kubectl.home().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::os::unix::fs::symlink(herald::binary().expect("herald"), bin.join(name)).expect("a link");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    environment.iter().fold(kubectl.env("PATH", &path), |kubectl, (name, value)| kubectl.env(name, value))
}

async fn join(admin: &Kubectl) {
    for name in NODES {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        admin.apply(&node.to_string()).await;
    }
}

async fn lists_nodes(kubectl: &Kubectl) {
    let listed = kubectl.get(&["get", "nodes"]).await;
    assert!(NODES.iter().all(|name| listed.contains(name)), "{listed}");
}

/// The administrator of both guides.
async fn is_the_administrator(kubectl: &Kubectl) {
    let user = kubectl.whoami().await.expect("a user");
    assert_eq!(user["username"], "kubernetes-admin", "{user}");
    assert_eq!(user["groups"], json!(["system:masters", "system:authenticated"]), "{user}");
}

/// The ConfigMap's `config.yaml`, a user beside the one that kops has left, a context that is pointed at it, and then the
/// command itself. kubectl has another version of the plugin's answer than then, and nothing else is new.
#[tokio::test]
async fn the_guide_of_kops_ends_with_a_list_of_nodes() {
    let Some(mut cluster) = Cluster::prepare().await else { return };
    let mut keys = Keys::people();
    keys.add_role(Role::trusting(ACCOUNT, ROLE, "AROAKUBEADMINEXAMPL1"));
    let sts = Running::start(Options { keys, ..Options::default() }).await.expect("a dev STS");
    let config = format!(
        "clusterID: {NAME}\nserver:\n  mapRoles:\n  - roleARN: {ROLE}\n    username: kubernetes-admin\n    groups:\n    \
         - system:masters\n  sts: {{timeout: 30s, connectTimeout: 30s}}\n"
    );
    let server = Setup::new(&config).expect("a folder").with_sts(&sts).start().await.expect("a server");
    cluster.start(&webhook(&server), &[]).await;
    let world = World { cluster, server, sts };
    join(&world.admin()).await;

    let left = std::fs::read_to_string(world.cluster.file("admin.kubeconfig")).expect("a kubeconfig");
    let left: Value = serde_saphyr::from_str(&left).expect("YAML");
    let name = format!("{NAME}.exec");
    let exec = json!({
        "apiVersion": V1BETA1, "command": "heptio-authenticator-aws", "args": ["token", "-i", NAME, "-r", ROLE],
    });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": NAME,
        "clusters": [{ "name": NAME, "cluster": left["clusters"][0]["cluster"] }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME } }],
        "users": [{ "name": NAME, "user": left["users"][0]["user"] }, { "name": name, "user": { "exec": exec } }],
    });
    let elsewhere = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_REGION", "us-west-1")];
    let environment = [&BOB.environment()[..], &elsewhere].concat();
    let bob = at_work(&world.cluster, "heptio-authenticator-aws", &environment);
    let bob = world.at_sts(bob).with_kubeconfig(&kubeconfig.to_string());
    lists_nodes(&bob).await;
    let asked = || world.sts.sts.stats().requests;
    assert_eq!(asked(), 0, "by the certificate that kops has made");

    let switched = bob.get(&["config", "set-context", NAME, &format!("--user={name}")]).await;
    assert_eq!(switched, format!("Context \"{NAME}\" modified.\n"));
    lists_nodes(&bob).await;
    assert!(asked() > 0, "by the role");
    is_the_administrator(&bob).await;
}

#[tokio::test]
async fn the_guide_of_ack_ends_with_a_list_of_nodes() {
    let server = format!(
        "  providers: [alibaba]\n  mapUsers:\n  - {{userARN: '{}', username: kubernetes-admin, groups: ['system:masters']}}",
        LIN.arn
    );
    let Some(world) = World::start(&server).await else { return };
    join(&world.admin()).await;
    let kubeconfig = world.kubeconfig(&json!({
        "apiVersion": V1BETA1, "command": "ack-ram-authenticator", "args": ["token", "-i", CLUSTER],
    }));
    let lin = at_work(&world.cluster, "ack-ram-authenticator", &LIN.environment()).with_kubeconfig(&kubeconfig);
    lists_nodes(&lin).await;
    is_the_administrator(&lin).await;
}
