//! Alibaba Cloud: `k8s-ack-v2.` tokens and STS `GetCallerIdentity` (Security Token Service API Reference).
//!
//! A client signs `GetCallerIdentity` with its own key ([`mint`]), the cluster's id in the signed query, and sends
//! query and headers as its bearer token. The server reads them into types ([`request`]), compares the id with its
//! own, writes the request anew and asks the STS that its operator chose ([`endpoint`]): the signature holds no host
//! and no region, and the token names none. STS's answer names the caller ([`reply`]).
//!
//! Signatures are good for 15 minutes from `x-acs-date`: older requests are refused here, and so are those dated more
//! than five minutes ahead of our clock.

use std::{fmt, time::SystemTime};

pub use self::endpoint::{Host, InvalidName, Network, Region, Settings, Unusable};

use self::request::{OLD_PREFIX, PREFIX, Parts, Signed};
use super::{ClusterId, Provider, StsCall, StsReply, VerifyError, validity};
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

/// What an Alibaba Cloud provider must know about its cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id that tokens for this cluster are signed with.
    pub cluster_id: ClusterId,
    /// Other ids that tokens may be signed with: those that this cluster had before.
    pub former_cluster_ids: Vec<ClusterId>,
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
        let Config { cluster_id, former_cluster_ids, endpoint, region } = &self.0;
        let json = request::decode(token)?;
        let parts = Parts::parse(&json)?;
        let cluster_id = request::cluster(&parts, std::iter::once(cluster_id).chain(former_cluster_ids))?;
        let signed = Signed::parse(&parts, endpoint)?;
        let signed_at = signed.date.time();
        validity::check(signed_at, request::expiry(signed_at), now)?;
        Ok(signed.into_call(cluster_id, endpoint, region.as_ref().map_or("", Region::as_str)))
    }

    fn interpret(&self, call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError> {
        reply::interpret(call, reply)
    }
}

impl fmt::Debug for Alibaba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
