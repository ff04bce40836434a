//! The cluster in trouble: aws-auth is written again and again, and none of it can be meant.

use std::fs;

use tests::kubernetes::{Kubernetes, garbled};

use super::{Bench, output};
use crate::target::{LOADED, replace};

const GARBLED: usize = 1_000;
/// What the process log says of each version, whatever became of it.
const READ: &str = "msg=\"mappings changed\"";
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
        let file = self.place.config();
        let text = fs::read_to_string(&file)?;
        let source = format!("server:\n  backendMode: [MountedFile, EKSConfigMap]\n  master: {}\n", kubernetes.url());
        let loaded = self.place.said(LOADED)?;
        replace(&file, text.replacen("server:\n", &source, 1).as_bytes())?;
        self.place.until_said(LOADED, loaded).await?;
        self.warm_up().await?;

        let read = self.place.said(READ)?;
        for nth in 0..GARBLED {
            let text = garbled(GOOD, nth);
            // Now in the one document, now in the other, now in both.
            let (roles, users) = [(text.as_str(), ""), (GOOD, &text), (&text, &text)][nth % 3];
            kubernetes.put_aws_auth(roles, users);
            // So that each is read.
            self.place.until_said(READ, read + nth).await?;
        }
        kubernetes.put_aws_auth(&GOOD.replace("dev:", "engineer:"), "");
        self.afterwards("1,000 garbled ConfigMaps").await
    }
}
