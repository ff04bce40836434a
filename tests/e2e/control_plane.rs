//! API servers and webhooks: who starts first, which versions and audiences, what is cached, and several of each.

use std::path::Path;

use tests::{
    herald::{self, Server},
    sts::{BOB, Running},
    tls,
    tokens::Draft,
};

use crate::{
    cluster::{Cluster, free_port},
    world::{CLUSTER, World, person, setup, sts, until, webhook},
};

const BOBS: &str = "  mapUsers:\n  - {userARN: 'arn:aws:iam::123456789012:user/bob', username: bob}";
const VERSION: &str = "-authentication-token-webhook-version";
const TTL: &str = "-authentication-token-webhook-cache-ttl";

/// A token of bob's that no other call gives.
fn token(seconds_ago: u64) -> String {
    Draft::new(&BOB, CLUSTER, tests::now() - std::time::Duration::from_secs(seconds_ago)).token()
}

/// HTTP status of a request that everybody who is known may make.
async fn status(cluster: &Cluster, token: &str) -> u16 {
    cluster.get(&cluster.client(), "/api", token).await.status
}

/// Herald for clusters that are started beside it, if there are programs for them.
async fn herald(more: &str) -> Option<(Running, Server, Cluster)> {
    let cluster = Cluster::prepare().await?;
    let sts = sts().await;
    let server = setup(&sts, &cluster, more).start().await.expect("a server");
    Some((sts, server, cluster))
}

/// `herald init` before anything runs, for a server on `port`.
async fn init(folder: &Path, port: u16) {
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(folder.join("init.yaml"), format!("clusterID: {CLUSTER}\nserver: {{port: {port}}}\n"))
        .expect("a file");
    let (file, state, kubeconfig) = (path("init.yaml"), path("state"), path("kubeconfig.yaml"));
    let arguments = ["init", "--config", &file, "--state-dir", &state, "--generate-kubeconfig", &kubeconfig];
    herald::run(&arguments, [("HOME", "/nowhere")]).await.expect("herald runs").success().expect("files");
}

#[tokio::test]
async fn an_api_server_starts_before_its_webhook() {
    let Some(mut cluster) = Cluster::prepare().await else { return };
    let (sts, port) = (sts().await, free_port());
    let setup = setup(&sts, &cluster, BOBS);
    init(setup.folder(), port).await;
    cluster.start(&setup.folder().join("kubeconfig.yaml"), &[]).await;
    let bob = person(&cluster, &BOB.key(), &[]).await;
    assert_eq!(bob.name().await, None);
    until(async || cluster.log().contains("connection refused")).await;
    cluster.admin().get(&["get", "namespaces"]).await;
    let server = setup.port(port).start().await.expect("a server");
    bob.becomes(Some("bob")).await;
    server.stop().await.expect("an end");
    // What is cached goes on; whoever comes anew does not get in, and administrators by certificate do.
    assert_eq!(status(&cluster, &token(100)).await, 401);
    cluster.admin().get(&["get", "namespaces"]).await;
}

#[tokio::test]
async fn either_version_with_any_audience() {
    const ONE: &str = "https://one.example.com";
    let two = format!("{ONE},https://two.example.com");
    let rows = [
        ("", "v1", ONE, 200),
        ("", "v1beta1", &two, 200),
        ("\n  audiences: ['https://two.example.com']", "v1", &two, 200),
        ("\n  audiences: ['https://two.example.com']", "v1beta1", &two, 200),
        ("\n  audiences: ['https://two.example.com']", "v1", ONE, 401),
    ];
    for (more, version, audiences, expected) in rows {
        let Some((_sts, server, mut cluster)) = herald(&format!("{BOBS}{more}")).await else { return };
        cluster.start(&webhook(&server), &[VERSION, version, "-api-audiences", audiences]).await;
        assert_eq!(status(&cluster, &token(1)).await, expected, "{more} {version} {audiences}: {}", cluster.log());
        let bob = person(&cluster, &BOB.key(), &[]).await;
        assert_eq!(bob.name().await.as_deref(), (expected == 200).then_some("bob"), "{more} {version} {audiences}");
    }
}

/// A mapping that is taken away: with a cache of seven minutes, as EKS has it, a token that was good goes on being good.
#[tokio::test]
async fn an_api_server_remembers_as_long_as_it_is_told() {
    let Some((_sts, server, mut short)) = herald(BOBS).await else { return };
    let mut long = Cluster::prepare().await.expect("as before");
    short.start(&webhook(&server), &[TTL, "0"]).await;
    long.start(&webhook(&server), &[TTL, "7m0s"]).await;
    let token = token(1);
    for _ in 0..3 {
        assert_eq!(status(&long, &token).await, 200);
    }
    until(async || !server.audit().is_empty()).await;
    assert_eq!(server.audit().len(), 1, "the webhook was asked once");
    assert_eq!(status(&short, &token).await, 200, "it is good at every API server of the cluster");
    server.configure(&format!("clusterID: {CLUSTER}\n")).expect("a file");
    // kube-apiserver keeps what was good for ten seconds whatever the flag says.
    until(async || status(&short, &token).await == 401).await;
    assert_eq!(status(&long, &token).await, 200, "still remembered");
    assert_eq!(status(&long, &self::token(2)).await, 401, "a new token is judged anew");
    until(async || short.log().contains("not_mapped")).await;
}

#[tokio::test]
async fn two_of_each_take_one_token() {
    let Some((sts, first, mut one)) = herald(BOBS).await else { return };
    let mut two = Cluster::prepare().await.expect("as before");
    let second = setup(&sts, &two, BOBS).start().await.expect("a server");
    one.start(&webhook(&first), &[VERSION, "v1"]).await;
    two.start(&webhook(&second), &[]).await;
    let token = token(1);
    assert_eq!((status(&one, &token).await, status(&two, &token).await), (200, 200));
    assert_eq!(sts.sts.stats().ok, 2, "once for each webhook");
    first.stop().await.expect("an end");
    assert_eq!(status(&two, &self::token(100)).await, 200, "the other one goes on");
    assert_eq!(status(&one, &self::token(100)).await, 401);
}

/// Herald hears nobody without a certificate. The API server finds its own in the webhook kubeconfig.
#[tokio::test]
async fn an_api_server_shows_its_certificate() {
    let files = tls::client_files("front-proxy-client").expect("a pair");
    let keys =
        format!("{BOBS}\n  clientAuth: {{caFile: front-proxy-ca.crt, certificate: client.crt, key: client.key}}");
    let put = |folder: &Path| {
        for (name, pem) in
            [("front-proxy-ca.crt", &files.ca), ("client.crt", &files.certificate), ("client.key", &files.key)]
        {
            std::fs::write(folder.join(name), pem).expect("a file");
        }
    };
    let Some(world) = World::start_with(&keys, &[], put).await else { return };
    let bob = world.person(&BOB.key()).await;
    bob.becomes(Some("bob")).await;
    assert!(world.server.review(&token(1)).await.is_err(), "whoever shows none is not heard");
    let closed = "herald_connections_closed_total{reason=\"client_certificate\"} 1";
    let metrics = async || world.server.get_plain("metrics", "/metrics").await.expect("a listener of its own").text;
    // It is counted after its peer has heard of it.
    until(async || metrics().await.contains(closed)).await;
}

/// What cannot be judged now is not told as a refusal that lasts: after an outage of STS the same token is good.
#[tokio::test]
async fn an_outage_of_sts_is_not_remembered() {
    let Some(world) = World::start(BOBS).await else { return };
    let token = token(1);
    world.sts.sts.set(tests::sts::Fault::E503);
    assert_eq!(status(&world.cluster, &token).await, 401, "kube-apiserver knows no other answer");
    world.sts.sts.set(tests::sts::Fault::None);
    until(async || status(&world.cluster, &token).await == 200).await;
}
