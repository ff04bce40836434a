//! bootstrapAdmins: who gets in whatever happens to every other source, as a stage.
//!
//! They stand in Herald's own file and are asked before all of `server.backendMode`, so that a damaged or
//! emptied ConfigMap, an API server that does not answer, or a policy that fails locks nobody out for good.

use std::sync::Arc;

use futures_util::future::{BoxFuture, ready};

use super::{Answer, Stage, rule::Rules};
use crate::policy::Request;

/// `server.bootstrapAdmins`.
#[derive(Clone, Debug, Default)]
pub struct BootstrapAdmins(Arc<Rules>);

/// The name in the trail, in logs and metrics.
pub const NAME: &str = "bootstrapAdmins";
/// The username of an entry that gives none. Who it was in person is in the `arn` and `sessionName` of `extra`.
pub const USERNAME: &str = "bootstrap-admin";
/// The one group of an entry that gives none (Kubernetes documentation, "Using RBAC Authorization").
pub const GROUP: &str = "system:masters";

impl BootstrapAdmins {
    /// A stage that answers from `rules`.
    #[must_use]
    pub fn new(rules: Arc<Rules>) -> Self {
        Self(rules)
    }
}

impl Stage for BootstrapAdmins {
    fn name(&self) -> &str {
        NAME
    }

    fn decide<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(ready(self.0.answer(request)))
    }
}
