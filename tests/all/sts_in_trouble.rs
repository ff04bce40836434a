//! STS down, slow, throttling or talking nonsense: nobody is let in, and the API server is told whether
//! to ask again.

use tests::sts::{BOB, Behaviour, Fault};

use crate::support::{decisions, fresh, login_with, start, start_beside, sts, until};

/// No breaker: each login meets the fault itself. And a deadline that no machine is too slow for.
pub(crate) const NO_BREAKER: &str = "  sts: {timeout: 30s, connectTimeout: 30s, breaker: {failures: 0}}";
/// The same with a deadline that comes soon.
pub(crate) const IMPATIENT: &str = "  sts: {timeout: 2s, breaker: {failures: 0}}";

#[tokio::test]
async fn each_trouble_has_its_answer() {
    let answered = [
        (Fault::Throttle400, 429, "sts_throttled"),
        (Fault::Throttle429, 429, "sts_throttled"),
        (Fault::Bare429, 429, "sts_throttled"),
        (Fault::E500, 503, "sts_unavailable"),
        (Fault::E503, 503, "sts_unavailable"),
        (Fault::Close, 503, "sts_unavailable"),
        (Fault::Reset, 503, "sts_unavailable"),
        (Fault::Html403, 503, "sts_unintelligible"),
        (Fault::ResetBody, 503, "sts_unavailable"),
        (Fault::Huge, 503, "sts_unavailable"),
        (Fault::Redirect, 503, "sts_unavailable"),
    ];
    // Of these only the deadline makes an end.
    let lasting = [Fault::Hang, Fault::Stalled, Fault::Drip].map(|fault| (fault, 503, "sts_unavailable"));
    for (settings, table) in [(NO_BREAKER, &answered[..]), (IMPATIENT, &lasting[..])] {
        let (sts, server) = start(settings).await;
        for &(fault, status, reason) in table {
            let answer = login_with(&sts, &server, fault, &BOB).await;
            assert_eq!((answer.status, answer.username()), (status, None), "{fault:?}: {}", answer.text);
            assert_eq!(answer.reason().as_deref(), Some(reason), "{fault:?}: {}", answer.text);
            assert!(answer.retry_after().is_some_and(|seconds| seconds >= 1), "{fault:?}: {:?}", answer.headers);
            assert!(answer.decision_id().is_some(), "{fault:?}: {}", answer.text);
            // At once; but where the deadline comes soon, it may come before the answer on a busy machine.
            let is_well =
                async || server.review(&fresh(&BOB)).await.expect("an answer").username().as_deref() == Some("bob");
            let next = is_well().await;
            assert!(next || settings == IMPATIENT, "after {fault:?}");
            until(is_well).await;
        }
        assert!(sts.sts.requests().iter().all(|request| request.path == "/"), "no redirect is followed");
    }
}

#[tokio::test]
async fn an_answer_that_names_no_caller_lets_nobody_in() {
    let (sts, server) = start(NO_BREAKER).await;
    let nonsense = [
        Fault::AccountMismatch,
        Fault::BadArn,
        Fault::BadUserId,
        Fault::Duplicate,
        Fault::Empty,
        Fault::Garbage,
        Fault::Trailing,
        Fault::Xml,
    ];
    for fault in nonsense {
        let answer = login_with(&sts, &server, fault, &tests::sts::ALICE).await;
        assert_eq!(answer.username(), None, "{fault:?}: {}", answer.text);
        assert_eq!(answer.status, 503, "{fault:?}: {}", answer.text);
    }
    assert_eq!(decisions(&server, "unavailable", "sts_unintelligible").await, nonsense.len() as f64);
}

/// Neither this token nor the next is the worse for it, and no stranger can close STS to all by provoking it.
#[tokio::test]
async fn a_firewall_that_answers_in_place_of_sts_locks_nobody_out() {
    let (sts, server) = start("  sts: {timeout: 30s, connectTimeout: 30s, breaker: {failures: 2, openFor: 5m}}").await;
    sts.sts.set(Fault::Html403);
    let token = fresh(&BOB);
    for _ in 0..5 {
        let answer = server.review(&token).await.expect("an answer");
        assert_eq!((answer.status, answer.username()), (503, None), "{}", answer.text);
        assert_eq!(answer.reason().as_deref(), Some("sts_unintelligible"), "{}", answer.text);
    }
    sts.sts.set(Fault::None);
    let answer = server.review(&token).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
}

#[tokio::test]
async fn the_wait_that_sts_asks_for_is_passed_on() {
    let (sts, server) = start("").await;
    let throttle = |retry_after_s| Behaviour { retry_after_s, ..Fault::Throttle429.into() };
    let answer = login_with(&sts, &server, throttle(7), &BOB).await;
    assert_eq!((answer.status, answer.retry_after()), (429, Some(7)));
    let answer = login_with(&sts, &server, throttle(86_400), &BOB).await;
    assert_eq!((answer.status, answer.retry_after()), (429, Some(60)), "within reason");
}

#[tokio::test]
async fn sts_out_of_reach_is_told_apart_from_a_refusal() {
    let sts = sts().await;
    // Nobody listens there, and nobody else can.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let closed = socket.local_addr().expect("a port");
    let nowhere = format!(
        "\n  sts:\n    connectTimeout: 300ms\n    endpoints:\n    - {{host: sts.us-east-1.amazonaws.com, connectTo: \"{closed}\"}}"
    );
    let server = start_beside(&sts, &crate::support::config(&nowhere)).await;
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("sts_unavailable")), "{}", answer.text);
    assert!(answer.retry_after().is_some());
}

#[tokio::test]
async fn an_endpoint_can_be_reached_by_configuration_alone() {
    let sts = sts().await;
    let (address, ca) = (sts.address, sts.ca_file());
    let endpoint = format!(
        "\n  sts:\n    endpoints:\n    - {{host: sts.us-east-1.amazonaws.com, connectTo: \"{address}\", caFile: \"{}\"}}",
        ca.display()
    );
    let setup = tests::herald::Setup::new(&crate::support::config(&endpoint)).expect("a folder");
    let server = setup.start().await.expect("a server");
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
    assert_eq!(sts.sts.stats().tunnels, 0, "no proxy is in between");
}

#[tokio::test]
async fn a_stranger_under_the_name_of_sts_is_not_believed() {
    let (real, stranger) = (sts().await, sts().await);
    let mut setup = tests::herald::Setup::new(&crate::support::config("")).expect("a folder");
    for (name, value) in stranger.environment() {
        let ca = real.ca_file().display().to_string();
        setup = setup.env(name, if name == "SSL_CERT_FILE" { &ca } else { &value });
    }
    let server = setup.start().await.expect("a server");
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!((answer.status, answer.username()), (503, None), "{}", answer.text);
    assert_eq!(stranger.sts.stats().requests, 0, "the request was not sent to it");
}

#[tokio::test]
async fn a_dead_sts_costs_little_once_the_breaker_is_open() {
    // For longer than any machine takes, and for so short a time that its end can be waited for.
    for (fault, settings) in [
        (Fault::Hang, "  sts: {timeout: 2s, breaker: {failures: 3, openFor: 5m}}"),
        (Fault::E503, "  sts: {timeout: 30s, connectTimeout: 30s, breaker: {failures: 3, openFor: 2s}}"),
    ] {
        let (sts, server) = start(settings).await;
        sts.sts.set(fault);
        for _ in 0..3 {
            assert_eq!(server.review(&fresh(&BOB)).await.expect("an answer").status, 503);
        }
        if fault == Fault::Hang {
            let asked = sts.sts.stats().requests;
            let open = server.review(&fresh(&BOB)).await.expect("an answer");
            assert_eq!((open.status, open.reason().as_deref()), (503, Some("sts_unavailable")), "{}", open.text);
            assert_eq!(sts.sts.stats().requests, asked, "no waiting for a host that is known to be down");
        } else {
            sts.sts.set(Fault::None);
            until(async || {
                let answer = server.review(&fresh(&BOB)).await.expect("an answer");
                answer.username().as_deref() == Some("bob")
            })
            .await;
        }
    }
}
