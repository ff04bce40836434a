//! `authentication.k8s.io` TokenReview, v1 and v1beta1 (Kubernetes API Reference, "TokenReview").
//!
//! Reading is lenient where the API server is (unknown fields, `null`s) and strict where an answer
//! depends on it: `apiVersion`, `kind` and `spec.token`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap as _};
use zeroize::Zeroizing;

use super::{Extra, UserInfo, Values};

/// The versions the webhook speaks. An answer is given in the version of its question.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ApiVersion {
    /// `authentication.k8s.io/v1`.
    #[serde(rename = "authentication.k8s.io/v1")]
    V1,
    /// `authentication.k8s.io/v1beta1`, the API server's default.
    #[serde(rename = "authentication.k8s.io/v1beta1")]
    V1beta1,
}

/// The one kind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Kind {
    /// `TokenReview`.
    TokenReview,
}

/// What the API server asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenReview {
    /// The version to answer in.
    pub api_version: ApiVersion,
    /// Always `TokenReview`.
    pub kind: Kind,
    /// The question.
    pub spec: Spec,
}

/// `TokenReview.spec`.
#[derive(Deserialize)]
pub struct Spec {
    /// The bearer token; wiped when dropped.
    #[serde(deserialize_with = "secret")]
    pub token: Zeroizing<String>,
    /// Audiences the token should be good for; may be absent or `null`.
    #[serde(default)]
    pub audiences: Option<Vec<String>>,
}

/// What the API server is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    /// As asked.
    pub api_version: ApiVersion,
    /// Always `TokenReview`.
    pub kind: Kind,
    /// The answer.
    pub status: Status<'a>,
}

/// `TokenReview.status`. Only the constructors make one, so `authenticated` never stands beside an error.
#[derive(Debug, Default, Serialize)]
pub struct Status<'a> {
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a UserInfo>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audiences: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

// === impl Status ===

impl<'a> Status<'a> {
    /// The user is let in. `audiences` is left out when empty: the API server then takes its own.
    #[must_use]
    pub fn authenticated(user: &'a UserInfo, audiences: &'a [String]) -> Self {
        Self { authenticated: true, user: Some(user), audiences, error: "" }
    }

    /// Definite: the API server may remember it.
    #[must_use]
    pub fn refused() -> Self {
        Self::default()
    }

    /// Not remembered, and written to the API server's log.
    #[must_use]
    pub fn error(error: &'a str) -> Self {
        Self { error, ..Self::default() }
    }
}

// === impl TokenReview ===

impl fmt::Debug for TokenReview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenReview({:?}, token of {} bytes, hidden)", self.api_version, self.spec.token.len())
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

// === impl Extra ===

impl Extra {
    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, values) in &self.0 {
            map.serialize_entry(key, values)?;
        }
        map.end()
    }
}

// === impl Values ===

impl From<Vec<String>> for Values {
    fn from(mut values: Vec<String>) -> Self {
        match values.pop() {
            Some(only) if values.is_empty() => Self::One(only),
            last => {
                values.extend(last);
                Self::Many(values)
            }
        }
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Many(values) => values.serialize(serializer),
            Self::One(value) => [value].serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Extra;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of string lists")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Extra, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Extra(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[track_caller]
    fn check(status: Status<'_>, expected: &expect_test::Expect) {
        let answer = Answer { api_version: ApiVersion::V1, kind: Kind::TokenReview, status };
        expected.assert_eq(&serde_json::to_string(&answer).expect("plain data"));
    }

    #[test]
    fn answers() {
        let user = UserInfo {
            username: "alice".into(),
            groups: vec!["dev".into()],
            extra: Extra(vec![("b".into(), vec!["1".into()].into()), ("a".into(), vec![].into())]),
            ..UserInfo::default()
        };
        check(
            Status::authenticated(&user, &[]),
            &expect![[
                r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"alice","groups":["dev"],"extra":{"b":["1"],"a":[]}}}}"#
            ]],
        );
        check(
            Status::refused(),
            &expect![[
                r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false}}"#
            ]],
        );
        check(
            Status::error("not_mapped"),
            &expect![[
                r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false,"error":"not_mapped"}}"#
            ]],
        );
    }

    #[test]
    fn questions() {
        #[track_caller]
        fn check(json: &str, expected: Result<&str, &str>) {
            match (serde_json::from_str::<TokenReview>(json), expected) {
                (Ok(review), Ok(token)) => assert_eq!(review.spec.token.as_str(), token),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, expected) => panic!("{json}: {found:?}, expected {expected:?}"),
            }
        }
        let as_sent = r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","metadata":{"creationTimestamp":null},"spec":{"token":"t","audiences":["https://kubernetes.default.svc"]},"status":{"user":{}}}"#;
        check(as_sent, Ok("t"));
        check(
            r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"t","audiences":null}}"#,
            Ok("t"),
        );
        check(
            r#"{"kind":"Pod","apiVersion":"authentication.k8s.io/v1","spec":{"token":"t"}}"#,
            Err("unknown variant `Pod`"),
        );
        check(r#"{"kind":"TokenReview","apiVersion":"v1","spec":{"token":"t"}}"#, Err("unknown variant `v1`"));
        check(
            r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{}}"#,
            Err("missing field `token`"),
        );
        check("null", Err("invalid type: null"));
    }
}
