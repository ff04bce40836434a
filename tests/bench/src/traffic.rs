//! Traffic: TokenReviews of made tokens, each with the username that must come back.

use std::{
    ops::Range,
    thread,
    time::{Duration, SystemTime},
};

pub(crate) use ::tests::tokens::Kind;
use ::tests::tokens::{Batch, Made, alibaba};
use anyhow::Context as _;
use bytes::Bytes;

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
    /// The request with this token.
    fn case(self, (token, mapped): Made) -> Case {
        Case { body: review_body(&token), username: mapped.map(|mapped| self.username(mapped)) }
    }

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
    fn tokens(self, kind: Kind, count: usize, first_session: u64, roles: u64, at: SystemTime) -> Vec<Made> {
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
        let (half, at) = (n.div_ceil(2).max(1), clock::now());
        let made = thread::scope(|scope| {
            let other = scope.spawn(move || cloud.tokens(kind, n.saturating_sub(half), first + half as u64, roles, at));
            let mut made = cloud.tokens(kind, half, first, roles, at);
            made.extend(other.join().ok()?);
            Some(made)
        });
        let made = made.context("the token maker panicked")?;
        Ok(Self(made.into_iter().map(|made| naming.case(made)).collect()))
    }

    /// Requests with good tokens of AWS, of the same `callers` again and again: each has signed one so many seconds before
    /// `at`.
    pub(crate) fn of_callers(
        callers: usize,
        first: u64,
        roles: u64,
        naming: Naming,
        (at, ages): (SystemTime, Range<u64>),
    ) -> Self {
        let signed = ages.map(|age| at - Duration::from_secs(age));
        let made = signed.flat_map(|at| Cloud::Aws.tokens(Kind::Good, callers, first, roles, at));
        Self(made.map(|made| naming.case(made)).collect())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Known callers come again, and no token of theirs does.
    #[test]
    fn tokens_of_the_same_callers_are_all_different() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let make = |ages| Cases::of_callers(3, 7, 2, Naming::Mapping, (at, ages)).0;
        let cases = [make(0..2), make(2..4)].concat();
        assert_eq!(cases.iter().map(|case| &case.body).collect::<BTreeSet<_>>().len(), 12);
        assert_eq!(cases.iter().map(|case| &case.username).collect::<BTreeSet<_>>().len(), 3);
        assert!(cases.iter().all(|case| case.username.is_some()));
    }
}
