//! A running `herald server` in a folder of its own, on a port the system picked.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{Answer, Finished, Output, Version, binary, review};
use crate::{cgroup::MemoryLimit, sts, tls};

/// What a server is started with.
pub struct Setup {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    port: u16,
}

/// A server that is ready. Killed when it is dropped; [`Server::stop`] ends it well.
pub struct Server {
    child: Child,
    /// The process.
    pub pid: u32,
    /// The webhook's URL, from the kubeconfig it wrote.
    pub url: String,
    /// The CA in that kubeconfig, in PEM.
    pub ca_pem: String,
    /// From start to ready.
    pub started_in: Duration,
    /// Standard output.
    pub stdout: Output,
    /// Standard error: the process log, and the audit log unless the configuration says otherwise.
    pub stderr: Output,
    client: reqwest::Client,
    folder: tempfile::TempDir,
}

/// Longest waits, much longer than what they are for takes on a machine that has nothing else to do.
const READY: Duration = Duration::from_secs(600);
const STOPPED: Duration = Duration::from_secs(120);
/// Longest wait for the last of what it said, should another process hold its streams open.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// Longest wait for an answer.
const ANSWERED: Duration = Duration::from_secs(120);
/// What the process log says in front of the address.
const LISTENING: &str = "listening on ";

// === impl Setup ===

impl Setup {
    /// A folder with `config` in `config.yaml`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn new(config: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("herald-").tempdir()?;
        fs::write(folder.path().join("config.yaml"), config)?;
        let environment = std::env::var("PATH").map(|path| ("PATH".to_owned(), path)).into_iter().collect();
        Ok(Self { folder, environment, arguments: Vec::new(), wrapper: Vec::new(), port: 0 })
    }

    /// Sends its STS calls to `sts`, by environment variables alone.
    #[must_use]
    pub fn with_sts(self, sts: &sts::Running) -> Self {
        sts.environment().into_iter().fold(self, |setup, (name, value)| setup.env(name, &value))
    }

    /// With the machine code that `herald policy compile --state-dir STATE` has made.
    ///
    /// # Errors
    ///
    /// When it cannot be copied.
    pub fn with_compiled(self, state: &Path) -> anyhow::Result<Self> {
        let (made, own) = (state.join("compiled"), self.folder().join("state/compiled"));
        DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
        for file in fs::read_dir(made)? {
            let file = file?;
            fs::copy(file.path(), own.join(file.file_name()))?;
        }
        Ok(self)
    }

    /// With one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On a port of one's choice instead of one that the system picks.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With one more argument behind the harness's own.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Within limited memory from its first page on.
    #[must_use]
    pub fn within(self, limit: &MemoryLimit) -> Self {
        let members = limit.members();
        self.under(&["sh", "-c", r#"echo $$ > "$0" && exec "$@""#, &members.to_string_lossy()])
    }

    /// By a program that takes the server's command line as its last arguments and becomes it, such as prlimit(1).
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Its folder: `config.yaml`, `state/`, `kubeconfig.yaml`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it ends instead, with all it said, or is not ready in ten minutes: what it compiles at first gives way to everything else on the machine.
    pub async fn start(self) -> anyhow::Result<Server> {
        let started = Instant::now();
        let mut child = self.command()?.spawn().context("herald cannot be started")?;
        let pid = child.id().context("it has ended already")?;
        let stdout = Output::collect(child.stdout.take().context("no stdout")?);
        let stderr = Output::collect(child.stderr.take().context("no stderr")?);
        tokio::select! {
            ready = stderr.wait_for(READY, |text| text.contains(LISTENING).then_some(())) => {
                ready.with_context(|| format!("not ready in time:\n{}", stderr.text()))?;
            }
            status = child.wait() => bail!("herald server ended: {}\n{}", status?, stderr.text()),
        }
        let started_in = started.elapsed();
        let (url, ca_pem) = webhook_kubeconfig(&self.folder().join("kubeconfig.yaml"))?;
        let client = client(&ca_pem, &[b"h2", b"http/1.1"])?;
        Ok(Server { child, pid, url, ca_pem, started_in, stdout, stderr, client, folder: self.folder })
    }

    /// Runs the server until it ends by itself.
    ///
    /// # Errors
    ///
    /// When it does not end within ten minutes.
    pub async fn run(&self) -> anyhow::Result<Finished> {
        super::finish(self.command()?).await
    }

    fn command(&self) -> anyhow::Result<Command> {
        let path = |name: &str| self.folder().join(name);
        let mut words = self.wrapper.iter().map(std::ffi::OsStr::new).chain([binary()?.as_os_str()]);
        let mut command = Command::new(words.next().context("no program")?);
        command
            .args(words)
            .arg("server")
            .arg("--config")
            .arg(path("config.yaml"))
            .arg("--state-dir")
            .arg(path("state"))
            .arg("--generate-kubeconfig")
            .arg(path("kubeconfig.yaml"))
            .args(["--port", &self.port.to_string(), "--health-port", "0", "--metrics-port", "0"])
            .args(&self.arguments)
            .env_clear()
            .env("HOME", self.folder())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }
}

// === impl Server ===

impl Server {
    /// Trusts what [`Self::ca_pem`] says now, as an API server does that has been started again.
    ///
    /// # Errors
    ///
    /// When there is no certificate in it.
    pub fn trust_again(&mut self) -> anyhow::Result<()> {
        self.client = client(&self.ca_pem, &[b"h2", b"http/1.1"])?;
        Ok(())
    }

    /// Posts a v1 TokenReview as the API server does, over HTTP/2.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn review(&self, token: &str) -> anyhow::Result<Answer> {
        self.review_as(Version::V1, token).await
    }

    /// Posts a TokenReview of either version, over HTTP/2.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn review_as(&self, version: Version, token: &str) -> anyhow::Result<Answer> {
        review::post(&self.client, &self.url, version, token).await
    }

    /// Posts a TokenReview over a client of one's own, from [`Self::client`].
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn review_by(&self, client: &reqwest::Client, token: &str) -> anyhow::Result<Answer> {
        review::post(client, &self.url, Version::V1, token).await
    }

    /// A client that trusts the server and speaks what `alpn` says.
    ///
    /// # Errors
    ///
    /// When the CA in the kubeconfig is none.
    pub fn client(&self, alpn: &[&[u8]]) -> anyhow::Result<reqwest::Client> {
        client(&self.ca_pem, alpn)
    }

    /// `GET`s a path such as `/metrics`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        Answer::of(self.client.get(self.url.replace("/authenticate", path))).await
    }

    /// `GET`s a path of the listener for `what`, `health` or `metrics`, in plain HTTP.
    ///
    /// # Errors
    ///
    /// When the log does not tell where it is, or there is no answer.
    pub async fn get_plain(&self, what: &str, path: &str) -> anyhow::Result<Answer> {
        let line = format!("msg=\"{what} is told in plain HTTP\"");
        let address = |text: &str| {
            let line = text.lines().find(|text| text.contains(&line))?;
            line.split("address=\"").nth(1)?.split('"').next().map(str::to_owned)
        };
        let address = self.stderr.wait_for(READY, address).await.with_context(|| format!("no listener for {what}"))?;
        Answer::of(self.client.get(format!("http://{address}{path}"))).await
    }

    /// The value of a metric, by its name with its labels as they are written.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn metric(&self, series: &str) -> anyhow::Result<Option<f64>> {
        let text = self.get("/metrics").await?.text;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(line.and_then(|value| value.trim().parse().ok()))
    }

    /// Resident memory, in KiB (proc(5)).
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("VmRSS:")
    }

    /// Most of it since the last [`Self::reset_peak`], in KiB (proc(5)).
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn peak_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("VmHWM:")
    }

    /// From now on the most counts from what is resident now.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn reset_peak(&self) -> anyhow::Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }

    fn status_kib(&self, field: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("it has ended")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The audit lines on stderr so far.
    #[must_use]
    pub fn audit(&self) -> Vec<Value> {
        let text = self.stderr.text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["decisionId"].is_string()).collect()
    }

    /// Waits for the audit line of one decision.
    pub async fn audit_of(&self, decision_id: &str) -> Option<Value> {
        let found = |text: &str| {
            text.lines().find(|line| line.starts_with('{') && line.contains(decision_id)).map(str::to_owned)
        };
        self.stderr.wait_for(LAST_WORDS, found).await.and_then(|line| serde_json::from_str(&line).ok())
    }

    /// Its folder: `config.yaml`, `state/`, `kubeconfig.yaml`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the configuration file, as an editor does: a new file in the place of the old one.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure(&self, config: &str) -> anyhow::Result<()> {
        let new: PathBuf = self.folder().join("config.yaml.new");
        fs::write(&new, config)?;
        Ok(fs::rename(new, self.folder().join("config.yaml"))?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("not a process id")?;
        kill_process(pid, signal).context("the server is gone")
    }

    /// Sends SIGTERM and waits for the end: all it has said, and its exit code.
    ///
    /// # Errors
    ///
    /// When it does not end in two minutes.
    pub async fn stop(self) -> anyhow::Result<Finished> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// When it does not end in two minutes.
    pub async fn ended(mut self) -> anyhow::Result<Finished> {
        let ended = tokio::time::timeout(STOPPED, self.child.wait()).await;
        let status = ended.context("still running")??;
        tokio::join!(self.stdout.wait_for_end(LAST_WORDS), self.stderr.wait_for_end(LAST_WORDS));
        Ok(Finished { code: status.code(), stdout: self.stdout.text(), stderr: self.stderr.text() })
    }
}

fn client(ca_pem: &str, alpn: &[&[u8]]) -> anyhow::Result<reqwest::Client> {
    let config = tls::client_config(ca_pem, alpn)?;
    let builder = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy();
    Ok(builder.timeout(ANSWERED).build()?)
}

/// The webhook's URL and CA in a kubeconfig that is whole, as the API server reads them.
///
/// # Errors
///
/// When it is not there, is no YAML, or something is missing in it.
pub fn webhook_kubeconfig(path: &Path) -> anyhow::Result<(String, String)> {
    let text = fs::read_to_string(path).context("no webhook kubeconfig")?;
    let config: Value = serde_saphyr::from_str(&text).context("the webhook kubeconfig is no YAML")?;
    for last in ["contexts", "users"] {
        ensure!(config[last][0]["name"].is_string(), "no {last}");
    }
    ensure!(config["current-context"] == config["contexts"][0]["name"], "no current context");
    let cluster = &config["clusters"][0]["cluster"];
    let url = cluster["server"].as_str().context("no server")?;
    let ca = cluster["certificate-authority-data"].as_str().context("no CA")?;
    let ca = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, ca)?;
    Ok((url.to_owned(), String::from_utf8(ca)?))
}
