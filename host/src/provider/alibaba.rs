//! Alibaba Cloud: `k8s-ack-v2.` tokens and STS `GetCallerIdentity` (Security Token Service API Reference).
//!
//! A client signs `GetCallerIdentity` with its own key ([`mint`]), the cluster's id in the signed query, and sends
//! query and headers as its bearer token. The server reads them into types ([`request`]), compares the id with its
//! own, writes the request anew and asks the STS that its operator chose ([`endpoint`]): the signature holds no host
//! and no region, and the token names none. STS's answer names the caller ([`reply`]).
//!
//! Signatures are good for 15 minutes from `x-acs-date`: older requests are refused here, and so are those dated more
//! than five minutes ahead of our clock.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

pub use self::endpoint::{Host, InvalidName, NeedsRegion, Network, Region, Settings};

use self::request::{OLD_PREFIX, PREFIX, Parts, Signed};
use super::{ClusterId, Provider, StsCall, StsReply, VerifyError};
use crate::{caller::Caller, token::BearerToken};

mod acs3;
pub mod credentials;
mod date;
pub mod endpoint;
pub mod kubeconfig;
pub mod mint;
pub mod reply;
pub mod request;

/// The name in configuration, logs, metrics and the policy contract.
pub const NAME: &str = "alibaba";
/// How far ahead of our clock a token may be dated.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// What an Alibaba Cloud provider must know about its cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id that tokens for this cluster are signed with.
    pub cluster_id: ClusterId,
    /// The endpoint that is asked.
    pub endpoint: Host,
    /// Its region, for metrics; `None` for the global one.
    pub region: Option<Region>,
}

/// The Alibaba Cloud provider of one cluster.
pub struct Alibaba(Config);

// === impl Alibaba ===

impl Alibaba {
    /// A provider for the cluster and endpoint in `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(config)
    }
}

impl Provider for Alibaba {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prefixes(&self) -> &'static [&'static str] {
        &[PREFIX, OLD_PREFIX]
    }

    fn checks(&self) -> &'static [&'static str] {
        &request::TokenCheck::NAMES
    }

    fn inspect(&self, token: &BearerToken, now: SystemTime) -> Result<StsCall, VerifyError> {
        let Config { cluster_id, endpoint, region } = &self.0;
        let json = request::decode(token)?;
        let parts = Parts::parse(&json)?;
        let signed = Signed::parse(&parts, cluster_id, endpoint)?;
        check_age(signed.date.time(), now)?;
        Ok(signed.into_call(cluster_id, endpoint, region.as_ref().map_or("", Region::as_str)))
    }

    fn interpret(&self, call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError> {
        reply::interpret(call, reply)
    }
}

fn check_age(signed_at: SystemTime, now: SystemTime) -> Result<(), VerifyError> {
    if now >= request::expiry(signed_at) {
        return Err(VerifyError::Expired { signed_at });
    }
    match signed_at.duration_since(now) {
        Ok(ahead) if ahead > MAX_CLOCK_SKEW => Err(VerifyError::NotYetValid),
        _ => Ok(()),
    }
}

impl fmt::Debug for Alibaba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
