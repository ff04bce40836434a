//! `herald policy`: build policies, test them against cases, and compile them for the server.

use std::{io::Write, process::ExitCode};

use clap::Subcommand;

use super::Globals;

pub mod build;
pub mod compile;
mod encode;
pub mod test;

/// Build, test and compile policies.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a policy's crate into the component that the server loads
    Build(build::Command),
    /// Compile policies to machine code, outside the server's process
    Compile(compile::Command),
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
            Self::Build(command) => command.run(out),
            Self::Compile(command) => command.run(globals, out),
            Self::Test(command) => command.run(out),
        }
    }
}
