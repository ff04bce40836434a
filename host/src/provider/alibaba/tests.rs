//! The whole of the provider: tokens in, calls out, and their time.

use super::{credentials::Credentials, *};

fn provider() -> Alibaba {
    let settings = Settings { region: Some("cn-hangzhou".parse().expect("a region")), ..Settings::default() };
    let endpoint = settings.host().expect("an endpoint");
    let id = |text: &str| text.parse().expect("an id");
    Alibaba::new(Config {
        cluster_id: id("prod.example.com"),
        former_cluster_ids: vec![id("prod-of-2024"), id("c0123456789abcdef")],
        endpoint,
        region: settings.region,
    })
}

fn moment(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).expect("a moment")
}

#[test]
fn what_we_mint_we_accept() {
    let now = moment("2026-01-02T03:04:05Z");
    for security_token in [None, Some("CAIS+/a=b%c")] {
        let keys = Credentials::new("STS.NUexample", "secret", security_token);
        let made = mint::mint(&keys, "prod.example.com", now).expect("a token");
        let call = provider().inspect(&made.token, now).expect("accepted");
        assert_eq!(call.host, "sts-vpc.cn-hangzhou.aliyuncs.com");
        assert_eq!((call.signed_at, call.access_key_id.as_str()), (now, "STS.NUexample"));
        let sent = call.headers.iter().find(|(name, _)| name == "x-acs-security-token");
        assert_eq!(sent.map(|(_, value)| value.to_str().expect("ASCII")), security_token);
        let other = mint::mint(&keys, "staging.example.com", now).expect("a token");
        let error = provider().inspect(&other.token, now).expect_err("another cluster's");
        assert_eq!(error.reason(), "cluster_id");
    }
}

/// A cluster that has got another id takes the tokens of both, and what is asked is what was signed.
#[test]
fn tokens_for_a_former_id_are_taken() {
    let now = moment("2026-01-02T03:04:05Z");
    for (id, expected) in [
        ("prod.example.com", Ok("/?ACKClusterId=prod.example.com")),
        ("prod-of-2024", Ok("/?ACKClusterId=prod-of-2024")),
        ("c0123456789abcdef", Ok("/?ACKClusterId=c0123456789abcdef")),
        ("prod-of-202", Err("cluster_id")),
        ("prod-of-2024,c0123456789abcdef", Err("cluster_id")),
        ("PROD-OF-2024", Err("cluster_id")),
    ] {
        let made = mint::mint(&Credentials::new("LTAIEXAMPLE", "secret", None), id, now).expect("a token");
        let call = provider().inspect(&made.token, now);
        let found = call.as_ref().map(|call| call.path_and_query.expose()).map_err(VerifyError::reason);
        assert_eq!(found, expected, "{id}");
    }
}

#[test]
fn tokens_live_for_fifteen_minutes() {
    #[track_caller]
    fn check(now: &str, expected: Result<(), &str>) {
        let keys = Credentials::new("LTAIEXAMPLE", "secret", None);
        let made = mint::mint(&keys, "prod.example.com", moment("2026-01-02T03:04:05Z")).expect("a token");
        let found = provider().inspect(&made.token, moment(now));
        assert_eq!(found.map(|_| ()).map_err(|error| error.reason()), expected, "{now}");
    }
    check("2026-01-02T03:04:05Z", Ok(()));
    check("2026-01-02T03:19:04Z", Ok(()));
    check("2026-01-02T03:19:05Z", Err("expired"));
    check("2026-01-02T02:59:05Z", Ok(()));
    check("2026-01-02T02:59:04Z", Err("not_yet_valid"));
    check("2010-01-01T00:00:00Z", Err("not_yet_valid"));
}

#[test]
fn old_tokens_are_ours_to_explain() {
    let token = BearerToken::new("k8s-ack-v1.aHR0cHM6Ly9zdHMuYWxpeXVuY3MuY29tLz8".to_owned());
    assert!(provider().claims(&token));
    let error = provider().inspect(&token, SystemTime::UNIX_EPOCH).expect_err("old");
    assert_eq!(error.reason(), "token_v1");
    assert!(error.to_string().contains("make k8s-ack-v2. tokens, with herald token"), "{error}");
}

#[test]
fn nothing_secret_is_printed() {
    let keys = Credentials::new("LTAIEXAMPLE", "secretsecret", Some("tokentoken"));
    let shown = format!("{keys:?}");
    assert!(shown.contains("LTAIEXAMPLE") && !shown.contains("secretsecret") && !shown.contains("tokentoken"));
    let now = moment("2026-01-02T03:04:05Z");
    let made = mint::mint(&keys, "prod.example.com", now).expect("a token");
    let call = provider().inspect(&made.token, now).expect("accepted");
    assert!(!format!("{call:?} {:?}", call.headers).contains("tokentoken"));
}
