//! Where `herald token` takes keys from: each source alone, and who wins when there are several.

use std::{fs, time::Duration};

use tests::{
    herald::Finished,
    metadata::{
        CONTAINER_KEY, CONTAINER_TOKEN, INSTANCE_KEY, INSTANCE_REGION, Manner, Metadata, PORTAL_KEY, PORTAL_TOKEN,
    },
    now,
    sts::{Running, keys},
    tokens::url_of,
    tools::program,
};

use crate::support::{herald_token, sts};

/// Sources, first to last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Environment,
    WebIdentity,
    Profile,
    Container,
    Instance,
}

const ORDER: [Source; 5] =
    [Source::Environment, Source::WebIdentity, Source::Profile, Source::Container, Source::Instance];
const ENVIRONMENT_KEY: &str = "AKIAENVIRONMENTEXAMP";
const PROFILE_KEY: &str = "AKIAPROFILEEXAMPLE01";
const PROCESS_KEY: &str = "AKIAPROCESSEXAMPLE01";
const WORK_KEY: &str = "AKIAWORKEXAMPLE00001";
/// Temporary keys of the dev STS.
const OF_STS: &str = "ASIA";

/// A machine with all sources at hand.
struct Machine {
    sts: Running,
    manner: Manner,
    metadata: Metadata,
    home: tempfile::TempDir,
}

impl Machine {
    async fn new(manner: Manner) -> Self {
        let metadata = Metadata::start(manner).await.expect("a metadata service");
        let machine = Self { sts: sts().await, manner, metadata, home: tempfile::tempdir().expect("a folder") };
        machine
            .write("keys", &format!("[default]\naws_access_key_id = {PROFILE_KEY}\naws_secret_access_key = secret\n"));
        machine.write("token", keys::WEB_IDENTITY);
        machine
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// The environment in which `sources` have keys, and no others.
    fn environment(&self, sources: &[Source]) -> Vec<(String, String)> {
        let mut environment = vec![
            ("HOME", self.home.path().display().to_string()),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("AWS_ENDPOINT_URL_STS", self.sts.endpoint()),
            ("AWS_CA_BUNDLE", self.sts.ca_file().display().to_string()),
            ("AWS_ENDPOINT_URL_SSO", self.metadata.url()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.metadata.url()),
        ];
        for source in sources {
            environment.extend(match source {
                Source::Environment => {
                    vec![("AWS_ACCESS_KEY_ID", ENVIRONMENT_KEY.into()), ("AWS_SECRET_ACCESS_KEY", "secret".into())]
                }
                Source::Profile => vec![("AWS_SHARED_CREDENTIALS_FILE", self.path("keys"))],
                Source::WebIdentity => {
                    vec![("AWS_ROLE_ARN", keys::POD_ROLE.into()), ("AWS_WEB_IDENTITY_TOKEN_FILE", self.path("token"))]
                }
                Source::Container => vec![
                    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", self.metadata.url())),
                    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN.into()),
                ],
                Source::Instance => vec![],
            });
        }
        if !sources.contains(&Source::Instance) {
            environment.push(("AWS_EC2_METADATA_DISABLED", "true".into()));
        }
        environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn token(&self, arguments: &[&str], sources: &[Source]) -> Finished {
        let run = async || herald_token(arguments, &self.environment(sources)).await;
        let mut finished = run().await;
        // Instance metadata has a second, of which a busy machine may need all for itself.
        for _ in 0..4 {
            if self.manner == Manner::Silent || !finished.stderr.contains("did not answer in a second") {
                break;
            }
            finished = run().await;
        }
        finished
    }

    /// How many requests went to instance metadata.
    fn asked_instance(&self) -> usize {
        self.metadata.seen().iter().filter(|path| path.is_empty() || path.starts_with("/latest/")).count()
    }
}

/// The access key in a token, and the host it is for.
#[track_caller]
fn key_and_host(finished: Finished) -> (String, String) {
    let token = finished.success().and_then(|made| made.token()).expect("a token");
    let url = url_of(&token).expect("a URL");
    let (_, behind) = url.split_once("X-Amz-Credential=").expect("a credential");
    let host = url.trim_start_matches("https://").split('/').next().expect("a host").to_owned();
    (behind.split("%2F").next().expect("a key").to_owned(), host)
}

#[tokio::test]
async fn the_first_source_that_has_keys_wins() {
    let keys = [ENVIRONMENT_KEY, OF_STS, PROFILE_KEY, CONTAINER_KEY, INSTANCE_KEY];
    for (first, expected) in keys.iter().enumerate() {
        for sources in [&ORDER[first..], &ORDER[first..=first]] {
            let machine = Machine::new(Manner::Good).await;
            let (key, host) = key_and_host(machine.token(&[], sources).await);
            assert!(key.starts_with(expected), "{sources:?}: {key}");
            let of_instance = sources[0] == Source::Instance;
            assert_eq!(machine.asked_instance() > 0, of_instance, "{sources:?}: {:?}", machine.metadata.seen());
            let of_container = machine.metadata.seen().iter().any(|path| path == "/container");
            assert_eq!(of_container, sources[0] == Source::Container);
            let actions: Vec<_> = machine.sts.sts.requests().into_iter().map(|request| request.action).collect();
            let by_token: &[&str] =
                if sources[0] == Source::WebIdentity { &["AssumeRoleWithWebIdentity"] } else { &[] };
            assert_eq!(actions, by_token, "{sources:?}");
            let region = if of_instance { INSTANCE_REGION } else { "us-east-1" };
            assert_eq!(host, format!("sts.{region}.amazonaws.com"), "{sources:?}");
        }
    }
}

#[tokio::test]
async fn instance_metadata_is_asked_only_if_it_may_be() {
    let machine = Machine::new(Manner::Good).await;
    let none = machine.token(&[], &[]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("the instance metadata service is disabled"), "{}", none.stderr);
    assert_eq!(machine.metadata.seen(), Vec::<String>::new(), "not one request");
}

#[tokio::test]
async fn instance_metadata_that_is_silent_costs_a_second() {
    let machine = Machine::new(Manner::Silent).await;
    let before = std::time::Instant::now();
    let none = machine.token(&[], &[Source::Instance]).await;
    assert!(none.stderr.contains("did not answer in a second"), "{}", none.stderr);
    assert_eq!((none.code, machine.asked_instance()), (Some(1), 1), "one attempt");
    assert!(before.elapsed() < Duration::from_secs(120), "and not for ever");
}

#[tokio::test]
async fn a_named_profile_is_the_only_source() {
    let machine = Machine::new(Manner::Good).await;
    let (key, _) = key_and_host(machine.token(&["--profile", "default"], &ORDER).await);
    assert_eq!(key, PROFILE_KEY);
    let none = machine.token(&["--profile", "nobody"], &ORDER).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("the AWS profile \"nobody\" gives no credentials"), "{}", none.stderr);
    assert_eq!(machine.metadata.seen(), Vec::<String>::new());
}

/// Keys and a web identity of the environment go before it, as with aws-iam-authenticator.
#[tokio::test]
async fn a_profile_that_a_variable_names_is_there() {
    use Source::{Container, Instance, Profile, WebIdentity};
    const PROFILES: &str = "[profile silent]\nregion = eu-west-1\n\
        [profile work]\naws_access_key_id = AKIAWORKEXAMPLE00001\naws_secret_access_key = secret\n\
        [profile lost]\nrole_arn = arn:aws:iam::123456789012:role/Lost\nsource_profile = gone\n\
        [profile half]\nsso_account_id = 123456789012\nsso_role_name = View\n";
    async fn check(variables: &[(&str, &str)], sources: &[Source], expected: Result<&str, &str>) {
        let machine = Machine::new(Manner::Good).await;
        machine.write(".aws/config", PROFILES);
        machine.write("lost", &PROFILES.replace("profile lost", "default"));
        let mut environment = machine.environment(sources);
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let finished = herald_token(&[], &environment).await;
        match expected {
            Ok(expected) => {
                let (key, _) = key_and_host(finished);
                assert!(key.starts_with(expected), "{variables:?}: {key}");
            }
            Err(expected) => {
                assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{variables:?}");
                assert!(finished.stderr.contains(expected), "{variables:?}: {}", finished.stderr);
                assert_eq!(machine.metadata.seen(), Vec::<String>::new(), "{variables:?}");
                assert!(machine.sts.sts.requests().is_empty(), "{variables:?}");
            }
        }
    }
    let behind = [WebIdentity, Profile, Container, Instance];
    check(&[("AWS_PROFILE", "gone")], &behind, Err("the AWS profile \"gone\" gives no credentials")).await;
    check(&[("AWS_DEFAULT_PROFILE", "gone")], &behind, Err("the AWS profile \"gone\" gives no credentials")).await;
    check(&[("AWS_PROFILE", "default")], &[Instance], Err("the AWS profile \"default\"")).await;
    check(&[("AWS_PROFILE", "lost")], &behind[1..], Err("`gone` was not defined")).await;
    check(&[("AWS_CONFIG_FILE", "~/lost")], &[Container, Instance], Err("`gone` was not defined")).await;
    check(&[("AWS_PROFILE", "half")], &behind[1..], Err("the AWS profile \"half\"")).await;
    check(&[("AWS_PROFILE", "gone")], &ORDER, Ok(ENVIRONMENT_KEY)).await;
    check(&[("AWS_PROFILE", "work")], &behind, Ok(OF_STS)).await;
    check(&[("AWS_PROFILE", "work")], &behind[1..], Ok(WORK_KEY)).await;
    check(&[("AWS_DEFAULT_PROFILE", "work")], &behind[1..], Ok(WORK_KEY)).await;
    check(&[("AWS_PROFILE", ""), ("AWS_DEFAULT_PROFILE", "work")], &behind[1..], Ok(WORK_KEY)).await;
    check(&[("AWS_PROFILE", ""), ("AWS_DEFAULT_PROFILE", "")], &behind[1..], Ok(PROFILE_KEY)).await;
    check(&[("AWS_PROFILE", "silent")], &behind[1..], Ok(CONTAINER_KEY)).await;
    check(&[("AWS_ROLE_ARN", ""), ("AWS_WEB_IDENTITY_TOKEN_FILE", "")], &behind[1..], Ok(PROFILE_KEY)).await;
    check(&[("AWS_ACCESS_KEY", ENVIRONMENT_KEY), ("AWS_SECRET_KEY", "s")], &behind, Ok(ENVIRONMENT_KEY)).await;
}

/// As they stay behind where lasting keys have taken the place of temporary ones.
#[tokio::test]
async fn keys_of_a_profile_without_a_value_say_nothing() {
    let machine = Machine::new(Manner::Good).await;
    let keys = format!("aws_access_key_id = {WORK_KEY}\naws_secret_access_key = secret\n");
    machine.write(".aws/config", &format!("[profile work]\n{keys}aws_session_token =\nregion =\n"));
    let finished = machine.token(&["--profile", "work"], &[]).await;
    let token = finished.success().and_then(|made| made.token()).expect("a token");
    let url = url_of(&token).expect("a URL");
    assert!(url.starts_with("https://sts.us-east-1.amazonaws.com/") && url.contains(WORK_KEY), "{url}");
    assert!(!url.contains("X-Amz-Security-Token"), "{url}");
}

#[tokio::test]
async fn a_process_that_gives_credentials() {
    let machine = Machine::new(Manner::Good).await;
    let keys = format!(r#"{{"Version":1,"AccessKeyId":"{PROCESS_KEY}","SecretAccessKey":"s"}}"#);
    program(&machine.home.path().join("give"), &format!("#!/bin/sh\necho '{keys}'\n"));
    let profile = format!("[profile work]\ncredential_process = {}\nregion = eu-west-1\n", machine.path("give"));
    machine.write(".aws/config", &profile);
    let made = key_and_host(machine.token(&["--profile", "work"], &[]).await);
    assert_eq!(made, (PROCESS_KEY.to_owned(), "sts.eu-west-1.amazonaws.com".to_owned()));
}

#[tokio::test]
async fn an_sso_session() {
    let machine = Machine::new(Manner::Good).await;
    let profile = "[profile work]\nsso_session = work\nsso_account_id = 123456789012\nsso_role_name = View\nregion = eu-west-1\n\
                   [sso-session work]\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n";
    machine.write(".aws/config", profile);
    let end = time::OffsetDateTime::from(now() + Duration::from_secs(3600)).replace_nanosecond(0).expect("a second");
    let end = end.format(&time::format_description::well_known::Rfc3339).expect("a date");
    let login = format!(r#"{{"accessToken":"{PORTAL_TOKEN}","expiresAt":"{end}","region":"eu-west-1"}}"#);
    // The name is the SHA-1 of the session's.
    machine.write(".aws/sso/cache/e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json", &login);
    let (key, _) = key_and_host(machine.token(&["--profile", "work"], &[]).await);
    assert_eq!(key, PORTAL_KEY);
    let expired = login.replace(&end, "2026-01-02T03:04:05Z");
    machine.write(".aws/sso/cache/e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json", &expired);
    let refused = machine.token(&["--profile", "work"], &[]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
}
