//! `herald token` with the credentials of Alibaba Cloud: each source alone, what is kept, and the names and arguments
//! of the tools that it replaces.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::Value;
use tests::{
    herald::{Finished, Server, binary, finish},
    kubernetes::Kubernetes,
    metadata::{Manner, Metadata},
    now,
    sts::{
        Running,
        alibaba::{DEPLOYER, EXTERNAL_ID, GUARDED, LIN, MEI, OIDC_PROVIDER, OIDC_TOKEN, POD, Person, acs_date},
    },
    tokens::alibaba::json_of,
};
use tokio::process::Command;

use crate::support::{CLUSTER, setup, start_beside, sts, until};

const CONFIG: &str = r#"
clusterID: test-cluster
server:
  providers: [alibaba]
  mapUsers:
  - {userARN: "acs:ram::1234567890123456:user/lin", username: lin}
  mapRoles:
  - {roleARN: "acs:ram::1234567890123456:role/Developers", username: "dev:{{SessionName}}"}
  - {roleARN: "acs:ram::1234567890123456:role/Deployer", username: "deploy:{{SessionName}}"}
  - {roleARN: "acs:ram::1234567890123456:role/Guarded", username: "guarded:{{SessionName}}"}
  - {roleARN: "acs:ram::1234567890123456:role/Pod", username: "pod:{{SessionName}}"}
"#;

/// A person's machine, with an STS to ask.
struct Machine {
    sts: Running,
    home: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Machine {
    async fn new() -> Self {
        let (sts, home) = (sts().await, tempfile::tempdir().expect("a folder"));
        let mut machine = Self { environment: Vec::new(), sts, home };
        machine.environment =
            machine.sts.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let folder = machine.home.path().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        machine.with(&[("HOME", &folder), ("PATH", &path)])
    }

    fn with(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    fn of(self, person: &Person) -> Self {
        self.with(&person.environment())
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    async fn run_as(&self, name: &str, arguments: &[&str]) -> Finished {
        let program: PathBuf = self.home.path().join(name);
        if !program.exists() {
            std::os::unix::fs::symlink(binary().expect("herald"), &program).expect("a link");
        }
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(self.home.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        finish(command).await.expect("it runs")
    }

    async fn herald(&self, more: &[&str]) -> Finished {
        let arguments = [&["token", "-i", CLUSTER, "--provider", "alibaba"], more].concat();
        let mut finished = self.run_as("herald", &arguments).await;
        // Instance metadata has a second, of which a busy machine may need all for itself.
        for _ in 0..4 {
            if !finished.stderr.contains("instance metadata cannot be asked: no answer in time") {
                break;
            }
            finished = self.run_as("herald", &arguments).await;
        }
        finished
    }

    async fn server(&self) -> Server {
        start_beside(&self.sts, &CONFIG.replace("test-cluster", CLUSTER)).await
    }

    /// The user that a token made here becomes.
    #[track_caller]
    fn token(finished: Finished) -> String {
        let finished = finished.success().expect("a token");
        assert_eq!(finished.stderr, "");
        finished.token().expect("a token")
    }

    async fn user(&self, more: &[&str]) -> String {
        let token = Self::token(self.herald(more).await);
        let answer = self.server().await.review(&token).await.expect("an answer");
        answer.username().unwrap_or_else(|| panic!("{}", answer.text))
    }
}

/// Every place that a client could turn to is one where nobody may knock.
#[tokio::test]
async fn static_keys_need_no_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a setting");
    let address = listener.local_addr().expect("an address").to_string();
    let url = format!("http://{address}");
    let everywhere = async || {
        let mut machine = Machine::new().await;
        machine.environment.retain(|(name, _)| !name.to_ascii_lowercase().ends_with("_proxy"));
        machine.with(&[
            ("HTTPS_PROXY", &url),
            ("HTTP_PROXY", &url),
            ("ALL_PROXY", &url),
            ("ALIBABA_CLOUD_IMDS_ENDPOINT", &address),
        ])
    };
    let keys = format!(r#""access_key_id":"{}","access_key_secret":"{}""#, LIN.access_key_id, LIN.access_key_secret);
    let config = format!(r#"{{"current":"a","profiles":[{{"name":"a","mode":"AK",{keys}}}]}}"#);
    let oldest =
        format!(r#"{{"AcsAccessKeyId": "{}", "AcsAccessKeySecret": "{}"}}"#, LIN.access_key_id, LIN.access_key_secret);
    let machines = [
        everywhere().await.of(&LIN),
        everywhere().await.of(&MEI),
        everywhere().await.file(".aliyun/config.json", &config),
        everywhere().await.file(".acs/credentials", &oldest),
    ];
    for machine in machines {
        for cache in [&[][..], &["--cache"]] {
            Machine::token(machine.herald(cache).await);
        }
        let as_tool = ["credential-plugin", "get-token", "--cluster-id", CLUSTER, "--region-id", "cn-beijing"];
        machine.run_as("ack-ram-tool", &as_tool).await.success().expect("a token");
    }
    let knocked = listener.accept().map(|(_, peer)| peer).map_err(|error| error.kind());
    assert_eq!(knocked, Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn a_token_is_shown_to_end_before_it_does() {
    let machine = Machine::new().await.of(&MEI);
    let finished = machine.herald(&[]).await.success().expect("a token");
    let credential: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let made = json_of(credential["status"]["token"].as_str().expect("a token")).expect("a token of ours");
    assert_eq!(made["query"]["ACKClusterId"], CLUSTER);
    let signed_at = made["headers"]["x-acs-date"].as_str().expect("a date");
    let end = credential["status"]["expirationTimestamp"].as_str().expect("an end");
    let ten_minutes = Duration::from_secs(600);
    let (low, high) = (acs_date(now() + ten_minutes - ten_minutes / 10), acs_date(now() + ten_minutes));
    assert!((low.as_str()..=high.as_str()).contains(&end), "{signed_at} to {end}");
    assert_eq!(machine.user(&[]).await, "dev:mei");
}

#[tokio::test]
async fn files() {
    let keys = format!(r#""access_key_id":"{}","access_key_secret":"{}""#, LIN.access_key_id, LIN.access_key_secret);
    let config = format!(r#"{{"current":"a","profiles":[{{"name":"a","mode":"AK",{keys}}}]}}"#);
    assert_eq!(Machine::new().await.file(".aliyun/config.json", &config).user(&[]).await, "lin");
    let sections = format!(
        "[default]\ntype = sts\naccess_key_id = {}\naccess_key_secret = {}\nsts_token = {}\n",
        MEI.access_key_id,
        MEI.access_key_secret,
        MEI.security_token.expect("one")
    );
    assert_eq!(Machine::new().await.file(".alibabacloud/credentials", &sections).user(&[]).await, "dev:mei");
    let oldest =
        format!(r#"{{"AcsAccessKeyId": "{}", "AcsAccessKeySecret": "{}"}}"#, LIN.access_key_id, LIN.access_key_secret);
    assert_eq!(Machine::new().await.file(".acs/credentials", &oldest).user(&[]).await, "lin");
    let printed = format!(r#"{{"mode":"AK",{keys}}}"#);
    let external = r#"{"current":"a","profiles":[{"name":"a","mode":"External","process_command":"cat keys.json"}]}"#;
    let machine = Machine::new().await.file(".aliyun/config.json", external).file("keys.json", &printed);
    assert_eq!(machine.user(&[]).await, "lin");
    let machine = Machine::new().await.of(&MEI).file(".aliyun/config.json", &config).file(".acs/credentials", &oldest);
    assert_eq!(machine.user(&[]).await, "dev:mei");
    assert_eq!(machine.user(&["--profile", "a"]).await, "lin", "a profile of the command line is the only source");
    let none = machine.herald(&["--profile", "gone"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("has no profile \"gone\""), "{}", none.stderr);
}

/// Every mode of a profile, by the file alone.
#[tokio::test]
async fn modes_of_profiles() {
    let metadata = Metadata::start(Manner::Good).await.expect("a metadata service");
    let uri = format!("{}/credentials", metadata.url());
    let keys = |person: Person| {
        format!(r#""access_key_id":"{}","access_key_secret":"{}""#, person.access_key_id, person.access_key_secret)
    };
    let session = format!(r#"{},"sts_token":"{}""#, keys(MEI), MEI.security_token.expect("one"));
    let role = |arn: &str, name: &str| format!(r#""ram_role_arn":"{arn}","ram_session_name":"{name}""#);
    let deployer = role(DEPLOYER, "by-file");
    let pod = format!(r#"{},"oidc_provider_arn":"{OIDC_PROVIDER}","oidc_token_file":"token""#, role(POD, "by-file"));
    let ends = |seconds: u64| now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + seconds;
    let rows = [
        ("StsToken", session.clone(), "dev:mei"),
        ("StsToken", format!(r#"{session},"sts_expiration":1"#), "dev:mei"),
        ("CloudSSO", format!(r#"{session},"sts_expiration":{}"#, ends(600)), "dev:mei"),
        ("OAuth", format!(r#"{session},"sts_expiration":{}"#, ends(600)), "dev:mei"),
        ("RamRoleArn", format!("{},{deployer}", keys(LIN)), "deploy:by-file"),
        (
            "RamRoleArn",
            format!(r#"{},{},"external_id":"{EXTERNAL_ID}""#, keys(LIN), role(GUARDED, "by-file")),
            "guarded:by-file",
        ),
        ("ChainableRamRoleArn", format!(r#""source_profile":"keys",{deployer}"#), "deploy:by-file"),
        ("OIDC", pod, "pod:by-file"),
        ("CredentialsURI", format!(r#""credentials_uri":"{uri}""#), "dev:mei"),
        ("EcsRamRole", r#""ram_role_name":"node""#.to_owned(), "dev:mei"),
        ("External", r#""process_command":"cat keys.json""#.to_owned(), "lin"),
    ];
    let endpoint = metadata.address.to_string();
    for (mode, members, expected) in rows {
        let config = format!(
            r#"{{"current":"other","profiles":[{{"name":"keys","mode":"AK",{}}},{{"name":"a","mode":"{mode}",{members}}}]}}"#,
            keys(LIN)
        );
        let machine = Machine::new().await.file(".aliyun/config.json", &config).file("token", OIDC_TOKEN);
        let machine = machine.file("keys.json", &format!(r#"{{"mode":"AK",{}}}"#, keys(LIN)));
        let by_variables = [("ALIBABA_CLOUD_PROFILE", "a"), ("ALIBABA_CLOUD_IMDS_ENDPOINT", endpoint.as_str())];
        assert_eq!(machine.with(&by_variables).user(&[]).await, expected, "{mode} {members}");
    }
}

#[tokio::test]
async fn what_cannot_be_had_here_is_told_with_what_to_do() {
    let profile = |members: &str| format!(r#"{{"current":"a","profiles":[{{"name":"a",{members}}}]}}"#);
    let session = format!(
        r#""access_key_id":"{}","access_key_secret":"{}","sts_token":"{}""#,
        MEI.access_key_id,
        MEI.access_key_secret,
        MEI.security_token.expect("one")
    );
    for (members, advice) in [
        (
            format!(r#""mode":"CloudSSO",{session},"sts_expiration":1"#),
            "run `aliyun sts GetCallerIdentity --profile a`",
        ),
        (r#""mode":"OAuth""#.to_owned(), "run `aliyun configure --profile a`"),
        (
            format!(
                r#""mode":"External","process_command":"echo '{{\"mode\":\"StsToken\",{},\"sts_expiration\":1}}'""#,
                session.replace('"', r#"\""#)
            ),
            "expired 1970-01-01T00:00:01Z: fetch new ones",
        ),
        (r#""mode":"RsaKeyPair""#.to_owned(), "for others take External, with a program"),
    ] {
        let machine = Machine::new().await.file(".aliyun/config.json", &profile(&members));
        let refused = machine.herald(&[]).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{members}");
        assert!(refused.complaint().expect("a line").contains(advice), "{members}: {}", refused.stderr);
    }
    let machine = Machine::new().await.of(&LIN);
    let certificates = "certificates are fetched by ack-ram-tool itself";
    for arguments in [
        &["credential-plugin", "get-credential", "--cluster-id", CLUSTER, "--expiration", "3h"][..],
        &["credential-plugin", "get-kubeconfig", "--cluster-id", CLUSTER, "--mode", "certificate"],
        &["get-kubeconfig", "--cluster-id", CLUSTER, "-m", "cert"],
    ] {
        let refused = machine.run_as("ack-ram-tool", arguments).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(refused.complaint().expect("a line").contains(certificates), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(machine.sts.sts.stats().tcp_accepted, 0);
}

#[tokio::test]
async fn roles() {
    let machine = Machine::new().await.of(&LIN);
    assert_eq!(machine.user(&["--role", DEPLOYER, "--session-name", "night"]).await, "deploy:night");
    let guarded = ["--role", GUARDED, "--session-name", "night", "--external-id", EXTERNAL_ID];
    assert_eq!(machine.user(&guarded).await, "guarded:night");
    let refused = machine.herald(&guarded[..4]).await;
    assert_eq!(refused.code, Some(1));
    let complaint = refused.complaint().expect("a line");
    assert!(complaint.contains("could not be assumed: NoPermission"), "{complaint}");
    assert!(!refused.stderr.contains("Signature"), "{}", refused.stderr);
    let chain = format!(
        r#"{{"current":"b","profiles":[
            {{"name":"a","mode":"AK","access_key_id":"{}","access_key_secret":"{}"}},
            {{"name":"b","mode":"ChainableRamRoleArn","source_profile":"a","ram_role_arn":"{DEPLOYER}","ram_session_name":"chain"}}]}}"#,
        LIN.access_key_id, LIN.access_key_secret
    );
    assert_eq!(Machine::new().await.file(".aliyun/config.json", &chain).user(&[]).await, "deploy:chain");
}

/// With the variables that a pod has for the role of its service account.
async fn in_a_pod() -> Machine {
    let machine = Machine::new().await.file("token", OIDC_TOKEN);
    let file = machine.path("token");
    machine.with(&[
        ("ALIBABA_CLOUD_ROLE_ARN", POD),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", OIDC_PROVIDER),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", &file),
    ])
}

#[tokio::test]
async fn a_pod_shows_its_oidc_token() {
    let machine = in_a_pod().await.with(&[("ALIBABA_CLOUD_ROLE_SESSION_NAME", "web")]);
    assert_eq!(machine.user(&[]).await, "pod:web");
}

#[tokio::test]
async fn metadata_and_uris() {
    let metadata = Metadata::start(Manner::Good).await.expect("a metadata service");
    let endpoint = metadata.address.to_string();
    let machine = Machine::new().await.with(&[("ALIBABA_CLOUD_IMDS_ENDPOINT", &endpoint)]);
    let config = r#"{"current":"a","profiles":[{"name":"a","mode":"EcsRamRole"}]}"#;
    assert_eq!(machine.file(".aliyun/config.json", config).user(&[]).await, "dev:mei");
    let role = "/latest/meta-data/ram/security-credentials/";
    let seen = metadata.seen();
    // Those of the run that had an answer in time.
    let last = &seen[seen.len().saturating_sub(3)..];
    assert_eq!(last, ["/latest/api/token", role, &format!("{role}node")]);
    let uri = format!("{}/credentials", metadata.url());
    assert_eq!(Machine::new().await.with(&[("ALIBABA_CLOUD_CREDENTIALS_URI", &uri)]).user(&[]).await, "dev:mei");
    let silent = Metadata::start(Manner::Silent).await.expect("a metadata service");
    let endpoint = silent.address.to_string();
    let machine = Machine::new().await.with(&[("ALIBABA_CLOUD_IMDS_ENDPOINT", &endpoint)]);
    let nobody = machine.herald(&[]).await;
    assert!(nobody.complaint().expect("a line").contains("no Alibaba Cloud credentials"), "{}", nobody.stderr);
    assert!(silent.seen().is_empty(), "nobody asks for metadata that nothing names");
}

#[tokio::test]
async fn a_session_is_asked_for_once() {
    let machine = Machine::new().await.of(&LIN);
    let asked = ["--role", DEPLOYER, "--session-name", "night", "--cache"];
    let first = Machine::token(machine.herald(&asked).await);
    assert_eq!(Machine::token(machine.herald(&asked).await), first, "the token is kept");
    let mut other = asked.to_vec();
    other.extend(["-i", "another-cluster"]);
    let finished = machine.run_as("herald", &[&["token", "--provider", "alibaba"], &other[..]].concat()).await;
    assert_ne!(Machine::token(finished), first, "another cluster's, by the same session");
    assert_eq!(machine.sts.sts.stats().requests, 1);
    machine.herald(&["--role", DEPLOYER, "--session-name", "day", "--cache"]).await.success().expect("a token");
    assert_eq!(machine.sts.sts.stats().requests, 2, "another session is another's");
}

#[tokio::test]
async fn the_arguments_of_ack_ram_tool() {
    let machine = Machine::new().await.of(&LIN);
    let arguments = |version: &'static str| {
        let fixed = ["credential-plugin", "get-token", "--cluster-id", CLUSTER, "--api-version", version];
        [&fixed[..], &["--sts-endpoint", "sts.cn-hangzhou.aliyuncs.com", "--log-level", "error"]].concat()
    };
    for (name, version) in [("ack-ram-tool", "v1beta1"), ("ack-ram-tool", "v1"), ("herald", "v1")] {
        let finished = machine.run_as(name, &arguments(version)).await.success().expect("a token");
        assert!(
            finished.stdout.starts_with("{\n \"kind\": \"ExecCredential\",\n \"apiVersion\""),
            "{}",
            finished.stdout
        );
        assert!(finished.stdout.contains(&format!("client.authentication.k8s.io/{version}\"")), "{}", finished.stdout);
        assert_eq!(finished.stderr, "");
        let answer = machine.server().await.review(&finished.token().expect("a token")).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("lin"), "{}", answer.text);
    }
    let short = ["credential-plugin", "get-token", "-c", CLUSTER, "--role-arn", DEPLOYER];
    machine.run_as("ack-ram-tool", &short).await.success().expect("a token");
    let first = ["--region-id", "cn-beijing", "credential-plugin", "get-token", "-c", CLUSTER, "--role-arn", DEPLOYER];
    machine.run_as("ack-ram-tool", &first).await.success().expect("a token");
    let hosts: Vec<_> =
        machine.sts.sts.requests().into_iter().filter(|request| request.action == "AssumeRole").collect();
    let hosts: Vec<_> = hosts.iter().map(|request| request.host.as_str()).collect();
    assert_eq!(hosts, ["sts.aliyuncs.com", "sts.cn-beijing.aliyuncs.com"]);
    let nowhere = machine.run_as("ack-ram-tool", &["credential-plugin", "get-token"]).await;
    assert_eq!(nowhere.code, Some(1));
    let empty = machine.run_as("ack-ram-tool", &["credential-plugin", "get-token", "--cluster-id", ""]).await;
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(1), ""));
}

/// A name of a session that changes would be another username at each login.
#[tokio::test]
async fn sessions_are_named_as_by_ack_ram_tool() {
    let (first, second) = ("ALIBABA_CLOUD_ROLE_SESSION_NAME", "ALICLOUD_ROLE_SESSION_NAME");
    let role = ("ALIBABA_CLOUD_ROLE_ARN", DEPLOYER);
    let option = ["--role-arn", DEPLOYER];
    let check = async |variables: &[(&str, &str)], options: &[&str], expected: &str| {
        let machine = Machine::new().await.of(&LIN).with(variables);
        let arguments = [&["credential-plugin", "get-token", "-c", CLUSTER], options].concat();
        let token = Machine::token(machine.run_as("ack-ram-tool", &arguments).await);
        let answer = machine.server().await.review(&token).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some(expected), "{variables:?} {options:?}: {}", answer.text);
    };
    check(&[], &option, "deploy:ack-ram-tool").await;
    check(&[(second, "night")], &option, "deploy:night").await;
    check(&[(first, "day"), (second, "night")], &option, "deploy:day").await;
    check(&[(first, ""), (second, "")], &option, "deploy:ack-ram-tool").await;
    check(&[role], &[], "deploy:ack-ram-tool").await;
    check(&[role, (first, "day")], &[], "deploy:day").await;
    let machine = in_a_pod().await;
    let arguments = ["credential-plugin", "get-token", "-c", CLUSTER];
    let token = Machine::token(machine.run_as("ack-ram-tool", &arguments).await);
    let answer = machine.server().await.review(&token).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("pod:ack-ram-tool"), "{}", answer.text);
}

/// As options and variables of that tool are spelled.
#[tokio::test]
async fn profiles_and_regions_that_variables_of_ack_ram_tool_name() {
    let profile = |name: &str, person: &Person| {
        let keys =
            format!(r#""access_key_id":"{}","access_key_secret":"{}""#, person.access_key_id, person.access_key_secret);
        let token = person.security_token.map_or_else(String::new, |token| format!(r#","sts_token":"{token}""#));
        let mode = if token.is_empty() { "AK" } else { "StsToken" };
        format!(r#"{{"name":"{name}","mode":"{mode}",{keys}{token}}}"#)
    };
    let config = format!(r#"{{"current":"mei","profiles":[{},{}]}}"#, profile("lin", &LIN), profile("mei", &MEI));
    let machine = Machine::new().await.file(".aliyun/config.json", &config);
    let machine = machine.with(&[("ACK_RAM_TOOL_PROFIL_ENAME", "lin"), ("ACK_RAM_TOOL_REGION_ID", "cn-beijing")]);
    let token =
        Machine::token(machine.run_as("ack-ram-tool", &["credential-plugin", "get-token", "-c", CLUSTER]).await);
    let answer = machine.server().await.review(&token).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("lin"), "{}", answer.text);
    let made =
        machine.run_as("ack-ram-tool", &["-y", "get-kubeconfig", "-c", CLUSTER, "--credential-cache-dir", "d"]).await;
    let text = made.success().expect("a kubeconfig").stdout;
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    let arguments = config["users"][0]["user"]["exec"]["args"].as_array().expect("a list");
    let says = |option: &str, value: &str| arguments.windows(2).any(|two| two == [option, value]);
    assert!(says("--profile-name", "lin") && says("--region-id", "cn-beijing"), "{text}");
    let asked = machine.sts.sts.requests();
    assert!(asked.iter().any(|request| request.host == "cs.cn-beijing.aliyuncs.com"), "{asked:?}");
}

#[tokio::test]
async fn under_the_name_of_ack_ram_authenticator() {
    let machine = Machine::new().await.of(&LIN);
    let token = Machine::token(machine.run_as("ack-ram-authenticator", &["token", "-i", CLUSTER]).await);
    assert!(token.starts_with("k8s-ack-v2."), "{token}");
    let shared = format!("clusterID: {CLUSTER}\ndefaultRole: {DEPLOYER}\nsessionName: shared\nserver: {{}}\n");
    let machine = machine.file("config.yaml", &shared);
    let by_file = machine.run_as("ack-ram-authenticator", &["token", "-c", "config.yaml"]).await;
    let answer = machine.server().await.review(&Machine::token(by_file)).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("deploy:shared"), "{}", answer.text);
    let old = ["explain", "-i", CLUSTER, "--offline", "-t", "k8s-ack-v1.aHR0cHM6Ly9zdHMuYWxpeXVuY3MuY29t"];
    let explained = machine.run_as("herald", &old).await;
    assert_eq!(explained.code, Some(1), "{explained:?}");
    assert!(explained.stdout.contains("make k8s-ack-v2. tokens"), "{}", explained.stdout);
    let explained = machine.run_as("herald", &["explain", "-i", CLUSTER, "--offline", "-t", &token]).await;
    assert!(explained.success().expect("a good token").stdout.contains(LIN.access_key_id));
    let verified =
        machine.run_as("ack-ram-authenticator", &["verify", "-i", CLUSTER, "-t", &token, "-o", "json"]).await;
    let report: Value = serde_json::from_str(&verified.success().expect("a verdict").stdout).expect("JSON");
    assert_eq!((&report["ARN"], &report["AccountID"]), (&LIN.arn.into(), &"1234567890123456".into()));
}

/// As that program does, in the ConfigMap that its server reads.
#[tokio::test]
async fn mappings_are_added_under_the_name_of_ack_ram_authenticator() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    let url = kubernetes.url();
    let machine = Machine::new().await.of(&LIN);
    let config = format!("clusterID: {CLUSTER}\nserver: {{providers: [alibaba], backendMode: [ACKConfigMap]}}\n");
    let server = setup(&machine.sts, &config).argument("--master").argument(&url).start().await.expect("a server");
    let run =
        async |name, arguments: &[&str]| machine.run_as(name, &[arguments, &["--master-url", &url]].concat()).await;
    let token = Machine::token(machine.herald(&[]).await);
    let becomes = async |expected: Option<&str>| {
        until(async || server.review(&token).await.expect("an answer").username().as_deref() == expected).await;
    };
    becomes(None).await;
    let role = "acs:ram::1234567890123456:role/Developers";
    let tool = "ack-ram-authenticator";
    for arguments in [
        &["add", "user", "--userarn", LIN.arn, "--username", "lin", "--groups", "ops,on-call"][..],
        &["add", "role", "--rolearn", role, "--username", "dev:{{SessionName}}"],
    ] {
        let asked = run(tool, arguments).await;
        assert!(asked.stdout.contains("write this? (y/n)"), "{asked:?}");
        let added = run(tool, &[arguments, &["--prompt=false"]].concat()).await.success().expect("added");
        assert!(added.stdout.starts_with("kube-system/alibabacloud-auth: "), "{}", added.stdout);
    }
    becomes(Some("lin")).await;
    let listed = run(tool, &["list"]).await.success().expect("a list").stdout;
    assert!(listed.contains(role) && listed.contains("groups    ops, on-call"), "{listed}");
    let aws = run("herald", &["list"]).await.success().expect("a list").stdout;
    assert_eq!(aws, "kube-system/aws-auth: is not there, and maps nobody\n");
    let by_name = run("herald", &["list", "--name", "alibabacloud-auth"]).await.success().expect("a list").stdout;
    assert_eq!(by_name, listed);
    run(tool, &["remove", "user", "--userarn", LIN.arn, "--prompt=false"]).await.success().expect("removed");
    becomes(None).await;
}

#[tokio::test]
async fn a_kubeconfig_of_the_cluster_with_tokens_in_place_of_its_certificate() {
    let machine = Machine::new().await.of(&LIN);
    let fixed = ["credential-plugin", "get-kubeconfig", "--cluster-id", CLUSTER, "--region-id", "cn-beijing"];
    let short = ["get-kubeconfig", "--cluster-id", CLUSTER, "--region-id", "cn-beijing", "--private-address"];
    let short = machine.run_as("ack-ram-tool", &[&short[..], &["--expiration", "3h", "-v"]].concat()).await;
    let finished = machine.run_as("ack-ram-tool", &[&fixed[..], &["--private-address"]].concat()).await;
    assert_eq!(short.success().expect("a kubeconfig").stdout, finished.stdout);
    let text = finished.success().expect("a kubeconfig").stdout;
    assert!(!text.contains("client-key") && !text.contains(LIN.access_key_id), "nothing secret: {text}");
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://10.0.0.1:6443");
    assert_eq!(config["current-context"], format!("2012-{CLUSTER}"));
    let exec = &config["users"][0]["user"]["exec"];
    assert_eq!((&exec["command"], &exec["interactiveMode"]), (&"ack-ram-tool".into(), &"Never".into()));
    let arguments: Vec<&str> = exec["args"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(arguments[..6], ["credential-plugin", "get-token", "--cluster-id", CLUSTER, "--api-version", "v1beta1"]);
    let made = machine.run_as("ack-ram-tool", &arguments).await.success().expect("a token");
    let answer = machine.server().await.review(&made.token().expect("a token")).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("lin"), "{}", answer.text);
    let asked = machine.sts.sts.requests();
    assert_eq!((asked[0].host.as_str(), asked[0].method.as_str()), ("cs.cn-beijing.aliyuncs.com", "GET"));
    let mei = Machine::new().await.of(&MEI);
    let refused = mei.run_as("ack-ram-tool", &fixed).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(refused.stderr.contains("refuses: NoPermission"), "{}", refused.stderr);
}
