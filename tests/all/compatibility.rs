//! Herald in place of the programs that kubeconfigs, manifests and scripts name today: under the old names,
//! and with the arguments of `aws eks get-token`.

use std::{fs, path::PathBuf, process::Stdio};

use expect_test::{Expect, expect};
use tests::{
    herald::{Answer, Finished, Version, binary, finish, webhook_kubeconfig},
    sts::{ALICE, BOB, keys},
    tls::client_config,
};
use tokio::process::Command;

use crate::{
    clients::{at_work, username},
    support::{CLUSTER, config, fresh, start, sts, terminal, until},
};

const OLD_NAMES: [&str; 2] = ["aws-iam-authenticator", "heptio-authenticator-aws"];

/// A folder with links to `herald` under other names, which is the working directory as well.
struct Links(tempfile::TempDir);

impl Links {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in OLD_NAMES.into_iter().chain(["ack-ram-authenticator", "herald"]) {
            std::os::unix::fs::symlink(binary().expect("herald"), folder.path().join(name)).expect("a link");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn run(&self, name: &str, arguments: &[&str], environment: &[(String, String)]) -> Finished {
        let mut command = Command::new(self.path(name));
        command.args(arguments).env_clear().current_dir(self.0.path());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        finish(command).await.expect("it runs")
    }
}

#[tokio::test]
async fn help_is_an_answer() {
    let links = Links::new();
    for name in OLD_NAMES.into_iter().chain(["ack-ram-authenticator"]) {
        for arguments in [&["help"][..], &["--help"], &["-h"], &[], &["token", "--help"], &["help", "token"]] {
            let finished = links.run(name, arguments, &[]).await.success().expect("exit code 0");
            assert!(finished.stdout.contains(&format!("Usage: {name}")), "{name} {arguments:?}: {}", finished.stdout);
            assert_eq!(finished.stderr, "");
        }
    }
}

#[tokio::test]
async fn failures_have_one_exit_code() {
    let links = Links::new();
    let home = tempfile::tempdir().expect("a folder");
    let environment = terminal(&BOB, home.path());
    let missing = ["token", "-i", CLUSTER, "-c", "no-such-file.yaml"];
    let both = ["token", "-i", CLUSTER, "-r", keys::DEPLOYER_ROLE, "-s", "me", "--forward-session-name"];
    let rows: [&[&str]; 9] = [
        &["token", "-i", CLUSTER, "-r", "no-arn"],
        &["token"],
        &missing,
        &both,
        &["token", "-i", CLUSTER, "--no-such-flag"],
        &["token", "-i", CLUSTER, "--feature-gates", "NoSuchGate=true"],
        &["verify", "-i", CLUSTER],
        &["verify", "-i", CLUSTER, "-t", "k8s-aws-v1.AAAA"],
        &["no-such-command"],
    ];
    for arguments in rows {
        let finished = links.run("aws-iam-authenticator", arguments, &environment).await;
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{arguments:?}: {}", finished.stderr);
        let told = if arguments.contains(&"no-arn") { "aws-iam-authenticator: could not get token: " } else { "" };
        assert!(finished.stderr.starts_with(told) && finished.stderr != told, "{}", finished.stderr);
    }
    let rows: [(&[&str], i32); 3] = [(&["token"], 78), (&both, 2), (&["no-such-command"], 2)];
    for (arguments, code) in rows {
        let ours = links.run("herald", arguments, &environment).await;
        assert_eq!(ours.code, Some(code), "under its own name, Herald tells causes apart: {arguments:?}");
    }
}

/// `herald … | head`: a shell shows 141 for programs that SIGPIPE ends, and so for this one.
#[tokio::test]
async fn who_reads_no_further_hears_of_no_error() {
    let links = Links::new();
    let ours = binary().expect("herald").to_owned();
    let rows: [(PathBuf, &[&str]); 5] = [
        (ours.clone(), &["completions", "bash"]),
        (ours.clone(), &["init", "-i", CLUSTER, "--emit", "daemonset"]),
        (ours.clone(), &["version"]),
        (ours, &["init", "-i", CLUSTER]),
        (links.path("aws-iam-authenticator"), &["version"]),
    ];
    for (program, arguments) in rows {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(links.0.path()).stdin(Stdio::null()).stdout(writer);
        let ended = command.stderr(Stdio::piped()).spawn().expect("it starts").wait_with_output().await;
        let ended = ended.expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), said.as_ref()), (Some(141), ""), "{arguments:?}");
    }
}

/// Nor is it an end of another kind when nobody hears of the error itself.
#[tokio::test]
async fn an_error_that_nobody_hears_of_is_one_all_the_same() {
    let rows: [(&[&str], i32); 3] =
        [(&["token"], 78), (&["token", "-i", CLUSTER, "-r", "no-arn"], 1), (&["nothing"], 2)];
    for (arguments, code) in rows {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(binary().expect("herald"));
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
        let ended = command.status().await.expect("it ends");
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
    }
}

#[tokio::test]
async fn version() {
    let links = Links::new();
    let run = async |arguments: &[&str]| {
        let arguments = [&["version"], arguments].concat();
        let finished = links.run("aws-iam-authenticator", &arguments, &[]).await.success().expect("a version");
        finished.stdout.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    };
    assert_eq!(run(&[]).await, "{\"Version\":\"VERSION\"}\n");
    assert_eq!(run(&["-o", "json"]).await, "{\"Version\":\"VERSION\"}\n");
    assert_eq!(run(&["-o", "yaml"]).await, "version: \"VERSION\"\n");
    assert_eq!(run(&["--short"]).await, "VERSION\n");
}

#[tokio::test]
async fn init_writes_three_files_into_the_working_directory() {
    for name in OLD_NAMES {
        let links = Links::new();
        links.run(name, &["init", "-i", CLUSTER], &[]).await.success().expect("files");
        let mut files: Vec<_> = fs::read_dir(links.0.path()).expect("a folder").flatten().collect();
        files.retain(|file| !file.path().is_symlink());
        let mut files: Vec<_> = files.into_iter().map(|file| file.file_name().into_string().expect("UTF-8")).collect();
        files.sort();
        let mut expected = ["cert.pem".to_owned(), format!("{name}.kubeconfig"), "key.pem".to_owned()];
        expected.sort();
        assert_eq!(files, expected);
    }
}

/// An ExecCredential with its token and its end blanked out, and the token.
fn blanked(finished: &Finished) -> (String, String) {
    let token = finished.token().expect("a token");
    let answer: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let end = answer["status"]["expirationTimestamp"].as_str().expect("an end").to_owned();
    (finished.stdout.replace(&token, "TOKEN").replace(&end, "END"), token)
}

#[tokio::test]
async fn token_as_kubeconfigs_call_it() {
    let (_sts, server) = start("").await;
    let (links, home) = (Links::new(), tempfile::tempdir().expect("a folder"));
    let old = expect![[r#"
        {"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false},"status":{"expirationTimestamp":"END","token":"TOKEN"}}
    "#]];
    // Nothing, nonsense and unknown versions: who asks like that has always been answered in v1beta1.
    for info in [None, Some(""), Some("{"), Some(r#"{"kind":"ExecCredential"}"#), Some(r#"{"apiVersion":"foo/bar"}"#)] {
        let mut environment = terminal(&ALICE, home.path());
        environment.extend(info.map(|info| ("KUBERNETES_EXEC_INFO".to_owned(), info.to_owned())));
        let made = links.run("aws-iam-authenticator", &["token", "-i", CLUSTER], &environment).await;
        let (text, token) = blanked(&made.success().expect("a token"));
        old.assert_eq(&text);
        assert_eq!(username(&server, &token).await.as_deref(), Some("dev:alice"));
    }
    let twice = ["token", "-i", "staging.example.com", "-i", CLUSTER, "--token-only=true", "--cache=false"];
    let made = links.run("aws-iam-authenticator", &twice, &terminal(&ALICE, home.path())).await;
    let token = made.success().expect("a token").stdout;
    assert_eq!(username(&server, token.trim_end()).await.as_deref(), Some("dev:alice"), "the last one counts");
    let mut nobody = terminal(&BOB, home.path());
    nobody.retain(|(name, _)| !name.contains("KEY"));
    let failed = links.run("heptio-authenticator-aws", &["token", "-i", CLUSTER], &nobody).await;
    assert!(failed.complaint().expect("a line").contains("could not get token: no AWS credentials"), "{failed:?}");
}

#[tokio::test]
async fn verify_prints_what_scripts_read() {
    let (sts, _server) = start("").await;
    let (links, home) = (Links::new(), tempfile::tempdir().expect("a folder"));
    let mut environment = terminal(&BOB, home.path());
    environment.extend(sts.environment().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let run = async |more: &[&str]| {
        let token = links.run("aws-iam-authenticator", &["token", "-i", CLUSTER, "--token-only"], &environment).await;
        let token = token.success().expect("a token").stdout;
        let arguments = [&["verify", "-i", CLUSTER, "-t", token.trim_end()], more].concat();
        links.run("aws-iam-authenticator", &arguments, &environment).await.success().expect("an identity").stdout
    };
    expect![[r#"
        &{ARN:arn:aws:iam::123456789012:user/bob CanonicalARN:arn:aws:iam::123456789012:user/bob AccountID:123456789012 UserID:AIDADEVBOBEXAMPLE001 SessionName: AccessKeyID:AKIADEVBOBEXAMPLE001 STSEndpoint:sts.us-east-1.amazonaws.com}
    "#]].assert_eq(&run(&["-o", "text-like"]).await);
    expect![[r#"
        {
            "ARN": "arn:aws:iam::123456789012:user/bob",
            "CanonicalARN": "arn:aws:iam::123456789012:user/bob",
            "AccountID": "123456789012",
            "UserID": "AIDADEVBOBEXAMPLE001",
            "SessionName": "",
            "AccessKeyID": "AKIADEVBOBEXAMPLE001",
            "STSEndpoint": "sts.us-east-1.amazonaws.com"
        }
    "#]]
    .assert_eq(&run(&["-o", "json"]).await);
}

#[tokio::test]
async fn flags_are_taken_as_they_always_were() {
    let (links, home) = (Links::new(), tempfile::tempdir().expect("a folder"));
    let rows: [&[&str]; 5] = [
        &["-i", "staging.example.com", "-i", CLUSTER],
        &["-i", CLUSTER, "--token-only=true", "--cache=false", "--forward-session-name=false"],
        &["-i", CLUSTER, "--log-format", "no-such-format", "-v", "fatal"],
        &["-i", CLUSTER, "--feature-gates", "SSORoleMatch=true,AllAlpha=false"],
        &["-i", CLUSTER, "-e", "without-a-role", "-s", "neither"],
    ];
    for arguments in rows {
        let mut environment = terminal(&BOB, home.path());
        let empty = ["KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY", "DEFAULT_ROLE"];
        environment.extend(empty.map(|name| (name.to_owned(), String::new())));
        let arguments = [&["token"], arguments].concat();
        let made = links.run("aws-iam-authenticator", &arguments, &environment).await;
        assert_eq!(made.code, Some(0), "{arguments:?}: {}", made.stderr);
    }
}

#[tokio::test]
async fn empty_variables_are_none() {
    const EMPTY: [&str; 17] = [
        "ACK_RAM_TOOL_CREDENTIAL_TYPE",
        "ACK_RAM_TOOL_CS_ENDPOINT",
        "ACK_RAM_TOOL_IGNORE_ALIYUN_CLI_CREDENTIALS",
        "ACK_RAM_TOOL_IGNORE_ENV_CREDENTIALS",
        "ACK_RAM_TOOL_PROFILE_FILE",
        "ACK_RAM_TOOL_PROFILE_NAME",
        "ACK_RAM_TOOL_PROFIL_ENAME",
        "ACK_RAM_TOOL_REGION_ID",
        "ACK_RAM_TOOL_ROLE_ARN",
        "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY",
        "AWS_PROFILE",
        "DEFAULT_ROLE",
        "HERALD_CACHE",
        "HERALD_PROVIDER",
        "HERALD_TOKEN",
        "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID",
        "STS_REGION",
    ];
    let (links, home) = (Links::new(), tempfile::tempdir().expect("a folder"));
    let mut environment = terminal(&BOB, home.path());
    let keys = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "i"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s")];
    let variables = keys.into_iter().chain(EMPTY.map(|name| (name, "")));
    environment.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let rows: [(&str, &[&str]); 11] = [
        ("herald", &["version"]),
        ("herald", &["token", "-i", CLUSTER]),
        ("herald", &["token", "-i", CLUSTER, "--provider", "alibaba"]),
        ("herald", &["token", "-i", CLUSTER, "-r", "", "-e", "", "-s", ""]),
        ("herald", &["token", "-i", CLUSTER, "--provider", "alibaba", "-r", "", "-e", "", "-s", ""]),
        ("herald", &["eks", "get-token", "--cluster-name", CLUSTER]),
        ("herald", &["eks", "get-token", "--cluster-name", CLUSTER, "--role-arn", ""]),
        ("herald", &["credential-plugin", "get-token", "-c", CLUSTER]),
        ("herald", &["credential-plugin", "get-token", "-c", CLUSTER, "--region-id", "", "--profile-name", ""]),
        ("aws-iam-authenticator", &["token", "-i", CLUSTER, "--region", "", "--profile", ""]),
        ("aws-iam-authenticator", &["credential-plugin", "get-token", "-c", CLUSTER]),
    ];
    for (name, arguments) in rows {
        let made = links.run(name, arguments, &environment).await;
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{name} {arguments:?}");
    }
}

#[tokio::test]
async fn only_the_command_changes_in_kubeconfigs_of_the_aws_cli() {
    #[track_caller]
    fn check(finished: &Finished, expected: &Expect) -> String {
        let (text, token) = blanked(finished);
        expected.assert_eq(&text);
        token
    }
    let (_sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    let answer = expect![[r#"
        {
            "kind": "ExecCredential",
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "spec": {},
            "status": {
                "expirationTimestamp": "END",
                "token": "TOKEN"
            }
        }
    "#]];
    let rows: [&[&str]; 4] = [
        &["--region", "us-east-1", "eks", "get-token", "--cluster-name", CLUSTER, "--output", "json"],
        &["eks", "get-token", "--cluster-name", CLUSTER, "--region", "us-east-1"],
        &["eks", "get-token", "--cluster-name", CLUSTER],
        &["eks", "get-token", "--cluster-id", CLUSTER],
    ];
    for arguments in rows {
        let made = tests::herald::run(arguments, terminal(&BOB, home.path())).await.expect("herald runs");
        let token = check(&made.success().expect("a token"), &answer);
        assert_eq!(username(&server, &token).await.as_deref(), Some("bob"), "{arguments:?}");
    }
    let none = tests::herald::run(&["eks", "get-token"], terminal(&BOB, home.path())).await.expect("herald runs");
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
}

#[tokio::test]
async fn a_role_by_the_arguments_of_the_aws_cli() {
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    let mut environment = at_work(&sts, home.path());
    environment.extend(terminal(&BOB, home.path()));
    let arguments = ["eks", "get-token", "--cluster-name", CLUSTER, "--role-arn", keys::DEPLOYER_ROLE];
    let made = tests::herald::run(&arguments, environment).await.expect("herald runs").success().expect("a token");
    let name = username(&server, &made.token().expect("a token")).await;
    assert_eq!(name.as_deref(), Some("deploy:EKSGetTokenAuth"), "the session's name, as mappings know it");
}

/// An option goes over a variable, that over the file, and that over the command's own default.
#[tokio::test]
async fn a_file_says_how_much_is_told() {
    let links = Links::new();
    let home = tempfile::tempdir().expect("a folder");
    let variable = ("AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY".to_owned(), "error".to_owned());
    let rows: [(&str, &[&str], Option<_>, bool); 4] = [
        ("", &[], None, true),
        ("log-verbosity: error", &[], None, false),
        ("", &[], Some(variable.clone()), false),
        ("log-verbosity: error", &["-v", "warning"], Some(variable), true),
    ];
    for (more, options, variable, told) in rows {
        fs::write(links.path("config.yaml"), format!("clusterID: c\nfeature-gates: {{}}\n{more}\n")).expect("a file");
        let environment: Vec<_> = terminal(&BOB, home.path()).into_iter().chain(variable).collect();
        let arguments = [&["token", "-c", "config.yaml"], options].concat();
        let made = links.run("aws-iam-authenticator", &arguments, &environment).await.success().expect("a token");
        assert_eq!(made.stderr.contains("nothing here is behind a gate"), told, "{more} {options:?}: {}", made.stderr);
    }
}

/// As the kubelet runs its plugin: no home, no terminal, no stdin, nothing in the environment but the role.
#[tokio::test]
async fn a_kubelet_runs_the_plugin() {
    let (sts, server) = start("  mapAccounts: ['123456789012']").await;
    let links = Links::new();
    let token_file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(token_file.path(), keys::WEB_IDENTITY).expect("written");
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(links.path("aws-iam-authenticator")).args(["token", "-i", CLUSTER]).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("AWS_ROLE_ARN", keys::POD_ROLE).env("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.path());
    command.env("AWS_REGION", "us-east-1").env("AWS_ENDPOINT_URL_STS", sts.endpoint());
    command.env("AWS_CA_BUNDLE", sts.ca_file()).env("AWS_EC2_METADATA_DISABLED", "true");
    command.current_dir("/");
    let made = finish(command).await.and_then(Finished::success).expect("a token");
    let name = username(&server, &made.token().expect("a token")).await;
    assert_eq!(name.as_deref(), Some(keys::POD_ROLE));
}

/// With the arguments of the manifests that came with that name.
#[tokio::test]
async fn the_server_of_an_old_manifest() {
    let (sts, links) = (sts().await, Links::new());
    let path = |name: &str| links.path(name).display().to_string();
    fs::write(links.path("config.yaml"), config("")).expect("a file");
    let mut command = Command::new(links.path("heptio-authenticator-aws"));
    command.args(["server", "--port", "0", "--feature-gates", "SSORoleMatch=true"]).env_clear().kill_on_drop(true);
    command.envs(sts.environment());
    command.arg(format!("--config={}", path("config.yaml"))).arg(format!("--state-dir={}", path("state")));
    command.arg(format!("--generate-kubeconfig={}", path("out/kubeconfig.yaml")));
    let stdout = fs::File::create(links.path("stdout")).expect("a file");
    let mut server = command.stdout(stdout).stderr(Stdio::null()).spawn().expect("it starts");
    until(async || links.path("out/kubeconfig.yaml").exists()).await;
    assert!(["state/cert.pem", "state/key.pem"].iter().all(|name| links.path(name).exists()));
    // The API server asks whom the file names.
    let (url, ca_pem) = webhook_kubeconfig(&links.path("out/kubeconfig.yaml")).expect("a kubeconfig");
    let tls = client_config(&ca_pem, &[b"h2"]).expect("a CA");
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client");
    let token = fresh(&BOB);
    let ask = || client.post(&url).header("content-type", "application/json").body(Version::V1.body(&token));
    until(async || Answer::of(ask()).await.is_ok()).await;
    assert!(server.try_wait().expect("a state").is_none(), "it serves");
    let answer = Answer::of(ask()).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
    let said = fs::read_to_string(links.path("stdout")).expect("a file");
    assert!(said.starts_with("Authenticator Version: \""), "{said}");
}

/// The program of that name takes `--bind`, and never reads it.
#[tokio::test]
async fn the_bind_of_an_old_manifest_moves_no_server() {
    let links = Links::new();
    let path = |name: &str| links.path(name).display().to_string();
    fs::write(links.path("config.yaml"), format!("clusterID: {CLUSTER}\nserver: {{}}\n")).expect("a file");
    let mut command = Command::new(links.path("ack-ram-authenticator"));
    command.args(["server", "--port=0", "--health-port=0", "--metrics-port=0", "-b", "0.0.0.0"]).env_clear();
    command.arg(format!("--config={}", path("config.yaml"))).arg(format!("--state-dir={}", path("state")));
    command.arg(format!("--generate-kubeconfig={}", path("kubeconfig.yaml"))).kill_on_drop(true);
    let stderr = fs::File::create(links.path("stderr")).expect("a file");
    let _server = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("it starts");
    let said = || fs::read_to_string(links.path("stderr")).expect("a file");
    until(async || said().contains("listening on 127.0.0.1:")).await;
    assert!(said().contains("--bind has no effect: use --address"), "{}", said());
}

#[tokio::test]
async fn a_kubeconfig_with_others_in_it() {
    let (_sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join(".kube/config");
    fs::create_dir(home.path().join(".kube")).expect("a folder");
    let others = "apiVersion: v1\nkind: Config\nclusters: [{name: other, cluster: {server: 'https://other'}}]\n\
                  users: [{name: other, user: {token: '0123'}}]\ncurrent-context: ''\n";
    fs::write(&file, others).expect("a file");
    let arguments = ["kubeconfig", "--name", CLUSTER, "--server", "https://api.example.com", "--region", "us-east-1"];
    let read = || -> serde_json::Value {
        serde_saphyr::from_str(&fs::read_to_string(&file).expect("a file")).expect("a kubeconfig")
    };
    for _ in 0..2 {
        tests::herald::run(&arguments, terminal(&BOB, home.path())).await.and_then(Finished::success).expect("done");
    }
    let config = read();
    assert_eq!(
        (&config["clusters"][0]["name"], &config["users"][0]["user"]["token"]),
        (&"other".into(), &"0123".into())
    );
    assert_eq!((&config["clusters"][1]["name"], &config["current-context"]), (&CLUSTER.into(), &CLUSTER.into()));
    assert_eq!(config["users"].as_array().map(Vec::len), Some(2), "the second run changed nothing");

    // What kubectl would run.
    let exec = &config["users"][1]["user"]["exec"];
    assert_eq!(exec["command"], "herald");
    let args: Vec<&str> = exec["args"].as_array().expect("a list").iter().flat_map(|arg| arg.as_str()).collect();
    let info = format!(r#"{{"apiVersion":{},"kind":"ExecCredential"}}"#, exec["apiVersion"]);
    let mut environment = terminal(&BOB, home.path());
    environment.push(("KUBERNETES_EXEC_INFO".to_owned(), info));
    let made = tests::herald::run(&args, environment).await.and_then(Finished::success).expect("a token");
    assert_eq!(username(&server, &made.token().expect("a token")).await.as_deref(), Some("bob"));
}

/// A variable with another cluster's id would have kubectl send that cluster's tokens to this one's API server.
#[tokio::test]
async fn a_kubeconfig_is_for_the_cluster_that_is_named() {
    let home = tempfile::tempdir().expect("a folder");
    let rows: [(&[&str], &str, &str); 5] = [
        (&["--name", "staging"], "prod", "staging"),
        (&["--name", "staging"], "staging", "staging"),
        (&["--name", "staging", "-i", "staging.example.com"], "prod", "staging.example.com"),
        (&["--name", "staging", "-i", "prod"], "prod", "prod"),
        (&["--name", "prod", "--alias", "p"], "", "prod"),
    ];
    for (arguments, variable, id) in rows {
        let arguments = [&["kubeconfig", "--dry-run", "--server", "https://api.example.com"], arguments].concat();
        let mut environment = terminal(&BOB, home.path());
        if !variable.is_empty() {
            environment.push(("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID".to_owned(), variable.to_owned()));
        }
        let made = tests::herald::run(&arguments, environment).await.and_then(Finished::success).expect("a text");
        let config: serde_json::Value = serde_saphyr::from_str(&made.stdout).expect("a kubeconfig");
        let args = &config["users"][0]["user"]["exec"]["args"];
        assert_eq!(args, &serde_json::json!(["token", "-i", id]), "{arguments:?} {variable}");
        let told = made.stderr.contains("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID");
        assert_eq!(told, variable == "prod" && id == "staging", "{arguments:?} {variable}: {}", made.stderr);
    }
}
