//! The whole of the provider: tokens in, calls out, and their time.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

/// Made by `aws eks get-token` in September 2022 and printed in an article.
const OLD_TOKEN: &str = "k8s-aws-v1.aHR0cHM6Ly9zdHMuZXUtd2VzdC0xLmFtYXpvbmF3cy5jb20vP0FjdGlvbj1HZXRDYWxsZXJJZGVudGl0eSZWZXJzaW9uPTIwMTEtMDYtMTUmWC1BbXotQWxnb3JpdGhtPUFXUzQtSE1BQy1TSEEyNTYmWC1BbXotQ3JlZGVudGlhbD1BS0lBWUZNUVNOU0U1SDVaVEpERSUyRjIwMjIwOTE0JTJGZXUtd2VzdC0xJTJGc3RzJTJGYXdzNF9yZXF1ZXN0JlgtQW16LURhdGU9MjAyMjA5MTRUMjI1MDU1WiZYLUFtei1FeHBpcmVzPTYwJlgtQW16LVNpZ25lZEhlYWRlcnM9aG9zdCUzQngtazhzLWF3cy1pZCZYLUFtei1TaWduYXR1cmU9MDU5ZjQwNzEzNTY0OGYwNjdlMWZjOThjZjhhYmY3YjdkMmIzNDgxMjE1ZWEzNGE1NTI4YzcyODczMmU1YjJkYw";

fn provider() -> Aws {
    let cluster_id = "test-cluster".parse().expect("an id");
    Aws::new(Config { cluster_id, partition: Partition::Aws, hosts: Vec::new() })
}

fn moment(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).expect("a moment")
}

#[test]
fn an_old_token_is_expired_and_nothing_else() {
    let token = BearerToken::new(OLD_TOKEN.to_owned());
    let error = provider().inspect(&token, moment("2026-11-23T00:00:00Z")).expect_err("old");
    assert_eq!(error.reason(), "expired");
    assert_eq!(error.to_string(), "the token has expired: it was signed 2022-09-14T22:50:55Z");
    let call = provider().inspect(&token, moment("2022-09-14T22:51:00Z")).expect("it was good then");
    assert_eq!((call.host.as_str(), call.region.as_str()), ("sts.eu-west-1.amazonaws.com", "eu-west-1"));
    assert_eq!(call.access_key_id, "AKIAYFMQSNSE5H5ZTJDE");
}

#[test]
fn tokens_live_for_fifteen_minutes() {
    #[track_caller]
    fn check(now: &str, expected: Result<(), &str>) {
        let token = BearerToken::new(OLD_TOKEN.to_owned());
        let found = provider().inspect(&token, moment(now));
        assert_eq!(found.map(|_| ()).map_err(|error| error.reason()), expected, "{now}");
    }
    check("2022-09-14T22:50:55Z", Ok(()));
    check("2022-09-14T23:05:54Z", Ok(()));
    check("2022-09-14T23:05:55Z", Err("expired"));
    check("2022-09-14T23:05:56Z", Err("expired"));
    check("2022-09-14T22:45:55Z", Ok(()));
    check("2022-09-14T22:45:54Z", Err("not_yet_valid"));
    check("2010-01-01T00:00:00Z", Err("not_yet_valid"));
}

#[test]
fn a_call_is_written_from_what_we_know() {
    let token = BearerToken::new(OLD_TOKEN.to_owned());
    let call = provider().inspect(&token, moment("2022-09-14T22:51:00Z")).expect("good then");
    assert_eq!(call.method, http::Method::GET);
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, [("x-k8s-aws-id", "test-cluster"), ("accept", "application/json")]);
    let url = URL_SAFE_NO_PAD.decode(&OLD_TOKEN[PREFIX.len()..]).expect("base64url");
    let url = String::from_utf8(url).expect("text");
    assert_eq!(format!("https://{}{}", call.host, call.path_and_query.expose()), url, "its signer wrote our order");
    assert_eq!(call.signed_at, moment("2022-09-14T22:50:55Z"));
    assert_eq!(call.expires_at, moment("2022-09-14T23:05:55Z"));
}

#[test]
fn what_we_presign_we_accept() {
    let now = moment("2026-01-02T03:04:05Z");
    for (region, fips, dual_stack, session_token) in [
        ("us-west-2", false, false, None),
        ("us-west-2", true, false, Some("AQoD/EXAMPLE+token=")),
        ("eu-west-1", false, true, Some("a~b-c_d.e f")),
        ("aws-global", false, false, None),
    ] {
        let session_token = session_token.map(|text| text.replace(' ', "%"));
        let keys =
            aws_credential_types::Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", session_token, None, "test");
        let target = hosts::Target::new(region, fips, dual_stack).expect("an endpoint");
        let made = presign::presign(&keys, &target, &"c".parse().unwrap(), now).expect("a token");
        let call = provider().inspect(&made.token, now).expect("accepted");
        assert_eq!(call.host, target.host);
        let url = URL_SAFE_NO_PAD.decode(&made.token.expose()[PREFIX.len()..]).expect("base64url");
        assert_eq!(format!("https://{}{}", call.host, call.path_and_query.expose()).as_bytes(), url);
    }
}

#[test]
fn the_global_endpoint_has_no_region() {
    let now = moment("2026-01-02T03:04:05Z");
    let keys = aws_credential_types::Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "test");
    let target = hosts::Target::new("aws-global", false, false).expect("an endpoint");
    let made = presign::presign(&keys, &target, &"c".parse().unwrap(), now).expect("a token");
    assert_eq!(provider().inspect(&made.token, now).expect("accepted").region, "");
}
