//! Harness of the real `herald` binary: builds it once, runs its commands, and runs `herald server` as a
//! control plane would, asked over TLS as kube-apiserver asks.
//!
//! A child process sees only the environment it is given, and dies with its handle.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

mod output;
mod review;
mod server;

pub use output::Output;
pub use review::{Answer, Version};
pub use server::{Server, Setup, webhook_kubeconfig};

/// How a process ended, and all it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Longest run of a command: some compile policies, at the lowest priority.
const LIMIT: Duration = Duration::from_secs(600);

/// Overrides the build: the path of a finished binary.
const BINARY: &str = "HERALD_BIN";

/// The repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the repository")
}

/// The `herald` binary, built when the process first asks for it, or the one that `HERALD_BIN` names.
///
/// # Errors
///
/// When it does not build; the compiler's words are on stderr then.
pub fn binary() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| find_or_build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Runs `herald` with `arguments` and nothing but `environment`, to its end.
///
/// # Errors
///
/// When it does not build or start, or runs for over ten minutes.
pub async fn run<N, V>(arguments: &[&str], environment: impl IntoIterator<Item = (N, V)>) -> anyhow::Result<Finished>
where
    N: AsRef<std::ffi::OsStr>,
    V: AsRef<std::ffi::OsStr>,
{
    let mut command = tokio::process::Command::new(binary()?);
    command.args(arguments).env_clear().envs(environment);
    finish(command).await
}

/// Runs any command to its end, within ten minutes.
///
/// # Errors
///
/// When it does not start or does not end.
pub async fn finish(mut command: tokio::process::Command) -> anyhow::Result<Finished> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(LIMIT, command.output()).await;
    let output = ended.context("still running after ten minutes")?.context("cannot be started")?;
    Ok(Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A cargo to build with, from inside a program that cargo runs: without what the outer cargo says about
/// that program's package, since some build scripts look at it and would build everything anew each time.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_package(&mut cargo);
    cargo.current_dir(repository());
    cargo
}

/// Keeps what cargo says about the running program's package from `command` and the cargo that it runs.
pub fn forget_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(&name);
        }
    }
}

/// The Cargo Book, "Environment Variables Cargo sets for crates".
fn is_of_package(variable: &str) -> bool {
    let prefixes = ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"];
    let names = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    prefixes.iter().any(|prefix| variable.starts_with(prefix)) || names.contains(&variable)
}

fn find_or_build() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(path.into());
    }
    let output = cargo()
        // No package is named, so that features are those of the whole workspace, as for `cargo test`.
        .args(["build", "--quiet", "--bin", "herald"])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    ensure!(output.status.success(), "herald does not build");
    let Some(path) = String::from_utf8_lossy(&output.stdout).lines().find_map(executable) else {
        bail!("cargo names no executable");
    };
    Ok(path)
}

/// The executable that one of cargo's messages names.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let of_herald = message["target"]["name"] == "herald" && message["target"]["kind"][0] == "bin";
    of_herald.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}

// === impl Finished ===

impl Finished {
    /// This, if the command ended well.
    ///
    /// # Errors
    ///
    /// With all it said, if it did not.
    pub fn success(self) -> anyhow::Result<Self> {
        ensure!(self.code == Some(0), "exit {:?}\n{}{}", self.code, self.stdout, self.stderr);
        Ok(self)
    }

    /// The one line that says why the command failed: what stands on stderr besides the process log.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one, or the process log goes on behind it.
    pub fn complaint(&self) -> anyhow::Result<&str> {
        let is_log = |line: &str| line.starts_with("time=") || line.starts_with('{');
        let mut lines = self.stderr.trim_end().lines().skip_while(|line| is_log(line));
        match (lines.next(), lines.next()) {
            (Some(line), None) => Ok(line),
            _ => bail!("not one line at the end:\n{}", self.stderr),
        }
    }

    /// The token in an ExecCredential on stdout.
    ///
    /// # Errors
    ///
    /// When stdout is none.
    pub fn token(&self) -> anyhow::Result<String> {
        let credential: serde_json::Value = serde_json::from_str(&self.stdout).context("stdout is no JSON")?;
        let token = credential["status"]["token"].as_str().context("no status.token")?;
        Ok(token.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_executable() {
        let message =
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"herald"},"executable":"/t/herald"}"#;
        assert_eq!(executable(message), Some(PathBuf::from("/t/herald")));
        let library = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"herald"},"executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable("Compiling herald"), None);
    }

    #[test]
    fn a_complaint_is_one_line_behind_the_log() {
        #[track_caller]
        fn check(stderr: &str, expected: Option<&str>) {
            let finished = Finished { code: Some(1), stdout: String::new(), stderr: stderr.to_owned() };
            assert_eq!(finished.complaint().ok(), expected);
        }
        check("herald: wrong\n", Some("herald: wrong"));
        check("time=1 level=warn\nherald: wrong\n", Some("herald: wrong"));
        check("", None);
        check("time=1 level=warn\n", None);
        check("herald: wrong\nmore\n", None);
        check("herald: wrong\ntime=1 level=info\n", None);
    }

    #[test]
    fn a_nested_cargo_hears_nothing_of_the_outer_ones_package() {
        let removed: Vec<_> =
            cargo().get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name.to_owned()).collect();
        assert!(
            removed.iter().any(|name| name == "CARGO_PKG_NAME")
                && removed.iter().any(|name| name == "CARGO_MANIFEST_DIR")
        );
        for kept in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "CARGO_BUILD_JOBS", "PATH"] {
            assert!(!is_of_package(kept), "{kept}");
        }
    }

    #[tokio::test]
    async fn a_command_is_run_to_its_end() {
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let finished = finish(command).await.expect("a shell");
        assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (Some(3), "out\n", "err\n"));
        assert!(finished.success().is_err());
    }
}
