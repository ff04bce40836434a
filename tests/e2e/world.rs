//! A control plane on loopback: dev STS, `herald server`, and a real API server that asks it; and people with kubectl.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    herald::{self, Server, Setup},
    sts::{
        Keys, Options, Running,
        keys::{Identity, Key},
    },
    tools::program,
};

use crate::{cluster::Cluster, kubectl::Kubectl};

/// The cluster's id.
pub(crate) const CLUSTER: &str = "prod.example.com";
/// The account of people.
pub(crate) const ACCOUNT: &str = "123456789012";
/// Longest wait for what must happen by itself: much longer than it takes, as other tests want the processors too.
pub(crate) const SOON: Duration = Duration::from_secs(180);

/// All of it. Dropping it ends all of it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) server: Server,
    pub(crate) sts: Running,
}

// === impl World ===

impl World {
    /// A cluster with keys under `server` of Herald's configuration, each line indented by two spaces. Nothing where
    /// there are no programs for it.
    pub(crate) async fn start(server: &str) -> Option<Self> {
        Self::start_with(server, &[], |_| {}).await
    }

    /// The same with flags of kube-apiserver, and files that are put beside Herald's configuration.
    pub(crate) async fn start_with(server: &str, flags: &[&str], files: impl FnOnce(&Path)) -> Option<Self> {
        let mut cluster = Cluster::prepare().await?;
        let sts = sts().await;
        let setup = setup(&sts, &cluster, server);
        files(setup.folder());
        let server = setup.start().await.expect("a server");
        cluster.start(&webhook(&server), flags).await;
        deploy(&cluster).await;
        Some(Self { cluster, server, sts })
    }

    /// Waits until Herald has read all its sources.
    pub(crate) async fn ready(&self) {
        until(async || self.server.get("/readyz").await.expect("an answer").status == 200).await;
    }

    pub(crate) fn admin(&self) -> Kubectl {
        self.cluster.admin()
    }

    /// A kubeconfig as people have it from elsewhere, with that `exec` block.
    pub(crate) fn kubeconfig(&self, exec: &Value) -> String {
        let cluster = json!({ "server": self.cluster.url(), "certificate-authority": self.cluster.file("ca.crt") });
        json!({
            "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "c",
            "clusters": [{ "name": "c", "cluster": cluster }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "users": [{ "name": "u", "user": { "exec": exec } }],
        })
        .to_string()
    }

    /// With its own calls of STS going to the dev STS.
    pub(crate) fn at_sts(&self, kubectl: Kubectl) -> Kubectl {
        let ca = self.sts.ca_file().display().to_string();
        kubectl.env("AWS_ENDPOINT_URL_STS", &self.sts.endpoint()).env("AWS_CA_BUNDLE", &ca)
    }

    /// kubectl of whoever has that key.
    pub(crate) async fn person(&self, key: &Key) -> Kubectl {
        person(&self.cluster, key, &[]).await
    }
}

/// What API servers are told about that server.
pub(crate) fn webhook(server: &Server) -> PathBuf {
    server.folder().join("kubeconfig.yaml")
}

/// Gives Herald its rights in a cluster, and the cluster the custom resource.
pub(crate) async fn deploy(cluster: &Cluster) {
    apply(cluster, "sources.yaml").await;
}

/// Applies a manifest as it is shipped.
pub(crate) async fn apply(cluster: &Cluster, manifest: &str) {
    let manifest = herald::repository().join("examples/deploy").join(manifest).display().to_string();
    cluster.admin().get(&["apply", "-f", &manifest]).await;
}

/// A dev STS that knows the people and roles of all scenarios, and [`session`]s.
pub(crate) async fn sts() -> Running {
    let mut keys = Keys::people();
    for (role, name) in [("Dynamic", "dora"), ("Policies", "paul"), ("Nodes", "i-00000000000000001")] {
        keys.add(session(role, name));
    }
    Running::start(Options { keys, ..Options::default() }).await.expect("a dev STS")
}

/// Herald beside that API server, with its own rights there.
pub(crate) fn setup(sts: &Running, cluster: &Cluster, server: &str) -> Setup {
    setup_as("herald", sts, cluster, server)
}

/// The same as another service account.
pub(crate) fn setup_as(account: &str, sts: &Running, cluster: &Cluster, server: &str) -> Setup {
    setup_by(&cluster.file(&format!("{account}.kubeconfig")), sts, server)
}

/// The same by a kubeconfig of one's own.
pub(crate) fn setup_by(kubeconfig: &Path, sts: &Running, server: &str) -> Setup {
    let setup = without_a_cluster(sts, server);
    // The way to STS is a proxy here; the one to the API server is not.
    let setup = setup.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    setup.argument("--kubeconfig").argument(&kubeconfig.display().to_string())
}

/// Herald that asks no API server for anything.
pub(crate) async fn alone(sts: &Running, server: &str) -> Server {
    without_a_cluster(sts, server).start().await.expect("a server")
}

fn without_a_cluster(sts: &Running, server: &str) -> Setup {
    // Limits of calls of STS that no machine is too slow for.
    let patience = if server.contains("sts:") { "" } else { "  sts: {timeout: 30s, connectTimeout: 30s}" };
    Setup::new(&format!("clusterID: {CLUSTER}\nserver:\n{server}\n{patience}\n")).expect("a folder").with_sts(sts)
}

/// Somebody with a key at a terminal: the kubeconfig is that of `herald kubeconfig` with `more`, and `herald` on PATH
/// counts how often kubectl runs it ([`runs`]).
pub(crate) async fn person(cluster: &Cluster, key: &Key, more: &[&str]) -> Kubectl {
    person_with(cluster, &environment(key), more).await
}

/// The same with credentials of any kind.
pub(crate) async fn person_with<V: AsRef<str>>(cluster: &Cluster, environment: &[(&str, V)], more: &[&str]) -> Kubectl {
    let mut kubectl = Kubectl::new(cluster.program("kubectl"), None);
    let bin = kubectl.home().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let (counted, binary) = (kubectl.home().join("runs"), herald::binary().expect("herald"));
    let script = format!("#!/bin/sh\necho x >>'{}'\nexec '{}' \"$@\"\n", counted.display(), binary.display());
    program(&bin.join("herald"), &script);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    kubectl = kubectl.env("PATH", &path);
    for (name, value) in environment {
        kubectl = kubectl.env(name, value.as_ref());
    }
    let (file, ca) = (kubectl.kubeconfig().display().to_string(), cluster.file("ca.crt").display().to_string());
    let url = cluster.url();
    let arguments = ["kubeconfig", "--name", CLUSTER, "--server", &url, "--certificate-authority", &ca];
    let arguments = [&arguments[..], &["--kubeconfig", &file, "--region", "us-east-1"], more].concat();
    let done = herald::run(&arguments, kubectl.environment().iter().cloned()).await;
    done.and_then(herald::Finished::success).expect("a kubeconfig");
    kubectl
}

/// How often kubectl of a [`person`] has run its plugin.
pub(crate) fn runs(kubectl: &Kubectl) -> usize {
    std::fs::read_to_string(kubectl.home().join("runs")).unwrap_or_default().lines().count()
}

/// The environment variables that every AWS client reads.
fn environment(key: &Key) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", key.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.clone()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    variables.extend(key.session_token.clone().map(|token| ("AWS_SESSION_TOKEN", token)));
    variables
}

/// The key of a session of a role of [`ACCOUNT`].
pub(crate) fn session(role: &str, name: &str) -> Key {
    let digest = tests::sigv4::sha256_hex(format!("{role}/{name}").as_bytes());
    Key {
        id: format!("ASIA{}", &digest.to_ascii_uppercase()[..16]),
        secret: digest[..40].to_owned(),
        session_token: Some(format!("IQoJb3JpZ2lu/{digest}==")),
        identity: Identity {
            account: ACCOUNT.to_owned(),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"),
            user_id: format!("AROAE2EEXAMPLE000001:{name}"),
        },
        expires_at: None,
    }
}

/// An aws-auth ConfigMap.
pub(crate) fn aws_auth(roles: &str, users: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "aws-auth", "namespace": "kube-system" },
        "data": { "mapRoles": roles, "mapUsers": users },
    })
    .to_string()
}

/// An IAMIdentityMapping.
pub(crate) fn mapping(name: &str, arn: &str, username: &str, groups: &[&str]) -> String {
    json!({
        "apiVersion": "iamauthenticator.k8s.aws/v1alpha1", "kind": "IAMIdentityMapping", "metadata": { "name": name },
        "spec": { "arn": arn, "username": username, "groups": groups },
    })
    .to_string()
}

/// Waits for `done`, at most [`SOON`].
pub(crate) async fn until(done: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("soon");
}
