//! `herald policy test`: every case of a file against the component that the server would run.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use serde_json::Value;

use super::{cache::Cache, junit};
use crate::{
    cli::verify::Plain,
    config::read_document,
    policy::{
        Ceiling, Config, Engine, EngineConfig, Evaluation, Kind, Limits, Mode, OnFault, Policy,
        cases::{Case, Document, Outcome, OwnedRequest, difference},
    },
};

/// Run cases (a caller and the expected decision) against a built policy.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The policy's component.
    #[arg(value_name = "POLICY.wasm")]
    pub component: PathBuf,
    /// The cases.
    #[arg(value_name = "CASES.yaml")]
    pub cases: PathBuf,
    /// Also write a report in JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  herald policy test target/policies/oncall.wasm policies/oncall/cases.yaml
  herald policy test oncall.wasm cases.yaml --junit report.xml";

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
        let (mut evaluate, mut ran) = (component(&self.component)?, Vec::with_capacity(cases.len()));
        let timed = |settings: &Value, request: &OwnedRequest| {
            let started = Instant::now();
            let outcome = evaluate(settings, request);
            ran.push((started.elapsed(), outcome.clone()));
            outcome
        };
        let summary = run(&cases, timed, out).context("cannot write the answer")?;
        if let Some(path) = &self.junit {
            let ran: Vec<_> = cases.iter().zip(ran).map(|(case, (took, outcome))| (case, took, outcome)).collect();
            let report = junit::report(&self.component, &ran);
            fs::write(path, report).with_context(|| format!("cannot write {}", path.display()))?;
        }
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
    let document: Document = read_document(text).map_err(anyhow::Error::msg)?;
    let cases = document.into_cases();
    anyhow::ensure!(!cases.is_empty(), "there are no cases in it");
    Ok(cases)
}

/// Asks the policy in `path`, as [`evaluations`] does, for what is expected of it.
fn component(path: &Path) -> anyhow::Result<impl FnMut(&Value, &OwnedRequest) -> Outcome> {
    let mut evaluate = evaluations(path)?;
    Ok(move |settings: &Value, request: &OwnedRequest| {
        match evaluate(settings, request).map(|evaluation| evaluation.verdict) {
            Ok(Ok(verdict)) => Outcome::Verdict(verdict),
            Ok(Err(fault)) => Outcome::Fault(fault),
            Err(outcome) => outcome,
        }
    })
}

/// Asks the policy in `path`, compiled once and loaded once for each of the settings; or says why it does not load with them.
fn evaluations(path: &Path) -> anyhow::Result<impl FnMut(&Value, &OwnedRequest) -> Result<Evaluation, Outcome>> {
    let cache = Cache::open()?;
    cache.compile(path)?;
    let engine = Engine::new(&EngineConfig::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut config = config(path)?;
    let mut loaded: HashMap<String, Result<Policy, Outcome>> = HashMap::new();
    Ok(move |settings: &Value, request: &OwnedRequest| {
        let policy = loaded.entry(format!("{settings} {:?}", request.facts)).or_insert_with(|| {
            config.settings.clone_from(settings);
            config.cloud = request.facts.granted();
            Policy::load_with(&engine, &config, Some(cache.folder()), &request.tables)
                .map(|policy| policy.with_cloud(Arc::new(request.facts.clone())))
                .map_err(|error| Outcome::unloadable(error.problem))
        });
        match policy {
            Ok(policy) => Ok(runtime.block_on(policy.decide(&request.borrow()))),
            Err(outcome) => Err(outcome.clone()),
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
        tables: std::collections::BTreeMap::default(),
        cloud: Vec::new(),
        ceiling: Ceiling::default(),
        mode: Mode::Enforce,
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
                writeln!(out, "ok      {}", Plain(&case.name))?;
            }
            Some(difference) => {
                summary.failed += 1;
                writeln!(out, "FAILED  {}\n{difference}", Plain(&case.name))?;
            }
        }
    }
    writeln!(out, "{} passed, {} failed", summary.passed, summary.failed)?;
    Ok(summary)
}

#[cfg(test)]
mod tests;
