//! The AWS SDK for JavaScript, unmodified: the dev STS knows its callers, and tokens that its signer makes are those of
//! any other client.

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;
use tests::{
    herald::{Finished, finish, repository},
    sts::{ALICE, BOB, EVE, Person, Running, keys::DEPLOYER_ROLE},
    tools::aws_sdk,
};
use tokio::process::Command;

use crate::{
    altered::with_another_byte_anywhere,
    clients::username,
    support::{CLUSTER, config, decisions, start_beside, sts, terminal},
};

/// A person's Node.js with the SDK, and an STS to ask.
struct Client {
    modules: PathBuf,
    sts: Running,
    home: tempfile::TempDir,
}

// === impl Client ===

impl Client {
    /// `None` where the SDK cannot be had, which has been said then.
    async fn new() -> Option<Self> {
        Some(Self { modules: aws_sdk()?, sts: sts().await, home: tempfile::tempdir().expect("a folder") })
    }

    async fn run(&self, person: &Person, arguments: &[&str]) -> Finished {
        let mut command = Command::new("node");
        command.arg(repository().join("tests/clients/aws_sdk/client.cjs")).args(arguments).env_clear();
        command.envs(terminal(person, self.home.path())).env("NODE_PATH", &self.modules);
        command.env("AWS_ENDPOINT_URL_STS", self.sts.endpoint()).env("NODE_EXTRA_CA_CERTS", self.sts.ca_file());
        finish(command).await.expect("it runs")
    }

    async fn made(&self, person: &Person, arguments: &[&str]) -> Value {
        let finished = self.run(person, arguments).await.success().expect("an answer");
        serde_json::from_str(&finished.stdout).expect("JSON")
    }

    async fn token(&self, person: &Person, arguments: &[&str]) -> String {
        self.made(person, arguments).await.as_str().expect("a text").to_owned()
    }
}

#[tokio::test]
async fn sts_knows_its_callers() {
    let Some(client) = Client::new().await else { return };
    for person in [ALICE, BOB] {
        assert_eq!(client.made(&person, &["identity"]).await["Arn"], person.arn);
    }
    let assumed = client.made(&BOB, &["identity", DEPLOYER_ROLE, "night"]).await;
    assert_eq!(assumed["Arn"], "arn:aws:sts::123456789012:assumed-role/Deployer/night");
    let mut other = BOB;
    other.secret_access_key = "other";
    for (person, arguments, code) in [
        (other, &["identity"][..], "SignatureDoesNotMatch"),
        (EVE, &["identity", DEPLOYER_ROLE, "night"], "AccessDenied"),
    ] {
        let refused = client.run(&person, arguments).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{code}");
        assert!(refused.stderr.contains(&format!("{code}: ")), "{code}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn tokens_of_its_signer() {
    let Some(client) = Client::new().await else { return };
    let server = Arc::new(start_beside(&client.sts, &config("")).await);
    for (person, arguments, expected) in [
        (ALICE, &["token", CLUSTER][..], "dev:alice"),
        (BOB, &["token", CLUSTER], "bob"),
        (BOB, &["token", CLUSTER, DEPLOYER_ROLE, "night"], "deploy:night"),
    ] {
        let token = client.token(&person, arguments).await;
        assert_eq!(username(&server, &token).await.as_deref(), Some(expected));
    }
    let asked = client.sts.sts.requests();
    let asked: Vec<_> = asked.iter().filter(|request| request.action == "GetCallerIdentity").collect();
    assert!(asked.iter().all(|request| request.host == "sts.us-east-1.amazonaws.com"), "never the override: {asked:?}");
    assert_eq!(asked.len(), 3, "the server's: a token is made without asking anybody");
    with_another_byte_anywhere(&server, &client.token(&ALICE, &["token", CLUSTER]).await).await;
}

#[tokio::test]
async fn its_tokens_are_good_for_one_cluster() {
    let Some(client) = Client::new().await else { return };
    let server = start_beside(&client.sts, &config("")).await;
    let other = client.token(&BOB, &["token", "staging.example.com"]).await;
    let refused = server.review(&other).await.expect("an answer");
    assert!(refused.is_plain_refusal(), "{}", refused.text);
    assert_eq!(client.sts.sts.requests()[0].code, Some("SignatureDoesNotMatch"));
    assert_eq!(decisions(&server, "denied", "sts_refused").await, 1.0);
    let staging = start_beside(&client.sts, &config("").replace(CLUSTER, "staging.example.com")).await;
    assert_eq!(username(&staging, &other).await.as_deref(), Some("bob"), "it was good for its own cluster");
}

/// The presigner that people know from S3 adds a parameter that no server of such tokens takes.
#[tokio::test]
async fn its_presigner_for_objects_makes_no_tokens() {
    let Some(client) = Client::new().await else { return };
    let server = start_beside(&client.sts, &config("")).await;
    let token = client.token(&BOB, &["presigner", CLUSTER]).await;
    let refused = server.review(&token).await.expect("an answer");
    assert!(refused.is_plain_refusal(), "{}", refused.text);
    assert_eq!(decisions(&server, "denied", "parameter_unknown").await, 1.0);
    assert!(client.sts.sts.requests().is_empty());
}
