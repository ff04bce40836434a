//! `herald policy compile`: machine code for the server, made where compiling may cost memory (an init
//! container, a build machine) and read from a folder that only Herald writes.

use std::{io::Write, path::PathBuf, process::ExitCode};

use crate::policy::{self, CompiledFolder, Engine};

/// Compile policies to machine code, outside the server's process.
#[derive(clap::Args, Debug)]
pub struct Command {
    /// The policies' components.
    #[arg(required = true, value_name = "FILE")]
    pub components: Vec<PathBuf>,
    /// The server's state folder; the machine code goes below it, readable by this user alone.
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
}

// === impl Command ===

impl Command {
    /// Compiles each component and prints its digest, its size and where its machine code is.
    ///
    /// # Errors
    ///
    /// When a component does not compile or the folder cannot be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let folder = CompiledFolder::open(&self.state_dir.join(FOLDER))?;
        let engine = Engine::for_compiling()?;
        for component in &self.components {
            let compiled = policy::compile(&engine, component, &folder)?;
            writeln!(out, "policy   {}", component.display())?;
            writeln!(out, "sha256   {}", compiled.digest)?;
            writeln!(out, "code     {} bytes", compiled.code_bytes)?;
            writeln!(out, "file     {}", compiled.path.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Folder below the state directory in which compiled policies are kept.
pub(in crate::cli) const FOLDER: &str = "compiled";
