//! kill -9 while something is being written: what is found at the next start is whole, or is made anew.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};
use tests::{
    herald::{self, Server, finish},
    policies,
    sts::{ALICE, BOB, Running},
    tls,
    tokens::Kind,
};
use tokio::process::{Child, Command};

use super::{Verdict, decision_id, made, verdict};
use crate::support::{CLUSTER, config, fresh, herald_token, setup, start, sts, terminal, until};

/// How often what is quick is killed.
const KILLS: u32 = 100;
/// One in so many is followed by all that comes after it, where that takes longer than the kill.
const SAMPLE: u32 = 10;

/// The moment of one of [`KILLS`] in what takes so long by itself; the last ones are behind its end.
fn moment(took: Duration, nth: u32) -> Duration {
    took * nth / (KILLS - SAMPLE)
}

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

async fn kill_after(child: Child, delay: Duration) {
    tokio::time::sleep(delay).await;
    kill(child).await;
}

async fn kill(mut child: Child) {
    // It may have come to its end by itself.
    let _ = child.kill().await;
}

/// A server that is started now would show this certificate with its own key.
fn is_pair(state: &Path, what: &str) {
    let read = |name| std::fs::read(state.join(name)).unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
    let chain = CertificateDer::pem_slice_iter(&read("cert.pem")).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(&read("key.pem"));
    let (Ok(chain), Ok(key)) = (chain, key) else { panic!("{what}: half a file") };
    assert!(!chain.is_empty(), "{what}: no certificate");
    let pair = CertifiedKey::from_der(chain, key, &tls::provider());
    assert!(pair.is_ok(), "{what}: {:?}", pair.err());
}

/// An API server that is started now with the webhook kubeconfig in `folder` would trust what a server of `folder/state`
/// would show. Whether there is one.
fn is_trusted(folder: &Path, what: &str) -> bool {
    let file = folder.join("kubeconfig.yaml");
    if !file.exists() {
        return false;
    }
    let (url, ca) = herald::webhook_kubeconfig(&file).unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let host = url.strip_prefix("https://").and_then(|rest| rest.split(':').next()).expect("a host");
    let host = ServerName::try_from(host).expect("a name");
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(root.expect("PEM")).expect("a certificate");
    }
    let chain = std::fs::read(folder.join("state/cert.pem")).unwrap_or_else(|error| panic!("{what}: {error}"));
    let shown = CertificateDer::from_pem_slice(&chain).expect("a certificate");
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), tls::provider()).build().expect("roots");
    let found = verifier.verify_server_cert(&shown, &[], &host, &[], UnixTime::now());
    assert!(found.is_ok(), "{what}: {:?}", found.err());
    true
}

/// Modes and all.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Starts in the state folder that was left, and logs in.
async fn starts_again(sts: &Running, text: &str, files: &[PathBuf], state: &Path, what: &str) -> Server {
    let next = setup(sts, text);
    for file in files.iter().filter(|file| file.exists()) {
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
    let mut written = 0;
    for nth in 1..=KILLS {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.yaml"), config("")).expect("a file");
        let delay = moment(took, nth);
        let child = command(folder.path(), &sts).spawn().expect("it starts");
        let what = if nth > KILLS - SAMPLE {
            // Not by the clock: the machine may be busier than it was when one was timed.
            until(async || folder.path().join("kubeconfig.yaml").exists()).await;
            kill(child).await;
            "killed with its kubeconfig written".to_owned()
        } else {
            kill_after(child, delay).await;
            format!("killed after {delay:?}")
        };
        written += u32::from(is_trusted(folder.path(), &what));
        let files = [folder.path().join("kubeconfig.yaml")];
        let server = starts_again(&sts, &config(""), &files, &folder.path().join("state"), &what).await;
        assert!(is_trusted(server.folder(), &what), "{what}");
    }
    assert!(written >= SAMPLE, "{written} of them came as far as the kubeconfig");
}

/// The folder of compiled policies is written by a start with a policy, which takes its time: so it is killed a few times only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiled_policies_that_were_half_written_are_compiled_again() {
    let text = config(
        "  backendMode: [MountedFile, Policy/sessions]\n  policies:\n  - {name: sessions, kind: map, component: \
         sessions.wasm, settings: {rules: [{match: {accounts: ['123456789012']}, username: 'by-policy:{{SessionName}}'}]}, limits: {timeout: 5s}}",
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
    let torn = async |server: &Server| {
        server.metric(r#"herald_compiled_policies_ignored_total{reason="torn"}"#).await.expect("metrics")
    };
    assert_eq!(torn(&server).await, None, "there was no code");
    for left in [1000, 0] {
        let code = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|kind| kind == "cwasm");
        let mut cut = 0;
        for file in std::fs::read_dir(&compiled).expect("a folder").flatten().filter(code) {
            let opened = std::fs::OpenOptions::new().write(true).open(file.path()).expect("a file");
            let before = opened.metadata().expect("a file").len();
            assert!(before > left, "{}: {before} bytes", file.path().display());
            opened.set_len(left).expect("cut");
            cut += 1;
        }
        assert!(cut > 0, "no code");
        let state = server.folder().join("state");
        let what = format!("{left} bytes left");
        let again = starts_again(&sts, &text, std::slice::from_ref(&component), &state, &what).await;
        assert!(torn(&again).await > Some(0.0), "{what}: compiled again, since it ends early");
        let answer = again.review(&fresh(&ALICE)).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("by-policy:alice"), "{what}: {}", answer.text);
    }
}

/// `herald init --rotate` beside a server: whatever it has written when it is killed, the server has a good pair, and so
/// would the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_at_any_moment_leaves_a_good_pair() {
    let (sts, server) = start("").await;
    let path = |name: &str| server.folder().join(name).display().to_string();
    std::fs::write(path("init.yaml"), format!("clusterID: {CLUSTER}\nserver: {{port: {}}}\n", super::port(&server)))
        .expect("a file");
    let rotate = || {
        let mut rotate = Command::new(herald::binary().expect("herald"));
        rotate.args(["init", "--rotate", "--config", &path("init.yaml"), "--state-dir", &path("state")]);
        rotate.args(["--generate-kubeconfig", &path("kubeconfig.yaml")]).env_clear();
        rotate
    };
    let began = Instant::now();
    finish(rotate()).await.and_then(herald::Finished::success).expect("rotated");
    let took = began.elapsed();
    for nth in 1..=KILLS {
        let (mut rotate, delay) = (rotate(), moment(took, nth));
        rotate.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        kill_after(rotate.spawn().expect("it starts"), delay).await;
        let what = format!("killed after {delay:?}");
        let state = server.folder().join("state");
        is_pair(&state, &what);
        assert!(is_trusted(server.folder(), &what), "{what}: the kubeconfig is gone");
        if nth % SAMPLE == 0 {
            starts_again(&sts, &config(""), &[], &state, &what).await;
        }
        let client = server.client(&[b"http/1.1"]).expect("a client");
        let answer = server.review_by(&client, &fresh(&BOB)).await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        assert_eq!(answer.username().as_deref(), Some("bob"), "{what}");
    }
    let told = server.stderr.text();
    assert!(!told.contains("certificate: the last good one stays"), "{told}");
}

/// What people's machines keep: no file of the cache is a half, and the next run has a token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_whose_writer_is_killed_at_any_moment_is_whole() {
    let (_sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    let (environment, folder) = (terminal(&BOB, home.path()), home.path().join(".kube/cache/herald"));
    let began = Instant::now();
    herald_token(&["--cache"], &environment).await.success().expect("a token");
    let took = began.elapsed();
    let kept = |what: &str| {
        let files = std::fs::read_dir(&folder).map(|files| files.flatten().collect::<Vec<_>>()).unwrap_or_default();
        // Those with other names are not read by anybody.
        let tokens = files.iter().filter(|file| file.file_name().to_string_lossy().starts_with("token-"));
        let is_whole = |file: &std::fs::DirEntry| {
            let text = std::fs::read_to_string(file.path()).expect("a file");
            let kept: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
            kept["token"].as_str().is_some_and(|token| token.starts_with("k8s-aws-v1."))
        };
        tokens.inspect(|file| assert!(is_whole(file), "{what}")).count()
    };
    for nth in 1..=KILLS {
        // So that there is something to write.
        std::fs::remove_dir_all(&folder).unwrap_or_default();
        let mut token = Command::new(herald::binary().expect("herald"));
        token.args(["token", "-i", CLUSTER, "--cache"]).env_clear();
        token.envs(environment.iter().map(|(name, value)| (name, value)));
        token.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let delay = moment(took, nth);
        kill_after(token.spawn().expect("it starts"), delay).await;
        kept(&format!("killed after {delay:?}"));
        if nth % SAMPLE == 0 {
            let next = herald_token(&["--cache"], &environment).await.success().and_then(|next| next.token());
            let answer = server.review(&next.expect("a token")).await.expect("an answer");
            assert_eq!(answer.username().as_deref(), Some("bob"), "{delay:?}: {}", answer.text);
        }
    }
    // One that nobody kills keeps its token: the files that were looked for are those that are written.
    std::fs::remove_dir_all(&folder).unwrap_or_default();
    herald_token(&["--cache"], &environment).await.success().expect("a token");
    assert_eq!(kept("not killed"), 1);
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
