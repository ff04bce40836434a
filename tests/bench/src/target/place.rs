//! Where a target runs: its folder and what is in it, and what its process log says.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use super::config::Mappings;

/// Where a target runs and what it may use.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its program.
    pub(crate) binary: PathBuf,
    /// A program that takes its command line as the last arguments and becomes it, such as unshare(1), and the arguments
    /// in front of those; none: it is started by itself.
    pub(crate) wrapper: Vec<String>,
    /// Its state folder. A second start in the same folder finds what the first one left.
    pub(crate) dir: PathBuf,
    /// Its mapping table.
    pub(crate) mappings: Mappings,
    /// The folder of the components of its policies, each named after its policy.
    pub(crate) policies: PathBuf,
    /// The production settings that lead its STS calls to its dev STS.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// CPUs it may use; none means all.
    pub(crate) cpus: Vec<usize>,
}

/// What the process log says of a configuration that is in force.
pub(crate) const LOADED: &str = "msg=\"configuration loaded\"";
/// Longest wait for a word in the process log.
const TOLD: Duration = Duration::from_secs(60);
/// How often the process log is read meanwhile.
const LOOK: Duration = Duration::from_millis(5);

// === impl Place ===

impl Place {
    /// Its audit log. Not beside the configuration, whose folder Herald watches for changes.
    pub(crate) fn audit(&self) -> PathBuf {
        self.dir.join("audit/audit.jsonl")
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("config.yaml")
    }

    /// What it writes for API servers.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("webhook.kubeconfig")
    }

    /// How often its process log has said `what`.
    ///
    /// # Errors
    ///
    /// When there is no log.
    pub(crate) fn said(&self, what: &str) -> anyhow::Result<usize> {
        Ok(String::from_utf8_lossy(&fs::read(self.dir.join("log"))?).matches(what).count())
    }

    /// Waits until it has said so more often than `before`.
    ///
    /// # Errors
    ///
    /// When it does not within a minute.
    pub(crate) async fn until_said(&self, what: &str, before: usize) -> anyhow::Result<()> {
        let end = Instant::now() + TOLD;
        while self.said(what)? <= before {
            ensure!(Instant::now() < end, "`{what}` is not in the log within {TOLD:?}");
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// A new file in the place of the old one.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    Ok(fs::rename(new, path)?)
}
