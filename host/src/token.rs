//! A bearer token: secret bytes of bounded size that cannot be printed and leave no copy behind.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A bearer token as a TokenReview carried it. It has no `Display`, its `Debug` shows only a
/// length, and its memory is wiped when it is dropped.
pub struct BearerToken(Zeroizing<String>);

/// SHA-256 of a token's bytes: what caches and single-flight are keyed by.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct TokenDigest([u8; 32]);

impl BearerToken {
    /// Takes `token` over. Its size is the provider's to judge: the server's body limit has
    /// already bounded it.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    /// The secret itself. Only a provider's parser has a reason to look at it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the token has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key under which caches know this token.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({} bytes, hidden)", self.0.len())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_secret() {
        let token = BearerToken::new("k8s-aws-v1.c2VjcmV0".to_owned());
        assert_eq!(format!("{token:?}"), "BearerToken(19 bytes, hidden)");
        assert_eq!(format!("{:?}", token.digest()), "TokenDigest(hidden)");
    }

    #[test]
    fn equal_tokens_share_a_digest() {
        let digest = |text: &str| BearerToken::new(text.to_owned()).digest();
        assert!(digest("a") == digest("a"));
        assert!(digest("a") != digest("b"));
    }
}
