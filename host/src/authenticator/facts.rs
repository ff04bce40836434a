//! Facts about callers: joins what a policy may be granted to know to the services of AWS that can tell.
//!
//! Of callers of other clouds nothing is asked, and nothing found: they are not of that kind. It is no fault and no
//! missing grant, either of which would refuse everybody of theirs where a policy for AWS stands in front of their
//! entries.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};

use super::nodes::Nodes;
use crate::{
    caller::Caller,
    observe::Metrics,
    policy::cloud::{FactFinder, Instance, LookUpError},
    provider::aws::{
        ec2::{self, Ec2Error},
        iam::{self, Iam, IamError, Observer, Settings},
        service::Asker,
    },
};

/// Finds facts by asking EC2 for the instance and IAM for the tags.
#[derive(Clone)]
pub struct CloudFacts {
    nodes: Arc<Nodes>,
    iam: Iam,
    metrics: Arc<Metrics>,
}

/// The same for policies in shadow mode: by the runtime's own threads, since others may wait for the same look-up, and with
/// half of the pace left to logins. They look up one after another, and so take no more than a place or two.
#[derive(Clone)]
pub struct Aside(pub CloudFacts);

/// Counts calls to IAM.
struct Counted(Arc<Metrics>);

// === impl CloudFacts ===

impl CloudFacts {
    /// Looks instances up by `nodes`, and tags by `settings`, and counts. `clock` dates what is signed.
    #[must_use]
    pub fn new(
        nodes: Arc<Nodes>,
        settings: Settings,
        clock: fn() -> std::time::SystemTime,
        metrics: Arc<Metrics>,
    ) -> Self {
        let counted = Counted(Arc::clone(&metrics));
        Self { nodes, iam: Iam::new(settings, clock, Box::new(counted)), metrics }
    }

    /// The settings that it looks tags up by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.iam.settings()
    }

    /// The same with `nodes`; what is known of tags stays.
    #[must_use]
    pub fn with_nodes(&self, nodes: Arc<Nodes>) -> Self {
        Self { nodes, ..self.clone() }
    }

    async fn find_instance(&self, caller: &Caller, asker: Asker) -> Result<Instance, LookUpError> {
        let found = self.nodes.instance(caller, asker).await;
        let (id, instance) = found.instance.map_err(|error| without_instance(&error))?;
        let ec2::Instance { private_dns_name, private_ip, zone, image_id, tags, owner: _ } = (*instance).clone();
        let (id, tags) = (id.as_str().to_owned(), tags.into_iter().collect());
        Ok(Instance { id, private_dns_name, private_ip, zone, image_id, tags })
    }

    async fn find_tags(&self, caller: &Caller, asker: Asker) -> Result<BTreeMap<String, String>, LookUpError> {
        let found = self.iam.look_up(caller, asker).await;
        let result = found.tags.as_ref().map_or_else(IamError::reason, |_| "ok");
        self.metrics.iam_look_up(found.source.label(iam::NAME), result);
        found.tags.map(|tags| tags.0.clone()).map_err(|error| without_tags(&error))
    }
}

impl FactFinder for CloudFacts {
    fn instance<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Instance, LookUpError>> {
        self.find_instance(caller, Asker::Login).boxed()
    }

    fn tags<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<BTreeMap<String, String>, LookUpError>> {
        self.find_tags(caller, Asker::Login).boxed()
    }
}

// === impl Aside ===

impl FactFinder for Aside {
    fn instance<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Instance, LookUpError>> {
        let (Self(facts), caller) = (self.clone(), caller.clone());
        elsewhere(async move { facts.find_instance(&caller, Asker::Aside).await }).boxed()
    }

    fn tags<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<BTreeMap<String, String>, LookUpError>> {
        let (Self(facts), caller) = (self.clone(), caller.clone());
        elsewhere(async move { facts.find_tags(&caller, Asker::Aside).await }).boxed()
    }
}

/// What `look_up` gives on a thread of the runtime; nothing, if that ends.
async fn elsewhere<T: Send + 'static>(
    look_up: impl Future<Output = Result<T, LookUpError>> + Send + 'static,
) -> Result<T, LookUpError> {
    tokio::spawn(look_up).await.unwrap_or(Err(LookUpError::Unavailable))
}

/// What a policy is told; the metrics have the rest.
fn without_instance(error: &Ec2Error) -> LookUpError {
    match error {
        Ec2Error::Credentials(_) | Ec2Error::Endpoint(_) | Ec2Error::Refused { .. } => LookUpError::Forbidden,
        error if error.is_retryable() => LookUpError::Unavailable,
        _ => LookUpError::NotFound,
    }
}

/// Likewise.
fn without_tags(error: &IamError) -> LookUpError {
    match error {
        IamError::Credentials(_) | IamError::Endpoint(_) | IamError::Refused { .. } => LookUpError::Forbidden,
        error if error.is_retryable() => LookUpError::Unavailable,
        _ => LookUpError::NotFound,
    }
}

// === impl Counted ===

impl Observer for Counted {
    fn called(&self, result: &'static str, took: Duration) {
        self.0.iam_request(result, took);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::caller::made_up;

    #[tokio::test]
    async fn nothing_is_found_of_callers_of_other_clouds() {
        let (clock, metrics): (fn() -> SystemTime, _) = (|| SystemTime::UNIX_EPOCH, Arc::new(Metrics::default()));
        let nodes = Arc::new(Nodes::new(ec2::Settings::default(), clock, Arc::clone(&metrics)));
        let facts = CloudFacts::new(nodes, Settings::default(), clock, metrics);
        for arn in
            ["acs:ram::1234567890123456:assumed-role/Nodes/i-0123456789abcdef0", "acs:ram::1234567890123456:user/dora"]
        {
            let caller = made_up::caller(&arn.parse().expect("an ARN"), clock());
            assert_eq!(facts.instance(&caller).await, Err(LookUpError::NotFound), "{arn}");
            assert_eq!(facts.tags(&caller).await, Err(LookUpError::NotFound), "{arn}");
        }
    }
}
