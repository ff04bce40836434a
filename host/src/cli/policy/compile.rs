//! `herald policy compile`: machine code for the server, made where compiling may cost memory (an init
//! container, a build machine) and read from a folder that only Herald writes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::ensure;

use super::progress::Step;
use crate::{
    cli::Globals,
    config::Config,
    policy::{self, Compiled, CompiledFolder, Engine},
};

/// Compile policies to machine code, outside the server's process.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Components. Those of --config are compiled with their settings taken in; these take theirs at every decision.
    #[arg(value_name = "FILE")]
    pub components: Vec<PathBuf>,
    /// The server's state folder; the machine code goes below it, readable by this user alone.
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  herald policy compile --config /etc/herald/config.yaml --state-dir /var/herald    every policy of a server, with its settings
  herald policy compile oncall.wasm --state-dir /var/herald";

// === impl Command ===

impl Command {
    /// Compiles each component, and with `--config` each of its policies with its settings; prints its digest, its
    /// size and where its machine code is.
    ///
    /// # Errors
    ///
    /// When there is nothing to compile, a component does not compile or the folder cannot be written.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let Config { policies, .. } = globals.load()?;
        ensure!(
            !policies.is_empty() || !self.components.is_empty(),
            "name components, or a --config that has policies"
        );
        let folder = CompiledFolder::open(&self.state_dir.join(FOLDER))?;
        let engine = Engine::for_compiling()?;
        let told = |component: &Path| Step::start(format!("compiling {}", component.display()));
        for component in &self.components {
            let step = told(component);
            let compiled = policy::compile(&engine, component, &folder)?;
            drop(step);
            print(out, component, &compiled)?;
        }
        for policy in &policies {
            let step = told(&policy.component);
            let compiled = policy::compile_configured(&engine, policy, &folder)?;
            drop(step);
            print(out, &policy.component, &compiled)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(out: &mut impl Write, component: &Path, compiled: &Compiled) -> anyhow::Result<()> {
    writeln!(out, "policy   {}", component.display())?;
    writeln!(out, "sha256   {}", compiled.digest)?;
    writeln!(out, "settings {}", if compiled.has_settings { "taken in" } else { "taken at every decision" })?;
    writeln!(out, "code     {} bytes", compiled.code_bytes)?;
    writeln!(out, "file     {}", compiled.path.display())?;
    Ok(())
}

/// Folder below the state directory in which compiled policies are kept.
pub(in crate::cli) const FOLDER: &str = "compiled";
