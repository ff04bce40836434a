//! `herald policy test`: every case of a file against the component that the server would run.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::Value;

use super::cases::{Case, Document, Expectation, OwnedRequest};
use crate::policy::{
    self, Ceiling, CompiledFolder, Config, Engine, EngineConfig, Fault, Kind, Limits, LoadProblem, Mapping, OnFault,
    Policy, Verdict,
};

/// Run cases (a caller and the expected decision) against a built policy.
#[derive(clap::Args, Debug)]
pub struct Command {
    /// The policy's component.
    #[arg(value_name = "POLICY.wasm")]
    pub component: PathBuf,
    /// The cases.
    #[arg(value_name = "CASES.yaml")]
    pub cases: PathBuf,
}

/// What came of one case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The policy gave no answer.
    Fault(Fault),
    /// The policy did not take its settings; its words.
    Unloadable(String),
    /// The policy answered.
    Verdict(Verdict),
}

/// How many cases went which way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Cases that gave what was expected.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
}

// === impl Command ===

impl Command {
    /// Runs the cases and prints how each went. Exit code 1 if one failed.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not what it should be.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let cases = read(&self.cases)?;
        let summary = run(&cases, component(&self.component)?, out).context("cannot write the answer")?;
        Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Reads a file of cases.
///
/// # Errors
///
/// When it cannot be read, has a key that does not exist, or has no case at all.
pub fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> anyhow::Result<Vec<Case>> {
    let document: Document = serde_saphyr::from_str(text)?;
    let cases = document.into_cases();
    anyhow::ensure!(!cases.is_empty(), "there are no cases in it");
    Ok(cases)
}

/// Asks the policy in `path`, compiled once and loaded once for each of the settings.
fn component(path: &Path) -> anyhow::Result<impl FnMut(&Value, &OwnedRequest) -> Outcome> {
    let scratch = tempfile::tempdir().context("no folder for temporary files")?;
    let folder = CompiledFolder::open(&scratch.path().join("compiled"))?;
    let engine = Engine::new(&EngineConfig::default())?;
    policy::compile(&engine, path, &folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut config = config(path)?;
    let mut loaded: HashMap<String, Result<Policy, Outcome>> = HashMap::new();
    Ok(move |settings: &Value, request: &OwnedRequest| {
        let _scratch = &scratch;
        let policy = loaded.entry(settings.to_string()).or_insert_with(|| {
            config.settings.clone_from(settings);
            Policy::load(&engine, &config, Some(&folder)).map_err(|error| Outcome::unloadable(error.problem))
        });
        match policy {
            Ok(policy) => match runtime.block_on(policy.decide(&request.borrow())).verdict {
                Ok(verdict) => Outcome::Verdict(verdict),
                Err(fault) => Outcome::Fault(fault),
            },
            Err(outcome) => outcome.clone(),
        }
    })
}

/// Fuel bounds a case the same way on every machine; the clock only ends what hangs.
fn config(component: &Path) -> anyhow::Result<Config> {
    let limits = Limits::default();
    Ok(Config {
        name: "under-test".parse()?,
        kind: Kind::Map,
        component: component.to_owned(),
        sha256: None,
        settings: Value::Null,
        ceiling: Ceiling::default(),
        on_fault: OnFault::default(),
        limits: Limits::new(Limits::MAX_TIMEOUT, limits.memory(), limits.fuel())?,
    })
}

/// Runs each case through `evaluate` and writes how it went, then the count.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn run(
    cases: &[Case],
    mut evaluate: impl FnMut(&Value, &OwnedRequest) -> Outcome,
    out: &mut impl Write,
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    for case in cases {
        let found = evaluate(&case.settings, &case.request);
        match difference(&case.expect, &found) {
            None => {
                summary.passed += 1;
                writeln!(out, "ok      {}", case.name)?;
            }
            Some(difference) => {
                summary.failed += 1;
                writeln!(out, "FAILED  {}\n{difference}", case.name)?;
            }
        }
    }
    writeln!(out, "{} passed, {} failed", summary.passed, summary.failed)?;
    Ok(summary)
}

/// What is wrong with an outcome, an indented line for each thing; `None` if it is as expected.
fn difference(expected: &Expectation, found: &Outcome) -> Option<String> {
    match (expected, found) {
        (Expectation::Abstain, Outcome::Verdict(Verdict::Abstain)) => None,
        (Expectation::Deny(part), Outcome::Verdict(Verdict::Deny(why))) if why.contains(part) => None,
        (Expectation::Fault(reason), Outcome::Fault(fault)) if fault.reason() == reason => None,
        (Expectation::Unloadable(part), Outcome::Unloadable(why)) if why.contains(part) => None,
        (Expectation::Allow(expected), Outcome::Verdict(Verdict::Allow(found))) => {
            mapping_difference(&expected.clone().into(), found)
        }
        _ => {
            let mut text = String::new();
            line(&mut text, "", &expected.describe(), &found.describe());
            Some(text)
        }
    }
}

fn mapping_difference(expected: &Mapping, found: &Mapping) -> Option<String> {
    let mut text = String::new();
    let mut compare = |name, expected: String, found: String| {
        if expected != found {
            line(&mut text, name, &expected, &found);
        }
    };
    compare("username", format!("{:?}", expected.username), format!("{:?}", found.username));
    compare("uid", describe_uid(expected), describe_uid(found));
    compare("groups", format!("{:?}", expected.groups), format!("{:?}", found.groups));
    compare("extra", describe_extra(expected), describe_extra(found));
    (!text.is_empty()).then_some(text)
}

fn line(text: &mut String, name: &str, expected: &str, found: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
    let result = write!(text, "{gap}        {name}expected {expected}\n        {:1$}found    {found}", "", name.len());
    result.expect("a string takes all that is written to it");
}

// === impl Expectation ===

impl Expectation {
    fn describe(&self) -> String {
        match self {
            Self::Abstain => "abstain".to_owned(),
            Self::Allow(mapping) => format!("allow {}", describe_mapping(&mapping.clone().into())),
            Self::Deny(part) => format!("deny with {part:?} in its text"),
            Self::Fault(reason) => format!("fault {reason}"),
            Self::Unloadable(part) => format!("not to load, with {part:?} in the message"),
        }
    }
}

// === impl Outcome ===

impl Outcome {
    fn unloadable(problem: LoadProblem) -> Self {
        Self::Unloadable(match problem {
            LoadProblem::Settings(why) => why,
            other => other.to_string(),
        })
    }

    fn describe(&self) -> String {
        match self {
            Self::Fault(fault) => format!("fault {}: {fault}", fault.reason()),
            Self::Unloadable(why) => format!("not to load: {why:?}"),
            Self::Verdict(Verdict::Abstain) => "abstain".to_owned(),
            Self::Verdict(Verdict::Allow(mapping)) => format!("allow {}", describe_mapping(mapping)),
            Self::Verdict(Verdict::Deny(why)) => format!("deny {why:?}"),
        }
    }
}

fn describe_mapping(mapping: &Mapping) -> String {
    let Mapping { username, groups, .. } = mapping;
    let uid = mapping.uid.as_ref().map(|uid| format!(", uid {uid:?}")).unwrap_or_default();
    let extra = if mapping.extra.is_empty() { String::new() } else { format!(", extra {}", describe_extra(mapping)) };
    format!("{username:?}, groups {groups:?}{uid}{extra}")
}

fn describe_uid(mapping: &Mapping) -> String {
    mapping.uid.as_ref().map_or_else(|| "the host's own".to_owned(), |uid| format!("{uid:?}"))
}

/// In order of key: it has no meaning.
fn describe_extra(mapping: &Mapping) -> String {
    let mut extra: Vec<_> = mapping.extra.iter().map(|(key, values)| format!("{key}={values:?}")).collect();
    extra.sort();
    format!("{{{}}}", extra.join(", "))
}

#[cfg(test)]
mod tests;
