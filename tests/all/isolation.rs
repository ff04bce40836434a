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
    kubernetes::Kubernetes,
    policies,
    sts::{
        ALICE, BOB, EVE,
        alibaba::{LIN, MEI, ZOE},
    },
    tokens::{Draft, alibaba},
};
use tokio::task::JoinSet;

use crate::support::{CLUSTER, config, draft, fresh, setup, start, sts, until, until_asked};

/// Callers of both clouds, who are named by a bootstrap admin's entry, by aws-auth, by the file, by a policy, or by nobody.
/// All limits are such that no machine is too slow for hundreds of logins at once.
const MORE: &str = "  providers: [aws, alibaba]
  alibaba: {region: cn-hangzhou}
  bootstrapAdmins: ['acs:ram::1234567890123456:user/lin']
  backendMode: [EKSConfigMap, MountedFile, Policy/sessions]
  policyEngine: {queueTimeout: 1m}
  policies:
  - name: sessions
    kind: map
    component: session-groups.wasm
    settings: {rules: [{match: {accounts: ['123456789012']}, username: 'by-policy:{{SessionName}}', groups: ['account:{{AccountID}}']}]}
    limits: {timeout: 5s}
  - {name: fewer, kind: guard, component: guard.wasm, settings: {maxGroups: 1, tooMany: drop}, limits: {timeout: 5s}}
  - {name: none, kind: guard, mode: shadow, component: guard.wasm, settings: {maxGroups: 0}, limits: {timeout: 5s}}
";
const AWS_AUTH: &str =
    "- {rolearn: 'acs:ram::1234567890123456:role/Developers', username: 'mei:{{SessionName}}', groups: [a, b]}\n";

async fn server(cache: &str) -> (tests::sts::Running, Kubernetes, Arc<Server>) {
    let (sts, kubernetes) = (sts().await, Kubernetes::start().await.expect("a fake"));
    kubernetes.put_aws_auth(AWS_AUTH, "");
    // Alice is the policy's, bob the file's.
    let text = config(&format!("{MORE}  sts: {{timeout: 30s, connectTimeout: 30s, verifiedCache: {{ttl: {cache}}}}}"))
        .replace(":role/Developers", ":role/X");
    let server = setup(&sts, &text).argument("--master").argument(&kubernetes.url());
    for policy in ["guard", "session-groups"] {
        let component = policies::build(policy).expect("a policy");
        std::fs::copy(component, server.folder().join(policy).with_extension("wasm")).expect("copied");
    }
    let server = server.start().await.expect("a server");
    until(async || server.get("/readyz").await.expect("an answer").status == 200).await;
    (sts, kubernetes, Arc::new(server))
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
    // Servers first, as what they take to start is time in which tokens get old.
    let (alone, others) = (server("0s").await, [("0s", server("0s").await), ("60s", server("60s").await)]);
    let reviews: Vec<(Version, String)> = {
        let good = |person| [Version::V1, Version::V1beta1].map(|version| (version, fresh(person)));
        let bad = [
            Draft { secret: "another".to_owned(), ..draft(&BOB) }.token(),
            Draft::new(&BOB, "staging.example.com", tests::now()).token(),
            "k8s-aws-v1.bm9uc2Vuc2U".to_owned(),
            "somebody-elses".to_owned(),
        ];
        let of_alibaba = [&LIN, &MEI, &ZOE].map(|person| alibaba::Draft::new(person, CLUSTER, tests::now()).token());
        let bad = bad.into_iter().chain(of_alibaba).map(|token| (Version::V1, token));
        [&ALICE, &BOB, &EVE].into_iter().flat_map(good).chain(bad).collect()
    };
    // Alone: one after another, each at a server that remembers nothing.
    let mut expected = BTreeMap::new();
    for (version, token) in &reviews {
        let answer = alone.2.review_as(*version, token).await.expect("an answer");
        expected.insert((version.name(), token.clone()), said(&answer));
    }
    let names: Vec<String> = expected.values().map(|(_, text)| text.clone()).collect();
    for word in ["by-policy:alice", "\"bob\"", "[\"operators\"]", "bootstrap-admin", "mei:mei", "not_mapped"] {
        assert!(names.iter().any(|text| text.contains(word)), "{word}: {names:?}");
    }

    for (cache, (_sts, _kubernetes, server)) in others {
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
    until_asked(&asked, 50).await;
    stop.store(true, Relaxed);
    let mut generations: BTreeMap<String, Value> = BTreeMap::new();
    for (name, groups, generation) in load.join_all().await.into_iter().flatten() {
        assert_eq!(groups, [name.replace('v', "g")], "{name}");
        let known = generations.entry(name.clone()).or_insert_with(|| generation.clone());
        assert_eq!(*known, generation, "{name}");
    }
    assert!(generations.len() >= 3, "{generations:?}");
}
