//! An explanation for people.

use std::io::{self, Write};

use serde_json::Value;

use super::Explanation;
use crate::{
    cli::verify::Plain,
    mapping::{bootstrap_admins, mounted_file},
};

/// Keys of a recorded caller, and what they are called here.
const CALLER: [(&str, &str); 6] = [
    ("arn", "arn"),
    ("canonicalArn", "canonical arn"),
    ("accountId", "account"),
    ("principalId", "principal id"),
    ("sessionName", "session"),
    ("ssoPermissionSet", "permission set"),
];

/// Keys of a recorded change, and what they are called here.
const CHANGES: [(&str, &str); 7] = [
    ("letsIn", "would let in"),
    ("refuses", "would refuse"),
    ("username", "username from, to"),
    ("uid", "uid from, to"),
    ("groupsAdded", "groups more"),
    ("groupsRemoved", "groups less"),
    ("extraChanged", "other extra"),
];

/// The stages whose entries stand in the configuration.
const OF_THE_FILE: [&str; 2] = [bootstrap_admins::NAME, mounted_file::NAME];

/// Writes all of it.
pub(super) fn write(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    if !explanation.token.is_empty() {
        writeln!(out, "token")?;
    }
    for step in &explanation.token {
        let line = format!("{:<14} {:<6} {}", step.check, step.verdict.word(), Plain(&step.detail));
        writeln!(out, "  {}", line.trim_end())?;
    }
    if let Some(record) = &explanation.record {
        self::record(explanation, record, out)?;
    }
    if explanation.other_configuration {
        writeln!(out, "  the file at hand is another configuration than the one that decided")?;
    }
    if let Some(why) = &explanation.unchecked {
        writeln!(out, "  not checked whether the file at hand is the configuration that decided: {}", Plain(why))?;
    }
    if !explanation.near.is_empty() {
        writeln!(out, "near misses")?;
    }
    for near in &explanation.near {
        let object = near.object.as_ref().map_or_else(String::new, |object| format!("{object}, "));
        writeln!(out, "  {}line {}: {}", Plain(&object), near.line, Plain(&near.message))?;
        if let Some(fix) = &near.fix {
            writeln!(out, "    fix: {}", Plain(fix))?;
        }
    }
    if !explanation.unread.is_empty() {
        writeln!(out, "not looked through")?;
    }
    for why in &explanation.unread {
        writeln!(out, "  {}", Plain(why))?;
    }
    if let Some(rbac) = &explanation.rbac {
        rbac.write(out)?;
    }
    match &explanation.fix {
        Some(fix) => writeln!(out, "what to do\n  {}", Plain(fix)),
        None => Ok(()),
    }
}

fn record(explanation: &Explanation, record: &Value, out: &mut impl Write) -> io::Result<()> {
    if let Some(caller) = record["caller"].as_object() {
        writeln!(out, "caller{}", if explanation.made_up { ", made up" } else { "" })?;
        for (key, name) in CALLER {
            field(out, name, caller.get(key).and_then(Value::as_str))?;
        }
    }
    let asked = record["stages"].as_array().is_some_and(|stages| !stages.is_empty());
    if asked && record["caller"].is_null() {
        writeln!(out, "caller\n  hidden: its account is one of `scrubbedAccounts`")?;
    }
    let stages = record["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !stages.is_empty() {
        writeln!(out, "stages")?;
    }
    for stage in stages {
        let word = |key: &str| stage[key].as_str().unwrap_or_default();
        let of_the_file = OF_THE_FILE.contains(&word("stage")) && word("verdict") != "abstain";
        let entry = explanation.entry.filter(|_| of_the_file);
        let line = entry.map_or_else(String::new, |line| format!(" by the entry on line {line}"));
        writeln!(out, "  {:<14} {}{line}", Plain(word("stage")).to_string(), Plain(word("verdict")))?;
        if let Some(node) = stage["node"].as_object() {
            let part = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
            let name = Some(part("name")).filter(|name| !name.is_empty()).unwrap_or("not found");
            writeln!(out, "    node: {} (source: {})", Plain(name), Plain(part("source")))?;
        }
        for line in stage["log"].as_array().into_iter().flatten() {
            let part = |key: &str| line[key].as_str().unwrap_or_default();
            writeln!(out, "    {}: {}", Plain(part("level")), Plain(part("message")))?;
        }
    }
    shadows(record, out)?;
    decision(record, out)
}

/// What policies in shadow mode would have changed.
fn shadows(record: &Value, out: &mut impl Write) -> io::Result<()> {
    let shadows = record["shadows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !shadows.is_empty() {
        writeln!(out, "in shadow mode")?;
    }
    for shadow in shadows {
        let word = |key: &str| shadow[key].as_str().unwrap_or_default();
        let name = Plain(word("stage")).to_string();
        writeln!(
            out,
            "  {name:<14} {}{}",
            Plain(word("verdict")),
            if shadow["same"] == true { ", nothing changes" } else { "" }
        )?;
        for (key, name) in CHANGES {
            let text = match &shadow[key] {
                Value::String(text) => text.clone(),
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                _ => continue,
            };
            writeln!(out, "    {name}: {}", Plain(&text))?;
        }
    }
    Ok(())
}

fn decision(record: &Value, out: &mut impl Write) -> io::Result<()> {
    let Some(outcome) = record["outcome"].as_str() else { return Ok(()) };
    writeln!(out, "decision")?;
    field(out, "id", record["decisionId"].as_str())?;
    field(out, "time", record["time"].as_str())?;
    if outcome == "allowed" {
        let user = &record["user"];
        let groups: Vec<&str> = user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        field(out, "username", user["username"].as_str().or_else(|| record["username"].as_str()))?;
        field(out, "groups", Some(&groups.join(", ")).filter(|text| !text.is_empty()).map(String::as_str))?;
        field(out, "uid", user["uid"].as_str())?;
    } else {
        let message = record["message"].as_str().unwrap_or_default();
        let reason = record["reason"].as_str().unwrap_or_default();
        let both = if message.is_empty() { reason.to_owned() } else { format!("{message} ({reason})") };
        field(out, outcome, Some(&both))?;
    }
    field(out, "generation", record["generation"].as_str())?;
    if record["truncated"] == true {
        writeln!(out, "  the rest is not known: the line was too long for the audit log, which has a part of it")?;
    }
    Ok(())
}

fn field(out: &mut impl Write, name: &str, value: Option<&str>) -> io::Result<()> {
    value.map_or(Ok(()), |value| writeln!(out, "  {name:<14} {}", Plain(value)))
}
