//! Counter-examples as cases: in a file of their own, or at the end of a suite that is there already.
//!
//! A suite is its author's, comments and all, so text is put in and nothing is written anew. The result is read again: if any
//! case in it is not what it was, nothing is written.

use std::{fs, io, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    super::{build::beside, suite::Suite},
    draft::Draft,
};
use crate::{
    cli::aws_auth::on_disk,
    config::read_document,
    policy::{Ceiling, InvalidLimit, Kind, Limits, cases::Terms},
};

/// Where cases go.
pub(super) struct Saved<'a> {
    path: &'a Path,
    /// What was there; `None`: nothing.
    before: Option<String>,
    /// What is around the policy, and what it is held to: as a file of cases has it.
    around: &'a Value,
}

/// A case, key by key.
pub(super) type Entry = Vec<(&'static str, Value)>;

/// What cases inherit of their file.
const INHERITED: [&str; 2] = ["instance", "tags"];

// === impl Saved ===

impl<'a> Saved<'a> {
    /// Looks at what is there, so that nobody waits for a counter-example that cannot be saved.
    pub(super) fn open(path: &'a Path, around: &'a Value) -> anyhow::Result<Self> {
        let before = match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let saved = Self { path, before, around };
        saved.with(&entry(&Draft::simplest(), "nothing"))?;
        Ok(saved)
    }

    /// Saves a case that asks what `draft` asks. False if it is there already.
    pub(super) fn add(&self, draft: &Draft, what: &str) -> anyhow::Result<bool> {
        let Some(after) = self.with(&entry(draft, what))? else { return Ok(false) };
        let written = match &self.before {
            None => write_new(self.path, &after),
            Some(before) => on_disk::replace(self.path, before, &after),
        };
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(true)
    }

    /// The whole file with this case; `None` if it asks the same already.
    fn with(&self, entry: &Entry) -> anyhow::Result<Option<String>> {
        match self.before.as_deref() {
            Some(before) if !before.trim().is_empty() => {
                appended(before, self.around, entry).with_context(|| self.path.display().to_string())
            }
            _ => Ok(Some(alone(self.around, entry))),
        }
    }
}

/// Whole, or not at all where somebody else has made it meanwhile.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    beside(path, text.as_bytes())?.persist_noclobber(path)?;
    Ok(())
}

pub(super) fn entry(draft: &Draft, what: &str) -> Entry {
    let mut entry = vec![("name", Value::from(format!("never: {what}")))];
    entry.extend(draft.asked());
    entry.push(("expect", serde_json::json!({"deny": ""})));
    entry
}

/// A file of this case alone, with what is around the policy.
pub(super) fn alone(around: &Value, entry: &Entry) -> String {
    let around = around.as_object().into_iter().flatten();
    let around: String = around.map(|(key, value)| format!("{key}: {value}\n")).collect();
    format!("{around}cases:\n{}", block(entry, 0, "\n"))
}

/// As an item of a list that is indented by so much.
fn block(entry: &Entry, indent: usize, break_: &str) -> String {
    let blanks = " ".repeat(indent);
    let comment =
        "# Found by `herald policy fuzz`. Fails until the policy denies; change `expect` if it should abstain.";
    let dashes = ["- "].into_iter().chain(std::iter::repeat("  "));
    let lines = entry.iter().zip(dashes).map(|((key, value), dash)| format!("{blanks}{dash}{key}: {value}{break_}"));
    format!("{blanks}{comment}{break_}{}", lines.collect::<String>())
}

/// `before` with the case at the end of its list; `None` if it asks the same already.
fn appended(before: &str, around: &Value, entry: &Entry) -> anyhow::Result<Option<String>> {
    const ELSEWHERE: &str = "save into a file that is not there yet";
    let old = Suite::parse(before).with_context(|| format!("it is there, and is no suite of cases: {ELSEWHERE}"))?;
    let whole: Value = read_document(before).map_err(anyhow::Error::msg)?;
    let keys = |tables: Option<&Value>| tables.and_then(Value::as_object).cloned().unwrap_or_default();
    let is_same = keys(whole.get("tables")) == keys(around.get("tables"));
    ensure!(is_same, "its tables are not those of --table, and a case has none of its own: {ELSEWHERE}");
    let mut entry = entry.clone();
    let (settings, theirs) = (&around["settings"], whole.get("settings"));
    if theirs.map_or_else(|| *settings != serde_json::json!({}), |theirs| theirs != settings) {
        entry.insert(1, ("settings", settings.clone()));
    }
    for key in INHERITED {
        let (ours, theirs) = (around.get(key), whole.get(key));
        if ours != theirs {
            entry.push((key, ours.cloned().unwrap_or_else(|| "not-granted".into())));
        }
    }
    let new = Suite::parse(&alone(around, &entry))?;
    ensure!(
        meant(&old.terms)? == meant(&new.terms)?,
        "its kind, ceiling and limits are not those that are given here, and a case has none of its own: {ELSEWHERE}"
    );
    let asks =
        |suite: &Suite, at: usize| suite.cases.get(at).map(|case| format!("{:?} {:?}", case.settings, case.request));
    if (0..old.cases.len()).any(|at| asks(&old, at) == asks(&new, 0)) {
        return Ok(None);
    }
    let unsafe_ = || format!("a case cannot be put in safely, as its `cases` are no plain list in lines: {ELSEWHERE}");
    let after = inserted(before, &entry).with_context(unsafe_)?;
    let again = Suite::parse(&after).with_context(unsafe_)?;
    let written = |suite: &Suite| suite.cases.iter().map(|case| format!("{case:?}")).collect::<Vec<_>>();
    let is_whole = again.terms == old.terms && written(&again) == [written(&old), written(&new)].concat();
    ensure!(is_whole, unsafe_());
    Ok(Some(after))
}

/// What `terms` come to, said or not.
fn meant(terms: &Terms) -> Result<(Option<Kind>, Option<&Ceiling>, Limits), InvalidLimit> {
    Ok((terms.kind, terms.ceiling.as_ref(), terms.limits.patient()?))
}

/// The text with the case behind the last line of `cases` that says something; `None` where they are no list in lines.
fn inserted(text: &str, entry: &Entry) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let indent_of = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_item = |line: &str| line.trim() == "-" || line.trim_start().starts_with("- ");
    let is_key = |line: &&str| line.strip_prefix("cases:").is_some_and(|rest| !says(rest));
    let key = lines.iter().position(is_key)?;
    let first = key + 1 + lines[key + 1..].iter().position(|line| says(line))?;
    let indent = indent_of(lines[first]);
    let belongs = |line: &&str| !says(line) || indent_of(line) > indent || (indent_of(line) == indent && is_item(line));
    let end = first + lines[first..].iter().take_while(|line| belongs(line)).count();
    let last = first + lines[first..end].iter().rposition(|line| says(line))?;
    let (head, tail) = lines.split_at(last + 1);
    let break_ = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let (head, tail) = (head.concat(), tail.concat());
    let open = if head.ends_with('\n') { "" } else { break_ };
    Some(format!("{head}{open}{break_}{}{tail}", block(entry, indent, break_)))
}

#[cfg(test)]
mod tests;
