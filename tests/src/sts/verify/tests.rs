//! What the verifier lets through, and what it answers to everything else.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::{
    sigv4,
    sts::{ALICE, BOB},
    tokens::{CLUSTER_HEADER, Draft, Signed, Who, derived_key},
};

/// 2026-01-02T03:04:05Z.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

fn bob() -> Draft {
    Draft::new(&BOB, "prod", at())
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// Sends `signed` for cluster `prod` at `now`; `Ok` is the caller's ARN, `Err` the code and the words.
fn ask(signed: &Signed, now: SystemTime) -> Result<String, (&'static str, String)> {
    let mut headers = HeaderMap::new();
    headers.insert(CLUSTER_HEADER, HeaderValue::from_static("prod"));
    send("GET", signed, &headers, now)
}

fn send(method: &str, signed: &Signed, headers: &HeaderMap, now: SystemTime) -> Result<String, (&'static str, String)> {
    let keys = Keys::people().with_derived(derived_key);
    let query = signed.query();
    let wire = Wire { method, host: &signed.authority, path: &signed.path, query: &query, headers, body: b"" };
    Parameters::parse(&query)
        .and_then(|parameters| verify(&wire, &parameters, &keys, now))
        .map(|key| key.identity.arn.clone())
        .map_err(|error| (error.code(), error.to_string()))
}

#[track_caller]
fn check(signed: &Signed, expected: Result<&str, (&str, &str)>) {
    match (ask(signed, at()), expected) {
        (Ok(arn), Ok(expected)) => assert_eq!(arn, expected),
        (Err((code, words)), Err((expected, part))) => {
            assert_eq!(code, expected, "{words}");
            assert!(words.contains(part), "{words}");
        }
        (found, expected) => panic!("{found:?}, expected {expected:?}"),
    }
}

const MISMATCH: (&str, &str) = ("SignatureDoesNotMatch", "does not match the signature you provided");

#[test]
fn good_requests() {
    check(&bob().sign(), Ok(BOB.arn));
    check(&Draft::new(&ALICE, "prod", at()).sign(), Ok(ALICE.arn));
    let derived = Who { role: 1, session: 2, session_token_len: 300 };
    check(
        &Draft::of_key(&derived.key(), "prod", at()).sign(),
        Ok("arn:aws:sts::111122223333:assumed-role/bench-role-000001/sess-2"),
    );
    check(&Draft { expires: None, ..bob() }.sign(), Ok(BOB.arn));
    let mut shuffled = bob().sign();
    shuffled.pairs.reverse();
    check(&shuffled, Ok(BOB.arn));
    let global = Draft { host: "sts.amazonaws.com".to_owned(), ..bob() };
    check(&global.sign(), Ok(BOB.arn));
    let local = Draft { host: "localhost:4711".to_owned(), region: "eu-west-1".to_owned(), ..bob() };
    check(&local.sign(), Ok(BOB.arn));
}

#[test]
fn what_a_signature_covers() {
    check(&Draft { secret: "another".to_owned(), ..bob() }.sign(), Err(MISMATCH));
    check(&Draft::new(&BOB, "another-cluster", at()).sign(), Err(MISMATCH));
    check(&Draft { method: "POST".to_owned(), ..bob() }.sign(), Err(MISMATCH));
    check(&bob().sign().with("Version", "2011-06-16"), Err(MISMATCH));
    check(&bob().sign().with("X-Amz-Expires", "61"), Err(MISMATCH));
    check(&bob().sign().and("Extra", "1"), Err(MISMATCH));
    check(&bob().sign().without("Version"), Err(MISMATCH));
    check(&bob().sign().with("X-Amz-SignedHeaders", "host"), Err(MISMATCH));
    check(&bob().sign().with("X-Amz-SignedHeaders", "host;x-absent;x-k8s-aws-id"), Err(MISMATCH));
    check(&Signed { authority: "sts-fips.us-east-1.amazonaws.com".to_owned(), ..bob().sign() }, Err(MISMATCH));
    check(&Signed { path: "/a".to_owned(), ..bob().sign() }, Err(MISMATCH));
}

#[test]
fn keys_and_session_tokens() {
    let unknown = ("InvalidClientTokenId", "is invalid");
    check(&Draft { access_key_id: "AKIANOBODY0000000000".to_owned(), ..bob() }.sign(), Err(unknown));
    let alice = Draft::new(&ALICE, "prod", at());
    check(&Draft { session_token: None, ..alice.clone() }.sign(), Err(unknown));
    check(&Draft { session_token: Some("other".to_owned()), ..alice }.sign(), Err(unknown));
    check(&Draft { session_token: Some("one too many".to_owned()), ..bob() }.sign(), Err(unknown));
}

#[test]
fn scope() {
    let wrong = |part| ("SignatureDoesNotMatch", part);
    let region = wrong("scoped to a valid region");
    check(&Draft { region: "eu-west-1".to_owned(), ..bob() }.sign(), Err(region));
    let global = Draft { host: "sts.amazonaws.com".to_owned(), region: "eu-west-1".to_owned(), ..bob() };
    check(&global.sign(), Err(region));
    check(&Draft { service: "s3".to_owned(), ..bob() }.sign(), Err(wrong("correct service: 'sts'")));
    check(&Draft { scope_date: Some("20260101".to_owned()), ..bob() }.sign(), Err(wrong("'20260101' != '20260102'")));
    let credential = |value: String| bob().sign().with("X-Amz-Credential", &value);
    let id = BOB.access_key_id;
    check(&credential(format!("{id}/20260102/us-east-1/sts/aws5")), Err(wrong("valid terminator")));
    check(&credential(format!("{id}/20260102/us-east-1/sts")), Err(("IncompleteSignature", "exactly 5")));
    check(
        &credential(format!("{id}/20260102/us-east-1/sts/aws4_request/x")),
        Err(("IncompleteSignature", "exactly 5")),
    );
}

#[test]
fn form() {
    let incomplete = |part| Err(("IncompleteSignature", part));
    check(&bob().sign().with("X-Amz-Algorithm", "AWS4-HMAC-SHA1"), incomplete("Unsupported AWS 'algorithm'"));
    check(&bob().sign().with("X-Amz-Date", "2026-01-02T03:04:05Z"), incomplete("ISO-8601"));
    check(&bob().sign().with("X-Amz-Date", "20261302T030405Z"), incomplete("ISO-8601"));
    check(&bob().sign().with("X-Amz-Expires", "604801"), incomplete("X-Amz-Expires"));
    check(&bob().sign().with("X-Amz-Expires", "+60"), incomplete("X-Amz-Expires"));
    for name in ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"] {
        check(&bob().sign().without(name), incomplete(name));
    }
    check(&bob().sign().and("action", "AssumeRole"), Err(("MalformedQueryString", "twice")));
    check(&bob().sign().and("X-Amz-Date", "20260102T030405Z"), Err(("MalformedQueryString", "twice")));
    let host = ("SignatureDoesNotMatch", "must be a 'SignedHeader'");
    check(&Draft { sign_host: false, ..bob() }.sign(), Err(host));
    let bare = Signed { pairs: vec![("Action".to_owned(), "GetCallerIdentity".to_owned())], ..bob().sign() };
    check(&bare, Err(("MissingAuthenticationToken", "missing Authentication Token")));
}

#[test]
fn the_window_is_fifteen_minutes_back_and_five_ahead() {
    #[track_caller]
    fn check(now: SystemTime, expected: Result<(), &str>) {
        let found = ask(&bob().sign(), now).map(|_| ()).map_err(|(code, words)| format!("{code}: {words}"));
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(words), Err(part)) => assert!(words.contains(part), "{words}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }
    let second = Duration::from_secs(1);
    check(at() + minutes(15), Ok(()));
    let expired = "SignatureDoesNotMatch: Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z \
                   (20260102T031906Z - 15 min.)";
    check(at() + minutes(15) + second, Err(expired));
    check(at() - minutes(5), Ok(()));
    check(at() - minutes(5) - second, Err("SignatureDoesNotMatch: Signature not yet current"));
}

#[test]
fn a_temporary_key_ends() {
    let mut keys = Keys::default();
    keys.add(Key { expires_at: Some(at()), ..ALICE.key() });
    let signed = Draft::new(&ALICE, "prod", at() - minutes(1)).sign();
    let mut headers = HeaderMap::new();
    headers.insert(CLUSTER_HEADER, HeaderValue::from_static("prod"));
    let query = signed.query();
    let wire = Wire { method: "GET", host: &signed.authority, path: "/", query: &query, headers: &headers, body: b"" };
    let parameters = Parameters::parse(&query).expect("well formed");
    let ask = |now| verify(&wire, &parameters, &keys, now).map(|key| key.id.clone());
    assert_eq!(ask(at() - Duration::from_secs(1)), Ok(ALICE.access_key_id.to_owned()));
    assert_eq!(ask(at()), Err(StsError::ExpiredToken));
}

#[test]
fn repeated_signed_headers_are_joined_and_so_do_not_match() {
    let mut headers = HeaderMap::new();
    headers.append(CLUSTER_HEADER, HeaderValue::from_static("prod"));
    headers.append(CLUSTER_HEADER, HeaderValue::from_static("prod"));
    assert_eq!(send("GET", &bob().sign(), &headers, at()).map_err(|(code, _)| code), Err("SignatureDoesNotMatch"));
    let joined = Draft::new(&BOB, "prod,prod", at()).sign();
    assert_eq!(send("GET", &joined, &headers, at()), Ok(BOB.arn.to_owned()));
}

#[test]
fn an_authorization_header_signs_too() {
    let body = b"Action=GetCallerIdentity&Version=2011-06-15";
    let host = "sts.us-east-1.amazonaws.com";
    let date = "20260102T030405Z";
    let scope = Scope { date: "20260102", region: "us-east-1", service: "sts" };
    let request = sigv4::Request {
        method: "POST",
        path: "/",
        query: "",
        headers: &[("host", host.to_owned()), ("x-amz-date", date.to_owned())],
        signed_headers: "host;x-amz-date",
        payload_hash: &sigv4::sha256_hex(body),
    };
    let signature = sigv4::sign(BOB.secret_access_key, date, scope, &request);
    let id = BOB.access_key_id;
    let good = format!(
        "AWS4-HMAC-SHA256 Credential={id}/20260102/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, \
         Signature={signature}"
    );
    let ask = |authorization: &[&str], body: &[u8], query: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", HeaderValue::from_static(date));
        for value in authorization {
            let value = HeaderValue::try_from(*value).expect("plain text");
            headers.append(HeaderName::from_static("authorization"), value);
        }
        let wire = Wire { method: "POST", host, path: "/", query, headers: &headers, body };
        let parameters = Parameters::parse(query).expect("well formed");
        verify(&wire, &parameters, &Keys::people(), at()).map(|key| key.id.clone()).map_err(|error| error.code())
    };
    assert_eq!(ask(&[&good], body, ""), Ok(id.to_owned()));
    assert_eq!(ask(&[&good], b"Action=AssumeRole&Version=2011-06-15", ""), Err("SignatureDoesNotMatch"));
    assert_eq!(ask(&[&good], body, "a=1"), Err("SignatureDoesNotMatch"));
    assert_eq!(ask(&[&good, &good], body, ""), Err("IncompleteSignature"));
    assert_eq!(ask(&[&good], body, &bob().sign().query()), Err("IncompleteSignature"));
    assert_eq!(ask(&["Basic YTpi"], body, ""), Err("IncompleteSignature"));
    assert_eq!(ask(&["AWS4-HMAC-SHA256 Credential=x"], body, ""), Err("IncompleteSignature"));
    assert_eq!(ask(&[], body, ""), Err("MissingAuthenticationToken"));
}
