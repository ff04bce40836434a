//! A node joins by its instance's role, once aws-auth maps that.

use tests::{ec2::Ec2, sts::BOB};

use crate::{
    cluster::Cluster,
    kubectl::is_forbidden,
    world::{ACCOUNT, World, aws_auth, deploy, person, session, setup, sts, until, webhook},
};

const NODES: &str = "\
- rolearn: arn:aws:iam::123456789012:role/Nodes
  username: system:node:{{EC2PrivateDNSName}}
  groups: [system:bootstrappers, system:nodes]
";
const INSTANCE: &str = "i-00000000000000001";
const NAME: &str = "ip-10-0-0-1.ec2.internal";

#[tokio::test]
async fn a_node_joins_when_it_is_mapped() {
    let Some(mut cluster) = Cluster::prepare().await else { return };
    let sts = sts().await;
    let ec2 = Ec2::start(&sts.sts).await.expect("a dev EC2");
    ec2.add(INSTANCE, ACCOUNT, NAME);
    let mut setup = setup(&sts, &cluster, "  backendMode: [EKSConfigMap]").env("AWS_ENDPOINT_URL_EC2", &ec2.url());
    for (name, value) in BOB.environment() {
        setup = setup.env(name, value);
    }
    let server = setup.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true").start().await;
    let server = server.expect("a server");
    cluster.start(&webhook(&server), &[]).await;
    deploy(&cluster).await;
    let world = World { cluster, server, sts };
    world.ready().await;
    let admin = world.admin();
    admin.get(&["create", "clusterrolebinding", "nodes", "--clusterrole=system:node", "--group=system:nodes"]).await;

    let kubelet = person(&world.cluster, &session("Nodes", INSTANCE), &[]).await;
    assert_eq!(kubelet.name().await, None, "nodes cannot join before the map is there");
    admin.apply(&aws_auth(NODES, "")).await;
    kubelet.becomes(Some(&format!("system:node:{NAME}"))).await;
    let node = format!(r#"{{"apiVersion": "v1", "kind": "Node", "metadata": {{"name": "{NAME}"}}}}"#);
    kubelet.apply(&node).await;
    assert!(is_forbidden(&kubelet.run(&["get", "secrets", "-A"]).await));
    until(async || admin.get(&["get", "nodes", "-o", "name"]).await == format!("node/{NAME}\n")).await;
}
