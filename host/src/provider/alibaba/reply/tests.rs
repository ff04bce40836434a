//! Answers, good and bad, and what they mean.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;

use super::*;
use crate::provider::SecretText;

const ALICE: &str = r#"{"AccountId":"1234567890123456","Arn":"acs:ram::1234567890123456:assumed-role/Dev/alice","IdentityType":"AssumedRoleUser","PrincipalId":"300000000000000001:alice","RequestId":"R","RoleId":"300000000000000001"}"#;
const BOB: &str = r#"{"AccountId":"1234567890123456","Arn":"acs:ram::1234567890123456:user/bob","IdentityType":"RAMUser","PrincipalId":"200000000000000001","RequestId":"R","UserId":"200000000000000001"}"#;
const ROOT: &str = r#"{"AccountId":"1234567890123456","Arn":"acs:ram::1234567890123456:root","IdentityType":"Account","PrincipalId":"1234567890123456","RequestId":"R","UserId":"1234567890123456"}"#;

fn call() -> StsCall {
    StsCall {
        host: "sts.aliyuncs.com".to_owned(),
        region: String::new(),
        method: Method::POST,
        path_and_query: SecretText::new("/".to_owned()),
        headers: Vec::new(),
        access_key_id: "LTAIEXAMPLE".to_owned(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
    }
}

fn answer(status: u16, content_type: Option<&str>, body: &str) -> Result<Caller, VerifyError> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let reply = StsReply { status, content_type: content_type.map(str::to_owned), retry_after: None, body };
    interpret(&call(), &reply)
}

fn good(body: &str) -> Result<Caller, VerifyError> {
    answer(200, Some("application/json;charset=utf-8"), body)
}

#[test]
fn callers() {
    #[track_caller]
    fn check(body: &str, kind: PrincipalKind, canonical: &str, name: &str, id: &str, session: Option<&str>) {
        let caller = good(body).expect("a caller");
        assert_eq!((caller.provider, caller.partition.as_str(), caller.kind), ("alibaba", "acs", kind));
        assert_eq!((caller.canonical_arn.as_str(), caller.name.as_str()), (canonical, name));
        assert_eq!(
            (caller.principal_id.as_str(), caller.session_name.as_ref().map(SessionName::as_str)),
            (id, session)
        );
        assert_eq!(caller.uid, format!("ack-ram-authenticator:1234567890123456:{id}"));
        let extra: Vec<_> = caller.extra().collect();
        let session = session.unwrap_or_default();
        assert_eq!(extra, [("arn", caller.arn.as_str()), ("canonicalArn", canonical), ("sessionName", session)]);
        assert_eq!(caller.attributes[0].0, "alibaba.identity-type");
    }
    let role = "acs:ram::1234567890123456:role/Dev";
    check(ALICE, PrincipalKind::AssumedRole, role, "Dev", "300000000000000001", Some("alice"));
    check(BOB, PrincipalKind::User, "acs:ram::1234567890123456:user/bob", "bob", "200000000000000001", None);
    check(ROOT, PrincipalKind::Root, "acs:ram::1234567890123456:root", "", "1234567890123456", None);
    let longer = BOB.replace('{', r#"{"New":{"Arn":"x"},"#);
    assert_eq!(good(&longer).expect("more members do no harm").name, "bob");
}

#[test]
fn answers_that_name_nobody() {
    #[track_caller]
    fn check(body: &str, from: &str, to: &str, expected: &str) {
        let changed = body.replace(from, to);
        assert_ne!(changed, body, "{from} is in it");
        match good(&changed) {
            Err(VerifyError::Unintelligible(why)) => assert_eq!(why, expected, "{changed}"),
            other => panic!("{changed}: {other:?}"),
        }
    }
    let shape = "the body is not an answer to GetCallerIdentity";
    check(BOB, r#""AccountId":"1234567890123456","#, "", shape);
    check(BOB, r#""IdentityType":"RAMUser","#, "", shape);
    check(BOB, r#""RequestId":"R""#, r#""accountid":"1234567890123457""#, shape);
    check(BOB, r#""RequestId":"R""#, r#""Arn":"acs:ram::1234567890123456:root""#, shape);
    check(BOB, r#""RAMUser""#, "1", shape);
    check(BOB, "}", "} {}", shape);
    check(BOB, r#""1234567890123456""#, r#""1234567890123457""#, "the account is not the ARN's");
    check(BOB, "1234567890123456", "123456789012", "the account is not the ARN's");
    check(BOB, "acs:ram::", "arn:aws:iam::", "the ARN is not one of Alibaba Cloud");
    check(BOB, ":user/", ":group/", "the ARN is not a principal's");
    check(BOB, ":user/bob", ":user/", "the ARN is not a principal's");
    check(BOB, "acs:ram:", "acs:ram:cn-hangzhou", "the ARN is not a principal's");
    check(BOB, "RAMUser", "Account", "the kind of identity is not the ARN's");
    check(BOB, "RAMUser", "SAMLUser", "the kind of identity is not the ARN's");
    check(BOB, ":user/bob", ":role/bob", "the kind of identity is not the ARN's");
    let id = "the principal id is not that of the user, role or account";
    check(BOB, r#""PrincipalId":"2"#, r#""PrincipalId":"3"#, id);
    check(BOB, r#""PrincipalId":"200000000000000001""#, r#""PrincipalId":"a:b""#, id);
    check(BOB, r#""PrincipalId":"200000000000000001""#, r#""PrincipalId":"""#, "the principal id is not an id");
    check(ROOT, r#""PrincipalId":"1"#, r#""PrincipalId":"2"#, id);
    check(ALICE, r#""RoleId":"3"#, r#""RoleId":"4"#, id);
    check(ALICE, r#"1:alice""#, r#"1:mallory""#, "the principal id's session is not the ARN's");
    check(ALICE, r#"1:alice""#, r#"1:alice:b""#, "the principal id's session is not the ARN's");
    check(ALICE, r#"1:alice""#, r#"1""#, "a role's principal id has no session");
    check(ALICE, ":assumed-role/Dev/", ":assumed-role/", "the ARN is not a principal's");
}

#[test]
fn answers_are_json() {
    #[track_caller]
    fn check(content_type: Option<&str>, expected: bool) {
        assert_eq!(answer(200, content_type, BOB).is_ok(), expected, "{content_type:?}");
    }
    check(Some("application/json"), true);
    check(Some("application/json; charset=UTF-8"), true);
    check(Some("text/html"), false);
    check(None, false);
}

#[test]
fn refusals() {
    #[track_caller]
    fn check(status: u16, code: &str, expected: &str) {
        let body = format!(r#"{{"RequestId":"R","HostId":"sts.aliyuncs.com","Code":"{code}","Message":"Throttling"}}"#);
        let error = answer(status, Some("application/json"), &body).expect_err("a refusal");
        let found = match &error {
            VerifyError::Refused { status, code } => format!("refused {status} {code}"),
            VerifyError::Unavailable { cause } => format!("unavailable {cause}"),
            other => other.reason().to_owned(),
        };
        assert_eq!(found, expected, "{status} {code}");
    }
    for code in [
        "InvalidTimeStamp.Expired",
        "SignatureDoesNotMatch",
        "SignatureNonceUsed",
        "MissingSecurityToken",
        "InvalidSecurityToken.Expired",
        "InvalidSecurityToken.MismatchWithAccessKey",
        "NoPermission",
    ] {
        check(400, code, &format!("refused 400 {code}"));
    }
    check(404, "InvalidAccessKeyId.NotFound", "refused 404 InvalidAccessKeyId.NotFound");
    check(403, "InvalidAccessKeyId.Inactive", "refused 403 InvalidAccessKeyId.Inactive");
    for code in ["Throttling", "Throttling.User", "Throttling.Api"] {
        check(400, code, "sts_throttled");
        check(503, code, "sts_throttled");
    }
    check(429, "Anything", "sts_throttled");
    check(400, "ThrottlingNot", "refused 400 ThrottlingNot");
    check(500, "InternalError", "unavailable server_error");
    check(400, "InternalError", "unavailable server_error");
    check(503, "ServiceUnavailable", "unavailable server_error");
    check(302, "Moved", "unavailable redirect");
    check(400, "Bad Code", "sts_unintelligible");
    check(400, &"A".repeat(65), "sts_unintelligible");
    check(201, "Created", "sts_unintelligible");
    for (status, reason) in
        [(403, "sts_unintelligible"), (400, "sts_unintelligible"), (413, "sts_refused"), (431, "sts_refused")]
    {
        assert_eq!(answer(status, Some("text/html"), "<html>").expect_err("a refusal").reason(), reason, "{status}");
    }
    assert_eq!(answer(502, Some("text/html"), "<html>").expect_err("a refusal").reason(), "sts_unavailable");
}

/// Nothing is wrong with the caller's cluster id, key or clock.
#[test]
fn a_nonce_that_is_used_again_and_a_session_that_has_ended_are_told() {
    #[track_caller]
    fn check(code: &str, words: &str) {
        let error = answer(400, None, &format!(r#"{{"Code":"{code}"}}"#)).expect_err("a refusal").to_string();
        assert!(error.ends_with(words), "{error}");
    }
    check(
        "SignatureNonceUsed",
        "it takes an x-acs-signature-nonce once: a token without one can be used until it ends",
    );
    check("InvalidSecurityToken.Expired", "whoever made it has to sign in again");
    check("SignatureDoesNotMatch", "a wrong cluster id, key or clock on the caller's side does this");
}

#[test]
fn throttling_tells_how_long() {
    let reply =
        StsReply { status: 429, content_type: None, retry_after: Some(Duration::from_secs(7)), body: Bytes::new() };
    let error = interpret(&call(), &reply).expect_err("a throttle");
    assert!(matches!(error, VerifyError::Throttled { retry_after: Some(time) } if time.as_secs() == 7));
}
