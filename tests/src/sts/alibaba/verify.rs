//! Verifier of requests as they came off the wire: ACS3-HMAC-SHA256 in headers, or RPC signatures in the query.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use time::PrimitiveDateTime;

use super::{DATE, Error, Key, Service, VERSION};
use crate::{
    acs3,
    sigv4::sha256_hex,
    sts::{query::Parameters, verify::Wire},
};

/// How far a request's date may be from ours, either way.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// What a request says of itself, in whichever form it is signed.
struct Claim<'a> {
    id: &'a str,
    token: Option<&'a str>,
    date: &'a str,
    nonce: Option<&'a str>,
}

// === impl Service ===

impl Service {
    /// Finds out whose key signed `wire`.
    pub(super) fn verify(
        &self,
        wire: &Wire<'_>,
        parameters: &Parameters<'_>,
        now: SystemTime,
    ) -> Result<Arc<Key>, Error> {
        match header(wire, "authorization")? {
            Some(authorization) => self.verify_v3(wire, parameters, authorization, now),
            None => self.verify_rpc(wire, parameters, now),
        }
    }

    /// Whoever `wire` says it is from, unproven.
    pub(in crate::sts) fn named(&self, wire: &Wire<'_>) -> Result<Arc<Key>, Error> {
        let authorization = header(wire, "authorization")?.unwrap_or_default();
        let id = authorization.split_once("Credential=").and_then(|(_, rest)| rest.split(',').next());
        self.find(id.unwrap_or_default()).ok_or(Error::KeyNotFound)
    }

    fn verify_v3(
        &self,
        wire: &Wire<'_>,
        parameters: &Parameters<'_>,
        authorization: &str,
        now: SystemTime,
    ) -> Result<Arc<Key>, Error> {
        let rest = authorization.strip_prefix(acs3::ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let parts: Vec<&str> = rest.ok_or(Error::IncompleteSignature)?.split(',').collect();
        let [id, names, signature] = parts.as_slice() else { return Err(Error::IncompleteSignature) };
        let (Some(id), Some(names), Some(signature)) = (
            id.strip_prefix("Credential="),
            names.strip_prefix("SignedHeaders="),
            signature.strip_prefix("Signature="),
        ) else {
            return Err(Error::IncompleteSignature);
        };
        let required = |name| header(wire, name)?.ok_or(Error::MissingParameter(name));
        let claim = Claim {
            id,
            token: header(wire, "x-acs-security-token")?,
            date: required("x-acs-date")?,
            nonce: header(wire, "x-acs-signature-nonce")?,
        };
        let key = self.key(&claim, now)?;
        let mut headers = Vec::new();
        for name in names.split(';') {
            let value = if name == "host" { Some(wire.host) } else { header(wire, name)? };
            headers.push((name.to_owned(), value.ok_or(Error::SignatureDoesNotMatch)?.to_owned()));
        }
        // Every header of ours that came must be signed: an added one would change what is asked.
        let unsigned = |name: &str| name.starts_with("x-acs-") && !headers.iter().any(|(signed, _)| signed == name);
        if wire.headers.keys().any(|name| unsigned(name.as_str())) {
            return Err(Error::SignatureDoesNotMatch);
        }
        let body_hash = sha256_hex(wire.body);
        if required("x-acs-content-sha256")? != body_hash {
            return Err(Error::SignatureDoesNotMatch);
        }
        let query: Vec<_> = parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let request = acs3::Request {
            method: wire.method,
            path: wire.path,
            query: &query,
            headers: &headers,
            body_hash: &body_hash,
        };
        if acs3::sign(&key.secret, &request) != *signature {
            return Err(Error::SignatureDoesNotMatch);
        }
        self.check_date(&claim, now)?;
        Ok(key)
    }

    fn verify_rpc(&self, wire: &Wire<'_>, parameters: &Parameters<'_>, now: SystemTime) -> Result<Arc<Key>, Error> {
        let needed = |name: &'static str| parameters.find(name).ok_or(Error::MissingParameter(name));
        let fixed = |name, value| if needed(name)? == value { Ok(()) } else { Err(Error::IncompleteSignature) };
        fixed("SignatureMethod", "HMAC-SHA1")?;
        fixed("SignatureVersion", "1.0")?;
        fixed("Version", VERSION)?;
        let claim = Claim {
            id: needed("AccessKeyId")?,
            token: parameters.find("SecurityToken"),
            date: needed("Timestamp")?,
            nonce: Some(needed("SignatureNonce")?),
        };
        let key = self.key(&claim, now)?;
        let pairs = parameters.iter().filter(|(name, _)| *name != "Signature");
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if acs3::sign_rpc(&key.secret, wire.method, &pairs) != needed("Signature")? {
            return Err(Error::SignatureDoesNotMatch);
        }
        self.check_date(&claim, now)?;
        Ok(key)
    }

    fn key(&self, claim: &Claim<'_>, now: SystemTime) -> Result<Arc<Key>, Error> {
        let key = self.find(claim.id).ok_or(Error::KeyNotFound)?;
        match (&key.security_token, claim.token) {
            _ if key.disabled => Err(Error::KeyInactive),
            (Some(_), None) => Err(Error::MissingSecurityToken),
            (expected, found) if expected.as_deref() != found => Err(Error::TokenMismatch),
            _ if key.expires_at.is_some_and(|end| end <= now) => Err(Error::TokenExpired),
            _ => Ok(key),
        }
    }

    /// The date, and behind it the nonce: one that is out of date need not be remembered.
    fn check_date(&self, claim: &Claim<'_>, now: SystemTime) -> Result<(), Error> {
        let date = PrimitiveDateTime::parse(claim.date, DATE).map_err(|_| Error::TimeExpired)?;
        let date = SystemTime::from(date.assume_utc());
        let apart = now.duration_since(date).unwrap_or_else(|error| error.duration());
        if apart > WINDOW {
            return Err(Error::TimeExpired);
        }
        if claim.nonce.is_some_and(|nonce| !self.is_new(nonce)) { Err(Error::NonceUsed) } else { Ok(()) }
    }
}

/// The value of a header that comes once.
fn header<'a>(wire: &Wire<'a>, name: &str) -> Result<Option<&'a str>, Error> {
    let mut values = wire.headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Error::IncompleteSignature);
    }
    first.map(|value| value.to_str().map_err(|_| Error::IncompleteSignature)).transpose()
}
