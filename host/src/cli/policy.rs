//! `herald policy`: write policies, build and test them, look into them, and compile them for the server.

use std::{io::Write, process::ExitCode};

use clap::Subcommand;

use super::Globals;

pub mod bench;
pub mod build;
mod cache;
pub mod check;
pub mod compile;
mod encode;
pub mod fuzz;
pub mod inspect;
mod junit;
mod language;
pub mod new;
mod progress;
pub mod replay;
pub mod run;
pub mod subject;
pub mod suite;
pub mod terms;
pub mod test;

pub(super) use cache::shared;

const EXAMPLES: &str = "\
Examples:
  herald policy new oncall --sdk herald/sdk/rust
  herald policy build oncall
  herald policy test oncall/target/policies/oncall.wasm oncall/cases.yaml";

/// Write, build, test, inspect and compile policies.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Measure a policy: latency, fuel and memory against the limits
    Bench(bench::Command),
    /// Build a policy's project into the component that the server loads
    Build(build::Command),
    /// Check a component as a server would before it loads, and say what to grant it
    Check(check::Command),
    /// Compile policies to machine code, outside the server's process
    Compile(compile::Command),
    /// Look for a caller to whom the policy does what it must never do
    Fuzz(fuzz::Command),
    /// Show what a component is, and what cannot happen whatever is in it
    Inspect(inspect::Command),
    /// Write a new policy's project, in Rust, Go, JavaScript or Python
    New(new::Command),
    /// Say who would be let in otherwise by a new configuration, of those in an audit log
    Replay(replay::Command),
    /// Ask a policy about one caller, and show decision, log and cost
    Run(run::Command),
    /// Run cases (a caller and the expected decision) against a built policy
    Test(test::Command),
}

// === impl Command ===

impl Command {
    /// Runs the subcommand. Its answer goes to `out`, its progress to stderr.
    ///
    /// # Errors
    ///
    /// When the subcommand could not do its work. Cases that fail are no error: they are the
    /// answer, and the exit code is 1.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Bench(command) => command.run(out),
            Self::Build(command) => command.run(out),
            Self::Check(command) => command.run(out),
            Self::Compile(command) => command.run(globals, out),
            Self::Fuzz(command) => command.run(out),
            Self::Inspect(command) => command.run(globals, out),
            Self::New(command) => command.run(out),
            Self::Replay(command) => command.run(globals, out),
            Self::Run(command) => command.run(out),
            Self::Test(command) => command.run(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::Cli;

    /// What a shell makes of a line, without a comment behind it and what it is piped into.
    fn words(line: &str) -> Vec<String> {
        let end = ["  ", " | "].into_iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
        let (mut words, mut is_quoted) = (vec![String::new()], false);
        for letter in line[..end].chars() {
            match letter {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted => words.push(String::new()),
                _ => words.last_mut().expect("there is one").push(letter),
            }
        }
        words
    }

    #[test]
    fn examples_can_be_called_as_they_are_written() {
        let mut all = Cli::command();
        all.build();
        let policy = all.find_subcommand("policy").expect("there is one");
        let mut seen = 0;
        for command in iter::once(policy).chain(policy.get_subcommands()) {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in examples.lines().filter_map(|line| line.strip_prefix("  ")) {
                if let Err(error) = Cli::try_parse_from(words(line)) {
                    panic!("{line}: {error}");
                }
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }
}
