//! Audit logs that `herald policy replay` asks again: each decision in one is counted once; nobody is the same of whom the log does not
//! say who he was, or as whom he was let in; and nothing of it steers a terminal.
#![no_main]

use std::path::Path;

use herald::{caller::letters::steers, cli::policy::replay::Replayer, config::Config};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Names people by two sources, whose names begin as no others do.
const CONFIG: &str = "\
clusterID: test-cluster
server:
  mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: 'dev:{{SessionName}}', groups: [developers]}]
  mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/bob', username: 'dev:bob'}]
";
const PREFIX: &str = "dev:";

thread_local! {
    static REPLAYER: Replayer<'static> = {
        let loaded = Config::parse(Path::new("fuzz.yaml"), CONFIG).expect("it loads");
        Replayer::of(Box::leak(Box::new(loaded.config))).expect("it builds")
    };
}

/// A second reader: the decisions in a log, each in a line of its own.
fn decisions(log: &[u8]) -> Vec<Value> {
    let lines = log.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let records = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_decided = |record: &Value| record["outcome"] == "allowed" || record["outcome"] == "denied";
    records.filter(|record| is_decided(record) && record["decisionId"].is_string()).collect()
}

/// Whether this configuration could have decided so, as far as the record says.
fn may_be_the_same(record: &Value) -> bool {
    let user = record["user"]["username"].as_str();
    let says_who = record["caller"]["arn"].is_string() && record["time"].is_string() && record["truncated"] != true;
    says_who && (record["outcome"] == "denied" || user.is_some_and(|name| name.starts_with(PREFIX)))
}

fuzz_target!(|log: &[u8]| {
    let (text, json) = REPLAYER.with(|replayer| replayer.told(log)).expect("memory can be read");
    let records = decisions(log);
    let count = |key: &str| json[key].as_u64().and_then(|count| usize::try_from(count).ok()).expect("a number");
    let [same, different, not_comparable, left_out] =
        ["same", "different", "notComparable", "withoutVerifiedCaller"].map(count);
    assert_eq!(same + different + not_comparable + left_out, records.len(), "{json}");
    assert!(same <= records.iter().filter(|record| may_be_the_same(record)).count(), "{json}");
    assert!(left_out <= records.iter().filter(|record| record["caller"].is_null()).count(), "{json}");
    assert!(text.chars().all(|letter| letter == '\n' || !steers(letter)), "{text:?}");
    let sum = format!(
        "{same} the same, {different} different, {not_comparable} not comparable, {left_out} without a verified caller\n"
    );
    assert!(text.ends_with(&sum), "{text}");
});
