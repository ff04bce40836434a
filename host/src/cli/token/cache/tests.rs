//! What is kept, whose it is, and what becomes of files that are not as they should be.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use aws_credential_types::Credentials;

use super::*;
use crate::provider::aws::credentials::{Request, Role, Session};

const NOW: u64 = 1_767_323_045;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn cluster(id: &str) -> ClusterId {
    id.parse().expect("an id")
}

fn cache(home: &Path, variables: &[(&str, &str)], request: &Request, all: bool) -> Cache {
    let mut all_variables = vec![("HOME".into(), home.into())];
    all_variables.extend(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    Cache::of(all_variables, request, all).expect("a cache")
}

fn plain(home: &Path) -> Cache {
    cache(home, &[], &Request::default(), true)
}

fn token(end: u64) -> Token {
    Token { token: BearerToken::new("k8s-aws-v1.dG9rZW4".to_owned()), expires_at: at(end) }
}

fn session(end: Option<u64>, asked: bool) -> Session {
    let credentials = Credentials::new("ASIAEXAMPLE", SECRET, Some("session/token".to_owned()), end.map(at), "test");
    Session { credentials, region: "eu-west-1".to_owned(), fips: false, dual_stack: true, asked }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| Vec::new());
    let mut names: Vec<_> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn everything_that_says_whose_a_token_is_makes_another_file() {
    type Row<'a> = (&'a [(&'a str, &'a str)], Request, &'a str);
    let home = tempfile::tempdir().expect("a folder");
    let role = |session: &str, external: &str, forward| Role {
        arn: "arn:aws:iam::123456789012:role/Deployer".parse().expect("an ARN"),
        external_id: Some(external.to_owned()),
        session_name: Some(session.to_owned()),
        forward_session_name: forward,
        source_arn: None,
    };
    let with_role = |role| Request { role: Some(role), ..Request::default() };
    let named = |profile: Option<&str>, region: Option<&str>| Request {
        profile: profile.map(str::to_owned),
        region: region.map(str::to_owned),
        ..Request::default()
    };
    let rows: Vec<Row<'_>> = vec![
        (&[], Request::default(), "a"),
        (&[], Request::default(), "b"),
        (&[], named(Some("a"), None), "a"),
        (&[], named(None, Some("a")), "a"),
        (&[], named(None, Some("eu-west-1")), "a"),
        (&[], with_role(role("s", "x", false)), "a"),
        (&[], with_role(role("s", "y", false)), "a"),
        (&[], with_role(role("t", "x", false)), "a"),
        (&[], with_role(role("s", "x", true)), "a"),
        (&[("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")], Request::default(), "a"),
        (&[("AWS_ACCESS_KEY_ID", "AKIDOTHER")], Request::default(), "a"),
        (&[("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "mended")], Request::default(), "a"),
        (&[("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("SECRET_ACCESS_KEY", "mended")], Request::default(), "a"),
        (&[("AWS_PROFILE", "a")], Request::default(), "a"),
        (&[("AWS_DEFAULT_PROFILE", "a")], Request::default(), "a"),
        (&[("AWS_REGION", "eu-west-1")], Request::default(), "a"),
        (&[("AWS_USE_FIPS_ENDPOINT", "true")], Request::default(), "a"),
        (&[("AWS_USE_DUALSTACK_ENDPOINT", "true")], Request::default(), "a"),
        (&[("AWS_ENDPOINT_URL_STS", "http://localhost")], Request::default(), "a"),
        (&[("AWS_PROFILE", "aAWS_REGIONb")], Request::default(), "a"),
        (&[("AWS_PROFILE", "a"), ("AWS_REGION", "b")], Request::default(), "a"),
    ];
    let mut files: Vec<PathBuf> = rows
        .iter()
        .map(|(variables, request, id)| cache(home.path(), variables, request, true).token_file(&cluster(id)))
        .collect();
    files.push({
        fs::create_dir(home.path().join(".aws")).expect("a folder");
        fs::write(home.path().join(".aws/config"), "[default]\nregion = eu-west-2\n").expect("a file");
        plain(home.path()).token_file(&cluster("a"))
    });
    let proof = home.path().join("token");
    for text in ["one pod", "another pod"] {
        fs::write(&proof, text).expect("a file");
        let variables = [("AWS_WEB_IDENTITY_TOKEN_FILE", proof.to_str().expect("UTF-8"))];
        files.push(cache(home.path(), &variables, &Request::default(), true).token_file(&cluster("a")));
    }
    let count = files.len();
    files.sort();
    files.dedup();
    assert_eq!(files.len(), count, "two of them share a file");
    let noise = cache(home.path(), &[("TERM", "xterm"), ("KUBERNETES_EXEC_INFO", "{}")], &Request::default(), true);
    assert_eq!(noise.token_file(&cluster("a")), plain(home.path()).token_file(&cluster("a")));
}

/// `aws sso logout` removes a file, and `aws sso login` writes another.
#[test]
fn what_came_of_a_login_goes_with_it() {
    const CONFIG: &str = "
[profile person]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Admin
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
[profile older]
sso_start_url = https://corp.awsapps.com/start
[profile onward]
role_arn = arn:aws:iam::123456789012:role/Onward
source_profile = person
[profile keys]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
[profile circle]
role_arn = arn:aws:iam::123456789012:role/Circle
source_profile = circles
[profile circles]
role_arn = arn:aws:iam::123456789012:role/Circles
source_profile = circle
";
    #[track_caller]
    fn check(profile: Option<&str>, variables: &[(&str, &str)], expected: bool) {
        let home = tempfile::tempdir().expect("a folder");
        let login = home.path().join(".aws/sso/cache/corp.json");
        fs::create_dir_all(login.parent().expect("a folder")).expect("made");
        fs::write(home.path().join(".aws/config"), CONFIG).expect("written");
        let request = Request { profile: profile.map(str::to_owned), ..Request::default() };
        let file = || cache(home.path(), variables, &request, true).session_file();
        let after = |token: &str| {
            fs::write(&login, format!(r#"{{"accessToken":"{token}"}}"#)).expect("written");
            file()
        };
        let alice = after("alice");
        fs::remove_file(&login).expect("removed");
        let nobody = file();
        assert_eq!([alice != nobody, alice != after("bob")], [expected; 2], "{profile:?} {variables:?}");
        assert_eq!(after("alice"), alice, "{profile:?} {variables:?}: as long as it lasts");
    }
    check(Some("person"), &[], true);
    check(Some("older"), &[], true);
    check(Some("onward"), &[], true);
    check(None, &[("AWS_PROFILE", "person")], true);
    check(None, &[("AWS_PROFILE", "person"), ("AWS_DEFAULT_PROFILE", "keys")], true);
    // Of those a person may have been asked for a code, and is not to be asked again.
    check(Some("keys"), &[("AWS_PROFILE", "person")], false);
    check(Some("circle"), &[], false);
    check(Some("nobody"), &[], false);
    check(None, &[], false);
}

#[test]
fn a_session_serves_all_clusters_and_regions() {
    let home = tempfile::tempdir().expect("a folder");
    let in_region = |region: &str| Request { region: Some(region.to_owned()), ..Request::default() };
    let first = cache(home.path(), &[], &in_region("eu-west-1"), true);
    first.keep(&cluster("a"), &session(Some(NOW + 3600), false), &token(NOW + 840), at(NOW));
    let second = cache(home.path(), &[], &in_region("us-east-2"), true);
    assert!(second.token(&cluster("a"), at(NOW)).is_none(), "a token is for one region");
    let found = second.session(at(NOW)).expect("the session");
    assert_eq!((found.region.as_str(), found.dual_stack), ("us-east-2", true));
    assert_eq!(found.credentials.secret_access_key(), SECRET);
    assert_eq!(found.credentials.expiry(), Some(at(NOW + 3600)));
}

#[test]
fn nothing_is_served_near_its_end() {
    #[track_caller]
    fn check(now: u64, has_token: bool, has_session: bool) {
        let home = tempfile::tempdir().expect("a folder");
        let cache = plain(home.path());
        cache.keep(&cluster("a"), &session(Some(NOW + 3600), false), &token(NOW + 840), at(NOW));
        let found = (cache.token(&cluster("a"), at(now)).is_some(), cache.session(at(now)).is_some());
        assert_eq!(found, (has_token, has_session), "{} s later", now.wrapping_sub(NOW));
    }
    check(NOW, true, true);
    check(NOW + 780, true, true);
    check(NOW + 781, false, true);
    check(NOW + 3420, false, true);
    check(NOW + 3421, false, false);
    check(NOW - 1, false, true);
}

#[test]
fn what_is_kept() {
    #[track_caller]
    fn check(all: bool, session: &Session, files: &[&str]) {
        let home = tempfile::tempdir().expect("a folder");
        cache(home.path(), &[], &Request::default(), all).keep(&cluster("a"), session, &token(NOW + 840), at(NOW));
        let folder = home.path().join(".kube/cache/herald");
        let names = names(&folder);
        let kinds: Vec<_> = names.iter().map(|name| name.split('-').next().expect("a word")).collect();
        assert_eq!(kinds, files);
        for name in names {
            let path = folder.join(&name);
            assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
            let text = fs::read_to_string(path).expect("text");
            assert_eq!(text.contains(SECRET), name.starts_with("session"), "{text}");
        }
        if !files.is_empty() {
            assert_eq!(fs::metadata(folder).expect("a folder").mode() & 0o777, 0o700);
        }
    }
    check(true, &session(Some(NOW + 3600), false), &["session", "token"]);
    check(true, &session(None, false), &["token"]);
    check(false, &session(Some(NOW + 3600), true), &["session"]);
    check(false, &session(Some(NOW + 3600), false), &[]);
}

#[test]
fn without_the_switch_only_sessions_that_took_a_code_are_served() {
    #[track_caller]
    fn check(asked: bool, expected: bool) {
        let home = tempfile::tempdir().expect("a folder");
        plain(home.path()).keep(&cluster("a"), &session(Some(NOW + 3600), asked), &token(NOW + 840), at(NOW));
        let cautious = cache(home.path(), &[], &Request::default(), false);
        assert_eq!(cautious.session(at(NOW)).is_some(), expected);
        assert!(cautious.token(&cluster("a"), at(NOW)).is_none());
    }
    check(true, true);
    check(false, false);
}

#[test]
fn a_spoilt_file_is_no_file_and_is_replaced() {
    #[track_caller]
    fn check(what: &str, spoil: impl Fn(&Path)) {
        let home = tempfile::tempdir().expect("a folder");
        let (cache, id) = (plain(home.path()), cluster("a"));
        let keep = || cache.keep(&id, &session(Some(NOW + 3600), false), &token(NOW + 840), at(NOW));
        keep();
        spoil(&cache.token_file(&id));
        spoil(&cache.session_file());
        assert!(cache.token(&id, at(NOW)).is_none() && cache.session(at(NOW)).is_none(), "{what}");
        keep();
        assert!(cache.token(&id, at(NOW)).is_some() && cache.session(at(NOW)).is_some(), "{what}: repaired");
    }
    check("empty", |path| fs::write(path, "").expect("written"));
    check("half", |path| {
        let text = fs::read(path).expect("read");
        fs::write(path, &text[..text.len() / 2]).expect("written");
    });
    check("something else", |path| fs::write(path, r#"{"token":"x","madeAt":0}"#).expect("written"));
    check("huge", |path| fs::write(path, vec![b' '; 1 << 20]).expect("written"));
    check("open to others", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o640)).expect("set"));
    check("a link", |path| {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).expect("renamed");
        symlink(aside, path).expect("linked");
    });
    check("gone", |path| fs::remove_file(path).expect("removed"));
}

#[test]
fn no_home_no_cache_and_no_failure() {
    let request = Request::default();
    assert!(Cache::of(Vec::new(), &request, true).is_none());
    assert!(Cache::of(vec![("HOME".into(), "".into())], &request, true).is_none());
    for (file, has_cache) in [("/dev/zero", false), ("/dev/null", true)] {
        let variables = vec![("HOME".into(), "/nowhere".into()), ("AWS_CONFIG_FILE".into(), file.into())];
        assert_eq!(Cache::of(variables, &request, true).is_some(), has_cache, "{file}");
    }
    // Even root cannot write below this one.
    let cache = plain(Path::new("/dev/null"));
    cache.keep(&cluster("a"), &session(Some(NOW + 3600), true), &token(NOW + 840), at(NOW));
    assert!(cache.token(&cluster("a"), at(NOW)).is_none());
}

#[test]
fn places() {
    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &str) {
        let cache = cache(Path::new("/home/bob"), variables, &Request::default(), true);
        assert_eq!(cache.folder, Path::new(expected));
    }
    let old = ("AWS_IAM_AUTHENTICATOR_CACHE_FILE", "/cache/credentials.yaml");
    check(&[], "/home/bob/.kube/cache/herald");
    check(&[old], "/cache/herald");
    check(&[old, ("HERALD_CACHE_DIR", "/mine")], "/mine");
    check(&[("HERALD_CACHE_DIR", "")], "/home/bob/.kube/cache/herald");
}

#[test]
fn old_files_go_and_others_stay() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(".kube/cache/herald");
    fs::create_dir_all(&folder).expect("a folder");
    let name = |kind: &str, digit: &str| format!("{kind}-{}.json", digit.repeat(64));
    let half = tempfile::Builder::new().prefix(".new-").tempfile_in(&folder).expect("a file");
    let half = half.path().file_name().expect("it has one").to_string_lossy().into_owned();
    let [old_token, old_session, token, session] =
        [("token", "0"), ("session", "0"), ("token", "a"), ("session", "a")].map(|(kind, digit)| name(kind, digit));
    for (name, hours) in [
        (old_token.as_str(), 2),
        (old_session.as_str(), 14),
        (half.as_str(), 2),
        ("notes.txt", 99),
        // Of other programs, where somebody has named a folder that is not ours alone.
        ("session-store.json", 99),
        ("token-of-vault", 99),
        (".new-version", 99),
        (token.as_str(), 1),
        (session.as_str(), 12),
    ] {
        fs::write(folder.join(name), "").expect("a file");
        let file = File::options().write(true).open(folder.join(name)).expect("a file");
        file.set_modified(at(NOW) - Duration::from_secs(hours * 3600)).expect("set");
    }
    sweep(&folder, at(NOW)).expect("swept");
    let left = [".new-version", "notes.txt", session.as_str(), "session-store.json", token.as_str(), "token-of-vault"];
    assert_eq!(names(&folder), left);
}

#[test]
fn readers_see_whole_files_while_many_write() {
    let home = tempfile::tempdir().expect("a folder");
    let (cache, id) = (plain(home.path()), cluster("a"));
    let keep = || cache.keep(&id, &session(Some(NOW + 3600), false), &token(NOW + 840), at(NOW));
    keep();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| keep()));
            scope.spawn(|| (0..200).for_each(|_| assert!(cache.token(&id, at(NOW)).is_some())));
        }
    });
    assert_eq!(names(&cache.folder).len(), 2, "no file is left over");
}
