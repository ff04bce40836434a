//! The cluster in trouble: aws-auth is written again and again, and none of it can be meant.

use std::{fs, time::Duration};

use anyhow::ensure;
use tests::kubernetes::{Kubernetes, garbled};
use tokio::time::{Instant, sleep};

use super::{Bench, output};
use crate::figures::changes::replace;

const GARBLED: usize = 1_000;
/// From one version to the next, so that most are read.
const PACE: Duration = Duration::from_millis(10);
/// Longest wait until a configuration, or a version of aws-auth, is in force.
const IN_FORCE: Duration = Duration::from_secs(60);
const GOOD: &str = "\
# the developers
- rolearn: arn:aws:iam::111122223333:role/Developers
  username: dev:{{SessionName}}
  groups: [developers]
";

impl Bench<'_> {
    /// The server follows aws-auth from now on, and what is idle is measured with that.
    pub(super) async fn garbled_config_maps(&mut self) -> anyhow::Result<()> {
        output::progress(format_args!("{GARBLED} garbled ConfigMaps"));
        let kubernetes = Kubernetes::start().await?;
        kubernetes.put_aws_auth(GOOD, "");
        let file = self.place.dir.join("config.yaml");
        let text = fs::read_to_string(&file)?;
        let source = format!("server:\n  backendMode: [MountedFile, EKSConfigMap]\n  master: {}\n", kubernetes.url());
        let loaded = self.said("configuration loaded")?;
        replace(&file, text.replacen("server:\n", &source, 1).as_bytes())?;
        self.until_said("configuration loaded", loaded).await?;
        self.warm_up().await?;

        let changes = self.said("EKSConfigMap")?;
        for nth in 0..GARBLED {
            let text = garbled(GOOD, nth);
            // Now in the one document, now in the other, now in both.
            let (roles, users) = [(text.as_str(), ""), (GOOD, &text), (&text, &text)][nth % 3];
            kubernetes.put_aws_auth(roles, users);
            sleep(PACE).await;
        }
        ensure!(self.said("EKSConfigMap")? > changes, "the log has no word about them");
        kubernetes.put_aws_auth(&GOOD.replace("dev:", "engineer:"), "");
        self.afterwards("1,000 garbled ConfigMaps").await
    }

    /// How often the process log has said `what`.
    pub(super) fn said(&self, what: &str) -> anyhow::Result<usize> {
        let log = self.place.dir.join("log");
        Ok(String::from_utf8_lossy(&fs::read(log)?).matches(what).count())
    }

    /// Waits until it has said so more often than `before`.
    pub(super) async fn until_said(&self, what: &str, before: usize) -> anyhow::Result<()> {
        let end = Instant::now() + IN_FORCE;
        while self.said(what)? == before {
            ensure!(Instant::now() < end, "`{what}` is not in the log within {IN_FORCE:?}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
