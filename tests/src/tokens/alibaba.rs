//! Tokens of Alibaba Cloud: signed `GetCallerIdentity` requests, good ones and ones with any defect.
//!
//! What is changed in a [`Draft`] is signed with it; what is changed in the JSON that it signs to is a forgery.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    acs3,
    sigv4::EMPTY_PAYLOAD,
    sts::alibaba::{Key, Person, acs_date},
};

mod bulk;

pub use bulk::{ACCOUNT, derived_key, many};

/// What every token starts with.
pub const PREFIX: &str = "k8s-ack-v2.";

/// A token before it is signed. Every field may be made wrong.
#[derive(Clone, Debug)]
pub struct Draft {
    /// `Credential`.
    pub access_key_id: String,
    /// What it is signed with.
    pub secret: String,
    /// `POST`.
    pub method: String,
    /// The query.
    pub query: Vec<(String, String)>,
    /// Headers that are signed, by name.
    pub headers: Vec<(String, String)>,
    /// Headers that are not.
    pub unsigned: Vec<(String, String)>,
}

// === impl Draft ===

impl Draft {
    /// A good token of `person` for `cluster_id`.
    #[must_use]
    pub fn new(person: &Person, cluster_id: &str, at: SystemTime) -> Self {
        Self::of_key(&person.key(), cluster_id, at)
    }

    /// A good token by `key` for `cluster_id`.
    #[must_use]
    pub fn of_key(key: &Key, cluster_id: &str, at: SystemTime) -> Self {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![
            pair("x-acs-action", "GetCallerIdentity"),
            pair("x-acs-content-sha256", EMPTY_PAYLOAD),
            pair("x-acs-date", &acs_date(at)),
            pair("x-acs-version", "2015-04-01"),
        ];
        headers.extend(key.security_token.as_deref().map(|token| pair("x-acs-security-token", token)));
        Self {
            access_key_id: key.id.clone(),
            secret: key.secret.clone(),
            method: "POST".to_owned(),
            query: vec![pair("ACKClusterId", cluster_id)],
            headers,
            unsigned: vec![pair("user-agent", "ack-ram-tool/unknown (linux/amd64)")],
        }
    }

    /// With one more signed header, or another value of one.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.unsigned.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a signed header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Signs it: the JSON inside a token.
    #[must_use]
    pub fn sign(&self) -> Value {
        let mut headers = self.headers.clone();
        headers.sort();
        let request = acs3::Request {
            method: &self.method,
            path: "/",
            query: &self.query,
            headers: &headers,
            body_hash: EMPTY_PAYLOAD,
        };
        let signature = acs3::sign(&self.secret, &request);
        let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let (algorithm, id) = (acs3::ALGORITHM, &self.access_key_id);
        let authorization = format!("{algorithm} Credential={id},SignedHeaders={names},Signature={signature}");
        let object = |pairs: &[(String, String)]| -> Map<String, Value> {
            pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
        };
        let mut all = object(&headers);
        all.extend(object(&self.unsigned));
        all.insert("Authorization".to_owned(), authorization.into());
        let cluster_id = self.query.first().map_or("", |(_, value)| value.as_str());
        json!({"clusterId": cluster_id, "method": self.method, "path": "/", "query": object(&self.query), "headers": all})
    }

    /// The finished token.
    #[must_use]
    pub fn token(&self) -> String {
        token_of(&self.sign().to_string())
    }
}

/// Makes any JSON a token.
#[must_use]
pub fn token_of(json: &str) -> String {
    format!("{PREFIX}{}", STANDARD.encode(json))
}

/// The JSON in a token, if there is one.
#[must_use]
pub fn json_of(token: &str) -> Option<Value> {
    serde_json::from_slice(&STANDARD.decode(token.strip_prefix(PREFIX)?).ok()?).ok()
}
