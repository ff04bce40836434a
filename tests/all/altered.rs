//! Tokens of real clients, altered or out of place: whatever is done to one, it lets nobody in.

use std::sync::Arc;

use tests::{
    herald::Server,
    sts::{ALICE, BOB, Behaviour, Parameters, Running},
    tokens::{alibaba, token_of, url_of},
    tools::aws_cli,
};
use tokio::task::JoinSet;

use crate::{
    clients::aws_token,
    support::{CLUSTER, config, decisions, herald_token, start_beside, sts, terminal},
};

/// Requests under way at once.
const BATCH: usize = 32;

#[tokio::test]
async fn tokens_of_herald() {
    let sts = sts().await;
    let home = tempfile::tempdir().expect("a folder");
    let made = herald_token(&[], &terminal(&BOB, home.path())).await.success().expect("a token");
    check(&sts, &made.token().expect("a token"), "bob").await;
}

#[tokio::test]
async fn tokens_of_the_unmodified_aws_cli() {
    let Some(aws) = aws_cli() else { return };
    let sts = sts().await;
    let home = tempfile::tempdir().expect("a folder");
    let token = aws_token(&aws, CLUSTER, &ALICE, home.path(), &[]).await;
    check(&sts, &token, "dev:alice").await;
}

/// No alteration of `token` lets anybody in; the token itself does.
async fn check(sts: &Running, token: &str, username: &str) {
    at_another_cluster(sts, token).await;
    behind_its_fifteen_minutes(sts, token).await;
    let server = Arc::new(start_beside(sts, &config("")).await);
    with_a_parameter_twice(sts, &server, token).await;
    with_another_byte_anywhere(&server, token).await;
    let answer = server.review(token).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some(username), "{}", answer.text);
}

async fn at_another_cluster(sts: &Running, token: &str) {
    let staging = start_beside(sts, &config("").replace(CLUSTER, "staging.example.com")).await;
    refused_by_sts(sts, &staging, token).await;
}

/// Herald's own clock says that the token is young; the clock of STS decides.
async fn behind_its_fifteen_minutes(sts: &Running, token: &str) {
    let server = start_beside(sts, &config("")).await;
    sts.sts.set(Behaviour { clock_offset_s: 15 * 60 + 1, ..Behaviour::default() });
    refused_by_sts(sts, &server, token).await;
    sts.sts.set(Behaviour::default());
}

async fn refused_by_sts(sts: &Running, server: &Server, token: &str) {
    sts.sts.reset();
    let answer = server.review(token).await.expect("an answer");
    assert!(answer.is_plain_refusal(), "{}", answer.text);
    let codes: Vec<_> = sts.sts.requests().iter().map(|request| request.code).collect();
    assert_eq!(codes, [Some("SignatureDoesNotMatch")]);
    assert_eq!(decisions(server, "denied", "sts_refused").await, 1.0);
}

/// Which of two parameters counts is a question that is never asked.
async fn with_a_parameter_twice(sts: &Running, server: &Server, token: &str) {
    sts.sts.reset();
    let url = url_of(token).expect("a URL");
    let (head, query) = url.split_once('?').expect("a query");
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').expect("a pair");
        for name in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
            for value in [value, "other", ""] {
                for url in [format!("{head}?{query}&{name}={value}"), format!("{head}?{name}={value}&{query}")] {
                    let answer = server.review(&token_of(&url)).await.expect("an answer");
                    assert!(answer.is_plain_refusal(), "{name}={value}: {}", answer.text);
                }
            }
        }
    }
    assert!(sts.sts.requests().is_empty(), "one reached STS: {:?}", sts.sts.requests());
}

/// Every byte of a good token is changed in turn. What is still let in must be the same request in
/// another spelling: another case of a parameter's name or of an escape.
pub(crate) async fn with_another_byte_anywhere(server: &Arc<Server>, token: &str) {
    let good = meaning(token).expect("a good token");
    let mut batch = JoinSet::new();
    for at in 0..token.len() {
        let changed = with_another_byte(token, at);
        let same = meaning(&changed).is_some_and(|meaning| meaning == good);
        let server = Arc::clone(server);
        batch.spawn(async move { (at, same, server.review(&changed).await) });
        if batch.len() >= BATCH {
            settle(batch.join_next().await.expect("one is under way").expect("no panic"));
        }
    }
    while let Some(done) = batch.join_next().await {
        settle(done.expect("no panic"));
    }
}

#[track_caller]
fn settle((at, same, answer): (usize, bool, anyhow::Result<tests::herald::Answer>)) {
    let answer = answer.expect("an answer");
    if answer.username().is_some() {
        assert!(same, "byte {at} can be changed: {}", answer.text);
    } else {
        assert!(answer.is_plain_refusal(), "byte {at}: HTTP {} {}", answer.status, answer.text);
    }
}

fn with_another_byte(token: &str, at: usize) -> String {
    let mut bytes = token.as_bytes().to_vec();
    bytes[at] = match bytes[at] {
        b'z' => b'a',
        b'Z' => b'A',
        b'9' => b'0',
        b'.' | b'-' | b'_' => b'x',
        other => other + 1,
    };
    String::from_utf8(bytes).expect("ASCII")
}

/// What a token's request says, however it is spelt.
fn meaning(token: &str) -> Option<(String, Vec<(String, String)>)> {
    if token.starts_with(alibaba::PREFIX) {
        return meaning_of_alibaba(token);
    }
    let url = url_of(token)?;
    let (head, query) = url.split_once('?')?;
    let parameters = Parameters::parse(query).ok()?;
    let mut pairs: Vec<_> =
        parameters.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    pairs.sort();
    Some((head.to_owned(), pairs))
}

/// The signed part: what people read in a token, and the client's name, may say anything.
fn meaning_of_alibaba(token: &str) -> Option<(String, Vec<(String, String)>)> {
    let json = alibaba::json_of(token)?;
    let texts = |place: &str| {
        let entries = json[place].as_object()?.iter();
        entries.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect::<Option<Vec<_>>>()
    };
    let mut headers = texts("headers")?;
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("user-agent"));
    headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    headers.sort();
    Some((format!("{:?}", texts("query")?), headers))
}
