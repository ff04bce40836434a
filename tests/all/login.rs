//! A login from end to end: `herald token`, the server, STS, a mapping, a TokenReview.

use expect_test::{Expect, expect};
use serde_json::Value;
use tests::{
    herald::{Answer, Version, run},
    policies,
    sts::{ALICE, BOB, EVE, hosts},
};

use crate::support::{CLUSTER, config, draft, fresh, herald_token, start, start_beside, sts, terminal};

/// The body, with what differs from run to run written out as `…`.
#[track_caller]
fn check(answer: &Answer, expected: &Expect) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let extra = &answer.json()["status"]["user"]["extra"];
    let mut text = answer.text.clone();
    for key in ["herald.dev/decision-id", "herald.dev/generation"] {
        let value = extra[key][0].as_str().expect("the host's own keys are there");
        text = text.replace(value, "…");
    }
    expected.assert_eq(&text);
}

#[tokio::test]
async fn a_token_of_herald_becomes_a_user() {
    let (sts, server) = start("").await;
    let home = tempfile::tempdir().expect("a folder");
    let made = herald_token(&[], &terminal(&ALICE, home.path())).await.success().expect("a token");
    assert_eq!(made.stderr, "");
    let token = made.token().expect("a token");
    check(
        &server.review_as(Version::V1, &token).await.expect("an answer"),
        &expect![[
            r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"dev:alice","uid":"aws-iam-authenticator:123456789012:AROADEVELOPERSEXAMPL","groups":["developers"],"extra":{"arn":["arn:aws:sts::123456789012:assumed-role/Developers/alice"],"canonicalArn":["arn:aws:iam::123456789012:role/Developers"],"sessionName":["alice"],"accessKeyId":["ASIADEVALICEEXAMPLE1"],"principalId":["AROADEVELOPERSEXAMPL"],"sigs.k8s.io/aws-iam-authenticator/principalId":["AROADEVELOPERSEXAMPL"],"herald.dev/decision-id":["…"],"herald.dev/stage":["MountedFile"],"herald.dev/generation":["…"]}}}}"#
        ]],
    );
    check(
        &server.review_as(Version::V1beta1, &fresh(&BOB)).await.expect("an answer"),
        &expect![[
            r#"{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"bob","uid":"aws-iam-authenticator:123456789012:AIDADEVBOBEXAMPLE001","groups":["operators","on-call"],"extra":{"arn":["arn:aws:iam::123456789012:user/bob"],"canonicalArn":["arn:aws:iam::123456789012:user/bob"],"sessionName":[""],"accessKeyId":["AKIADEVBOBEXAMPLE001"],"principalId":["AIDADEVBOBEXAMPLE001"],"sigs.k8s.io/aws-iam-authenticator/principalId":["AIDADEVBOBEXAMPLE001"],"herald.dev/decision-id":["…"],"herald.dev/stage":["MountedFile"],"herald.dev/generation":["…"]}}}}"#
        ]],
    );
    let asked = sts.sts.requests();
    assert_eq!(asked.len(), 2);
    for request in asked {
        assert_eq!(request.host, "sts.us-east-1.amazonaws.com");
        assert_eq!(request.cluster_id.as_deref(), Some(CLUSTER), "the server's own cluster id");
        assert!(!request.headers.contains(&"authorization".to_owned()), "{:?}", request.headers);
    }
    assert_eq!(server.stop().await.expect("an end").code, Some(0));
}

#[tokio::test]
async fn both_http_versions_are_served() {
    let (_sts, server) = start("").await;
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let client = server.client(&[alpn]).expect("a client");
        let answer = server.review_by(&client, &fresh(&BOB)).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("bob"));
    }
}

#[tokio::test]
async fn every_kind_of_sts_host_is_asked_under_its_own_name() {
    let (sts, server) = start("").await;
    let names = [
        "sts.amazonaws.com",
        "sts.eu-central-1.amazonaws.com",
        "sts-fips.us-east-1.amazonaws.com",
        "sts.us-west-2.api.aws",
    ];
    for host in names {
        let mut draft = draft(&BOB);
        host.clone_into(&mut draft.host);
        let Some(hosts::HostRegion::Of(region)) = hosts::region(host) else { panic!("{host} is in the table") };
        region.clone_into(&mut draft.region);
        let answer = server.review(&draft.token()).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("bob"), "{host}");
        assert_eq!(sts.sts.requests().last().map(|request| request.host.clone()).as_deref(), Some(host));
    }
}

#[tokio::test]
async fn a_policy_names_whom_no_entry_names() {
    let component = policies::build("session-groups").expect("a policy");
    let policy = format!(
        r#"
  backendMode: [MountedFile, Policy/sessions]
  policies:
  - name: sessions
    kind: map
    component: {}
    ceiling: {{usernames: ["session:*"], groups: ["team:*"]}}
    settings:
      rules:
      - match: {{accounts: ["123456789012"], role: "Dev*"}}
        username: "session:{{{{SessionName}}}}"
        groups: ["team:{{{{RoleName}}}}"]
    limits: {{timeout: 5s}}
"#,
        component.display()
    );
    let sts = sts().await;
    // Without the static entry of alice's role.
    let text = config(&policy).replace(":role/Developers", ":role/SomebodyElse");
    let server = start_beside(&sts, &text).await;
    let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("session:alice"), "{}\n{}", answer.text, server.stderr.text());
    assert_eq!(answer.groups(), ["team:Developers"]);
    let stage = &answer.json()["status"]["user"]["extra"]["herald.dev/stage"];
    assert_eq!(*stage, serde_json::json!(["Policy/sessions"]));
    let bob = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(bob.username().as_deref(), Some("bob"), "an earlier source wins");
    let eve = server.review(&fresh(&EVE)).await.expect("an answer");
    assert_eq!(eve.reason().as_deref(), Some("not_mapped"), "{}", eve.text);
}

#[tokio::test]
async fn whom_nobody_names_is_told_why_and_where_to_look_it_up() {
    let (_sts, server) = start("").await;
    let answer = server.review(&fresh(&EVE)).await.expect("an answer");
    assert_eq!((answer.status, answer.username()), (200, None));
    assert_eq!(answer.reason().as_deref(), Some("not_mapped"), "{}", answer.text);
    let id = answer.decision_id().expect("a decision id");
    let line = server.audit_of(&id).await.expect("its audit line");
    assert_eq!(line["reason"], "not_mapped");
    assert_eq!(line["caller"]["arn"], EVE.arn);
    assert!(!answer.text.contains("210987654321"), "who the caller is stays in the audit log: {}", answer.text);
}

#[tokio::test]
async fn verify_shows_the_caller_and_the_decision() {
    let sts = sts().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, config("")).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let environment = sts.environment();
    let verify = async |token: &str| {
        let arguments = ["verify", "--config", file, "--token", token, "--output", "json"];
        run(&arguments, environment.clone()).await.expect("herald runs")
    };
    let good = verify(&fresh(&ALICE)).await.success().expect("a verdict");
    let json: Value = serde_json::from_str(&good.stdout).expect("JSON");
    assert!(json.to_string().contains(ALICE.arn) && json.to_string().contains("dev:alice"), "{json}");
    let unmapped = verify(&fresh(&EVE)).await;
    assert_ne!(unmapped.code, Some(0));
    assert!(format!("{}{}", unmapped.stdout, unmapped.stderr).contains("not_mapped"), "{unmapped:?}");
}

/// They share no state: what one has never seen is as good there.
#[tokio::test]
async fn a_token_is_good_at_every_copy_of_the_webhook() {
    let (sts, first) = start("").await;
    let second = start_beside(&sts, &config("")).await;
    let token = fresh(&ALICE);
    for server in [&first, &second, &first] {
        let answer = server.review(&token).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("dev:alice"), "{}", answer.text);
    }
    assert_ne!(first.ca_pem, second.ca_pem, "not even a certificate");
    first.stop().await.expect("an end");
    let answer = second.review(&token).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("dev:alice"), "{}", answer.text);
}
