//! Tokens of real clients: `herald token` with each way to get credentials, and the unmodified AWS CLI.

use std::path::Path;

use tests::{
    herald::{Server, finish},
    sts::{ALICE, BOB, Person, Running, keys},
    tokens::url_of,
    tools::aws_cli,
};

use crate::support::{CLUSTER, config, herald_token, start, start_beside, terminal};

pub(crate) async fn username(server: &Server, token: &str) -> Option<String> {
    server.review(token).await.expect("an answer").username()
}

#[tokio::test]
async fn keys_in_the_environment() {
    let (_sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    for (person, expected) in [(ALICE, "dev:alice"), (BOB, "bob")] {
        let made = herald_token(&[], &terminal(&person, home.path())).await.success().expect("a token");
        assert_eq!(username(&server, &made.token().expect("a token")).await.as_deref(), Some(expected));
    }
    let other = terminal(&BOB, home.path());
    let other = [&other[..], &[("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID".to_owned(), CLUSTER.to_owned())]].concat();
    let bare = tests::herald::run(&["token", "--token-only"], other).await.expect("herald runs");
    let bare = bare.success().expect("a token");
    assert_eq!(username(&server, bare.stdout.trim_end()).await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn the_exec_plugin_answers_in_the_version_it_is_asked_in() {
    let home = tempfile::tempdir().expect("a folder");
    let environment = terminal(&BOB, home.path());
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let name = format!("client.authentication.k8s.io/{version}");
        let info = format!(r#"{{"apiVersion":"{name}","kind":"ExecCredential","spec":{{"interactive":false}}}}"#);
        let asked = [&environment[..], &[("KUBERNETES_EXEC_INFO".to_owned(), info)]].concat();
        let made = herald_token(&[], &asked).await.success().expect("a token");
        let answer: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
        assert_eq!((&answer["apiVersion"], &answer["kind"]), (&name.into(), &"ExecCredential".into()));
        assert!(answer["status"]["expirationTimestamp"].as_str().is_some_and(|end| end.ends_with('Z')));
    }
    let default = herald_token(&[], &environment).await.success().expect("a token");
    assert!(default.stdout.contains("client.authentication.k8s.io/v1beta1"));
}

/// bob's keys in files, and a profile for a role of his.
fn aws_files(home: &Path, role: &str, more: &str) {
    let folder = home.join(".aws");
    std::fs::create_dir_all(&folder).expect("a folder");
    let keys = format!(
        "[base]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        BOB.access_key_id, BOB.secret_access_key
    );
    std::fs::write(folder.join("credentials"), keys).expect("a file");
    let profile = format!(
        "[profile role]\nrole_arn = {role}\nsource_profile = base\nrole_session_name = bob-at-work\nregion = us-east-1\n{more}"
    );
    std::fs::write(folder.join("config"), profile).expect("a file");
}

/// A terminal without keys of its own, whose STS calls go to the dev STS.
pub(crate) fn at_work(sts: &Running, home: &Path) -> Vec<(String, String)> {
    let mut environment = terminal(&BOB, home);
    environment.retain(|(name, _)| !name.contains("KEY"));
    let ca = sts.ca_file().display().to_string();
    let more = [("AWS_ENDPOINT_URL_STS", sts.endpoint()), ("SSL_CERT_FILE", ca.clone()), ("AWS_CA_BUNDLE", ca)];
    environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
    environment
}

#[tokio::test]
async fn a_profile_that_assumes_a_role() {
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    aws_files(home.path(), keys::DEPLOYER_ROLE, "");
    let environment = at_work(&sts, home.path());
    let made = herald_token(&["--profile", "role"], &environment).await.success().expect("a token");
    let token = made.token().expect("a token");
    assert!(url_of(&token).expect("a URL").starts_with("https://sts.us-east-1.amazonaws.com/?"), "never the override");
    assert_eq!(username(&server, &token).await.as_deref(), Some("deploy:bob-at-work"));
    let assumed: Vec<_> = sts.sts.requests().into_iter().filter(|request| request.action == "AssumeRole").collect();
    assert_eq!(assumed.len(), 1, "once for a token: {assumed:?}");
}

#[tokio::test]
async fn a_role_with_a_path_and_an_external_id() {
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    aws_files(home.path(), keys::PLATFORM_ROLE, &format!("external_id = {}\n", keys::EXTERNAL_ID));
    let made = herald_token(&["--profile", "role"], &at_work(&sts, home.path())).await.success().expect("a token");
    let answer = server.review(&made.token().expect("a token")).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("platform:bob-at-work"), "{}", answer.text);
}

#[tokio::test]
async fn a_role_on_the_command_line() {
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    let mut environment = at_work(&sts, home.path());
    environment.extend(terminal(&BOB, home.path()));
    let role = ["--role", keys::DEPLOYER_ROLE, "--session-name", "by-hand"];
    let made = herald_token(&role, &environment).await.success().expect("a token");
    assert_eq!(username(&server, &made.token().expect("a token")).await.as_deref(), Some("deploy:by-hand"));
    let stranger = ["--role", "arn:aws:iam::123456789012:role/Nobody", "--session-name", "by-hand"];
    let refused = herald_token(&stranger, &environment).await;
    assert_ne!(refused.code, Some(0));
    assert_eq!(refused.stdout, "");
    assert!(refused.stderr.contains("AccessDenied"), "{}", refused.stderr);
}

#[tokio::test]
async fn the_name_of_the_session_goes_on() {
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    aws_files(home.path(), keys::PLATFORM_ROLE, &format!("external_id = {}\n", keys::EXTERNAL_ID));
    let arguments = ["--profile", "role", "-r", keys::PLATFORM_ROLE, "-e", keys::EXTERNAL_ID, "--forward-session-name"];
    let made = herald_token(&arguments, &at_work(&sts, home.path())).await.success().expect("a token");
    assert_eq!(username(&server, &made.token().expect("a token")).await.as_deref(), Some("platform:bob-at-work"));
    let actions: Vec<_> = sts.sts.requests().into_iter().map(|request| request.action).collect();
    assert_eq!(
        actions,
        ["AssumeRole", "GetCallerIdentity", "AssumeRole", "GetCallerIdentity"],
        "the last is the server's"
    );
}

pub(crate) async fn aws_token(
    aws: &Path,
    cluster: &str,
    person: &Person,
    home: &Path,
    more: &[(&str, String)],
) -> String {
    let mut command = tokio::process::Command::new(aws);
    command.args(["eks", "get-token", "--region", "us-east-1", "--cluster-name", cluster]).env_clear();
    command.envs(terminal(person, home)).envs(more.iter().map(|(name, value)| (name, value)));
    let made = finish(command).await.and_then(|finished| finished.success()).expect("the AWS CLI makes a token");
    made.token().expect("a token")
}

#[tokio::test]
async fn tokens_of_the_unmodified_aws_cli() {
    let Some(aws) = aws_cli() else { return };
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    for (person, expected) in [(ALICE, "dev:alice"), (BOB, "bob")] {
        let token = aws_token(&aws, CLUSTER, &person, home.path(), &[]).await;
        assert_eq!(username(&server, &token).await.as_deref(), Some(expected));
    }
    let other = aws_token(&aws, "staging.example.com", &BOB, home.path(), &[]).await;
    let refused = server.review(&other).await.expect("an answer");
    assert!(refused.is_plain_refusal(), "{}", refused.text);
    let staging = start_beside(&sts, &config("").replace(CLUSTER, "staging.example.com")).await;
    assert_eq!(username(&staging, &other).await.as_deref(), Some("bob"), "it was good for its own cluster");
}

#[tokio::test]
async fn a_role_assumed_by_the_aws_cli() {
    let Some(aws) = aws_cli() else { return };
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    aws_files(home.path(), keys::DEPLOYER_ROLE, "");
    let mut command = tokio::process::Command::new(&aws);
    command.args(["eks", "get-token", "--region", "us-east-1", "--profile", "role", "--cluster-name", CLUSTER]);
    let mut environment = terminal(&BOB, home.path());
    environment.retain(|(name, _)| !name.contains("KEY"));
    command.env_clear().envs(environment).envs(sts.environment());
    let made = finish(command).await.and_then(|finished| finished.success()).expect("the AWS CLI makes a token");
    let name = username(&server, &made.token().expect("a token")).await;
    assert_eq!(name.as_deref(), Some("deploy:bob-at-work"));
}
