//! What the service lets through, and what it answers to everything else.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::*;
use crate::{acs3, tokens::alibaba::Draft};

/// 2026-01-02T03:04:05Z.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

fn lin() -> Draft {
    Draft::new(&LIN, "prod", at())
}

fn send(service: &Service, signed: &Value, now: SystemTime) -> Result<Value, &'static str> {
    let texts = |place: &str| -> Vec<(String, String)> {
        let entries = signed[place].as_object().expect("an object").iter();
        entries.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect()
    };
    let query = acs3::canonical_query(&texts("query"));
    let headers: HeaderMap = texts("headers")
        .into_iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::try_from(value).unwrap()))
        .collect();
    let method = signed["method"].as_str().expect("a text");
    let wire = Wire { method, host: "sts.aliyuncs.com", path: "/", query: &query, headers: &headers, body: b"" };
    let body = service.answer(&wire, true, now, "R").map_err(Error::code)?;
    Ok(serde_json::from_str(&body).expect("JSON"))
}

#[track_caller]
fn check(signed: &Value, now: SystemTime, expected: Result<&str, &str>) {
    let answer = send(&Service::people(), signed, now);
    let arn = answer.as_ref().map(|json| json["Arn"].as_str().expect("an ARN")).map_err(|code| *code);
    assert_eq!(arn, expected);
}

#[test]
fn callers() {
    for person in [LIN, MEI, ROOT, ZOE] {
        check(&Draft::new(&person, "prod", at()).sign(), at(), Ok(person.arn));
    }
    check(&lin().with("x-acs-signature-nonce", "n").with("user-agent", "x").sign(), at(), Ok(LIN.arn));
    let mut get = lin();
    get.method = "GET".to_owned();
    check(&get.sign(), at(), Ok(LIN.arn));
}

#[test]
fn refusals() {
    let mut changed = lin().sign();
    changed["query"]["ACKClusterId"] = "staging".into();
    check(&changed, at(), Err("SignatureDoesNotMatch"));
    let mut changed = lin().sign();
    changed["headers"]["x-acs-action"] = "AssumeRole".into();
    check(&changed, at(), Err("SignatureDoesNotMatch"));
    let mut added = lin().sign();
    added["headers"]["x-acs-signature-nonce"] = "n".into();
    check(&added, at(), Err("SignatureDoesNotMatch"));
    check(&Draft { secret: "other".to_owned(), ..lin() }.sign(), at(), Err("SignatureDoesNotMatch"));
    check(&Draft { access_key_id: "LTAI".to_owned(), ..lin() }.sign(), at(), Err("InvalidAccessKeyId.NotFound"));
    let mei = Draft::new(&MEI, "prod", at());
    check(&mei.clone().without("x-acs-security-token").sign(), at(), Err("MissingSecurityToken"));
    let mismatch = "InvalidSecurityToken.MismatchWithAccessKey";
    check(&mei.with("x-acs-security-token", "t").sign(), at(), Err(mismatch));
    check(&lin().with("x-acs-security-token", "t").sign(), at(), Err(mismatch));
    check(&lin().with("x-acs-version", "2011-06-15").sign(), at(), Err("InvalidVersion"));
    check(&lin().with("x-acs-action", "Other").sign(), at(), Err("InvalidAction.NotFound"));
    for apart in [901, 3600] {
        check(&lin().sign(), at() + Duration::from_secs(apart), Err("InvalidTimeStamp.Expired"));
        check(&lin().sign(), at() - Duration::from_secs(apart), Err("InvalidTimeStamp.Expired"));
    }
    check(&lin().sign(), at() + Duration::from_secs(900), Ok(LIN.arn));
}

#[test]
fn a_nonce_is_good_once() {
    let service = Service::people();
    let signed = lin().with("x-acs-signature-nonce", "n").sign();
    assert!(send(&service, &signed, at()).is_ok());
    assert_eq!(send(&service, &signed, at()), Err("SignatureNonceUsed"));
    assert!(send(&service, &lin().sign(), at()).is_ok() && send(&service, &lin().sign(), at()).is_ok());
}

#[test]
fn roles_by_rpc_signatures() {
    #[track_caller]
    fn check(more: &[(&str, &str)], expected: Result<(), &str>) {
        let mut pairs = vec![
            ("AccessKeyId", LIN.access_key_id),
            ("Action", "AssumeRole"),
            ("Format", "JSON"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "n"),
            ("SignatureVersion", "1.0"),
            ("Timestamp", "2026-01-02T03:04:05Z"),
            ("Version", VERSION),
        ];
        pairs.extend(more);
        let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        pairs.push(("Signature".to_owned(), acs3::sign_rpc(LIN.access_key_secret, "POST", &pairs)));
        let (query, headers) = (acs3::canonical_query(&pairs), HeaderMap::new());
        let wire =
            Wire { method: "POST", host: "sts.aliyuncs.com", path: "/", query: &query, headers: &headers, body: b"" };
        let answer = Service::people().answer(&wire, true, at(), "R");
        assert_eq!(answer.as_ref().map(|_| ()).map_err(|error| error.code()), expected, "{more:?}");
        if let Ok(body) = answer {
            assert!(body.contains(r#""Expiration":"2026-01-02T04:04:05Z""#), "{body}");
        }
    }
    check(&[("RoleArn", DEPLOYER), ("RoleSessionName", "night")], Ok(()));
    check(&[("RoleArn", DEPLOYER)], Err("MissingParameter"));
    check(&[("RoleArn", DEPLOYER), ("RoleSessionName", "a b")], Err("InvalidParameter"));
    check(&[("RoleArn", DEPLOYER), ("RoleSessionName", "night"), ("DurationSeconds", "60")], Err("InvalidParameter"));
    check(&[("RoleArn", GUARDED), ("RoleSessionName", "night")], Err("NoPermission"));
    check(&[("RoleArn", GUARDED), ("RoleSessionName", "night"), ("ExternalId", EXTERNAL_ID)], Ok(()));
    check(&[("RoleArn", POD), ("RoleSessionName", "night")], Err("NoPermission"));
    check(&[("RoleArn", "acs:ram::1234567890123456:role/X"), ("RoleSessionName", "night")], Err("EntityNotExist.Role"));
}

#[test]
fn hosts() {
    for (host, expected) in [
        ("sts.aliyuncs.com", true),
        ("sts.aliyuncs.com:443", true),
        ("sts-vpc.cn-hangzhou.aliyuncs.com", true),
        ("sts.cn-hangzhou.aliyuncs.com.example.com", false),
        ("sts.a.b.aliyuncs.com", false),
        ("sts.us-east-1.amazonaws.com", false),
    ] {
        assert_eq!(is_host(host), expected, "{host}");
    }
}
