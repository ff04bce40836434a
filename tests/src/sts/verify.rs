//! Verifier of SigV4 requests as they came off the wire, presigned or with an `Authorization` header
//! (AWS General Reference, "Elements of an AWS API request signature").

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use time::{OffsetDateTime, PrimitiveDateTime, format_description::FormatItem, macros::format_description};

use super::{
    error::StsError,
    hosts::{self, HostRegion},
    keys::{Key, Keys},
    query::Parameters,
};
use crate::sigv4::{self, ALGORITHM, Scope, TERMINATOR};

/// A request as it came off the wire.
#[derive(Clone, Copy, Debug)]
pub struct Wire<'a> {
    /// In upper case.
    pub method: &'a str,
    /// The `Host` header or `:authority`, as sent.
    pub host: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query string as sent; empty when there was none.
    pub query: &'a str,
    /// Every header.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// How long a signature lives. `X-Amz-Expires` does not matter to STS.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How far in the future a signature may be dated.
pub const FUTURE: Duration = Duration::from_secs(5 * 60);
/// Longest `X-Amz-Expires`, in seconds: a week.
const MAX_EXPIRES: u32 = 604_800;

const AMZ_DATE: &[FormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// What a request says about its own signature.
struct Claim<'a> {
    access_key_id: &'a str,
    scope: Scope<'a>,
    terminator: &'a str,
    amz_date: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    session_token: Option<&'a str>,
}

/// Finds out whose key signed `wire`. `parameters` are those of its query string alone.
///
/// # Errors
///
/// What the real service answers to such a request.
pub fn verify(
    wire: &Wire<'_>,
    parameters: &Parameters<'_>,
    keys: &Keys,
    now: SystemTime,
) -> Result<Arc<Key>, StsError> {
    verify_for("sts", wire, parameters, keys, now)
}

/// The same for another service of AWS.
///
/// # Errors
///
/// As [`verify`].
pub(super) fn verify_for(
    service: &str,
    wire: &Wire<'_>,
    parameters: &Parameters<'_>,
    keys: &Keys,
    now: SystemTime,
) -> Result<Arc<Key>, StsError> {
    let presigned = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"];
    let presigned = presigned.iter().any(|name| parameters.find(name).is_some());
    let claim = match (single_header(wire, "authorization")?, presigned) {
        (None, false) => return Err(StsError::MissingAuthenticationToken),
        (None, true) => Claim::of_query(parameters)?,
        (Some(value), false) => Claim::of_header(value, wire)?,
        (Some(_), true) => {
            return Err(incomplete("only one of the query string and the Authorization header may sign a request"));
        }
    };
    let signed_at = parse_date(claim.amz_date)?;
    let key = keys.find(claim.access_key_id).ok_or(StsError::InvalidClientTokenId)?;
    if key.session_token.as_deref() != claim.session_token {
        return Err(StsError::InvalidClientTokenId);
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(StsError::ExpiredToken);
    }
    check_scope(&claim, service, wire.host)?;
    check_window(&claim, signed_at, now)?;
    if claim.recompute(&key.secret, wire, parameters, presigned)? == claim.signature {
        Ok(key)
    } else {
        Err(StsError::mismatch())
    }
}

/// The region that `host` is scoped to, its port left aside.
#[must_use]
fn host_region(host: &str) -> Option<HostRegion> {
    hosts::region(host.rsplit_once(':').map_or(host, |(name, _port)| name))
}

/// `yyyymmddThhmmssZ` of `time`.
#[must_use]
pub fn amz_date(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(AMZ_DATE).expect("a date of this era has four-digit years")
}

// === impl Claim ===

impl<'a> Claim<'a> {
    fn of_query(parameters: &'a Parameters<'_>) -> Result<Self, StsError> {
        let find = |name: &str| {
            let missing = || {
                incomplete(&format!(
                    "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
                ))
            };
            parameters.find(name).filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        check_algorithm(find("X-Amz-Algorithm")?)?;
        if let Some(expires) = parameters.find("X-Amz-Expires") {
            let seconds = expires.bytes().all(|byte| byte.is_ascii_digit()).then(|| expires.parse::<u32>().ok());
            if seconds.flatten().is_none_or(|seconds| seconds > MAX_EXPIRES) {
                return Err(incomplete("X-Amz-Expires must be a number of seconds between 0 and 604800"));
            }
        }
        Self::new(
            find("X-Amz-Credential")?,
            find("X-Amz-Date")?,
            find("X-Amz-SignedHeaders")?,
            find("X-Amz-Signature")?,
            parameters.find("X-Amz-Security-Token"),
        )
    }

    fn of_header(value: &'a str, wire: &Wire<'a>) -> Result<Self, StsError> {
        let (algorithm, fields) = value.split_once(' ').unwrap_or((value, ""));
        check_algorithm(algorithm)?;
        let find = |name: &str| {
            let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
            let missing = || incomplete(&format!("Authorization header requires '{name}' parameter."));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value).ok_or_else(missing)
        };
        let date = match single_header(wire, "x-amz-date")? {
            Some(date) => Some(date),
            None => single_header(wire, "date")?,
        };
        let date = date.ok_or_else(|| {
            incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
        })?;
        let session_token = single_header(wire, "x-amz-security-token")?;
        Self::new(find("Credential")?, date, find("SignedHeaders")?, find("Signature")?, session_token)
    }

    fn new(
        credential: &'a str,
        amz_date: &'a str,
        signed_headers: &'a str,
        signature: &'a str,
        session_token: Option<&'a str>,
    ) -> Result<Self, StsError> {
        let mut parts = credential.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let (access_key_id, date, region, service, terminator) = (next(), next(), next(), next(), next());
        if terminator.is_empty() || parts.next().is_some() {
            let text = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term";
            return Err(incomplete(&format!("{text}, got '{credential}'")));
        }
        let scope = Scope { date, region, service };
        Ok(Self { access_key_id, scope, terminator, amz_date, signed_headers, signature, session_token })
    }

    fn recompute(
        &self,
        secret: &str,
        wire: &Wire<'_>,
        parameters: &Parameters<'_>,
        presigned: bool,
    ) -> Result<String, StsError> {
        let mut names: Vec<&str> = self.signed_headers.split(';').collect();
        names.sort_unstable();
        names.dedup();
        if !names.contains(&"host") {
            let text = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
            return Err(StsError::SignatureDoesNotMatch(text.to_owned()));
        }
        let headers = names
            .iter()
            .map(|name| header_value(wire, name).map(|value| (*name, value)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(StsError::mismatch)?;
        let signed = |name: &str| !presigned || !name.eq_ignore_ascii_case("X-Amz-Signature");
        let query = sigv4::canonical_query(parameters.iter().filter(|(name, _)| signed(name)));
        let hash = if wire.body.is_empty() { None } else { Some(sigv4::sha256_hex(wire.body)) };
        let request = sigv4::Request {
            method: wire.method,
            path: wire.path,
            query: &query,
            headers: &headers,
            signed_headers: &names.join(";"),
            payload_hash: hash.as_deref().unwrap_or(sigv4::EMPTY_PAYLOAD),
        };
        Ok(sigv4::sign(secret, self.amz_date, self.scope, &request))
    }
}

fn check_algorithm(algorithm: &str) -> Result<(), StsError> {
    if algorithm == ALGORITHM {
        Ok(())
    } else {
        Err(incomplete(&format!("Unsupported AWS 'algorithm': '{algorithm}'.")))
    }
}

fn check_scope(claim: &Claim<'_>, expected: &str, host: &str) -> Result<(), StsError> {
    let Scope { date, region, service } = claim.scope;
    let wrong = |text: String| Err(StsError::SignatureDoesNotMatch(text));
    if claim.terminator != TERMINATOR {
        return wrong(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
            claim.terminator
        ));
    }
    if service != expected {
        return wrong(format!("Credential should be scoped to correct service: '{expected}'. "));
    }
    let right_region = match host_region(host) {
        Some(HostRegion::Of(expected)) => region == expected,
        Some(HostRegion::Any) => hosts::is_region(region),
        None => false,
    };
    if !right_region {
        return wrong("Credential should be scoped to a valid region. ".to_owned());
    }
    let day = claim.amz_date.get(..8).unwrap_or_default();
    if date != day {
        let from = claim.amz_date;
        return wrong(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != \
             '{day}', from '{from}'."
        ));
    }
    Ok(())
}

fn check_window(claim: &Claim<'_>, signed_at: SystemTime, now: SystemTime) -> Result<(), StsError> {
    let date = claim.amz_date;
    if signed_at + LIFETIME < now {
        let (oldest, now) = (amz_date(now - LIFETIME), amz_date(now));
        let text = format!("Signature expired: {date} is now earlier than {oldest} ({now} - 15 min.)");
        return Err(StsError::SignatureDoesNotMatch(text));
    }
    if signed_at > now + FUTURE {
        let (newest, now) = (amz_date(now + FUTURE), amz_date(now));
        let text = format!("Signature not yet current: {date} is still later than {newest} ({now} + 5 min.)");
        return Err(StsError::SignatureDoesNotMatch(text));
    }
    Ok(())
}

fn parse_date(text: &str) -> Result<SystemTime, StsError> {
    let wrong = || {
        let see = "See http://en.wikipedia.org/wiki/ISO_8601";
        incomplete(&format!("Date must be in ISO-8601 'basic format'. Got '{text}'. {see}"))
    };
    let digits = text.bytes().enumerate().all(|(at, byte)| matches!(at, 8 | 15) || byte.is_ascii_digit());
    if text.len() != 16 || !digits {
        return Err(wrong());
    }
    PrimitiveDateTime::parse(text, AMZ_DATE).map(|date| date.assume_utc().into()).map_err(|_| wrong())
}

/// The canonical value of a signed header: repeated headers joined by commas, as the guide says.
fn header_value(wire: &Wire<'_>, name: &str) -> Option<String> {
    if name == "host" {
        return Some(sigv4::canonical_value(wire.host));
    }
    let mut joined = String::new();
    for (index, value) in wire.headers.get_all(name).iter().enumerate() {
        if index > 0 {
            joined.push(',');
        }
        joined.push_str(&sigv4::canonical_value(value.to_str().ok()?));
    }
    wire.headers.contains_key(name).then_some(joined)
}

fn single_header<'a>(wire: &Wire<'a>, name: &str) -> Result<Option<&'a str>, StsError> {
    let mut values = wire.headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(incomplete(&format!("the header '{name}' comes twice")));
    }
    let text = |value: &'a http::HeaderValue| value.to_str().map_err(|_| incomplete("a header is not plain text"));
    first.map(text).transpose()
}

fn incomplete(text: &str) -> StsError {
    StsError::IncompleteSignature(text.to_owned())
}

#[cfg(test)]
mod tests;
