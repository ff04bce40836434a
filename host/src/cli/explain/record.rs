//! The record of a decision: a line of the audit log.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    iter,
    path::Path,
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use serde::Deserialize as _;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    caller::{Arn, Caller, PrincipalId, SessionName, arn::ACS_PARTITION, made_up},
    provider::{alibaba, aws},
};

/// What is true of a caller whatever token there is.
const CALLER: [&str; 7] = ["provider", "partition", "accountId", "kind", "arn", "canonicalArn", "name"];
const CALLER_SESSION: [&str; 2] = ["sessionName", "ssoPermissionSet"];
/// What is true of a decision about nobody's token.
const DECISION: [&str; 6] = ["generation", "stages", "shadows", "outcome", "reason", "message"];

/// Longest line that is looked at, in bytes: far more than any record has.
const MAX_LINE: u64 = 1 << 20;

/// The line about the decision `id`.
pub(super) fn find(log: &Path, id: Uuid) -> anyhow::Result<Value> {
    let cannot = || format!("cannot read {}", log.display());
    let id = id.to_string();
    for line in lines(BufReader::new(File::open(log).with_context(cannot)?)) {
        // Most lines are of other decisions.
        let line = line.with_context(cannot)?;
        if !line.contains(&id) {
            continue;
        }
        match decision(&line) {
            Some(record) if record["decisionId"] == id.as_str() => return Ok(with_caller(record)),
            _ => {}
        }
    }
    bail!(
        "{} has no decision {id}: it may be in an older file or another server's, or left out, as denials are that come too often",
        log.display()
    )
}

/// Of a decision that was too long for a line, the caller's ARN alone is there, and in a place of its own.
fn with_caller(mut record: Value) -> Value {
    if record["truncated"] == true && record["arn"].is_string() {
        let arn = record["arn"].clone();
        record["caller"] = serde_json::json!({ "arn": arn });
    }
    record
}

/// The lines of `log` that may be records, one at a time: some may be of other programs, and no text at all.
pub(in crate::cli) fn lines(mut log: impl BufRead) -> impl Iterator<Item = io::Result<String>> {
    iter::from_fn(move || next_line(&mut log).transpose())
}

fn next_line(log: &mut impl BufRead) -> io::Result<Option<String>> {
    loop {
        let mut line = Vec::new();
        if log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if !line.ends_with(b"\n") && line.len() as u64 == MAX_LINE {
            log.skip_until(b'\n')?;
        } else if let Ok(text) = String::from_utf8(line) {
            return Ok(Some(text));
        }
    }
}

/// The record in `line`, if it is one of a decision and says how it was decided. What does not is another program's, or of
/// something beside a decision, and lets nobody in.
pub(in crate::cli) fn decision(line: &str) -> Option<Value> {
    let record: Value = serde_json::from_str(line).ok()?;
    let is_decided = record["outcome"] == "allowed" || record["outcome"] == "denied";
    (is_decided && record["decisionId"].is_string()).then_some(record)
}

/// The caller of `record`, verified `at` that time. When the token was signed and until when it was good is made up, as no record
/// has it.
pub(in crate::cli) fn caller(record: &Value, at: SystemTime) -> Option<Caller> {
    let record = &record["caller"];
    let text = |key: &str| record[key].as_str().map(str::to_owned);
    let arn = record["arn"].as_str()?.parse::<Arn>().ok()?;
    let mut caller = made_up::caller(&arn, at);
    caller.principal_id = text("principalId").map_or(caller.principal_id, PrincipalId::new);
    caller.session_name = text("sessionName").map(SessionName::new).or(caller.session_name);
    caller.access_key_id = text("accessKeyId").unwrap_or(caller.access_key_id);
    caller.sts_region = text("stsRegion").unwrap_or(caller.sts_region);
    caller.uid = text("uid").unwrap_or(caller.uid);
    caller.attributes = Vec::deserialize(&record["attributes"]).unwrap_or_default();
    caller.extra = if arn.partition() == ACS_PARTITION { &alibaba::reply::EXTRA } else { &aws::reply::EXTRA };
    Some(caller)
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
