//! `herald policy fuzz`: made-up callers against what must never happen; a counter-example is made as small as can be
//! and becomes a case.
//!
//! Callers are put together from the words of the policy's own settings and tables, so that its rules are reached, and from
//! words that break things; they ask at the times that stand there, too. The same seed gives the same callers.

use std::{
    io::{self, Write},
    num::NonZeroU32,
    path::PathBuf,
    process::ExitCode,
};

use serde_json::{Map, Value, json};

use self::{
    draft::{Draft, in_words},
    never::{Class, Never},
    save::Saved,
    words::Words,
};
use super::{
    progress::Step,
    subject::{Loaded, Subject, read_yaml},
    terms::{Budget, Held, Powers},
};
use crate::policy::{self, Evaluation, Fault, Limits, Verdict, cases::SomeLimits, sections::Sections};

mod draft;
mod never;
mod save;
mod words;

/// Look for a caller to whom the policy does what it must never do.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    powers: Powers,
    #[command(flatten)]
    never: Never,
    /// Callers that are tried.
    #[arg(long, default_value = "10000", value_name = "N")]
    count: NonZeroU32,
    /// Where the callers begin.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write a counter-example into this file, as a case that fails until the policy denies; where it should abstain, change the
    /// case's `expect`. Its file says the kind, the ceiling and the limits that are given here; one that is there already, with the
    /// same, gets one more case at its end.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  herald policy fuzz oncall.wasm --settings oncall.yaml
  herald policy fuzz oncall.wasm --settings oncall.yaml --only-account 111122223333 --save cases.yaml
  herald policy fuzz oncall.wasm --settings oncall.yaml --unless-arn 'arn:aws:iam::111122223333:role/Admin*'
  herald policy fuzz sso.wasm --settings sso.yaml --never-group 'prod:*' --unless-permission-set 111122223333/Admins
  herald policy fuzz guard.wasm --settings guard.yaml --kind guard --accept-fault unavailable
  herald policy fuzz break-glass.wasm --table grants=grants.yaml --kind augment";

/// Most attempts at making a counter-example smaller.
const MAX_SHRINKS: u32 = 2000;

/// What is asked, and what its answers are held to.
struct Attacked {
    loaded: Loaded,
    held: Held,
}

// === impl Command ===

impl Command {
    /// Tries the callers. Exit code 1 if there is a counter-example.
    ///
    /// # Errors
    ///
    /// When the policy does not load, or the case cannot be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        // Fuel bounds a decision the same way on every machine; the clock only ends what hangs.
        let timeout = self.subject.budget.timeout.or(Some(Limits::MAX_TIMEOUT));
        let subject = Subject { budget: Budget { timeout, ..self.subject.budget }, ..self.subject.clone() };
        let attacked = Attacked { loaded: subject.load()?, held: self.powers.held(None)? };
        let surroundings = self.subject.surroundings(&attacked.loaded.settings)?;
        let mut around = surroundings.clone();
        around.as_object_mut().expect("made as one").extend(self.terms()?);
        let save = self.save.as_deref().map(|path| Saved::open(path, &around)).transpose()?;
        let words = Words::of(&surroundings, &self.examples()?);
        let mut random = fastrand::Rng::with_seed(self.seed);
        let step = Step::start("trying callers");
        let mut drafts = (1..=self.count.get()).zip(Draft::of_callers(&words, attacked.held.kind, &mut random));
        let wrong = drafts.find_map(|(round, draft)| Some((round, self.wrong(&attacked, &draft, None)?, draft)));
        let wrong = wrong.map(|(round, found, draft)| (round, self.shrink(&attacked, draft, found)));
        drop(step);
        let Some((round, (draft, found))) = wrong else {
            writeln!(out, "{} callers, no counter-example (seed {})", self.count, self.seed)?;
            return Ok(ExitCode::SUCCESS);
        };
        writeln!(out, "counter-example after {round} callers: {}", found.what)?;
        found.write(out, &draft)?;
        if let Some((save, path)) = save.zip(self.save.as_ref()) {
            let word = if save.add(&draft, &found.what)? { "saved" } else { "there" };
            writeln!(out, "{word:<9} {}", path.display())?;
        }
        Ok(ExitCode::FAILURE)
    }

    /// What was given of kind, ceiling and limits, as a file of cases says it; nothing where it is what counts without a word.
    fn terms(&self) -> anyhow::Result<Map<String, Value>> {
        let (mut terms, mut limits, usual) = (Map::new(), Map::new(), SomeLimits::default().patient()?);
        if let Some(kind) = self.powers.kind {
            terms.insert("kind".to_owned(), json!(kind));
        }
        if let Some(path) = &self.powers.ceiling {
            terms.insert("ceiling".to_owned(), read_yaml(path)?);
        }
        let SomeLimits { timeout, memory, fuel } = self.subject.budget.limits();
        if let Some(timeout) = timeout.filter(|timeout| *timeout != usual.timeout()) {
            limits.insert("timeout".to_owned(), json!(humantime::format_duration(timeout).to_string()));
        }
        if let Some(memory) = memory.filter(|memory| *memory != usual.memory()) {
            limits.insert("memory".to_owned(), json!(memory.bytes()));
        }
        if let Some(fuel) = fuel.filter(|fuel| *fuel != usual.fuel()) {
            limits.insert("fuel".to_owned(), json!(fuel));
        }
        if !limits.is_empty() {
            terms.insert("limits".to_owned(), limits.into());
        }
        Ok(terms)
    }

    /// What the component's own examples are made of, without their names, which are prose; null if it has none.
    fn examples(&self) -> anyhow::Result<Value> {
        let bytes = policy::read(&self.subject.component)?;
        let examples = Sections::of(&bytes)?.examples.map(serde_json::from_slice).transpose()?;
        let mut examples: Value = examples.unwrap_or_default();
        let cases = examples.get_mut("cases").and_then(Value::as_array_mut);
        for case in cases.into_iter().flatten().filter_map(Value::as_object_mut) {
            case.remove("name");
        }
        Ok(examples)
    }

    /// What is wrong with the policy's answer to `draft`, each time that it is asked: the worst, or what is of this class.
    fn wrong(&self, attacked: &Attacked, draft: &Draft, class: Option<&Class>) -> Option<Found> {
        lasting(|| self.once(attacked, draft, class))
    }

    /// What is wrong with one answer.
    fn once(&self, attacked: &Attacked, draft: &Draft, class: Option<&Class>) -> Option<Found> {
        let request = draft.request()?;
        let evaluation = attacked.held.hold(attacked.loaded.ask(&request), request.current.as_ref());
        let wrong = self.never.wrong(&request, &evaluation);
        let mut wrong = wrong.into_iter().filter(|(found, _)| class.is_none_or(|class| class == found));
        wrong.next().map(|(class, what)| Found { class, what, evaluation })
    }

    /// The smallest caller for whom the same is wrong as for this one, which is `found`.
    fn shrink(&self, attacked: &Attacked, mut draft: Draft, mut found: Found) -> (Draft, Found) {
        let mut attempts = 0;
        'again: while attempts < MAX_SHRINKS {
            for smaller in draft.smaller().into_iter().filter(|smaller| smaller.is_asked(attacked.held.kind)) {
                attempts += 1;
                if let Some(still) = self.wrong(attacked, &smaller, Some(&found.class)) {
                    (draft, found) = (smaller, still);
                    continue 'again;
                }
            }
            break;
        }
        (draft, found)
    }
}

/// Asks, and asks again where the machine may have been at fault and not the policy: what does not repeat is no finding.
fn lasting(mut ask: impl FnMut() -> Option<Found>) -> Option<Found> {
    let found = ask()?;
    match found.evaluation.verdict {
        Err(Fault::Overloaded | Fault::Timeout | Fault::Unavailable(_)) => ask(),
        _ => Some(found),
    }
}

/// What the policy did.
struct Found {
    class: Class,
    what: String,
    evaluation: Evaluation,
}

// === impl Found ===

impl Found {
    fn write(&self, out: &mut impl Write, draft: &Draft) -> io::Result<()> {
        for (word, text) in draft.told() {
            writeln!(out, "{word:<9} {text}")?;
        }
        match &self.evaluation.verdict {
            Ok(Verdict::Allow(mapping)) => writeln!(out, "gets      {}", in_words(mapping)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
