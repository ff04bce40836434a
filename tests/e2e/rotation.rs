//! Certificates, policies and configurations change while people work, and not one request fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tests::{
    herald, policies,
    sts::{ALICE, BOB},
    tokens::Draft,
};

use crate::{
    cluster::Cluster,
    world::{CLUSTER, World, person, until},
};

/// bob by the file, alice by a policy under `prefix`.
fn naming(prefix: &str) -> String {
    format!(
        "  backendMode: [MountedFile, Policy/sessions]\n  mapUsers:\n  - {{userARN: '{}', username: bob}}\n  policies:\n  \
         - name: sessions\n    kind: map\n    component: sessions.wasm\n    settings: {{rules: [{{match: {{accounts: \
         ['123456789012']}}, username: '{prefix}:{{{{SessionName}}}}'}}]}}\n",
        BOB.arn
    )
}

/// `herald init --rotate` beside the server.
async fn rotate(world: &World) {
    let port = world.server.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
    let path = |name: &str| world.server.folder().join(name).display().to_string();
    std::fs::write(path("init.yaml"), format!("clusterID: {CLUSTER}\nserver: {{port: {port}}}\n")).expect("a file");
    let (file, state, kubeconfig) = (path("init.yaml"), path("state"), path("kubeconfig.yaml"));
    let arguments =
        ["init", "--rotate", "--config", &file, "--state-dir", &state, "--generate-kubeconfig", &kubeconfig];
    herald::run(&arguments, [("HOME", "/nowhere")]).await.expect("herald runs").success().expect("rotated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices() {
    let config = naming("one");
    let started = World::start_with(&config, &[], |folder| {
        std::fs::copy(policies::build("session-groups").expect("a policy"), folder.join("sessions.wasm"))
            .expect("copied");
    });
    let Some(world) = started.await else { return };
    let first_day = world.server.folder().join("first-day.yaml");
    std::fs::copy(world.server.folder().join("kubeconfig.yaml"), &first_day).expect("copied");
    let world = Arc::new(world);
    let (stop, asked, kubectls) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let alice = person(&world.cluster, &ALICE.key(), &[]).await;
    let mut tasks = Vec::new();
    {
        let (stop, kubectls, alice) = (Arc::clone(&stop), Arc::clone(&kubectls), alice.clone());
        tasks.push(tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let name = alice.name().await;
                let expected = ["one:alice", "two:alice", "three:alice"].map(|name| Some(name.to_owned()));
                assert!(expected.contains(&name), "{name:?}");
                kubectls.fetch_add(1, Relaxed);
            }
        }));
    }
    for _ in 0..2 {
        let (stop, asked, world) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&world));
        tasks.push(tokio::spawn(async move {
            let (client, from) = (world.cluster.client(), tests::now());
            while !stop.load(Relaxed) {
                // Another token each time, so that the API server has to ask.
                let ago = Duration::from_secs(asked.fetch_add(1, Relaxed) % 500);
                let token = Draft::new(&BOB, CLUSTER, from - ago).token();
                let answer = world.cluster.get(&client, "/api", &token).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    for (step, prefix) in ["two", "three"].into_iter().enumerate() {
        let (so_far, logins) = (asked.load(Relaxed), kubectls.load(Relaxed));
        rotate(&world).await;
        let told = || world.server.stderr.text().matches("certificate: another one is in force").count();
        until(async || told() > step).await;
        world.server.configure(&format!("clusterID: {CLUSTER}\nserver:\n{}", naming(prefix))).expect("a file");
        alice.becomes(Some(&format!("{prefix}:alice"))).await;
        until(async || asked.load(Relaxed) > so_far + 20 && kubectls.load(Relaxed) > logins + 1).await;
    }
    stop.store(true, Relaxed);
    for task in tasks {
        task.await.expect("not one request failed");
    }
    // An API server that is started now, and was told on the first day whom to trust.
    let mut late = Cluster::prepare().await.expect("as before");
    late.start(&first_day, &[]).await;
    let alice = person(&late, &ALICE.key(), &[]).await;
    assert_eq!(alice.name().await.as_deref(), Some("three:alice"));
}
