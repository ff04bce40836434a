//! Tokens with every defect, and what is said of each.

use serde_json::{Value, json};

use super::*;

/// A key and a date as existing clients use them; the signature's form is all that counts here.
const AUTHORIZATION: &str = "ACS3-HMAC-SHA256 Credential=LTAI5tDUMMYexample01,SignedHeaders=x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-version,Signature=057d6c070ee206aca5cca3dd8d545de7c4e752678abb9867eca20161f67483c7";
const LIST: &str = "x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-version";

fn good() -> Value {
    json!({
        "clusterId": "unsigned",
        "method": "POST",
        "path": "/",
        "query": {"ACKClusterId": "prod"},
        "headers": {
            "Authorization": AUTHORIZATION,
            "user-agent": "ack-ram-tool/unknown (linux/amd64)",
            "x-acs-action": "GetCallerIdentity",
            "x-acs-content-sha256": acs3::EMPTY_BODY,
            "x-acs-date": "2026-11-22T12:36:20Z",
            "x-acs-version": "2015-04-01",
        },
    })
}

fn token(json: &str) -> BearerToken {
    BearerToken::new(format!("{PREFIX}{}", STANDARD.encode(json)))
}

fn read(token: &BearerToken) -> Result<StsCall, InvalidToken> {
    let (cluster_id, endpoint): (ClusterId, Host) =
        ("prod".parse().expect("an id"), "sts-vpc.cn-hangzhou.aliyuncs.com".parse().expect("a host"));
    let json = decode(token)?;
    let parts = Parts::parse(&json)?;
    let cluster_id = cluster(&parts, std::iter::once(&cluster_id))?;
    Ok(Signed::parse(&parts, &endpoint)?.into_call(cluster_id, &endpoint, "cn-hangzhou"))
}

#[track_caller]
fn check_text(json: &str, expected: Result<(), &str>) {
    let found = read(&token(json)).map(|_| ()).map_err(|error| error.reason());
    assert_eq!(found, expected, "{json}");
}

/// What becomes of a good token with `change` made to it.
#[track_caller]
fn check(change: impl FnOnce(&mut Value), expected: Result<(), &str>) {
    let mut json = good();
    change(&mut json);
    check_text(&json.to_string(), expected);
}

/// What becomes of a good token whose header `name` is `value`.
#[track_caller]
fn header_is(name: &str, value: &str, expected: Result<(), &str>) {
    check(|json| json["headers"][name] = value.into(), expected);
}

/// What becomes of a good token that signs `list`, with `more` headers.
#[track_caller]
fn signs(list: &str, more: &[(&str, &str)], expected: Result<(), &str>) {
    check(
        |json| {
            json["headers"]["Authorization"] = AUTHORIZATION.replace(LIST, list).into();
            more.iter().for_each(|(name, value)| json["headers"][*name] = (*value).into());
        },
        expected,
    );
}

fn without(place: &'static str, name: &'static str) -> impl FnOnce(&mut Value) {
    move |json| drop(json[place].as_object_mut().expect("an object").remove(name))
}

#[test]
fn a_good_token_is_the_request_that_was_signed() {
    let call = read(&token(&good().to_string())).expect("good");
    assert_eq!((call.host.as_str(), call.region.as_str()), ("sts-vpc.cn-hangzhou.aliyuncs.com", "cn-hangzhou"));
    assert_eq!((call.method, call.path_and_query.expose()), (Method::POST, "/?ACKClusterId=prod"));
    assert_eq!(call.access_key_id, "LTAI5tDUMMYexample01");
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let expected = [
        ("authorization", AUTHORIZATION),
        ("accept", "application/json"),
        ("x-acs-action", "GetCallerIdentity"),
        ("x-acs-content-sha256", acs3::EMPTY_BODY),
        ("x-acs-date", "2026-11-22T12:36:20Z"),
        ("x-acs-version", "2015-04-01"),
    ];
    assert_eq!(headers, expected);
    assert_eq!(humantime::format_rfc3339_seconds(call.expires_at).to_string(), "2026-11-22T12:51:20Z");
}

#[test]
fn prefixes_and_encodings() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(
            read(&BearerToken::new(text.to_owned())).map(|_| ()).map_err(|e| e.reason()),
            Err(expected),
            "{text}"
        );
    }
    let encoded = STANDARD.encode(good().to_string());
    check("k8s-ack-v1.aHR0cHM6Ly9zdHMuYWxpeXVuY3MuY29t", "token_v1");
    check("K8S-ACK-V2.e30=", "token_prefix");
    check(&format!("{PREFIX}{}", "A".repeat(MAX_TOKEN_BYTES)), "token_too_long");
    check("k8s-ack-v2.e30", "token_base64");
    check("k8s-ack-v2.e30==", "token_base64");
    // The same bytes in another spelling: bits of the last letter that say nothing.
    check("k8s-ack-v2.e31=", "token_base64");
    check(&format!("{PREFIX}{encoded} "), "token_base64");
    check("k8s-ack-v2.e30=\n", "token_base64");
    check(&format!("{PREFIX} {encoded}"), "token_base64");
    check(&format!("{PREFIX}{}", encoded.replace('A', "-")), "token_base64");
    check(&format!("{PREFIX}{PREFIX}{encoded}"), "token_base64");
    check(&format!("{PREFIX}{}", STANDARD.encode(format!("{PREFIX}{}", good()))), "token_json");
    check("k8s-ack-v2.", "token_json");
}

#[test]
fn members() {
    for text in
        ["", "[]", "null", "1", "\"x\"", "{", "{}x", "{} {}", "\u{feff}{}", "{\"query\":1e999}", "{\"a\":\"\\ud800\"}"]
    {
        check_text(text, Err("token_json"));
    }
    // Deeper than any stack of ours goes.
    for (open, close, expected) in [("[", "]", "member_type"), (r#"{"a":"#, "}", "token_json")] {
        let deep = format!(r#"{{"query":{}1{}}}"#, open.repeat(1000), close.repeat(1000));
        check_text(&deep, Err(expected));
    }
    check_text("{}", Err("member_missing"));
    check(|json| drop(json.as_object_mut().unwrap().remove("headers")), Err("member_missing"));
    check(|json| drop(json.as_object_mut().unwrap().remove("query")), Err("member_missing"));
    for name in ["clusterId", "method", "path"] {
        check(|json| drop(json.as_object_mut().unwrap().remove(name)), Ok(()));
        check(|json| json[name] = json!({"a": "b"}), Err("member_type"));
        check(|json| json[name] = json!(1), Err("member_type"));
    }
    check(|json| json["clusterId"] = "prod-2".into(), Ok(()));
    check(|json| json["method"] = "GET".into(), Err("target"));
    check(|json| json["path"] = "/x".into(), Err("target"));
    check(|json| json["query"] = json!(["ACKClusterId", "prod"]), Err("member_type"));
    check(|json| json["headers"] = json!("x"), Err("member_type"));
    check(|json| json["QUERY"] = json["query"].clone(), Err("member_unknown"));
    check(|json| json["host"] = "sts.evil.example".into(), Err("member_unknown"));
    let text = good().to_string();
    check_text(&text.replacen('{', r#"{"query":{"ACKClusterId":"prod"},"#, 1), Err("member_twice"));
    check_text(&text.replacen('{', r#"{"headers":{},"#, 1), Err("member_twice"));
    check_text(&text.replacen('{', r#"{"\u0071uery":{"ACKClusterId":"prod"},"#, 1), Err("member_twice"));
    check_text(&text.replacen('{', r#"{"method":"POST","#, 1), Err("member_twice"));
}

#[test]
fn the_cluster_id_is_the_signed_one() {
    check(|json| json["query"]["ACKClusterId"] = "staging".into(), Err("cluster_id"));
    check(|json| json["query"]["ACKClusterId"] = "prod ".into(), Err("cluster_id"));
    check(|json| json["query"]["ACKClusterId"] = "PROD".into(), Err("cluster_id"));
    check(|json| json["query"]["ACKClusterId"] = "".into(), Err("cluster_id"));
    // Editing what is not signed helps nobody into another cluster.
    check(
        |json| {
            json["query"]["ACKClusterId"] = "staging".into();
            json["clusterId"] = "prod".into();
        },
        Err("cluster_id"),
    );
    check(|json| json["query"]["ACKClusterId"] = json!({"a": "prod"}), Err("member_type"));
    check(|json| json["query"]["ACKClusterId"] = json!(1), Err("member_type"));
    check(without("query", "ACKClusterId"), Err("cluster_id_missing"));
    check(|json| json["query"]["ackclusterid"] = "prod".into(), Err("parameter_unknown"));
    check(|json| json["query"]["Action"] = "AssumeRole".into(), Err("parameter_unknown"));
    let text = good().to_string();
    check_text(&text.replace(r#"{"ACK"#, r#"{"ACKClusterId":"staging","ACK"#), Err("cluster_id_twice"));
}

#[test]
fn headers() {
    for name in ["Authorization", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-version"] {
        check(without("headers", name), Err("header_missing"));
        check(|json| json["headers"][name] = json!({"a": "b"}), Err("member_type"));
        check(|json| json["headers"][name] = json!(["a"]), Err("member_type"));
        header_is(name, "", Err("header_value"));
        header_is(name, "a\r\nx: y", Err("header_value"));
        header_is(name, " a", Err("header_value"));
        header_is(name, "a\u{e9}", Err("header_value"));
        let upper = name.to_ascii_uppercase();
        check(|json| json["headers"][upper.as_str()] = json["headers"][name].clone(), Err("header_twice"));
    }
    check(without("headers", "user-agent"), Ok(()));
    header_is("accept", "application/json", Ok(()));
    header_is("x-forwarded-for", "1.2.3.4", Err("header_unknown"));
    header_is("x-acs-content-sm3", "a", Err("header_unknown"));
    header_is("host", "sts-vpc.cn-hangzhou.aliyuncs.com", Err("header_unsigned"));
    header_is("x-acs-signature-nonce", "n", Err("header_unsigned"));
    header_is("x-acs-security-token", "t", Err("header_unsigned"));
    header_is("x-acs-action", "AssumeRole", Err("action"));
    header_is("x-acs-action", "getcalleridentity", Err("action"));
    header_is("x-acs-version", "2011-06-15", Err("version"));
    header_is("x-acs-content-sha256", &acs3::EMPTY_BODY.replace('e', "E"), Err("content_hash"));
    // A letter that folds to s, but is none.
    header_is("x-ac\u{17f}-action", "GetCallerIdentity", Err("header_unknown"));
    header_is("x_acs_action", "GetCallerIdentity", Err("header_unknown"));
    header_is("x-acs-action ", "GetCallerIdentity", Err("header_unknown"));
    header_is("", "GetCallerIdentity", Err("header_unknown"));
    check_text(
        &good().to_string().replace(r#""x-acs-action""#, r#""x\u002dacs-action":"AssumeRole","x-acs-action""#),
        Err("header_twice"),
    );
    header_is("user-agent", &"a".repeat(4000), Ok(()));
    header_is("user-agent", "a\tb", Err("header_value"));
    header_is("user-agent", "a\u{0}b", Err("header_value"));
    header_is("x-acs-date", "20261122T123620Z", Err("date"));
    header_is("x-acs-date", "2026-11-22T12:36:20.0Z", Err("date"));
}

#[test]
fn authorizations() {
    let is = |from: &str, to: &str, expected| {
        let changed = AUTHORIZATION.replace(from, to);
        assert_ne!(changed, AUTHORIZATION);
        header_is("Authorization", &changed, expected);
    };
    is("ACS3-HMAC-SHA256", "ACS3-HMAC-SM3", Err("algorithm"));
    is("ACS3-HMAC-SHA256", "acs3-hmac-sha256", Err("algorithm"));
    is("ACS3-HMAC-SHA256", "ACS3-RSA-SHA256", Err("algorithm"));
    is("ACS3-HMAC-SHA256 ", "", Err("authorization"));
    is(",SignedHeaders", ", SignedHeaders", Err("authorization"));
    is("Credential=", "credential=", Err("authorization"));
    is(",Signature=", ",Signature=a,Signature=", Err("authorization"));
    is("Credential=", "Credential=LTAI,Credential=", Err("authorization"));
    is(",Signature", ",SignedHeaders=x-acs-action,Signature", Err("authorization"));
    is("c7", "c7,", Err("authorization"));
    is("ACS3-HMAC-SHA256 ", "Bearer ", Err("algorithm"));
    is("LTAI5tDUMMYexample01", "LTAI\u{ff11}", Err("header_value"));
    is("Credential=LTAI5tDUMMYexample01,", "", Err("authorization"));
    is("LTAI5tDUMMYexample01", "", Err("access_key_id"));
    is("LTAI5tDUMMYexample01", "LTAI/x", Err("access_key_id"));
    is("LTAI5tDUMMYexample01", &"A".repeat(129), Err("access_key_id"));
    is("LTAI5tDUMMYexample01", "STS.NUdummyRole01", Ok(()));
    is("057d", "057D", Err("signature"));
    is("057d", "57d", Err("signature"));
    is("057d", "xx7d", Err("signature"));
}

#[test]
fn what_is_signed_can_be_sent() {
    let all = "x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-version";
    signs(all, &[("x-acs-security-token", "CAIS+/=")], Ok(()));
    signs(all, &[], Err("header_missing"));
    signs("x-acs-content-sha256;x-acs-date;x-acs-version", &[], Err("header_unsigned"));
    signs("x-acs-action;x-acs-date;x-acs-version", &[], Err("header_unsigned"));
    signs("x-acs-action;x-acs-content-sha256;x-acs-version", &[], Err("header_unsigned"));
    signs("x-acs-action;x-acs-content-sha256;x-acs-date", &[], Err("header_unsigned"));
    signs("", &[], Err("signed_headers_other"));
    signs("X-Acs-Action;x-acs-content-sha256;x-acs-date;x-acs-version", &[], Err("signed_headers_other"));
    signs(&format!("{LIST};x-acs-version"), &[], Err("signed_headers_order"));
    signs("x-acs-version;x-acs-action;x-acs-content-sha256;x-acs-date", &[], Err("signed_headers_order"));
    signs(&format!("authorization;{LIST}"), &[], Err("signed_headers_other"));
    signs(&format!("content-type;{LIST}"), &[], Err("signed_headers_other"));
    signs(&format!("{LIST};x-forwarded-for"), &[], Err("signed_headers_other"));
    signs(&format!("user-agent;{LIST}"), &[], Ok(()));
    signs(&format!("accept;{LIST}"), &[("accept", "application/json")], Ok(()));
    signs(&format!("accept;{LIST}"), &[("accept", "text/xml")], Err("accept"));
    signs(&format!("host;{LIST}"), &[("host", "sts-vpc.cn-hangzhou.aliyuncs.com")], Ok(()));
    signs(&format!("host;{LIST}"), &[("host", "sts.aliyuncs.com")], Err("host_other"));
    let nonce = "x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
    signs(nonce, &[("x-acs-signature-nonce", "0f")], Ok(()));
    let key = format!("x-acs-accesskey-id;{LIST}");
    signs(&key, &[("x-acs-accesskey-id", "LTAI5tDUMMYexample01")], Ok(()));
    signs(&key, &[("x-acs-accesskey-id", "LTAI5tDUMMYexample02")], Err("access_key_other"));
}

#[test]
fn a_signed_user_agent_is_sent_as_it_was_signed() {
    let mut json = good();
    json["headers"]["Authorization"] = AUTHORIZATION.replace(LIST, &format!("user-agent;{LIST}")).into();
    let call = read(&token(&json.to_string())).expect("good");
    let agent = call.headers.iter().find(|(name, _)| name == header::USER_AGENT).expect("sent");
    assert_eq!(agent.1, "ack-ram-tool/unknown (linux/amd64)");
}

#[test]
fn checks_are_in_order() {
    assert_eq!(TokenCheck::SignedHeaders.name(), "signed headers");
    assert_eq!(TokenCheck::SignedHeaders as usize + 1, TokenCheck::NAMES.len());
    assert_eq!(InvalidToken::Old.check(), TokenCheck::Prefix);
    assert_eq!(InvalidToken::HeaderMissing(Field::Date).check(), TokenCheck::Date);
}

#[test]
fn no_refusal_repeats_the_token() {
    let secret = "CAISsecretTOKEN";
    for (name, list) in [("x-acs-security-token", LIST), ("Authorization", LIST)] {
        let mut json = good();
        json["headers"][name] = secret.into();
        let error = read(&token(&json.to_string().replace(LIST, list))).map(|_| ()).expect_err("refused");
        assert!(!error.to_string().contains(secret) && !format!("{error:?}").contains(secret), "{error}");
    }
}
