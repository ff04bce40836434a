//! What a token may say: one row a check, and properties of everything that is accepted.

use proptest::prelude::*;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;
use crate::provider::VerifyError;

const DATE: &str = "20260102T030405Z";
const SIGNATURE: &str = "40dd4d1ea3d907d7bbc683b9a45e5a845dc79b978be4bc2b5b31a18c324aeb38";

/// The parameters of a good request, in the order in which they are sent.
fn good() -> Vec<(&'static str, String)> {
    vec![
        ("Action", "GetCallerIdentity".to_owned()),
        ("Version", "2011-06-15".to_owned()),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request".to_owned()),
        ("X-Amz-Date", DATE.to_owned()),
        ("X-Amz-Expires", "60".to_owned()),
        ("X-Amz-Security-Token", "AQoD%2FEXAMPLE%2Btoken%3D".to_owned()),
        ("X-Amz-SignedHeaders", "host%3Bx-k8s-aws-id".to_owned()),
        ("X-Amz-Signature", SIGNATURE.to_owned()),
    ]
}

fn query(parameters: &[(&str, String)]) -> String {
    parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn good_url() -> String {
    format!("https://sts.us-west-2.amazonaws.com/?{}", query(&good()))
}

fn token(url: &str) -> BearerToken {
    BearerToken::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url)))
}

/// What would be sent for a token: host, path and query.
fn sent(token: &BearerToken) -> Result<(String, String), InvalidToken> {
    let hosts = Hosts::default();
    let mut url = decode(token)?;
    let presigned = Presigned::parse(&mut url, &hosts)?;
    Ok((presigned.endpoint.host.to_owned(), presigned.path_and_query()))
}

#[track_caller]
fn check(url: &str, expected: Result<(), &str>) {
    let found = sent(&token(url)).map(|_| ()).map_err(|invalid| invalid.reason());
    assert_eq!(found, expected, "{url}");
}

/// Replaces the value of one parameter of a good request.
#[track_caller]
fn check_value(name: &str, value: &str, expected: Result<(), &str>) {
    let mut parameters = good();
    let slot = parameters.iter_mut().find(|(found, _)| *found == name).expect("a parameter");
    slot.1 = value.to_owned();
    let url = format!("https://sts.us-west-2.amazonaws.com/?{}", query(&parameters));
    check(&url, expected);
    // What is wrong with a value says whose, and never the value.
    if let Err(invalid) = sent(&token(&url)) {
        let text = invalid.to_string();
        assert!(text.contains(name) && (value.len() < 20 || !text.contains(value)), "{text}");
    }
}

#[test]
fn envelopes() {
    #[track_caller]
    fn check(token: String, expected: Result<(), &str>) {
        let found = sent(&BearerToken::new(token)).map(|_| ()).map_err(|invalid| invalid.reason());
        assert_eq!(found, expected);
    }
    let encoded = URL_SAFE_NO_PAD.encode(good_url());
    check(format!("k8s-aws-v1.{encoded}"), Ok(()));
    check(format!("K8S-AWS-V1.{encoded}"), Err("token_prefix"));
    check(format!("k8s-aws-v2.{encoded}"), Err("token_prefix"));
    check(encoded.clone(), Err("token_prefix"));
    check(format!("k8s-aws-v1.{encoded}="), Err("token_base64"));
    check(format!("k8s-aws-v1.{encoded}\n"), Err("token_base64"));
    check(format!("k8s-aws-v1.{}\r\n{}", &encoded[..8], &encoded[8..]), Err("token_base64"));
    check("k8s-aws-v1.a+/b".to_owned(), Err("token_base64"));
    check("k8s-aws-v1.aGk".to_owned(), Err("url_scheme"));
    check("k8s-aws-v1.aGl".to_owned(), Err("token_base64"));
    check("k8s-aws-v1.".to_owned(), Err("url_scheme"));
    check(format!("k8s-aws-v1.{}", "a".repeat(MAX_TOKEN_BYTES - PREFIX.len())), Err("token_base64"));
    check(format!("k8s-aws-v1.{}", "a".repeat(MAX_TOKEN_BYTES - PREFIX.len() + 1)), Err("token_too_long"));
}

#[test]
fn urls() {
    let query = query(&good());
    let host = "sts.us-west-2.amazonaws.com";
    check(&format!("https://{host}/?{query}"), Ok(()));
    for (url, label) in [
        (format!("http://{host}/?{query}"), "url_scheme"),
        (format!("HTTPS://{host}/?{query}"), "url_scheme"),
        (format!("//{host}/?{query}"), "url_scheme"),
        (format!("https://user@{host}/?{query}"), "url_userinfo"),
        (format!("https://user:password@{host}/?{query}"), "url_userinfo"),
        (format!("https://{host}@evil.example/?{query}"), "url_userinfo"),
        (format!("https://{host}:443/?{query}"), "url_port"),
        (format!("https://[::1]/?{query}"), "url_port"),
        (format!("https://{host}/?{query}#x"), "url_fragment"),
        (format!("https://evil.example#{host}/?{query}"), "url_fragment"),
        (format!("https://evil.example\\{host}/?{query}"), "url_backslash"),
        (format!("https://{host}/?{query}\t"), "url_character"),
        (format!("https://{host}\n/?{query}"), "url_character"),
        (format!("https://{host} /?{query}"), "url_character"),
        (format!("https://{host}/?{query}\u{0}"), "url_character"),
        (format!("https://sts.us-wеst-2.amazonaws.com/?{query}"), "url_character"),
        (format!("https://{host}./?{query}"), "host_unknown"),
        (format!("https://%73ts.us-west-2.amazonaws.com/?{query}"), "host_unknown"),
        (format!("https:///?{query}"), "host_unknown"),
        (format!("https://STS.us-west-2.amazonaws.com/?{query}"), "host_unknown"),
        (format!("https://{host}.evil.example/?{query}"), "host_unknown"),
        (format!("https://169.254.169.254/?{query}"), "host_unknown"),
        (format!("https://sts.eu-mars-9.amazonaws.com/?{query}"), "host_region"),
        (format!("https://sts.cn-north-1.amazonaws.com.cn/?{query}"), "host_partition"),
        (format!("https://sts.us-gov-west-1.amazonaws.com/?{query}"), "host_partition"),
        (format!("https://{host}?{query}"), "url_path"),
        (format!("https://{host}//?{query}"), "url_path"),
        (format!("https://{host}/%2F?{query}"), "url_path"),
        (format!("https://{host}/./?{query}"), "url_path"),
        (format!("https://{host}/{query}"), "url_path"),
        (format!("https://{host}"), "url_path"),
        (format!("https://{host}/"), "query_missing"),
        (format!("https://{host}/?"), "query_missing"),
        (format!("https://{host}/?&{query}"), "query_syntax"),
        (format!("https://{host}/?{query}&"), "query_syntax"),
        (format!("https://{host}/?{query}&Action"), "query_syntax"),
        (format!("https://{host}/?{query}&=x"), "parameter_unknown"),
        (format!("https://{host}/?{query}&RoleArn=x"), "parameter_unknown"),
        (format!("https://{host}/?{query}&X%2DAmz-Date={DATE}"), "parameter_unknown"),
        (format!("https://{host}/?{query};x=y"), "query_character"),
        (format!("https://{host}/??{query}"), "parameter_unknown"),
    ] {
        check(&url, Err(label));
    }
}

#[test]
fn values() {
    for (name, value, label) in [
        ("Action", "getcalleridentity", "action"),
        ("Action", "AssumeRole", "action"),
        ("Action", "", "action"),
        ("Version", "1999-01-01", "version"),
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", "algorithm"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE", "credential_syntax"),
        (
            "X-Amz-Credential",
            "AKIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request%2F",
            "credential_syntax",
        ),
        ("X-Amz-Credential", "%2F20260102%2Fus-west-2%2Fsts%2Faws4_request", "access_key_id"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EX%2F20260102%2Fus-west-2%2Fsts%2Faws4_request", "access_key_id"),
        ("X-Amz-Credential", "akiaiosfodnn7example%2F20260102%2Fus-west-2%2Fsts%2Faws4_request", "access_key_id"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE%2F20260103%2Fus-west-2%2Fsts%2Faws4_request", "credential_date"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE%2F20260102%2Fus-east-1%2Fsts%2Faws4_request", "credential_region"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fiam%2Faws4_request", "credential_service"),
        (
            "X-Amz-Credential",
            "AKIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws5_request",
            "credential_terminator",
        ),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20260102/us-west-2/sts/aws4_request", "query_character"),
        ("X-Amz-Date", "", "date"),
        ("X-Amz-Date", "20260102T030405", "date"),
        ("X-Amz-Date", "20260102t030405z", "date"),
        ("X-Amz-Date", "20261302T030405Z", "date"),
        ("X-Amz-Date", "20260230T030405Z", "date"),
        ("X-Amz-Date", "20260102T240000Z", "date"),
        ("X-Amz-Date", "20260102T030460Z", "date"),
        ("X-Amz-Date", "2026-01-02T03:04", "query_character"),
        ("X-Amz-Date", "%2B0260102T030405Z", "date"),
        ("X-Amz-Expires", "", "expires"),
        ("X-Amz-Expires", "060", "expires"),
        ("X-Amz-Expires", "00", "expires"),
        ("X-Amz-Expires", "%2B60", "expires"),
        ("X-Amz-Expires", "-1", "expires"),
        ("X-Amz-Expires", "60.0", "expires"),
        ("X-Amz-Expires", "0x3c", "expires"),
        ("X-Amz-Expires", "901", "expires_range"),
        ("X-Amz-Expires", "65536", "expires_range"),
        ("X-Amz-Expires", "99999999999999999999", "expires_range"),
        ("X-Amz-Security-Token", "", "security_token_empty"),
        ("X-Amz-Security-Token", "a%20b", "query_decoded"),
        ("X-Amz-Security-Token", "a%0Ab", "query_decoded"),
        ("X-Amz-Security-Token", "a%00b", "query_decoded"),
        ("X-Amz-Security-Token", "a%C3%A9b", "query_decoded"),
        ("X-Amz-Security-Token", "a+b", "query_character"),
        ("X-Amz-Security-Token", "a=b", "query_character"),
        ("X-Amz-Security-Token", "a%2", "query_escape"),
        ("X-Amz-Security-Token", "a%", "query_escape"),
        ("X-Amz-Security-Token", "a%2gb", "query_escape"),
        ("X-Amz-Security-Token", "a%+1b", "query_escape"),
        ("X-Amz-SignedHeaders", "host", "signed_headers_cluster_id"),
        ("X-Amz-SignedHeaders", "", "signed_headers_cluster_id"),
        ("X-Amz-SignedHeaders", "host%3BX-K8s-Aws-Id", "signed_headers_cluster_id"),
        ("X-Amz-SignedHeaders", "host%3Bx-k8s-aws-ids", "signed_headers_cluster_id"),
        ("X-Amz-SignedHeaders", "x-k8s-aws-id", "signed_headers_host"),
        ("X-Amz-SignedHeaders", "x-k8s-aws-id%3Bhost", "signed_headers_other"),
        ("X-Amz-SignedHeaders", "accept%3Bhost%3Bx-k8s-aws-id", "signed_headers_other"),
        ("X-Amz-SignedHeaders", "host%3Bhost%3Bx-k8s-aws-id", "signed_headers_other"),
        ("X-Amz-Signature", "", "signature_length"),
        ("X-Amz-Signature", &SIGNATURE[1..], "signature_length"),
        ("X-Amz-Signature", &SIGNATURE.to_uppercase(), "signature_characters"),
    ] {
        check_value(name, value, Err(label));
    }
}

#[test]
fn values_of_real_clients() {
    for expires in ["0", "1", "60", "900"] {
        check_value("X-Amz-Expires", expires, Ok(()));
    }
    check_value("X-Amz-SignedHeaders", "host%3bx-k8s-aws-id", Ok(()));
    check_value("Action", "%47etCallerIdentity", Ok(()));
    let long_token = "IQoJb3JpZ2luX2VjE~._-".repeat(200);
    check_value("X-Amz-Security-Token", &long_token, Ok(()));
    let global = good_url().replace("sts.us-west-2.amazonaws.com", "sts.amazonaws.com");
    check(&global, Err("credential_region"));
    check(&global.replace("%2Fus-west-2%2F", "%2Fus-east-1%2F"), Ok(()));
}

#[test]
fn each_parameter_is_needed_once() {
    for (index, parameter) in TokenParameter::ALL.into_iter().enumerate() {
        assert_eq!(good()[index].0, parameter.name(), "the rows are in the order in which they are sent");
        let mut without = good();
        without.remove(index);
        let url = format!("https://sts.us-west-2.amazonaws.com/?{}", query(&without));
        let expected = if parameter == TokenParameter::SecurityToken { Ok(()) } else { Err(parameter.missing_label()) };
        check(&url, expected);
    }
}

#[test]
fn no_parameter_comes_twice_in_any_case() {
    for (index, parameter) in TokenParameter::ALL.into_iter().enumerate() {
        let (name, value) = &good()[index];
        for twin in [(*name).to_owned(), name.to_lowercase(), name.to_uppercase()] {
            for other_value in [value.as_str(), "x"] {
                for place in 0..=good().len() {
                    let mut parameters = good();
                    parameters.insert(place, (&twin, other_value.to_owned()));
                    let url = format!("https://sts.us-west-2.amazonaws.com/?{}", query(&parameters));
                    check(&url, Err(parameter.duplicate_label()));
                }
            }
        }
    }
}

#[test]
fn order_and_case_of_names_change_nothing() {
    let expected = sent(&token(&good_url())).expect("good");
    assert_eq!(expected.1, good_url()["https://sts.us-west-2.amazonaws.com".len()..]);
    let mut parameters: Vec<_> = good();
    parameters.reverse();
    let reversed = format!("https://sts.us-west-2.amazonaws.com/?{}", query(&parameters));
    assert_eq!(sent(&token(&reversed)), Ok(expected.clone()));
    let lower: Vec<_> = good().into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let lower: Vec<_> = lower.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(sent(&token(&format!("https://sts.us-west-2.amazonaws.com/?{}", query(&lower)))), Ok(expected));
}

/// STS verifies the signature over everything that a token can change. So whatever one changed byte does,
/// what is sent differs from the original in one signed value, or not at all.
#[test]
fn one_changed_byte_is_refused_or_changes_one_signed_value() {
    let url = good_url();
    let original = sent(&token(&url)).expect("good");
    let fields = |query: &str| query.split('&').map(str::to_owned).collect::<Vec<_>>();
    let mut accepted = 0;
    for place in 0..url.len() {
        for byte in (0..=255_u8).filter(|byte| *byte != url.as_bytes()[place]) {
            let mut changed = url.clone().into_bytes();
            changed[place] = byte;
            let encoded = BearerToken::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(changed)));
            let Ok(found) = sent(&encoded) else { continue };
            accepted += 1;
            let (before, after) = (fields(&original.1), fields(&found.1));
            assert_eq!(before.len(), after.len());
            let changes: Vec<_> = before.iter().zip(&after).filter(|(one, other)| one != other).collect();
            let changes = changes.len() + usize::from(original.0 != found.0);
            assert!(changes <= 1, "byte {place} to {byte}: {changes} changes");
            assert!(
                found.1.starts_with("/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&")
            );
            assert!(found.1.contains("&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&"));
        }
    }
    assert!(accepted > 0, "some changes are to values");
}

#[test]
fn errors_hold_nothing_of_the_token() {
    let secret = "Th1sIsSecret";
    for url in [
        format!("https://{secret}.example/?x"),
        format!("https://sts.us-west-2.amazonaws.com/?{secret}={secret}"),
        good_url().replace(SIGNATURE, secret),
        good_url().replace("AKIAIOSFODNN7EXAMPLE", secret),
        good_url().replace("20260102T030405Z", secret),
    ] {
        let error = VerifyError::from(sent(&token(&url)).expect_err("bad"));
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(!format!("{error} {error:?} {source}").contains(secret), "{error}");
    }
}

proptest! {
    /// What is written for an accepted token is itself accepted, and written the same.
    #[test]
    fn writing_is_a_fixed_point(
        key in "[A-Z0-9]{16,128}",
        expires in 0..=900_u16,
        session in proptest::option::of("[!-~]{1,1500}"),
        signature in "[0-9a-f]{64}",
    ) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut parameters = good();
        parameters[3].1 = encode(&format!("{key}/20260102/us-west-2/sts/aws4_request"));
        parameters[5].1 = expires.to_string();
        parameters[8].1 = signature;
        match &session {
            Some(text) => parameters[6].1 = encode(text),
            None => drop(parameters.remove(6)),
        }
        let (host, first) = sent(&token(&format!("https://sts.us-west-2.amazonaws.com/?{}", query(&parameters)))).expect("good");
        let again = sent(&token(&format!("https://{host}{first}")));
        prop_assert_eq!(again, Ok((host, first)));
    }

    /// Encoding is that of the library, for any text.
    #[test]
    fn encoding(text in ".{0,80}") {
        const LEFT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
        let mut found = String::new();
        push_encoded(&mut found, &text);
        prop_assert_eq!(found, utf8_percent_encode(&text, LEFT).to_string());
    }

    /// No bytes at all make it panic.
    #[test]
    fn any_bytes(url in proptest::collection::vec(any::<u8>(), 0..600), junk in ".{0,200}") {
        let _ = sent(&BearerToken::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url))));
        let _ = sent(&BearerToken::new(format!("{PREFIX}{junk}")));
    }
}
