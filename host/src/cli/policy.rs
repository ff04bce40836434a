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
pub mod run;
pub mod subject;
pub mod suite;
pub mod terms;
pub mod test;

pub(super) use cache::shared;

const EXAMPLES: &str = "\
Examples:
  herald policy new --lang rust oncall
  herald policy build oncall
  herald policy test oncall";

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
            Self::Run(command) => command.run(out),
            Self::Test(command) => command.run(out),
        }
    }
}
