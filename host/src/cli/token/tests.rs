//! What the command line, the environment and a file together ask for.

use std::{fs, time::Duration};

use clap::Parser as _;

use super::*;
use crate::provider::alibaba::{credentials::Environment, mint::TOKEN_LIFETIME};

const ROLE: &str = "arn:aws:iam::123456789012:role/Deployer";

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    command: Command,
}

fn args(words: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(std::iter::once("token").chain(words.split_whitespace())).map(|cli| cli.command)
}

fn file(text: &str) -> ClientSection {
    Config::parse("config.yaml".as_ref(), text).expect("reads").config.client
}

#[test]
fn roles_by_precedence() {
    #[track_caller]
    fn check(words: &str, text: &str, expected: Option<(&str, Option<&str>, Option<&str>, bool)>) {
        let role = args(words).expect("good arguments").role(&file(text)).expect("good values");
        let found = role.as_ref().map(|role| {
            (role.arn.name(), role.external_id.as_deref(), role.session_name.as_deref(), role.forward_session_name)
        });
        assert_eq!(found, expected, "{words} with {text}");
    }
    let of_file = "{role: 'arn:aws:iam::123456789012:role/File', externalID: f, sessionName: at-file}";
    check("", "", None);
    check("-e x -s y", "", None);
    check(&format!("-r {ROLE}"), "", Some(("Deployer", None, None, false)));
    check("", of_file, Some(("File", Some("f"), Some("at-file"), false)));
    check("-e x", of_file, Some(("File", Some("x"), Some("at-file"), false)));
    check("-s y", of_file, Some(("File", Some("f"), Some("y"), false)));
    check("--forward-session-name", of_file, Some(("File", Some("f"), None, true)));
    check(&format!("-r {ROLE} -s y"), of_file, Some(("Deployer", Some("f"), Some("y"), false)));
    let forwards = "{defaultRole: 'arn:aws:iam::123456789012:role/File', forwardSessionName: true}";
    check("", forwards, Some(("File", None, None, true)));
    check("-s y", forwards, Some(("File", None, Some("y"), false)));
    check("--forward-session-name=false", forwards, Some(("File", None, None, false)));
    let empty = "--role= --external-id= --session-name=";
    check(empty, "", None);
    check(empty, of_file, Some(("File", Some("f"), Some("at-file"), false)));
    check(&format!("-r {ROLE} --external-id= --session-name="), "", Some(("Deployer", None, None, false)));
    check("--session-name= --forward-session-name", of_file, Some(("File", Some("f"), None, true)));
    check("", "{role: '', externalID: x}", None);
    check("", "{defaultRole: ' '}", None);
    check(&format!("-r {ROLE}"), "{externalID: '', sessionName: ''}", Some(("Deployer", None, None, false)));
    let forwards = format!("{{role: '{ROLE}', sessionName: '', forwardSessionName: true}}");
    check("", &forwards, Some(("Deployer", None, None, true)));
}

/// The names of roles of Alibaba Cloud come from the same options and keys.
#[test]
fn empty_names_are_none_on_alibaba_cloud_as_well() {
    let ram_role = "acs:ram::1234567890123456:role/Deployer";
    let command = args(&format!("-r {ram_role} --external-id= --session-name=")).expect("good arguments");
    let role = command.role_of_alibaba(&file("{externalID: '', sessionName: ''}")).expect("good values");
    assert_eq!(
        role,
        Some(alibaba::Role { arn: ram_role.to_owned(), external_id: None, session_name: None, seconds: None })
    );
    let command = args("--role=").expect("good arguments");
    assert_eq!(command.role_of_alibaba(&file("{role: ''}")).expect("good values"), None);
}

#[test]
fn empty_options_name_nothing() {
    #[track_caller]
    fn check(words: &str, text: &str, region: Option<&str>, profile: Option<&str>) {
        let config = Config { client: file(text), cluster_id: "a".parse().ok(), ..Config::default() };
        let command = args(words).expect("good arguments");
        let of_aws = command.wanted(&config).expect("good values").request;
        assert_eq!((of_aws.region.as_deref(), of_aws.profile.as_deref()), (region, profile), "{words} with {text}");
        let of_alibaba = command.wanted_of_alibaba(&config).expect("good values").request;
        assert_eq!((of_alibaba.profile.as_deref(), of_alibaba.profile_only), (profile, profile.is_some()), "{words}");
    }
    check("", "", None, None);
    check("--region= --profile=", "", None, None);
    check("--region=", "{region: eu-west-1}", Some("eu-west-1"), None);
    check("--region=", "{region: ' '}", None, None);
    check("--region eu-west-2 --profile work", "{region: eu-west-1}", Some("eu-west-2"), Some("work"));
}

#[test]
fn names_of_sessions_exclude_each_other() {
    #[track_caller]
    fn check(words: &str, expected: bool) {
        assert_eq!(args(words).expect("good arguments").names_session_twice(), expected, "{words}");
    }
    check("-s y --forward-session-name", true);
    check("-s y --forward-session-name=false", false);
    check("--session-name= --forward-session-name", false);
    check("-s y", false);
    let both = file(&format!("{{role: '{ROLE}', sessionName: night, forwardSessionName: true}}"));
    let error = args("").expect("good arguments").role(&both).expect_err("a conflict");
    assert_eq!(error.to_string(), "sessionName and forwardSessionName exclude each other");
}

#[test]
fn switches_take_a_value_as_well() {
    #[track_caller]
    fn check(words: &str, token_only: Option<bool>, cache: Option<bool>) {
        let command = args(words).expect("good arguments");
        assert_eq!((command.token_only, command.cache.on), (token_only, cache), "{words}");
    }
    check("", None, None);
    check("--token-only --cache", Some(true), Some(true));
    check("--token-only=false --cache=1", Some(false), Some(true));
    assert!(args("--cache=maybe").is_err());
}

#[test]
fn what_is_no_role_is_said() {
    for text in ["arn:aws:iam::123456789012:user/bob", "Admin"] {
        let error = args(&format!("-r {text}")).expect("a text").role(&ClientSection::default()).expect_err("no role");
        assert!(error.to_string().starts_with(&format!("role {text}")), "{error}");
    }
}

/// A program that prints credentials may ask a person first.
#[test]
fn a_token_is_dated_when_it_is_signed() {
    let home = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).expect("written");
    fs::create_dir(home.path().join(".aliyun")).expect("made");
    write("keys.json", r#"{"mode":"AK","access_key_id":"i","access_key_secret":"s"}"#);
    let command = format!("sh -c 'sleep 1; cat {}/keys.json'", home.path().display());
    let profile = format!(r#"{{"name":"default","mode":"External","process_command":"{command}"}}"#);
    write(".aliyun/config.json", &format!(r#"{{"profiles":[{profile}]}}"#));
    let cluster_id: ClusterId = "a".parse().expect("an id");
    let mut wanted = WantedOfAlibaba::new(&cluster_id, None, None).expect("good values");
    wanted.environment = Environment::from_iter([("HOME", home.path())]);
    let begun = crate::cli::now();
    let token = wanted.token().expect("a token");
    let dated = token.expires_at - TOKEN_LIFETIME;
    let after = dated.duration_since(begun).expect("later");
    assert!(after >= Duration::from_millis(900), "dated {after:?} after the command began");
}
