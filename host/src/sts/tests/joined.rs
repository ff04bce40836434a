//! Logins that wait for the call of another one with the same token.

use super::*;

#[tokio::test]
async fn equal_tokens_at_once_are_one_call() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.verified_cache.ttl = Duration::ZERO);
    let fake = Fake::default();
    let token = BearerToken::new("fake.slow.1".to_owned());
    let verified = join_all((0..64).map(|_| executor.verify(&fake, &token, now()))).await;
    let sources: Vec<_> = verified.iter().map(|verified| verified.as_ref().unwrap().source).collect();
    assert_eq!(sources.iter().filter(|source| **source == Source::Sts).count(), 1);
    assert_eq!(sources.iter().filter(|source| **source == Source::Joined).count(), 63);
    assert_eq!((server.requests(), fake.interpreted.load(SeqCst)), (1, 1));
    assert_eq!(executor.flights.len(), 0);
    assert_eq!(login(&executor, "fake.slow.1").await, Ok(Source::Sts), "nothing is remembered with the cache off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_tokens_are_one_call_whenever_they_come() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|_| {}));
    for round in 0..20 {
        let logins = (0..64).map(|_| {
            let (executor, token) = (Arc::clone(&executor), format!("fake.ok.{round}"));
            tokio::spawn(async move { login(&executor, &token).await })
        });
        assert!(join_all(logins).await.into_iter().all(|result| result.unwrap().is_ok()));
        assert_eq!(server.requests(), round + 1);
    }
}

#[tokio::test]
async fn failures_reach_every_waiter_and_are_not_remembered() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    let results = join_all((0..8).map(|_| login(&executor, "fake.error.1"))).await;
    assert!(results.iter().all(|result| *result == failed("server_error")), "{results:?}");
    assert_eq!(server.requests(), 1);
    assert_eq!(login(&executor, "fake.error.1").await, failed("server_error"));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_call_without_waiters_is_given_up() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|config| config.limits.in_flight = 1));
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let executor = Arc::clone(&executor);
            tokio::spawn(async move { login(&executor, "fake.hang.1").await })
        })
        .collect();
    server.wait(|counts| &counts.requests, 1).await;
    for (left, waiter) in waiters.iter().enumerate() {
        assert_eq!((executor.flights.len(), server.counts.given_up.load(SeqCst)), (1, 0), "{left} have left");
        waiter.abort();
        sleep(Duration::from_millis(20)).await;
    }
    server.wait(|counts| &counts.given_up, 1).await;
    assert_eq!(executor.flights.len(), 0);
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts), "its permit is free again");
    let text = executor.metrics.text();
    for result in ["given_up", "ok"] {
        let line = format!("herald_sts_requests_total{{region=\"eu-west-9\",result=\"{result}\"}} 1\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[tokio::test]
async fn followers_outlive_their_leader() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|_| {}));
    let waiter = || {
        let executor = Arc::clone(&executor);
        tokio::spawn(async move { login(&executor, "fake.held.1").await })
    };
    let leader = waiter();
    server.wait(|counts| &counts.requests, 1).await;
    let followers = [waiter(), waiter()];
    sleep(Duration::from_millis(20)).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    server.counts.release.notify_one();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), Ok(Source::Joined));
    }
    assert_eq!((server.requests(), server.counts.given_up.load(SeqCst)), (1, 0));
    assert_eq!(login(&executor, "fake.held.1").await, Ok(Source::Cache));
}

/// Each of them holds a review, and whoever sends junk can send it any number of times.
#[tokio::test]
async fn of_equal_tokens_few_wait_for_a_host_that_hangs() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|config| config.timeout = Duration::from_secs(30)));
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let executor = Arc::clone(&executor);
        logins.spawn(async move { login(&executor, "fake.hang.1").await });
    }
    for left in (65..1000).rev() {
        let next = timeout(Duration::from_secs(25), logins.join_next()).await;
        assert_eq!(next.expect("at once").unwrap().unwrap(), failed("sts_joined"), "{left} left");
    }
    assert_eq!((logins.len(), executor.flights.len()), (65, 1));
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    logins.shutdown().await;
    assert_eq!(executor.flights.len(), 0);
}
