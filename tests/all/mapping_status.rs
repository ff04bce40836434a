//! Status of IAMIdentityMappings: one of several servers writes it, and no login depends on it.

use serde_json::Value;
use tests::{
    herald::Server,
    kubernetes::{Kind, Kubernetes, Write},
    sts::{ALICE, BOB, Running},
};

use crate::support::{CLUSTER, fresh, patience, setup, sts, until};

/// A configuration with one source and more keys under `server`.
fn config(source: &str, more: &str) -> String {
    format!("clusterID: {CLUSTER}\nserver:\n  backendMode: [{source}]\n{more}{}\n", patience(more))
}

async fn start(sts: &Running, kubernetes: &Kubernetes, more: &str) -> Server {
    let server = setup(sts, &config("CRD", more))
        .argument("--master")
        .argument(&kubernetes.url())
        .start()
        .await
        .expect("a server");
    until(async || server.get("/readyz").await.expect("an answer").status == 200).await;
    server
}

fn condition(kubernetes: &Kubernetes, name: &str) -> Value {
    let object = kubernetes.object(Kind::Identity, name).unwrap_or_default();
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == "Accepted").cloned().unwrap_or_default()
}

fn holder(kubernetes: &Kubernetes) -> Option<String> {
    let lease = kubernetes.object(Kind::Lease, "herald-identity-mapping-status")?;
    Some(lease["spec"]["holderIdentity"].as_str()?.to_owned())
}

fn statuses(kubernetes: &Kubernetes) -> Vec<Write> {
    kubernetes.writes().into_iter().filter(|write| write.status).collect()
}

fn leads(server: &Server) -> bool {
    server.stderr.text().contains("this replica writes the statuses of mappings")
}

async fn name(server: &Server, person: &tests::sts::Person) -> Option<String> {
    server.review(&fresh(person)).await.expect("an answer").username()
}

#[tokio::test]
async fn one_of_two_servers_writes_and_the_other_takes_over() {
    let (kubernetes, sts) = (Kubernetes::start().await.expect("a fake"), sts().await);
    kubernetes.put_identity("bob", BOB.arn, "bob", &[]);
    kubernetes.put_identity("broken", "nonsense", "x", &[]);
    let first = start(&sts, &kubernetes, "").await;
    until(async || condition(&kubernetes, "bob")["status"] == "True").await;
    until(async || kubernetes.objects(Kind::Event).len() == 1).await;
    let broken = condition(&kubernetes, "broken");
    assert_eq!((&broken["status"], &broken["reason"]), (&"False".into(), &"InvalidArn".into()), "{broken}");
    assert_eq!(broken["observedGeneration"], 1);
    let object = kubernetes.object(Kind::Identity, "bob").expect("it is there");
    assert_eq!(object["status"]["canonicalARN"], BOB.arn);
    let event = &kubernetes.objects(Kind::Event)[0];
    assert_eq!((&event["involvedObject"]["name"], &event["reason"]), (&"broken".into(), &"InvalidArn".into()));

    let second = start(&sts, &kubernetes, "").await;
    let led_by = holder(&kubernetes).expect("somebody leads");
    // It has looked at the lease, and at a change of a mapping as well, before the first one wrote.
    kubernetes.put_identity("alice", "arn:aws:iam::123456789012:role/Developers", "dev:{{SessionName}}", &[]);
    until(async || condition(&kubernetes, "alice")["status"] == "True").await;
    until(async || name(&second, &ALICE).await.is_some()).await;
    until(async || leads(&first)).await;
    assert!(!leads(&second));
    assert_eq!(holder(&kubernetes), Some(led_by.clone()));
    assert_eq!(statuses(&kubernetes).len(), 3, "once an object: {:?}", statuses(&kubernetes));

    first.stop().await.expect("an end");
    until(async || leads(&second)).await;
    assert_ne!(holder(&kubernetes), Some(led_by));
    kubernetes.put_identity("broken", "arn:aws:iam::123456789012:role/Mended", "x", &[]);
    until(async || condition(&kubernetes, "broken")["status"] == "True").await;
    assert_eq!(condition(&kubernetes, "broken")["observedGeneration"], 2);
    assert_eq!(statuses(&kubernetes).len(), 4, "what says so already is not written again");
    assert_eq!(kubernetes.objects(Kind::Event).len(), 1);
    assert_eq!(name(&second, &BOB).await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn no_login_depends_on_it() {
    let (kubernetes, sts) = (Kubernetes::start().await.expect("a fake"), sts().await);
    kubernetes.put_identity("bob", BOB.arn, "bob", &[]);
    for verb in ["get", "create", "patch"] {
        kubernetes.forbid(verb, Kind::Lease);
    }
    let server = start(&sts, &kubernetes, "").await;
    let words = "statuses of mappings cannot be written";
    until(async || server.stderr.text().contains(words)).await;
    assert_eq!(name(&server, &BOB).await.as_deref(), Some("bob"));
    assert_eq!(server.get("/readyz").await.expect("an answer").status, 200);
    kubernetes.delete_identity("bob");
    until(async || name(&server, &BOB).await.is_none()).await;
    assert_eq!(server.stderr.text().matches(words).count(), 1);
    assert!(kubernetes.writes().is_empty());
}

#[tokio::test]
async fn whoever_does_not_want_it_has_none_of_it() {
    let (kubernetes, sts) = (Kubernetes::start().await.expect("a fake"), sts().await);
    kubernetes.put_identity("bob", BOB.arn, "bob", &[]);
    let writing = start(&sts, &kubernetes, "").await;
    until(async || condition(&kubernetes, "bob")["status"] == "True").await;
    writing.stop().await.expect("an end");
    let writes = kubernetes.writes().len();
    let silent = start(&sts, &kubernetes, "  identityMappingStatus: false\n").await;
    kubernetes.put_identity("alice", "arn:aws:iam::123456789012:role/Developers", "dev:{{SessionName}}", &[]);
    until(async || name(&silent, &ALICE).await.is_some()).await;
    silent.stop().await.expect("an end");
    assert_eq!(kubernetes.writes().len(), writes);
}

#[tokio::test]
async fn a_source_that_is_dropped_gives_its_lease_back() {
    let (kubernetes, sts) = (Kubernetes::start().await.expect("a fake"), sts().await);
    kubernetes.put_identity("bob", BOB.arn, "bob", &[]);
    let server = start(&sts, &kubernetes, "").await;
    until(async || condition(&kubernetes, "bob")["status"] == "True").await;
    let writes = "herald_status_writes_total{source=\"CRD\",result=\"ok\"}";
    // It is counted once the answer is there, which is after the object has it.
    until(async || server.metric(writes).await.expect("metrics") == Some(1.0)).await;
    assert!(holder(&kubernetes).is_some());
    server.configure(&config("MountedFile", "")).expect("written");
    until(async || holder(&kubernetes).is_none()).await;
    // And takes it again when it is back.
    server.configure(&config("CRD", "")).expect("written");
    until(async || holder(&kubernetes).is_some()).await;
    // Who writes statuses may lead before the configuration is in force, and a change until then has it read again.
    until(async || name(&server, &BOB).await.is_some()).await;
    // Without its status.
    server.configure(&config("CRD", "  identityMappingStatus: false\n")).expect("written");
    until(async || holder(&kubernetes).is_none()).await;
    assert_eq!(name(&server, &BOB).await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn writes_that_fail_are_counted_by_their_reason() {
    let (kubernetes, sts) = (Kubernetes::start().await.expect("a fake"), sts().await);
    kubernetes.forbid("patch", Kind::Identity);
    kubernetes.put_identity("bob", BOB.arn, "bob", &[]);
    let server = start(&sts, &kubernetes, "").await;
    let refused = "herald_status_writes_total{source=\"CRD\",result=\"kubernetes_forbidden\"}";
    // Once at least: it is tried again after a while.
    until(async || server.metric(refused).await.expect("metrics").is_some_and(|count| count >= 1.0)).await;
    let text = server.get_plain("metrics", "/metrics").await.expect("an answer").text;
    let is_written = |line: &str| line.starts_with("herald_status_writes_total{") && line.contains("result=\"ok\"");
    assert!(!text.lines().any(is_written), "{text}");
}

#[tokio::test]
async fn a_status_that_is_not_taken_holds_no_other_up() {
    let (kubernetes, sts) = (Kubernetes::start().await.expect("a fake"), sts().await);
    kubernetes.turn_status_down("a", true);
    kubernetes.put_identity("a", BOB.arn, "bob", &[]);
    kubernetes.put_identity("b", "arn:aws:iam::123456789012:role/Developers", "dev:{{SessionName}}", &[]);
    let server = start(&sts, &kubernetes, "").await;
    until(async || condition(&kubernetes, "b")["status"] == "True").await;
    // The next pass writes this one, and does not try the first one again.
    kubernetes.put_identity("c", "arn:aws:iam::123456789012:role/Others", "x", &[]);
    until(async || condition(&kubernetes, "c")["status"] == "True").await;
    assert_eq!(kubernetes.writes_turned_down(), 1);
    let words = "its status is not taken";
    until(async || server.stderr.text().contains(words)).await;
    assert_eq!(server.stderr.text().matches(words).count(), 1, "{}", server.stderr.text());
    let not_taken = "herald_status_writes_total{source=\"CRD\",result=\"not_taken\"}";
    assert_eq!(server.metric(not_taken).await.expect("metrics"), Some(1.0));
    assert_eq!(name(&server, &BOB).await.as_deref(), Some("bob"));
    // Another version of the object is another question, and no other line.
    kubernetes.put_identity("a", BOB.arn, "robert", &[]);
    until(async || kubernetes.writes_turned_down() == 2).await;
    kubernetes.turn_status_down("a", false);
    kubernetes.put_identity("a", BOB.arn, "bob", &[]);
    until(async || condition(&kubernetes, "a")["status"] == "True").await;
    assert_eq!(server.stderr.text().matches(words).count(), 1);
}
