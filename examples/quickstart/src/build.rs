//! What has to be built before the story begins: the real `herald`, and the policy as WebAssembly and as machine code.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tests::herald::{binary, cargo, forget_package, repository};
use tokio::task::spawn_blocking;

use crate::page::Page;

/// What is there now.
#[derive(Debug)]
pub(crate) struct Built {
    /// The policy `session-groups`.
    pub(crate) policy: PathBuf,
    /// The configuration file's text, with the policy's place written out.
    pub(crate) config: String,
    /// A state folder with the policy's machine code.
    pub(crate) state: PathBuf,
}

/// Builds it all; quick when nothing has changed.
pub(crate) async fn all(page: &mut Page) -> anyhow::Result<Built> {
    page.title("Herald quickstart: logins from end to end, offline, on this machine");
    let began = Instant::now();
    page.note("Building herald and the policy it runs; the first time this takes minutes, later it is a check.");
    let built = spawn_blocking(build).await??;
    if began.elapsed() > WORTH_TELLING {
        page.note(&format!("Built in {:.0} s.", began.elapsed().as_secs_f64()));
    }
    Ok(built)
}

fn build() -> anyhow::Result<Built> {
    // Cargo shows its progress here; the harness, which asks again quietly, then has nothing to do.
    let status = cargo()
        // No package is named, so that features are those of the whole workspace: what `cargo quickstart`,
        // `cargo test` and `cargo build` have compiled serves each other.
        .args(["build", "--bin", "herald"])
        .stdin(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "herald does not build: {status}");
    let policy = repository().join(COMPONENT);
    herald(&["policy", "build", "policies/session-groups", "--output"], &policy)?;
    let text = fs::read_to_string(repository().join(CONFIG)).with_context(|| format!("cannot read {CONFIG}"))?;
    let written = format!("../../{COMPONENT}");
    ensure!(text.contains(&written), "{CONFIG} does not name {written}");
    let config = text.replace(&written, &policy.display().to_string());
    // As an init container does it, so that the webhook is ready at once.
    let state = repository().join(STATE);
    fs::create_dir_all(&state)?;
    let file = state.join("config.yaml");
    fs::write(&file, &config)?;
    herald(&["policy", "compile", "--config", &file.display().to_string(), "--state-dir"], &state)?;
    Ok(Built { policy, config, state })
}

fn herald(arguments: &[&str], last: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(binary()?);
    forget_package(&mut command);
    command.args(arguments).arg(last).current_dir(repository());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot start herald")?;
    ensure!(status.success(), "herald {} fails: {status}", arguments.join(" "));
    Ok(())
}

/// The configuration that the demo runs with.
pub(crate) const CONFIG: &str = "examples/config/quickstart.yaml";
/// Where the configuration has the policy.
const COMPONENT: &str = "target/policies/session-groups.wasm";
/// Where machine code is kept from one run to the next.
const STATE: &str = "target/quickstart";
/// A build that took longer gets a line of its own.
const WORTH_TELLING: Duration = Duration::from_secs(3);
