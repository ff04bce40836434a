//! Access to the API server: as a pod, by a kubeconfig, or without credentials.
//!
//! Kubeconfigs are read by kube, exec plugins, token files and proxies of the environment included.

use std::path::PathBuf;

use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::ApiError;

/// How the API server is reached. Default: as the pod's own service account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// A kubeconfig, whose current context is taken.
    pub kubeconfig: Option<PathBuf>,
    /// URL of the API server, over what the kubeconfig says; without a kubeconfig it is asked without credentials.
    pub master: Option<String>,
    /// The context of the kubeconfig. Default: its current one.
    pub context: Option<String>,
    /// Without a kubeconfig and a URL: as the person at the terminal, by the files of `KUBECONFIG` or else
    /// `~/.kube/config`, as kubectl takes them. Default false: as the pod.
    pub person: bool,
}

// === impl Access ===

impl Access {
    pub(in crate::kubernetes) async fn client(&self) -> Result<Client, ApiError> {
        let mut config = match (&self.kubeconfig, self.url()?) {
            (None, None) if self.person => self.config(Kubeconfig::read()).await?,
            (None, None) => kube::Config::incluster().map_err(ApiError::InCluster)?,
            (None, Some(url)) => kube::Config::new(url),
            (Some(path), url) => {
                let mut config = self.config(Kubeconfig::read_from(path)).await?;
                config.cluster_url = url.unwrap_or(config.cluster_url);
                config
            }
        };
        // Attempts are spaced here.
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    async fn config(&self, read: Result<Kubeconfig, KubeconfigError>) -> Result<kube::Config, ApiError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(read.map_err(ApiError::Kubeconfig)?, &options).await;
        config.map_err(ApiError::Kubeconfig)
    }

    fn url(&self) -> Result<Option<http::Uri>, ApiError> {
        let Some(master) = self.master.as_deref().filter(|master| !master.is_empty()) else { return Ok(None) };
        let url = if master.contains("://") { master.to_owned() } else { format!("http://{master}") };
        url.parse().map(Some).map_err(ApiError::Master)
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
            let found = found.as_ref().map(Option::as_deref).map_err(ApiError::reason);
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
        let access = Access { kubeconfig: Some("/nowhere/kubeconfig".into()), ..Access::default() };
        let error = access.client().await.err().expect("there is none");
        assert_eq!(
            (error.reason(), error.to_string().as_str()),
            ("kubernetes_kubeconfig", "the kubeconfig cannot be used")
        );
    }
}
