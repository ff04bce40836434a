//! The record of a decision: a line of the audit log.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use uuid::Uuid;

/// What is true of a caller whatever token there is.
const CALLER: [&str; 7] = ["provider", "partition", "accountId", "kind", "arn", "canonicalArn", "name"];
const CALLER_SESSION: [&str; 2] = ["sessionName", "ssoPermissionSet"];
/// What is true of a decision about nobody's token.
const DECISION: [&str; 5] = ["generation", "stages", "outcome", "reason", "message"];

/// The line about the decision `id`.
pub(super) fn find(log: &Path, id: Uuid) -> anyhow::Result<Value> {
    let cannot = || format!("cannot read {}", log.display());
    let id = id.to_string();
    for line in BufReader::new(File::open(log).with_context(cannot)?).split(b'\n') {
        let line = line.with_context(cannot)?;
        // Most lines are of other decisions, and some may be of other programs.
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        if !text.contains(&id) {
            continue;
        }
        match serde_json::from_str::<Value>(text) {
            Ok(record) if record["decisionId"] == id.as_str() && is_decided(&record) => return Ok(record),
            _ => {}
        }
    }
    bail!("{} has no decision {id}: it may be in an older file, or another server's", log.display())
}

/// Whether it says how it was decided. What does not is another program's, and lets nobody in.
fn is_decided(record: &Value) -> bool {
    record["outcome"] == "allowed" || record["outcome"] == "denied"
}

/// A record without what only a token can tell.
pub(super) fn without_what_is_made_up(mut record: Value) -> Value {
    let mut caller = record["caller"].take();
    keep(&mut caller, &[&CALLER[..], &CALLER_SESSION].concat());
    let mut user = record["user"].take();
    keep(&mut user, &["username", "groups"]);
    keep(&mut record, &DECISION);
    if !caller.is_null() {
        record["caller"] = caller;
    }
    if !user.is_null() {
        record["user"] = user;
    }
    record
}

/// A record of who the caller is, without a decision.
pub(super) fn caller_alone(mut record: Value) -> Value {
    keep(&mut record, &["caller"]);
    record
}

fn keep(value: &mut Value, keys: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| keys.contains(&key.as_str()));
    }
}
