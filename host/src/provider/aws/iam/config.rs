//! Settings of look-ups of tags: what may be tuned, and within which bounds.

use serde::Deserialize;

use crate::provider::aws::{
    hosts::Partition,
    service::{Endpoint, InvalidConfig, MAX_RATE, Roles},
};

/// `server.iam`: where and how often IAM is asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// URL of IAM, without a path. Default: `AWS_ENDPOINT_URL_IAM`, `AWS_ENDPOINT_URL`, or the partition's own endpoint.
    pub endpoint: Option<Endpoint>,
    /// Calls a second over time. Default 5, 1 to 1000.
    pub qps: u32,
    /// Calls at once after a quiet time. Default 10, 1 to 1000.
    pub burst: u32,
}

/// All there is to know about look-ups of tags.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// `server.iam`.
    pub config: Config,
    /// By whom IAM is asked: those who ask EC2.
    pub roles: Roles,
    /// The partition of the cluster; no other one's IAM is asked.
    pub partition: Partition,
}

// === impl Config ===

impl Config {
    /// Holds every value to its bounds.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] for the first value that is wrong.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let rates = [("iam.qps", self.qps), ("iam.burst", self.burst)];
        match rates.into_iter().find(|(_, rate)| !(1..=MAX_RATE).contains(rate)) {
            Some((key, _)) => Err(InvalidConfig { key, what: "must be from 1 to 1000" }),
            None => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: None, qps: 5, burst: 10 }
    }
}
