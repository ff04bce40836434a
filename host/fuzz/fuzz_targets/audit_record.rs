//! Audit logs that `herald explain` looks a decision up in: whatever stands in them, only a record that says so lets anybody in,
//! and nothing of it steers a terminal.
#![no_main]

use std::{fs, path::PathBuf, process::ExitCode, sync::LazyLock, time::SystemTime};

use herald::{
    caller::letters::steers,
    cli::{Globals, cluster::Cluster, explain::Command, verify::Output},
};
use herald_fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ID: &str = "019b7600-0000-7000-8000-000000000000";

static LOG: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("audit.log"));

fn explain(output: Output) -> Option<(ExitCode, String)> {
    let command = Command {
        token: None,
        arn: None,
        decision: Some(ID.parse().expect("an id")),
        audit_log: Some(LOG.clone()),
        offline: false,
        ec2: false,
        output,
        partition: None,
        rbac: false,
        cluster: Cluster::default(),
    };
    let mut out = Vec::new();
    let code = command.run(&Globals::default(), std::io::empty(), SystemTime::UNIX_EPOCH, &mut out).ok()?;
    Some((code, String::from_utf8(out).expect("text")))
}

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*LOG, bytes).expect("written");
    // A second reader: the first line about this decision.
    let is_allowed = |record: &Value| record["outcome"] == "allowed";
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut records =
        lines.filter(|line| line.contains(ID)).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let record =
        records.find(|record| record["decisionId"] == ID && (is_allowed(record) || record["outcome"] == "denied"));
    let Some((code, text)) = explain(Output::Text) else { return assert!(record.is_none()) };
    let record = record.expect("what is explained is there");
    assert_eq!(code == ExitCode::SUCCESS, is_allowed(&record));
    assert!(text.chars().all(|letter| letter == '\n' || !steers(letter)), "{text:?}");
    let (code, json) = explain(Output::Json).expect("the same again");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code == ExitCode::SUCCESS, &json["outcome"]), (is_allowed(&record), &record["outcome"]));
});
