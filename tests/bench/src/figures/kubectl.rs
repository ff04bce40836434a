//! A whole login with kubectl: plugin, API server, webhook and STS, which checks signatures, beside the same kubectl with one token in its
//! kubeconfig.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::{
    herald::Output,
    sts::Behaviour,
    tokens::{Draft, Who},
    tools,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{
    Row, Scale,
    row::Goal::{AtMost, Information},
};
use crate::{
    binaries::Binaries,
    clock,
    cold::{self, Subject},
    target::{Target, config::CLUSTER_ID},
};

/// An API server of Kubernetes' own libraries. Dropping it kills it.
struct ApiServer {
    folder: tempfile::TempDir,
    port: u16,
    _child: Child,
}

/// Times both in turn, where the programs can be had.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let Some(programs) = tools::kubernetes() else {
        return Ok(vec![Row::left_out("whole logins with kubectl", "an API server and kubectl are built with Go")]);
    };
    let world = super::world(binaries, &[Target::Herald], false).await?;
    let servers = world.start_all().await?;
    let site = world.site(Target::Herald)?;
    let sts = &site.sts.sts;
    sts.set(Behaviour { verify: true, ..Behaviour::clone(&sts.behaviour()) });
    let webhook = site.place.dir.join("webhook.kubeconfig");
    let api_server = ApiServer::start(&programs, &webhook).await?;
    let who = Who { role: 0, session: 0, session_token_len: 800 };
    let key = who.key();
    let token = Draft::of_key(&key, CLUSTER_ID, clock::now()).token();
    let environment = json!([
        {"name": "AWS_ACCESS_KEY_ID", "value": key.id},
        {"name": "AWS_SECRET_ACCESS_KEY", "value": key.secret},
        {"name": "AWS_SESSION_TOKEN", "value": key.session_token},
        {"name": "AWS_REGION", "value": "us-east-1"},
    ]);
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": fs::canonicalize(&binaries.herald)?, "args": ["token", "-i", CLUSTER_ID], "env": environment,
    });
    let subject = |name: &str, user: &Value| api_server.subject(&programs, name, user);
    let subjects =
        [subject("kubectl, token", &json!({"token": token}))?, subject("kubectl, plugin", &json!({"exec": exec}))?];
    // Runs block their thread, and the dev STS has to answer meanwhile.
    let repeat = scale.cold_starts;
    sts.reset();
    let runs = tokio::task::spawn_blocking(move || cold::time_after(next_second, &subjects, repeat)).await??;
    let [fixed, plugin] = &runs[..] else { anyhow::bail!("two commands were asked for") };
    ensure!(fixed.failed + plugin.failed == 0, "kubectl failed: {} and {} times", fixed.failed, plugin.failed);
    // Neither the API server nor Herald has remembered any of them.
    let logins = sts.stats().ok;
    ensure!(logins > repeat as u64, "{logins} logins for {repeat} runs with the plugin");
    let more = plugin.wall_ms.iter().zip(&fixed.wall_ms).map(|(plugin, fixed)| plugin - fixed).collect();
    for server in servers {
        server.stop().await;
    }
    Ok(vec![
        Row::pair(
            "`kubectl auth whoami` with the plugin (floor: one token for all runs), wall",
            "ms",
            fixed.wall_ms.clone(),
            plugin.wall_ms.clone(),
            Information,
        ),
        Row::alone("whole login with kubectl, more than with a static token, wall", "ms", more, AtMost(60.0)),
    ])
}

// === impl ApiServer ===

impl ApiServer {
    async fn start(programs: &Path, webhook: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir()?;
        // Bound and closed again: its kubeconfigs have to name a port before it listens.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let command = || {
            let mut command = Command::new(programs.join("apiserver"));
            command.arg("-dir").arg(folder.path()).args(["-port", &port.to_string()]).env_clear().kill_on_drop(true);
            command
        };
        let prepared = timeout(START_LIMIT, command().arg("-prepare").stdout(Stdio::null()).status());
        let prepared = prepared.await.context("apiserver -prepare")??;
        ensure!(prepared.success(), "apiserver -prepare: {prepared}");
        let mut child = command()
            .arg(format!("-authentication-token-webhook-config-file={}", webhook.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the API server")?;
        let stdout = Output::collect(child.stdout.take().context("no stdout")?);
        let ready = stdout.wait_for(START_LIMIT, |text| text.contains("serving").then_some(())).await;
        ready.context("the API server is not ready in time")?;
        Ok(Self { folder, port, _child: child })
    }

    /// kubectl of `user`, who asks the API server who he is.
    fn subject(&self, programs: &Path, name: &str, user: &Value) -> anyhow::Result<Subject> {
        let file: PathBuf = self.folder.path().join(format!("{}.kubeconfig", name.replace([',', ' '], "-")));
        let cluster = json!({
            "server": format!("https://127.0.0.1:{}", self.port),
            "certificate-authority": self.folder.path().join("ca.crt"),
        });
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
        });
        fs::write(&file, kubeconfig.to_string())?;
        let kubeconfig = file.display().to_string();
        let arguments = ["--kubeconfig", &kubeconfig, "--request-timeout", "20s", "auth", "whoami", "-o", "json"];
        Ok(Subject {
            name: name.to_owned(),
            program: programs.join("kubectl"),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: vec![("HOME".to_owned(), self.folder.path().display().to_string())],
            expect: "bench-role-000000:sess-0",
        })
    }
}

/// Tokens are dated in whole seconds: whoever asks in one of his own has a token that nobody has seen.
fn next_second() {
    let since = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    thread::sleep(Duration::from_secs(1).saturating_sub(Duration::from_nanos(since.subsec_nanos().into())));
}

const START_LIMIT: Duration = Duration::from_secs(60);
