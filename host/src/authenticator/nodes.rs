//! Nodes: joins the mapping's question, which node a caller is, to the cloud that can tell.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};

use crate::{
    caller::Caller,
    mapping::{
        NodeName, NodeNames,
        node::{Found, NoNode},
    },
    observe::Metrics,
    provider::aws::{
        ec2::{self, Ec2, Ec2Error, LookUp, Observer, Settings},
        service::Asker,
    },
};

/// Finds nodes by asking EC2 for the instance that a caller's session is named after.
pub struct Nodes {
    ec2: Ec2,
    metrics: Arc<Metrics>,
}

/// Counts calls to EC2.
struct Counted(Arc<Metrics>);

// === impl Nodes ===

impl Nodes {
    /// Looks up by `settings`, and counts. `clock` dates what is signed.
    #[must_use]
    pub fn new(settings: Settings, clock: fn() -> std::time::SystemTime, metrics: Arc<Metrics>) -> Self {
        let counted = Counted(Arc::clone(&metrics));
        Self { ec2: Ec2::new(settings, clock, Box::new(counted)), metrics }
    }

    /// The settings that it looks up by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.ec2.settings()
    }

    /// The instance that `caller` is, for whoever wants more of it than its name.
    pub(super) async fn instance(&self, caller: &Caller, asker: Asker) -> LookUp {
        let found = self.ec2.look_up(caller, asker).await;
        let result = found.instance.as_ref().map_or_else(Ec2Error::reason, |_| "ok");
        self.metrics.ec2_look_up(found.source.label(ec2::NAME), result);
        found
    }

    async fn look_up(&self, caller: &Caller) -> Found {
        let found = self.ec2.look_up(caller, Asker::Login).await;
        let name = found.instance.map_err(NoNode::from).and_then(|(_, instance)| name_of(&instance));
        let source = found.source.label(ec2::NAME);
        self.metrics.ec2_look_up(source, name.as_ref().map_or_else(|none| none.reason, |_| "ok"));
        Found { name, source }
    }
}

/// The name that `instance` has as a node. A policy may know an instance without one, but it is no node.
fn name_of(instance: &ec2::Instance) -> Result<NodeName, NoNode> {
    let none = |reason, message| NoNode { reason, message, is_retryable: false };
    let name = instance.private_dns_name.as_str();
    if name.is_empty() {
        let message = "the instance has no private DNS name: it has not started, or it has ended";
        return Err(none("node_without_name", message.to_owned()));
    }
    NodeName::parse(name)
        .map_err(|error| none("node_name_invalid", format!("the instance's private DNS name is {error}")))
}

impl NodeNames for Nodes {
    fn find<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Found> {
        self.look_up(caller).boxed()
    }
}

impl From<Ec2Error> for NoNode {
    fn from(error: Ec2Error) -> Self {
        Self { reason: error.reason(), message: error.to_string(), is_retryable: error.is_retryable() }
    }
}

// === impl Counted ===

impl Observer for Counted {
    fn called(&self, result: &'static str, instances: usize, took: Duration) {
        self.0.ec2_request(result, instances, took);
    }
}
