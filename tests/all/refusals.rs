//! Tokens that must not let anybody in, and what the API server is told about each.

use std::time::Duration;

use tests::{
    now,
    sts::{ALICE, BOB, Fault},
    tokens::{Draft, PREFIX, Signed, token_of, url_of},
};

use crate::{
    altered::with_another_byte_anywhere,
    support::{CLUSTER, decisions, draft, fresh, login_with, start, until},
};

/// A token that somebody published, long expired.
const PUBLISHED: &str = "k8s-aws-v1.aHR0cHM6Ly9zdHMuZXUtd2VzdC0xLmFtYXpvbmF3cy5jb20vP0FjdGlvbj1HZXRDYWxsZXJJZGVudGl0eSZWZXJzaW9uPTIwMTEtMDYtMTUmWC1BbXotQWxnb3JpdGhtPUFXUzQtSE1BQy1TSEEyNTYmWC1BbXotQ3JlZGVudGlhbD1BS0lBWUZNUVNOU0U1SDVaVEpERSUyRjIwMjIwOTE0JTJGZXUtd2VzdC0xJTJGc3RzJTJGYXdzNF9yZXF1ZXN0JlgtQW16LURhdGU9MjAyMjA5MTRUMjI1MDU1WiZYLUFtei1FeHBpcmVzPTYwJlgtQW16LVNpZ25lZEhlYWRlcnM9aG9zdCUzQngtazhzLWF3cy1pZCZYLUFtei1TaWduYXR1cmU9MDU5ZjQwNzEzNTY0OGYwNjdlMWZjOThjZjhhYmY3YjdkMmIzNDgxMjE1ZWEzNGE1NTI4YzcyODczMmU1YjJkYw";

#[tokio::test]
async fn a_token_for_another_cluster_is_refused() {
    let (sts, server) = start("").await;
    let token = Draft::new(&BOB, "staging.example.com", now()).token();
    let answer = server.review(&token).await.expect("an answer");
    assert!(answer.is_plain_refusal(), "{}", answer.text);
    assert_eq!(sts.sts.requests()[0].code, Some("SignatureDoesNotMatch"));
    assert!(decisions(&server, "denied", "sts_refused").await >= 1.0);
}

#[tokio::test]
async fn an_old_token_is_expired_not_malformed() {
    let (sts, server) = start("").await;
    let minutes = |count: u64| Draft::new(&BOB, CLUSTER, now() - Duration::from_secs(count * 60)).token();
    let vector = |token: &str| Draft {
        session_token: (!token.is_empty()).then(|| token.to_owned()),
        date: "20260102T030405Z".to_owned(),
        ..Draft::new(&BOB, "test-cluster", now())
    };
    let old =
        [minutes(16), minutes(3 * 60), PUBLISHED.to_owned(), vector("").token(), vector("AQoD/EXAMPLE+token=").token()];
    for token in &old {
        let answer = server.review(token).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{}", answer.text);
    }
    assert_eq!(decisions(&server, "denied", "expired").await, old.len() as f64, "{}", server.stderr.text());
    assert_eq!(sts.sts.stats().requests, 0, "STS is not asked about them");
    let young = server.review(&minutes(14)).await.expect("an answer");
    assert_eq!(young.username().as_deref(), Some("bob"));
}

#[tokio::test]
async fn a_token_from_the_future_is_refused() {
    let (sts, server) = start("").await;
    let ahead = |minutes: u64| Draft::new(&BOB, CLUSTER, now() + Duration::from_secs(minutes * 60)).token();
    for minutes in [16, 60 * 24 * 365] {
        let answer = server.review(&ahead(minutes)).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{}", answer.text);
    }
    assert_eq!(sts.sts.stats().ok, 0);
}

#[tokio::test]
async fn what_sts_refuses_is_refused() {
    let (sts, server) = start("").await;
    let refused = [
        Draft { secret: "another".to_owned(), ..draft(&BOB) },
        Draft { access_key_id: "AKIANOBODY0000000000".to_owned(), ..draft(&BOB) },
        Draft { session_token: None, ..draft(&ALICE) },
        Draft { session_token: Some("bm90IG1pbmU=".to_owned()), ..draft(&ALICE) },
    ];
    for draft in &refused {
        let answer = server.review(&draft.token()).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{}", answer.text);
    }
    for fault in [Fault::Denied403, Fault::Expired403] {
        let answer = login_with(&sts, &server, fault, &BOB).await;
        assert!(answer.is_plain_refusal(), "{fault:?}: {}", answer.text);
    }
    assert_eq!(decisions(&server, "denied", "sts_refused").await, 6.0);
}

/// No stage is asked about a caller whom STS does not vouch for, whatever a mapping would say.
#[tokio::test]
async fn whoever_is_refused_by_sts_is_never_mapped() {
    let (_sts, server) = start("").await;
    let answer = server.review(&Draft { secret: "another".to_owned(), ..draft(&BOB) }.token()).await;
    assert!(answer.expect("an answer").is_plain_refusal());
    let good = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(good.username().as_deref(), Some("bob"));
    until(async || server.audit().len() == 2).await;
    let [refused, allowed] = &server.audit()[..] else { panic!("two lines: {}", server.stderr.text()) };
    assert_eq!(refused["reason"], "sts_refused");
    assert!(refused["stages"].as_array().is_none_or(Vec::is_empty), "{refused}");
    assert!(refused["user"].is_null() && refused["caller"].is_null(), "{refused}");
    assert_eq!(allowed["stages"].as_array().map(Vec::len), Some(1), "{allowed}");
}

#[tokio::test]
async fn what_is_no_request_of_ours_never_reaches_sts() {
    let (sts, server) = start("").await;
    let good = || draft(&BOB);
    let signed = || good().sign();
    let set = |change: fn(&mut Signed)| {
        let mut signed = signed();
        change(&mut signed);
        signed.token()
    };
    let parameter = |name: &str, value: &str| {
        let mut draft = good();
        draft.parameters = vec![(name.to_owned(), value.to_owned()), ("Version".to_owned(), "2011-06-15".to_owned())];
        draft.token()
    };
    let malformed = [
        PREFIX.to_owned(),
        format!("{PREFIX}!!!"),
        format!("{}=", fresh(&BOB)),
        format!("{}\n", fresh(&BOB)),
        format!("{PREFIX}{}", "A".repeat(16_000)),
        token_of("not a url"),
        token_of(""),
        parameter("Action", "AssumeRole"),
        parameter("Action", "getcalleridentity"),
        signed().without("Action").token(),
        signed().and("action", "GetCallerIdentity").token(),
        signed().and("Action", "GetCallerIdentity").token(),
        signed().and("x-amz-signedheaders", "host").token(),
        signed().and("X-AMZ-CREDENTIAL", "x/y").token(),
        signed().and("Extra", "1").token(),
        signed().without("X-Amz-Signature").token(),
        signed().without("X-Amz-Date").token(),
        signed().with("X-Amz-Date", "yesterday").token(),
        signed().with("X-Amz-Expires", "901").token(),
        signed().with("X-Amz-Expires", "+60").token(),
        signed().with("X-Amz-Signature", "zz").token(),
        signed().with("X-Amz-SignedHeaders", "host").token(),
        signed().with("X-Amz-Algorithm", "AWS4-HMAC-SHA1").token(),
        Draft { headers: Vec::new(), ..good() }.token(),
        Draft { service: "s3".to_owned(), ..good() }.token(),
        Draft { region: "eu-west-1".to_owned(), ..good() }.token(),
        Draft { host: "sts.example.com".to_owned(), ..good() }.token(),
        Draft { host: "sts.us-east-1.amazonaws.com.example.com".to_owned(), ..good() }.token(),
        Draft { host: "sts.us-east-1.amazonaws.com:443".to_owned(), ..good() }.token(),
        set(|signed| signed.scheme = "http".to_owned()),
        set(|signed| signed.path = "//".to_owned()),
        set(|signed| signed.path = "/%2F".to_owned()),
        set(|signed| signed.path.clear()),
        set(|signed| signed.authority = format!("user:password@{}", signed.authority)),
        token_of(&format!("{}#fragment", signed().url())),
    ];
    for token in &malformed {
        let answer = server.review(token).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{:?}: {}", url_of(token), answer.text);
        let asked = sts.sts.requests();
        assert!(asked.is_empty(), "{:?} reached STS: {asked:?}", url_of(token));
    }
}

#[tokio::test]
async fn another_authenticators_token_is_answered_and_left_no_trace_of() {
    let (sts, server) = start("").await;
    let foreign = [
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJmb3JlaWduIn0.c2lnbmF0dXJl",
        "abcdef.0123456789abcdef",
        "K8S-AWS-V1.aHR0cHM",
        "k8s-ack-v2.eyJtZXRob2QiOiJQT1NUIn0",
        "x",
    ];
    for token in foreign {
        let answer = server.review(token).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{token}: {}", answer.text);
    }
    let empty = server.review("").await.expect("an answer");
    assert_eq!(empty.username(), None);
    assert_eq!(sts.sts.stats().requests, 0);
    let finished = server.stop().await.expect("an end");
    for token in foreign.iter().filter(|token| token.len() > 1) {
        assert!(!finished.stderr.contains(token) && !finished.stdout.contains(token), "{token} was written down");
    }
    assert!(!finished.stderr.contains("foreign"), "{}", finished.stderr);
}

#[tokio::test]
async fn one_byte_changed_anywhere_lets_nobody_in() {
    let (_sts, server) = start("").await;
    let server = std::sync::Arc::new(server);
    with_another_byte_anywhere(&server, &fresh(&BOB)).await;
    let still_good = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(still_good.username().as_deref(), Some("bob"), "{}", still_good.text);
}
