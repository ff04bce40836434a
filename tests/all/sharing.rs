//! Logins that come together share calls and connections to STS.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tests::{
    herald::{Answer, Server},
    now,
    sts::{ALICE, BOB, Behaviour, Running},
    tokens::{Batch, Draft, Kind},
};
use tokio::task::JoinSet;

use crate::support::{CLUSTER, draft, fresh, start, until};

/// Posts all of `tokens`, `at_once` at a time.
async fn all(server: &Arc<Server>, tokens: Vec<String>, at_once: usize) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(tokens.len());
    let mut under_way = JoinSet::new();
    for token in tokens {
        if under_way.len() == at_once {
            answers.push(under_way.join_next().await.expect("so many are under way").expect("an answer"));
        }
        let server = Arc::clone(server);
        under_way.spawn(async move { server.review(&token).await.expect("an answer") });
    }
    answers.extend(under_way.join_all().await);
    answers
}

/// Tokens of as many callers.
fn distinct(count: usize, first_session: u64) -> Vec<String> {
    let batch = Batch {
        kind: Kind::Good,
        roles: 1,
        first_session,
        host: "sts.us-east-1.amazonaws.com",
        cluster_id: CLUSTER,
        session_token_len: 300,
        at: now(),
    };
    batch.tokens(count).into_iter().map(|(token, _)| token).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_tokens_at_once_ask_sts_once() {
    let (sts, server) = start("").await;
    let server = Arc::new(server);
    sts.sts.set(Behaviour { latency_ms: 150.0, ..Behaviour::default() });
    let token = fresh(&BOB);
    let answers = all(&server, vec![token.clone(); 64], 64).await;
    assert_eq!(answers.len(), 64);
    assert!(answers.iter().all(|answer| answer.username().as_deref() == Some("bob")));
    assert_eq!(sts.sts.stats().requests, 1);
    server.review(&token).await.expect("an answer");
    assert_eq!(sts.sts.stats().requests, 1, "a caller verified a moment ago is remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_login_of_a_cached_token_is_mapped_afresh() {
    let (sts, server) = start("").await;
    let token = fresh(&BOB);
    let stage = async || {
        let answer = server.review(&token).await.expect("an answer");
        answer.json()["status"]["user"]["extra"]["herald.dev/decision-id"][0].to_string()
    };
    assert_ne!(stage().await, stage().await, "a decision of its own");
    assert_eq!(sts.sts.stats().requests, 1);
}

/// Waits until every connection that was begun is there, and none comes any more.
async fn settled(sts: &Running) {
    until(async || {
        let before = sts.sts.stats();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stats = sts.sts.stats();
        stats == before && stats.tcp_accepted == stats.tls_handshakes + stats.tls_failures
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_warm_no_login_opens_a_connection_to_sts() {
    for h2 in [true, false] {
        let (sts, server) = start("").await;
        let server = Arc::new(server);
        // So slow that nobody gets the connection of one who is done: there is one for each of more than come later.
        sts.sts.set(Behaviour { h2, latency_ms: 3000.0, ..Behaviour::default() });
        all(&server, distinct(32, 0), 32).await;
        settled(&sts).await;
        sts.sts.set(Behaviour { h2, latency_ms: 5.0, ..Behaviour::default() });
        sts.sts.reset();
        let answers = all(&server, distinct(200, 1_000), 8).await;
        let names: std::collections::HashSet<_> = answers.iter().filter_map(Answer::username).collect();
        assert_eq!(names.len(), 200, "everybody got a name of their own");
        let stats = sts.sts.stats();
        assert_eq!((stats.requests, stats.tcp_accepted), (200, 0), "h2 {h2}: {stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_turned_away_before_sts_sees_it() {
    let (sts, server) = start("  sts: {timeout: 30s, connectTimeout: 30s, limits: {perSecond: 1, burst: 10}}").await;
    let (server, began) = (Arc::new(server), Instant::now());
    let answers = all(&server, distinct(60, 50_000), 60).await;
    // One for each second that it takes, beside those that may come at once.
    let most = 11 + usize::try_from(began.elapsed().as_secs()).expect("few");
    let allowed = answers.iter().filter(|answer| answer.username().is_some()).count();
    let turned_away: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(allowed + turned_away.len(), 60);
    assert!((5..=most).contains(&allowed), "{allowed} of at most {most}");
    assert!(turned_away.iter().all(|answer| answer.retry_after().is_some()));
    assert_eq!(sts.sts.stats().requests, allowed as u64);
}

/// Strangers' tokens need no credentials, so some of what STS is asked at most is kept for those who were let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_let_in_comes_in_beside_a_flood() {
    // So many that no machine is too slow to bring in more of them than there is room for.
    const JUNK: usize = 120;
    let (_sts, server) = start("  sts: {timeout: 30s, connectTimeout: 30s, limits: {perSecond: 4, burst: 32}}").await;
    let server = Arc::new(server);
    let login = async || server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(login().await.username().as_deref(), Some("bob"));
    for round in 0..6 {
        let junk = (0..JUNK).map(|_| Draft { secret: "another".to_owned(), ..draft(&ALICE) }.token()).collect();
        let answers = all(&server, junk, JUNK).await;
        assert!(answers.iter().any(|answer| answer.status == 429), "{round}");
        let answer = login().await;
        assert_eq!(answer.username().as_deref(), Some("bob"), "{round}: {}", answer.text);
    }
}
