//! Access to the API server: as a pod, by a kubeconfig, or without credentials.
//!
//! Kubeconfigs are read by kube, exec plugins, token files and proxies of the environment included. kube waits for an
//! exec plugin without a limit and without giving its thread back, so each client is made on a thread of its own.

use std::{io, path::PathBuf, thread, time::Duration};

use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use super::{ANSWER, ApiError};

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

/// The way to one API server, for whoever goes it again and again. It makes one client at a time: one whose
/// credential command does not end is waited for by the next attempt too.
pub struct Door {
    access: Access,
    /// The client that is being made.
    making: Option<oneshot::Receiver<Result<Client, ApiError>>>,
    /// Longest wait for it.
    limit: Duration,
}

// === impl Access ===

impl Access {
    /// Makes a client on a thread of its own. The process does not wait for that when it ends, as it would for one of
    /// the runtime's.
    fn make(self) -> io::Result<oneshot::Receiver<Result<Client, ApiError>>> {
        let (sender, made) = oneshot::channel();
        let runtime = Handle::current();
        // Nobody may wait for it any more.
        let make = move || drop(sender.send(runtime.block_on(self.client())));
        thread::Builder::new().name("api-client".to_owned()).spawn(make)?;
        Ok(made)
    }

    async fn client(&self) -> Result<Client, ApiError> {
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

// === impl Door ===

impl Door {
    /// One that leads to the API server of `access`.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access, making: None, limit: ANSWER }
    }

    /// A client with credentials as they are now. A person at a terminal may be asked for some, and has all the time
    /// that he needs.
    pub(in crate::kubernetes) async fn client(&mut self) -> Result<Client, ApiError> {
        let making = match &mut self.making {
            Some(making) => making,
            none => none.insert(self.access.clone().make().map_err(|error| kube::Error::Service(error.into()))?),
        };
        let made = match self.access.person {
            true => making.await,
            false => timeout(self.limit, making).await.map_err(|_| ApiError::Timeout)?,
        };
        self.making = None;
        made.unwrap_or(Err(ApiError::NotMade))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let error = Door::new(access).client().await.err().expect("there is none");
        assert_eq!(
            (error.reason(), error.to_string().as_str()),
            ("kubernetes_kubeconfig", "the kubeconfig cannot be used")
        );
    }

    #[tokio::test]
    async fn a_credential_command_that_takes_long_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kubeconfig");
        let [running, twice, go] = ["running", "twice", "go"].map(|name| folder.path().join(name));
        let answer =
            r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}"#;
        // kube runs it more than once for a client, one after another. It waits to be let go, though not for ever.
        let script = format!(
            "mkdir {running} || echo >> {twice}
            looks=0; until [ -e {go} ] || [ $looks -ge 400 ]; do sleep 0.05; looks=$((looks + 1)); done
            rmdir {running}; echo '{answer}'",
            running = running.display(),
            twice = twice.display(),
            go = go.display(),
        );
        let exec = serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
            "interactiveMode": "Never",
        });
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:1" } }],
            "users": [{ "name": "u", "user": { "exec": exec } }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        });
        fs::write(&path, kubeconfig.to_string()).expect("written");
        let access = Access { kubeconfig: Some(path), ..Access::default() };
        let mut door = Door { limit: Duration::from_millis(100), ..Door::new(access.clone()) };
        for _ in 0..2 {
            let error = door.client().await.err().expect("it takes longer");
            assert_eq!(error.reason(), "kubernetes_timeout");
        }
        fs::write(&go, "").expect("written");
        door.limit = ANSWER;
        assert!(door.client().await.is_ok());
        assert!(!twice.exists(), "one client at a time");
        let mut person = Door { limit: Duration::ZERO, ..Door::new(Access { person: true, ..access }) };
        assert!(person.client().await.is_ok(), "a person may be asked for something");
    }
}
