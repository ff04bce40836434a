//! Vectors: key, time and place give this signature and no other.

use super::*;
use crate::provider::aws::hosts::Target;

/// 2026-01-02T03:04:05Z
fn now() -> SystemTime {
    humantime::parse_rfc3339("2026-01-02T03:04:05Z").expect("a moment")
}

fn keys(session_token: Option<&str>, end: Option<SystemTime>) -> Credentials {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    Credentials::new("AKIDEXAMPLE", secret, session_token.map(str::to_owned), end, "test")
}

fn cluster() -> ClusterId {
    "test-cluster".parse().expect("an id")
}

#[test]
fn vectors() {
    #[track_caller]
    fn check(region: &str, session_token: Option<&str>, signature: &str, length: usize) {
        let target = Target::new(region, false, false).expect("an endpoint");
        let made = presign(&keys(session_token, None), &target, &cluster(), now()).expect("a token");
        assert_eq!(made.token.len(), length);
        let encoded = made.token.expose().strip_prefix(PREFIX).expect("ours");
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).expect("base64url")).expect("text");
        assert!(url.starts_with(&format!("https://{}/?Action=GetCallerIdentity&", target.host)), "{url}");
        assert!(url.ends_with(&format!("&X-Amz-Signature={signature}")), "{url}");
    }
    check("us-west-2", None, "40dd4d1ea3d907d7bbc683b9a45e5a845dc79b978be4bc2b5b31a18c324aeb38", 481);
    check(
        "us-west-2",
        Some("AQoD/EXAMPLE+token="),
        "185b7377dba6d8ee2dc6d0877f375b33ce363f645c61b82c3b51d131f4d93c0b",
        543,
    );
    check("aws-global", None, "11337eee3b75d19b90877372f0ae5847c42efa9c19a436839949919871048451", 467);
}

#[test]
fn tokens_end_with_their_credentials() {
    #[track_caller]
    fn check(credentials_end: Option<&str>, expected: Result<&str, &str>) {
        let end = credentials_end.map(|text| humantime::parse_rfc3339(text).expect("a moment"));
        let target = Target::new("us-west-2", false, false).expect("an endpoint");
        let made = presign(&keys(None, end), &target, &cluster(), now());
        let found = made.map(|made| humantime::format_rfc3339_seconds(made.expires_at).to_string());
        assert_eq!(found.map_err(|error| error.to_string()), expected.map(str::to_owned).map_err(str::to_owned));
    }
    check(None, Ok("2026-01-02T03:18:05Z"));
    check(Some("2026-01-02T04:04:05Z"), Ok("2026-01-02T03:18:05Z"));
    check(Some("2026-01-02T03:19:05Z"), Ok("2026-01-02T03:18:05Z"));
    check(Some("2026-01-02T03:10:05Z"), Ok("2026-01-02T03:09:05Z"));
    check(Some("2026-01-02T03:04:35Z"), Ok("2026-01-02T03:04:05Z"));
    let expired = "the AWS credentials expired 2026-01-02T03:04:05Z: sign in again or fetch new ones";
    check(Some("2026-01-02T03:04:05Z"), Err(expired));
}

#[test]
fn credentials_may_have_ended_before_all_times() {
    // 0001-01-01T00:00:00Z: what programs in Go write for no time.
    let end = SystemTime::UNIX_EPOCH - Duration::from_secs(62_135_596_800);
    let target = Target::new("us-west-2", false, false).expect("an endpoint");
    let error = presign(&keys(None, Some(end)), &target, &cluster(), now()).err().map(|error| error.to_string());
    let expired = "the AWS credentials expired 1970-01-01T00:00:00Z: sign in again or fetch new ones";
    assert_eq!(error.as_deref(), Some(expired));
}
