//! Examples: the cases that a component carries, run before it goes live. One that fails keeps the policy out.
//!
//! Each runs as a login would, under the limits that the operator has set; only the clock is generous, so that a busy
//! machine fails no example. Where logins start from a snapshot, taking settings in is no part of an example's decision either.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;

use super::{
    Config, Engine, Limits, LoadProblem,
    cases::{Case, Outcome, difference},
    limits,
    loader::start,
    schema::Schema,
    text::tame,
    track::Track,
};

/// Longest that all examples of a component may take together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes kept of an example's name.
const MAX_NAME: usize = 256;
/// Most bytes kept of how an example differs.
const MAX_DIFFERENCE: usize = 2048;

/// Runs `cases` against the component behind `track`. `apart`: its settings are taken in under bounds of their own.
///
/// # Errors
///
/// [`LoadProblem::Example`] for the first that fails.
pub(super) fn run(
    engine: &Engine,
    config: &Config,
    track: &dyn Track,
    schema: Option<&Schema>,
    cases: &[Case],
    apart: bool,
) -> Result<(), LoadProblem> {
    let patient = Limits::new(Limits::MAX_TIMEOUT, config.limits.memory(), config.limits.fuel());
    let limits = patient.expect("what is configured is within bounds, and so is the maximum");
    let began = Instant::now();
    let problem = |case: &Case, difference: &str| LoadProblem::Example {
        name: tame(&case.name, MAX_NAME),
        difference: tame(difference, MAX_DIFFERENCE),
    };
    let mut refusals: HashMap<String, Option<String>> = HashMap::new();
    for case in cases {
        if began.elapsed() > PATIENCE {
            return Err(problem(case, "the examples before it took more than 10 s"));
        }
        let settings = case.settings.to_string();
        let refusal = refusals.entry(settings.clone()).or_insert_with(|| {
            let limits = if apart { limits.of_configure() } else { limits };
            let refused = refusal(engine, &limits, track, schema, case);
            refused.map(|problem| problem.words())
        });
        let found = match refusal {
            Some(why) => Outcome::Unloadable(why.clone()),
            None => ask(engine, &limits, track, &settings, case, apart),
        };
        if let Some(difference) = difference(&case.expect, &found) {
            let lines: Vec<&str> = difference.lines().map(str::trim).collect();
            return Err(problem(case, &lines.join(", ")));
        }
    }
    Ok(())
}

/// Why the policy does not take the settings of `case`; `None` if it does.
fn refusal(
    engine: &Engine,
    limits: &Limits,
    track: &dyn Track,
    schema: Option<&Schema>,
    case: &Case,
) -> Option<LoadProblem> {
    if let Some(violations) = schema.map(|schema| schema.check(&case.settings)).filter(|found| !found.is_empty()) {
        return Some(LoadProblem::Schema(violations));
    }
    engine.with_load_slot(|slot| start(&mut slot.store(limits), track, Some(&case.settings.to_string())).err())
}

fn ask(engine: &Engine, limits: &Limits, track: &dyn Track, settings: &str, case: &Case, apart: bool) -> Outcome {
    let request = case.request.borrow();
    let said = engine.with_load_slot(|slot| {
        let mut store = if apart { slot.store_apart(limits) } else { slot.store(limits) };
        store.data_mut().tables = case.request.tables.clone();
        store.data_mut().facts = case.request.facts.clone();
        track.decide(&mut store, Some(settings), &request).now_or_never().expect("a load never yields")
    });
    let verdict = match said {
        Ok(said) => said.and_then(limits::bounded),
        Err(error) => Err(limits::fault(&error)),
    };
    verdict.map_or_else(Outcome::Fault, Outcome::Verdict)
}
