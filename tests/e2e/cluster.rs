//! A real API server in a folder of its own, which may be stopped, killed and started again.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use tests::{
    herald::{Answer, Output, finish},
    tls, tools,
};
use tokio::process::{Child, Command};

use crate::{kubectl::Kubectl, world::SOON};

/// An API server. Killed when it is dropped.
pub(crate) struct Cluster {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    log: Output,
}

// === impl Cluster ===

impl Cluster {
    /// Certificates and kubeconfigs of an API server that is not started yet; nothing where there are no programs for it.
    pub(crate) async fn prepare() -> Option<Self> {
        let programs = tools::kubernetes()?;
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir().expect("a folder");
        let cluster =
            Self { programs, folder, port: free_port(), arguments: Vec::new(), child: None, log: Output::default() };
        let mut command = cluster.command();
        command.arg("-prepare");
        finish(command).await.and_then(|finished| finished.success()).expect("certificates");
        Some(cluster)
    }

    /// Starts it with a webhook kubeconfig and more flags of kube-apiserver, and waits until it is ready.
    pub(crate) async fn start(&mut self, webhook: &Path, arguments: &[&str]) {
        let webhook = format!("-authentication-token-webhook-config-file={}", webhook.display());
        self.arguments = [&[webhook.as_str()], arguments].concat().into_iter().map(str::to_owned).collect();
        self.start_again().await;
    }

    /// Starts it as the last time.
    pub(crate) async fn start_again(&mut self) {
        let mut command = self.command();
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("it starts");
        let stdout = Output::collect(child.stdout.take().expect("a pipe"));
        self.log = Output::collect(child.stderr.take().expect("a pipe"));
        self.child = Some(child);
        let ready = stdout.wait_for(SOON, |text| text.contains("serving").then_some(())).await;
        assert!(ready.is_some(), "the API server is not ready: {}", self.log.text());
    }

    /// Kills it, as a crash does.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it is gone");
    }

    /// What it has logged since its last start: errors, as a kube-apiserver has them.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it serves.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// `ca.crt`, or the kubeconfig of somebody that it knows: `admin`, `herald` (as its service account) or `bare`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client that trusts it and nobody else.
    pub(crate) fn client(&self) -> reqwest::Client {
        let ca = std::fs::read_to_string(self.file("ca.crt")).expect("a CA");
        let config = tls::client_config(&ca, &[b"h2", b"http/1.1"]).expect("a CA");
        let builder = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy();
        builder.timeout(SOON).build().expect("a client")
    }

    /// Asks for `path` with a token, as a client of any kind does.
    pub(crate) async fn get(&self, client: &reqwest::Client, path: &str, token: &str) -> Answer {
        let request = client.get(format!("{}{path}", self.url())).bearer_auth(token);
        Answer::of(request).await.expect("an answer")
    }

    /// kubectl with that kubeconfig.
    pub(crate) fn kubectl(&self, name: &str) -> Kubectl {
        Kubectl::new(self.program("kubectl"), Some(self.file(&format!("{name}.kubeconfig"))))
    }

    /// kubectl of an administrator by client certificate.
    pub(crate) fn admin(&self) -> Kubectl {
        self.kubectl("admin")
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program("apiserver"));
        command.arg("-dir").arg(self.folder.path()).arg("-port").arg(self.port.to_string()).env_clear();
        command
    }
}

/// A port that nobody has, from where the system hands none out: it is written into kubeconfigs before it is listened on.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = u16::try_from(std::process::id() * 41 % u32::from(COUNT)).expect("below 12,000");
    let ports = (0..COUNT).map(|_| FIRST + (from + NEXT.fetch_add(1, Relaxed) % COUNT) % COUNT);
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a port is free")
}
