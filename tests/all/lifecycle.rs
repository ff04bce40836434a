//! Starting, stopping and changing a server that is in use.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use expect_test::expect;
use rustix::process::Signal;
use tests::{
    herald::{Answer, Server, Version},
    sts::{BOB, Behaviour, Fault, Running},
};
use tokio::task::JoinHandle;

use crate::support::{CLUSTER, SOON, config, fresh, setup, start, sts, until, until_asked};

/// A login of bob that STS holds up.
async fn under_way(sts: &Running, server: &Server, knobs: impl Into<Behaviour>) -> JoinHandle<anyhow::Result<Answer>> {
    sts.sts.set(knobs);
    let before = sts.sts.stats().requests;
    let client = server.client(&[b"http/1.1"]).expect("a client");
    let request = client.post(&server.url).header("content-type", "application/json");
    let login = tokio::spawn(Answer::of(request.body(Version::V1.body(&fresh(&BOB)))));
    until(async || sts.sts.stats().requests > before).await;
    login
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_answered_before_the_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let (sts, server) = start("").await;
        let login = under_way(&sts, &server, Behaviour { latency_ms: 400.0, ..Behaviour::default() }).await;
        server.signal(signal).expect("it runs");
        let finished = server.ended().await.expect("an end");
        let answer = login.await.expect("no panic").expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("bob"), "{signal:?}: {}", answer.text);
        assert_eq!(finished.code, Some(0), "{signal:?}: {}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::INT), (Signal::TERM, Signal::INT)] {
        // By itself it would end after a time in which nothing here waits for it.
        let (sts, server) = start("  shutdownGrace: 10m").await;
        let login = under_way(&sts, &server, Fault::Hang).await;
        server.signal(first).expect("it runs");
        let drains = server.stderr.wait_for(SOON, |text| text.contains("stopping: ").then_some(())).await;
        assert!(drains.is_some(), "{first:?}: {}", server.stderr.text());
        server.signal(second).expect("it drains");
        let finished = server.ended().await.expect("an end");
        assert_eq!(finished.code, Some(1), "{first:?}, {second:?}: {}", finished.stderr);
        assert!(login.await.expect("no panic").is_err(), "nobody was left to answer");
    }
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let (_sts, server) = start("  shutdownGrace: 10m\n  idleTimeout: 10m").await;
    server.review(&fresh(&BOB)).await.expect("an answer");
    let finished = server.stop().await.expect("an idle connection holds nothing up");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_in_force_without_a_dropped_request() {
    let (_sts, server) = start("").await;
    let server = Arc::new(server);
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (server, stop, asked) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&asked));
            let token = fresh(&BOB);
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    let answer = server.review(&token).await.expect("an answer");
                    let name = answer.username().unwrap_or_else(|| panic!("HTTP {} {}", answer.status, answer.text));
                    assert!(name.starts_with("bob"), "{name}");
                    asked.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    for name in ["bob-1", "bob-2", "bob-3"] {
        server.configure(&config("").replace("username: bob", &format!("username: {name}"))).expect("a file");
        until(async || {
            server.review(&fresh(&BOB)).await.is_ok_and(|answer| answer.username().as_deref() == Some(name))
        })
        .await;
    }
    until_asked(&asked, 20).await;
    stop.store(true, Relaxed);
    for task in load {
        task.await.expect("every request was answered");
    }
}

#[tokio::test]
async fn a_broken_file_leaves_the_last_good_one_in_force() {
    let (_sts, server) = start("").await;
    server.configure(&config("  mapRolls: []")).expect("a file");
    let told = server.stderr.wait_for(SOON, |text| text.contains("mapRolls").then(|| text.to_owned())).await;
    let told = told.unwrap_or_else(|| panic!("the operator is told: {}", server.stderr.text()));
    assert!(told.contains("config.yaml:"), "the file and the line are named: {told}");
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
    until(async || server.metric("herald_config_last_reload_successful").await.is_ok_and(|value| value == Some(0.0)))
        .await;
    server.configure(&config("").replace("username: bob", "username: robert")).expect("a file");
    until(async || {
        server.review(&fresh(&BOB)).await.is_ok_and(|answer| answer.username().as_deref() == Some("robert"))
    })
    .await;
    until(async || server.metric("herald_config_last_reload_successful").await.is_ok_and(|value| value == Some(1.0)))
        .await;
}

#[tokio::test]
async fn the_kubeconfig_is_what_the_api_server_reads() {
    let (_sts, server) = start("").await;
    let path = server.folder().join("kubeconfig.yaml");
    let text = std::fs::read_to_string(&path).expect("a kubeconfig");
    let config: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
    let cluster = &config["clusters"][0];
    let user = &config["users"][0]["name"];
    let context = &config["contexts"][0];
    assert_eq!(cluster["cluster"]["server"], server.url);
    assert!(server.url.starts_with("https://localhost:") && server.url.ends_with("/authenticate"), "{}", server.url);
    assert_eq!((&context["context"]["cluster"], &context["context"]["user"]), (&cluster["name"], user));
    assert_eq!(config["current-context"], context["name"]);
    let names = [&cluster["name"], user, &context["name"]].map(|name| name.as_str().unwrap_or_default().to_owned());
    expect![[r#"
        [
            "herald",
            "apiserver",
            "webhook",
        ]
    "#]]
    .assert_debug_eq(&names);
    assert!(!text.contains("PRIVATE") && !text.contains("token"), "a kubeconfig holds no secrets: {text}");
    assert!(server.ca_pem.starts_with("-----BEGIN CERTIFICATE-----"));
    let left: Vec<_> =
        std::fs::read_dir(server.folder()).expect("a folder").flatten().map(|it| it.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("tmp")), "no half-written file is left: {left:?}");
    assert_eq!(mode(&server.folder().join("state/key.pem")), 0o600);
}

#[tokio::test]
async fn a_certificate_that_is_there_is_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let sts = sts().await;
    let setup = setup(&sts, &config(""));
    let state = setup.folder().join("state");
    std::fs::create_dir(&state).expect("a folder");
    // As the systems we replace leave it behind: RSA 2048, PKCS #1, CA and server in one.
    let pair = [
        ("cert.pem", include_str!("../cases/peer-pair/cert.pem")),
        ("key.pem", include_str!("../cases/peer-pair/key.pem")),
    ];
    for (name, text) in pair {
        std::fs::write(state.join(name), text).expect("a file");
        // Whatever this process's umask is: a key that others can write is refused.
        std::fs::set_permissions(state.join(name), std::fs::Permissions::from_mode(0o600)).expect("our own file");
    }
    let server = setup.start().await.expect("a server");
    assert_eq!(server.ca_pem.trim(), pair[0].1.trim());
    let answer = server.review(&fresh(&BOB)).await.expect("TLS with that certificate");
    assert_eq!(answer.username().as_deref(), Some("bob"));
    for (name, text) in pair {
        assert_eq!(std::fs::read_to_string(state.join(name)).expect("a file"), text, "{name} is as it was");
    }
}

#[tokio::test]
async fn a_restart_keeps_the_certificate() {
    let (sts, server) = start("").await;
    let first = server.ca_pem.clone();
    let again = setup(&sts, &config(""));
    let (old, new) = (server.folder().join("state"), again.folder().join("state"));
    std::fs::create_dir(&new).expect("a folder");
    for name in ["ca-key.pem", "ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(old.join(name), new.join(name)).expect("a copy");
    }
    assert_eq!(server.stop().await.expect("an end").code, Some(0));
    assert_eq!(again.start().await.expect("a server").ca_pem, first);
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let (_sts, server) = start("").await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.get(path).await.expect("an answer").status, 200, "{path}");
    }
    let ready = server.get("/readyz?verbose").await.expect("an answer").json();
    assert_eq!((&ready["ready"], &ready["cluster"]), (&true.into(), &CLUSTER.into()));
    assert_eq!(server.get("/authenticate").await.expect("an answer").status, 405);
    assert_eq!(server.get("/other").await.expect("an answer").status, 404);
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[tokio::test]
async fn audit_lines_on_stdout_are_there_while_it_runs() {
    let (_sts, server) = start("  audit: {output: stdout}").await;
    server.review(&fresh(&BOB)).await.expect("an answer");
    until(async || server.stdout.text().contains("\"bob\"")).await;
}
