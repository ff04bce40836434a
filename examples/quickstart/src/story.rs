//! The story: a stand-in for two clouds, the real webhook, three callers who get in and two tokens that do not.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::{
    herald::{self, Answer, Server, Setup},
    sts::{
        self, ALICE, BOB, EVE, Options, Person,
        alibaba::{self, LIN},
    },
};
use tokio::time::sleep;

use crate::{
    build::{Built, CONFIG},
    page::Page,
};

/// What runs when the story has been told. Dropping it ends all of it.
pub(crate) struct Stage {
    /// In the place of AWS and Alibaba Cloud.
    pub(crate) sts: sts::Running,
    /// The webhook.
    pub(crate) server: Server,
}

/// Tells it all, checking each step.
pub(crate) async fn tell(page: &mut Page, built: &Built) -> anyhow::Result<Stage> {
    let began = Instant::now();
    let stage = set_up(page, built).await?;

    page.step("Alice logs in; a policy names her");
    page.say(&format!("She is {}.", ALICE.arn));
    let token = mint(page, &stage, &ALICE, CLUSTER_ID).await?;
    let answer = review(page, &stage, &token).await?;
    let found = allowed(page, &stage, &answer, "Policy/sessions").await?;
    ensure!(found == ("dev:alice".to_owned(), vec!["developers".to_owned(), "account:123456789012".to_owned()]));

    page.step("Bob logs in; a static mapping names him");
    page.say(&format!("He is {}, whom the policy leaves to the next in line.", BOB.arn));
    let token = mint(page, &stage, &BOB, CLUSTER_ID).await?;
    let answer = review(page, &stage, &token).await?;
    let found = allowed(page, &stage, &answer, "MountedFile").await?;
    ensure!(found == ("bob".to_owned(), vec!["operators".to_owned()]));

    page.step("Lin logs in from Alibaba Cloud, into the same cluster");
    page.say(&format!("She is {}.", LIN.arn));
    let token = mint_of_alibaba(page, &stage, &LIN).await?;
    let answer = review(page, &stage, &token).await?;
    let found = allowed(page, &stage, &answer, "MountedFile").await?;
    ensure!(found == ("lin".to_owned(), vec!["operators".to_owned()]));

    page.step("Alice's token for another cluster is no good here");
    let token = mint(page, &stage, &ALICE, OTHER_CLUSTER_ID).await?;
    let before = stage.server.audit().len();
    let answer = review(page, &stage, &token).await?;
    ensure!(answer.is_plain_refusal(), "expected a plain refusal, got {}", answer.text);
    page.verdict(false, "not authenticated; the API server is told no more, the audit log is");
    show_audit(page, &next_audit(&stage, before).await?, "sts_refused")?;

    page.step("Eve is who she says, but nothing here knows her");
    page.say(&format!("She is {}, in an account of her own.", EVE.arn));
    let token = mint(page, &stage, &EVE, CLUSTER_ID).await?;
    let answer = review(page, &stage, &token).await?;
    ensure!(answer.username().is_none(), "expected a refusal, got {}", answer.text);
    let error = answer.json()["status"]["error"].as_str().context("the answer gives no reason")?.to_owned();
    page.verdict(false, &error);
    let id = answer.decision_id().context("the answer names no decision")?;
    show_audit(page, &audit_of(&stage, &id).await?, "not_mapped")?;

    page.say("");
    page.note(&format!("All of this took {} ms.", began.elapsed().as_millis()));
    Ok(stage)
}

async fn set_up(page: &mut Page, built: &Built) -> anyhow::Result<Stage> {
    page.step("A stand-in for AWS and Alibaba Cloud");
    let sts = sts::Running::start(Options::default()).await?;
    page.say(&format!("The dev STS listens on {} and checks every signature as they do.", sts.address));

    page.step("The webhook, with a policy");
    let setup = Setup::new(&built.config)?.with_sts(&sts).with_compiled(&built.state)?;
    let folder = setup.folder().to_owned();
    let shown = |name: &str| folder.join(name).display().to_string();
    page.command(&format!("herald server --config {} \\", shown("config.yaml")));
    page.say(&format!(
        "    --state-dir {} --generate-kubeconfig {} --port 0",
        shown("state"),
        shown("kubeconfig.yaml")
    ));
    let server = setup.start().await?;
    page.fact("config", CONFIG);
    page.fact("policy", &format!("{}, compiled before", relative(&built.policy)));
    page.fact("listens", &format!("{}, ready after {} ms", server.url, server.started_in.as_millis()));
    Ok(Stage { sts, server })
}

/// Has the real exec plugin make a token.
async fn mint(page: &mut Page, stage: &Stage, person: &Person, cluster_id: &str) -> anyhow::Result<String> {
    let environment = [&person.environment()[..], &[("AWS_REGION", "us-east-1")]].concat();
    let token = run_plugin(page, stage, &environment, &["token", "-i", cluster_id]).await?;
    ensure!(token.starts_with("k8s-aws-v1."), "not a token");
    page.fact("token", &format!("k8s-aws-v1.… ({} bytes), a presigned question to AWS: who am I?", token.len()));
    Ok(token)
}

/// The same for a person of Alibaba Cloud.
async fn mint_of_alibaba(page: &mut Page, stage: &Stage, person: &alibaba::Person) -> anyhow::Result<String> {
    let arguments = ["token", "-i", CLUSTER_ID, "--provider", "alibaba"];
    let token = run_plugin(page, stage, &person.environment(), &arguments).await?;
    ensure!(token.starts_with("k8s-ack-v2."), "not a token");
    page.fact("token", &format!("k8s-ack-v2.… ({} bytes), the same question, signed for Alibaba Cloud", token.len()));
    Ok(token)
}

async fn run_plugin(
    page: &mut Page,
    stage: &Stage,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> anyhow::Result<String> {
    let home = stage.server.folder().display().to_string();
    let environment = environment.iter().copied().chain([("HOME", home.as_str())]);
    page.command(&format!("herald {}", arguments.join(" ")));
    herald::run(arguments, environment).await?.success()?.token()
}

/// Asks the webhook as the API server does.
async fn review(page: &mut Page, stage: &Stage, token: &str) -> anyhow::Result<Answer> {
    page.command(&format!("POST {}  (TokenReview, as the API server sends it)", stage.server.url));
    let answer = stage.server.review(token).await?;
    ensure!(answer.status == 200, "HTTP {}: {}", answer.status, answer.text);
    Ok(answer)
}

/// Shows a login that was let in, and that `source` decided it; gives its username and groups.
async fn allowed(
    page: &mut Page,
    stage: &Stage,
    answer: &Answer,
    source: &str,
) -> anyhow::Result<(String, Vec<String>)> {
    let username = answer.username().with_context(|| format!("not let in: {}", answer.text))?;
    page.verdict(true, &format!("username {username}, groups {}", answer.groups().join(", ")));
    let extra = &answer.json()["status"]["user"]["extra"];
    let id = extra["herald.dev/decision-id"][0].as_str().context("no decision id")?;
    page.fact("decision", id);
    let audit = audit_of(stage, id).await?;
    let decided = audit["stages"].as_array().into_iter().flatten().find(|stage| stage["verdict"] == "allow");
    let decided = decided.and_then(|stage| stage["stage"].as_str()).context("nobody decided")?;
    ensure!(decided == source, "{decided} decided, not {source}");
    page.fact("audit", &format!("outcome allowed, decided by {decided} in {} µs", audit["micros"]));
    Ok((username, answer.groups()))
}

fn show_audit(page: &mut Page, audit: &Value, reason: &str) -> anyhow::Result<()> {
    let text = |key: &str| audit[key].as_str().unwrap_or_default();
    ensure!(text("outcome") == "denied" && text("reason") == reason, "the audit line says otherwise: {audit}");
    page.fact("decision", text("decisionId"));
    page.fact("audit", &format!("outcome denied, reason {}: {}", text("reason"), text("message")));
    Ok(())
}

async fn audit_of(stage: &Stage, id: &str) -> anyhow::Result<Value> {
    stage.server.audit_of(id).await.with_context(|| format!("no audit line for {id}"))
}

/// The first audit line after the `before` there were.
async fn next_audit(stage: &Stage, before: usize) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        if let Some(line) = stage.server.audit().into_iter().nth(before) {
            return Ok(line);
        }
        ensure!(began.elapsed() < AUDIT_LIMIT, "no audit line for the login");
        sleep(Duration::from_millis(2)).await;
    }
}

/// A path in the repository as one would type it there.
fn relative(path: &Path) -> String {
    path.strip_prefix(herald::repository()).unwrap_or(path).display().to_string()
}

// === impl Stage ===

impl Stage {
    /// Ends the webhook as the kubelet would; the rest goes with this.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        let finished = self.server.stop().await?;
        ensure!(finished.code == Some(0), "herald server ended with {:?}:\n{}", finished.code, finished.stderr);
        Ok(())
    }
}

/// The cluster in the configuration.
pub(crate) const CLUSTER_ID: &str = "quickstart.example.com";
const OTHER_CLUSTER_ID: &str = "other.example.com";
/// Longest wait for an audit line.
const AUDIT_LIMIT: Duration = Duration::from_secs(60);
