//! kube-apiserver's token webhook authenticator alone, without an API server around it: what it takes from each answer,
//! what it asks for again, and in which words it tells its log.

use std::{path::Path, process::Stdio, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tests::{
    herald::Server,
    policies,
    sts::{BOB, Behaviour, EVE, Fault, Person, Running},
    tls::Authority,
    tokens::Draft,
    tools,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use crate::world::{CLUSTER, SOON, alone, sts, until, webhook};

const BOBS: &str =
    "  mapUsers:\n  - {userARN: 'arn:aws:iam::123456789012:user/bob', username: bob, groups: [operators]}";
const VERSION: &str = "-authentication-token-webhook-version";
const TTL: &str = "-authentication-token-webhook-cache-ttl";

/// What an API server goes on with, and what each of its requests was answered with (`0`: nothing).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Verdict {
    authenticated: bool,
    error: String,
    pub(crate) username: String,
    uid: String,
    groups: Vec<String>,
    extra: Value,
    audiences: Vec<String>,
    pub(crate) statuses: Vec<u16>,
}

/// A token of a person's; another one for each other number.
fn token(person: &Person, seconds_ago: u64) -> String {
    Draft::new(person, CLUSTER, tests::now() - Duration::from_secs(seconds_ago)).token()
}

/// Starts to have `token` judged by the webhook of `kubeconfig`.
async fn begin(kubeconfig: &Path, token: &str, arguments: &[&str]) -> Child {
    let program = tools::kubernetes().expect("as before").join("webhook-check");
    let mut command = Command::new(program);
    command.arg(format!("-authentication-token-webhook-config-file={}", kubeconfig.display())).args(arguments);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(token.as_bytes()).await.expect("it reads");
    child
}

/// All verdicts.
async fn end(child: Child) -> Vec<Verdict> {
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await.expect("soon").expect("an end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("k8s-aws-v1."), "no token is in its log: {stderr}");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

async fn judge(server: &Server, token: &str, arguments: &[&str]) -> Vec<Verdict> {
    end(begin(&webhook(server), token, arguments).await).await
}

/// The verdict of an API server that is started now with the webhook of `kubeconfig`, and has no connection to it yet.
pub(crate) async fn judge_anew(kubeconfig: &Path, token: &str) -> Verdict {
    end(begin(kubeconfig, token, &[]).await).await.pop().expect("a verdict")
}

/// The only verdict.
async fn judge_once(server: &Server, token: &str, arguments: &[&str]) -> Verdict {
    judge(server, token, arguments).await.pop().expect("a verdict")
}

/// The id of the decision that a known caller's refusal names at its end.
fn decision_of(refused: &Verdict) -> &str {
    let id = refused.error.split_once("(decision ").and_then(|(_, rest)| rest.strip_suffix(')'));
    id.unwrap_or_else(|| panic!("no id: {refused:?}"))
}

async fn start(more: &str) -> Option<(Running, Server)> {
    tools::kubernetes()?;
    let sts = sts().await;
    let server = alone(&sts, more).await;
    Some((sts, server))
}

/// Nothing is lost or added on the way, in either version.
#[tokio::test]
async fn all_that_is_answered_is_taken() {
    let Some((_sts, server)) = start(&format!("{BOBS}\n  audiences: ['https://two.example.com']")).await else {
        return;
    };
    let asked = "-api-audiences=https://one.example.com,https://two.example.com";
    for version in ["v1", "v1beta1"] {
        let found = judge_once(&server, &token(&BOB, 1), &[VERSION, version, asked]).await;
        assert!(found.authenticated && found.error.is_empty(), "{version}: {found:?}");
        assert_eq!((found.username.as_str(), &found.groups[..]), ("bob", &["operators".to_owned()][..]), "{version}");
        assert_eq!(found.uid, format!("aws-iam-authenticator:123456789012:{}", BOB.user_id), "{version}");
        assert_eq!(found.audiences, ["https://two.example.com"], "{version}");
        assert_eq!(found.statuses, [200], "{version}");
        let extra = |key: &str| found.extra[key][0].as_str().unwrap_or_default().to_owned();
        assert_eq!((extra("arn"), extra("canonicalArn")), (BOB.arn.to_owned(), BOB.arn.to_owned()), "{version}");
        assert_eq!(found.extra["herald.dev/stage"], json!(["MountedFile"]), "{version}");
        let line = server.audit_of(&extra("herald.dev/decision-id")).await.expect("its line");
        assert_eq!(line["outcome"], "allowed", "{line}");
    }
}

/// Whose name is known hears why each time that he asks, so that the reason of today counts; whoever proved nobody is
/// remembered as that, and costs no more calls.
#[tokio::test]
async fn a_refusal_with_a_reason_is_asked_for_again_and_one_without_is_kept() {
    let Some((sts, server)) = start(BOBS).await else { return };
    let thrice = ["-repeat", "3"];
    let known = judge(&server, &token(&EVE, 1), &thrice).await;
    assert_eq!(known.len(), 3);
    for found in &known {
        assert!(!found.authenticated && found.error.starts_with("not_mapped: "), "{found:?}");
        assert_eq!(found.statuses, [200]);
        let line = server.audit_of(decision_of(found)).await.expect("its line");
        assert_eq!((&line["reason"], &line["caller"]["arn"]), (&"not_mapped".into(), &EVE.arn.into()), "{line}");
    }
    assert_eq!(sts.sts.stats().requests, 1, "for all three");

    let wrong = Draft::new(&BOB, "staging.example.com", tests::now()).token();
    let foreign = "somebody-elses";
    for (token, ttl, statuses) in [
        (wrong.as_str(), "2m", [&[200][..], &[], &[]]),
        (foreign, "2m", [&[200], &[], &[]]),
        (foreign, "0", [&[200], &[200], &[200]]),
    ] {
        let unknown = judge(&server, token, &[&thrice[..], &[TTL, ttl]].concat()).await;
        assert!(unknown.iter().all(|found| !found.authenticated && found.error.is_empty()), "{token}: {unknown:?}");
        let asked: Vec<_> = unknown.iter().map(|found| found.statuses.as_slice()).collect();
        assert_eq!(asked, statuses, "{token} {ttl}");
    }
    assert_eq!(sts.sts.stats().requests, 2, "and one for the token of another cluster");

    let good = judge(&server, &token(&BOB, 1), &thrice).await;
    assert!(good.iter().all(|found| found.username == "bob"), "{good:?}");
    let asked: Vec<_> = good.iter().map(|found| found.statuses.len()).collect();
    assert_eq!(asked, [1, 0, 0]);
}

/// As whoever is not mapped: whom a policy refuses or names beyond its power, whose name no check lets pass, and whoever meets a
/// policy that fails.
#[tokio::test]
async fn each_refusal_of_a_known_caller_has_its_reason() {
    if tools::kubernetes().is_none() {
        return;
    }
    let (sts, component) = (sts().await, policies::build("hostile").expect("a policy"));
    for (mode, reason) in [
        ("deny", "policy_denied"),
        ("masters", "policy_out_of_bounds"),
        ("empty-username", "guard_empty_username"),
        ("trap", "policy_trap"),
    ] {
        let policy = format!(
            "  backendMode: [Policy/hostile]\n  policies:\n  - {{name: hostile, kind: map, component: {}, settings: {{mode: \
             {mode}}}, limits: {{timeout: 5s}}}}",
            component.display()
        );
        let server = alone(&sts, &policy).await;
        for version in ["v1", "v1beta1"] {
            let found = judge(&server, &token(&BOB, 1), &[VERSION, version, "-repeat", "2"]).await;
            assert_eq!(found.len(), 2);
            for refused in &found {
                assert!(!refused.authenticated && refused.error.starts_with(&format!("{reason}: ")), "{refused:?}");
                assert_eq!(refused.statuses, [200], "{mode} {version}: asked for again");
                let line = server.audit_of(decision_of(refused)).await.expect("its line");
                assert_eq!((&line["reason"], &line["caller"]["arn"]), (&reason.into(), &BOB.arn.into()), "{line}");
            }
        }
    }
}

/// An API server asks again by itself, as 503 and 429 ask it to. Whoever logs in waits a moment and notices nothing else.
#[tokio::test]
async fn a_short_outage_is_waited_out() {
    let Some((sts, server)) = start(BOBS).await else { return };
    for (fault, status) in [(Fault::E503, 503), (Fault::Throttle429, 429)] {
        sts.sts.reset();
        sts.sts.set(Behaviour { retry_after_s: 1, ..fault.into() });
        let asking = begin(&webhook(&server), &token(&BOB, u64::from(status)), &[]).await;
        until(async || sts.sts.stats().requests > 0).await;
        sts.sts.set(Fault::None);
        let found = end(asking).await.pop().expect("a verdict");
        assert_eq!(found.username, "bob", "{found:?}");
        assert!(found.statuses.len() > 1 && found.statuses.first() == Some(&status), "{found:?}");
        assert_eq!(found.statuses.last(), Some(&200), "{found:?}");
    }
}

/// One call of STS a second, and three people at once: they come in one after another.
#[tokio::test]
async fn whoever_is_beyond_the_limit_comes_in_a_moment_later() {
    let limits = "sts: {timeout: 30s, connectTimeout: 30s, limits: {perSecond: 1, burst: 1}}";
    let Some((_sts, server)) = start(&format!("{BOBS}\n  {limits}")).await else { return };
    let mut statuses = Vec::new();
    // On a busy machine they may begin so slowly that each has a second for himself.
    for round in 0..10 {
        let mut all = Vec::new();
        for ago in 0..3 {
            all.push(begin(&webhook(&server), &token(&BOB, 20 * round + ago), &[]).await);
        }
        for asking in all {
            let found = end(asking).await.pop().expect("a verdict");
            assert_eq!(found.username, "bob", "{found:?}");
            statuses.extend(found.statuses);
        }
        if statuses.contains(&429) {
            break;
        }
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

/// What lasts lets nobody in, and is told: by the API server where it cannot ask, by Herald where it was asked.
#[tokio::test]
async fn what_keeps_the_webhook_from_being_asked_is_told() {
    let Some((sts, server)) = start(BOBS).await else { return };
    sts.sts.set(Fault::E503);
    let down = judge_once(&server, &token(&BOB, 1), &[]).await;
    sts.sts.set(Fault::None);
    // It asks again each second, as it is told, and gives up after half a minute, maybe in the middle of a request.
    assert!(!down.authenticated && !down.error.is_empty(), "{down:?}");
    assert!(down.statuses.len() > 2 && down.statuses.iter().all(|status| [503, 0].contains(status)), "{down:?}");
    assert!(down.statuses.starts_with(&[503, 503]), "{down:?}");
    until(async || server.audit().iter().any(|line| line["reason"] == "sts_unavailable")).await;

    let folder = tempfile::tempdir().expect("a folder");
    let others = folder.path().join("kubeconfig.yaml");
    let text = std::fs::read_to_string(webhook(&server)).expect("a file");
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("YAML");
    let impostor = Authority::new("somebody else", |_| false).expect("a CA");
    let pem = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, impostor.pem());
    kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] = pem.into();
    std::fs::write(&others, kubeconfig.to_string()).expect("a file");
    let distrust = judge_anew(&others, &token(&BOB, 1)).await;
    assert!(!distrust.authenticated && distrust.error.contains("x509: certificate signed by unknown authority"));
    assert_eq!(distrust.statuses, [0], "{distrust:?}");
    let told = "a client does not trust the certificate in force";
    until(async || server.stderr.text().contains(told)).await;

    let left = folder.path().join("left.yaml");
    std::fs::copy(webhook(&server), &left).expect("copied");
    server.stop().await.expect("an end");
    let gone = judge_anew(&left, &token(&BOB, 1)).await;
    assert!(!gone.authenticated && gone.error.contains("connection refused"), "{gone:?}");
    assert_eq!(gone.statuses, [0], "{gone:?}");
}
