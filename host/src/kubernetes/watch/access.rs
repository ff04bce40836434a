//! Access to the API server: as a pod, by a kubeconfig, or without credentials.
//!
//! Kubeconfigs are read by kube, exec plugins, token files and proxies of the environment included.

use std::path::PathBuf;

use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::WatchError;

/// How the API server is reached. Default: as the pod's own service account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// A kubeconfig, whose current context is taken.
    pub kubeconfig: Option<PathBuf>,
    /// URL of the API server, over what the kubeconfig says; without a kubeconfig it is asked without credentials.
    pub master: Option<String>,
}

// === impl Access ===

impl Access {
    pub(super) async fn client(&self) -> Result<Client, WatchError> {
        let mut config = match (&self.kubeconfig, self.url()?) {
            (None, None) => kube::Config::incluster().map_err(WatchError::InCluster)?,
            (None, Some(url)) => kube::Config::new(url),
            (Some(path), url) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(WatchError::Kubeconfig)?;
                let options = KubeConfigOptions::default();
                let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
                let mut config = config.map_err(WatchError::Kubeconfig)?;
                config.cluster_url = url.unwrap_or(config.cluster_url);
                config
            }
        };
        // Attempts are spaced here.
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    fn url(&self) -> Result<Option<http::Uri>, WatchError> {
        let Some(master) = self.master.as_deref().filter(|master| !master.is_empty()) else { return Ok(None) };
        let url = if master.contains("://") { master.to_owned() } else { format!("http://{master}") };
        url.parse().map(Some).map_err(WatchError::Master)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_needs_no_scheme() {
        #[track_caller]
        fn check(master: Option<&str>, expected: Result<Option<&str>, &str>) {
            let access = Access { master: master.map(str::to_owned), ..Access::default() };
            let found = access.url().map(|url| url.map(|url| url.to_string()));
            let found = found.as_ref().map(Option::as_deref).map_err(WatchError::reason);
            assert_eq!(found, expected, "{master:?}");
        }
        check(None, Ok(None));
        check(Some(""), Ok(None));
        check(Some("https://10.0.0.1:6443"), Ok(Some("https://10.0.0.1:6443/")));
        check(Some("127.0.0.1:8080"), Ok(Some("http://127.0.0.1:8080/")));
        check(Some("http://a b"), Err("kubernetes_master"));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_used_is_told_with_its_reason() {
        let access = Access { kubeconfig: Some("/nowhere/kubeconfig".into()), master: None };
        let error = access.client().await.err().expect("there is none");
        assert_eq!(
            (error.reason(), error.to_string().as_str()),
            ("kubernetes_kubeconfig", "the kubeconfig cannot be used")
        );
    }
}
