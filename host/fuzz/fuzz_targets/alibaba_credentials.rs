//! Credentials of Alibaba Cloud, in every form that they are written or answered in: no key is empty, nothing secret is
//! printed, a program that prints credentials names no program, and what was read, written down again, is read as the same.
//!
//! The first byte chooses the form, the text before the next NUL is the file, the text behind it the profile.
#![no_main]

use std::time::SystemTime;

use herald::provider::{
    SecretText,
    alibaba::credentials::{Credentials, Environment, LoadError, Source, aliyun, answer, ini, process},
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Most roles behind each other: what the CLI's file may chain, and one of each profile's own.
const MAX_ROLES: usize = 10;

fuzz_target!(|bytes: &[u8]| {
    let Some((form, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (file, profile) = text.split_once('\0').map_or((text, None), |(file, name)| (file, Some(name)));
    match form % 7 {
        0 => found(aliyun::parse(file, profile)),
        1 => found(ini::parse(file, profile)),
        2 => found(answer::parse(file).map(Some)),
        3 => {
            let printed = process::parse(file.as_bytes());
            assert!(!matches!(printed, Ok(Source::Process(_))), "a program names a program");
            found(printed.map(Some));
        }
        4 => answered(answer::plain("fuzz", file.as_bytes()), &serde_json::from_str(file).unwrap_or_default()),
        5 => {
            let json: Value = serde_json::from_str(file).unwrap_or_default();
            answered(answer::of_sts(file.as_bytes()), &json["Credentials"]);
        }
        _ => {
            let variables: Vec<_> = file.lines().filter_map(|line| line.split_once('=')).collect();
            let source = variables.iter().copied().collect::<Environment>().source();
            if let Some(Source::Keys(keys)) = &source {
                let given = |value: &str| variables.iter().any(|(_, given)| given.trim() == value);
                assert!(given(&keys.access_key_id) && given(keys.access_key_secret.expose()));
            }
            found(Ok(source));
        }
    }
});

fn found(read: Result<Option<Source>, String>) {
    match read {
        Ok(Some(source)) => is_sound(&source, MAX_ROLES),
        Ok(None) => {}
        Err(what) => assert!(!what.is_empty()),
    }
}

fn is_sound(source: &Source, roles: usize) {
    match source {
        Source::Keys(keys) => are_sound(keys),
        Source::Assume { base, role } => {
            assert!(!role.arn.is_empty());
            is_sound(base, roles.checked_sub(1).expect("a chain has an end"));
        }
        Source::Oidc { provider_arn, token_file, role } => {
            assert!(!provider_arn.is_empty() && !role.arn.is_empty() && !token_file.as_os_str().is_empty());
        }
        Source::Uri(text) | Source::Process(text) => assert!(!text.is_empty()),
        Source::Metadata { role } => assert!(role.as_ref().is_none_or(|role| !role.is_empty())),
        Source::SignedIn(session) => {
            let keys = session.clone().at(SystemTime::UNIX_EPOCH).expect("a session has an end that is later");
            are_sound(&keys);
            let end = keys.expires_at.expect("an end");
            assert!(session.clone().at(end).is_err(), "over is over");
        }
    }
}

fn are_sound(keys: &Credentials) {
    assert!(!keys.access_key_id.is_empty() && !keys.access_key_secret.expose().is_empty());
    let hidden = |text: &str| SecretText::new(text.to_owned());
    let other = Credentials {
        access_key_secret: hidden("another"),
        security_token: keys.security_token.as_ref().map(|_| hidden("another")),
        ..keys.clone()
    };
    assert_eq!(format!("{keys:?}"), format!("{other:?}"), "nothing secret is printed");
    let (id, secret) = (&keys.access_key_id, keys.access_key_secret.expose());
    let token = keys.security_token.as_ref().map(SecretText::expose).filter(|token| !token.is_empty());
    let mode = if token.is_some() { "StsToken" } else { "AK" };
    let profile = json!({"name": "a", "mode": mode, "access_key_id": id, "access_key_secret": secret,
        "sts_token": token.unwrap_or_default()});
    same(keys, &aliyun::parse(&json!({"current": "a", "profiles": [profile]}).to_string(), None));
    same(keys, &process::parse(profile.to_string().as_bytes()).map(Some));
    let old = json!({"AcsAccessKeyId": id, "AcsAccessKeySecret": secret, "AcsAccessSecurityToken": token});
    same(keys, &answer::parse(&old.to_string()).map(Some));
    // A line holds a value that is one.
    if [id, secret, token.unwrap_or_default()].iter().all(|text| text.lines().count() < 2 && !text.contains('\n')) {
        let kind = if token.is_some() { "sts" } else { "access_key" };
        let token = token.map_or_else(String::new, |token| format!("security_token = \"{token}\"\n"));
        let text = format!("[a]\ntype={kind}\naccess_key_id = \"{id}\"\naccess_key_secret='{secret}'\n{token}[b]\n");
        same(keys, &ini::parse(&text, Some("a")));
    }
}

fn same(keys: &Credentials, read: &Result<Option<Source>, String>) {
    let Ok(Some(Source::Keys(again))) = read else { panic!("{keys:?} is {read:?}") };
    let parts = |keys: &Credentials| {
        let token = keys.security_token.as_ref().map(SecretText::expose).filter(|token| !token.is_empty());
        (keys.access_key_id.clone(), keys.access_key_secret.expose().to_owned(), token.map(str::to_owned))
    };
    assert_eq!(parts(again), parts(keys));
}

/// Out of an answer that says `Success`, or nothing about it.
fn answered(read: Result<Credentials, LoadError>, json: &Value) {
    match read {
        Ok(keys) => {
            assert!(json["Code"].is_null() || json["Code"] == "Success");
            assert_eq!(
                (&json["AccessKeyId"], &json["AccessKeySecret"]),
                (&keys.access_key_id.as_str().into(), &keys.access_key_secret.expose().into())
            );
            assert!(keys.expires_at.is_none_or(|_| json["Expiration"].is_string()));
            are_sound(&keys);
        }
        Err(error) => assert!(matches!(error, LoadError::Answer { .. })),
    }
}
