//! A thousand versions of aws-auth, and of a PolicyTable, that nobody can have meant, one after another. Each is waited for, so that
//! none is passed over.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tests::{
    herald::Server,
    kubernetes::{Kubernetes, garbled},
    sts::{ALICE, BOB, EVE, Person},
};

use crate::{
    support::{CLUSTER, SOON, fresh, patience, setup, sts, until},
    tables::asking,
};

const GARBLED: usize = 1_000;
/// Each that is good is a new version of the policy, which has to pass its examples.
const GARBLED_TABLES: usize = 200;
const DEVELOPERS: &str = "\
# the developers
- rolearn: arn:aws:iam::123456789012:role/Developers
  username: dev:{{SessionName}}
  groups: [developers]
- rolearn: arn:aws:iam::123456789012:role/Others
  username: other:{{SessionName}}
  groups:
  - others
";
/// What the process log says of each of the documents, before it says where and why.
const REFUSED: [&str; 3] = [
    "msg=\"the last good one stays: mapRoles does not parse, line ",
    "msg=\"the last good one stays: mapUsers does not parse, line ",
    "msg=\"the last good one stays: mapAccounts does not parse, line ",
];
const ACCOUNTS: &str = "\
# partners
- \"111122223333\"
- '444455556666'
";
const PEOPLE: &str = "\
Developers: dev
Others: other
group:readers: yes
";

async fn name(server: &Server, person: &Person) -> Option<String> {
    let answer = server.review(&fresh(person)).await.expect("an answer");
    assert!([200, 503].contains(&answer.status), "{}", answer.text);
    assert!(answer.groups().iter().all(|group| !group.starts_with("system:")), "{}", answer.text);
    answer.username()
}

/// What stderr has from byte `from` on, once `end` is in it.
async fn told(server: &Server, from: usize, end: &str) -> String {
    let found = |text: &str| text.get(from..).filter(|said| said.contains(end)).map(str::to_owned);
    let said = server.stderr.wait_for(SOON, found).await;
    said.unwrap_or_else(|| panic!("{end} is not told: {:?}", server.stderr.text().get(from..)))
}

/// The reasons for which aws-auth, or a table, could not be taken, and how often: as metrics tell them.
async fn failures(server: &Server, source: &str) -> Vec<String> {
    let text = server.get("/metrics").await.expect("metrics").text;
    let of_source = format!("herald_source_failures_total{{source=\"{source}\",");
    text.lines().filter_map(|line| line.strip_prefix(&of_source)).map(str::to_owned).collect()
}

/// The `nth` object: one document garbled or the other, or two of them, or an object that has none of the three.
fn garbled_object(nth: usize) -> Value {
    let text = garbled(DEVELOPERS, nth);
    let nothing = [
        json!({}),
        json!({ "data": null }),
        json!({ "data": {} }),
        json!({ "binaryData": { "mapRoles": STANDARD.encode(DEVELOPERS) } }),
        json!({ "data": { "maproles": DEVELOPERS, "mapRoles.yaml": DEVELOPERS, "roles": text }, "immutable": false }),
    ];
    match nth % 5 {
        0 => json!({ "data": { "mapRoles": text, "mapUsers": "" } }),
        1 => json!({ "data": { "mapRoles": DEVELOPERS, "mapUsers": text } }),
        2 => json!({ "data": { "mapRoles": text, "mapUsers": text } }),
        3 => json!({ "data": { "mapRoles": DEVELOPERS, "mapAccounts": garbled(ACCOUNTS, nth) } }),
        _ => nothing[nth / 5 % nothing.len()].clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_garbled_config_maps_let_nobody_in_and_the_next_good_one_is_in_force() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let sts = sts().await;
    let text = format!("clusterID: {CLUSTER}\nserver:\n  backendMode: [EKSConfigMap]\n{}\n", patience(""));
    let server = setup(&sts, &text).argument("--master").argument(&kubernetes.url()).start().await.expect("a server");
    until(async || name(&server, &ALICE).await.as_deref() == Some("dev:alice")).await;
    let before = server.resident_kib().expect("it runs");
    let (mut from, mut refused, mut kept) = (server.stderr.text().len(), 0, 0);
    for nth in 0..GARBLED {
        let was = if nth % 8 == 0 { Some(name(&server, &ALICE).await) } else { None };
        kubernetes.put_aws_auth_object(&garbled_object(nth));
        let said = told(&server, from, "msg=\"mappings changed\"").await;
        from += said.len();
        for line in said.lines().filter(|line| line.contains("source=EKSConfigMap")) {
            let is_refused = REFUSED.iter().any(|words| line.contains(words));
            assert!(is_refused || !line.contains("level=error"), "{nth}: no reason that is known: {line}");
            assert!(line.contains(" check=") || !line.contains("level=warning"), "{nth}: which check? {line}");
            refused += usize::from(is_refused);
        }
        if let Some(was) = was {
            let is = name(&server, &ALICE).await;
            if said.contains(REFUSED[0]) {
                assert_eq!(is, was, "{nth}: the last good one stays");
                kept += 1;
            }
            assert!(nth % 5 != 4 || is.is_none(), "{nth}: documents that are not there map nobody");
            assert_eq!((name(&server, &BOB).await, name(&server, &EVE).await), (None, None), "{nth}: in none of them");
        }
    }
    let counted = format!("reason=\"source_refused\"}} {refused}");
    assert_eq!(failures(&server, "EKSConfigMap").await, [counted]);
    assert!(refused > GARBLED / 4 && kept > 10, "{refused} refused, {kept} of them looked at");
    kubernetes.put_aws_auth(&DEVELOPERS.replace("dev:", "engineer:"), "");
    until(async || name(&server, &ALICE).await.as_deref() == Some("engineer:alice")).await;
    kubernetes.put_aws_auth("", "- {userarn: 'arn:aws:iam::123456789012:user/bob', username: bob}");
    until(async || name(&server, &BOB).await.as_deref() == Some("bob")).await;
    assert_eq!((name(&server, &ALICE).await, name(&server, &EVE).await), (None, None));
    let after = server.resident_kib().expect("it runs");
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
}

/// The entries of a PolicyTable whose writer has lost his way: no object, keys without a value, or other values.
fn garbled_entries(nth: usize) -> Value {
    let text = garbled(PEOPLE, nth);
    let entry = |line: &str| match line.split_once(": ") {
        Some((key, value)) => (key.to_owned(), json!(value)),
        None => (line.to_owned(), Value::Null),
    };
    match nth % 6 {
        0 => json!(text),
        1 => json!(text.lines().collect::<Vec<_>>()),
        2 => text.lines().map(entry).collect(),
        3 => json!({ "Developers": { "name": text } }),
        4 => json!({ "Developers": text }),
        _ => [json!(nth), json!(true), Value::Null, json!(0.5)][nth / 6 % 4].clone(),
    }
}

/// What there is to take of it: texts by key; nothing of what is no table.
fn table(entries: &Value) -> Option<BTreeMap<String, String>> {
    let nothing = Map::new();
    let object = if entries.is_null() { &nothing } else { entries.as_object()? };
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    object.iter().map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_garbled_policy_tables_leave_the_last_good_one_in_force() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let people = json!({ "Developers": "dev", "group:readers": "yes" });
    kubernetes.put_policy_table("people", &people);
    let sts = sts().await;
    let server = setup(&sts, &asking("{policyTable: people}")).argument("--master").argument(&kubernetes.url());
    let server = server.start().await.expect("a server");
    until(async || name(&server, &ALICE).await.as_deref() == Some("dev")).await;
    let before = server.resident_kib().expect("it runs");
    let mut good = table(&people).expect("a table");
    let (mut from, mut refused) = (server.stderr.text().len(), 0);
    for nth in 0..GARBLED_TABLES {
        let entries = garbled_entries(nth);
        let was = if nth % 7 == 0 { Some(name(&server, &ALICE).await) } else { None };
        kubernetes.put_policy_table("people", &entries);
        let found = table(&entries);
        let is_refused = found.is_none();
        match found {
            None => {
                refused += 1;
                let counted = format!("reason=\"source_refused\"}} {refused}");
                let count = async {
                    while failures(&server, "PolicyTable/people").await != [counted.as_str()] {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                assert!(tokio::time::timeout(SOON, count).await.is_ok(), "{nth}: it is not refused: {entries}");
            }
            // Nothing has changed, and so nothing is said.
            Some(found) if found == good => {}
            Some(found) => {
                from += told(&server, from, "msg=\"table changed\"").await.len();
                good = found;
            }
        }
        if let Some(was) = was {
            let is = name(&server, &ALICE).await;
            assert!(is == was || !is_refused, "{nth}: the last good one stays: {is:?}");
            assert!(is.is_none() || is.as_ref() == good.get("Developers"), "{nth}: {is:?} is not in {good:?}");
            assert_eq!(name(&server, &BOB).await.as_deref(), Some("bob"), "{nth}: he needs no table");
            assert_eq!(name(&server, &EVE).await, None, "{nth}");
        }
    }
    assert!(refused > GARBLED_TABLES / 4, "{refused}");
    kubernetes.put_policy_table("people", &json!({ "Developers": "engineer" }));
    until(async || name(&server, &ALICE).await.as_deref() == Some("engineer")).await;
    let after = server.resident_kib().expect("it runs");
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
}
