//! Cluster ids: what binds a token to one cluster, whichever cloud it is of.

use std::str::FromStr;

use serde::Deserialize;

/// The id of a cluster, as tokens are signed with it: 1 to 255 visible ASCII characters.
///
/// SigV4 folds runs of spaces and trims, so two ids could become one; there are none in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct ClusterId(String);

/// Not a cluster id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a cluster id must be 1 to 255 visible ASCII characters without spaces")]
pub struct InvalidClusterId;

// === impl ClusterId ===

impl ClusterId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterId {
    type Err = InvalidClusterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        (visible && matches!(text.len(), 1..=255)).then(|| Self(text.to_owned())).ok_or(InvalidClusterId)
    }
}

impl TryFrom<String> for ClusterId {
    type Error = InvalidClusterId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids() {
        #[track_caller]
        fn check(text: &str, good: bool) {
            assert_eq!(text.parse::<ClusterId>().is_ok(), good, "{text:?}");
        }
        check("prod.example.com", true);
        check("arn:aws:eks:eu-west-1:123456789012:cluster/prod", true);
        check(&"a".repeat(255), true);
        check(&"a".repeat(256), false);
        check("", false);
        check("a b", false);
        check(" a", false);
        check("a\r\nx: y", false);
        check("ä", false);
    }
}
