//! Where credentials are found, and which of two places counts.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
    time::Duration,
};

use super::*;

/// What is found, in words.
fn words(source: &Source) -> String {
    let role = |role: &Role| {
        let more = [role.session_name.as_deref(), role.external_id.as_deref()];
        more.into_iter().flatten().fold(role.arn.clone(), |text, word| format!("{text} {word}"))
    };
    match source {
        Source::Keys(keys) => {
            let token = keys.security_token.as_ref().map_or(String::new(), |token| format!(" {}", token.expose()));
            format!("{} {}{token}", keys.access_key_id, keys.access_key_secret.expose())
        }
        Source::Assume { base, role: assumed } => format!("{} as {}", words(base), role(assumed)),
        Source::Oidc { provider_arn, token_file, role: assumed } => {
            format!("oidc {provider_arn} {} as {}", token_file.display(), role(assumed))
        }
        Source::Uri(uri) => format!("uri {uri}"),
        Source::Metadata { role } => format!("metadata {}", role.as_deref().unwrap_or("any")),
        Source::Process(command) => format!("process {command}"),
        Source::SignedIn(Session { keys, profile }) => {
            let end = keys.expires_at.map_or_else(String::new, |end| format!(" to {}", humantime::format_rfc3339(end)));
            format!("{profile}: {}{end}", words(&Source::Keys(keys.clone())))
        }
    }
}

fn request() -> Request {
    Request::new("sts.aliyuncs.com".parse().expect("a host"))
}

/// What `variables` and `files` in the home give.
#[track_caller]
fn check(request: &Request, variables: &[(&str, &str)], files: &[(&str, &str)], expected: Result<&str, &str>) {
    let home = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    let folder = home.path().to_str().expect("UTF-8");
    let home_is = [("HOME", folder)];
    let variables = variables.iter().chain(&home_is).copied();
    let found = find(request, &Environment::from_iter(variables));
    let found = found.map(|source| words(&source)).map_err(|error| error.to_string().replace(folder, "~"));
    assert_eq!(found.as_deref().map_err(String::as_str), expected, "{files:?}");
}

const CONFIG: &str = ".aliyun/config.json";
const INI: &str = ".alibabacloud/credentials";
const ACS: &str = ".acs/credentials";
const ROLE: &str = "acs:ram::1234567890123456:role/Deployer";

#[test]
fn variables() {
    #[track_caller]
    fn by(variables: &[(&str, &str)], expected: &str) {
        check(&request(), variables, &[], Ok(expected));
    }
    for prefix in ["ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_", ""] {
        let [id, secret, token] =
            ["ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN"].map(|name| format!("{prefix}{name}"));
        by(&[(&id, "i"), (&secret, "s")], "i s");
        by(&[(&id, "i"), (&secret, "s"), (&token, "t")], "i s t");
    }
    by(&[("ALICLOUD_ACCESS_KEY", "i"), ("ALICLOUD_SECRET_KEY", "s"), ("ALICLOUD_ACCESS_KEY_STS_TOKEN", "t")], "i s t");
    by(&[("ALIBABA_CLOUD_ACCESS_KEY_ID", ""), ("ACCESS_KEY_ID", "i"), ("ACCESS_KEY_SECRET", "s")], "i s");
    by(&[("ALIBABA_CLOUD_ACCESS_KEY_ID", " \n"), ("ACCESS_KEY_ID", "i\r\n"), ("ACCESS_KEY_SECRET", " s\n")], "i s");
    let keys = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "i"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s")];
    by(&[&keys[..], &[("ALIBABA_CLOUD_SECURITY_TOKEN", "\n")]].concat(), "i s");
    let role = [("ALIBABA_CLOUD_ROLE_ARN", ROLE), ("ALICLOUD_ROLE_SESSION_NAME", "n")];
    let assumed = format!("i s as {ROLE} n");
    by(&[&keys[..], &role].concat(), &assumed);
    let token = [("ALIBABA_CLOUD_SECURITY_TOKEN", "t")];
    by(&[&keys[..], &role, &token].concat(), "i s t");
    let oidc = [("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "p"), ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/f")];
    by(&[&oidc[..], &role].concat(), &format!("oidc p /f as {ROLE} n"));
    by(&[("ALIBABA_CLOUD_CREDENTIALS_URI", "http://127.0.0.1/c")], "uri http://127.0.0.1/c");
    by(&[("ALIBABA_CLOUD_ECS_METADATA", "node")], "metadata node");
}

#[test]
fn profiles() {
    #[track_caller]
    fn by(profile: &str, expected: Result<&str, &str>) {
        let file = format!(
            r#"{{"current":"now","profiles":[{{"name":"now",{profile}}},{{"name":"keys","mode":"AK","access_key_id":"i","access_key_secret":"s"}}],"meta_path":""}}"#
        );
        check(&request(), &[], &[(CONFIG, &file)], expected);
    }
    let keys = r#""access_key_id":"i","access_key_secret":"s""#;
    let role = format!(r#""ram_role_arn":"{ROLE}","ram_session_name":"n""#);
    by(&format!(r#""mode":"AK",{keys},"region_id":"cn-hangzhou""#), Ok("i s"));
    by(&format!(r#""mode":"StsToken",{keys},"sts_token":"t""#), Ok("i s t"));
    by(&format!(r#""mode":"RamRoleArn",{keys},{role},"external_id":"x""#), Ok(&format!("i s as {ROLE} n x")));
    by(r#""mode":"EcsRamRole","ram_role_name":"node""#, Ok("metadata node"));
    by(r#""mode":"EcsRamRole""#, Ok("metadata any"));
    by(
        &format!(r#""mode":"RamRoleArnWithRoleName","ram_role_name":"node",{role}"#),
        Ok(&format!("metadata node as {ROLE} n")),
    );
    by(&format!(r#""mode":"ChainableRamRoleArn","source_profile":"keys",{role}"#), Ok(&format!("i s as {ROLE} n")));
    by(r#""mode":"External","process_command":"get keys""#, Ok("process get keys"));
    by(r#""mode":"CredentialsURI","credentials_uri":"http://127.0.0.1/""#, Ok("uri http://127.0.0.1/"));
    by(
        &format!(r#""mode":"OIDC","oidc_provider_arn":"p","oidc_token_file":"/f",{role}"#),
        Ok(&format!("oidc p /f as {ROLE} n")),
    );
    let session = format!(r#"{keys},"sts_token":"t""#);
    for mode in ["CloudSSO", "OAuth"] {
        let signed_in = format!(r#""mode":"{mode}",{session},"sts_expiration":1767323045"#);
        by(&signed_in, Ok("now: i s t to 2026-01-02T03:04:05Z"));
        let never = format!(
            "~/.aliyun/config.json: has a profile of mode {mode} without a session: run `aliyun configure --profile now`"
        );
        by(&format!(r#""mode":"{mode}""#), Err(&never));
        by(&format!(r#""mode":"{mode}",{session}"#), Err(&never));
        let half = format!("~/.aliyun/config.json: has a profile of mode {mode} without sts_token");
        by(&format!(r#""mode":"{mode}",{keys},"sts_expiration":1767323045"#), Err(&half));
    }
    by(r#""mode":"StsToken""#, Err("~/.aliyun/config.json: has a profile of mode StsToken without sts_token"));
    by(
        r#""mode":"RsaKeyPair""#,
        Err(
            "~/.aliyun/config.json: has a profile of mode \"RsaKeyPair\": known are AK, StsToken, RamRoleArn, EcsRamRole, \
             RamRoleArnWithRoleName, ChainableRamRoleArn, OIDC, CloudSSO, OAuth, External and CredentialsURI; for others \
             take External, with a program that prints a profile of mode StsToken as JSON",
        ),
    );
    by(r#""mode":"AK""#, Err("~/.aliyun/config.json: has a profile without access_key_id or access_key_secret"));
    by(&format!(r#""mode":"RamRoleArn",{keys}"#), Err("~/.aliyun/config.json: has a profile without ram_role_arn"));
    by(
        &format!(r#""mode":"ChainableRamRoleArn","source_profile":"now",{role}"#),
        Err("~/.aliyun/config.json: has profiles that refer to each other in a circle"),
    );
    by(
        &format!(r#""mode":"ChainableRamRoleArn","source_profile":"gone",{role}"#),
        Err("~/.aliyun/config.json: has no profile \"gone\""),
    );
    check(&request(), &[], &[(CONFIG, "{")], Err("~/.aliyun/config.json: is not JSON (line 1, column 1)"));
    let named = Request { profile: Some("gone".to_owned()), ..request() };
    check(&named, &[], &[(CONFIG, "{}")], Err("~/.aliyun/config.json: has no profile \"gone\""));
    by(
        r#""mode":"""#,
        Err("~/.aliyun/config.json: its profile \"now\" is not set up: run `aliyun configure --profile now`"),
    );
}

/// As with Alibaba Cloud's CLI, `default` is the one of a file that names none.
#[test]
fn the_current_profile_is_there_or_missed() {
    #[track_caller]
    fn by(file: (&str, &str), expected: Result<&str, &str>) {
        check(&request(), &[], &[file], expected);
    }
    let keys = r#""mode":"AK","access_key_id":"i","access_key_secret":"s""#;
    let profile = |current: &str, name: &str| format!(r#"{{{current}"profiles":[{{"name":"{name}",{keys}}}]}}"#);
    by((CONFIG, &profile("", "default")), Ok("i s"));
    let missed = |name: &str| {
        format!(
            "~/.aliyun/config.json: its current profile {name:?} is not there: choose one with `aliyun configure switch \
             --profile NAME` or ALIBABA_CLOUD_PROFILE"
        )
    };
    by((CONFIG, &profile("", "prod")), Err(&missed("default")));
    by((CONFIG, &profile(r#""current":"","#, "default")), Err(&missed("")));
    by((CONFIG, &profile(r#""current":"gone","#, "default")), Err(&missed("gone")));
    let section = "~/.alibabacloud/credentials: has no section [default]: choose another with ALIBABA_CLOUD_PROFILE";
    by((INI, "[prod]\naccess_key_id=i\naccess_key_secret=s\n"), Err(section));
    let none = LoadError::NotFound.to_string();
    for empty in [(CONFIG, "{}"), (CONFIG, r#"{"current":"default","profiles":[]}"#), (INI, "# nothing\n"), (INI, "")] {
        by(empty, Err(&none));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.json");
    fs::write(&file, "{}").expect("written");
    let by_file = Request { profile_file: Some(file.clone()), ..request() };
    check(&by_file, &[], &[], Err(&format!("{}: has no profiles", file.display())));
}

/// Only the CLI can renew what it keeps of a person who signed in.
#[test]
fn a_session_that_is_over_is_told_with_what_renews_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.json");
    let text = r#"{"current":"sso","profiles":[{"name":"sso","mode":"CloudSSO","access_key_id":"i",
        "access_key_secret":"s","sts_token":"t","sts_expiration":1767323045}]}"#;
    fs::write(&file, text).expect("written");
    let by_file = Request { profile_file: Some(file), ..request() };
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let load = |seconds| load(&by_file, &Environment::default(), at(seconds));
    let found = load(1_767_323_044).expect("in time");
    assert_eq!((found.access_key_id.as_str(), found.expires_at), ("i", Some(at(1_767_323_045))));
    let over = load(1_767_323_045).expect_err("over").to_string();
    let expected =
        "the session of profile \"sso\" has ended: run `aliyun sts GetCallerIdentity --profile sso`, which renews it";
    assert_eq!(over, expected);
}

/// In the file `sts_expiration` is about people who signed in, and an old one stays behind where a profile becomes one of keys.
/// A program says it of what it prints.
#[test]
fn keys_of_a_profile_end_when_sts_says_so_and_those_of_a_program_when_it_does() {
    #[track_caller]
    fn end(read: Result<Option<Source>, String>) -> Option<SystemTime> {
        match read {
            Ok(Some(Source::Keys(keys))) => keys.expires_at,
            other => panic!("{other:?}"),
        }
    }
    let profile = r#"{"name":"default","mode":"StsToken","access_key_id":"i","access_key_secret":"s","sts_token":"t",
        "sts_expiration":1}"#;
    assert_eq!(end(aliyun::parse(&format!(r#"{{"profiles":[{profile}]}}"#), None)), None);
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    assert_eq!(end(process::parse(profile.as_bytes()).map(Some)), Some(second));
}

#[test]
fn sections() {
    #[track_caller]
    fn by(section: &str, expected: Result<&str, &str>) {
        let file = format!("# a comment\n[other]\ntype = sts\n\n[default]\n{section}\n[last]\n");
        check(&request(), &[], &[(INI, &file)], expected);
    }
    by("type = access_key\naccess_key_id = i\naccess_key_secret = s#;[x]", Ok("i s#;[x]"));
    by("access_key_id=\"i\"\naccess_key_secret='s=s'", Ok("i s=s"));
    by("type=sts\naccess_key_id=i\naccess_key_secret=s\nsts_token=t", Ok("i s t"));
    by("type=sts\naccess_key_id=i\naccess_key_secret=s\nsecurity_token=t", Ok("i s t"));
    let role = format!("type=ram_role_arn\naccess_key_id=i\naccess_key_secret=s\nrole_arn={ROLE}\nrole_session_name=n");
    by(&role, Ok(&format!("i s as {ROLE} n")));
    by("type=ecs_ram_role\nrole_name=node", Ok("metadata node"));
    by("type=credentials_uri\ncredentials_uri=http://127.0.0.1/", Ok("uri http://127.0.0.1/"));
    by("type=external\nprocess_command=get keys", Ok("process get keys"));
    by(
        "type=rsa_key_pair",
        Err("~/.alibabacloud/credentials: has a section of type \"rsa_key_pair\": known are access_key, sts, \
             ram_role_arn, ecs_ram_role, credentials_uri and external; for others take external, with a program that \
             prints a profile of mode StsToken as JSON"),
    );
    let file = [(INI, "[prod]\naccess_key_id=i\naccess_key_secret=s\n")];
    check(&request(), &[("ALIBABA_CLOUD_PROFILE", "prod")], &file, Ok("i s"));
    let elsewhere = [("ALIBABA_CLOUD_CREDENTIALS_FILE", "/nowhere/at/all")];
    let missing = "/nowhere/at/all: ALIBABA_CLOUD_CREDENTIALS_FILE names it, and it is not there";
    check(&request(), &elsewhere, &[], Err(missing));
    check(&request(), &elsewhere, &[(INI, "[default]\naccess_key_id=i\naccess_key_secret=s\n")], Ok("i s"));
    let nothing = [("ALIBABA_CLOUD_CREDENTIALS_FILE", "/dev/null")];
    check(&request(), &nothing, &[], Err(&LoadError::NotFound.to_string()));
}

#[test]
fn the_oldest_file() {
    let check_acs = |text: &str, expected| check(&request(), &[], &[(ACS, text)], expected);
    check_acs(r#"{"AcsAccessKeyId": "i", "AcsAccessKeySecret": "s"}"#, Ok("i s"));
    check_acs(r#"{"AcsAccessKeyId": "i", "AcsAccessKeySecret": "s", "AcsAccessSecurityToken": "t"}"#, Ok("i s t"));
    let bad = "~/.acs/credentials: is not of the shape it should have (line 1, column 23)";
    check_acs(r#"{"AcsAccessKeyId": "i"}"#, Err(bad));
    let empty = r#"{"AcsAccessKeyId": "", "AcsAccessKeySecret": "s"}"#;
    check_acs(empty, Err("~/.acs/credentials: AcsAccessKeyId or AcsAccessKeySecret is empty"));
}

#[test]
fn the_first_place_counts_and_a_broken_file_does_not_hide_the_next() {
    let config =
        r#"{"current":"a","profiles":[{"name":"a","mode":"AK","access_key_id":"of-config","access_key_secret":"s"}]}"#;
    let ini = "[default]\naccess_key_id=of-ini\naccess_key_secret=s\n";
    let acs = r#"{"AcsAccessKeyId": "of-acs", "AcsAccessKeySecret": "s"}"#;
    let all = [(CONFIG, config), (INI, ini), (ACS, acs)];
    let keys = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "of-variables"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s")];
    check(&request(), &keys, &all, Ok("of-variables s"));
    check(&request(), &[], &all, Ok("of-config s"));
    check(&Request { ignore_environment: true, ..request() }, &keys, &all, Ok("of-config s"));
    let named = |name: &str| Request { profile: Some(name.to_owned()), ..request() };
    let only = |name: &str| Request { profile_only: true, ..named(name) };
    check(&named("a"), &keys, &all, Ok("of-variables s"));
    check(&only("a"), &keys, &all, Ok("of-config s"));
    check(&only("default"), &keys, &all, Ok("of-ini s"));
    let metadata = [("ALIBABA_CLOUD_ECS_METADATA", "node")];
    check(&only("gone"), &[&keys[..], &metadata].concat(), &all, Err("~/.aliyun/config.json: has no profile \"gone\""));
    check(&Request { ignore_aliyun_cli: true, ..request() }, &[], &all, Ok("of-ini s"));
    check(&request(), &[], &all[1..], Ok("of-ini s"));
    check(&request(), &[], &all[2..], Ok("of-acs s"));
    check(&request(), &[], &[(CONFIG, "{"), (INI, ini)], Ok("of-ini s"));
    check(&Request { metadata_only: true, ..request() }, &keys, &all, Ok("metadata any"));
}

#[test]
fn the_file_that_a_variable_names_is_the_end_of_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("credentials");
    fs::write(&file, "[default]\naccess_key_id=of-variable\naccess_key_secret=s\n").expect("written");
    let config =
        r#"{"current":"a","profiles":[{"name":"a","mode":"AK","access_key_id":"of-config","access_key_secret":"s"}]}"#;
    let ini = "[default]\naccess_key_id=of-ini\naccess_key_secret=s\n";
    let files = [(CONFIG, config), (INI, ini)];
    let named = [("ALIBABA_CLOUD_CREDENTIALS_FILE", file.to_str().expect("UTF-8"))];
    let keys = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "of-keys"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s")];
    check(&request(), &named, &files, Ok("of-variable s"));
    check(&request(), &[&keys[..], &named].concat(), &files, Ok("of-keys s"));
    let aside = Request { ignore_environment: true, ..request() };
    check(&aside, &named, &files, Ok("of-config s"));
    check(&aside, &named, &files[1..], Ok("of-ini s"));
    let only = |name: &str| Request { profile: Some(name.to_owned()), profile_only: true, ..request() };
    check(&only("a"), &named, &files, Ok("of-config s"));
    check(&only("default"), &named, &files, Ok("of-variable s"));
}

#[test]
fn a_file_without_profiles_has_none_that_is_named() {
    let acs = [(ACS, r#"{"AcsAccessKeyId": "of-acs", "AcsAccessKeySecret": "s"}"#)];
    let none = LoadError::NoProfile { profile: "typo".to_owned() }.to_string();
    check(&request(), &[], &acs, Ok("of-acs s"));
    check(&request(), &[("ALIBABA_CLOUD_PROFILE", "typo")], &acs, Err(&none));
    check(&Request { profile: Some("typo".to_owned()), ..request() }, &[], &acs, Err(&none));
    let files = [(INI, "[default]\naccess_key_id=of-ini\naccess_key_secret=s\n"), acs[0]];
    let missing = Err("~/.alibabacloud/credentials: has no section [typo]");
    check(&request(), &[("ALIBABA_CLOUD_PROFILE", "typo")], &files, missing);
}

#[test]
fn no_error_repeats_what_a_file_holds() {
    let secret = "secretSECRETsecret";
    for text in [format!(r#"{{"profiles":"{secret}"}}"#), format!(r#"{{"profiles":[{{"mode":["{secret}"]}}]}}"#)] {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(home.path().join(".aliyun")).expect("a folder");
        fs::write(home.path().join(CONFIG), &text).expect("written");
        let environment = Environment::from_iter([("HOME", home.path())]);
        let error = find(&request(), &environment).expect_err("broken");
        assert!(!error.to_string().contains(secret) && !format!("{error:?}").contains(secret), "{error:?}");
    }
}

/// A program may take its time, as one does that asks a person: what it prints is judged, and used, when it is there.
#[test]
fn time_goes_on_while_a_program_runs() {
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    let home = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).expect("written");
    fs::create_dir(home.path().join(".aliyun")).expect("a folder");
    write(
        "keys",
        r#"{"name":"a","mode":"CloudSSO","access_key_id":"i","access_key_secret":"s","sts_token":"t","sts_expiration":1767323045}"#,
    );
    let command = format!("sh -c 'sleep 1; cat {}/keys'", home.path().display());
    let profile = format!(r#"{{"name":"default","mode":"External","process_command":"{command}"}}"#);
    write(CONFIG, &format!(r#"{{"profiles":[{profile}]}}"#));
    let found = |before| load(&request(), &Environment::from_iter([("HOME", home.path())]), end - before);
    assert!(matches!(found(Duration::from_secs(1)), Err(LoadError::SignedOut { .. })), "it has ended meanwhile");
    assert!(found(Duration::from_secs(3600)).is_ok());
}

/// One answer of a service, and what was asked for it.
fn answer_once(service: &TcpListener, status: &str, body: &str) -> Vec<String> {
    let (mut socket, _) = service.accept().expect("a connection");
    let head = BufReader::new(&socket).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let length = body.len();
    write!(socket, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").expect("sent");
    head
}

/// As with ack-ram-tool: what stands in for metadata may know no tokens.
#[test]
fn metadata_that_gives_no_token_is_asked_without_one() {
    const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"i","AccessKeySecret":"s","SecurityToken":"t"}"#;
    for (status, token) in [("403 Forbidden", None), ("404 Not Found", None), ("200 OK", Some("token"))] {
        let service = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = service.local_addr().expect("an address").to_string();
        let answers =
            thread::spawn(move || [answer_once(&service, status, "token\n"), answer_once(&service, "200 OK", KEYS)]);
        let variables = [("ALIBABA_CLOUD_ECS_METADATA", "node"), ("ALIBABA_CLOUD_IMDS_ENDPOINT", address.as_str())];
        let found = load(&request(), &Environment::from_iter(variables), SystemTime::UNIX_EPOCH).expect("credentials");
        assert_eq!(words(&Source::Keys(found)), "i s t", "{status}");
        let [put, get] = answers.join().expect("two answers");
        assert_eq!(put[0], "PUT /latest/api/token HTTP/1.1");
        let shown = get.iter().find_map(|line| line.strip_prefix("x-aliyun-ecs-metadata-token: "));
        assert_eq!(shown, token, "{status}: {get:?}");
    }
}

#[test]
fn metadata_of_the_first_version_is_chosen_in_every_spelling() {
    for (value, second) in [
        ("", true),
        ("false", true),
        ("0", true),
        ("no", true),
        ("true", false),
        ("True", false),
        ("1", false),
        ("t", false),
    ] {
        let environment = Environment::from_iter([("ALIBABA_CLOUD_IMDSV2_DISABLED", value)]);
        assert_eq!(environment.metadata_v2(), second, "{value}");
    }
}
