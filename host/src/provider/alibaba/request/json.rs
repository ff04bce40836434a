//! The JSON of a token. JSON readers disagree on names that come twice, in another case or in other places than they
//! should, so that each of these is refused: the request has one meaning or none.

use std::{borrow::Cow, fmt, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use zeroize::Zeroize as _;

use super::{CLUSTER_ID, Field, InvalidToken};

/// The members of a token that say anything.
pub(in crate::provider::alibaba) struct Parts<'a> {
    query: Entries<'a>,
    headers: Entries<'a>,
}

/// The headers of a token, each once.
pub(super) struct Headers<'a>([Option<&'a str>; Field::ALL.len()]);

/// Text that is wiped when dropped, if it is a copy. It is one where JSON escapes something.
struct Text<'a>(Cow<'a, str>);

enum Value<'a> {
    Text(Text<'a>),
    Object(Entries<'a>),
    Other,
}

type Entries<'a> = Vec<(Text<'a>, Value<'a>)>;

// === impl Parts ===

impl<'a> Parts<'a> {
    /// Reads the whole of a token's JSON. `clusterId` is what people read in a log: it is not signed, and so never
    /// looked at.
    pub(in crate::provider::alibaba) fn parse(bytes: &'a [u8]) -> Result<Self, InvalidToken> {
        let Ok(Value::Object(members)) = serde_json::from_slice(bytes) else { return Err(InvalidToken::Json) };
        let (mut query, mut headers, mut seen) = (None, None, Vec::new());
        for (name, value) in members {
            if seen.contains(&name.0) {
                return Err(InvalidToken::MemberTwice);
            }
            match (&*name, value) {
                ("query", Value::Object(entries)) => query = Some(entries),
                ("headers", Value::Object(entries)) => headers = Some(entries),
                ("clusterId", Value::Text(_)) => {}
                ("method", Value::Text(text)) if &*text == "POST" => {}
                ("path", Value::Text(text)) if &*text == "/" => {}
                ("method" | "path", Value::Text(_)) => return Err(InvalidToken::Target),
                ("query" | "headers" | "clusterId" | "method" | "path", _) => return Err(InvalidToken::MemberType),
                _ => return Err(InvalidToken::MemberUnknown),
            }
            seen.push(name.0.clone());
        }
        Ok(Self {
            query: query.ok_or(InvalidToken::MemberMissing("query"))?,
            headers: headers.ok_or(InvalidToken::MemberMissing("headers"))?,
        })
    }

    /// The cluster id in the query, the only parameter there is.
    pub(super) fn cluster_id(&self) -> Result<&str, InvalidToken> {
        let mut found = None;
        for (name, value) in &self.query {
            if **name != *CLUSTER_ID {
                return Err(InvalidToken::QueryUnknown);
            }
            let Value::Text(text) = value else { return Err(InvalidToken::MemberType) };
            if found.replace(&**text).is_some() {
                return Err(InvalidToken::QueryTwice);
            }
        }
        found.ok_or(InvalidToken::QueryMissing)
    }

    pub(super) fn headers(&self) -> Result<Headers<'_>, InvalidToken> {
        let mut headers = Headers([None; Field::ALL.len()]);
        for (name, value) in &self.headers {
            let field = Field::of(name).ok_or(InvalidToken::HeaderUnknown)?;
            let Value::Text(text) = value else { return Err(InvalidToken::MemberType) };
            if !is_plain(text) {
                return Err(InvalidToken::HeaderValue(field));
            }
            if headers.0[field as usize].replace(&**text).is_some() {
                return Err(InvalidToken::HeaderTwice(field));
            }
        }
        Ok(headers)
    }
}

/// Visible ASCII with single spaces inside: the one spelling that every hop leaves as it is.
fn is_plain(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    visible && !text.is_empty() && !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ")
}

// === impl Headers ===

impl<'a> Headers<'a> {
    pub(super) fn find(&self, field: Field) -> Option<&'a str> {
        self.0[field as usize]
    }

    pub(super) fn require(&self, field: Field) -> Result<&'a str, InvalidToken> {
        self.find(field).ok_or(InvalidToken::HeaderMissing(field))
    }
}

// === impl Text ===

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Text(text) => Ok(text),
            _ => Err(serde::de::Error::custom("no text")),
        }
    }
}

// === impl Value ===

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Object(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }
}
