//! Tokens of Alibaba Cloud: which STS is asked for the session of a role, and what is kept.

use anyhow::{Context as _, ensure};

use super::cache::Cache;
use crate::{
    caller::{Arn, arn::ACS_PARTITION},
    provider::{
        ClusterId, Token,
        alibaba::{
            Host, Network, Settings,
            credentials::{self, Environment, Request},
            mint,
        },
    },
};

pub(super) use credentials::Role;

/// For whom and for which cluster a token is wanted.
pub(in crate::cli) struct Wanted<'a> {
    cluster_id: &'a ClusterId,
    pub(in crate::cli) environment: Environment,
    pub(in crate::cli) request: Request,
    pub(in crate::cli) cache: Option<bool>,
}

// === impl Wanted ===

impl<'a> Wanted<'a> {
    /// With whatever credentials there are, and the STS of `endpoint`, else of the environment, else of `region`.
    ///
    /// # Errors
    ///
    /// When `endpoint` or `region` is none.
    pub(in crate::cli) fn new(
        cluster_id: &'a ClusterId,
        endpoint: Option<&str>,
        region: Option<&str>,
    ) -> anyhow::Result<Self> {
        let environment = Environment::of_process();
        let named = crate::cli::given(endpoint).or_else(|| environment.sts_endpoint());
        let region = crate::cli::given(region).or_else(|| environment.region());
        let settings = Settings {
            region: region.map(|region| region.parse().with_context(|| format!("region {region}"))).transpose()?,
            network: Some(Network::Public),
            sts_endpoint: named.map(|name| host(&name)).transpose()?,
            ..Settings::default()
        };
        Ok(Self { cluster_id, environment, request: Request::new(settings.host()?), cache: None })
    }

    /// The credentials alone.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub(in crate::cli) fn credentials(&self) -> anyhow::Result<credentials::Credentials> {
        Ok(credentials::load(&self.request, &self.environment, crate::cli::now())?)
    }

    /// The token: a kept one, or a new one.
    ///
    /// # Errors
    ///
    /// When there are no credentials.
    pub(in crate::cli) fn token(mut self) -> anyhow::Result<Token> {
        let now = crate::cli::now();
        self.request.long = self.cache == Some(true);
        let cache = Cache::of_alibaba(&self.request, self.cache);
        if let Some(token) = cache.as_ref().and_then(|cache| cache.token(self.cluster_id, now)) {
            return Ok(token);
        }
        let credentials = match cache.as_ref().and_then(|cache| cache.alibaba_session(now)) {
            Some(credentials) => credentials,
            None => credentials::load(&self.request, &self.environment, now)?,
        };
        // Read again for the signature: whoever has the credentials may have taken his time.
        let now = crate::cli::now();
        let token = mint::mint(&credentials, self.cluster_id.as_str(), now)?;
        if let Some(cache) = &cache {
            cache.keep_alibaba(self.cluster_id, &credentials, &token, now);
        }
        Ok(token)
    }
}

/// The host of an endpoint, as existing clients take it: with its scheme or without.
fn host(text: &str) -> anyhow::Result<Host> {
    let bare = text.strip_prefix("https://").unwrap_or(text);
    ensure!(!bare.contains("://"), "STS endpoint {text}: keys are sent over https alone");
    bare.trim_end_matches('/').parse().with_context(|| format!("STS endpoint {text}"))
}

/// The role of that ARN, to be assumed under any session name.
pub(in crate::cli) fn role(arn: &Arn) -> anyhow::Result<Role> {
    ensure!(arn.partition() == ACS_PARTITION, "role {arn}: not a role of Alibaba Cloud");
    Ok(Role::new(arn))
}
