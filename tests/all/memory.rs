//! Memory: what the guides' manifests give a pod is enough.

use std::sync::Arc;

use tests::{
    cgroup::MemoryLimit,
    now,
    tokens::{Batch, Kind},
};

use crate::support::{CLUSTER, ONE_WORKER, config, setup, sts};

/// `limits.memory` in the guides' manifests: 20Mi.
const LIMIT: u64 = 20 << 20;
/// Connections at once.
const CONNECTIONS: usize = 128;

/// Anonymous memory of a process in bytes: what the kernel cannot drop and read again.
pub(crate) fn anonymous(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of Linux");
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kilobytes << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_mebibytes_are_enough_for_static_mappings() {
    let sts = sts().await;
    let limit = MemoryLimit::new("herald-test", LIMIT);
    let setup = setup(&sts, &config(ONE_WORKER));
    let setup = limit.iter().fold(setup, |setup, limit| setup.within(limit));
    let server = Arc::new(setup.start().await.expect("a server"));
    let batch = Batch {
        kind: Kind::Good,
        roles: 1,
        first_session: 0,
        host: "sts.us-east-1.amazonaws.com",
        cluster_id: CLUSTER,
        session_token_len: 1200,
        at: now(),
    };
    let tokens: Vec<String> = batch.tokens(4 * CONNECTIONS).into_iter().map(|(token, _)| token).collect();
    let each = tokens.chunks(4).map(|tokens| {
        let (server, tokens) = (Arc::clone(&server), tokens.to_vec());
        tokio::spawn(async move {
            let client = server.client(&[b"http/1.1"]).expect("a client");
            for token in tokens {
                let answer = server.review_by(&client, &token).await.expect("an answer");
                assert!(answer.username().is_some_and(|name| name.starts_with("bench-role-")), "{}", answer.text);
            }
            client
        })
    });
    // All of them stay open to the end.
    let mut clients = Vec::new();
    for task in each.collect::<Vec<_>>() {
        clients.push(task.await.expect("every login is answered"));
    }
    let used = anonymous(server.pid);
    assert!(used < LIMIT, "{used} bytes");
    drop(clients);
    // Before the group, which has to be empty.
    let server = Arc::into_inner(server).expect("nobody else has it");
    assert_eq!(server.stop().await.expect("it was not killed").code, Some(0));
    drop(limit);
}
