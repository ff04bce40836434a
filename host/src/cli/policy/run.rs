//! `herald policy run`: one made-up caller, and all that comes of him.

use std::{io::Write, process::ExitCode, time::Instant};

use serde_json::json;

use super::{
    subject::{Asked, Question, Subject},
    terms::Powers,
};
use crate::{
    cli::verify::Plain,
    policy::{Evaluation, Verdict},
};

/// Ask a policy about one caller, and show decision, log and cost.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    powers: Powers,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  herald policy run oncall.wasm --settings oncall.yaml --arn arn:aws:sts::111122223333:assumed-role/OnCall/alice
  herald policy run guard.wasm --settings guard.yaml --arn arn:aws:iam::111122223333:user/bob --username bob --group admins
  herald policy run oncall.wasm --case cases.yaml:'the wrong cluster'";

// === impl Command ===

impl Command {
    /// Asks once and prints the answer. Exit code 1 if the policy faults.
    ///
    /// # Errors
    ///
    /// When the policy does not load, or there is no such case.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let Question { request, case } = self.asked.question()?;
        let held = self.powers.held(case.as_ref().map(|case| &case.terms))?;
        let loaded = self.subject.load_for(case.as_ref())?;
        let started = Instant::now();
        let evaluation = loaded.ask(&request);
        let took = started.elapsed();
        let evaluation = held.hold(evaluation, request.current.as_ref());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if self.json {
            writeln!(out, "{:#}", as_json(&evaluation, micros))?;
        } else {
            write(out, &evaluation, micros)?;
        }
        Ok(if evaluation.verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn as_json(evaluation: &Evaluation, micros: u64) -> serde_json::Value {
    let Evaluation { verdict, log, fuel, memory, node: _ } = evaluation;
    let decision = match verdict {
        Ok(Verdict::Abstain) => json!("abstain"),
        Ok(Verdict::Allow(mapping)) => json!({"allow": mapping}),
        Ok(Verdict::Deny(why)) => json!({"deny": why}),
        Err(fault) => json!({"fault": fault.reason(), "message": fault.to_string()}),
    };
    json!({"decision": decision, "log": log, "fuel": fuel, "memoryBytes": memory, "micros": micros})
}

fn write(out: &mut impl Write, evaluation: &Evaluation, micros: u64) -> std::io::Result<()> {
    match &evaluation.verdict {
        Ok(Verdict::Abstain) => writeln!(out, "decision  abstain")?,
        Ok(Verdict::Allow(mapping)) => {
            writeln!(out, "decision  allow")?;
            writeln!(out, "username  {}", Plain(&mapping.username))?;
            writeln!(out, "groups    {}", Plain(&mapping.groups.join(", ")))?;
            if let Some(uid) = &mapping.uid {
                writeln!(out, "uid       {}", Plain(uid))?;
            }
            for (key, values) in &mapping.extra {
                writeln!(out, "extra     {}: {}", Plain(key), Plain(&values.join(", ")))?;
            }
        }
        Ok(Verdict::Deny(why)) => writeln!(out, "decision  deny: {}", Plain(why))?,
        Err(fault) => writeln!(out, "decision  fault {}: {}", fault.reason(), Plain(&fault.to_string()))?,
    }
    for line in &evaluation.log {
        writeln!(out, "log       {}: {}", line.level, Plain(&line.message))?;
    }
    writeln!(out, "cost      {micros} µs, fuel {}, {} KiB of memory", evaluation.fuel, evaluation.memory >> 10)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::policy::tests::{Fixture, guest::Guest};

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }

    /// Counted by instruction: the number of every run on every machine.
    const FUEL: u64 = 14_000_194;

    #[test]
    fn one_decision_has_one_price() {
        let fixture = Fixture::new(&Guest::echoing().component());
        let ask = |more: &[&str]| {
            let arn = "arn:aws:sts::111122223333:assumed-role/Dev/alice";
            let arguments = ["run", fixture.path().to_str().expect("UTF-8"), "--timeout", "5s", "--arn", arn];
            let mut out = Vec::new();
            let code = Cli::parse_from([&arguments[..], more].concat()).command.run(&mut out).expect("it runs");
            assert_eq!(code, ExitCode::SUCCESS);
            String::from_utf8(out).expect("text")
        };
        let json: serde_json::Value = serde_json::from_str(&ask(&["--json"])).expect("JSON");
        assert_eq!(json["decision"]["allow"]["username"], "Dev", "{json}");
        assert_eq!(json["fuel"], FUEL, "{json}");
        let text = ask(&[]);
        assert!(text.starts_with("decision  allow\nusername  Dev\n"), "{text}");
        assert!(text.contains(&format!(" µs, fuel {FUEL}, ")), "{text}");
    }

    /// A policy would abstain, and nobody would know why.
    #[test]
    fn a_role_is_nobody() {
        #[track_caller]
        fn check(arn: &str, session: &str) {
            let command = Cli::parse_from(["run", "nowhere.wasm", "--arn", arn]).command;
            let told = command.asked.question().expect_err("it is a role").to_string();
            assert_eq!(told, format!("{arn} is a role, and nobody is one: ask with {session}"));
        }
        check("arn:aws-cn:iam::111122223333:role/a/Dev", "arn:aws-cn:sts::111122223333:assumed-role/Dev/NAME");
        check("acs:ram::1111222233334444:role/Dev", "acs:ram::1111222233334444:assumed-role/Dev/NAME");
    }

    /// What a case says of caller, time and terms counts, unless an option says otherwise.
    #[test]
    fn a_case_is_asked() {
        let fixture = Fixture::new(&Guest::naming().component());
        let cases = tempfile::NamedTempFile::new().expect("a file");
        let text = "
tables: {rota: {k: carol}}
ceiling: {usernames: [carol, dave]}
limits: {timeout: 5s}
cases:
- {name: one, caller: {arn: 'arn:aws:iam::111122223333:user/a'}, expect: abstain}
- {name: 'two: b', clusterId: prod, caller: {arn: 'arn:aws:iam::111122223333:user/a', principalId: AIDAX}, expect: abstain}
";
        std::fs::write(cases.path(), text).expect("written");
        let other = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(other.path(), "k: dave").expect("written");
        let path = cases.path().to_str().expect("UTF-8");
        let command = |more: &[&str]| {
            let arguments = ["run", fixture.path().to_str().expect("UTF-8"), "--case"];
            Cli::parse_from([&arguments[..], more].concat()).command
        };
        let ask = |more: &[&str]| {
            let mut out = Vec::new();
            command(more).run(&mut out).expect("it runs");
            String::from_utf8(out).expect("text")
        };
        let two = format!("{path}:two: b");
        let question = command(&[&two]).asked.question().expect("a case");
        let asked = (question.request.cluster_id.as_str(), question.request.caller.principal_id.as_str());
        assert_eq!(asked, ("prod", "AIDAX"));
        assert!(ask(&[&two]).contains("username  carol"), "{}", ask(&[&two]));
        let table = format!("rota={}", other.path().display());
        assert!(ask(&[&two, "--table", &table]).contains("username  dave"));
        let ceiling = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(ceiling.path(), "usernames: [erin]").expect("written");
        let above = ask(&[&two, "--ceiling", ceiling.path().to_str().expect("UTF-8")]);
        assert!(above.contains("policy_out_of_bounds"), "{above}");
        let error = command(&[path]).run(&mut Vec::new()).expect_err("two cases");
        assert!(format!("{error:#}").contains("it has 2 cases: name one behind a colon"), "{error:#}");
        for more in [&["--case", path, "--arn", "arn:aws:iam::111122223333:root"][..], &[]] {
            assert!(Cli::try_parse_from([&["run", "policy.wasm"], more].concat()).is_err(), "{more:?}");
        }
    }
}
