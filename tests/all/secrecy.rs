//! No token, signature, key or session token in anything the programs write.

use tests::{
    herald::{binary, finish},
    sts::{ALICE, BOB, EVE, Fault},
    tokens::{Draft, Signed, url_of},
    tools::program,
};

use crate::support::{draft, fresh, herald_token, login_with, start, terminal};

/// Everything of a signed request that must stay out of sight.
fn secrets(signed: &Signed) -> Vec<String> {
    let token = signed.token();
    let find = |name| signed.find(name).map(str::to_owned);
    let mut secrets = vec![token[..64].to_owned(), token[token.len() - 40..].to_owned(), token];
    secrets.extend([find("X-Amz-Signature"), find("X-Amz-Security-Token")].into_iter().flatten());
    // As a URL has it, too.
    let encoded = secrets.last().map(|text| tests::sigv4::encode(text.as_bytes()));
    secrets.extend(encoded);
    secrets
}

#[tokio::test]
async fn nothing_secret_is_written_down() {
    let (sts, server) = start("").await;
    let mut hidden: Vec<String> = [ALICE, BOB, EVE].iter().map(|person| person.secret_access_key.to_owned()).collect();
    let mut shown = String::new();
    let drafts = [
        draft(&ALICE),
        draft(&BOB),
        draft(&EVE),
        Draft { secret: "another".to_owned(), ..draft(&ALICE) },
        Draft { service: "s3".to_owned(), ..draft(&ALICE) },
        Draft { host: "sts.example.com".to_owned(), ..draft(&ALICE) },
        Draft { expires: Some("99999".to_owned()), ..draft(&ALICE) },
        Draft { date: "20200101T000000Z".to_owned(), ..draft(&ALICE) },
    ];
    let mut tokens: Vec<Signed> = drafts.iter().map(Draft::sign).collect();
    tokens.push(draft(&ALICE).sign().and("action", "AssumeRole"));
    for signed in &tokens {
        hidden.extend(secrets(signed));
        shown.push_str(&server.review(&signed.token()).await.expect("an answer").text);
    }
    for fault in [Fault::Reset, Fault::Garbage, Fault::E500, Fault::Throttle400, Fault::Redirect, Fault::Trailing] {
        sts.sts.set(fault);
        let signed = draft(&ALICE).sign();
        hidden.extend(secrets(&signed));
        shown.push_str(&server.review(&signed.token()).await.expect("an answer").text);
        sts.sts.set(Fault::None);
    }
    shown.push_str(&server.get("/metrics").await.expect("metrics").text);
    shown.push_str(&server.get("/readyz?verbose").await.expect("readiness").text);
    let finished = server.stop().await.expect("an end");
    assert!(finished.stderr.contains("decisionId"), "the audit log was on: {}", finished.stderr);
    shown.push_str(&finished.stderr);
    shown.push_str(&finished.stdout);
    for secret in &hidden {
        assert!(!shown.contains(secret), "written down: {secret}");
    }
}

#[tokio::test]
async fn the_process_log_keeps_quiet_at_its_most_talkative() {
    let sts = crate::support::sts().await;
    let setup = crate::support::setup(&sts, &crate::support::config(""));
    let server = setup.argument("--log-verbosity").argument("trace").start().await.expect("a server");
    let mut hidden = vec![ALICE.secret_access_key.to_owned()];
    let mut ask = async |signed: &Signed| {
        hidden.extend(secrets(signed));
        server.review(&signed.token()).await.expect("an answer");
    };
    for fault in [Fault::None, Fault::Reset, Fault::Redirect, Fault::Denied403, Fault::Garbage, Fault::Xml] {
        sts.sts.set(fault);
        ask(&draft(&ALICE).sign()).await;
    }
    // Some that never get as far.
    for wrong in [
        Draft { service: "s3".to_owned(), ..draft(&ALICE) },
        Draft { host: "sts.example.com".to_owned(), ..draft(&ALICE) },
        Draft { date: "20200101T000000Z".to_owned(), ..draft(&ALICE) },
    ] {
        ask(&wrong.sign()).await;
    }
    let finished = server.stop().await.expect("an end");
    let talks = |line: &str| line.contains(" level=debug ") && line.contains("STS gave no answer");
    assert!(finished.stderr.lines().any(talks), "it told all that it tells: {}", finished.stderr);
    for secret in &hidden {
        let is_there = finished.stderr.contains(secret) || finished.stdout.contains(secret);
        assert!(!is_there, "written down: {secret}");
    }
}

/// A core would hold tokens (proc(5), "/proc/pid/limits": soft limit, hard limit, unit).
#[tokio::test]
async fn a_server_leaves_no_core() {
    let (_sts, server) = start("").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid)).expect("Linux tells");
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"], "{limits}");
}

/// It ends too soon to be looked at; a program that it starts has its limits.
#[tokio::test]
async fn the_plugin_leaves_no_core() {
    let home = tempfile::tempdir().expect("a folder");
    let in_home = |name: &str| home.path().join(name);
    let keys = r#"{"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret"}"#;
    let script =
        format!("#!/bin/sh\ngrep 'core file' /proc/$$/limits > '{}'\necho '{keys}'\n", in_home("told").display());
    program(&in_home("give"), &script);
    let profile = format!("[default]\ncredential_process = {}\n", in_home("give").display());
    std::fs::write(in_home("config"), profile).expect("written");
    let of_keys = |name: &str| ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].contains(&name);
    let mut environment = terminal(&ALICE, home.path());
    environment.retain(|(name, _)| !of_keys(name));
    environment.push(("AWS_CONFIG_FILE".to_owned(), in_home("config").display().to_string()));
    herald_token(&[], &environment).await.success().expect("a token");
    let core = std::fs::read_to_string(in_home("told")).expect("it was asked");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["Max", "core", "file", "size", "0", "0", "bytes"]);
}

#[tokio::test]
async fn the_plugin_says_nothing_beside_its_answer() {
    let home = tempfile::tempdir().expect("a folder");
    let environment = terminal(&ALICE, home.path());
    let good = herald_token(&[], &environment).await.success().expect("a token");
    assert_eq!(good.stderr, "");
    assert!(!good.stdout.contains(ALICE.secret_access_key));
    let url = good.token().ok().and_then(|token| url_of(&token)).expect("a URL");
    assert!(url.starts_with("https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&"), "{url}");
    let bad = herald_token(&["--role", "not-an-arn"], &environment).await;
    assert_ne!(bad.code, Some(0));
    assert_eq!(bad.stdout, "");
    for secret in [ALICE.secret_access_key, ALICE.session_token.expect("temporary keys")] {
        assert!(!bad.stderr.contains(secret));
    }
}

/// Neither by clap's errors nor by our own.
#[tokio::test]
async fn a_token_in_the_wrong_place_is_not_repeated() {
    let token = fresh(&ALICE);
    let old = format!("k8s-ack-v1.{}", &token[11..]);
    let option = format!("--partition={token}");
    let rows: [&[&str]; 7] = [
        &["verify", "-i", "c", &token],
        &["verify", "-i", "c", &old],
        &["verify", "-i", "c", "-t", "x", "--partition", &token],
        &["verify", "-i", "c", "-t", "x", &option],
        &["explain", &token],
        &["token", "-i", "c", "--role", &token],
        &[&token],
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("aws-iam-authenticator");
    std::os::unix::fs::symlink(binary().expect("herald"), &link).expect("a link");
    for program in [binary().expect("herald"), link.as_path()] {
        for arguments in rows {
            let mut command = tokio::process::Command::new(program);
            command.args(arguments).env_clear();
            let refused = finish(command).await.expect("it runs");
            assert_ne!(refused.code, Some(0), "{arguments:?}");
            assert!(refused.stderr.contains("(a token, hidden)"), "{}", refused.stderr);
            let is_there = refused.stderr.contains(&token[11..40]) || refused.stdout.contains(&token[11..40]);
            assert!(!is_there, "written down: {}", refused.stderr);
        }
    }
}

#[tokio::test]
async fn audit_lines_hold_the_decision_whole() {
    let (sts, server) = start("").await;
    let allowed = server.review(&fresh(&ALICE)).await.expect("an answer");
    let id = allowed.json()["status"]["user"]["extra"]["herald.dev/decision-id"][0].as_str().map(str::to_owned);
    let line = server.audit_of(&id.expect("a decision id")).await.expect("its audit line");
    assert_eq!(line["outcome"], "allowed");
    assert_eq!(line["caller"]["accessKeyId"], ALICE.access_key_id);
    assert_eq!(line["user"]["username"], "dev:alice");
    assert_eq!(line["verifiedBy"], "sts");
    assert_eq!(line["stages"][0]["stage"], "MountedFile");
    let throttled = login_with(&sts, &server, Fault::Throttle400, &BOB).await;
    let line = server.audit_of(&throttled.decision_id().expect("a decision id")).await.expect("its audit line");
    assert_eq!((&line["reason"], &line["class"]), (&"sts_throttled".into(), &"throttled".into()));
}
