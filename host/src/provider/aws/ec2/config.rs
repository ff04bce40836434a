//! Settings of look-ups: what may be tuned, within which bounds, and what was wrong.

use serde::Deserialize;

use crate::provider::aws::{
    hosts::{Partition, RegionName},
    service::{Endpoint, InvalidConfig, MAX_RATE, RoleArn, Roles, SourceArn},
};

/// `server.ec2`: where EC2 is asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Region whose instances are nodes. Default: `AWS_REGION`, the profile's, or the instance's that Herald runs on.
    pub region: Option<RegionName>,
    /// URL of EC2, without a path. Default: `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`, or the region's own endpoint.
    pub endpoint: Option<Endpoint>,
    /// Roles to assume for instances of their accounts. Default none; at most 64, one an account.
    pub roles: Vec<RoleArn>,
}

/// All there is to know about look-ups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// `server.ec2`.
    pub config: Config,
    /// `server.ec2DescribeInstancesRoleARN`: assumed for instances of every account that `config.roles` has no role
    /// for. Default none: Herald's own credentials.
    pub role: Option<RoleArn>,
    /// `server.sourceARN`: told to STS when roles are assumed, against the confused deputy. Default none.
    pub source_arn: Option<SourceArn>,
    /// `server.ec2DescribeInstancesQps`: calls a second over time. Default 15, 1 to 1000.
    pub qps: u32,
    /// `server.ec2DescribeInstancesBurst`: calls at once after a quiet time. Default 5, 1 to 1000.
    pub burst: u32,
    /// The partition of the cluster; no other one's EC2 is asked.
    pub partition: Partition,
}

const MAX_ROLES: usize = 64;
const DEFAULT_QPS: u32 = 15;
const DEFAULT_BURST: u32 = 5;

// === impl Settings ===

impl Settings {
    /// Holds every value to its bounds.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] for the first value that is wrong.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let bad = |key, what| Err(InvalidConfig { key, what });
        if !(1..=MAX_RATE).contains(&self.qps) {
            return bad("ec2DescribeInstancesQps", "must be from 1 to 1000");
        }
        if !(1..=MAX_RATE).contains(&self.burst) {
            return bad("ec2DescribeInstancesBurst", "must be from 1 to 1000");
        }
        if self.role.as_ref().is_some_and(|role| !self.is_ours(role)) {
            return bad("ec2DescribeInstancesRoleARN", "the role is of another partition than `partition`");
        }
        let roles = &self.config.roles;
        let twice =
            |(index, role): (usize, &RoleArn)| roles[..index].iter().any(|other| other.account() == role.account());
        if roles.len() > MAX_ROLES {
            return bad("ec2", "roles: at most 64");
        }
        if roles.iter().enumerate().any(twice) {
            return bad("ec2", "roles: two are of one account");
        }
        if !roles.iter().all(|role| self.is_ours(role)) {
            return bad("ec2", "roles: one is of another partition than `partition`");
        }
        Ok(())
    }

    fn is_ours(&self, role: &RoleArn) -> bool {
        role.is_of(self.partition)
    }

    /// By whom instances are looked up, and whatever else is looked up of their accounts.
    #[must_use]
    pub fn roles(&self) -> Roles {
        Roles {
            region: self.config.region.clone(),
            everybody: self.role.clone(),
            accounts: self.config.roles.clone(),
            source_arn: self.source_arn.clone(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: Config::default(),
            role: None,
            source_arn: None,
            qps: DEFAULT_QPS,
            burst: DEFAULT_BURST,
            partition: Partition::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        #[track_caller]
        fn check(settings: &Settings, expected: Option<&str>) {
            assert_eq!(settings.check().err().map(|error| error.to_string()).as_deref(), expected);
        }
        let role = |text: &str| RoleArn::try_from(text.to_owned()).expect("a role");
        let [one, two] = ["arn:aws:iam::111111111111:role/A", "arn:aws:iam::222222222222:role/B"].map(role);
        let with =
            |roles: Vec<RoleArn>| Settings { config: Config { roles, ..Config::default() }, ..Settings::default() };
        check(&Settings::default(), None);
        check(&Settings { qps: 0, ..Settings::default() }, Some("must be from 1 to 1000"));
        check(&Settings { burst: 1001, ..Settings::default() }, Some("must be from 1 to 1000"));
        check(&with(vec![one.clone(), two.clone()]), None);
        check(
            &with(vec![one.clone(), role("arn:aws:iam::111111111111:role/B")]),
            Some("roles: two are of one account"),
        );
        let china = role("arn:aws-cn:iam::111111111111:role/A");
        check(&with(vec![china.clone()]), Some("roles: one is of another partition than `partition`"));
        let default = Settings { role: Some(china), ..Settings::default() };
        check(&default, Some("the role is of another partition than `partition`"));
    }
}
