//! A policy as a stage of the chain, under the name that `server.backendMode` gives it.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};

use super::{Answer, Stage, StageError};
use crate::policy::{Policy, Request, Versions};

/// What precedes a policy's name in `server.backendMode`, in the trail, in logs and metrics.
pub const PREFIX: &str = "Policy/";

/// One loaded policy in a chain. The same policy may stand in the chains of two generations.
#[derive(Debug)]
pub struct PolicyStage {
    name: String,
    policy: Arc<Policy>,
}

// === impl PolicyStage ===

impl PolicyStage {
    /// Makes `policy` a stage called `Policy/<name>`.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { name: format!("{PREFIX}{}", policy.name()), policy }
    }

    /// The policy behind the stage.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }
}

impl Stage for PolicyStage {
    fn name(&self) -> &str {
        &self.name
    }

    fn decide<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        let answer = self.policy.decide(request).map(|evaluation| Answer {
            verdict: evaluation.verdict.map_err(StageError::Policy),
            log: evaluation.log,
            fuel: Some(evaluation.fuel),
            waiting: None,
            node: evaluation.node,
            lists_account: false,
        });
        Box::pin(answer)
    }

    fn hold_tables(&self, versions: &mut Versions) {
        self.policy.hold_tables(versions);
    }

    fn missing(&self) -> Option<String> {
        self.policy.missing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Fault, Verdict,
        tests::{Fixture, caller, guest::Guest, request},
    };

    #[tokio::test]
    async fn a_policy_answers_under_its_configured_name() {
        #[track_caller]
        fn check(answer: &Answer, label: &str) {
            assert_eq!(answer.verdict.as_ref().map_or_else(StageError::reason, Verdict::label), label);
            assert!(answer.fuel.is_some_and(|fuel| fuel > 0), "{answer:?}");
        }
        let caller = caller("Admin");
        let ask = async |guest: Guest| {
            let stage = PolicyStage::new(Arc::new(Fixture::new(&guest.component()).load().unwrap()));
            assert_eq!(stage.name(), "Policy/test");
            stage.decide(&request(&caller)).await
        };
        check(&ask(Guest::deciding("unreachable")).await, Fault::Trap(String::new()).reason());
        check(&ask(Guest::default()).await, "abstain");
        check(&ask(Guest::allowing()).await, "allow");
    }
}
