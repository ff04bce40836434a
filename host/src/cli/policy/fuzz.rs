//! `herald policy fuzz`: made-up callers against what must never happen; a counter-example is made as small as can be
//! and becomes a case.
//!
//! Callers are put together from the words of the policy's own settings and tables, so that its rules are reached, and from
//! words that break things; they ask at the times that stand there, too. The same seed gives the same callers.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use self::draft::{Draft, Words};
use super::{
    progress::Step,
    subject::{Loaded, Subject},
};
use crate::policy::{Evaluation, Fault, Limits, Verdict};

mod draft;

/// Look for a caller to whom the policy does what it must never do.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    #[command(flatten)]
    subject: Subject,
    /// A group that nobody may be given; `*` is any run of characters. Can be given again.
    #[arg(long = "never-group", value_name = "PATTERN", default_value = "system:*")]
    never_groups: Vec<String>,
    /// A username that nobody may be given. Can be given again.
    #[arg(long = "never-username", value_name = "PATTERN", default_value = "system:*")]
    never_usernames: Vec<String>,
    /// Callers of this account may be given them. Can be given again.
    #[arg(long = "unless-account", value_name = "ACCOUNT")]
    unless_accounts: Vec<String>,
    /// Callers of no other accounts may be allowed anything. Can be given again.
    #[arg(long = "only-account", value_name = "ACCOUNT")]
    only_accounts: Vec<String>,
    /// Callers that are tried.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    count: u32,
    /// Where the callers begin.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write a counter-example into this file, as a case that fails until the policy denies or abstains.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  herald policy fuzz oncall.wasm --settings oncall.yaml
  herald policy fuzz oncall.wasm --settings oncall.yaml --never-group system:masters --unless-account 111122223333
  herald policy fuzz oncall.wasm --settings oncall.yaml --only-account 111122223333 --save found.yaml
  herald policy fuzz break-glass.wasm --table grants=grants.yaml --never-group 'system:*'";

/// Most attempts at making a counter-example smaller.
const MAX_SHRINKS: u32 = 2000;

// === impl Command ===

impl Command {
    /// Tries the callers. Exit code 1 if there is a counter-example.
    ///
    /// # Errors
    ///
    /// When the policy does not load, or the case cannot be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        // Fuel bounds a decision the same way on every machine; the clock only ends what hangs.
        let timeout = self.subject.timeout.or(Some(Limits::MAX_TIMEOUT));
        let loaded = Subject { timeout, ..self.subject.clone() }.load()?;
        let surroundings = self.subject.surroundings(&loaded.settings)?;
        let words = Words::of(&surroundings);
        let mut random = fastrand::Rng::with_seed(self.seed);
        let step = Step::start("trying callers");
        let mut drafts = (1..=self.count).zip(Draft::of_callers(&words, &mut random));
        let wrong = drafts.find_map(|(round, draft)| Some((round, self.wrong(&loaded, &draft)?, draft)));
        let wrong = wrong.map(|(round, found, draft)| (round, self.shrink(&loaded, draft, found)));
        drop(step);
        let Some((round, (draft, found))) = wrong else {
            writeln!(out, "{} callers, no counter-example (seed {})", self.count, self.seed)?;
            return Ok(ExitCode::SUCCESS);
        };
        writeln!(out, "counter-example after {round} callers: {}", found.what)?;
        found.write(out, &draft)?;
        if let Some(path) = &self.save {
            let case = case(surroundings, &draft, &found.what);
            fs::write(path, case).with_context(|| format!("cannot write {}", path.display()))?;
            writeln!(out, "saved     {}", path.display())?;
        }
        Ok(ExitCode::FAILURE)
    }

    /// What is wrong with the policy's answer to `draft`, each time that it is asked.
    fn wrong(&self, loaded: &Loaded, draft: &Draft) -> Option<Found> {
        lasting(|| self.once(loaded, draft))
    }

    /// What is wrong with one answer.
    fn once(&self, loaded: &Loaded, draft: &Draft) -> Option<Found> {
        let request = draft.request()?;
        let account = request.caller.account_id.as_str().to_owned();
        let evaluation = loaded.ask(&request);
        let had = request.current.as_ref();
        let what = match &evaluation.verdict {
            Err(fault) => format!("the policy faults: {} ({fault})", fault.reason()),
            Ok(Verdict::Abstain | Verdict::Deny(_)) => return None,
            Ok(Verdict::Allow(_)) if !self.only_accounts.is_empty() && !self.only_accounts.contains(&account) => {
                format!("a caller of account {account} is allowed")
            }
            Ok(Verdict::Allow(_)) if self.unless_accounts.contains(&account) => return None,
            Ok(Verdict::Allow(mapping)) => {
                let any = |patterns: &[String], name: &str| patterns.iter().any(|pattern| covers(pattern, name));
                let kept = |group: &String| had.is_some_and(|had| had.groups.contains(group));
                let group = mapping.groups.iter().find(|group| !kept(group) && any(&self.never_groups, group));
                let same = had.is_some_and(|had| had.username == mapping.username);
                let username = Some(&mapping.username).filter(|name| !same && any(&self.never_usernames, name));
                match (group, username) {
                    (Some(group), _) => format!("gives the group {group:?}"),
                    (None, Some(name)) => format!("gives the username {name:?}"),
                    (None, None) => return None,
                }
            }
        };
        Some(Found { what, evaluation })
    }

    /// The smallest caller for whom anything is still wrong; `found` is what is wrong for this one.
    fn shrink(&self, loaded: &Loaded, mut draft: Draft, mut found: Found) -> (Draft, Found) {
        let mut attempts = 0;
        'again: while attempts < MAX_SHRINKS {
            for smaller in draft.smaller() {
                attempts += 1;
                if let Some(still) = self.wrong(loaded, &smaller) {
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
    what: String,
    evaluation: Evaluation,
}

// === impl Found ===

impl Found {
    fn write(&self, out: &mut impl Write, draft: &Draft) -> io::Result<()> {
        writeln!(out, "caller    {}", draft.arn())?;
        if let Some(now) = draft.unusual_now() {
            writeln!(out, "asks at   {now}")?;
        }
        if let Some(current) = draft.current() {
            writeln!(out, "has       {:?}, groups {:?}", current.username, current.groups)?;
        }
        match &self.evaluation.verdict {
            Ok(Verdict::Allow(mapping)) => {
                writeln!(out, "gets      {:?}, groups {:?}", mapping.username, mapping.groups)
            }
            _ => Ok(()),
        }
    }
}

/// A file of cases with this one in it, and with what was around the policy. JSON is YAML too.
fn case(surroundings: Value, draft: &Draft, what: &str) -> String {
    let mut case = json!({
        "name": format!("never: {what}"),
        "caller": {"arn": draft.arn()},
        "expect": {"deny": ""},
    });
    if let Some(current) = draft.current() {
        case["current"] = json!({"username": current.username, "groups": current.groups});
        case["trail"] = json!(draft.trail());
    }
    if let Some(now) = draft.unusual_now() {
        case["now"] = json!(now);
    }
    let mut file = surroundings;
    file["cases"] = json!([case]);
    format!(
        "# Found by `herald policy fuzz`. Fails until the policy denies; change `expect` if it should abstain.\n{file:#}\n"
    )
}

/// Whether `name` is `pattern` with each `*` standing for any run of characters, whatever the case.
fn covers(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
