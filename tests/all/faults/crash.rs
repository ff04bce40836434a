//! kill -9 while something is being written: what is found at the next start is whole, or is made anew.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;
use tests::{
    herald::{self, Server},
    policies,
    sts::{ALICE, BOB, Running},
    tokens::Kind,
};
use tokio::process::{Child, Command};

use super::{Verdict, decision_id, made, verdict};
use crate::support::{CLUSTER, config, fresh, setup, start, sts, until};

/// A server's command line over a folder that outlives it.
fn command(folder: &Path, sts: &Running) -> Command {
    let path = |name: &str| folder.join(name);
    let mut command = Command::new(herald::binary().expect("herald"));
    command.args(["server", "--port", "0", "--health-port", "0", "--metrics-port", "0", "--config"]);
    command.arg(path("config.yaml")).arg("--state-dir").arg(path("state"));
    command.arg("--generate-kubeconfig").arg(path("kubeconfig.yaml")).env_clear().envs(sts.environment());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

async fn kill_after(mut child: Child, delay: Duration) {
    tokio::time::sleep(delay).await;
    // It may have come to its end by itself.
    let _ = child.kill().await;
}

/// Modes and all.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Starts in the state folder that was left, and logs in.
async fn starts_again(sts: &Running, text: &str, files: &[PathBuf], state: &Path, what: &str) -> Server {
    let next = setup(sts, text);
    for file in files {
        std::fs::copy(file, next.folder().join(file.file_name().expect("a name"))).expect("copied");
    }
    if state.exists() {
        copy(state, &next.folder().join("state"));
    }
    let server = next.start().await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let answer = server.review(&fresh(&BOB)).await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    assert_eq!(answer.username().as_deref(), Some("bob"), "{what}: {}", answer.text);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_at_any_moment_is_followed_by_a_good_one() {
    let sts = sts().await;
    // How long one takes here, so that the moments lie within it.
    let took = setup(&sts, &config("")).start().await.expect("a server").started_in;
    for step in 1..=16_u32 {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.yaml"), config("")).expect("a file");
        let delay = took * step / 14;
        kill_after(command(folder.path(), &sts).spawn().expect("it starts"), delay).await;
        starts_again(&sts, &config(""), &[], &folder.path().join("state"), &format!("killed after {delay:?}")).await;
    }
}

/// The folder of compiled policies is written by a start with a policy, which takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiled_policies_that_were_half_written_are_compiled_again() {
    let text = config(
        "  backendMode: [MountedFile, Policy/sessions]\n  policies:\n  - {name: sessions, kind: map, component: \
         sessions.wasm, settings: {rules: [{match: {accounts: ['123456789012']}, username: 'by-policy:{{SessionName}}'}]}}",
    )
    .replace(":role/Developers", ":role/SomebodyElse");
    let sts = sts().await;
    let policy = policies::build("session-groups").expect("a policy");
    let first = setup(&sts, &text);
    std::fs::copy(&policy, first.folder().join("session-groups.wasm")).expect("copied");
    std::fs::copy(&policy, first.folder().join("sessions.wasm")).expect("copied");
    let took = first.start().await.expect("a server").started_in;
    for step in 1..=6_u32 {
        let folder = tempfile::tempdir().expect("a folder");
        let component = folder.path().join("sessions.wasm");
        std::fs::copy(&policy, &component).expect("copied");
        std::fs::write(folder.path().join("config.yaml"), &text).expect("a file");
        let delay = took * step / 6;
        kill_after(command(folder.path(), &sts).spawn().expect("it starts"), delay).await;
        let what = format!("killed after {delay:?}");
        let server = starts_again(&sts, &text, &[component], &folder.path().join("state"), &what).await;
        let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("by-policy:alice"), "{what}: {}", answer.text);
    }
    // And code of which the end, or all of it, did not reach the disk.
    let whole = tempfile::tempdir().expect("a folder");
    std::fs::copy(&policy, whole.path().join("sessions.wasm")).expect("copied");
    let component = whole.path().join("sessions.wasm");
    let server = starts_again(&sts, &text, std::slice::from_ref(&component), Path::new("/nowhere"), "whole").await;
    let compiled = server.folder().join("state/compiled");
    assert!(std::fs::read_dir(&compiled).expect("a folder").count() > 0);
    for left in [0, 1000] {
        let code = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|kind| kind == "cwasm");
        for file in std::fs::read_dir(&compiled).expect("a folder").flatten().filter(code) {
            let opened = std::fs::OpenOptions::new().write(true).open(file.path()).expect("a file");
            opened.set_len(left).expect("cut");
        }
        let state = server.folder().join("state");
        let what = format!("{left} bytes left");
        let again = starts_again(&sts, &text, std::slice::from_ref(&component), &state, &what).await;
        let answer = again.review(&fresh(&ALICE)).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("by-policy:alice"), "{what}: {}", answer.text);
    }
}

/// `herald init --rotate` beside a server: whatever it has written when it is killed, the server has a good pair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_at_any_moment_leaves_a_good_pair() {
    let (sts, server) = start("").await;
    let path = |name: &str| server.folder().join(name).display().to_string();
    std::fs::write(path("init.yaml"), format!("clusterID: {CLUSTER}\nserver: {{port: {}}}\n", super::port(&server)))
        .expect("a file");
    for step in 0..16_u64 {
        let mut rotate = Command::new(herald::binary().expect("herald"));
        rotate.args(["init", "--rotate", "--config", &path("init.yaml"), "--state-dir", &path("state")]);
        rotate.args(["--generate-kubeconfig", &path("kubeconfig.yaml")]).env_clear();
        rotate.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        kill_after(rotate.spawn().expect("it starts"), Duration::from_millis(step * 2)).await;
        let what = format!("killed after {} ms", step * 2);
        let state = server.folder().join("state");
        starts_again(&sts, &config(""), &[], &state, &what).await;
        let client = server.client(&[b"http/1.1"]).expect("a client");
        let answer = server.review_by(&client, &fresh(&BOB)).await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        assert_eq!(answer.username().as_deref(), Some("bob"), "{what}");
    }
    let told = server.stderr.text();
    assert!(!told.contains("certificate: the last good one stays"), "{told}");
}

/// Lines are gathered for some milliseconds; those of before are on the disk, whole but for the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_of_a_killed_server_has_all_but_the_last_moment() {
    let sts = sts().await;
    let (server, folder) = (setup(&sts, ""), tempfile::tempdir().expect("a folder"));
    let audit = folder.path().join("audit.log");
    let text = config(&format!("  audit: {{output: {}}}", audit.display()));
    std::fs::write(server.folder().join("config.yaml"), &text).expect("a file");
    let server = server.start().await.expect("a server");
    let mut ids = BTreeSet::new();
    for (token, name) in made(Kind::Good, 100) {
        let answer = server.review(&token).await.expect("an answer");
        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "{}", answer.text);
        ids.extend(decision_id(&answer));
    }
    let read = || {
        let text = std::fs::read_to_string(&audit).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]).to_owned();
        super::recorded(&whole)
    };
    until(async || ids.is_subset(&read())).await;
    for (token, _) in made(Kind::Good, 20) {
        server.review(&token).await.expect("an answer");
    }
    server.signal(Signal::KILL).expect("it runs");
    server.ended().await.expect("an end");
    assert!(ids.is_subset(&read()));
}
