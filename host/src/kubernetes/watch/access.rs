//! Access to the API server: as a pod, by a kubeconfig, or without credentials.
//!
//! Kubeconfigs are read by kube, exec plugins and token files included. kube waits for an exec plugin without a limit and
//! without giving its thread back, so each client is made on a thread of its own. Which files of `KUBECONFIG` count and
//! which proxy is taken is said here, as for kubectl.

use std::{env, ffi::OsStr, io, net::IpAddr, path::PathBuf, thread, time::Duration};

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
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
            (None, None) if self.person => self.config(usual(env::var_os("KUBECONFIG").as_deref()), None).await?,
            (None, None) => kube::Config::incluster().map_err(ApiError::InCluster)?,
            (None, Some(url)) => kube::Config::new(url),
            (Some(path), url) => self.config(Kubeconfig::read_from(path), url).await?,
        };
        // Attempts are spaced here.
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// What a kubeconfig says, and `url` over its own.
    async fn config(
        &self,
        read: Result<Kubeconfig, KubeconfigError>,
        url: Option<Uri>,
    ) -> Result<kube::Config, ApiError> {
        let kubeconfig = read?;
        let named = self.proxy_in(&kubeconfig);
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.cluster_url = url.unwrap_or(config.cluster_url);
        // kube looks for the proxy's own name in `NO_PROXY`, and not for the API server's.
        let proxy = named.or_else(|| proxy(&config.cluster_url, |name| env::var(name).ok()));
        config.proxy_url = proxy.map(|url| url.parse::<Uri>()).transpose().map_err(KubeconfigError::ParseProxyUrl)?;
        Ok(config)
    }

    /// The proxy that `kubeconfig` has for the cluster of its context.
    fn proxy_in(&self, kubeconfig: &Kubeconfig) -> Option<String> {
        let name = self.context.as_ref().or(kubeconfig.current_context.as_ref())?;
        let context = kubeconfig.contexts.iter().find(|named| named.name == *name)?.context.as_ref()?;
        let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
        cluster.proxy_url.clone().filter(|url| !url.is_empty())
    }

    fn url(&self) -> Result<Option<Uri>, ApiError> {
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

/// The person's own: the files of `KUBECONFIG` that are there, or else `~/.kube/config`.
fn usual(list: Option<&OsStr>) -> Result<Kubeconfig, KubeconfigError> {
    let mut files: Vec<PathBuf> = list.into_iter().flat_map(env::split_paths).collect();
    files.retain(|file| !file.as_os_str().is_empty() && !matches!(file.try_exists(), Ok(false)));
    if files.is_empty() {
        // That there is none, in kube's words.
        return Kubeconfig::read();
    }
    files.iter().try_fold(Kubeconfig::default(), |all, file| all.merge(Kubeconfig::read_from(file)?))
}

/// The proxy that the environment has for an API server at `url`: none for this machine itself, and for what `NO_PROXY`
/// names.
fn proxy(url: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| variable(name).filter(|text| !text.is_empty()));
    let proxy = first(["HTTPS_PROXY", "https_proxy"])?;
    // `*.example.com` is `.example.com` to Go.
    let spared = first(["NO_PROXY", "no_proxy"]).unwrap_or_default().replace("*.", ".");
    let host = url.host()?.trim_matches(['[', ']']);
    if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
        return None;
    }
    Matcher::builder().https("http://any").no(spared).build().intercept(url)?;
    Some(if proxy.contains("://") { proxy } else { format!("http://{proxy}") })
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

    #[test]
    fn a_proxy_of_the_environment_is_for_what_no_proxy_does_not_name() {
        #[track_caller]
        fn check(url: &'static str, variables: &[(&str, &str)], expected: Option<&str>) {
            let variable =
                |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(proxy(&Uri::from_static(url), variable).as_deref(), expected, "{url} {variables:?}");
        }
        let url = "https://api.prod.example.com:6443";
        let with = |no| [("HTTPS_PROXY", "http://proxy.example.org:3128"), ("NO_PROXY", no)];
        let through = Some("http://proxy.example.org:3128");
        check(url, &[], None);
        check(url, &[("NO_PROXY", "a")], None);
        check(url, &with(""), through);
        check(url, &with("proxy.example.org,.example.org"), through);
        for spares in ["*", "prod.example.com", ".example.com", "*.example.com", "localhost, .example.com,"] {
            check(url, &with(spares), None);
        }
        check("https://10.96.0.1", &with("10.0.0.0/8"), None);
        check("https://10.96.0.1", &with("10.0.0.0/16"), through);
        for here in ["https://127.0.0.1:6443", "https://[::1]:6443", "https://localhost:6443"] {
            check(here, &with(""), None);
        }
        check("http://10.96.0.1", &with(""), None);
        check(
            url,
            &[("https_proxy", "user:word@proxy:3128"), ("HTTPS_PROXY", "")],
            Some("http://user:word@proxy:3128"),
        );
    }

    #[tokio::test]
    async fn the_proxy_of_a_kubeconfig_is_its_cluster_s() {
        let kubeconfig = "
            clusters:
            - {name: far, cluster: {server: 'https://far.example.com', proxy-url: 'http://proxy:3128'}}
            - {name: here, cluster: {server: 'https://127.0.0.1:6443', proxy-url: ''}}
            contexts:
            - {name: far, context: {cluster: far, user: u}}
            - {name: here, context: {cluster: here, user: u}}
            current-context: here
        ";
        for (context, expected) in [(None, None), (Some("far"), Some("http://proxy:3128/"))] {
            let access = Access { context: context.map(str::to_owned), ..Access::default() };
            let config = access.config(Kubeconfig::from_yaml(kubeconfig), None).await.expect("it can be used");
            assert_eq!(config.proxy_url.map(|url| url.to_string()).as_deref(), expected, "{context:?}");
        }
    }

    #[test]
    fn files_of_kubeconfig_that_are_not_there_do_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let [first, second] = ["first", "second"].map(|name| {
            let path = folder.path().join(name);
            fs::write(&path, format!("current-context: {name}")).expect("written");
            path
        });
        let missing = folder.path().join("missing");
        let list = |files: &[&PathBuf]| usual(Some(env::join_paths(files).expect("a list").as_os_str()));
        let context = |files: &[&PathBuf]| list(files).expect("one is there").current_context;
        assert_eq!(context(&[&missing, &second]).as_deref(), Some("second"));
        assert_eq!(context(&[&first, &missing, &second]).as_deref(), Some("first"));
        fs::write(&second, "clusters: 3").expect("written");
        list(&[&first, &second]).expect_err("one that is there has to be one");
    }

    #[tokio::test]
    async fn no_word_of_a_kubeconfig_is_repeated_by_its_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kubeconfig");
        fs::write(&path, "users:\n- name: u\n  user:\n    token: hidden-token\n    exec: hidden-exec\n")
            .expect("written");
        let error = Door::new(Access { kubeconfig: Some(path), ..Access::default() }).client().await.err();
        let error = error.expect("there is no such exec");
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            words.push_str(&inner.to_string());
            cause = inner.source();
        }
        assert!(!words.contains("hidden"), "{words}");
        assert!(words.starts_with("the kubeconfig cannot be used: it does not read as one"), "{words}");
        assert_eq!(error.reason(), "kubernetes_kubeconfig");
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
