//! Minting: makes the token that proves to one cluster whose key this is. No network, no clock but `now`.
//!
//! The headers are written by the same code that the server writes its request with, so what we sign is what will be
//! sent.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    acs3::{CALL, Request},
    credentials::Credentials,
    date::AcsDate,
    request::{self, CLUSTER_ID, PREFIX, Signed},
};
use crate::{
    provider::{Token, validity::token_end},
    token::BearerToken,
};

/// What the token's owner is told to keep it for: STS takes it five minutes longer, and clocks differ.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// What the token says made it; not signed.
const USER_AGENT: &str = concat!("herald/", env!("CARGO_PKG_VERSION"));

/// The user's move: the credentials are past their end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the Alibaba Cloud credentials expired {}: fetch new ones", humantime::format_rfc3339_seconds(*at))]
pub struct CredentialsExpired {
    at: SystemTime,
}

/// A token's JSON. Its first three members are for people who look at it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    cluster_id: &'a str,
    method: &'a str,
    path: &'a str,
    query: BTreeMap<&'a str, &'a str>,
    headers: BTreeMap<&'a str, &'a str>,
}

/// Signs `GetCallerIdentity` for `cluster_id`, dated `now`.
///
/// # Errors
///
/// [`CredentialsExpired`].
pub fn mint(credentials: &Credentials, cluster_id: &str, now: SystemTime) -> Result<Token, CredentialsExpired> {
    let expires_at = token_end(TOKEN_LIFETIME, credentials.expires_at, now).map_err(|at| CredentialsExpired { at })?;
    Ok(Token { token: sign(credentials, cluster_id, USER_AGENT, now), expires_at })
}

fn sign(credentials: &Credentials, cluster_id: &str, user_agent: &str, now: SystemTime) -> BearerToken {
    let request = Signed {
        access_key_id: &credentials.access_key_id,
        date: AcsDate::at(now),
        security_token: credentials.security_token.as_ref().map(|token| token.expose()),
        signature: "",
        more: Vec::new(),
    };
    let (date, query) = (request.date.to_string(), request::query(cluster_id));
    let headers = request.signed_headers(&date);
    let signed = Request { target: CALL, query: &query, headers: &headers };
    let signature = Zeroizing::new(signed.signature(credentials.access_key_secret.expose()));
    let authorization = Zeroizing::new(signed.authorization(request.access_key_id, &signature));
    let mut headers: BTreeMap<&str, &str> = headers.iter().copied().collect();
    headers.extend([("Authorization", authorization.as_str()), ("user-agent", user_agent)]);
    let query = BTreeMap::from([(CLUSTER_ID, cluster_id)]);
    let content = Content { cluster_id, method: "POST", path: "/", query, headers };
    let json = Zeroizing::new(serde_json::to_vec(&content).expect("texts are JSON"));
    let mut token = String::with_capacity(PREFIX.len() + json.len().div_ceil(3) * 4);
    token.push_str(PREFIX);
    STANDARD.encode_string(&*json, &mut token);
    BearerToken::new(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole token as an existing client made it.
    const THEIRS: &str = "k8s-ack-v2.eyJjbHVzdGVySWQiOiJjMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJtZXRob2QiOiJQT1NUIiwicGF0aCI6Ii8iLCJxdWVyeSI6eyJBQ0tDbHVzdGVySWQiOiJjMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYifSwiaGVhZGVycyI6eyJBdXRob3JpemF0aW9uIjoiQUNTMy1ITUFDLVNIQTI1NiBDcmVkZW50aWFsPUxUQUk1dERVTU1ZZXhhbXBsZTAxLFNpZ25lZEhlYWRlcnM9eC1hY3MtYWN0aW9uO3gtYWNzLWNvbnRlbnQtc2hhMjU2O3gtYWNzLWRhdGU7eC1hY3MtdmVyc2lvbixTaWduYXR1cmU9MDU3ZDZjMDcwZWUyMDZhY2E1Y2NhM2RkOGQ1NDVkZTdjNGU3NTI2NzhhYmI5ODY3ZWNhMjAxNjFmNjc0ODNjNyIsInVzZXItYWdlbnQiOiJhY2stcmFtLXRvb2wvdW5rbm93biAobGludXgvYW1kNjQpIiwieC1hY3MtYWN0aW9uIjoiR2V0Q2FsbGVySWRlbnRpdHkiLCJ4LWFjcy1jb250ZW50LXNoYTI1NiI6ImUzYjBjNDQyOThmYzFjMTQ5YWZiZjRjODk5NmZiOTI0MjdhZTQxZTQ2NDliOTM0Y2E0OTU5OTFiNzg1MmI4NTUiLCJ4LWFjcy1kYXRlIjoiMjAyNi0xMS0yMlQxMjozNjoyMFoiLCJ4LWFjcy12ZXJzaW9uIjoiMjAxNS0wNC0wMSJ9fQ==";

    fn moment(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).expect("a moment")
    }

    fn keys(end: Option<&str>) -> Credentials {
        let key = Credentials::new("LTAI5tDUMMYexample01", "dummySecretForTests0000000001", None);
        Credentials { expires_at: end.map(moment), ..key }
    }

    #[test]
    fn a_token_byte_for_byte() {
        let cluster_id = "c0123456789abcdef0123456789abcdef";
        let at = moment("2026-11-22T12:36:20Z");
        let token = sign(&keys(None), cluster_id, "ack-ram-tool/unknown (linux/amd64)", at);
        assert_eq!((token.expose(), token.len()), (THEIRS, 819));
    }

    #[test]
    fn tokens_end_with_their_credentials() {
        #[track_caller]
        fn check(credentials_end: Option<&str>, expected: Result<&str, &str>) {
            let made = mint(&keys(credentials_end), "c", moment("2026-01-02T03:04:05Z"));
            let found = made.map(|made| humantime::format_rfc3339_seconds(made.expires_at).to_string());
            assert_eq!(found.map_err(|error| error.to_string()), expected.map(str::to_owned).map_err(str::to_owned));
        }
        check(None, Ok("2026-01-02T03:14:05Z"));
        check(Some("2026-01-02T04:04:05Z"), Ok("2026-01-02T03:14:05Z"));
        check(Some("2026-01-02T03:10:05Z"), Ok("2026-01-02T03:09:05Z"));
        check(Some("2026-01-02T03:04:35Z"), Ok("2026-01-02T03:04:05Z"));
        let expired = "the Alibaba Cloud credentials expired 2026-01-02T03:04:05Z: fetch new ones";
        check(Some("2026-01-02T03:04:05Z"), Err(expired));
    }
}
