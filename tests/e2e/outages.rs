//! The network between Herald and the API server fails while mappings change: what was read last is in force meanwhile,
//! and what has changed is in force afterwards, with no restart.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tests::{
    sts::{ALICE, EVE, Person},
    tokens::Draft,
};

use crate::{
    cluster::Cluster,
    wire::{Network, Wire},
    world::{CLUSTER, World, aws_auth, deploy, mapping, setup_by, sts, until, webhook},
};

const DEVELOPERS: &str = "- rolearn: arn:aws:iam::123456789012:role/Developers\n  username: PREFIX:{{SessionName}}\n";

/// A control plane whose Herald reaches the API server through a wire, with alice in `aws-auth` and eve by an object.
async fn start() -> Option<(World, Wire)> {
    let mut cluster = Cluster::prepare().await?;
    let sts = sts().await;
    let wire = Wire::to(SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.port()))).await;
    let kubeconfig = std::fs::read_to_string(cluster.file("herald.kubeconfig")).expect("a kubeconfig");
    let through = cluster.file("through.kubeconfig");
    let url = format!("https://127.0.0.1:{}", wire.port);
    assert!(kubeconfig.contains(&cluster.url()), "{kubeconfig}");
    std::fs::write(&through, kubeconfig.replace(&cluster.url(), &url)).expect("a file");
    let server = setup_by(&through, &sts, "  backendMode: [EKSConfigMap, CRD]").start().await.expect("a server");
    cluster.start(&webhook(&server), &[]).await;
    deploy(&cluster).await;
    let world = World { cluster, server, sts };
    world.ready().await;
    name(&world, "one").await;
    world.admin().apply(&mapping("eve", EVE.arn, "eve", &[])).await;
    until(async || who(&world, &EVE).await.as_deref() == Some("eve")).await;
    until(async || who(&world, &ALICE).await.as_deref() == Some("one:alice")).await;
    Some((world, wire))
}

/// Maps alice's role under that prefix.
async fn name(world: &World, prefix: &str) {
    world.admin().apply(&aws_auth(&DEVELOPERS.replace("PREFIX", prefix), "")).await;
}

/// Who the webhook says that somebody is, by another token each time.
async fn who(world: &World, person: &Person) -> Option<String> {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let ago = Duration::from_secs(ASKED.fetch_add(1, Relaxed) % 600);
    let token = Draft::new(person, CLUSTER, tests::now() - ago).token();
    world.server.review(&token).await.expect("an answer").username()
}

/// Takes eve's object away and gives alice another name.
async fn change(world: &World, prefix: &str) {
    name(world, prefix).await;
    world.admin().get(&["delete", "iamidentitymapping", "eve"]).await;
}

/// For that long it is as it was before.
async fn stays(world: &World, prefix: &str, how_long: Duration) {
    let alice = Some(format!("{prefix}:alice"));
    let until = tokio::time::Instant::now() + how_long;
    while tokio::time::Instant::now() < until {
        assert_eq!((who(world, &ALICE).await, who(world, &EVE).await), (alice.clone(), Some("eve".to_owned())));
        assert_eq!(
            world.server.get("/readyz").await.expect("an answer").status,
            200,
            "no reason to send logins elsewhere"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What was changed comes into force.
async fn follows(world: &World, prefix: &str) {
    let alice = format!("{prefix}:alice");
    until(async || who(world, &ALICE).await.as_ref() == Some(&alice) && who(world, &EVE).await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_and_refused_for_a_while_are_made_up_for() {
    let Some((world, wire)) = start().await else { return };
    wire.set(Network::Cut);
    change(&world, "two").await;
    stays(&world, "one", Duration::from_secs(5)).await;
    let told = ["cannot be read", "what was read last stays in force"];
    until(async || told.iter().all(|words| world.server.stderr.text().contains(words))).await;
    wire.set(Network::Whole);
    follows(&world, "two").await;
    assert_eq!(world.person(&ALICE.key()).await.name().await.as_deref(), Some("two:alice"));
    assert_eq!(world.person(&EVE.key()).await.name().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stands_still_for_a_while_is_made_up_for() {
    let Some((world, wire)) = start().await else { return };
    wire.set(Network::Frozen);
    change(&world, "two").await;
    stays(&world, "one", Duration::from_secs(8)).await;
    wire.set(Network::Whole);
    follows(&world, "two").await;
}

/// The worst of them: the watches are dead, and neither end is told. A watch has a minute, and then it is overdue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_behind_a_dead_connection_is_noticed_when_the_watch_is_overdue() {
    let Some((world, wire)) = start().await else { return };
    wire.forget();
    change(&world, "two").await;
    stays(&world, "one", Duration::from_secs(2)).await;
    follows(&world, "two").await;
}
