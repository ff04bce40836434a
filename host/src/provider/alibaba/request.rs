//! Signed requests: what a `k8s-ack-v2.` token says, read strictly and written anew.
//!
//! A token is the prefix and, in padded base64, a JSON object with the query and the headers of a signed
//! `POST /` to `GetCallerIdentity` (Security Token Service API Reference). Every part is read into a type that has
//! one spelling for each value; `Signed::into_call` writes the request that STS is asked from those types, in a
//! fixed order. Whatever is signed is sent as it was signed, or the token is refused here with the reason: STS could
//! only say that the signature does not match.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Method, header};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    acs3::{self, Header, Request},
    date::AcsDate,
    endpoint::Host,
};
use crate::{
    provider::{ClusterId, SecretText, StsCall},
    token::BearerToken,
};

mod field;
mod invalid;
mod json;

pub use field::Field;
pub use invalid::{InvalidToken, TokenCheck};
pub(super) use json::Parts;

/// What every token starts with.
pub const PREFIX: &str = "k8s-ack-v2.";
/// What tokens started with that held a URL signed with HMAC-SHA1.
pub const OLD_PREFIX: &str = "k8s-ack-v1.";
/// Longest token, in bytes: the same as for AWS. Existing servers take 4096, and clients make fewer than 3000.
pub const MAX_TOKEN_BYTES: usize = 8192;
/// How long STS accepts a signed request (Alibaba Cloud OpenAPI, "Common parameters").
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The query parameter that binds a token to one cluster.
pub(super) const CLUSTER_ID: &str = "ACKClusterId";
/// The only action, and its version.
pub(super) const ACTION: &str = "GetCallerIdentity";
pub(super) const VERSION: &str = "2015-04-01";
/// The media type of the answer that we read.
pub(super) const JSON: &str = "application/json";
/// Longest key id, in bytes; those of today have 20 to 40.
const MAX_KEY_ID: usize = 128;

/// A signed `GetCallerIdentity` request, every part of it typed. Holds secrets, and so has no `Debug`.
pub(super) struct Signed<'a> {
    /// The key that signed.
    pub(super) access_key_id: &'a str,
    /// When it was signed.
    pub(super) date: AcsDate,
    /// The security token of a temporary key.
    pub(super) security_token: Option<&'a str>,
    /// 64 hexadecimal digits.
    pub(super) signature: &'a str,
    /// Headers that are signed beyond those that every request has.
    pub(super) more: Vec<(Field, &'a str)>,
}

/// The JSON inside a token, wiped when dropped.
pub(super) fn decode(token: &BearerToken) -> Result<Zeroizing<Vec<u8>>, InvalidToken> {
    if token.expose().starts_with(OLD_PREFIX) {
        return Err(InvalidToken::Old);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(InvalidToken::TooLong);
    }
    let encoded = token.expose().strip_prefix(PREFIX).ok_or(InvalidToken::Prefix)?;
    STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| InvalidToken::Base64)
}

/// The one of `ours` that a token is signed for. All of them are compared, each in a time that says nothing of it.
pub(super) fn cluster<'a>(
    parts: &Parts<'_>,
    ours: impl Iterator<Item = &'a ClusterId>,
) -> Result<&'a ClusterId, InvalidToken> {
    let named = parts.cluster_id()?.as_bytes();
    let is_named = |id: &&ClusterId| bool::from(named.ct_eq(id.as_str().as_bytes()));
    ours.filter(is_named).last().ok_or(InvalidToken::ClusterId)
}

// === impl Signed ===

impl<'a> Signed<'a> {
    /// Reads the headers of a token that is to be asked of `endpoint`.
    pub(super) fn parse(parts: &'a Parts<'_>, endpoint: &Host) -> Result<Self, InvalidToken> {
        let headers = parts.headers()?;
        fixed(headers.require(Field::Action)?, ACTION, InvalidToken::Action)?;
        fixed(headers.require(Field::Version)?, VERSION, InvalidToken::Version)?;
        fixed(headers.require(Field::ContentSha256)?, acs3::EMPTY_BODY, InvalidToken::ContentHash)?;
        let date = AcsDate::parse(headers.require(Field::Date)?).map_err(|_| InvalidToken::Date)?;
        let Authorization { access_key_id, signed_headers, signature } =
            Authorization::parse(headers.require(Field::Authorization)?)?;
        let signed = field::signed(signed_headers)?;
        for field in Field::ALL {
            match (headers.find(field), signed.contains(&field)) {
                (None, true) => return Err(InvalidToken::HeaderMissing(field)),
                (Some(_), false) if field.must_be_signed() => return Err(InvalidToken::HeaderUnsigned(field)),
                _ => {}
            }
        }
        let more = signed.into_iter().filter(|field| field.is_further());
        let more: Vec<_> = more.filter_map(|field| Some((field, headers.find(field)?))).collect();
        for (field, value) in &more {
            match field {
                Field::Accept => fixed(value, JSON, InvalidToken::Accept)?,
                Field::AccessKeyId => fixed(value, access_key_id, InvalidToken::AccessKeyOther)?,
                Field::Host => fixed(value, endpoint.as_str(), InvalidToken::Host { endpoint: endpoint.clone() })?,
                _ => {}
            }
        }
        Ok(Self { access_key_id, date, security_token: headers.find(Field::SecurityToken), signature, more })
    }

    /// The one request that asks STS who signed, with `cluster_id` as this server knows it.
    pub(super) fn into_call(self, cluster_id: &ClusterId, endpoint: &Host, region: &str) -> StsCall {
        let signed_at = self.date.time();
        let query = query(cluster_id.as_str());
        let date = self.date.to_string();
        let signed = self.signed_headers(&date);
        let request = Request { target: acs3::CALL, query: &query, headers: &signed };
        let authorization = Zeroizing::new(request.authorization(self.access_key_id, self.signature));
        let mut headers = vec![(header::AUTHORIZATION, secret(&authorization))];
        if !signed.iter().any(|(name, _)| *name == Field::Accept.name()) {
            headers.push((header::ACCEPT, HeaderValue::from_static(JSON)));
        }
        headers.extend(signed.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("names of fields are names of headers");
            (name, secret(value))
        }));
        StsCall {
            host: endpoint.as_str().to_owned(),
            region: region.to_owned(),
            method: Method::POST,
            path_and_query: SecretText::new(format!("/?{query}")),
            headers,
            access_key_id: self.access_key_id.to_owned(),
            signed_at,
            expires_at: expiry(signed_at),
        }
    }

    /// Every header that is signed, by name; `date` is the text of [`Self::date`].
    pub(super) fn signed_headers<'b>(&'b self, date: &'b str) -> Vec<Header<'b>> {
        let mut headers = vec![
            (Field::Action.name(), ACTION),
            (Field::ContentSha256.name(), acs3::EMPTY_BODY),
            (Field::Date.name(), date),
            (Field::Version.name(), VERSION),
        ];
        headers.extend(self.security_token.map(|token| (Field::SecurityToken.name(), token)));
        headers.extend(self.more.iter().map(|(field, value)| (field.name(), *value)));
        headers.sort_unstable();
        headers
    }
}

/// The canonical query of a token for `cluster_id`.
pub(super) fn query(cluster_id: &str) -> String {
    acs3::canonical_query(&[(CLUSTER_ID, cluster_id)])
}

/// When STS stops accepting what was signed at `signed_at`.
pub(super) fn expiry(signed_at: SystemTime) -> SystemTime {
    signed_at.checked_add(LIFETIME).unwrap_or(signed_at)
}

fn secret(value: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(value).expect("visible ASCII is a header value");
    value.set_sensitive(true);
    value
}

fn fixed(found: &str, value: &str, otherwise: InvalidToken) -> Result<(), InvalidToken> {
    if found == value { Ok(()) } else { Err(otherwise) }
}

/// The value of `Authorization`.
struct Authorization<'a> {
    access_key_id: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

// === impl Authorization ===

impl<'a> Authorization<'a> {
    /// Reads `ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…`, the one form that signers write.
    fn parse(text: &'a str) -> Result<Self, InvalidToken> {
        let (algorithm, rest) = text.split_once(' ').ok_or(InvalidToken::Authorization)?;
        fixed(algorithm, acs3::ALGORITHM, InvalidToken::Algorithm)?;
        let mut parts = rest.split(',');
        let mut next = |name| {
            let value = parts.next().and_then(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.ok_or(InvalidToken::Authorization)
        };
        let (access_key_id, signed_headers, signature) =
            (next("Credential")?, next("SignedHeaders")?, next("Signature")?);
        if parts.next().is_some() {
            return Err(InvalidToken::Authorization);
        }
        let plain = access_key_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !plain || !(1..=MAX_KEY_ID).contains(&access_key_id.len()) {
            return Err(InvalidToken::AccessKeyId);
        }
        let hexadecimal = signature.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !hexadecimal || signature.len() != 64 {
            return Err(InvalidToken::Signature);
        }
        Ok(Self { access_key_id, signed_headers, signature })
    }
}

#[cfg(test)]
mod tests;
