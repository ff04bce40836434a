//! The command's arguments and output, from decisions made without a network.

use clap::Parser as _;
use expect_test::{Expect, expect};

use super::*;
use crate::{
    authenticator::{Class, Denial},
    kubernetes::UserInfo,
    mapping::rule::tests::caller,
    policy::LogLine,
};

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    command: Command,
}

fn args(words: &[&str]) -> Command {
    Cli::try_parse_from(std::iter::once(&"verify").chain(words)).map(|cli| cli.command).expect("good arguments")
}

fn identity() -> Identity {
    let caller = Arc::new(caller("arn:aws:sts::123456789012:assumed-role/Admin/alice"));
    Identity { caller, sts_endpoint: "sts.eu-west-1.amazonaws.com".to_owned() }
}

fn decision(outcome: Outcome) -> Decision {
    let log = vec![LogLine { level: "info", message: "on\u{1b}[2Jcall".into() }];
    let stage = |stage: &str, verdict, fuel, log| StageRecord {
        stage: stage.into(),
        verdict,
        micros: 3,
        fuel,
        node: None,
        log,
    };
    Decision {
        decision_id: uuid::Uuid::nil(),
        provider: "aws",
        generation: "0123456789ab".into(),
        token_bytes: 481,
        caller: None,
        verified_by: Some("sts"),
        verify_micros: 1000,
        stages: vec![stage("MountedFile", "abstain", None, vec![]), stage("Policy/oncall", "allow", Some(12_345), log)],
        shadows: vec![],
        outcome,
        micros: 1010,
    }
}

fn allowed() -> Outcome {
    let user = UserInfo {
        username: "alice".into(),
        uid: "aws-iam-authenticator:123456789012:AROAEXAMPLE".into(),
        groups: vec!["oncall".into(), "dev".into()],
        ..UserInfo::default()
    };
    Outcome::Allowed { user }
}

fn denied() -> Outcome {
    Outcome::Denied(Denial {
        reason: "not_mapped",
        message: "no mapping names this caller".into(),
        class: Class::NotAllowed,
        retry_after: None,
    })
}

#[track_caller]
fn text(outcome: Option<Outcome>, expected: &Expect) {
    let mut out = Vec::new();
    write_text(&mut out, &identity(), outcome.map(decision).as_ref()).expect("written");
    expected.assert_eq(&String::from_utf8(out).expect("text"));
}

#[track_caller]
fn json(outcome: Option<Outcome>, expected: &Expect) {
    let mut out = Vec::new();
    write_json(&mut out, &identity(), outcome.map(decision).as_ref()).expect("written");
    expected.assert_eq(&String::from_utf8(out).expect("text"));
}

#[test]
fn for_people() {
    text(
        None,
        &expect![[r#"
        identity
          arn            arn:aws:sts::123456789012:assumed-role/Admin/alice
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          principal id   AROAEXAMPLE
          session        alice
          access key     ASIAEXAMPLE
          sts            sts.eu-west-1.amazonaws.com
    "#]],
    );
    text(
        Some(allowed()),
        &expect![[r#"
        identity
          arn            arn:aws:sts::123456789012:assumed-role/Admin/alice
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          principal id   AROAEXAMPLE
          session        alice
          access key     ASIAEXAMPLE
          sts            sts.eu-west-1.amazonaws.com
        stages
          MountedFile    abstain in 3 µs
          Policy/oncall  allow in 3 µs, fuel 12345
            info: on\u{1b}[2Jcall
        decision
          username       alice
          groups         oncall, dev
          uid            aws-iam-authenticator:123456789012:AROAEXAMPLE
          generation     0123456789ab
    "#]],
    );
    text(
        Some(denied()),
        &expect![[r#"
        identity
          arn            arn:aws:sts::123456789012:assumed-role/Admin/alice
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          principal id   AROAEXAMPLE
          session        alice
          access key     ASIAEXAMPLE
          sts            sts.eu-west-1.amazonaws.com
        stages
          MountedFile    abstain in 3 µs
          Policy/oncall  allow in 3 µs, fuel 12345
            info: on\u{1b}[2Jcall
        decision
          denied         no mapping names this caller (not_mapped)
          generation     0123456789ab
    "#]],
    );
}

#[test]
fn for_scripts() {
    json(
        None,
        &expect![[r#"
        {
            "ARN": "arn:aws:sts::123456789012:assumed-role/Admin/alice",
            "CanonicalARN": "arn:aws:iam::123456789012:role/Admin",
            "AccountID": "123456789012",
            "UserID": "AROAEXAMPLE",
            "SessionName": "alice",
            "AccessKeyID": "ASIAEXAMPLE",
            "STSEndpoint": "sts.eu-west-1.amazonaws.com"
        }
    "#]],
    );
    json(
        Some(denied()),
        &expect![[r#"
        {
            "ARN": "arn:aws:sts::123456789012:assumed-role/Admin/alice",
            "CanonicalARN": "arn:aws:iam::123456789012:role/Admin",
            "AccountID": "123456789012",
            "UserID": "AROAEXAMPLE",
            "SessionName": "alice",
            "AccessKeyID": "ASIAEXAMPLE",
            "STSEndpoint": "sts.eu-west-1.amazonaws.com",
            "Decision": {
                "decisionId": "00000000-0000-0000-0000-000000000000",
                "provider": "aws",
                "generation": "0123456789ab",
                "tokenBytes": 481,
                "verifiedBy": "sts",
                "verifyMicros": 1000,
                "stages": [
                    {
                        "stage": "MountedFile",
                        "verdict": "abstain",
                        "micros": 3
                    },
                    {
                        "stage": "Policy/oncall",
                        "verdict": "allow",
                        "micros": 3,
                        "fuel": 12345,
                        "log": [
                            {
                                "level": "info",
                                "message": "on\u001b[2Jcall"
                            }
                        ]
                    }
                ],
                "outcome": "denied",
                "reason": "not_mapped",
                "message": "no mapping names this caller",
                "class": "notAllowed",
                "micros": 1010
            }
        }
    "#]],
    );
}

#[test]
fn for_scripts_that_read_braces() {
    expect![[r"&{ARN:arn:aws:sts::123456789012:assumed-role/Admin/alice CanonicalARN:arn:aws:iam::123456789012:role/Admin AccountID:123456789012 UserID:AROAEXAMPLE SessionName:alice AccessKeyID:ASIAEXAMPLE STSEndpoint:sts.eu-west-1.amazonaws.com}"]]
        .assert_eq(&identity().report(None).to_string());
}

#[test]
fn a_token_is_never_printed() {
    let args = args(&["-t", "k8s-aws-v1.c2VjcmV0"]);
    assert!(!format!("{args:?}").contains("c2VjcmV0"));
    assert_eq!(format!("{:?}", args.token), "BearerToken(19 bytes, hidden)");
}

#[test]
fn a_token_may_come_from_stdin() {
    let token = args(&["-t", "-"]).token;
    assert_eq!(token.read(&b"k8s-aws-v1.c2VjcmV0\n"[..]).expect("read").expose(), "k8s-aws-v1.c2VjcmV0");
    let token = args(&["-t", "k8s-aws-v1.other"]).token;
    assert_eq!(token.read(&b""[..]).expect("not read").expose(), "k8s-aws-v1.other");
}

#[test]
fn the_partition_of_the_command_line_goes_over_the_files() {
    let config = |text: &str| Config::parse("config.yaml".as_ref(), text).expect("reads").config;
    let (mine, server) = (config("partition: aws-cn\n"), config("server: {partition: aws-us-gov}\n"));
    assert_eq!(args(&["-t", "t"]).partition(&mine), Partition::AwsCn);
    assert_eq!(args(&["-t", "t"]).partition(&server), Partition::AwsUsGov);
    assert_eq!(args(&["-t", "t", "--partition", "aws"]).partition(&mine), Partition::Aws);
}

#[test]
fn what_proves_nobody_fails_in_one_line() {
    let mut out = Vec::new();
    let config = Config { cluster_id: Some("c".parse().expect("an id")), ..Config::default() };
    let command = args(&["-t", "eyJhbGciOi.somebody.else"]);
    let result = command.run(config, &Globals::default(), &b""[..], SystemTime::UNIX_EPOCH, &mut out);
    let error = format!("{:#}", result.expect_err("a foreign token"));
    expect!["could not verify token: not a token of a configured provider"].assert_eq(&error);
    assert_eq!(out, b"");
}
