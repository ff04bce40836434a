//! Tables in the cluster: followed while Herald runs, whole versions or none, and never mistaken for empty ones.

use serde_json::json;
use tests::{
    herald::{Answer, Server},
    kubernetes::Kubernetes,
    policies,
    sts::{ALICE, BOB, Running},
};

use crate::support::{config, fresh, setup, sts, until};

/// alice is nobody's but the policy's, which asks the table `people`; bob is mapped before it.
pub(crate) fn asking(table: &str) -> String {
    let component = policies::build("tables").expect("a policy");
    let entry = format!(
        "  backendMode: [MountedFile, Policy/people]\n  policies:\n  - name: people\n    kind: map\n    component: {}\n    \
         tables: {{people: {table}}}\n    limits: {{timeout: 5s}}",
        component.display()
    );
    config(&entry).replace(":role/Developers", ":role/SomebodyElse")
}

async fn start(sts: &Running, kubernetes: &Kubernetes, table: &str) -> Server {
    setup(sts, &asking(table)).argument("--master").argument(&kubernetes.url()).start().await.expect("a server")
}

async fn alice(server: &Server) -> Answer {
    server.review(&fresh(&ALICE)).await.expect("an answer")
}

async fn named(server: &Server, name: &str) {
    until(async || alice(server).await.username().as_deref() == Some(name)).await;
}

async fn readyz(server: &Server) -> (u16, String) {
    let answer = server.get("/readyz?verbose").await.expect("an answer");
    (answer.status, answer.text)
}

#[tokio::test]
async fn a_policy_table_is_followed() {
    let (sts, kubernetes) = (sts().await, Kubernetes::start().await.expect("a fake"));
    let server = start(&sts, &kubernetes, "{policyTable: people}").await;
    // What is not there is not empty: whoever needs it is to come again, and nobody else notices.
    until(async || readyz(&server).await.1.contains("it is not there")).await;
    assert_eq!(readyz(&server).await.0, 503);
    let answer = alice(&server).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("policy_unavailable")), "{}", answer.text);
    let bob = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(bob.username().as_deref(), Some("bob"), "{}", bob.text);

    kubernetes.put_policy_table("people", &json!({"Developers": "one", "group:a": {"since": 2026}}));
    named(&server, "one").await;
    assert_eq!((readyz(&server).await.0, alice(&server).await.groups()), (200, vec!["group:a".to_owned()]));
    kubernetes.put_policy_table("people", &json!({"Developers": "two"}));
    named(&server, "two").await;
    let entries = "herald_source_entries{source=\"PolicyTable/people\"}";
    until(async || server.metric(entries).await.expect("metrics") == Some(1.0)).await;

    // What is no table leaves the last good one, and so does an outage.
    kubernetes.put_policy_table("people", &json!(["three"]));
    until(async || server.stderr.text().contains("the last good one stays: spec.entries: ")).await;
    assert_eq!(alice(&server).await.username().as_deref(), Some("two"));
    let refused = "herald_source_failures_total{source=\"PolicyTable/people\",reason=\"source_refused\"}";
    until(async || server.metric(refused).await.expect("metrics") == Some(1.0)).await;
    let told = r#""refusedTables":{"PolicyTable/people":"spec.entries: "#;
    until(async || readyz(&server).await.1.contains(told)).await;
    assert_eq!(readyz(&server).await.0, 200);
    kubernetes.put_policy_table("people", &json!({"Developers": "two"}));
    until(async || !readyz(&server).await.1.contains("refusedTables")).await;
    kubernetes.set_down(true);
    kubernetes.drop_watches();
    assert_eq!(alice(&server).await.username().as_deref(), Some("two"));
    kubernetes.set_down(false);

    // Taken away: neither as it was nor empty.
    kubernetes.delete_policy_table("people");
    until(async || alice(&server).await.status == 503).await;
    until(async || server.stderr.text().contains("policies cannot read it: it is not there")).await;
}

#[tokio::test]
async fn a_config_map_is_a_table_or_holds_one() {
    let (sts, kubernetes) = (sts().await, Kubernetes::start().await.expect("a fake"));
    kubernetes.put_config_map("people", &json!({"Developers": "one", "people.yaml": "Developers: two\ngroup:b: {}\n"}));
    let server = start(&sts, &kubernetes, "{configMap: people}").await;
    named(&server, "one").await;
    let server = start(&sts, &kubernetes, "{configMap: people, key: people.yaml}").await;
    named(&server, "two").await;
    assert_eq!(alice(&server).await.groups(), ["group:b"]);
    kubernetes.put_config_map("people", &json!({"people.yaml": "Developers: [three\n"}));
    until(async || server.stderr.text().contains("the last good one stays: people.yaml: line ")).await;
    assert_eq!(alice(&server).await.username().as_deref(), Some("two"));
    kubernetes.put_config_map("people", &json!({"people.yaml": "Developers: four\n"}));
    named(&server, "four").await;
}

#[tokio::test]
async fn tiers_of_accounts_stand_in_the_cluster() {
    let component = policies::build("account-tiers").expect("a policy");
    let (sts, kubernetes) = (sts().await, Kubernetes::start().await.expect("a fake"));
    kubernetes.put_policy_table("account-tiers", &json!({"123456789012": {"tier": "prod", "ou": "payments"}}));
    kubernetes.put_config_map("herald-tables", &json!({"123456789012": "blue"}));
    let entry = format!(
        "  policies:\n  - name: tiers\n    kind: augment\n    component: {}\n    \
         tables: {{accounts: {{policyTable: account-tiers}}, team: {{configMap: herald-tables}}}}\n    \
         settings: {{tables: [accounts, team]}}\n    ceiling: {{groups: ['account-*']}}\n    limits: {{timeout: 5s}}",
        component.display()
    );
    let server = setup(&sts, &config(&entry)).argument("--master").argument(&kubernetes.url()).start().await;
    let server = server.expect("a server");
    let groups = |names: &[&'static str]| [&["developers"], names].concat();
    until(async || {
        alice(&server).await.groups() == groups(&["account-ou:payments", "account-tier:prod", "account-team:blue"])
    })
    .await;
    kubernetes.put_policy_table("account-tiers", &json!({"123456789012": {"tier": "dev"}}));
    until(async || alice(&server).await.groups() == groups(&["account-tier:dev", "account-team:blue"])).await;
    // What nobody understands refuses those whom it is about.
    kubernetes.put_policy_table("account-tiers", &json!({"123456789012": {"tier": "x:y"}}));
    until(async || alice(&server).await.reason().as_deref() == Some("policy_broken")).await;
    kubernetes.put_policy_table("account-tiers", &json!({"999999999999": {"tier": "x:y"}}));
    until(async || alice(&server).await.groups() == groups(&["account-team:blue"])).await;
}

#[tokio::test]
async fn a_configuration_with_a_new_table_waits_for_it() {
    let (sts, kubernetes) = (sts().await, Kubernetes::start().await.expect("a fake"));
    kubernetes.put_policy_table("people", &json!({"Developers": "one"}));
    let server = start(&sts, &kubernetes, "{policyTable: people}").await;
    named(&server, "one").await;
    server.configure(&asking("{policyTable: others}")).expect("written");
    until(async || server.stderr.text().contains("PolicyTable/others cannot be read: it is not there")).await;
    assert_eq!(alice(&server).await.username().as_deref(), Some("one"));
    kubernetes.put_policy_table("others", &json!({"Developers": "other"}));
    server.configure(&asking("{policyTable: others }")).expect("written");
    named(&server, "other").await;
}
