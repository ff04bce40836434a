//! What somebody is told depends on his request, the configuration and the time, and on nothing else: not on who was
//! asked about before or beside him, not on what is remembered, and not on a configuration that is half in force.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use serde_json::Value;
use tests::{
    herald::{Answer, Server, Version},
    policies,
    sts::{ALICE, BOB, EVE},
    tokens::Draft,
};
use tokio::task::JoinSet;

use crate::support::{config, draft, fresh, setup, start, sts, until};

const POLICY: &str = "  backendMode: [MountedFile, Policy/sessions]\n  policies:\n  - {name: sessions, kind: map, component: \
                      sessions.wasm, settings: {rules: [{match: {accounts: ['123456789012']}, username: \
                      'by-policy:{{SessionName}}', groups: ['account:{{AccountID}}']}]}}\n";

async fn server(cache: &str) -> (tests::sts::Running, Arc<Server>) {
    let sts = sts().await;
    // Alice is the policy's, bob the file's, and nobody knows eve.
    let text =
        config(&format!("{POLICY}  sts: {{verifiedCache: {{ttl: {cache}}}}}")).replace(":role/Developers", ":role/X");
    let server = setup(&sts, &text);
    std::fs::copy(policies::build("session-groups").expect("a policy"), server.folder().join("sessions.wasm"))
        .expect("copied");
    (sts, Arc::new(server.start().await.expect("a server")))
}

/// An answer without what is another one each time, the id of the decision, and without the name of the configuration.
fn said(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    let extra = |key: &str| json["status"]["user"]["extra"][key][0].as_str().map(str::to_owned);
    let id = extra("herald.dev/decision-id").or_else(|| answer.decision_id());
    let text = [id, extra("herald.dev/generation")]
        .iter()
        .flatten()
        .fold(answer.text.clone(), |text, word| text.replace(word, "-"));
    (answer.status, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same_alone_and_beside_others_anew_and_from_memory() {
    let reviews: Vec<(Version, String)> = {
        let good = |person| [Version::V1, Version::V1beta1].map(|version| (version, fresh(person)));
        let bad = [
            Draft { secret: "another".to_owned(), ..draft(&BOB) }.token(),
            Draft::new(&BOB, "staging.example.com", tests::now()).token(),
            "k8s-aws-v1.bm9uc2Vuc2U".to_owned(),
            "somebody-elses".to_owned(),
        ];
        let bad = bad.map(|token| (Version::V1, token));
        [&ALICE, &BOB, &EVE].into_iter().flat_map(good).chain(bad).collect()
    };
    // Alone: one after another, each at a server that remembers nothing.
    let (_sts, alone) = server("0s").await;
    let mut expected = BTreeMap::new();
    for (version, token) in &reviews {
        let answer = alone.review_as(*version, token).await.expect("an answer");
        expected.insert((version.name(), token.clone()), said(&answer));
    }
    let names: Vec<String> = expected.values().map(|(_, text)| text.clone()).collect();
    assert!(["by-policy:alice", "\"bob\"", "not_mapped"].iter().all(|word| names.iter().any(|it| it.contains(word))));

    for cache in ["0s", "60s"] {
        let (_sts, server) = server(cache).await;
        let mut asked = JoinSet::new();
        // Each of them many times, in an order that mixes all.
        for nth in 0..400_usize {
            let (server, (version, token)) = (Arc::clone(&server), reviews[nth * 7919 % reviews.len()].clone());
            asked.spawn(async move {
                let answer = server.review_as(version, &token).await.expect("an answer");
                ((version.name(), token), said(&answer))
            });
        }
        for (review, said) in asked.join_all().await {
            assert_eq!(said, expected[&review], "cache {cache}");
        }
    }
}

/// Name, group and generation are of one configuration, whichever it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_during_a_reload_is_answered_by_one_configuration() {
    fn version(name: usize) -> String {
        config("").replace(
            "username: bob\n    groups: [operators, on-call]",
            &format!("username: v{name}\n    groups: [g{name}]"),
        )
    }
    let (_sts, server) = start("").await;
    let server = Arc::new(server);
    server.configure(&version(0)).expect("a file");
    until(async || server.review(&fresh(&BOB)).await.expect("an answer").username().as_deref() == Some("v0")).await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (server, stop, asked, token) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&asked), fresh(&BOB));
        load.spawn(async move {
            let mut seen = Vec::new();
            while !stop.load(Relaxed) {
                let answer = server.review(&token).await.expect("an answer");
                let name = answer.username().unwrap_or_else(|| panic!("HTTP {} {}", answer.status, answer.text));
                let generation = &answer.json()["status"]["user"]["extra"]["herald.dev/generation"][0];
                seen.push((name, answer.groups(), generation.clone()));
                asked.fetch_add(1, Relaxed);
            }
            seen
        });
    }
    for name in 1..6 {
        // What is not good in between changes nothing.
        server.configure(&version(name).replace("mapRoles", "mapRolls")).expect("a file");
        server.configure(&version(name)).expect("a file");
        let expected = format!("v{name}");
        until(async || server.review(&fresh(&BOB)).await.expect("an answer").username() == Some(expected.clone()))
            .await;
    }
    stop.store(true, Relaxed);
    let mut generations: BTreeMap<String, Value> = BTreeMap::new();
    for (name, groups, generation) in load.join_all().await.into_iter().flatten() {
        assert_eq!(groups, [name.replace('v', "g")], "{name}");
        let known = generations.entry(name.clone()).or_insert_with(|| generation.clone());
        assert_eq!(*known, generation, "{name}");
    }
    assert!(generations.len() >= 3 && asked.load(Relaxed) > 50, "{generations:?}");
}
