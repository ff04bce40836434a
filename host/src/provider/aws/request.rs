//! Presigned requests: what a `k8s-aws-v1.` token says, read strictly and written anew.
//!
//! A token is the prefix and, in unpadded base64url, the URL of a presigned `GetCallerIdentity`
//! (AWS Signature Version 4, "Authenticating requests: using query parameters"). Every part is read into
//! a type that has one spelling for each value; [`Presigned::into_call`] writes the request that STS is
//! asked from those types, in a fixed order. The token's own text goes nowhere.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, Method, header::ACCEPT};
use percent_encoding::percent_encode_byte;
use zeroize::Zeroizing;

use self::{
    date::AmzDate,
    query::{Parameter, Query},
};
use super::hosts::{Endpoint, Hosts, Partition, Unaccepted};
use crate::{
    provider::{SecretText, StsCall},
    token::BearerToken,
};

pub(super) mod date;
mod invalid;
mod query;
mod url;

pub use invalid::{InvalidToken, TokenCheck};
pub use query::Parameter as TokenParameter;

/// What every AWS token starts with.
pub const PREFIX: &str = "k8s-aws-v1.";
/// Longest token, in bytes. AWS sets no limit to session tokens (IAM User Guide, "Request temporary
/// security credentials"); the longest in use make tokens of about 4 KiB, and twice that is still a small
/// part of what a TokenReview may hold.
pub const MAX_TOKEN_BYTES: usize = 8192;
/// How long STS accepts a presigned request, whatever its `X-Amz-Expires` says.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The header that binds a token to one cluster. Its value is never in the token.
pub(super) const CLUSTER_ID: &str = "x-k8s-aws-id";
/// Both headers must be signed; a further one could not be sent, as its value is not in the token.
/// SigV4 has exactly one order for them.
pub(super) const SIGNED_HEADERS: &str = "host;x-k8s-aws-id";
/// The service of the credential scope.
pub(super) const SERVICE: &str = "sts";

/// What is left of the query before a signer adds its own parameters.
pub(super) const UNSIGNED_PATH_AND_QUERY: &str = "/?Action=GetCallerIdentity&Version=2011-06-15";

const ACTION: &str = "GetCallerIdentity";
const VERSION: &str = "2011-06-15";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
/// Room for a whole path and query but the session token.
const FIXED_BYTES: usize = 512;

/// A presigned `GetCallerIdentity` request, every part of it typed.
#[derive(Debug)]
pub(super) struct Presigned<'a> {
    /// Where it is to be sent.
    pub(super) endpoint: Endpoint<'a>,
    /// The key that signed.
    pub(super) access_key_id: &'a str,
    /// When it was signed.
    pub(super) date: AmzDate,
    /// What the signer wrote for `X-Amz-Expires`, in seconds.
    pub(super) expires: u16,
    /// The session token of a temporary key.
    pub(super) security_token: Option<Secret<'a>>,
    /// 64 hexadecimal digits.
    pub(super) signature: Secret<'a>,
}

/// Borrowed text that is never printed.
#[derive(Clone, Copy)]
pub(super) struct Secret<'a>(pub(super) &'a str);

/// The URL inside a token, wiped when dropped.
pub(super) fn decode(token: &BearerToken) -> Result<Zeroizing<Vec<u8>>, InvalidToken> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(InvalidToken::TooLong);
    }
    let encoded = token.expose().strip_prefix(PREFIX).ok_or(InvalidToken::Prefix)?;
    URL_SAFE_NO_PAD.decode(encoded).map(Zeroizing::new).map_err(|_| InvalidToken::Base64)
}

// === impl Presigned ===

impl<'a> Presigned<'a> {
    /// Reads the URL, decoding it in place. Every check has its own error.
    pub(super) fn parse(url: &'a mut [u8], hosts: &'a Hosts) -> Result<Self, InvalidToken> {
        let (host, query) = url::split(url)?;
        let endpoint = hosts.find(host).map_err(|unaccepted| refused(unaccepted, host, hosts.partition()))?;
        let query = Query::parse(query)?;
        fixed(&query, Parameter::Action, ACTION, InvalidToken::Action)?;
        fixed(&query, Parameter::Version, VERSION, InvalidToken::Version)?;
        fixed(&query, Parameter::Algorithm, ALGORITHM, InvalidToken::Algorithm)?;
        let date = AmzDate::parse(query.require(Parameter::Date)?).map_err(|_| InvalidToken::Date)?;
        let access_key_id = credential(query.require(Parameter::Credential)?, &date, &endpoint)?;
        let expires = expires(query.require(Parameter::Expires)?)?;
        signed_headers(query.require(Parameter::SignedHeaders)?)?;
        let signature = signature(query.require(Parameter::Signature)?)?;
        let security_token = query.optional(Parameter::SecurityToken).map(Secret);
        if security_token.is_some_and(|token| token.0.is_empty()) {
            return Err(InvalidToken::SecurityTokenEmpty);
        }
        Ok(Self { endpoint, access_key_id, date, expires, security_token, signature })
    }

    /// The one request that asks STS who signed, with `cluster_id` as this server knows it.
    pub(super) fn into_call(self, cluster_id: &HeaderValue) -> StsCall {
        let signed_at = self.date.time();
        StsCall {
            host: self.endpoint.host.to_owned(),
            region: if self.endpoint.global { String::new() } else { self.endpoint.scope_region.to_owned() },
            method: Method::GET,
            path_and_query: SecretText::new(self.path_and_query()),
            headers: vec![
                (HeaderName::from_static(CLUSTER_ID), cluster_id.clone()),
                (ACCEPT, HeaderValue::from_static("application/json")),
            ],
            access_key_id: self.access_key_id.to_owned(),
            signed_at,
            expires_at: expiry(signed_at),
        }
    }

    /// Path and query in the fixed order. Holds the signature.
    pub(super) fn path_and_query(&self) -> String {
        let token_bytes = self.security_token.map_or(0, |token| token.0.len());
        let mut text = String::with_capacity(FIXED_BYTES + token_bytes * 3 / 2);
        let mut write = |parameter: Parameter, parts: &[&str]| {
            text.push_str(if parameter == Parameter::Action { "/?" } else { "&" });
            text.push_str(parameter.name());
            text.push('=');
            parts.iter().for_each(|part| push_encoded(&mut text, part));
        };
        let expires = self.expires.to_string();
        write(Parameter::Action, &[ACTION]);
        write(Parameter::Version, &[VERSION]);
        write(Parameter::Algorithm, &[ALGORITHM]);
        let region = self.endpoint.scope_region;
        let day = self.date.day();
        write(Parameter::Credential, &[self.access_key_id, "/", day, "/", region, "/", SERVICE, "/", TERMINATOR]);
        write(Parameter::Date, &[self.date.as_str()]);
        write(Parameter::Expires, &[&expires]);
        if let Some(Secret(token)) = self.security_token {
            write(Parameter::SecurityToken, &[token]);
        }
        write(Parameter::SignedHeaders, &[SIGNED_HEADERS]);
        write(Parameter::Signature, &[self.signature.0]);
        text
    }
}

/// Appends `part` percent-encoded; runs of bytes that stay are copied whole.
fn push_encoded(text: &mut String, mut part: &str) {
    while let Some(end) = part.bytes().position(|byte| !query::is_plain(byte)) {
        let (plain, rest) = part.split_at(end);
        let next = rest.chars().next().map_or(0, char::len_utf8);
        let (letter, behind) = rest.split_at(next);
        text.push_str(plain);
        text.extend(letter.bytes().map(percent_encode_byte));
        part = behind;
    }
    text.push_str(part);
}

/// When STS stops accepting what was signed at `signed_at`.
pub(super) fn expiry(signed_at: SystemTime) -> SystemTime {
    signed_at.checked_add(LIFETIME).unwrap_or(signed_at)
}

fn refused(unaccepted: Unaccepted, host: &str, expected: Partition) -> InvalidToken {
    match unaccepted {
        Unaccepted::OtherPartition(found) => InvalidToken::HostPartition { found, expected },
        Unaccepted::UnknownRegion => InvalidToken::HostRegion { host: host.to_owned() },
        Unaccepted::Unknown => InvalidToken::HostUnknown,
    }
}

fn fixed(query: &Query<'_>, parameter: Parameter, value: &str, otherwise: InvalidToken) -> Result<(), InvalidToken> {
    if query.require(parameter)? == value { Ok(()) } else { Err(otherwise) }
}

/// Reads `<key>/<day>/<region>/sts/aws4_request` and gives the key's id.
fn credential<'a>(text: &'a str, date: &AmzDate, endpoint: &Endpoint<'_>) -> Result<&'a str, InvalidToken> {
    let mut parts = text.split('/');
    let mut next = || parts.next().ok_or(InvalidToken::CredentialSyntax);
    let (key, day, region, service, terminator) = (next()?, next()?, next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err(InvalidToken::CredentialSyntax);
    }
    let upper = key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !upper || !matches!(key.len(), 16..=128) {
        return Err(InvalidToken::AccessKeyId);
    }
    if day != date.day() {
        return Err(InvalidToken::CredentialDate);
    }
    if region != endpoint.scope_region {
        return Err(InvalidToken::CredentialRegion { expected: endpoint.scope_region.to_owned() });
    }
    if service != SERVICE {
        return Err(InvalidToken::CredentialService);
    }
    if terminator != TERMINATOR {
        return Err(InvalidToken::CredentialTerminator);
    }
    Ok(key)
}

/// A number without sign or leading zero: a second spelling of the same value could not be sent as signed.
fn expires(text: &str) -> Result<u16, InvalidToken> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if text.is_empty() || !plain {
        return Err(InvalidToken::Expires);
    }
    let seconds: u16 = text.parse().map_err(|_| InvalidToken::ExpiresRange)?;
    if u64::from(seconds) <= LIFETIME.as_secs() { Ok(seconds) } else { Err(InvalidToken::ExpiresRange) }
}

fn signed_headers(text: &str) -> Result<(), InvalidToken> {
    if text == SIGNED_HEADERS {
        return Ok(());
    }
    let signed = |name: &str| text.split(';').any(|header| header == name);
    Err(match (signed("host"), signed(CLUSTER_ID)) {
        (_, false) => InvalidToken::SignedHeadersClusterId,
        (false, true) => InvalidToken::SignedHeadersHost,
        (true, true) => InvalidToken::SignedHeadersOther,
    })
}

fn signature(text: &str) -> Result<Secret<'_>, InvalidToken> {
    if text.len() != 64 {
        return Err(InvalidToken::SignatureLength);
    }
    let hexadecimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    hexadecimal.then_some(Secret(text)).ok_or(InvalidToken::SignatureCharacters)
}

impl std::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes, hidden)", self.0.len())
    }
}

#[cfg(test)]
mod tests;
