//! `herald policy bench`: what one decision costs, many times over, against the limits.

use std::{
    io::Write,
    num::NonZeroU32,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    progress::Step,
    subject::{Asked, Question, Subject},
    terms::Powers,
};

/// Measure a policy: the distribution of its latency, its fuel and memory against the limits.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    asked: Asked,
    /// Decisions that are measured.
    #[arg(long, default_value = "2000", value_name = "N")]
    count: NonZeroU32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  herald policy bench oncall.wasm --settings oncall.yaml --arn arn:aws:sts::111122223333:assumed-role/OnCall/alice
  herald policy bench oncall.wasm --settings oncall.yaml --arn arn:aws:iam::111122223333:user/a --json
  herald policy bench oncall.wasm --case cases.yaml:'the wrong cluster' --count 10000";

/// Decisions before the first that counts: pools and caches fill.
const WARM_UP: u32 = 50;

// === impl Command ===

impl Command {
    /// Measures and prints. Exit code 1 if a decision faulted.
    ///
    /// # Errors
    ///
    /// When the policy does not load, or there is no such case.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let Question { request, case } = self.asked.question()?;
        let held = Powers::default().held(case.as_ref().map(|case| &case.terms))?;
        let loaded = self.subject.load_for(case.as_ref())?;
        let _step = Step::start("measuring");
        let mut times = Vec::new();
        let mut first = None;
        let (mut fuel, mut memory, mut faults) = (0, 0, 0_u32);
        for round in 0..WARM_UP.saturating_add(self.count.get()) {
            let started = Instant::now();
            let evaluation = loaded.ask(&request);
            let took = started.elapsed();
            first.get_or_insert(took);
            let evaluation = held.hold(evaluation, request.current.as_ref());
            if round >= WARM_UP {
                times.push(took);
                faults += u32::from(evaluation.verdict.is_err());
            }
            (fuel, memory) = (evaluation.fuel.max(fuel), evaluation.memory.max(memory));
        }
        times.sort_unstable();
        let first = first.unwrap_or_default();
        let limits = &loaded.limits;
        if self.json {
            let micros = |per_mille| share(&times, per_mille).as_secs_f64() * 1e6;
            let text = json!({
                "decisions": times.len(), "faults": faults, "loadMillis": loaded.load_time.as_secs_f64() * 1e3,
                "firstMicros": first.as_secs_f64() * 1e6,
                "micros": {"min": micros(0), "p50": micros(500), "p90": micros(900), "p99": micros(990), "max": micros(1000)},
                "fuel": fuel, "fuelLimit": limits.fuel(),
                "memoryBytes": memory, "memoryLimitBytes": limits.memory().bytes(),
                "timeLimitMicros": limits.timeout().as_secs_f64() * 1e6,
            });
            writeln!(out, "{text:#}")?;
        } else {
            writeln!(out, "decisions {} ({faults} faults), loaded in {:.1?}", times.len(), loaded.load_time)?;
            writeln!(out, "first     {first:.1?}, before the caches are filled")?;
            for (name, per_mille) in [("min", 0), ("p50", 500), ("p90", 900), ("p99", 990), ("max", 1000)] {
                let took = share(&times, per_mille);
                writeln!(
                    out,
                    "{name:<9} {took:.1?}, {} of {:.0?}",
                    part(took.as_secs_f64(), limits.timeout().as_secs_f64()),
                    limits.timeout()
                )?;
            }
            #[expect(clippy::cast_precision_loss, reason = "a percentage")]
            let of = |used: u64, limit: u64| part(used as f64, limit as f64);
            writeln!(out, "fuel      {fuel}, {} of {}", of(fuel, limits.fuel()), limits.fuel())?;
            let most = limits.memory().bytes();
            writeln!(out, "memory    {} KiB, {} of {} KiB", memory >> 10, of(memory, most), most >> 10)?;
        }
        Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The time that at least so many thousandths of all did not go beyond: of a few, the longest stands for the last hundredth.
fn share(sorted: &[Duration], per_mille: usize) -> Duration {
    sorted[(sorted.len() * per_mille).div_ceil(1000).saturating_sub(1)]
}

fn part(used: f64, limit: f64) -> String {
    format!("{:.1} %", used / limit * 100.0)
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

    /// As `herald policy run` asks it: an answer beyond what the case's file allows is a fault here too.
    #[test]
    fn a_case_is_measured_under_its_terms() {
        let fixture = Fixture::new(&Guest::naming().component());
        let check = |terms: &str, current: &str, expected: &str, code: ExitCode| {
            let cases = tempfile::NamedTempFile::new().expect("a file");
            let text = format!(
                "tables: {{rota: {{k: carol}}}}\nlimits: {{timeout: 5s}}\n{terms}\ncases:\n\
                 - {{name: one, caller: {{arn: 'arn:aws:iam::111122223333:user/a'}}, {current}expect: abstain}}\n"
            );
            std::fs::write(cases.path(), text).expect("written");
            let [component, case] = [fixture.path(), cases.path()].map(|path| path.to_str().expect("UTF-8"));
            let mut out = Vec::new();
            let command = Cli::parse_from(["bench", component, "--case", case, "--count", "3"]).command;
            let found = command.run(&mut out).expect("it runs");
            let out = String::from_utf8(out).expect("text");
            assert!(out.starts_with(expected), "{terms}: {out}");
            assert_eq!(found, code, "{terms}");
        };
        let (fine, faults) = ("decisions 3 (0 faults), ", "decisions 3 (3 faults), ");
        check("", "", fine, ExitCode::SUCCESS);
        check("ceiling: {usernames: [carol]}", "", fine, ExitCode::SUCCESS);
        check("ceiling: {usernames: [dave]}", "", faults, ExitCode::FAILURE);
        check("kind: map", "", fine, ExitCode::SUCCESS);
        check("kind: guard", "current: {username: erin}, ", faults, ExitCode::FAILURE);
    }

    #[test]
    fn shares_of_a_distribution() {
        let times: Vec<Duration> = (1..=1001).map(Duration::from_micros).collect();
        let micros = [0, 500, 990, 1000].map(|per_mille| share(&times, per_mille).as_micros());
        assert_eq!(micros, [1, 501, 991, 1001]);
        assert_eq!(share(&times[..1], 990).as_micros(), 1);
        let few = [0, 500, 900, 990].map(|per_mille| share(&times[..20], per_mille).as_micros());
        assert_eq!(few, [1, 10, 18, 20], "of twenty the longest is the last hundredth");
        assert_eq!(part(1.0, 8.0), "12.5 %");
    }
}
