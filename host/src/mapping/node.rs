//! Node: the name of the node that a caller is, for entries that ask for it.
//!
//! Who finds it, and how, is nothing to a mapping: [`NodeNames`] is asked by the chain, once an entry that needs the
//! name has matched, and only then. What comes back is a name that Kubernetes accepts (RFC 1123 subdomain; Kubernetes
//! documentation, "Object Names and IDs"), or the login is refused.

use std::fmt;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::caller::Caller;

/// Knows the nodes behind callers.
pub trait NodeNames: Send + Sync {
    /// The name of the node that `caller` is. Bounded in time.
    fn find<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Found>;
}

/// What came of a search.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name, or why there is none.
    pub name: Result<NodeName, NoNode>,
    /// Where the answer came from, in one word for the audit log.
    pub source: &'static str,
}

/// A node's name: an RFC 1123 subdomain in lower case, never empty.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct NodeName(String);

/// Not the name of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a DNS name as nodes have them (RFC 1123, at most 253 lower-case letters, digits, `-` and `.`)")]
pub struct InvalidNodeName;

/// Why a caller has no node's name. Refuses the login.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct NoNode {
    /// The stable label for metrics, logs and `TokenReview.status.error`.
    pub reason: &'static str,
    /// The same in words.
    pub message: String,
    /// Whether asking again later can help.
    pub is_retryable: bool,
}

/// A search as the audit log has it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeRecord {
    /// The name, if it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<NodeName>,
    /// Where the answer came from.
    pub source: &'static str,
    /// Time it took, in microseconds.
    pub micros: u64,
}

/// Longest name (RFC 1123, section 2.1).
const MAX_NAME: usize = 253;
/// Longest label (RFC 1123, section 2.1).
const MAX_LABEL: usize = 63;

// === impl NodeName ===

impl NodeName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When Kubernetes would not take it as a node's.
    pub fn parse(text: &str) -> Result<Self, InvalidNodeName> {
        let good = text.len() <= MAX_NAME && text.split('.').all(is_label);
        good.then(|| Self(text.to_owned())).ok_or(InvalidNodeName)
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    matches!(text.len(), 1..=MAX_LABEL) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

// === impl NoNode ===

impl NoNode {
    /// Nobody here finds nodes: an explanation that is to ask no cloud.
    #[must_use]
    pub fn not_asked() -> Self {
        Self {
            reason: "node_not_looked_up",
            message: "the entry asks for the name of a node, which is not looked up here".to_owned(),
            is_retryable: false,
        }
    }
}

impl fmt::Debug for dyn NodeNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeNames")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_takes() {
        #[track_caller]
        fn check(text: &str, good: bool) {
            assert_eq!(NodeName::parse(text).is_ok(), good, "{text:?}");
        }
        check("ip-10-0-0-1.eu-west-1.compute.internal", true);
        check("i-0123456789abcdef0.us-east-2.compute.internal", true);
        check("a", true);
        check("", false);
        check(".", false);
        check("a..b", false);
        check("a.", false);
        check("-a", false);
        check("a-", false);
        check("Ip-10-0-0-1", false);
        check("a_b", false);
        check("a b", false);
        check("{{AccountID}}", false);
        check("a\n", false);
        check("système", false);
        check(&"a".repeat(63), true);
        check(&"a".repeat(64), false);
        let label = "a".repeat(61);
        check(&format!("{label}.{label}.{label}.{label}.abcde"), true);
        check(&format!("{label}.{label}.{label}.{label}.abcdef"), false);
    }
}
