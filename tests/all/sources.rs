//! Mappings that live outside the configuration: aws-auth, IAMIdentityMapping, a dynamic file, and who gets in
//! when all of them are lost.

use std::{cell::Cell, time::Duration};

use tests::{
    herald::{self, Answer, Server, Setup},
    kubernetes::{Kind, Kubernetes},
    now,
    sts::{ALICE, BOB, Person, Running},
};

use crate::support::{CLUSTER, SOON, fresh, patience, setup, sts, until};

const DEVELOPERS: &str = "- {rolearn: 'arn:aws:iam::123456789012:role/Developers', username: 'dev:{{SessionName}}', \
                          groups: [developers]}\n";
const BOBS: &str = "- {userarn: 'arn:aws:iam::123456789012:user/bob', username: bob}\n";

/// A configuration without mappings of its own, with more keys under `server`.
fn bare(more: &str) -> String {
    format!("clusterID: {CLUSTER}\nserver:\n  {more}\n{}\n", patience(more))
}

fn beside(sts: &Running, kubernetes: &Kubernetes, config: &str) -> Setup {
    setup(sts, config).argument("--master").argument(&kubernetes.url())
}

/// A server with one source of `kubernetes`.
async fn start(kubernetes: &Kubernetes, source: &str) -> (Running, Server) {
    let sts = sts().await;
    let config = bare(&format!("backendMode: [{source}]"));
    let server = beside(&sts, kubernetes, &config).start().await.expect("a server");
    until(async || is_ready(&server).await).await;
    (sts, server)
}

async fn is_ready(server: &Server) -> bool {
    server.get("/readyz").await.expect("an answer").status == 200
}

async fn login(server: &Server, person: &Person) -> Answer {
    server.review(&fresh(person)).await.expect("an answer")
}

/// The username, or the reason why there is none.
async fn name(server: &Server, person: &Person) -> String {
    let answer = login(server, person).await;
    answer.username().or_else(|| answer.reason()).unwrap_or_else(|| panic!("HTTP {} {}", answer.status, answer.text))
}

async fn becomes(server: &Server, person: &Person, expected: &str) {
    until(async || name(server, person).await == expected).await;
}

fn log_has(server: &Server, words: &[&str]) -> bool {
    server.stderr.text().lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[tokio::test]
async fn aws_auth_is_in_force_from_the_first_login_and_edits_need_no_restart() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    let answer = login(&server, &ALICE).await;
    assert_eq!((answer.username().as_deref(), answer.groups()), (Some("dev:alice"), vec!["developers".to_owned()]));
    let stage = &answer.json()["status"]["user"]["extra"]["herald.dev/stage"];
    assert_eq!(*stage, serde_json::json!(["EKSConfigMap"]));
    assert_eq!(name(&server, &BOB).await, "not_mapped");

    kubernetes.put_aws_auth(&DEVELOPERS.replace("dev:", "engineer:"), BOBS);
    becomes(&server, &BOB, "bob").await;
    assert_eq!(name(&server, &ALICE).await, "engineer:alice");
    until(async || log_has(&server, &["mapping changed", "role/developers", "engineer:{{SessionName}} [developers]"]))
        .await;
    until(async || log_has(&server, &["mapping added", "user/bob", "version=3"])).await;
    until(async || log_has(&server, &["mappings changed", "added=1", "changed=1", "removed=0", "hash="])).await;
    until(async || {
        server.metric("herald_source_entries{source=\"EKSConfigMap\"}").await.expect("metrics") == Some(2.0)
    })
    .await;
    let synced = server.metric("herald_source_last_sync_timestamp_seconds{source=\"EKSConfigMap\"}").await;
    let since = now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!(synced.expect("metrics").is_some_and(|time| (since - time).abs() < 60.0));
}

#[tokio::test]
async fn a_typo_costs_one_entry_and_a_broken_document_costs_nothing() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, BOBS);
    let (_sts, server) = start(&kubernetes, "ConfigMap").await;
    let typo = format!("- {{rolearn: 'arn:aws:iam::12345:role/X', username: x}}\n{DEVELOPERS}");
    kubernetes.put_aws_auth(&typo, BOBS);
    until(async || log_has(&server, &["mapRoles[0]", "left out"])).await;
    assert_eq!((name(&server, &ALICE).await, name(&server, &BOB).await), ("dev:alice".to_owned(), "bob".to_owned()));
    until(async || {
        server.metric("herald_source_left_out{source=\"EKSConfigMap\"}").await.expect("metrics") == Some(1.0)
    })
    .await;

    kubernetes.put_aws_auth("- rolearn: {\n", "");
    until(async || log_has(&server, &["the last good one stays", "mapRoles does not parse"])).await;
    // It is told before the other document is in force.
    becomes(&server, &BOB, "not_mapped").await;
    assert_eq!(name(&server, &ALICE).await, "dev:alice", "what was good before the slip");
    let failures = "herald_source_failures_total{source=\"EKSConfigMap\",reason=\"source_refused\"}";
    until(async || server.metric(failures).await.expect("metrics") == Some(1.0)).await;
}

/// As after a restart: whoever reads that the last good one stays would look elsewhere for why nobody is let in.
#[tokio::test]
async fn a_document_that_was_never_good_is_told_as_that() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth("- rolearn: {\n", BOBS);
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    until(async || log_has(&server, &["nobody is mapped by it yet: mapRoles does not parse"])).await;
    becomes(&server, &BOB, "bob").await;
    assert_eq!(name(&server, &ALICE).await, "not_mapped");
    kubernetes.put_aws_auth(DEVELOPERS, BOBS);
    becomes(&server, &ALICE, "dev:alice").await;
    kubernetes.put_aws_auth("- rolearn: {\n", BOBS);
    until(async || log_has(&server, &["the last good one stays: mapRoles does not parse"])).await;
}

#[tokio::test]
async fn deletion_takes_away_at_once_and_a_map_that_is_not_there_maps_nobody() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    assert_eq!(name(&server, &ALICE).await, "not_mapped");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    becomes(&server, &ALICE, "dev:alice").await;
    kubernetes.delete_aws_auth();
    becomes(&server, &ALICE, "not_mapped").await;
    until(async || log_has(&server, &["mapping removed", "role/developers"])).await;
}

#[tokio::test]
async fn a_map_that_loses_all_its_nodes_or_administrators_is_an_alarm() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let nodes = "- rolearn: arn:aws:iam::123456789012:role/Nodes\n  username: system:node:{{SessionName}}\n  groups: [system:nodes]\n";
    let admin = "- {rolearn: 'arn:aws:iam::123456789012:role/Admins', username: admin, groups: ['system:masters']}\n";
    kubernetes.put_aws_auth(&format!("{nodes}{admin}{DEVELOPERS}"), "");
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    let metric = async |name: &str, whom: &str| {
        let series = format!("herald_source_{name}{{source=\"EKSConfigMap\",whom=\"{whom}\"}}");
        server.metric(&series).await.expect("metrics")
    };
    let alarms = || {
        let text = server.stderr.text();
        let lines = text.lines().filter(|line| line.contains("reason=mappings_lost"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(metric("vital_entries", "nodes").await, Some(1.0));
    // Another tool writes the map anew, from what it knows.
    kubernetes.put_aws_auth(&format!("{admin}{DEVELOPERS}"), "");
    until(async || metric("losses_total", "nodes").await == Some(1.0)).await;
    assert_eq!(
        (metric("vital_entries", "nodes").await, metric("vital_entries", "administrators").await),
        (Some(0.0), Some(1.0))
    );
    // It is counted before it is told.
    until(async || !alarms().is_empty()).await;
    let told = alarms();
    assert!(told.len() == 1 && told[0].contains("level=error") && told[0].contains("whom=nodes"), "{told:?}");
    assert!(told[0].contains("resource_version="), "it can be found in Kubernetes' audit log: {told:?}");
    assert_eq!(name(&server, &ALICE).await, "dev:alice", "who is still written down goes on");
    // A typo is no loss: the last good document stays.
    kubernetes.put_aws_auth("- {", "");
    until(async || log_has(&server, &["the last good one stays"])).await;
    assert_eq!(metric("vital_entries", "administrators").await, Some(1.0));
    kubernetes.put_aws_auth(&format!("{nodes}{admin}"), "");
    until(async || metric("vital_entries", "nodes").await == Some(1.0)).await;
    kubernetes.delete_aws_auth();
    until(async || metric("losses_total", "administrators").await == Some(1.0)).await;
    until(async || alarms().len() > 1).await;
    let told = alarms();
    assert!(told.len() == 2 && told[1].contains("whom=\"administrators, nodes\""), "{told:?}");
    until(async || metric("losses_total", "nodes").await == Some(2.0)).await;
}

#[tokio::test]
async fn what_was_deleted_while_nobody_watched_is_gone_after_the_outage() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    kubernetes.set_down(true);
    until(async || log_has(&server, &["cannot be read", "what was read last stays in force"])).await;
    kubernetes.delete_aws_auth();
    assert_eq!(name(&server, &ALICE).await, "dev:alice", "an outage takes nothing away");
    assert!(is_ready(&server).await);
    kubernetes.set_down(false);
    becomes(&server, &ALICE, "not_mapped").await;
    until(async || log_has(&server, &["can be read again"])).await;
}

/// All of a kind go with its definition, and no list says so any more.
#[tokio::test]
async fn mappings_whose_definition_was_deleted_while_nobody_watched_let_nobody_in() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_identity("bob", BOB.arn, "bob", &["ops"]);
    let (_sts, server) = start(&kubernetes, "CRD").await;
    assert_eq!(name(&server, &BOB).await, "bob");
    kubernetes.set_down(true);
    until(async || log_has(&server, &["cannot be read", "what was read last stays in force"])).await;
    kubernetes.undefine(Kind::Identity);
    kubernetes.delete_identity("bob");
    assert_eq!(name(&server, &BOB).await, "bob", "an outage takes nothing away");
    kubernetes.set_down(false);
    becomes(&server, &BOB, "not_mapped").await;
    until(async || log_has(&server, &["mapping removed", "user/bob"])).await;
    assert!(is_ready(&server).await);
}

#[tokio::test]
async fn watches_go_on_after_a_break_and_begin_anew_when_history_is_gone() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    until(async || kubernetes.requests().1 == 1).await;
    kubernetes.drop_watches();
    kubernetes.put_aws_auth(DEVELOPERS, "");
    becomes(&server, &ALICE, "dev:alice").await;
    assert_eq!(kubernetes.requests().0, 1, "it went on without a list");
    for (in_stream, expected) in [(false, "one"), (true, "two")] {
        let lists = kubernetes.requests().0;
        until(async || kubernetes.requests().1 > lists).await;
        kubernetes.forget(in_stream);
        kubernetes.put_aws_auth(&DEVELOPERS.replace("dev:", &format!("{expected}:")), "");
        becomes(&server, &ALICE, &format!("{expected}:alice")).await;
        until(async || kubernetes.requests().0 > lists).await;
    }
}

#[tokio::test]
async fn a_role_that_may_list_but_not_watch_is_told_once_and_served_by_lists() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    kubernetes.refuse_watches();
    kubernetes.put_aws_auth(DEVELOPERS, "");
    becomes(&server, &ALICE, "dev:alice").await;
    kubernetes.delete_aws_auth();
    becomes(&server, &ALICE, "not_mapped").await;
    let told = |words: &str| server.stderr.text().lines().filter(|line| line.contains(words)).count();
    assert_eq!((told("cannot watch resource"), told("can be read again")), (1, 0), "{}", server.stderr.text());
}

#[tokio::test]
async fn identity_mappings_come_change_and_go() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_identity("bob", BOB.arn, "bob", &["ops"]);
    let (_sts, server) = start(&kubernetes, "CRD").await;
    assert_eq!((name(&server, &BOB).await, name(&server, &ALICE).await), ("bob".to_owned(), "not_mapped".to_owned()));
    let role = "arn:aws:iam::123456789012:role/Developers";
    kubernetes.put_identity("developers", role, "dev:{{SessionName}}", &[]);
    becomes(&server, &ALICE, "dev:alice").await;
    kubernetes.put_identity("developers", role, "engineer", &[]);
    becomes(&server, &ALICE, "engineer").await;
    kubernetes.put_identity("developers", "arn:aws:iam::123456789012:role/Others", "engineer", &[]);
    becomes(&server, &ALICE, "not_mapped").await;
    assert_eq!(name(&server, &BOB).await, "bob");
    kubernetes.put_identity("broken", "nonsense", "x", &[]);
    until(async || log_has(&server, &["left out", "key=broken.arn"])).await;
    kubernetes.delete_identity("bob");
    becomes(&server, &BOB, "not_mapped").await;
}

#[tokio::test]
async fn a_dynamic_file_is_followed_and_names_can_be_held_to_their_unique_id() {
    let sts = sts().await;
    let config = |strict: bool| {
        bare(&format!("backendMode: [DynamicFile]\n  dynamicfilepath: map.json\n  dynamicfileUserIDStrict: {strict}"))
    };
    let server = setup(&sts, &config(false)).start().await.expect("a server");
    let write = |text: &str| {
        std::fs::write(server.folder().join("new.json"), text).expect("a file");
        std::fs::rename(server.folder().join("new.json"), server.folder().join("map.json")).expect("the same folder");
    };
    let role = "arn:aws:iam::123456789012:role/Developers";
    let file = |name: &str, id: &str| {
        format!(
            r#"{{"LastUpdatedDateTime":"1700000000","Version":"1","mapRoles":[{{"rolearn":"{role}","username":"{name}","groups":[],"userid":"{id}"}}]}}"#
        )
    };
    becomes(&server, &ALICE, "not_mapped").await;
    write(&file("one", "AROAOTHER"));
    becomes(&server, &ALICE, "one").await;
    write("{");
    until(async || log_has(&server, &["DynamicFile", "cannot be read", "map.json:"])).await;
    assert_eq!(name(&server, &ALICE).await, "one");
    server.configure(&config(true)).expect("a file");
    until(async || log_has(&server, &["configuration not reloaded", "DynamicFile cannot be read"])).await;
    assert_eq!(name(&server, &ALICE).await, "one", "what cannot be read at all does not go live");
    write(&file("two", "AROAOTHER"));
    becomes(&server, &ALICE, "two").await;
    server.configure(&format!("{}# again\n", config(true))).expect("a file");
    becomes(&server, &ALICE, "not_mapped").await;
    write(&file("three", "AROADEVELOPERSEXAMPL"));
    becomes(&server, &ALICE, "three").await;
    std::fs::remove_file(server.folder().join("map.json")).expect("it was there");
    becomes(&server, &ALICE, "not_mapped").await;
}

#[tokio::test]
async fn bootstrap_admins_get_in_whatever_becomes_of_the_map() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes
        .put_aws_auth(DEVELOPERS, "- {userarn: 'arn:aws:iam::123456789012:user/bob', username: bob-of-the-map}\n");
    kubernetes.set_down(true);
    let sts = sts().await;
    let config = bare(&format!("backendMode: [EKSConfigMap]\n  bootstrapAdmins: ['{}']", BOB.arn));
    let server = beside(&sts, &kubernetes, &config).start().await.expect("a server");
    let admin = async || {
        let answer = login(&server, &BOB).await;
        assert_eq!(answer.username().as_deref(), Some("bootstrap-admin"), "{}", answer.text);
        assert_eq!(answer.groups(), ["system:masters"]);
        let stage = &answer.json()["status"]["user"]["extra"]["herald.dev/stage"];
        assert_eq!(*stage, serde_json::json!(["bootstrapAdmins"]));
        let id = &answer.json()["status"]["user"]["extra"]["herald.dev/decision-id"][0];
        let line = server.audit_of(id.as_str().expect("an id")).await.expect("its audit line");
        assert_eq!(line["stages"][0]["stage"], "bootstrapAdmins");
    };
    admin().await;
    kubernetes.set_down(false);
    becomes(&server, &ALICE, "dev:alice").await;
    admin().await;
    kubernetes.put_aws_auth("", "");
    becomes(&server, &ALICE, "not_mapped").await;
    admin().await;
    kubernetes.delete_aws_auth();
    admin().await;
}

#[tokio::test]
async fn a_mapping_ends_by_itself() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let (_sts, server) = start(&kubernetes, "EKSConfigMap").await;
    assert_eq!(name(&server, &ALICE).await, "dev:alice");
    let (seen, mut written) = (Cell::new(false), 0);
    // On a machine that is slow enough it has ended before anybody has seen it: then it has to last longer.
    for lasts in [9, 30, 120].map(Duration::from_secs) {
        let end = now() + lasts;
        let temporary = format!(
            "- {{rolearn: 'arn:aws:iam::123456789012:role/Developers', username: admin, groups: [system:masters], \
             notAfter: '{}'}}\n{DEVELOPERS}",
            humantime(end)
        );
        kubernetes.put_aws_auth(&temporary, "");
        written += 1;
        until(async || {
            seen.set(name(&server, &ALICE).await == "admin");
            seen.get() || now() > end
        })
        .await;
        if seen.get() {
            break;
        }
    }
    assert!(seen.get(), "{}", server.stderr.text());
    becomes(&server, &ALICE, "dev:alice").await;
    let changes = || server.stderr.text().lines().filter(|line| line.contains("mappings changed")).count();
    until(async || changes() >= written).await;
    assert_eq!(changes(), written, "nobody wrote anything when it ended");
}

fn humantime(time: std::time::SystemTime) -> String {
    let time = time::OffsetDateTime::from(time).replace_nanosecond(0).expect("no fraction");
    time.format(&time::format_description::well_known::Rfc3339).expect("a date")
}

#[tokio::test]
async fn a_source_that_was_never_read_holds_its_logins_back() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.set_down(true);
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let sts = sts().await;
    let own =
        format!("mapUsers: [{{userarn: '{}', username: bob}}]\n  backendMode: [MountedFile, EKSConfigMap]", BOB.arn);
    let server = beside(&sts, &kubernetes, &bare(&own)).start().await.expect("a server");
    assert_eq!(name(&server, &BOB).await, "bob", "an earlier source does not wait");
    let answer = login(&server, &ALICE).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("source_not_ready")), "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    until(async || server.get("/readyz").await.expect("an answer").text.contains("503: the fake is down")).await;
    let ready = server.get("/readyz").await.expect("an answer");
    assert_eq!(ready.status, 503);
    assert!(ready.text.starts_with("not ready: EKSConfigMap: "), "{}", ready.text);
    kubernetes.set_down(false);
    until(async || is_ready(&server).await).await;
    assert_eq!(name(&server, &ALICE).await, "dev:alice");
}

#[tokio::test]
async fn a_file_of_its_own_switches_the_sources_without_a_gap() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let sts = sts().await;
    let own = format!("mapUsers: [{{userarn: '{}', username: bob}}]\n  dynamicBackendModePath: mode.json", BOB.arn);
    let server = beside(&sts, &kubernetes, &bare(&own)).start().await.expect("a server");
    assert_eq!((name(&server, &BOB).await, name(&server, &ALICE).await), ("bob".to_owned(), "not_mapped".to_owned()));
    let mode = server.folder().join("mode.json");
    std::fs::write(&mode, r#"{"Version":"1","backendMode":"MountedFile EKSConfigMap"}"#).expect("a file");
    let started = tokio::time::Instant::now();
    loop {
        match name(&server, &ALICE).await.as_str() {
            "dev:alice" => break,
            other => assert_eq!(other, "not_mapped", "a new source is read before it is asked"),
        }
        assert!(started.elapsed() < SOON);
    }
    std::fs::remove_file(&mode).expect("it was there");
    becomes(&server, &ALICE, "not_mapped").await;
    assert_eq!(name(&server, &BOB).await, "bob");
}

#[tokio::test]
async fn a_kubeconfig_brings_authority_and_token_and_is_read_anew_when_it_is_refused() {
    let kubernetes = Kubernetes::start_secure().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let sts = sts().await;
    let config = bare("backendMode: [EKSConfigMap]\n  kubeconfig: cluster.kubeconfig");
    // The dev STS is a proxy, which the environment names.
    let setup = setup(&sts, &config).env("NO_PROXY", "127.0.0.1");
    let file = setup.folder().join("cluster.kubeconfig");
    let server = setup.start().await.expect("a server");
    until(async || server.get("/readyz").await.expect("an answer").text.contains("kubeconfig cannot be used")).await;
    std::fs::write(&file, kubernetes.kubeconfig("first-secret")).expect("a file");
    becomes(&server, &ALICE, "dev:alice").await;

    let next = kubernetes.kubeconfig("second-secret");
    kubernetes.put_aws_auth(DEVELOPERS, BOBS);
    until(async || log_has(&server, &["cannot be read", "401", "reason=kubernetes_forbidden"])).await;
    assert_eq!(name(&server, &BOB).await, "not_mapped");
    std::fs::write(&file, next).expect("a file");
    becomes(&server, &BOB, "bob").await;
    let said = server.stop().await.expect("an end");
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("-secret"), "a token stays out of the log");
}

#[tokio::test]
async fn verify_reads_the_sources_first() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_identity("bob", BOB.arn, "bob", &[]);
    let sts = sts().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    let config = bare(&format!("backendMode: [CRD]\n  master: {}", kubernetes.url()));
    std::fs::write(&file, config).expect("a file");
    let token = fresh(&BOB);
    let arguments = ["verify", "--config", file.to_str().expect("UTF-8"), "--token", &token, "--output", "json"];
    let verdict = herald::run(&arguments, sts.environment()).await.expect("herald runs").success().expect("a verdict");
    let json: serde_json::Value = serde_json::from_str(&verdict.stdout).expect("JSON");
    assert_eq!(json["Decision"]["user"]["username"], "bob", "{json}");
}
