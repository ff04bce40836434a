//! One way of asking EC2: whose credentials, which region, which endpoint. Loaded when first needed, and again before
//! the credentials end.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use tokio::sync::Mutex;

use super::{Ec2Error, Endpoint, Settings, SourceArn};
use crate::{
    caller::Arn,
    provider::{
        aws::{
            Partition,
            credentials::{self, Role},
            hosts::Target,
        },
        http::Client,
    },
};

/// One lane's credentials and endpoint.
pub(super) struct Access {
    role: Option<Arn>,
    source: Option<SourceArn>,
    region: Option<String>,
    endpoint: Option<Endpoint>,
    partition: Partition,
    clock: fn() -> SystemTime,
    pub(super) http: Client,
    loaded: Mutex<Option<Arc<Loaded>>>,
    is_failing: AtomicBool,
}

/// Everything that a call needs.
pub(super) struct Loaded {
    pub(super) credentials: Credentials,
    pub(super) region: String,
    /// `https://ec2.eu-west-1.amazonaws.com`, without a path.
    pub(super) url: String,
    until: SystemTime,
}

/// The environment variables that name another endpoint (AWS SDKs and Tools Reference Guide, "Service-specific
/// endpoints"), the more exact one first.
const ENDPOINT_VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"];
/// How long before their end credentials are renewed.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// How long credentials without an end are taken as they are: somebody may change the file they are in.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// For how long credentials are used that come close to their end already.
const SHORTEST: Duration = Duration::from_secs(10);

// === impl Access ===

impl Access {
    pub(super) fn new(role: Option<Arn>, settings: &Settings, clock: fn() -> SystemTime) -> Self {
        Self {
            role,
            source: settings.source_arn.clone(),
            region: settings.config.region.as_ref().map(ToString::to_string),
            endpoint: settings.config.endpoint.clone(),
            partition: settings.partition,
            clock,
            http: Client::new(),
            loaded: Mutex::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Credentials that last, one load at a time.
    pub(super) async fn ready(&self) -> Result<Arc<Loaded>, Ec2Error> {
        let mut loaded = self.loaded.lock().await;
        if let Some(ready) = loaded.as_ref().filter(|ready| self.now() < ready.until) {
            return Ok(Arc::clone(ready));
        }
        let fresh = Arc::new(self.load().await?);
        *loaded = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// EC2 does not take the credentials: the next call loads them anew.
    pub(super) async fn forget(&self) {
        *self.loaded.lock().await = None;
    }

    /// Tells the operator when calls begin to fail, and when they work again.
    pub(super) fn note(&self, error: Option<&Ec2Error>) {
        let was_failing = self.is_failing.swap(error.is_some(), Ordering::Relaxed);
        let role = self.role.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        match error {
            Some(error) if !was_failing => {
                tracing::warn!(reason = error.reason(), role, "nodes cannot be looked up: {error}");
            }
            Some(error) => tracing::debug!(reason = error.reason(), role, "nodes cannot be looked up: {error}"),
            None if was_failing => tracing::info!(role, "nodes can be looked up again"),
            None => {}
        }
    }

    async fn load(&self) -> Result<Loaded, Ec2Error> {
        let role = self.role.clone().map(|arn| Role {
            arn,
            external_id: None,
            session_name: None,
            forward_session_name: false,
            source_arn: self.source.as_ref().map(|source| (source.arn().to_owned(), source.account().to_owned())),
        });
        let request = credentials::Request { region: self.region.clone(), role, long: true, ..Default::default() };
        let now = self.now();
        // The chain reads files and may start a program, and so has a thread of its own.
        let session = tokio::task::spawn_blocking(move || credentials::load(&request, now)).await;
        let session = session.map_err(|_| Ec2Error::Credentials("loading them has failed".to_owned()))?;
        let session = session.map_err(|error| Ec2Error::Credentials(in_one_line(&error)))?;
        let url = match self.endpoint.clone().map_or_else(of_environment, |endpoint| Ok(Some(endpoint)))? {
            Some(endpoint) => endpoint.as_str().to_owned(),
            None => self.of_table(&session.region, session.fips, session.dual_stack)?,
        };
        let end = session.credentials.expiry().map_or(now + LONGEST, |end| (end - MARGIN).min(now + LONGEST));
        Ok(Loaded { url, region: session.region, until: end.max(now + SHORTEST), credentials: session.credentials })
    }

    fn of_table(&self, region: &str, fips: bool, dual_stack: bool) -> Result<String, Ec2Error> {
        let target = Target::ec2(region, fips, dual_stack).map_err(|error| Ec2Error::Endpoint(error.to_string()))?;
        if target.partition != self.partition {
            let (its, ours) = (target.partition, self.partition);
            return Err(Ec2Error::Endpoint(format!("the region {region} is of {its}, and this cluster of {ours}")));
        }
        Ok(format!("https://{}", target.host))
    }
}

fn of_environment() -> Result<Option<Endpoint>, Ec2Error> {
    let set = |name: &'static str| Some((name, env::var(name).ok().filter(|text| !text.trim().is_empty())?));
    let Some((name, text)) = ENDPOINT_VARIABLES.into_iter().find_map(set) else { return Ok(None) };
    let endpoint = Endpoint::try_from(text).map_err(|error| Ec2Error::Endpoint(format!("{name}: {error}")))?;
    Ok(Some(endpoint))
}

fn in_one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
