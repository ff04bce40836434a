//! The cluster that a command asks: its options, and a client for it.

use std::{future::Future, path::PathBuf};

use anyhow::Context as _;

use crate::kubernetes::{Client, watch::Access};

/// Which cluster is asked.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Cluster {
    /// Kubeconfig of the cluster [default: as kubectl, the files of KUBECONFIG or ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one].
    #[arg(long, visible_alias = "kubeconfig-context", value_name = "NAME")]
    pub context: Option<String>,
    /// URL of the API server, over what --kubeconfig says; without that option it is asked without credentials.
    #[arg(long, visible_alias = "master-url", value_name = "URL")]
    pub master: Option<String>,
}

// === impl Cluster ===

impl Cluster {
    /// Whether the command line names one.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.access() != Access { person: true, ..Access::default() }
    }

    /// How it is reached. Scripts give empty options for none.
    #[must_use]
    pub fn access(&self) -> Access {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Access {
            kubeconfig: self.kubeconfig.clone().filter(|path| !path.as_os_str().is_empty()),
            master: given(&self.master),
            context: given(&self.context),
            person: true,
        }
    }

    /// A client for it.
    ///
    /// # Errors
    ///
    /// When there are no credentials to be had.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.access()).await?)
    }
}

/// Runs `future` to its end, on this thread.
pub(super) fn run<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?.block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_options_name_no_cluster() {
        let empty = Cluster { kubeconfig: Some("".into()), context: Some(String::new()), master: None };
        assert!(!empty.is_named() && !Cluster::default().is_named());
        assert!(Cluster { context: Some("c".into()), ..empty }.is_named());
    }
}
