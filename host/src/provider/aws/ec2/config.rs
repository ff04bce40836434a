//! Settings of look-ups: what may be tuned, within which bounds, and what was wrong.

use serde::Deserialize;

use crate::{
    caller::{AccountId, Arn, PrincipalKind},
    provider::aws::hosts::{Partition, RegionName},
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

/// An endpoint: `https://host`, or `http://` on loopback; with a port if it is another, without a path.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Endpoint(String);

/// The ARN of a role in AWS.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct RoleArn(Arn);

/// The ARN of a resource on whose behalf a role is assumed, such as a cluster (IAM User Guide, "The confused deputy
/// problem").
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct SourceArn {
    arn: String,
    account: String,
}

/// A setting of look-ups is not what it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct InvalidConfig {
    /// The setting's key under `server`.
    pub key: &'static str,
    what: &'static str,
}

const MAX_ROLES: usize = 64;
const MAX_RATE: u32 = 1000;
const DEFAULT_QPS: u32 = 15;
const DEFAULT_BURST: u32 = 5;
const ACCOUNT_DIGITS: usize = 12;

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
        role.0.partition() == self.partition.as_str()
    }

    /// Every way of asking, in order.
    pub(super) fn lanes(&self) -> impl Iterator<Item = Option<Arn>> {
        let everybody = self.role.as_ref().map(|role| role.0.clone());
        std::iter::once(everybody).chain(self.config.roles.iter().map(|role| Some(role.0.clone())))
    }

    /// The way of asking for instances of `account`.
    pub(super) fn lane_of(&self, account: &AccountId) -> usize {
        self.config.roles.iter().position(|role| role.account() == account).map_or(0, |index| index + 1)
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

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidConfig;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let what = "the endpoint must be https://host, or http:// on loopback, without a path";
        let bad = InvalidConfig { key: "ec2", what };
        let text = text.trim().trim_end_matches('/');
        let url: http::Uri = text.parse().map_err(|_| bad)?;
        let host = url.host().filter(|host| !host.is_empty()).ok_or(bad)?;
        let plain = url.scheme_str() == Some("http");
        // Signed requests hold a session token that is as good as the credentials' own name.
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && !text.contains(['@', '#', '?']);
        let good = bare && (url.scheme_str() == Some("https") || (plain && loopback));
        if good { Ok(Self(text.to_owned())) } else { Err(bad) }
    }
}

// === impl RoleArn ===

impl RoleArn {
    fn account(&self) -> &AccountId {
        self.0.account_id()
    }
}

impl TryFrom<String> for RoleArn {
    type Error = InvalidConfig;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bad = InvalidConfig {
            key: "ec2",
            what: "not the ARN of an AWS role, such as arn:aws:iam::123456789012:role/Nodes",
        };
        let arn: Arn = text.parse().map_err(|_| bad)?;
        let good = arn.kind() == PrincipalKind::Role && arn.account_id().as_str().len() == ACCOUNT_DIGITS;
        if good { Ok(Self(arn)) } else { Err(bad) }
    }
}

// === impl SourceArn ===

impl SourceArn {
    pub(super) fn arn(&self) -> &str {
        &self.arn
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }
}

impl TryFrom<String> for SourceArn {
    type Error = InvalidConfig;

    fn try_from(arn: String) -> Result<Self, Self::Error> {
        let sections: Vec<&str> = arn.splitn(6, ':').collect();
        let account = match sections[..] {
            ["arn", _, _, _, account, resource] if !resource.is_empty() => account.to_owned(),
            _ => String::new(),
        };
        let digits = account.len() == ACCOUNT_DIGITS && account.bytes().all(|byte| byte.is_ascii_digit());
        if digits && arn.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self { arn, account });
        }
        let what = "not an ARN with an account, such as arn:aws:eks:eu-west-1:123456789012:cluster/prod";
        Err(InvalidConfig { key: "sourceARN", what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(
                Endpoint::try_from(text.to_owned()).ok().map(|endpoint| endpoint.0).as_deref(),
                expected,
                "{text}"
            );
        }
        check("https://ec2.eu-west-1.amazonaws.com", Some("https://ec2.eu-west-1.amazonaws.com"));
        check(
            "https://vpce-1.ec2.eu-west-1.vpce.amazonaws.com:8443/",
            Some("https://vpce-1.ec2.eu-west-1.vpce.amazonaws.com:8443"),
        );
        check("http://127.0.0.1:4566", Some("http://127.0.0.1:4566"));
        check("http://localhost:4566", Some("http://localhost:4566"));
        check("http://[::1]:4566", Some("http://[::1]:4566"));
        check("http://ec2.eu-west-1.amazonaws.com", None);
        check("http://127.0.0.1.example.com", None);
        check("https://a@b", None);
        check("https://a/b", None);
        check("https://a?b", None);
        check("https://", None);
        check("ec2.eu-west-1.amazonaws.com", None);
        check("ftp://a", None);
        check("", None);
    }

    #[test]
    fn arns() {
        let role = |text: &str| RoleArn::try_from(text.to_owned()).is_ok();
        assert!(role("arn:aws:iam::123456789012:role/path/Nodes"));
        assert!(!role("arn:aws:iam::123456789012:user/alice"));
        assert!(!role("acs:ram::1234567890123456:role/Nodes"));
        assert!(!role("Nodes"));
        let source = |text: &str| SourceArn::try_from(text.to_owned()).ok().map(|source| source.account);
        assert_eq!(source("arn:aws:eks:eu-west-1:123456789012:cluster/a:b").as_deref(), Some("123456789012"));
        assert_eq!(source("arn:aws:s3:::bucket"), None);
        assert_eq!(source("arn:aws:eks:eu-west-1:123456789012:"), None);
        assert_eq!(source("arn:aws:eks:eu-west-1:123456789012:a\nb"), None);
    }

    #[test]
    fn bounds_and_lanes() {
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

        let settings = Settings { role: Some(role("arn:aws:iam::333333333333:role/C")), ..with(vec![one, two]) };
        let lanes: Vec<String> = settings.lanes().flatten().map(|arn| arn.account_id().to_string()).collect();
        assert_eq!(lanes, ["333333333333", "111111111111", "222222222222"]);
        let lane = |account: &str| settings.lane_of(&account.parse().expect("12 digits"));
        assert_eq!(
            [lane("111111111111"), lane("222222222222"), lane("333333333333"), lane("444444444444")],
            [1, 2, 0, 0]
        );
    }
}
