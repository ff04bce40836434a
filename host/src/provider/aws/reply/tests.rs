//! What STS may answer: identities, and everything that is none.

use std::time::SystemTime;

use bytes::Bytes;
use http::Method;

use super::*;
use crate::provider::SecretText;

fn call() -> StsCall {
    StsCall {
        host: "sts.us-west-2.amazonaws.com".to_owned(),
        region: "us-west-2".to_owned(),
        method: Method::GET,
        path_and_query: SecretText::new("/".to_owned()),
        headers: Vec::new(),
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
    }
}

fn read(status: u16, content_type: &str, body: &str) -> Result<Caller, VerifyError> {
    let content_type = Some(content_type.to_owned()).filter(|text| !text.is_empty());
    interpret(
        Partition::Aws,
        &call(),
        &StsReply { status, content_type, retry_after: None, body: Bytes::from(body.to_owned()) },
    )
}

fn body(account: &str, arn: &str, user_id: &str) -> String {
    format!(
        r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{{"Account":"{account}","Arn":"{arn}","UserId":"{user_id}"}},"ResponseMetadata":{{"RequestId":"8b8b8b8b"}}}}}}"#
    )
}

fn alice() -> String {
    body("123456789012", "arn:aws:iam::123456789012:user/alice", "AIDAEXAMPLE")
}

/// `expected` is canonical ARN, principal id and session name, or the words of the refusal.
#[track_caller]
fn check(arn: &str, user_id: &str, expected: Result<(&str, &str, &str), &str>) {
    match (read(200, "application/json", &body("123456789012", arn, user_id)), expected) {
        (Ok(caller), Ok((canonical, principal, session))) => {
            assert_eq!(caller.canonical_arn, canonical);
            assert_eq!(caller.principal_id.as_str(), principal);
            assert_eq!(caller.session_name.as_ref().map_or("", SessionName::as_str), session);
            assert_eq!(caller.uid, format!("aws-iam-authenticator:123456789012:{principal}"));
            assert_eq!(caller.extra().nth(2), Some(("sessionName", session)));
        }
        (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{arn}: {error}"),
        (found, expected) => panic!("{arn}: {found:?}, expected {expected:?}"),
    }
}

#[test]
fn identities() {
    let role = "arn:aws:iam::123456789012:role/Admin";
    let session = "arn:aws:sts::123456789012:assumed-role/Admin/alice";
    check(session, "AROAEXAMPLE:alice", Ok((role, "AROAEXAMPLE", "alice")));
    check(role, "AROAEXAMPLE:i-0123", Ok((role, "AROAEXAMPLE", "i-0123")));
    let user = "arn:aws:iam::123456789012:user/team/a/alice";
    check(user, "AIDAEXAMPLE", Ok((user, "AIDAEXAMPLE", "")));
    let root = "arn:aws:iam::123456789012:root";
    check(root, "123456789012", Ok((root, "123456789012", "")));
    let federated = "arn:aws:sts::123456789012:federated-user/bob";
    check(federated, "123456789012:bob", Ok((federated, "123456789012:bob", "")));

    let instance = "arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/i-0123";
    let instance_role = "arn:aws:iam::123456789012:role/aws:ec2-instance";
    let instance_id = "123456789012:aws:ec2-instance";
    check(instance, "123456789012:aws:ec2-instance:i-0123", Ok((instance_role, instance_id, "i-0123")));

    check(instance, "123456789012:aws:ec2-instance:i-4567", Err("not the ARN's"));
    check(instance, "210987654321:aws:ec2-instance:i-0123", Err("not that of an instance"));
    check(instance, "123456789012:aws:ec2-instances:i-0123", Err("not that of an instance"));
    check(instance, "x:123456789012:aws:ec2-instance:i-0123", Err("not that of an instance"));
    check(instance, "AROAEXAMPLE:i-0123", Err("not that of an instance"));
    check(instance, "123456789012:aws:ec2-instance:", Err("not id:session"));
    check(instance, "123456789012:aws:ec2-instance", Err("not that of an instance"));
    check(instance_role, "123456789012:aws:ec2-instance:i-0123", Err("not id:session"));
    let others = "arn:aws:sts::123456789012:assumed-role/AWS:EC2-Instance/i-0123";
    check(others, "123456789012:aws:ec2-instance:i-0123", Err("not id:session"));
    check(session, "123456789012:aws:ec2-instance:alice", Err("not id:session"));
    check(session, "AROAEXAMPLE", Err("has no session"));
    check(session, "AROAEXAMPLE:alice:x", Err("not id:session"));
    check(session, ":alice", Err("not id:session"));
    check(session, "AROAEXAMPLE:", Err("not id:session"));
    check(session, "AROAEXAMPLE:bob", Err("not the ARN's"));
    check(user, "", Err("not an id"));
    check(user, "AIDA EXAMPLE", Err("not an id"));
    check("arn:aws:iam::210987654321:user/alice", "AIDAEXAMPLE", Err("account is not the ARN's"));
    check("arn:aws-cn:iam::123456789012:user/alice", "AIDAEXAMPLE", Err("another partition"));
    check("arn:aws-us-gov:iam::123456789012:user/alice", "AIDAEXAMPLE", Err("another partition"));
    check("acs:ram::1234567890123456:user/alice", "AIDAEXAMPLE", Err("another partition"));
    check("arn:aws:iam::123456789012:group/admins", "AIDAEXAMPLE", Err("not a principal's"));
    check("arn:aws:ec2::123456789012:instance/i-0", "AIDAEXAMPLE", Err("not a principal's"));
    check("arn:aws:sts::123456789012:assumed-role/Admin", "AROAEXAMPLE:alice", Err("not a principal's"));
    check("", "AIDAEXAMPLE", Err("not a principal's"));
}

#[test]
fn a_caller_is_complete() {
    let arn = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_Only_0123456789abcdef/alice@example.com";
    let caller =
        read(200, "application/json", &body("123456789012", arn, "AROAEXAMPLE:alice@example.com")).expect("good");
    let canonical = "arn:aws:iam::123456789012:role/AWSReservedSSO_View_Only_0123456789abcdef";
    let extra: Vec<_> = caller.extra().collect();
    assert_eq!(
        extra,
        [
            ("arn", arn),
            ("canonicalArn", canonical),
            ("sessionName", "alice@example.com"),
            ("accessKeyId", "AKIAIOSFODNN7EXAMPLE"),
            ("principalId", "AROAEXAMPLE"),
            ("sigs.k8s.io/aws-iam-authenticator/principalId", "AROAEXAMPLE"),
        ]
    );
    assert_eq!((caller.provider, caller.partition.as_str(), caller.kind), ("aws", "aws", PrincipalKind::AssumedRole));
    assert_eq!(caller.name, "AWSReservedSSO_View_Only_0123456789abcdef");
    assert_eq!((caller.arn.as_str(), caller.sts_region.as_str()), (arn, "us-west-2"));
    assert_eq!(caller.sso_permission_set.as_deref(), Some("View_Only"));
}

#[test]
fn permission_sets() {
    #[track_caller]
    fn check(resource: &str, expected: Option<&str>) {
        let arn: Arn = format!("arn:aws:iam::123456789012:{resource}").parse().expect("good");
        assert_eq!(arn.permission_set(), expected, "{resource}");
    }
    check("role/AWSReservedSSO_View_0123456789abcdef", Some("View"));
    check("role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_View_0123456789abcdef", Some("View"));
    check("role/AWSReservedSSO_View_Only_0123456789abcdef", Some("View_Only"));
    check("role/AWSReservedSSO_View_0123456789ABCDEF", None);
    check("role/AWSReservedSSO_View_0123456789abcde", None);
    check("role/AWSReservedSSO__0123456789abcdef", None);
    check("role/View_0123456789abcdef", None);
    check("user/AWSReservedSSO_View_0123456789abcdef", None);
}

#[test]
fn content_types() {
    #[track_caller]
    fn check(content_type: &str, good: bool) {
        assert_eq!(read(200, content_type, &alice()).is_ok(), good, "{content_type:?}");
    }
    check("application/json", true);
    check("application/json; charset=utf-8", true);
    check("Application/JSON;charset=UTF-8", true);
    check("application/json; charset=\"utf-8\"", true);
    check("application/json; charset=utf-16", false);
    check("application/json; charset=utf-8; x=y", false);
    check("application/json;", false);
    check("application/jsonp", false);
    check("application/x-amz-json-1.1", false);
    check("text/xml", false);
    check("text/html", false);
    check("", false);
}

#[test]
fn bodies_that_name_nobody() {
    let identity = r#"{"Account":"123456789012","Arn":"arn:aws:iam::123456789012:user/alice","UserId":"AIDAEXAMPLE"}"#;
    let wrapped = |text: &str| format!(r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{text}}}}}"#);
    assert!(read(200, "application/json", &wrapped(identity)).is_ok(), "metadata may be absent");
    let more = identity.replace('{', r#"{"Added":{"deep":[1]},"#);
    assert!(read(200, "application/json", &wrapped(&more)).is_ok(), "AWS may add members");
    for text in [
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        identity.to_owned(),
        format!("{} ", alice()) + "{}",
        format!("[{}]", alice()),
        alice().replace("GetCallerIdentityResponse", "AssumeRoleResponse"),
        alice().replace("GetCallerIdentityResult", "AssumeRoleResult"),
        alice().replace("GetCallerIdentityResponse", "getCallerIdentityResponse"),
        alice().replace(r#"{"GetCallerIdentityResponse""#, r#"{"Error":{},"GetCallerIdentityResponse""#),
        alice().replace(r#"{"GetCallerIdentityResult""#, r#"{"AssumeRoleResult":{},"GetCallerIdentityResult""#),
        alice().replace(r#"{"GetCallerIdentityResult""#, r#"{"GetCallerIdentityResult":{},"GetCallerIdentityResult""#),
        wrapped(&identity.replace("Arn", "arn")),
        wrapped(&identity.replace(r#"{"Account""#, r#"{"account":"1","Account""#)),
        wrapped(&identity.replace(r#"{"Account""#, r#"{"Account":"123456789012","Account""#)),
        wrapped(&identity.replace(r#"{"Account""#, r#"{"ARN":"x","Account""#)),
        wrapped(&identity.replace(r#""123456789012""#, "123456789012")),
        wrapped(&identity.replace(r#""AIDAEXAMPLE""#, "null")),
        wrapped(r#"["123456789012","arn:aws:iam::123456789012:user/alice","AIDAEXAMPLE"]"#),
        wrapped(&format!(r#"{{"Message":{}}}"#, serde_json::to_string(identity).expect("text"))),
        "<GetCallerIdentityResponse/>".to_owned(),
    ] {
        let error = read(200, "application/json", &text).expect_err(&text);
        assert_eq!(error.reason(), "sts_unintelligible", "{text}");
    }
}

#[test]
fn failures() {
    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let error = read(status, "application/json", body).expect_err("no caller");
        let found = match &error {
            VerifyError::Refused { status, code } => format!("refused {status} {code}"),
            VerifyError::Unavailable { cause } => format!("unavailable {cause}"),
            other => other.reason().to_owned(),
        };
        assert_eq!(found, expected, "{status} {body}");
    }
    let json = |code: &str| {
        format!(
            r#"{{"Error":{{"Code":"{code}","Message":"Throttling: <Code>Throttling</Code>","Type":"Sender"}},"RequestId":"x"}}"#
        )
    };
    let xml = |code: &str| {
        format!(
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Message>&lt;Code&gt;Throttling</Message><Code>{code}</Code></Error><RequestId>x</RequestId></ErrorResponse>"#
        )
    };
    for body in [json("SignatureDoesNotMatch"), xml("SignatureDoesNotMatch")] {
        check(403, &body, "refused 403 SignatureDoesNotMatch");
        check(503, &body, "unavailable server_error");
    }
    for code in ["Throttling", "ThrottlingException", "SlowDown", "RequestLimitExceeded"] {
        for status in [400, 403, 429, 503] {
            check(status, &json(code), "sts_throttled");
            check(status, &xml(code), "sts_throttled");
        }
    }
    check(429, "", "sts_throttled");
    check(403, "", "sts_unintelligible");
    check(403, "Throttling", "sts_unintelligible");
    check(403, &json("ThrottlingNot"), "refused 403 ThrottlingNot");
    check(403, &json("with space"), "sts_unintelligible");
    check(403, &json(&"a".repeat(64)), &format!("refused 403 {}", "a".repeat(64)));
    check(403, &json(&"a".repeat(65)), "sts_unintelligible");
    check(403, r#"{"Code":"Throttling"}"#, "sts_unintelligible");
    check(403, "<Error><Code>Throttling</Code></Error>", "sts_unintelligible");
    check(403, "<ErrorResponse><Code>Throttling</Code></ErrorResponse>", "sts_unintelligible");
    check(403, "<html><body>Throttling</body></html>", "sts_unintelligible");
    let page = "<html><body>Request blocked</body></html>";
    for status in [400, 401, 403, 404, 405, 407, 451] {
        check(status, page, "sts_unintelligible");
    }
    for status in [413, 414, 431] {
        check(status, page, &format!("refused {status} Unknown"));
    }
    check(500, "", "unavailable server_error");
    check(503, "", "unavailable server_error");
    for status in [301, 302, 303, 307, 308] {
        check(status, &alice(), "unavailable redirect");
    }
    for status in [100, 201, 204, 206, 600] {
        check(status, &alice(), "sts_unintelligible");
    }
    check(403, &alice(), "sts_unintelligible");
}

#[test]
fn what_makes_sts_refuse_is_told() {
    for (code, words) in [
        ("AccessDenied", "a policy on the way denies it, as that of a VPC endpoint"),
        ("ExpiredToken", "whoever made it has to sign in again"),
        ("SignatureDoesNotMatch", "a wrong cluster id, key or clock on the caller's side does this"),
    ] {
        let body = format!(r#"{{"Error":{{"Code":"{code}"}}}}"#);
        let error = read(403, "application/json", &body).expect_err("a refusal").to_string();
        assert!(error.ends_with(words), "{error}");
    }
}
