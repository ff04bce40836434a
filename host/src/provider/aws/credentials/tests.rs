//! Which region is meant, and when keys end.

use super::*;

#[test]
fn regions_by_precedence() {
    #[track_caller]
    fn check(flag: Option<&str>, variables: &[(&str, &str)], expected: Option<&str>) {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(named_region(flag, lookup).as_deref(), expected);
    }
    let both = [("AWS_DEFAULT_REGION", "eu-west-2"), ("AWS_REGION", "eu-west-1")];
    check(Some("us-east-2"), &both, Some("us-east-2"));
    check(None, &both, Some("eu-west-1"));
    check(Some(""), &both, Some("eu-west-1"));
    check(None, &both[..1], Some("eu-west-2"));
    check(None, &[("AWS_REGION", " "), ("AWS_DEFAULT_REGION", "eu-west-2")], Some("eu-west-2"));
    check(None, &[], None);
}

#[test]
fn ends_of_keys_in_the_environment() {
    #[track_caller]
    fn check(text: Option<&str>, expected: Result<Option<u64>, ()>) {
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let found = with_expiration(keys, text.map(str::to_owned));
        let seconds =
            found.map(|keys| keys.expiry().map(|end| end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()));
        assert_eq!(seconds.map_err(|_| ()), expected, "{text:?}");
    }
    check(None, Ok(None));
    check(Some(""), Ok(None));
    check(Some("2026-01-02T03:04:05Z"), Ok(Some(1_767_323_045)));
    check(Some("2026-01-02T03:04:05+00:00"), Ok(Some(1_767_323_045)));
    check(Some("tomorrow"), Err(()));
}

#[test]
fn a_wrong_profile_is_named() {
    let request = Request { profile: Some("no-such-profile".to_owned()), ..Request::default() };
    let error = load(&request, SystemTime::UNIX_EPOCH).expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "the AWS profile \"no-such-profile\" gives no credentials (~/.aws/config, ~/.aws/credentials)"
    );
}

/// Wherever this test runs: what does not need the network does not get ready for it.
#[test]
fn settings_ask_nobody() {
    let request = Request::default();
    let loader = Loader::new(&request, SystemTime::UNIX_EPOCH);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let settings = runtime.block_on(async { loader.settings(loader.named_region().await).await });
    assert!(settings.region().is_some());
    assert!(loader.http.is_unused());
}
