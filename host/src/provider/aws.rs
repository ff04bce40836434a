//! AWS: `k8s-aws-v1.` tokens and STS `GetCallerIdentity` (AWS Security Token Service API Reference).

// Stub: replaced by the provider's room.

use std::{str::FromStr, time::SystemTime};

use serde::Deserialize;

use super::{Provider, StsCall, StsReply, VerifyError};
use crate::{caller::Caller, token::BearerToken};

/// Stub.
pub struct Config {
    /// Stub.
    pub cluster_id: ClusterId,
    /// Stub.
    pub partition: Partition,
    /// Stub.
    pub hosts: Vec<ExtraHost>,
}

/// Stub.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct ClusterId(String);

/// Stub.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a cluster id must be 1 to 255 visible ASCII characters without spaces")]
pub struct InvalidClusterId;

impl ClusterId {
    /// Stub.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterId {
    type Err = InvalidClusterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| Self(text.to_owned())).ok_or(InvalidClusterId)
    }
}

/// Stub.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Partition {
    /// Stub.
    #[default]
    Aws,
    /// Stub.
    AwsCn,
}

/// Stub.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExtraHost {
    /// Stub.
    pub host: String,
    /// Stub.
    pub region: String,
}

/// Stub.
pub struct Aws;

impl Aws {
    /// Stub.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "a stub")]
    pub fn new(_config: Config) -> Self {
        Self
    }
}

impl Provider for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn prefix(&self) -> &'static str {
        "k8s-aws-v1."
    }

    fn inspect(&self, _token: &BearerToken, _now: SystemTime) -> Result<StsCall, VerifyError> {
        Err(VerifyError::Foreign)
    }

    fn interpret(&self, _call: &StsCall, _reply: &StsReply) -> Result<Caller, VerifyError> {
        Err(VerifyError::Foreign)
    }
}

impl FromStr for Partition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "aws" => Ok(Self::Aws),
            "aws-cn" => Ok(Self::AwsCn),
            _ => Err("not an AWS partition"),
        }
    }
}
