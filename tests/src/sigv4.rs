//! AWS Signature Version 4 from first principles (AWS General Reference, "Create a signed AWS API request").
//!
//! This is a second, independent implementation: the product signs and reads tokens through
//! `aws-sigv4`, the dev STS and the token forge through this file, so that neither can agree with
//! itself by accident.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The only algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How every credential scope ends.
pub const TERMINATOR: &str = "aws4_request";
/// SHA-256 of no bytes: the payload hash of a request without a body.
pub const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const UPPER_HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Letters, digits and `-._~`.
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        // No panic and no loss: `byte` is below 256.
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// What a signature is bound to besides the request: a day, a region and a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scope<'a> {
    /// `yyyymmdd`.
    pub date: &'a str,
    /// Such as `us-east-1`.
    pub region: &'a str,
    /// Such as `sts`.
    pub service: &'a str,
}

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// In upper case.
    pub method: &'a str,
    /// As on the wire.
    pub path: &'a str,
    /// From [`canonical_query`].
    pub query: &'a str,
    /// Names in lower case with canonical values, in the order of `signed_headers`.
    pub headers: &'a [(&'a str, String)],
    /// Lower-case names joined by `;`.
    pub signed_headers: &'a str,
    /// Lower-case hexadecimal SHA-256 of the body.
    pub payload_hash: &'a str,
}

/// The signature of `request`, in lower-case hexadecimal. `amz_date` is `yyyymmddThhmmssZ`.
#[must_use]
pub fn sign(secret: &str, amz_date: &str, scope: Scope<'_>, request: &Request<'_>) -> String {
    let text = string_to_sign(amz_date, scope, &canonical_request(request));
    hex(&hmac(&signing_key(secret, scope), text.as_bytes()))
}

/// The request in the one form that both sides hash.
#[must_use]
pub fn canonical_request(request: &Request<'_>) -> String {
    let Request { method, path, query, headers, signed_headers, payload_hash } = request;
    let mut text = String::with_capacity(query.len() + 512);
    text.push_str(method);
    text.push('\n');
    if *path == "/" {
        text.push('/')
    } else {
        encode_path(&mut text, path)
    }
    text.push('\n');
    text.push_str(query);
    text.push('\n');
    for (name, value) in *headers {
        text.extend([name, ":", value.as_str(), "\n"]);
    }
    text.extend(["\n", signed_headers, "\n", payload_hash]);
    text
}

/// Decoded pairs, encoded again and sorted by name, then by value.
#[must_use]
pub fn canonical_query<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    let mut encoded: Vec<(String, String)> =
        pairs.into_iter().map(|(name, value)| (encode(name.as_ref()), encode(value.as_ref()))).collect();
    encoded.sort_unstable();
    let mut text = String::with_capacity(encoded.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
    for (name, value) in &encoded {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend([name.as_str(), "=", value.as_str()]);
    }
    text
}

/// A header's value without outer white space and with inner runs of spaces made one.
#[must_use]
pub fn canonical_value(value: &str) -> String {
    let trimmed = value.trim();
    if trimmed.contains("  ") {
        trimmed.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        trimmed.to_owned()
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    push_encoded(&mut text, bytes);
    text
}

/// Lower-case hexadecimal SHA-256.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Services other than S3 encode the path as it stands on the wire once more.
fn encode_path(text: &mut String, path: &str) {
    if path.is_empty() {
        text.push('/');
    }
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            text.push('/');
        }
        push_encoded(text, segment.as_bytes());
    }
}

/// Copies runs of safe bytes whole: this is most of what a check of a long session token costs.
fn push_encoded(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunk_by(|one, next| UNRESERVED[usize::from(*one)] && UNRESERVED[usize::from(*next)]) {
        match std::str::from_utf8(chunk) {
            Ok(run) if UNRESERVED[usize::from(chunk[0])] => text.push_str(run),
            _ => chunk.iter().for_each(|byte| {
                text.push('%');
                text.push(char::from(UPPER_HEX[usize::from(byte >> 4)]));
                text.push(char::from(UPPER_HEX[usize::from(byte & 15)]));
            }),
        }
    }
}

fn string_to_sign(amz_date: &str, scope: Scope<'_>, canonical_request: &str) -> String {
    let Scope { date, region, service } = scope;
    let mut text = String::with_capacity(192);
    let hash = sha256_hex(canonical_request.as_bytes());
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{ALGORITHM}\n{amz_date}\n{date}/{region}/{service}/{TERMINATOR}\n{hash}");
    text
}

fn signing_key(secret: &str, scope: Scope<'_>) -> [u8; 32] {
    let key = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
    [scope.region, scope.service, TERMINATOR].into_iter().fold(key, |key, part| hmac(&key, part.as_bytes()))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const DATE: &str = "20150830T123600Z";

    #[track_caller]
    fn check(method: &str, path: &str, query: &[(&str, &str)], headers: &[(&str, &str)], expected: &str) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, canonical_value(value))).collect();
        let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let query = canonical_query(query.iter().copied());
        let request = Request {
            method,
            path,
            query: &query,
            headers: &headers,
            signed_headers: &signed_headers,
            payload_hash: EMPTY_PAYLOAD,
        };
        let scope = Scope { date: "20150830", region: "us-east-1", service: "service" };
        assert_eq!(sign(SECRET, DATE, scope, &request), expected, "{method} {path}?{query}");
    }

    /// Signatures published with the signing guide's test suite.
    #[test]
    fn published_vectors() {
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", DATE)];
        check("GET", "/", &[], &headers, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        check("POST", "/", &[], &headers, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
        let unordered = [("Param2", "value2"), ("Param1", "value1")];
        check("GET", "/", &unordered, &headers, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
    }

    #[test]
    fn the_published_signing_key() {
        let scope = Scope { date: "20150830", region: "us-east-1", service: "iam" };
        let key = hex(&signing_key(SECRET, scope));
        assert_eq!(key, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn canonical_forms() {
        assert_eq!(canonical_value("  a   b  c "), "a b c");
        assert_eq!(canonical_query([("b", "2"), ("a", "é/+ "), ("a", "")]), "a=&a=%C3%A9%2F%2B%20&b=2");
        assert_eq!(sha256_hex(b""), EMPTY_PAYLOAD);
    }
}
