//! AWS: `k8s-aws-v1.` tokens and STS `GetCallerIdentity` (AWS Security Token Service API Reference).
//!
//! A client presigns `GetCallerIdentity` with its own key ([`presign`]), the cluster's id among the signed
//! headers, and sends the URL as its bearer token. The server reads the URL into types ([`request`]),
//! takes the host from a table ([`hosts`]), writes the request anew with *its own* cluster id and asks STS.
//! If that id, or anything else, is not what was signed, STS refuses. Otherwise its answer names the
//! caller ([`reply`]).
//!
//! Signatures are good for 15 minutes from `X-Amz-Date`, whatever `X-Amz-Expires` says: older requests
//! are refused here, and so are those dated more than five minutes ahead of our clock, as STS does.

use std::{fmt, time::SystemTime};

use http::HeaderValue;

pub use self::hosts::{ExtraHost, Hosts, Partition};

use self::request::{PREFIX, Presigned};
use super::{ClusterId, Provider, StsCall, StsReply, VerifyError, validity};
use crate::{caller::Caller, token::BearerToken};

pub mod credentials;
pub mod ec2;
pub mod hosts;
pub mod iam;
pub mod presign;
pub mod reply;
pub mod request;
pub mod service;

/// The name in configuration, logs, metrics and the policy contract.
pub const NAME: &str = "aws";

/// What an AWS provider must know about its cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id that tokens for this cluster are signed with.
    pub cluster_id: ClusterId,
    /// The partition whose STS may vouch. Default `aws`.
    pub partition: Partition,
    /// STS endpoints beyond the table: regions newer than this build, PrivateLink names.
    pub hosts: Vec<ExtraHost>,
}

/// The AWS provider of one cluster.
pub struct Aws {
    cluster_id: HeaderValue,
    hosts: Hosts,
}

// === impl Aws ===

impl Aws {
    /// A provider for the cluster and partition in `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { cluster_id: header(&config.cluster_id), hosts: Hosts::new(config.partition, config.hosts) }
    }
}

impl Provider for Aws {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prefixes(&self) -> &'static [&'static str] {
        &[PREFIX]
    }

    fn checks(&self) -> &'static [&'static str] {
        &request::TokenCheck::NAMES
    }

    fn inspect(&self, token: &BearerToken, now: SystemTime) -> Result<StsCall, VerifyError> {
        let mut url = request::decode(token)?;
        let presigned = Presigned::parse(&mut url, &self.hosts)?;
        let signed_at = presigned.date.time();
        validity::check(signed_at, request::expiry(signed_at), now)?;
        Ok(presigned.into_call(&self.cluster_id))
    }

    fn interpret(&self, call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError> {
        reply::interpret(self.hosts.partition(), call, reply)
    }
}

fn header(cluster_id: &ClusterId) -> HeaderValue {
    HeaderValue::from_str(cluster_id.as_str()).expect("visible ASCII is a header value")
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("cluster_id", &self.cluster_id).field("hosts", &self.hosts).finish()
    }
}

#[cfg(test)]
mod tests;
