//! client-go's exec plugin in a long-lived client, as kubelets and controllers are: when it is run, what it is told, and
//! how long its token is used. Who asks here is client-go alone; kubectl ends after each command.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tests::{
    herald::{self, Finished, finish},
    sts::{BOB, Running, keys},
    tools,
};
use tokio::process::Command;

use crate::world::{CLUSTER, alone, sts};

/// One request of the client.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exchange {
    token: String,
    status: u16,
    error: String,
}

/// Somebody's client: a kubeconfig with an `exec` block, and nothing in its environment.
struct Client {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// What one run of the plugin was given.
struct Run {
    stdin: String,
    info: Value,
}

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

// === impl Client ===

impl Client {
    /// With `more` in the `exec` block, which runs `herald token` and writes down what it is given.
    fn new(more: &Value, environment: &[(&str, String)]) -> Option<Self> {
        let program = tools::kubernetes()?.join("exec-check");
        let client = Self { program, folder: tempfile::tempdir().expect("a folder") };
        let (plugin, herald) = (client.file("plugin"), herald::binary().expect("herald"));
        let runs = client.file("runs");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\t%s\\n' \"$(readlink /proc/self/fd/0)\" \"$(printf %s \"$KUBERNETES_EXEC_INFO\")\" >>'{}'\nexec '{}' \"$@\"\n",
            runs.display(),
            herald.display()
        );
        tools::program(&plugin, &script);
        let variables: Vec<_> =
            environment.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let mut exec = json!({
            "apiVersion": V1, "command": plugin, "args": ["token", "-i", CLUSTER], "env": variables,
            "interactiveMode": "Never",
        });
        let more = more.as_object().expect("keys of an exec block");
        exec.as_object_mut().expect("an object").extend(more.clone());
        let extension = json!({ "name": "client.authentication.k8s.io/exec", "extension": { "name": CLUSTER } });
        let cluster = json!({ "server": "https://cluster.example.com", "extensions": [extension] });
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": cluster }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "users": [{ "name": "u", "user": { "exec": exec } }],
        });
        std::fs::write(client.file("kubeconfig"), kubeconfig.to_string()).expect("a file");
        Some(client)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes requests, each after the one before.
    async fn run(&self, requests: u32, more: &[&str]) -> Finished {
        let mut command = Command::new(&self.program);
        // The shell of the plugin's own script looks for readlink(1).
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
        command.arg("-kubeconfig").arg(self.file("kubeconfig")).arg(format!("-requests={requests}")).args(more);
        finish(command).await.expect("it runs")
    }

    async fn exchanges(&self, requests: u32, more: &[&str]) -> Vec<Exchange> {
        let finished = self.run(requests, more).await.success().expect("all are made");
        let lines = finished.stdout.lines();
        let found: Vec<Exchange> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(found.len(), requests as usize);
        found
    }

    /// What each run of the plugin was given so far.
    fn runs(&self) -> Vec<Run> {
        let text = std::fs::read_to_string(self.file("runs")).unwrap_or_default();
        let read = |line: &str| {
            let (stdin, info) = line.split_once('\t').expect("two fields");
            Run { stdin: stdin.to_owned(), info: serde_json::from_str(info).expect("JSON") }
        };
        text.lines().map(read).collect()
    }
}

/// bob by his key.
fn bob() -> Vec<(&'static str, String)> {
    let mut variables: Vec<_> = BOB.environment().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    variables.extend(elsewhere());
    variables
}

/// No region is to be looked up.
fn elsewhere() -> [(&'static str, String); 2] {
    [("AWS_EC2_METADATA_DISABLED", "true".to_owned()), ("AWS_REGION", "us-east-1".to_owned())]
}

/// A role for whoever has the web identity in that folder, as a node's or a pod's is.
fn pod(sts: &Running, folder: &Path) -> Vec<(&'static str, String)> {
    let token_file = folder.join("web-identity");
    std::fs::write(&token_file, keys::WEB_IDENTITY).expect("written");
    let mut variables = vec![
        ("AWS_ROLE_ARN", keys::POD_ROLE.to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.display().to_string()),
        ("AWS_ENDPOINT_URL_STS", sts.endpoint()),
        ("AWS_CA_BUNDLE", sts.ca_file().display().to_string()),
    ];
    variables.extend(elsewhere());
    variables
}

fn tokens(exchanges: &[Exchange]) -> BTreeSet<&str> {
    exchanges.iter().map(|exchange| exchange.token.as_str()).collect()
}

fn asked(sts: &Running, action: &str) -> usize {
    sts.sts.requests().iter().filter(|request| request.action == action).count()
}

#[tokio::test]
async fn a_token_is_used_until_it_is_refused() {
    let Some(client) = Client::new(&json!({}), &bob()) else { return };
    let sts = sts().await;
    let server = alone(&sts, "  mapAccounts: ['123456789012']").await;
    let found = client.exchanges(6, &["-answers=200,200,200,401,200", "-interval=1100ms"]).await;
    let statuses: Vec<_> = found.iter().map(|exchange| exchange.status).collect();
    assert_eq!(statuses, [200, 200, 200, 401, 200, 200]);
    assert_eq!(client.runs().len(), 2, "at first, and after the refusal");
    assert_eq!((tokens(&found[..4]).len(), tokens(&found[4..]).len(), tokens(&found).len()), (1, 1, 2));
    for token in tokens(&found) {
        let answer = server.review(token).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some(BOB.arn), "{}", answer.text);
    }
}

/// Keys that a program hands out for a minute and eleven seconds make a token for eleven seconds, of which a busy machine may need
/// some to make it: a token ends a minute before its keys.
#[tokio::test]
async fn a_token_is_not_used_past_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, config) = (folder.path().join("keys"), folder.path().join("config"));
    let key = BOB.key();
    let answer = format!(
        r#"{{\"Version\": 1, \"AccessKeyId\": \"{}\", \"SecretAccessKey\": \"{}\", \"Expiration\": \"$(date -u -d '71 seconds' +%Y-%m-%dT%H:%M:%SZ)\"}}"#,
        key.id, key.secret
    );
    tools::program(&program, &format!("#!/bin/sh\necho \"{answer}\"\n"));
    std::fs::write(&config, format!("[default]\ncredential_process = {}\n", program.display())).expect("a file");
    let mut variables = elsewhere().to_vec();
    variables.push(("AWS_CONFIG_FILE", config.display().to_string()));
    let Some(client) = Client::new(&json!({}), &variables) else { return };
    let found = client.exchanges(3, &["-interval=12s"]).await;
    assert!(found.iter().all(|exchange| exchange.status == 200), "{found:?}");
    assert_eq!((client.runs().len(), tokens(&found).len()), (3, 3), "each token had ended when the next was needed");
}

/// What a kubeconfig may say of the plugin, and what it hears then; or what client-go says itself.
#[tokio::test]
async fn each_version_and_mode_is_answered() {
    let v1 = json!({ "apiVersion": V1 });
    let rows = [
        (v1.clone(), Ok((V1, false))),
        (json!({ "apiVersion": V1BETA1 }), Ok((V1BETA1, false))),
        (json!({ "apiVersion": V1, "interactiveMode": "IfAvailable" }), Ok((V1, false))),
        (json!({ "apiVersion": V1, "provideClusterInfo": true }), Ok((V1, true))),
        (json!({ "apiVersion": V1BETA1, "provideClusterInfo": true }), Ok((V1BETA1, true))),
        (json!({ "interactiveMode": "Always" }), Err("exec plugin cannot support interactive mode")),
        (json!({ "interactiveMode": "" }), Err("interactiveMode must be specified")),
        (json!({ "apiVersion": "client.authentication.k8s.io/v1alpha1" }), Err("invalid apiVersion")),
    ];
    for (more, expected) in rows {
        let Some(client) = Client::new(&more, &bob()) else { return };
        let finished = client.run(1, &[]).await;
        let (said, runs) = (format!("{}{}", finished.stdout, finished.stderr), client.runs());
        match expected {
            Ok((version, is_told)) => {
                let found: Exchange = serde_json::from_str(&finished.stdout).expect("JSON");
                assert!(found.token.starts_with("k8s-aws-v1.") && found.status == 200, "{more}: {said}");
                let [Run { stdin, info }] = &runs[..] else { panic!("{more}: {} runs", runs.len()) };
                assert_eq!(stdin, "/dev/null", "{more}");
                assert_eq!((&info["apiVersion"], &info["spec"]["interactive"]), (&version.into(), &false.into()));
                let name = &info["spec"]["cluster"]["config"]["name"];
                assert_eq!(name.as_str(), is_told.then_some(CLUSTER), "{more}: {info}");
            }
            Err(words) => {
                assert!(said.contains(words), "{more}: {said}");
                assert!(runs.is_empty() && !said.contains("k8s-aws-v1."), "{more}: it is not run");
            }
        }
    }
}

/// What the plugin cannot do is what client-go tells, and no request goes out without a token.
#[tokio::test]
async fn a_plugin_that_fails_is_told_in_its_own_words() {
    let Some(client) = Client::new(&json!({}), &elsewhere()) else { return };
    let finished = client.run(2, &[]).await.success().expect("both are tried");
    assert_eq!(finished.stdout.lines().count(), 2, "{finished:?}");
    for line in finished.stdout.lines() {
        let found: Exchange = serde_json::from_str(line).expect("JSON");
        assert!(found.token.is_empty() && found.status == 0, "{line}");
        assert!(found.error.contains("getting credentials") && found.error.contains("exit code 1"), "{line}");
    }
    assert!(finished.stderr.contains("no AWS credentials"), "{}", finished.stderr);
}

/// A kubelet that is refused goes on asking, and client-go runs the plugin for each 401. It has no home, no stdin and a
/// folder for the cache.
#[tokio::test]
async fn a_loop_of_401_takes_one_session_and_one_token_of_sts() {
    const LOOPS: u32 = 12;
    let (sts, folder) = (sts().await, tempfile::tempdir().expect("a folder"));
    let mut variables = pod(&sts, folder.path());
    variables.push(("HERALD_CACHE_DIR", folder.path().join("cache").display().to_string()));
    let cached = json!({ "args": ["token", "-i", CLUSTER, "--cache"] });
    let Some(client) = Client::new(&cached, &variables) else { return };
    // Nobody is mapped.
    let server = alone(&sts, "  backendMode: [MountedFile]").await;
    let found = client.exchanges(LOOPS, &["-answers=401", "-interval=200ms"]).await;
    assert_eq!(client.runs().len(), LOOPS as usize + 1, "at first, and for each 401");
    assert_eq!(tokens(&found).len(), 1);
    for exchange in &found {
        let answer = server.review(&exchange.token).await.expect("an answer");
        assert_eq!(answer.reason().as_deref(), Some("not_mapped"), "{}", answer.text);
    }
    let calls = (asked(&sts, "AssumeRoleWithWebIdentity"), asked(&sts, "GetCallerIdentity"));
    assert_eq!(calls, (1, 1), "of the plugin, and of the webhook");
}

/// Without a cache nothing outlives a run, and a run costs what it costs: for keys no call of STS at all, and the tokens
/// of one second are one token. For a role each run is a session.
#[tokio::test]
async fn without_a_cache_a_loop_of_401_takes_a_token_a_second_at_most() {
    const LOOPS: u32 = 12;
    let Some(client) = Client::new(&json!({}), &bob()) else { return };
    let sts = sts().await;
    let server = alone(&sts, "  backendMode: [MountedFile]").await;
    let began = std::time::Instant::now();
    let found = client.exchanges(LOOPS, &["-answers=401"]).await;
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("few") + 2;
    assert_eq!(client.runs().len(), LOOPS as usize + 1);
    let made = tokens(&found).len();
    assert!(made <= seconds, "{made} tokens in {seconds} seconds");
    assert_eq!(sts.sts.stats().requests, 0, "the plugin asks nobody");
    for exchange in &found {
        let answer = server.review(&exchange.token).await.expect("an answer");
        assert_eq!(answer.reason().as_deref(), Some("not_mapped"), "{}", answer.text);
    }
    assert_eq!(asked(&sts, "GetCallerIdentity"), made, "the webhook asks once for each");

    let folder = tempfile::tempdir().expect("a folder");
    let client = Client::new(&json!({}), &pod(&sts, folder.path())).expect("as before");
    client.exchanges(3, &["-answers=401"]).await;
    assert_eq!(asked(&sts, "AssumeRoleWithWebIdentity"), 4);
}
