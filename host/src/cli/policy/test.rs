//! `herald policy test`: every case of one or several files against the component that the server would run.

use std::{
    collections::HashMap,
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

use super::{
    cache::Cache,
    junit,
    suite::Suite,
    terms::{Budget, Powers},
};
use crate::{
    cli::verify::Plain,
    policy::{
        Ceiling, Config, Engine, EngineConfig, Evaluation, Kind, Limits, LogLine, Mode, OnFault, Policy,
        cases::{Case, Outcome, OwnedRequest, difference},
    },
};

/// Run cases (a caller and the expected decision) against a built policy.
#[derive(clap::Args, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The policy's component.
    #[arg(value_name = "POLICY.wasm")]
    pub component: PathBuf,
    /// The cases, in one or several files. Options count for all of them, whatever a file says of kind, ceiling and limits.
    #[arg(value_name = "CASES.yaml", required = true)]
    pub cases: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) powers: Powers,
    #[command(flatten)]
    pub(super) budget: Budget,
    /// Also write a report in JUnit's XML, of all files.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  herald policy test target/policies/oncall.wasm policies/oncall/cases.yaml
  herald policy test oncall.wasm cases.yaml found.yaml --junit report.xml
  herald policy test guard.wasm cases.yaml --kind guard --memory 32Mi";

/// How many cases went which way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Cases that gave what was expected.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The answer, or why there is none.
    pub outcome: Outcome,
    /// What the policy logged.
    pub log: Vec<LogLine>,
    /// How long that took.
    pub took: Duration,
}

/// A component under test.
struct Tested<'a> {
    component: &'a Path,
    cache: Cache,
    engine: Engine,
    runtime: tokio::runtime::Runtime,
}

// === impl Command ===

impl Command {
    /// Runs the cases and prints how each went. Exit code 1 if one failed.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not what it should be.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let read = |path: &PathBuf| Suite::read(path);
        let suites = self.cases.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let tested = Tested::open(&self.component)?;
        let (mut total, mut reports) = (Summary::default(), Vec::with_capacity(suites.len()));
        for (path, suite) in self.cases.iter().zip(&suites) {
            if suites.len() > 1 {
                writeln!(out, "{}", path.display())?;
            }
            let mut ran = Vec::with_capacity(suite.cases.len());
            let mut ask = self.asking(&tested, suite).with_context(|| path.display().to_string())?;
            let noted = |case| {
                let one = ask(case);
                ran.push((case, one.clone()));
                one
            };
            total = total.with(run(&suite.cases, noted, out).context("cannot write the answer")?);
            reports.push((path.as_path(), ran));
        }
        writeln!(out, "{total}")?;
        if let Some(path) = &self.junit {
            let report = junit::report(&self.component, &reports);
            fs::write(path, report).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Asks what a case of `suite` asks, under the suite's terms where no option says otherwise.
    fn asking(&self, tested: &Tested<'_>, suite: &Suite) -> anyhow::Result<impl FnMut(&Case) -> Ran> {
        let held = self.powers.held(Some(&suite.terms))?;
        let limits = self.budget.limits().or(suite.terms.limits).patient()?;
        let mut evaluate = tested.evaluations(held.kind.unwrap_or(Kind::Map), limits)?;
        Ok(move |case: &Case| {
            let started = Instant::now();
            let answer = evaluate(&case.settings, &case.request);
            let took = started.elapsed();
            let answer = answer.map(|evaluation| held.hold(evaluation, case.request.current.as_ref()));
            let (outcome, log) = match answer {
                Ok(Evaluation { verdict, log, .. }) => (verdict.map_or_else(Outcome::Fault, Outcome::Verdict), log),
                Err(outcome) => (outcome, Vec::new()),
            };
            Ran { outcome, log, took }
        })
    }
}

// === impl Tested ===

impl<'a> Tested<'a> {
    /// Compiles it, unless that has been done before.
    fn open(component: &'a Path) -> anyhow::Result<Self> {
        let cache = Cache::open()?;
        cache.compile(component)?;
        let engine = Engine::new(&EngineConfig::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { component, cache, engine, runtime })
    }

    /// Asks it about cases of one file, loaded once for each of their settings; or says why it does not load with them.
    fn evaluations(
        &self,
        kind: Kind,
        limits: Limits,
    ) -> anyhow::Result<impl FnMut(&Value, &OwnedRequest) -> Result<Evaluation, Outcome>> {
        let mut config = self.config(kind, limits)?;
        let mut loaded: HashMap<String, Result<Policy, Outcome>> = HashMap::new();
        Ok(move |settings: &Value, request: &OwnedRequest| {
            let policy = loaded.entry(format!("{settings} {:?}", request.facts)).or_insert_with(|| {
                config.settings.clone_from(settings);
                config.cloud = request.facts.granted();
                Policy::load_with(&self.engine, &config, Some(self.cache.folder()), &request.tables)
                    .map(|policy| policy.with_cloud(Arc::new(request.facts.clone())))
                    .map_err(|error| Outcome::unloadable(error.problem))
            });
            match policy {
                Ok(policy) => Ok(self.runtime.block_on(policy.decide(&request.borrow()))),
                Err(outcome) => Err(outcome.clone()),
            }
        })
    }

    fn config(&self, kind: Kind, limits: Limits) -> anyhow::Result<Config> {
        Ok(Config {
            name: "under-test".parse()?,
            kind,
            component: self.component.to_owned(),
            sha256: None,
            settings: Value::Null,
            tables: std::collections::BTreeMap::default(),
            cloud: Vec::new(),
            ceiling: Ceiling::default(),
            mode: Mode::Enforce,
            on_fault: OnFault::default(),
            limits,
        })
    }
}

// === impl Summary ===

impl Summary {
    fn with(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Asks what each case asks and writes how it went; of one that failed, what the policy logged, too.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn run<'a>(cases: &'a [Case], mut ask: impl FnMut(&'a Case) -> Ran, out: &mut impl Write) -> io::Result<Summary> {
    let mut summary = Summary::default();
    for case in cases {
        let Ran { outcome, log, .. } = ask(case);
        match difference(&case.expect, &outcome) {
            None => {
                summary.passed += 1;
                writeln!(out, "ok      {}", Plain(&case.name))?;
            }
            Some(difference) => {
                summary.failed += 1;
                writeln!(out, "FAILED  {}\n{difference}", Plain(&case.name))?;
                for line in log {
                    writeln!(out, "        log {}: {}", line.level, Plain(&line.message))?;
                }
            }
        }
    }
    Ok(summary)
}

#[cfg(test)]
mod tests;
