//! `herald policy compile`: machine code for the server, made where compiling may cost memory (an init
//! container, a build machine) and read from a folder that only Herald writes.

use std::{
    env, fs,
    io::Write,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use super::progress::Step;
use crate::{
    cli::Globals,
    config::Config,
    policy::{self, ByteSize, Compiled, CompiledFolder, Engine, LoadError, Name},
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
    /// Of the policies of --config this one alone.
    #[arg(long, value_name = "NAME", conflicts_with = "components")]
    pub only: Option<Name>,
    /// Step back for others on this machine: lowest priority, one processor, the first to go where memory runs out, and at
    /// most so much of it, e.g. 512Mi. A server compiles large policies so.
    #[arg(long, value_name = "MEMORY")]
    pub background: Option<ByteSize>,
}

/// This binary, even if there is another one in its place by now (proc(5)).
pub(in crate::cli) const MYSELF: &str = "/proc/self/exe";
/// Has the allocator (mimalloc, "Environment options") take memory as it is used: a gigabyte that is only reserved would be
/// over any limit. It is read before `main`.
const AS_IT_IS_USED: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");
/// The lowest priority (nice(2)).
const LAST: i32 = 19;
/// Whom the kernel ends first when there is no memory left (proc(5), "oom_score_adj").
const EXPENDABLE: &str = "1000";

const EXAMPLES: &str = "\
Examples:
  herald policy compile --config /etc/herald/config.yaml --state-dir /var/herald    every policy of a server, with its settings
  herald policy compile oncall.wasm --state-dir /var/herald";

// === impl Command ===

impl Command {
    /// Compiles each component, and with `--config` each of its policies with its settings, unless that has been done; prints
    /// its digest, its size and where its machine code is.
    ///
    /// # Errors
    ///
    /// When there is nothing to compile, a component does not compile or the folder cannot be written.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if let Some(memory) = self.background {
            step_back(memory)?;
        }
        let Config { policies, .. } = globals.load()?;
        ensure!(
            !policies.is_empty() || !self.components.is_empty(),
            "name components, or a --config that has policies"
        );
        let engine = match self.background {
            Some(_) => Engine::for_compiling_aside(),
            None => Engine::for_compiling(),
        }?;
        let folder = CompiledFolder::open(&self.state_dir.join(FOLDER))?;
        if let Some(name) = &self.only {
            let policy = policies.iter().find(|policy| policy.name == *name);
            let policy = policy.with_context(|| format!("no policy of --config is called {name}"))?;
            told(out, &policy.component, || policy::compile_configured(&engine, policy, &folder))?;
            return Ok(ExitCode::SUCCESS);
        }
        for component in &self.components {
            told(out, component, || policy::compile(&engine, component, &folder))?;
        }
        for policy in &policies {
            told(out, &policy.component, || policy::compile_configured(&engine, policy, &folder))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Compiles `component`, with a word about it where that takes long, and prints what came of it.
fn told(
    out: &mut impl Write,
    component: &Path,
    compile: impl FnOnce() -> Result<Compiled, LoadError>,
) -> anyhow::Result<()> {
    let step = Step::start(format!("compiling {}", component.display()));
    let compiled = compile()?;
    drop(step);
    print(out, component, &compiled)
}

/// Leaves the machine to others, as far as the system lets us; the limit of memory has to hold, and nothing is left of
/// this process when the one that wants the code is gone.
fn step_back(memory: ByteSize) -> anyhow::Result<()> {
    // First: its parent may be ended at any moment, and starting anew keeps it.
    #[cfg(target_os = "linux")]
    set_parent_process_death_signal(Some(Signal::KILL)).context("the process cannot be tied to its parent")?;
    take_memory_as_it_is_used()?;
    let most = Some(memory.bytes());
    setrlimit(Resource::Data, Rlimit { current: most, maximum: most }).context("memory cannot be limited")?;
    if let Err(error) = nice(LAST) {
        tracing::warn!(%error, "the priority cannot be lowered");
    }
    if let Err(error) = fs::write("/proc/self/oom_score_adj", EXPENDABLE) {
        tracing::warn!(%error, "others may be ended before this process when memory runs out");
    }
    Ok(())
}

/// Starts this program anew in its own place where the allocator was not told [`AS_IT_IS_USED`].
fn take_memory_as_it_is_used() -> anyhow::Result<()> {
    let (name, value) = AS_IT_IS_USED;
    if env::var_os(name).is_some_and(|told| told == value) {
        return Ok(());
    }
    let mut words = env::args_os();
    let mut again = process::Command::new(MYSELF);
    again.arg0(words.next().unwrap_or_default()).args(words).env(name, value);
    Err(again.exec()).context("cannot start anew with its memory counted as it is used")
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
