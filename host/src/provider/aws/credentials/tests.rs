//! Which region, profile and keys are meant, and when keys end.

use super::{environment::*, *};

/// The variables of a table's row.
fn among(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn regions_and_profiles_by_precedence() {
    #[track_caller]
    fn check(names: &[&str], option: Option<&str>, variables: &[(&str, &str)], expected: Option<&str>) {
        assert_eq!(first(option, names, among(variables)).as_deref(), expected);
    }
    let both = [("AWS_DEFAULT_REGION", "eu-west-2"), ("AWS_REGION", "eu-west-1")];
    check(&REGION, Some("us-east-2"), &both, Some("us-east-2"));
    check(&REGION, None, &both, Some("eu-west-1"));
    check(&REGION, Some(""), &both, Some("eu-west-1"));
    check(&REGION, Some(" us-east-2\n"), &both, Some("us-east-2"));
    check(&REGION, None, &both[..1], Some("eu-west-2"));
    check(&REGION, None, &[("AWS_REGION", " "), ("AWS_DEFAULT_REGION", "eu-west-2")], Some("eu-west-2"));
    check(&REGION, None, &[], None);
    let both = [("AWS_DEFAULT_PROFILE", "old"), ("AWS_PROFILE", "work")];
    check(&PROFILE, Some("home"), &both, Some("home"));
    check(&PROFILE, None, &both, Some("work"));
    check(&PROFILE, None, &both[..1], Some("old"));
    check(&PROFILE, None, &[("AWS_PROFILE", ""), ("AWS_DEFAULT_PROFILE", "old")], Some("old"));
    check(&PROFILE, None, &[("AWS_PROFILE", ""), ("AWS_DEFAULT_PROFILE", "")], None);
}

#[test]
fn keys_in_the_environment() {
    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: Option<(&str, &str, Option<&str>)>) {
        let found = keys(among(variables));
        let found = found.as_ref().map(|keys| (keys.access_key_id(), keys.secret_access_key(), keys.session_token()));
        assert_eq!(found, expected, "{variables:?}");
    }
    check(&[("AWS_ACCESS_KEY_ID", "i"), ("AWS_SECRET_ACCESS_KEY", "s")], Some(("i", "s", None)));
    let session = [("AWS_ACCESS_KEY_ID", "i"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "t")];
    check(&session, Some(("i", "s", Some("t"))));
    check(&[("AWS_ACCESS_KEY", "i"), ("AWS_SECRET_KEY", "s")], Some(("i", "s", None)));
    check(&[("AWS_ACCESS_KEY_ID", "i"), ("SECRET_ACCESS_KEY", "s")], Some(("i", "s", None)));
    check(&[("AWS_ACCESS_KEY", "old"), ("AWS_ACCESS_KEY_ID", "i"), ("AWS_SECRET_KEY", "s")], Some(("i", "s", None)));
    check(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "s")], None);
    check(&[("AWS_ACCESS_KEY_ID", "i")], None);
}

#[test]
fn ends_of_keys_in_the_environment() {
    #[track_caller]
    fn check(text: Option<&str>, expected: Result<Option<u64>, ()>) {
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let found = with_expiration(keys, |_| text.map(str::to_owned));
        let seconds =
            found.map(|keys| keys.expiry().map(|end| end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()));
        assert_eq!(seconds.map_err(|_| ()), expected, "{text:?}");
    }
    check(None, Ok(None));
    check(Some(""), Ok(None));
    check(Some("2026-01-02T03:04:05Z"), Ok(Some(1_767_323_045)));
    check(Some("2026-01-02T03:04:05+00:00"), Ok(Some(1_767_323_045)));
    check(Some("2026-01-02T04:04:05+01:00"), Ok(Some(1_767_323_045)));
    check(Some("2026-01-01T19:04:05-08:00"), Ok(Some(1_767_323_045)));
    check(Some("tomorrow"), Err(()));
}

/// Sources of whoever goes over from temporary keys to lasting ones.
#[test]
fn an_empty_session_token_is_none() {
    #[track_caller]
    fn check(session_token: Option<&str>, expected: Option<&str>) {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        let keys = Credentials::builder().access_key_id("i").secret_access_key("s").account_id("123456789012");
        let mut keys = keys.expiry(end).provider_name("test");
        keys.set_session_token(session_token.map(str::to_owned));
        let found = without_empty_token(keys.build());
        assert_eq!(found.session_token(), expected);
        assert_eq!((found.access_key_id(), found.secret_access_key(), found.expiry()), ("i", "s", Some(end)));
        assert_eq!(found.account_id().map(|id| id.as_str()), Some("123456789012"));
    }
    check(None, None);
    check(Some(""), None);
    check(Some("t"), Some("t"));
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

/// A `credential_process` is the only part of a load that no other limit ends.
#[test]
fn a_program_without_end_is_ended_with_its_load() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!("sleep 1000 & echo $$ $! > {}/ids; wait", folder.path().display());
        let child = tokio::process::Command::new("sh").args(["-c", &script]).spawn().expect("a shell");
        let begun = async {
            loop {
                let ids = std::fs::read_to_string(folder.path().join("ids")).unwrap_or_default();
                if ids.split_whitespace().count() == 2 {
                    break ids;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ids = timeout(Duration::from_secs(60), begun).await.expect("the shell has begun");
        let load = pin!(child.wait_with_output());
        assert!(in_time(Duration::from_millis(50), load).await.is_none());
        for id in ids.split_whitespace() {
            let ended = async {
                while std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(60), ended).await.expect("it is ended");
        }
        let quick = pin!(std::future::ready(1));
        assert_eq!(in_time(Duration::from_secs(10), quick).await, Some(1));
    });
}
