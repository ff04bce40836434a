//! ACS3-HMAC-SHA256 and its predecessor, RPC signatures by HMAC-SHA1, from first principles (Alibaba Cloud OpenAPI,
//! "V3 request syntax and signature method" and "V2 RPC request syntax and signature method").
//!
//! A second, independent implementation, as `sigv4` is for AWS: the product signs and reads tokens by its own code,
//! the dev STS and the token forge by this one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::sigv4::{encode, sha256_hex};

/// The algorithm of V3.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// A request as V3 signs it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// In upper case.
    pub method: &'a str,
    /// As on the wire.
    pub path: &'a str,
    /// Decoded parameters, in any order.
    pub query: &'a [(String, String)],
    /// Names in lower case and values, in the order in which they are signed.
    pub headers: &'a [(String, String)],
    /// Hexadecimal SHA-256 of the body.
    pub body_hash: &'a str,
}

/// Names and values, escaped, by name.
#[must_use]
pub fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<_> =
        pairs.iter().map(|(name, value)| (encode(name.as_bytes()), encode(value.as_bytes()))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The signature of `request` by `secret`.
#[must_use]
pub fn sign(secret: &str, request: &Request<'_>) -> String {
    let headers: String = request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let names = request.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let (method, path, query) = (request.method, request.path, canonical_query(request.query));
    let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{}", request.body_hash);
    let text = format!("{ALGORITHM}\n{}", sha256_hex(canonical.as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The RPC signature of `pairs`, all that a request has but `Signature`.
#[must_use]
pub fn sign_rpc(secret: &str, method: &str, pairs: &[(String, String)]) -> String {
    let text = format!("{method}&{}&{}", encode(b"/"), encode(canonical_query(pairs).as_bytes()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{secret}&").as_bytes());
    STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// The examples of the vendor's own documentation.
    #[test]
    fn documented_requests() {
        let empty = sha256_hex(b"");
        let request = Request {
            method: "POST",
            path: "/",
            query: &pairs(&[
                ("RegionId", "cn-shanghai"),
                ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
            ]),
            headers: &pairs(&[
                ("host", "ecs.cn-shanghai.aliyuncs.com"),
                ("x-acs-action", "RunInstances"),
                ("x-acs-content-sha256", &empty),
                ("x-acs-date", "2023-10-26T10:22:32Z"),
                ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
                ("x-acs-version", "2014-05-26"),
            ]),
            body_hash: &empty,
        };
        assert_eq!(
            sign("YourAccessKeySecret", &request),
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
        let rpc = pairs(&[
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Format", "XML"),
            ("AccessKeyId", "testid"),
            ("Action", "DescribeRegions"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("Version", "2014-05-26"),
            ("SignatureVersion", "1.0"),
        ]);
        assert_eq!(sign_rpc("testsecret", "GET", &rpc), "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
    }
}
