//! The machine: no file descriptors left, a log that nobody reads, and an end under load.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use tests::{
    sts::{BOB, Behaviour, Fault},
    tokens::Kind,
};
use tokio::{net::TcpStream, task::JoinSet};

use super::{Verdict, all_recorded, decision_id, is_well, made, port, post_all, recorded, verdict};
use crate::support::{config, fresh, setup, start, sts, until, until_asked};

/// So that whoever has a connection and does not shake hands keeps it for as long as a test takes.
const PATIENT: &str = "  handshakeTimeout: 1m";

/// Who is connected goes on; who comes anew waits until somebody leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_descriptors_logins_go_on_and_nothing_is_allowed_unwritten() {
    let sts = sts().await;
    let server = setup(&sts, &config(PATIENT)).under(&["prlimit", "--nofile=48:48"]).start().await.expect("a server");
    is_well(&server).await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        // The system accepts those that the server cannot.
        idle.push(TcpStream::connect(("127.0.0.1", port(&server))).await.expect("a connection"));
    }
    until(async || server.stderr.text().contains("cannot accept connections; trying again")).await;
    let mut ids = BTreeSet::new();
    for (token, name) in made(Kind::Good, 40) {
        let answer = server.review(&token).await.expect("the API server's own connection is open");
        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "so is that to STS: {}", answer.text);
        ids.extend(decision_id(&answer));
    }
    // A change of the configuration waits, at worst, and does no harm.
    server.configure(&config(PATIENT).replace("username: bob", "username: robert")).expect("a file");
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert!(matches!(answer.username().as_deref(), Some("bob" | "robert")), "{}", answer.text);
    server.configure(&config(PATIENT)).expect("a file");
    all_recorded(&server, &ids).await;
    drop(idle);
    until(async || {
        let client = server.client(&[b"http/1.1"]).expect("a client");
        server.review_by(&client, &fresh(&BOB)).await.is_ok_and(|answer| answer.username().as_deref() == Some("bob"))
    })
    .await;
    is_well(&server).await;
}

/// STS ends its connection, and somebody else has the descriptor before there is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_descriptor_for_sts_logins_come_later_and_then_all_is_well() {
    let sts = sts().await;
    let server = setup(&sts, &config(PATIENT)).under(&["prlimit", "--nofile=48:48"]).start().await.expect("a server");
    is_well(&server).await;
    let connections = async || server.metric("herald_connections").await.expect("metrics").unwrap_or_default();
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(TcpStream::connect(("127.0.0.1", port(&server))).await.expect("a connection"));
    }
    until(async || server.stderr.text().contains("cannot accept connections; trying again")).await;
    let before = connections().await;
    sts.sts.set(Fault::Reset);
    let mut ids = BTreeSet::new();
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(verdict(&answer, None), Verdict::Later, "{}", answer.text);
    ids.extend(decision_id(&answer));
    sts.sts.set(Fault::None);
    until(async || connections().await > before).await;
    let handshakes = sts.sts.stats().tls_handshakes;
    for (token, _) in made(Kind::Good, 3) {
        let answer = server.review(&token).await.expect("the API server's own connection is open");
        assert_eq!(verdict(&answer, None), Verdict::Later, "{}", answer.text);
        assert_eq!(answer.reason().as_deref(), Some("sts_unavailable"), "{}", answer.text);
        ids.extend(decision_id(&answer));
    }
    assert_eq!(sts.sts.stats().tls_handshakes, handshakes, "there is no connection to it");
    all_recorded(&server, &ids).await;
    drop(idle);
    is_well(&server).await;
    assert!(sts.sts.stats().tls_handshakes > handshakes);
}

/// What reads our log, as a container runtime does, stands still and goes on: logins are answered meanwhile, and no line is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_for_a_while_holds_no_login_up() {
    let sts = sts().await;
    let reader = "mkfifo \"$1/log\"\ncat \"$1/log\" >&2 &\necho $! >\"$1/reader\"\nfolder=$1\nshift\nexec \"$@\" 2>\"$folder/log\"";
    let setup = setup(&sts, &config(""));
    let folder = setup.folder().display().to_string();
    let server = Arc::new(setup.under(&["sh", "-c", reader, "sh", &folder]).start().await.expect("a server"));
    is_well(&server).await;
    let pid = std::fs::read_to_string(server.folder().join("reader")).expect("a file");
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::STOP).expect("it runs");
    let mut ids = BTreeSet::new();
    // Many times what fits into a pipe.
    for (answer, name) in post_all(&server, made(Kind::Good, 600)).await {
        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "{}", answer.text);
        ids.extend(decision_id(&answer));
    }
    assert!(!ids.is_subset(&recorded(&server.stderr.text())), "the log stood still");
    // A change has something to say as well.
    server.configure(&config("").replace("groups: [developers]", "groups: [engineers]")).expect("a file");
    for (answer, name) in post_all(&server, made(Kind::Good, 100)).await {
        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "{}", answer.text);
        ids.extend(decision_id(&answer));
    }
    kill_process(pid, Signal::CONT).expect("it is there");
    all_recorded(&server, &ids).await;
    is_well(&server).await;
}

/// While STS has some of them: whatever is decided is answered, and whoever has no answer hears so by the end of the
/// connection, never by half an answer, a wrong one or silence. The audit log has each decision that was answered, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_under_load_answers_what_was_begun_and_loses_no_line() {
    let (sts, server) = start("").await;
    let server = Arc::new(server);
    sts.sts.set(Behaviour { latency_ms: 20.0, ..Behaviour::default() });
    let (asked, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut load = JoinSet::new();
    for h2 in [true, false].into_iter().cycle().take(12) {
        let (server, asked, ended, tokens) =
            (Arc::clone(&server), Arc::clone(&asked), Arc::clone(&ended), made(Kind::Good, 500));
        load.spawn(async move {
            let client = server.client(if h2 { &[b"h2"] } else { &[b"http/1.1"] }).expect("a client");
            let mut ids = BTreeSet::new();
            for (token, name) in tokens {
                match server.review_by(&client, &token).await {
                    Ok(answer) => {
                        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "{}", answer.text);
                        ids.extend(decision_id(&answer));
                        asked.fetch_add(1, Relaxed);
                    }
                    Err(error) => {
                        assert!(ended.load(Relaxed), "before the signal: {error:#}");
                        let cause = error.downcast_ref::<reqwest::Error>().expect("no answer at all");
                        let is_cut = cause.is_body() || cause.is_decode() || cause.is_timeout();
                        assert!(!is_cut, "half an answer, or none in time: {error:#}");
                        return ids;
                    }
                }
            }
            panic!("the load ended before the server")
        });
    }
    until_asked(&asked, 200).await;
    until(async || sts.sts.stats().inflight > 0).await;
    ended.store(true, Relaxed);
    server.signal(Signal::TERM).expect("it runs");
    let ids: BTreeSet<String> = load.join_all().await.into_iter().flatten().collect();
    let server = Arc::into_inner(server).expect("nobody else has it");
    let finished = server.ended().await.expect("an end");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let lines = recorded(&finished.stderr);
    assert!(ids.len() > 200 && ids == lines, "{} answers, {} lines", ids.len(), lines.len());
}
