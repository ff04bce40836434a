//! Traffic: TokenReviews of made tokens, each with the username that must come back.

use std::thread;

use anyhow::Context as _;
use bytes::Bytes;
pub(crate) use tests::tokens::Kind;
use tests::tokens::{Batch, Made, alibaba};

use crate::{clock, load::Order, target::config::CLUSTER_ID};

/// Whose callers the target under test takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cloud {
    /// AWS: every [`Kind`] of token.
    Aws,
    /// Alibaba Cloud: good tokens.
    Alibaba,
}

/// How the target under test names callers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Naming {
    /// As the mapping file does: `role:session`.
    Mapping,
    /// As the policy `session-groups` does with the bench's settings.
    Policy,
}

/// One request and what must come back.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The TokenReview.
    pub(crate) body: Bytes,
    /// The caller's username; `None`: it must be refused.
    pub(crate) username: Option<String>,
}

/// Requests to take in turn; never empty.
#[derive(Debug)]
pub(crate) struct Cases(Vec<Case>);

// === impl Naming ===

impl Naming {
    /// The username of the caller whom the forge says the mappings call `mapped`.
    fn username(self, mapped: String) -> String {
        match self {
            Self::Mapping => mapped,
            Self::Policy => format!("{POLICY_PREFIX}{mapped}"),
        }
    }
}

// === impl Cloud ===

impl Cloud {
    fn tokens(self, kind: Kind, count: usize, first_session: u64, roles: u64) -> Vec<Made> {
        let at = clock::now();
        match self {
            Self::Alibaba => alibaba::many(count, first_session, roles, CLUSTER_ID, at),
            Self::Aws => {
                let batch = Batch {
                    kind,
                    roles,
                    first_session,
                    host: STS_HOST,
                    cluster_id: CLUSTER_ID,
                    session_token_len: SESSION_TOKEN_BYTES,
                    at,
                };
                batch.tokens(count)
            }
        }
    }
}

// === impl Cases ===

impl Cases {
    /// Makes `n` requests of one kind; their sessions are numbered from `first` and spread over `roles`.
    ///
    /// # Errors
    ///
    /// When a token maker panics.
    pub(crate) fn make(
        (cloud, kind): (Cloud, Kind),
        n: usize,
        first: u64,
        roles: u64,
        naming: Naming,
    ) -> anyhow::Result<Self> {
        let half = n.div_ceil(2).max(1);
        let made = thread::scope(|scope| {
            let other = scope.spawn(move || cloud.tokens(kind, n.saturating_sub(half), first + half as u64, roles));
            let mut made = cloud.tokens(kind, half, first, roles);
            made.extend(other.join().ok()?);
            Some(made)
        });
        let cases = made.context("the token maker panicked")?.into_iter().map(|(token, mapped)| Case {
            body: review_body(&token),
            username: mapped.map(|mapped| naming.username(mapped)),
        });
        Ok(Self(cases.collect()))
    }

    /// The `n`th request's case.
    pub(crate) fn at(&self, order: Order, n: u64) -> &Case {
        &self.0[order.pick(n, self.0.len())]
    }
}

/// A TokenReview as kube-apiserver writes it.
fn review_body(token: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","metadata":{{"creationTimestamp":null}},"spec":{{"token":"{token}"}},"status":{{"user":{{}}}}}}"#
    ))
}

/// What the policy under test puts before the name that the mappings give.
pub(crate) const POLICY_PREFIX: &str = "policy:";
/// The STS host in all tokens of AWS.
const STS_HOST: &str = "sts.us-east-1.amazonaws.com";
/// Length of the session token in each token of AWS; with it a token has 1.7 kB, as with temporary credentials.
const SESSION_TOKEN_BYTES: u64 = 800;
