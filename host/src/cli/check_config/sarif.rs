//! Findings for code scanning (OASIS, "Static Analysis Results Interchange Format Version 2.1.0").

use std::io::Write;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Named, findings};
use crate::config::{CheckId, Finding, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// What a path may hold and a URI may not (RFC 3986, "Path").
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Writes one run with every finding.
pub(super) fn write(files: &[Named], out: &mut impl Write) -> anyhow::Result<()> {
    let rules: Vec<Value> =
        CheckId::ALL.iter().map(|id| json!({"id": id, "shortDescription": {"text": id.about()}})).collect();
    let results: Vec<Value> = findings(files).map(|(named, finding)| result(named, finding)).collect();
    let driver = json!({"name": "herald", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
    let run = json!({"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results});
    serde_json::to_writer_pretty(&mut *out, &json!({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}))?;
    Ok(writeln!(out)?)
}

fn result(named: &Named, finding: &Finding) -> Value {
    let index = CheckId::ALL.iter().position(|id| *id == finding.id);
    let key = if finding.path.is_empty() { String::new() } else { format!(" ({})", finding.path) };
    let message = format!("{}{key}", finding.text());
    let uri = utf8_percent_encode(&named.name, PATH).to_string();
    json!({
        "ruleId": finding.id,
        "ruleIndex": index,
        "level": match finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        "message": {"text": message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": finding.at.line.max(1), "startColumn": finding.at.column.max(1)},
        }}],
    })
}
