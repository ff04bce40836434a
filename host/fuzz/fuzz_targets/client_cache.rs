//! Files of tokens and sessions: whatever stands in them, what is served is what they say, for whom it was kept and while it is
//! good; and a file of no use is replaced.
//!
//! The first byte chooses the cloud, the text before the next NUL is the token's file, what is behind it the session's.
#![no_main]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials as AwsKeys;
use herald::{
    cli::token::cache::Cache,
    provider::{
        ClusterId, Token,
        alibaba::credentials::{Credentials, Request as AlibabaRequest},
        aws::credentials::{Request, Session},
    },
    token::BearerToken,
};
use herald_fuzz::{ALIBABA_HOST, CLUSTER, scratch};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// 2026-01-02T03:04:05Z, and seconds that a token and a session are good for.
const NOW: u64 = 1_767_323_045;
const TOKEN: u64 = 840;
const SESSION: u64 = 3600;
/// What must be left of a token and of a session.
const MARGINS: [u64; 2] = [60, 180];

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A cloud's cache, somebody else's in the same folder, and its two files.
struct Kept {
    cache: Cache,
    other: Cache,
    files: [PathBuf; 2],
    is_aws: bool,
}

/// What is served of a session: its keys, and its end.
type Served = (String, String, String, Option<SystemTime>);

static CLOUDS: LazyLock<[Kept; 2]> = LazyLock::new(|| [Kept::new(true), Kept::new(false)]);

impl Kept {
    fn new(is_aws: bool) -> Self {
        let folder = scratch().join(if is_aws { "aws" } else { "alibaba" });
        let variables = || vec![("HERALD_CACHE_DIR".into(), folder.clone().into_os_string())];
        let cache = |profile: Option<&str>| {
            let profile = profile.map(str::to_owned);
            let request = Request { profile: profile.clone(), ..Request::default() };
            let host = ALIBABA_HOST.parse().expect("a host");
            let alibaba = || AlibabaRequest { profile, ..AlibabaRequest::new(host) };
            if is_aws { Cache::of(variables(), &request, true) } else { Cache::for_alibaba(variables(), &alibaba()) }
        };
        let (cache, other) = (cache(None).expect("a folder"), cache(Some("other")).expect("a folder"));
        let mut kept = Self { cache, other, files: Default::default(), is_aws };
        kept.keep();
        let file = |kind: &str| {
            let mut entries = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
            let is = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind));
            entries.find(is).expect("it was kept")
        };
        kept.files = [file("token-"), file("session-")];
        kept
    }

    fn keep(&self) {
        let token = Token { token: BearerToken::new("kept".to_owned()), expires_at: at(NOW + TOKEN) };
        let end = Some(at(NOW + SESSION));
        if self.is_aws {
            let credentials = AwsKeys::new("ID", "SECRET", Some("SESSION".to_owned()), end, "fuzz");
            let session =
                Session { credentials, region: "eu-west-1".to_owned(), fips: false, dual_stack: false, asked: false };
            self.cache.keep(&cluster(CLUSTER), &session, &token, at(NOW));
        } else {
            let keys = Credentials { expires_at: end, ..Credentials::new("ID", "SECRET", Some("SESSION")) };
            self.cache.keep_alibaba(&cluster(CLUSTER), &keys, &token, at(NOW));
        }
    }

    fn session(&self, cache: &Cache) -> Option<Served> {
        if self.is_aws {
            let keys = cache.session(at(NOW))?.credentials;
            let token = keys.session_token().expect("it was kept").to_owned();
            return Some((keys.access_key_id().to_owned(), keys.secret_access_key().to_owned(), token, keys.expiry()));
        }
        let keys = cache.alibaba_session(at(NOW))?;
        let token = keys.security_token.expect("it was kept").expose().to_owned();
        Some((keys.access_key_id, keys.access_key_secret.expose().to_owned(), token, keys.expires_at))
    }
}

fn cluster(id: &str) -> ClusterId {
    id.parse().expect("an id")
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cloud, rest)) = bytes.split_first() else { return };
    let kept = &CLOUDS[usize::from(cloud % 2)];
    let at_nul = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let texts = [&rest[..at_nul], rest.get(at_nul + 1..).unwrap_or_default()];
    for (file, text) in kept.files.iter().zip(texts) {
        fs::write(file, text).expect("written");
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("set");
    }
    let json = texts.map(|text| serde_json::from_slice::<Value>(text).unwrap_or_default());
    let is_fresh = |of: usize| json[of]["expiresAt"].as_u64().is_some_and(|end| NOW + MARGINS[of] <= end);
    if let Some(Token { token, expires_at }) = kept.cache.token(&cluster(CLUSTER), at(NOW)) {
        assert_eq!(
            (&json[0]["token"], json[0]["expiresAt"].as_u64().map(at)),
            (&token.expose().into(), Some(expires_at))
        );
        assert!(is_fresh(0) && json[0]["madeAt"].as_u64().is_some_and(|made| made <= NOW));
    }
    if let Some((id, secret, token, end)) = kept.session(&kept.cache) {
        let names = if kept.is_aws {
            ["accessKeyId", "secretAccessKey", "sessionToken"]
        } else {
            ["accessKeyId", "accessKeySecret", "securityToken"]
        };
        assert_eq!(names.map(|name| json[1][name].as_str()), [Some(id.as_str()), Some(&secret), Some(&token)]);
        assert!(is_fresh(1) && json[1]["expiresAt"].as_u64().map(at) == end);
    }
    // Nobody else has a use for it.
    assert!(kept.cache.token(&cluster("another-cluster"), at(NOW)).is_none());
    assert!(kept.other.token(&cluster(CLUSTER), at(NOW)).is_none() && kept.session(&kept.other).is_none());

    kept.keep();
    let token = kept.cache.token(&cluster(CLUSTER), at(NOW)).expect("it was repaired");
    assert_eq!((token.token.expose(), token.expires_at), ("kept", at(NOW + TOKEN)));
    let expected = ("ID".to_owned(), "SECRET".to_owned(), "SESSION".to_owned(), Some(at(NOW + SESSION)));
    assert_eq!(kept.session(&kept.cache), Some(expected));
});
