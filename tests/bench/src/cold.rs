//! Cold starts: runs commands in turn (A B C A B C …) and takes the wall and CPU time of each run.
//!
//! CPU time comes from `getrusage(RUSAGE_CHILDREN)` before and after, so nothing else may be waited for
//! meanwhile: this module blocks its thread on purpose.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

use crate::{
    output,
    statistics::{Spread, percentile},
};

/// `bench cold`: commands are separated by `---` and each starts with the name to print.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Counted runs of each command.
    #[arg(long, default_value_t = 20)]
    repeat: usize,
    /// `KEY=VALUE` for the otherwise empty environment; may be given again.
    #[arg(long = "env", value_parser = key_value)]
    environment: Vec<(String, String)>,
    /// `NAME COMMAND [ARGUMENT]… [--- NAME COMMAND [ARGUMENT]…]…`
    #[arg(last = true, required = true)]
    commands: Vec<String>,
}

/// One command to start.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The name in tables.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Its whole environment.
    pub(crate) environment: Vec<(String, String)>,
    /// What its standard output must hold for the run to count as good; empty: anything.
    pub(crate) expect: &'static str,
}

/// What the runs of one command took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// Wall time of each run, in milliseconds.
    pub(crate) wall_ms: Vec<f64>,
    /// CPU time of each run, in milliseconds.
    pub(crate) cpu_ms: Vec<f64>,
    /// Runs that exited with an error or printed something else than expected.
    pub(crate) failed: usize,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let subjects = arguments.commands.split(|word| word == "---").map(|words| {
        let [name, program, rest @ ..] = words else { anyhow::bail!("a command is NAME COMMAND [ARGUMENT]…") };
        Ok(Subject {
            name: name.clone(),
            program: program.into(),
            arguments: rest.to_vec(),
            environment: arguments.environment.clone(),
            expect: "",
        })
    });
    let subjects = subjects.collect::<anyhow::Result<Vec<_>>>()?;
    output::line("| command | runs | wall ms | p90 | CPU ms | failed |");
    output::line("|---|---|---|---|---|---|");
    for (subject, runs) in subjects.iter().zip(time(&subjects, arguments.repeat)?) {
        let mut sorted = runs.wall_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let show = |values: &[f64]| Spread::of(values.iter().copied()).map_or_else(String::new, |s| s.to_string());
        output::line(format!(
            "| {} | {} | {} | {:.2} | {} | {} |",
            subject.name,
            sorted.len(),
            show(&runs.wall_ms),
            percentile(&sorted, 0.9),
            show(&runs.cpu_ms),
            runs.failed
        ));
    }
    Ok(())
}

/// Times `repeat` runs of each subject after two that do not count, the order shifted in each round.
///
/// # Errors
///
/// When a command cannot be started or the kernel gives no usage.
pub(crate) fn time(subjects: &[Subject], repeat: usize) -> anyhow::Result<Vec<Runs>> {
    time_after(|| (), subjects, repeat)
}

/// The same, with a wait before each run that does not count.
///
/// # Errors
///
/// As [`time()`].
pub(crate) fn time_after(wait: impl Fn(), subjects: &[Subject], repeat: usize) -> anyhow::Result<Vec<Runs>> {
    let mut all = vec![Runs::default(); subjects.len()];
    for round in 0..repeat + WARM_UP {
        for turn in 0..subjects.len() {
            let index = (turn + round) % subjects.len();
            wait();
            once(&subjects[index], &mut all[index], round >= WARM_UP)?;
        }
    }
    Ok(all)
}

fn once(subject: &Subject, runs: &mut Runs, counts: bool) -> anyhow::Result<()> {
    let mut command = Command::new(&subject.program);
    command.args(&subject.arguments).env_clear().envs(subject.environment.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let (cpu_before, began) = (children_cpu()?, Instant::now());
    let output = command.output().with_context(|| format!("cannot start {}", subject.name))?;
    let (wall, cpu) = (began.elapsed(), children_cpu()?.saturating_sub(cpu_before));
    if !output.status.success() || !String::from_utf8_lossy(&output.stdout).contains(subject.expect) {
        runs.failed += 1;
    }
    if counts {
        runs.wall_ms.push(wall.as_secs_f64() * 1000.0);
        runs.cpu_ms.push(cpu.as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// CPU time of all children that have ended and been waited for.
fn children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
}

fn key_value(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').context("must be KEY=VALUE")?;
    ensure!(!key.is_empty(), "the key is empty");
    Ok((key.to_owned(), value.to_owned()))
}

/// Runs that fill the page cache and are not counted.
const WARM_UP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(program: &str, arguments: &[&str], expect: &'static str) -> Subject {
        Subject {
            name: program.to_owned(),
            program: program.into(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            environment: Vec::new(),
            expect,
        }
    }

    #[test]
    fn failures_are_counted_by_exit_code_and_by_answer() {
        let sh = |script| subject("/bin/sh", &["-c", script], "yes");
        let subjects = [sh("echo yes"), sh("echo no"), sh("echo yes; exit 3")];
        let runs = time(&subjects, 1).expect("sh starts");
        assert_eq!(runs.iter().map(|runs| runs.failed).collect::<Vec<_>>(), [0, 3, 3]);
        assert!(runs.iter().all(|runs| runs.wall_ms.len() == 1 && runs.cpu_ms.len() == 1 && runs.wall_ms[0] > 0.0));
    }
}
