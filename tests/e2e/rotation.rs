//! Certificates, policies and configurations change while people work, and not one request fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tests::{
    herald, policies,
    sts::{ALICE, BOB},
    tokens::Draft,
};

use crate::{
    authenticator::judge_anew,
    cluster::Cluster,
    world::{CLUSTER, World, person, until},
};

/// bob by the file, alice by a policy under `prefix`. That policy is another program each time that it has another name.
fn naming(prefix: &str, program: &str) -> String {
    let (pattern, name) = match program {
        "arn-globs" => ("role: Developers, sessionName: '{person}'", "{person}"),
        _ => ("role: Developers", "{{SessionName}}"),
    };
    format!(
        "  backendMode: [MountedFile, Policy/sessions]\n  mapUsers:\n  - {{userARN: '{}', username: bob}}\n  policies:\n  \
         - name: sessions\n    kind: map\n    component: {program}.wasm\n    settings: {{rules: [{{match: {{accounts: \
         ['123456789012'], {pattern}}}, username: '{prefix}:{name}'}}]}}\n    limits: {{timeout: 5s}}\n  \
         sts: {{timeout: 30s, connectTimeout: 30s}}\n",
        BOB.arn
    )
}

/// A token of bob's that no other number gives, signed in the five minutes before `from`.
fn token(from: SystemTime, nth: u64) -> String {
    const SECONDS: u64 = 300;
    let expires = Some((60 + nth / SECONDS % SECONDS).to_string());
    Draft { expires, ..Draft::new(&BOB, CLUSTER, from - Duration::from_secs(nth % SECONDS)) }.token()
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
    let config = naming("one", "session-groups");
    let started = World::start_with(&config, &[], |folder| {
        for program in ["session-groups", "arn-globs"] {
            let component = policies::build(program).expect("a policy");
            std::fs::copy(component, folder.join(format!("{program}.wasm"))).expect("copied");
        }
    });
    let Some(world) = started.await else { return };
    let first_day = world.server.folder().join("first-day.yaml");
    std::fs::copy(world.server.folder().join("kubeconfig.yaml"), &first_day).expect("copied");
    let world = Arc::new(world);
    let stop = Arc::new(AtomicBool::new(false));
    let [made, asked, kubectls, handshakes] = [(); 4].map(|()| Arc::new(AtomicU64::new(0)));
    let from = tests::now();
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
        let (stop, made, asked, world) = (Arc::clone(&stop), Arc::clone(&made), Arc::clone(&asked), Arc::clone(&world));
        tasks.push(tokio::spawn(async move {
            let client = world.cluster.client();
            while !stop.load(Relaxed) {
                // Another token each time, so that the API server has to ask.
                let token = token(from, made.fetch_add(1, Relaxed));
                let answer = world.cluster.get(&client, "/api", &token).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                asked.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    {
        // Whoever is connected is shown nothing new: these connect each time, with what they were told on the first day.
        let (stop, made, handshakes, first_day) =
            (Arc::clone(&stop), Arc::clone(&made), Arc::clone(&handshakes), first_day.clone());
        tasks.push(tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let found = judge_anew(&first_day, &token(from, made.fetch_add(1, Relaxed))).await;
                assert_eq!((found.username.as_str(), &found.statuses[..]), ("bob", &[200][..]), "{found:?}");
                handshakes.fetch_add(1, Relaxed);
            }
        }));
    }
    for (step, (prefix, program)) in [("two", "arn-globs"), ("three", "session-groups")].into_iter().enumerate() {
        rotate(&world).await;
        let told = || world.server.stderr.text().matches("certificate: another one is in force").count();
        until(async || told() > step).await;
        world.server.configure(&format!("clusterID: {CLUSTER}\nserver:\n{}", naming(prefix, program))).expect("a file");
        alice.becomes(Some(&format!("{prefix}:alice"))).await;
        // Counted from here on: the certificate and the policy are both in force. One of each may have begun before.
        let count = || [&asked, &kubectls, &handshakes].map(|count| count.load(Relaxed));
        let so_far = count();
        until(async || count().iter().zip([20, 1, 2]).zip(so_far).all(|((now, more), before)| *now > before + more))
            .await;
    }
    stop.store(true, Relaxed);
    for task in tasks {
        task.await.expect("not one request failed");
    }
    // Herald was asked about each of his tokens, and the API server answered none of them by heart.
    let asked = usize::try_from(asked.load(Relaxed) + handshakes.load(Relaxed)).expect("some hundreds");
    let of_bob = |line: &serde_json::Value| line["caller"]["arn"] == BOB.arn;
    until(async || world.server.audit().iter().filter(|line| of_bob(line)).count() >= asked).await;
    // An API server that is started now, and was told on the first day whom to trust.
    let mut late = Cluster::prepare().await.expect("as before");
    late.start(&first_day, &[]).await;
    let alice = person(&late, &ALICE.key(), &[]).await;
    assert_eq!(alice.name().await.as_deref(), Some("three:alice"));
}
