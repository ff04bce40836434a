//! ACS3-HMAC-SHA256: the signature of requests to Alibaba Cloud (Alibaba Cloud OpenAPI, "V3 request syntax and
//! signature method").
//!
//! The key is the AccessKey secret as it is: no day, region or service is derived into it. What is signed is the
//! method, the path, the whole query, the listed headers and the hash of the body; the host only if it is listed.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// The only algorithm that is made or taken.
pub(super) const ALGORITHM: &str = "ACS3-HMAC-SHA256";
/// SHA-256 of no bytes: `x-acs-content-sha256` of a request without a body.
pub(super) const EMPTY_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// RFC 3986, section 2.3: everything else is escaped, by its bytes in UTF-8.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Method and path of every call of STS.
pub(super) const CALL: (&str, &str) = ("POST", "/");

/// A header that is signed: its name in lower case, and its value without outer white space.
pub(super) type Header<'a> = (&'a str, &'a str);

/// What is signed of a request without a body.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    /// In upper case, and the path as it is sent.
    pub(super) target: (&'a str, &'a str),
    /// As [`canonical_query`] writes it.
    pub(super) query: &'a str,
    /// By name.
    pub(super) headers: &'a [Header<'a>],
}

/// `pairs` by name, escaped as they are signed and sent.
pub(super) fn canonical_query(pairs: &[(&str, &str)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let mut text = String::new();
    for (name, value) in sorted {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(utf8_percent_encode(name, ENCODED));
        text.push('=');
        text.extend(utf8_percent_encode(value, ENCODED));
    }
    text
}

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

// === impl Request ===

impl Request<'_> {
    /// `SignedHeaders`.
    pub(super) fn signed_headers(&self) -> String {
        self.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    /// The signature by `secret`, in lower-case hexadecimal.
    pub(super) fn signature(&self, secret: &str) -> String {
        let text = format!("{ALGORITHM}\n{}", hex(&Sha256::digest(self.canonical())));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    /// The value of `Authorization` for the key `access_key_id`.
    pub(super) fn authorization(&self, access_key_id: &str, signature: &str) -> String {
        let signed = self.signed_headers();
        format!("{ALGORITHM} Credential={access_key_id},SignedHeaders={signed},Signature={signature}")
    }

    fn canonical(&self) -> String {
        let (method, path) = self.target;
        let mut text = format!("{method}\n{path}\n{}\n", self.query);
        for (name, value) in self.headers {
            text.extend([name, ":", value, "\n"]);
        }
        text.extend(["\n", &self.signed_headers(), "\n", EMPTY_BODY]);
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secret: &str, query: &[(&str, &str)], headers: &[Header<'_>], hash: &str, signature: &str) {
        let query = canonical_query(query);
        let request = Request { target: CALL, query: &query, headers };
        assert_eq!(hex(&Sha256::digest(request.canonical())), hash, "{}", request.canonical());
        assert_eq!(request.signature(secret), signature);
    }

    /// The example of the vendor's own documentation.
    #[test]
    fn a_documented_request() {
        check(
            "YourAccessKeySecret",
            &[("RegionId", "cn-shanghai"), ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd")],
            &[
                ("host", "ecs.cn-shanghai.aliyuncs.com"),
                ("x-acs-action", "RunInstances"),
                ("x-acs-content-sha256", EMPTY_BODY),
                ("x-acs-date", "2023-10-26T10:22:32Z"),
                ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
                ("x-acs-version", "2014-05-26"),
            ],
            "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
        );
    }

    /// Requests of existing clients, each made by two signers that know nothing of each other.
    #[test]
    fn requests_for_clusters() {
        #[track_caller]
        fn by_key(cluster_id: &str, hash: &str, signature: &str) {
            let headers = [
                ("x-acs-action", "GetCallerIdentity"),
                ("x-acs-content-sha256", EMPTY_BODY),
                ("x-acs-date", "2026-11-22T12:36:20Z"),
                ("x-acs-version", "2015-04-01"),
            ];
            check("dummySecretForTests0000000001", &[("ACKClusterId", cluster_id)], &headers, hash, signature);
        }
        by_key(
            "c0123456789abcdef0123456789abcdef",
            "385685a595865dc7c6e47d1a5dc848cd58d0bf69617d6e538184349dc13822a0",
            "057d6c070ee206aca5cca3dd8d545de7c4e752678abb9867eca20161f67483c7",
        );
        by_key(
            "my cluster",
            "66df83f013455b1b94bbc657edfe741a488991fdc37a367f92da707c1c758a6a",
            "c0cea48c7f071b3e1bc0d4f4a3201770ea8089c5fce01a56c394a522b30f8f67",
        );
        by_key(
            "a+b*c~d/é",
            "6b365f3fe92d3e69583ac8cb62fc97d1dd0d3612b99af4556b0328c1a59734f5",
            "833ee60229a22c33ddb79944dcfd5f4aff7737a2762a6964b801a638e2060589",
        );
    }

    #[test]
    fn a_request_with_a_security_token() {
        check(
            "dummyRoleSecret0000000000001",
            &[("ACKClusterId", "c0123456789abcdef0123456789abcdef")],
            &[
                ("x-acs-action", "GetCallerIdentity"),
                ("x-acs-content-sha256", EMPTY_BODY),
                ("x-acs-date", "2026-11-22T12:43:41Z"),
                ("x-acs-security-token", "dummySecurityToken+/=A"),
                ("x-acs-version", "2015-04-01"),
            ],
            "b5fd99a7eeae9f579849afb28c058c5ef36c0cd2228dacfdfeb75b6992cbdeac",
            "5160389ca6e7129897de270425f7b3640935555f71befb6c625c93f202f46a65",
        );
    }
}
