//! Alibaba Cloud's own SDK of STS, unmodified, on both sides of a login: the dev STS knows its callers, and the server
//! takes what its signer signs, or says what is wrong with it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tests::{
    herald::{Finished, Server, finish, repository},
    now,
    sts::{
        Running,
        alibaba::{DEPLOYER, GUARDED, LIN, MEI, Person, ROOT, ZOE, acs_date},
    },
    tokens::alibaba::json_of,
    tools::alibaba_sdk,
};
use tokio::process::Command;

use crate::{
    alibaba::{config, reasons},
    altered::with_another_byte_anywhere,
    support::{CLUSTER, start_beside, sts},
};

/// The endpoint that servers of [`config`] ask.
const ENDPOINT: &str = "sts-vpc.cn-hangzhou.aliyuncs.com";

/// A person's Python with the SDK, and an STS to ask.
struct Client {
    python: PathBuf,
    sts: Running,
}

// === impl Client ===

impl Client {
    /// `None` where the SDK cannot be had, which has been said then.
    async fn new() -> Option<Self> {
        Some(Self { python: alibaba_sdk()?, sts: sts().await })
    }

    async fn run(&self, keys: &[(&str, &str)], arguments: &[&str]) -> Finished {
        let mut command = Command::new(&self.python);
        command.arg(repository().join("tests/clients/alibaba_sdk/client.py")).args(arguments).env_clear();
        command.envs(self.sts.environment()).envs(keys.iter().copied());
        finish(command).await.expect("it runs")
    }

    /// What one run by `person` makes.
    async fn made(&self, person: &Person, arguments: &[&str]) -> Value {
        let finished = self.run(&person.environment(), arguments).await.success().expect("an answer");
        serde_json::from_str(&finished.stdout).expect("JSON")
    }

    /// Tokens of `requests`, signed by `person`.
    async fn tokens(&self, person: &Person, requests: &[Value]) -> Vec<String> {
        let made = self.made(person, &["token", &json!(requests).to_string()]).await;
        made.as_array().expect("a list").iter().map(|token| token.as_str().expect("a text").to_owned()).collect()
    }

    async fn server(&self) -> Server {
        start_beside(&self.sts, &config("alibaba", "")).await
    }
}

/// A request for this cluster that has these headers, others, or none in place of its own.
fn with(headers: &Value) -> Value {
    json!({"query": {"ACKClusterId": CLUSTER}, "headers": headers})
}

#[tokio::test]
async fn sts_knows_its_callers() {
    let Some(client) = Client::new().await else { return };
    for person in [LIN, MEI, ROOT, ZOE] {
        let identity = client.made(&person, &["identity"]).await;
        assert_eq!((&identity["Arn"], &identity["PrincipalId"]), (&person.arn.into(), &person.principal_id.into()));
    }
    let assumed = client.made(&LIN, &["identity", DEPLOYER, "night"]).await;
    assert_eq!(assumed["Arn"], "acs:ram::1234567890123456:assumed-role/Deployer/night");
    let mut other = LIN;
    other.access_key_secret = "other";
    let mut nobody = LIN;
    nobody.access_key_id = "LTAI5tNOBODY";
    let mut without = MEI;
    without.security_token = None;
    for (person, arguments, code) in [
        (other, &["identity"][..], "SignatureDoesNotMatch"),
        (nobody, &["identity"], "InvalidAccessKeyId.NotFound"),
        (without, &["identity"], "MissingSecurityToken"),
        (LIN, &["identity", GUARDED, "night"], "NoPermission"),
    ] {
        let refused = client.run(&person.environment(), arguments).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{code}");
        assert!(refused.stderr.starts_with(&format!("{code}: ")), "{code}: {}", refused.stderr);
    }
    let asked = client.sts.sts.requests();
    assert!(asked.iter().all(|request| request.host == "sts.cn-hangzhou.aliyuncs.com"), "{asked:?}");
}

#[tokio::test]
async fn only_the_authority_that_it_is_told_of_is_believed() {
    let Some(client) = Client::new().await else { return };
    let other = sts().await;
    let (authority, keys) = (other.ca_file().display().to_string(), LIN.environment());
    let refused = client.run(&[&keys[..], &[("SSL_CERT_FILE", &authority)]].concat(), &["identity"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(refused.stderr.contains("CERTIFICATE_VERIFY_FAILED"), "{}", refused.stderr);
    assert!(client.sts.sts.requests().is_empty());
}

/// The signatures that existing clients, this SDK and our own code all make of the same requests.
#[tokio::test]
async fn its_signer_gives_the_known_signatures() {
    let Some(client) = Client::new().await else { return };
    let dated =
        |cluster: &str, date: &str| json!({"query": {"ACKClusterId": cluster}, "headers": {"x-acs-date": date}});
    let first = "2026-11-22T12:36:20Z";
    let documented = json!({
        "query": {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"},
        "headers": {
            "host": "ecs.cn-shanghai.aliyuncs.com", "x-acs-action": "RunInstances", "x-acs-date": "2023-10-26T10:22:32Z",
            "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d", "x-acs-version": "2014-05-26",
        },
    });
    let rows = [
        (["LTAI", "YourAccessKeySecret", ""], documented, "06563a9e1b43f5df"),
        (
            ["LTAI5tDUMMYexample01", "dummySecretForTests0000000001", ""],
            dated("c0123456789abcdef0123456789abcdef", first),
            "057d6c070ee206ac",
        ),
        (
            ["STS.NUdummyRole01", "dummyRoleSecret0000000000001", "dummySecurityToken+/=A"],
            dated("c0123456789abcdef0123456789abcdef", "2026-11-22T12:43:41Z"),
            "5160389ca6e71298",
        ),
        (["LTAI5tDUMMYexample01", "dummySecretForTests0000000001", ""], dated("my cluster", first), "c0cea48c7f071b3e"),
        (["LTAI5tDUMMYexample01", "dummySecretForTests0000000001", ""], dated("a+b*c~d/é", first), "833ee60229a22c33"),
    ];
    for ([access_key_id, access_key_secret, token], request, signature) in rows {
        let security_token = Some(token).filter(|token| !token.is_empty());
        let person = Person { access_key_id, access_key_secret, security_token, ..LIN };
        let [token] = &client.tokens(&person, std::slice::from_ref(&request)).await[..] else { panic!("one token") };
        let authorization = json_of(token).expect("a token")["headers"]["Authorization"].to_string();
        assert!(authorization.contains(&format!("Signature={signature}")), "{request}: {authorization}");
    }
}

#[tokio::test]
async fn what_its_signer_signs_is_taken() {
    let Some(client) = Client::new().await else { return };
    let server = Arc::new(client.server().await);
    let requests = [
        with(&json!({})),
        with(&json!({"user-agent": "some-client/1.0 (linux)"})),
        with(&json!({"accept": "application/json"})),
        with(&json!({"host": ENDPOINT})),
        with(&json!({"x-acs-date": acs_date(now() - Duration::from_secs(14 * 60))})),
        with(&json!({"x-acs-date": acs_date(now() + Duration::from_secs(4 * 60))})),
    ];
    for (person, username) in [(LIN, "lin"), (MEI, "dev:mei")] {
        for (token, request) in client.tokens(&person, &requests).await.iter().zip(&requests) {
            let answer = server.review(token).await.expect("an answer");
            assert_eq!(answer.username().as_deref(), Some(username), "{request}: {}", answer.text);
        }
    }
    let [token] = &client.tokens(&MEI, &requests[..1]).await[..] else { panic!("one token") };
    with_another_byte_anywhere(&server, token).await;
    assert!(server.review(token).await.expect("an answer").username().is_some());
}

/// The requests that the SDK sends itself, with all that it signs, are tokens as well.
#[tokio::test]
async fn what_it_sends_is_taken_by_the_server_that_asks_the_same_endpoint() {
    let Some(client) = Client::new().await else { return };
    let server = client.server().await;
    for (person, cluster, host, expected) in [
        (LIN, CLUSTER, ENDPOINT, Ok("lin")),
        (MEI, CLUSTER, ENDPOINT, Ok("dev:mei")),
        (LIN, CLUSTER, "sts.aliyuncs.com", Err("host_other")),
        (LIN, CLUSTER, "sts.evil.example", Err("host_other")),
        (LIN, "staging.example.com", ENDPOINT, Err("cluster_id")),
    ] {
        let before = server.audit().len();
        let token = client.made(&person, &["request", cluster, host]).await;
        let answer = server.review(token.as_str().expect("a text")).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), expected.ok(), "{cluster} {host}: {}", answer.text);
        let reason = reasons(&server, before + 1).await.pop().expect("a decision");
        assert_eq!(reason, expected.err().unwrap_or("ok"), "{cluster} {host}");
    }
    let asked = client.sts.sts.requests();
    assert_eq!(asked.len(), 2, "nobody is asked about what is refused: {asked:?}");
    assert!(asked.iter().all(|request| request.host == ENDPOINT && request.cluster_id.as_deref() == Some(CLUSTER)));
}

/// Rightly signed, and yet not the request that a token must be. STS is asked about none of them.
#[tokio::test]
async fn whatever_else_it_signs_is_refused_with_the_reason() {
    let Some(client) = Client::new().await else { return };
    let with_body = "5d4b1c4e2a7d8ce06b9a0df1c7ad2e22e9dc6ecf07d3b2f0f0b3ad1c2c1d3c11";
    let ago = |seconds| acs_date(now() - Duration::from_secs(seconds));
    let cluster = |query: Value| json!({"query": query});
    let mut get = with(&json!({}));
    get["method"] = "GET".into();
    let mut elsewhere = with(&json!({}));
    elsewhere["path"] = "/v2".into();
    let mut of_china = with(&json!({}));
    of_china["algorithm"] = "ACS3-HMAC-SM3".into();
    let rows = [
        ("cluster_id_missing", cluster(json!({}))),
        ("cluster_id", cluster(json!({"ACKClusterId": ""}))),
        ("cluster_id", cluster(json!({"ACKClusterId": "staging.example.com"}))),
        ("cluster_id", cluster(json!({"ACKClusterId": CLUSTER.to_uppercase()}))),
        ("parameter_unknown", cluster(json!({"ackclusterid": CLUSTER}))),
        ("parameter_unknown", cluster(json!({"ACKClusterId": CLUSTER, "RegionId": "cn-hangzhou"}))),
        ("parameter_unknown", cluster(json!({"ACKClusterId": CLUSTER, "Action": "AssumeRole"}))),
        ("action", with(&json!({"x-acs-action": "AssumeRole"}))),
        ("action", with(&json!({"x-acs-action": "getcalleridentity"}))),
        ("version", with(&json!({"x-acs-version": "2014-05-26"}))),
        ("target", get),
        ("target", elsewhere),
        ("content_hash", with(&json!({"x-acs-content-sha256": with_body}))),
        ("algorithm", of_china),
        ("expired", with(&json!({"x-acs-date": ago(15 * 60 + 1)}))),
        ("expired", with(&json!({"x-acs-date": "2020-01-01T00:00:00Z"}))),
        ("not_yet_valid", with(&json!({"x-acs-date": acs_date(now() + Duration::from_secs(6 * 60))}))),
        ("date", with(&json!({"x-acs-date": "20261122T123620Z"}))),
        ("header_missing", with(&json!({"x-acs-action": null}))),
        ("header_missing", with(&json!({"x-acs-content-sha256": null}))),
        ("header_missing", with(&json!({"x-acs-date": null}))),
        ("header_missing", with(&json!({"x-acs-version": null}))),
        ("header_unknown", with(&json!({"content-type": "application/x-www-form-urlencoded"}))),
        ("header_unknown", with(&json!({"x-acs-content-sm3": "0"}))),
        ("header_unknown", with(&json!({"x-acs-bearer-token": "t"}))),
        ("header_unknown", with(&json!({"x-forwarded-for": "127.0.0.1"}))),
        ("header_value", with(&json!({"user-agent": "some-client/1.0  (linux)"}))),
        ("header_value", with(&json!({"x-acs-signature-nonce": "a\nb"}))),
        ("host_other", with(&json!({"host": "sts.aliyuncs.com"}))),
        ("host_other", with(&json!({"host": "sts.evil.example"}))),
        ("accept", with(&json!({"accept": "text/xml"}))),
        ("access_key_other", with(&json!({"x-acs-accesskey-id": ZOE.access_key_id}))),
    ];
    let server = client.server().await;
    let requests: Vec<Value> = rows.iter().map(|(_, request)| request.clone()).collect();
    for (token, (reason, request)) in client.tokens(&LIN, &requests).await.iter().zip(&rows) {
        let answer = server.review(token).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{reason} {request}: {}", answer.text);
    }
    assert_eq!(reasons(&server, rows.len()).await, rows.map(|(reason, _)| reason));
    assert!(client.sts.sts.requests().is_empty(), "{:?}", client.sts.sts.requests());
}

#[tokio::test]
async fn keys_that_are_not_good_are_told_by_sts() {
    let Some(client) = Client::new().await else { return };
    let server = client.server().await;
    let mut other = LIN;
    other.access_key_secret = "other";
    let mut nobody = LIN;
    nobody.access_key_id = "LTAI5tNOBODY";
    for (person, headers, code) in [
        (other, json!({}), "SignatureDoesNotMatch"),
        (nobody, json!({}), "InvalidAccessKeyId.NotFound"),
        (MEI, json!({"x-acs-security-token": null}), "MissingSecurityToken"),
        (MEI, json!({"x-acs-security-token": "CAISother"}), "InvalidSecurityToken.MismatchWithAccessKey"),
        (LIN, json!({"x-acs-security-token": "CAISother"}), "InvalidSecurityToken.MismatchWithAccessKey"),
    ] {
        client.sts.sts.reset();
        let [token] = &client.tokens(&person, &[with(&headers)]).await[..] else { panic!("one token") };
        let answer = server.review(token).await.expect("an answer");
        assert!(answer.is_plain_refusal(), "{code}: {}", answer.text);
        assert_eq!(client.sts.sts.requests().last().and_then(|request| request.code), Some(code));
    }
    assert_eq!(reasons(&server, 5).await, ["sts_refused"; 5]);
}
