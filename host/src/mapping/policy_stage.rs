//! Stub of the policy room's stage.

use std::sync::Arc;

use futures_util::future::{BoxFuture, ready};

use super::{Answer, Stage};
use crate::policy::{Policy, Request, Verdict};

/// Stub.
pub const PREFIX: &str = "Policy/";

/// Stub.
#[derive(Debug)]
pub struct PolicyStage(#[allow(dead_code, reason = "a stub")] Arc<Policy>);

impl PolicyStage {
    /// Stub.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self(policy)
    }
}

impl Stage for PolicyStage {
    fn name(&self) -> &str {
        PREFIX
    }

    fn decide<'a>(&'a self, _request: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(ready(Answer::plain(Ok(Verdict::Abstain))))
    }
}
