//! Logins from Alibaba Cloud, alone and beside those from AWS: the same pipeline, another way to prove who calls.

use std::{sync::Arc, time::Duration};

use expect_test::expect;
use serde_json::{Value, json};
use tests::{
    herald::Server,
    kubernetes::Kubernetes,
    now, policies,
    sts::{
        BOB, Fault, Running,
        alibaba::{LIN, MEI, Person, ROOT, ZOE},
    },
    tokens::alibaba::{Draft, json_of, token_of},
};

use crate::{
    altered::with_another_byte_anywhere,
    sts_in_trouble::{IMPATIENT, NO_BREAKER},
    support::{CLUSTER, fresh, patience, setup, start_beside, sts, until},
};

/// Who is whom, of both clouds.
const MAPPINGS: &str = r#"
  mapUsers:
  - userARN: arn:aws:iam::123456789012:user/bob
    username: bob
    groups: [operators]
  - userARN: acs:ram::1234567890123456:user/lin
    username: lin
    groups: [operators, "acct-{{AccountID}}"]
  - userARN: acs:ram::1234567890123456:root
    username: owner
  mapRoles:
  - roleARN: acs:ram::1234567890123456:role/Developers
    username: "dev:{{SessionName}}"
    groups: [developers]
"#;

/// A configuration that accepts `providers`, with more keys under `server`.
pub(crate) fn config(providers: &str, more: &str) -> String {
    format!(
        "clusterID: {CLUSTER}\nserver:\n  providers: [{providers}]\n  alibaba: {{region: cn-hangzhou}}{MAPPINGS}{more}\n{}\n",
        patience(more)
    )
}

async fn start(providers: &str) -> (Running, Server) {
    let sts = sts().await;
    let server = start_beside(&sts, &config(providers, "")).await;
    (sts, server)
}

fn draft(person: &Person) -> Draft {
    Draft::new(person, CLUSTER, now() - Duration::from_secs(1))
}

/// Why each of the first `count` callers was refused, in order.
pub(crate) async fn reasons(server: &Server, count: usize) -> Vec<String> {
    until(async || server.audit().len() >= count).await;
    server.audit().iter().map(|line| line["reason"].as_str().unwrap_or("ok").to_owned()).collect()
}

/// How many decisions about callers of Alibaba Cloud had that reason.
async fn denied(server: &Server, outcome: &str, reason: &str) -> f64 {
    let series = format!("herald_decisions_total{{provider=\"alibaba\",outcome=\"{outcome}\",reason=\"{reason}\"}}");
    server.metric(&series).await.expect("metrics").unwrap_or_default()
}

#[tokio::test]
async fn a_token_becomes_a_user() {
    let (sts, server) = start("alibaba").await;
    let answer = server.review(&draft(&MEI).token()).await.expect("an answer");
    let mut text = answer.text.clone();
    for key in ["herald.dev/decision-id", "herald.dev/generation"] {
        let value = answer.json()["status"]["user"]["extra"][key][0].as_str().expect("ours").to_owned();
        text = text.replace(&value, "…");
    }
    expect![[
        r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"dev:mei","uid":"ack-ram-authenticator:1234567890123456:301234567890123456","groups":["developers"],"extra":{"arn":["acs:ram::1234567890123456:assumed-role/Developers/mei"],"canonicalArn":["acs:ram::1234567890123456:role/Developers"],"sessionName":["mei"],"herald.dev/decision-id":["…"],"herald.dev/stage":["MountedFile"],"herald.dev/generation":["…"]}}}}"#
    ]]
    .assert_eq(&text);
    let lin = server.review(&draft(&LIN).token()).await.expect("an answer");
    assert_eq!(lin.username().as_deref(), Some("lin"), "{}", lin.text);
    assert_eq!(lin.groups(), ["operators", "acct-1234567890123456"]);
    let root = server.review(&draft(&ROOT).token()).await.expect("an answer");
    assert_eq!(root.username().as_deref(), Some("owner"), "{}", root.text);
    let zoe = server.review(&draft(&ZOE).token()).await.expect("an answer");
    assert_eq!(zoe.reason().as_deref(), Some("not_mapped"), "{}", zoe.text);
    for request in sts.sts.requests() {
        assert_eq!((request.host.as_str(), request.method.as_str()), ("sts-vpc.cn-hangzhou.aliyuncs.com", "POST"));
        assert_eq!(request.cluster_id.as_deref(), Some(CLUSTER));
        assert_eq!(request.action, "GetCallerIdentity");
    }
    let id = lin.json()["status"]["user"]["extra"]["herald.dev/decision-id"][0].clone();
    let id = id.as_str().expect("an id").to_owned();
    let line = server.audit_of(&id).await.expect("its audit line");
    assert_eq!((&line["provider"], &line["caller"]["accessKeyId"]), (&json!("alibaba"), &json!(LIN.access_key_id)));
}

/// As for AWS, with the word of this cloud in the uid.
#[tokio::test]
async fn accounts_may_be_kept_out_of_answers_and_logs() {
    let sts = sts().await;
    let server = start_beside(&sts, &config("alibaba", "  scrubbedAccounts: [\"1234567890123456\"]\n")).await;
    let answer = server.review(&draft(&MEI).token()).await.expect("an answer");
    let user = &answer.json()["status"]["user"];
    assert_eq!(
        (&user["username"], &user["uid"]),
        (&"dev:mei".into(), &"ack-ram-authenticator:administrative:dev:mei".into())
    );
    assert!(user["extra"]["arn"].is_null() && user["extra"]["sessionName"].is_null(), "{user}");
    let said = server.stop().await.expect("an end");
    let words = [said.stdout, said.stderr].concat();
    assert!(!words.contains("assumed-role/Developers") && !words.contains(MEI.access_key_id), "{words}");
}

/// A cluster that has got another id, tokens held to a shorter age than clouds do, and no account's root: of both clouds,
/// where they have it.
#[tokio::test]
async fn what_the_operator_is_stricter_or_more_patient_about() {
    let sts = sts().await;
    let text = config("aws, alibaba", "  denyRoot: true\n  sts: {maxTokenAge: 2m}\n")
        .replace("region: cn-hangzhou", "region: cn-hangzhou, formerClusterIDs: [prod-of-2024]");
    let server = start_beside(&sts, &text).await;
    let at = |seconds| now() - Duration::from_secs(seconds);
    let answer = async |token: String| server.review(&token).await.expect("an answer");
    for (id, age, expected) in [(CLUSTER, 1, true), ("prod-of-2024", 100, true), ("prod-of-2023", 1, false)] {
        let answer = answer(Draft::new(&LIN, id, at(age)).token()).await;
        assert_eq!(answer.username().as_deref(), expected.then_some("lin"), "{id}: {}", answer.text);
        assert_eq!(answer.is_plain_refusal(), !expected, "{id}: {}", answer.text);
    }
    let root = answer(draft(&ROOT).token()).await;
    assert_eq!(root.reason().as_deref(), Some("root_denied"), "{}", root.text);
    assert!(answer(Draft::new(&LIN, CLUSTER, at(121)).token()).await.is_plain_refusal());
    assert!(answer(tests::tokens::Draft::new(&BOB, CLUSTER, at(121)).token()).await.is_plain_refusal());
    let bob = answer(tests::tokens::Draft::new(&BOB, CLUSTER, at(100)).token()).await;
    assert_eq!(bob.username().as_deref(), Some("bob"), "{}", bob.text);
    let expected = ["ok", "ok", "cluster_id", "root_denied", "expired", "expired", "ok"];
    assert_eq!(reasons(&server, expected.len()).await, expected);
    assert_eq!(sts.sts.stats().requests, 4, "whom no check keeps out");
}

/// Existing manifests set the variable beside a file that may name another region.
#[tokio::test]
async fn a_variable_names_the_region_where_nothing_else_does() {
    let sts = sts().await;
    let named = config("alibaba", "");
    let silent = named.replace("region: cn-hangzhou", "");
    let rows: [(&str, &str, &[&str], &str); 4] = [
        (&named, "cn-beijing", &[], "sts-vpc.cn-hangzhou.aliyuncs.com"),
        (&named, "No Region", &["--region="], "sts-vpc.cn-hangzhou.aliyuncs.com"),
        (&named, "cn-beijing", &["--region=cn-shanghai"], "sts-vpc.cn-shanghai.aliyuncs.com"),
        (&silent, "cn-beijing", &[], "sts-vpc.cn-beijing.aliyuncs.com"),
    ];
    for (text, variable, arguments, host) in rows {
        let setup = setup(&sts, text).env("STS_REGION", variable);
        let setup = arguments.iter().fold(setup, |setup, argument| setup.argument(argument));
        let server = setup.start().await.expect("a server");
        let answer = server.review(&draft(&LIN).token()).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("lin"), "{variable} {arguments:?}: {}", answer.text);
        let asked = sts.sts.requests().last().map(|request| request.host.clone());
        assert_eq!(asked.as_deref(), Some(host), "{variable} {arguments:?}");
    }
}

#[tokio::test]
async fn equal_tokens_are_asked_about_once() {
    let (sts, server) = start("alibaba").await;
    let token = draft(&LIN).token();
    for _ in 0..3 {
        let answer = server.review(&token).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("lin"), "{}", answer.text);
    }
    assert_eq!(sts.sts.stats().requests, 1);
}

#[tokio::test]
async fn a_policy_sees_whose_caller_it_is() {
    let component = policies::build("session-groups").expect("a policy");
    let policy = format!(
        r#"
  backendMode: [Policy/sessions]
  policies:
  - name: sessions
    kind: map
    component: {}
    ceiling: {{usernames: ["session:*"], groups: ["team:*"]}}
    settings:
      rules:
      - match: {{accounts: ["1234567890123456"], role: "Dev*"}}
        username: "session:{{{{SessionName}}}}"
        groups: ["team:{{{{RoleName}}}}"]
    limits: {{timeout: 5s}}
"#,
        component.display()
    );
    let sts = sts().await;
    let server = start_beside(&sts, &config("aws, alibaba", &policy)).await;
    let answer = server.review(&draft(&MEI).token()).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("session:mei"), "{}\n{}", answer.text, server.stderr.text());
    assert_eq!(answer.groups(), ["team:Developers"]);
    for (token, cloud) in [(draft(&LIN).token(), "alibaba"), (fresh(&BOB), "aws")] {
        let answer = server.review(&token).await.expect("an answer");
        assert_eq!(answer.reason().as_deref(), Some("not_mapped"), "{cloud}: {}", answer.text);
    }
}

#[tokio::test]
async fn clouds_are_accepted_as_the_operator_says() {
    let bob = || fresh(&BOB);
    let lin = || draft(&LIN).token();
    for (providers, of_bob, of_lin) in
        [("aws, alibaba", Some("bob"), Some("lin")), ("alibaba", None, Some("lin")), ("aws", Some("bob"), None)]
    {
        let (sts, server) = start(providers).await;
        for (token, expected) in [(bob(), of_bob), (lin(), of_lin)] {
            let answer = server.review(&token).await.expect("an answer");
            assert_eq!(answer.username().as_deref(), expected, "{providers}: {}", answer.text);
            assert!(expected.is_some() || answer.is_plain_refusal(), "{}", answer.text);
        }
        let asked = [of_bob, of_lin].into_iter().flatten().count() as u64;
        assert_eq!(sts.sts.stats().requests, asked, "nobody is asked about a foreign token");
    }
}

/// A login whose token is made wrong by `change`, and why it is refused.
type Row = (&'static str, fn(&mut Value));

/// None of them is STS asked about.
#[tokio::test]
async fn what_is_not_exactly_a_signed_request_is_refused_at_once() {
    let rows: [Row; 17] = [
        ("cluster_id", |json| json["query"]["ACKClusterId"] = "staging".into()),
        ("cluster_id", |json| {
            // Editing what is not signed helps nobody.
            json["query"]["ACKClusterId"] = "staging".into();
            json["clusterId"] = CLUSTER.into();
        }),
        ("parameter_unknown", |json| json["query"]["Action"] = "AssumeRole".into()),
        ("parameter_unknown", |json| json["query"]["ackclusterid"] = CLUSTER.into()),
        ("cluster_id_missing", |json| json["query"] = json!({})),
        ("member_unknown", |json| json["QUERY"] = json!({})),
        ("member_unknown", |json| json["host"] = "sts.evil.example".into()),
        ("member_type", |json| json["headers"]["x-acs-action"] = json!({"a": "GetCallerIdentity"})),
        ("action", |json| json["headers"]["x-acs-action"] = "AssumeRole".into()),
        ("version", |json| json["headers"]["x-acs-version"] = "2011-06-15".into()),
        ("content_hash", |json| json["headers"]["x-acs-content-sha256"] = "0".into()),
        ("header_unknown", |json| json["headers"]["x-forwarded-for"] = "1.2.3.4".into()),
        ("header_twice", |json| json["headers"]["X-Acs-Action"] = "GetCallerIdentity".into()),
        ("header_value", |json| json["headers"]["x-acs-version"] = "2015-04-01\r\nx: y".into()),
        ("header_unsigned", |json| json["headers"]["x-acs-signature-nonce"] = "n".into()),
        ("algorithm", |json| {
            let text = json["headers"]["Authorization"].as_str().expect("a text").replace("SHA256 ", "SM3 ");
            json["headers"]["Authorization"] = text.into();
        }),
        ("target", |json| json["method"] = "GET".into()),
    ];
    let (sts, server) = start("alibaba").await;
    let mut tokens: Vec<(&str, String)> = rows
        .into_iter()
        .map(|(reason, change)| {
            let mut json = draft(&LIN).sign();
            change(&mut json);
            (reason, token_of(&json.to_string()))
        })
        .collect();
    let text = draft(&LIN).sign().to_string();
    let twice = format!(r#"{{"query":{{"ACKClusterId":"{CLUSTER}"}},{}"#, &text[1..]);
    let at = |seconds: u64| Draft::new(&LIN, CLUSTER, now() - Duration::from_secs(seconds));
    let ahead = Draft::new(&LIN, CLUSTER, now() + Duration::from_secs(6 * 60));
    let signed = |name: &str, value: &str| draft(&LIN).with(name, value).token();
    tokens.extend([
        ("member_twice", token_of(&twice)),
        ("token_json", token_of("[]")),
        ("token_base64", draft(&LIN).token() + "="),
        ("token_v1", "k8s-ack-v1.aHR0cHM6Ly9zdHMuYWxpeXVuY3MuY29tLz9BY3Rpb249R2V0Q2FsbGVySWRlbnRpdHk".to_owned()),
        ("expired", at(901).token()),
        ("not_yet_valid", ahead.token()),
        ("header_missing", draft(&LIN).without("x-acs-date").token()),
        ("header_unknown", signed("content-type", "text/plain")),
        ("host_other", signed("host", "sts.aliyuncs.com")),
        ("accept", signed("accept", "text/xml")),
    ]);
    for (reason, token) in &tokens {
        let answer = server.review(token).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{reason}: {}", answer.text);
    }
    let expected: Vec<&str> = tokens.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons(&server, expected.len()).await, expected);
    assert!(sts.sts.requests().is_empty(), "{:?}", sts.sts.requests());
}

/// Tokens of signers that sign more than they need to.
#[tokio::test]
async fn what_is_signed_is_sent_as_it_was_signed() {
    let (sts, server) = start("alibaba").await;
    let mut named = draft(&LIN).with("user-agent", "some-client/1.0 (linux) x/y");
    named.unsigned.clear();
    let tokens = [
        named.token(),
        draft(&LIN).with("accept", "application/json").token(),
        draft(&LIN).with("host", "sts-vpc.cn-hangzhou.aliyuncs.com").token(),
        draft(&LIN).with("x-acs-credentials-provider", "static_ak").token(),
        draft(&LIN).with("x-acs-signature-nonce", "c0ffee").with("x-acs-accesskey-id", LIN.access_key_id).token(),
    ];
    for token in tokens {
        let answer = server.review(&token).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("lin"), "{:?}: {}", json_of(&token), answer.text);
    }
    assert_eq!(sts.sts.stats().refused, 0);
}

#[tokio::test]
async fn sts_has_the_last_word() {
    let (sts, server) = start("alibaba").await;
    let rows = [
        ("SignatureDoesNotMatch", Draft { secret: "other".to_owned(), ..draft(&LIN) }),
        ("InvalidAccessKeyId.NotFound", Draft { access_key_id: "LTAInobody".to_owned(), ..draft(&LIN) }),
        ("MissingSecurityToken", draft(&MEI).without("x-acs-security-token")),
        ("InvalidSecurityToken.MismatchWithAccessKey", draft(&MEI).with("x-acs-security-token", "CAISother")),
    ];
    for (code, draft) in rows {
        sts.sts.reset();
        let answer = server.review(&draft.token()).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{}", answer.text);
        assert_eq!(sts.sts.requests().last().and_then(|request| request.code), Some(code));
    }
    let spent = draft(&LIN).with("x-acs-signature-nonce", "once");
    assert_eq!(server.review(&spent.token()).await.expect("an answer").username().as_deref(), Some("lin"));
    let again = Draft { unsigned: Vec::new(), ..spent };
    let answer = server.review(&again.token()).await.expect("an answer");
    assert!(answer.is_plain_refusal(), "{}", answer.text);
    assert_eq!(sts.sts.requests().last().and_then(|request| request.code), Some("SignatureNonceUsed"));
    assert_eq!(denied(&server, "denied", "sts_refused").await, 5.0);
}

#[tokio::test]
async fn no_trouble_of_sts_lets_anybody_in() {
    let answered = [
        (Fault::Throttle400, 429, "sts_throttled"),
        (Fault::Throttle429, 429, "sts_throttled"),
        (Fault::Bare429, 429, "sts_throttled"),
        (Fault::E500, 503, "sts_unavailable"),
        (Fault::E503, 503, "sts_unavailable"),
        (Fault::Redirect, 503, "sts_unavailable"),
        (Fault::Close, 503, "sts_unavailable"),
        (Fault::Reset, 503, "sts_unavailable"),
        (Fault::ResetBody, 503, "sts_unavailable"),
        (Fault::Huge, 503, "sts_unavailable"),
        (Fault::Html403, 503, "sts_unintelligible"),
        (Fault::Garbage, 503, "sts_unintelligible"),
        (Fault::Empty, 503, "sts_unintelligible"),
        (Fault::Trailing, 503, "sts_unintelligible"),
        (Fault::Duplicate, 503, "sts_unintelligible"),
        (Fault::AccountMismatch, 503, "sts_unintelligible"),
        (Fault::BadArn, 503, "sts_unintelligible"),
        (Fault::BadUserId, 503, "sts_unintelligible"),
        (Fault::Xml, 503, "sts_unintelligible"),
        (Fault::Denied403, 200, "sts_refused"),
        (Fault::Expired403, 200, "sts_refused"),
    ];
    // Of these only the deadline makes an end.
    let lasting = [Fault::Hang, Fault::Stalled, Fault::Drip].map(|fault| (fault, 503, "sts_unavailable"));
    assert_eq!(answered.len() + lasting.len(), Fault::all().len());
    for (settings, rows) in [(NO_BREAKER, &answered[..]), (IMPATIENT, &lasting[..])] {
        let sts = sts().await;
        let server = start_beside(&sts, &config("alibaba", settings)).await;
        for (at, &(fault, status, _)) in (0..).zip(rows) {
            sts.sts.set(fault);
            // Each later than all before it, so that none is a token that was asked about already.
            let token = Draft::new(&LIN, CLUSTER, now() - Duration::from_secs(100 - at)).token();
            let answer = server.review(&token).await.expect("an answer");
            assert_eq!((answer.status, answer.username()), (status, None), "{fault:?}: {}", answer.text);
        }
        let expected: Vec<&str> = rows.iter().map(|(_, _, reason)| *reason).collect();
        assert_eq!(reasons(&server, rows.len()).await, expected);
        sts.sts.set(Fault::None);
        // At once; but where the deadline comes soon, it may come before the answer on a busy machine.
        let is_well = async || {
            let answer = server.review(&draft(&LIN).token()).await.expect("an answer");
            answer.username().as_deref() == Some("lin")
        };
        assert!(is_well().await || settings == IMPATIENT);
        until(is_well).await;
    }
}

#[tokio::test]
async fn one_byte_changed_anywhere_lets_nobody_in() {
    let (_sts, server) = start("aws, alibaba").await;
    let server = Arc::new(server);
    with_another_byte_anywhere(&server, &draft(&LIN).token()).await;
    let still_good = server.review(&draft(&LIN).token()).await.expect("an answer");
    assert_eq!(still_good.username().as_deref(), Some("lin"), "{}", still_good.text);
}

#[tokio::test]
async fn nothing_secret_is_written_down() {
    let sts = sts().await;
    let server = setup(&sts, &config("alibaba", "")).argument("--log-verbosity").argument("trace");
    let server = server.start().await.expect("a server");
    let token = draft(&MEI).token();
    let forged = Draft { secret: "other".to_owned(), ..draft(&MEI) }.token();
    let elsewhere = Draft::new(&MEI, "staging.example.com", now()).token();
    let mut shown = String::new();
    for fault in [Fault::None, Fault::Garbage, Fault::Reset, Fault::Redirect, Fault::E500] {
        sts.sts.set(fault);
        for token in [&token, &forged, &elsewhere] {
            shown.push_str(&server.review(token).await.expect("an answer").text);
        }
    }
    shown.push_str(&server.get("/metrics").await.expect("metrics").text);
    shown.push_str(&server.get("/readyz?verbose").await.expect("readiness").text);
    let signature = |token: &str| {
        let json = json_of(token).expect("a token");
        json["headers"]["Authorization"].as_str().expect("a text").rsplit('=').next().expect("a part").to_owned()
    };
    let mut secrets = [MEI.security_token.expect("one"), MEI.access_key_secret].map(str::to_owned).to_vec();
    for token in [token, forged, elsewhere] {
        secrets.extend([signature(&token), token]);
    }
    let finished = server.stop().await.expect("an end");
    assert!(finished.stderr.contains("decisionId"), "the audit log was on: {}", finished.stderr);
    shown.extend([finished.stderr, finished.stdout]);
    for secret in secrets {
        assert!(!shown.contains(&secret), "{secret} was written down");
    }
}

/// Waits until a login of `person` ends in `expected`: a username, or the reason of a refusal.
async fn becomes(server: &Server, person: &Person, expected: &str) {
    let ends_in = async || {
        let answer = server.review(&draft(person).token()).await.expect("an answer");
        answer.username().or_else(|| answer.reason()).unwrap_or_default()
    };
    until(async || ends_in().await == expected).await;
}

#[tokio::test]
async fn mappings_in_the_cluster() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_ram_identity("lin", LIN.arn, "lin", &["ops"]);
    kubernetes.put_ram_identity("roles", "acs:ram::1234567890123456:role/*", "role:{{SessionName}}", &[]);
    kubernetes.put_identity("bob", "arn:aws:iam::123456789012:user/bob", "bob", &[]);
    let sts = sts().await;
    let start = async |providers: &str, modes: &str| {
        let keys = format!("  providers: [{providers}]\n  backendMode: [{modes}]\n{}\n", patience(""));
        let text = format!("clusterID: {CLUSTER}\nserver:\n{keys}");
        setup(&sts, &text).argument("--master").argument(&kubernetes.url()).start().await.expect("a server")
    };
    let server = start("alibaba", "CRD, ACKConfigMap").await;
    becomes(&server, &LIN, "lin").await;
    becomes(&server, &MEI, "role:mei").await;
    kubernetes.put_ram_identity("developers", "acs:ram::1234567890123456:role/Dev*", "dev:{{SessionName}}", &[]);
    becomes(&server, &MEI, "dev:mei").await;
    kubernetes.put_ram_identity("exact", "acs:ram::1234567890123456:role/developers", "exact:{{SessionName}}", &[]);
    becomes(&server, &MEI, "exact:mei").await;
    becomes(&server, &ZOE, "not_mapped").await;
    kubernetes.put_alibabacloud_auth("", "- \"6543210987654321\"");
    becomes(&server, &ZOE, ZOE.arn).await;
    let of_an_old_file = start("alibaba", "ConfigMap").await;
    becomes(&of_an_old_file, &ZOE, ZOE.arn).await;
    let both = start("aws, alibaba", "CRD, RAMIdentityMapping").await;
    becomes(&both, &LIN, "lin").await;
    let bob = both.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(bob.username().as_deref(), Some("bob"), "{}", bob.text);
}
