//! STS executor: the one place that asks a cloud who signed a token.
//!
//! Pooled connections, deadlines, size caps, one call per token at a time, a bounded cache of
//! verified callers, limits and a breaker. Mapping and policies run afresh on every login; only the
//! cloud's word is remembered, and never past the token's own end.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Deserialize;

use crate::{
    caller::Caller,
    observe::Metrics,
    provider::{Provider, VerifyError},
    token::BearerToken,
};

/// How STS is asked. Every value has a bound.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Longest wait for a connection, TLS included. Default 2 s.
    #[serde(with = "crate::config::duration")]
    pub connect_timeout: Duration,
    /// Longest wait for one whole answer. Default 5 s, which is what kube-apiserver waits for us at most
    /// before its own callers grow impatient.
    #[serde(with = "crate::config::duration")]
    pub timeout: Duration,
}

/// Asks STS on behalf of every provider.
pub struct Executor {}

/// A caller the cloud vouched for, and how we came to know.
#[derive(Debug)]
pub struct Verified {
    /// The caller.
    pub caller: Arc<Caller>,
    /// Where the answer came from.
    pub source: Source,
}

/// Where a verified caller came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The cache: STS vouched for this very token a moment ago.
    Cache,
    /// Another login with the same token was waiting already.
    Joined,
    /// STS, just now.
    Sts,
}

impl Default for Config {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(2), timeout: Duration::from_secs(5) }
    }
}

impl Executor {
    /// An executor with its connection pool and caches, all empty.
    ///
    /// # Errors
    ///
    /// When the TLS roots cannot be read or an endpoint is not usable.
    pub fn new(_config: &Config, _metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        unimplemented!()
    }

    /// Asks the cloud who signed `token`: at most one STS request, bounded in time.
    ///
    /// # Errors
    ///
    /// Any [`VerifyError`]. All of them deny.
    pub async fn verify(
        &self,
        provider: &dyn Provider,
        token: &BearerToken,
        now: SystemTime,
    ) -> Result<Verified, VerifyError> {
        provider.inspect(token, now)?;
        unimplemented!()
    }

    /// An executor for tests of other rooms, whose providers refuse every token.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self {}
    }
}
