//! Settings that all services share: roles to ask by, and another endpoint.

use serde::Deserialize;

use crate::{
    caller::{AccountId, Arn, PrincipalKind},
    provider::aws::hosts::{Partition, RegionName},
};

/// By whom a service is asked: Herald's own credentials, or roles.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roles {
    /// Region of the credentials. Default: `AWS_REGION`, the profile's, or the instance's that Herald runs on.
    pub region: Option<RegionName>,
    /// Assumed for every account that `accounts` has no role for. Default none: Herald's own credentials.
    pub everybody: Option<RoleArn>,
    /// Assumed for what is of their account. Default none.
    pub accounts: Vec<RoleArn>,
    /// Told to STS when roles are assumed. Default none.
    pub source_arn: Option<SourceArn>,
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
    pub(in crate::provider::aws) what: &'static str,
}

/// Not an endpoint, or not an ARN of the kind asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSetting(&'static str);

/// Most calls a second that may be configured, and most at once.
pub(in crate::provider::aws) const MAX_RATE: u32 = 1000;
const ACCOUNT_DIGITS: usize = 12;

// === impl Roles ===

impl Roles {
    /// Every way of asking, in order.
    pub(super) fn lanes(&self) -> impl Iterator<Item = Option<Arn>> {
        let everybody = self.everybody.as_ref().map(|role| role.0.clone());
        std::iter::once(everybody).chain(self.accounts.iter().map(|role| Some(role.0.clone())))
    }

    /// The way of asking for what is of `account`.
    pub(in crate::provider::aws) fn lane_of(&self, account: &AccountId) -> usize {
        self.accounts.iter().position(|role| role.account() == account).map_or(0, |index| index + 1)
    }
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidSetting;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bad = InvalidSetting("the endpoint must be https://host, or http:// on loopback, without a path");
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
    pub(in crate::provider::aws) fn account(&self) -> &AccountId {
        self.0.account_id()
    }

    pub(in crate::provider::aws) fn is_of(&self, partition: Partition) -> bool {
        self.0.partition() == partition.as_str()
    }
}

impl TryFrom<String> for RoleArn {
    type Error = InvalidSetting;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bad = InvalidSetting("not the ARN of an AWS role, such as arn:aws:iam::123456789012:role/Nodes");
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
    type Error = InvalidSetting;

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
        Err(InvalidSetting("not an ARN with an account, such as arn:aws:eks:eu-west-1:123456789012:cluster/prod"))
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
    fn lanes() {
        let role = |text: &str| RoleArn::try_from(text.to_owned()).expect("a role");
        let [one, two, three] =
            ["111111111111", "222222222222", "333333333333"].map(|id| role(&format!("arn:aws:iam::{id}:role/A")));
        let roles = Roles { everybody: Some(three), accounts: vec![one, two], ..Roles::default() };
        let lanes: Vec<String> = roles.lanes().flatten().map(|arn| arn.account_id().to_string()).collect();
        assert_eq!(lanes, ["333333333333", "111111111111", "222222222222"]);
        let lane = |account: &str| roles.lane_of(&account.parse().expect("12 digits"));
        assert_eq!(
            [lane("111111111111"), lane("222222222222"), lane("333333333333"), lane("444444444444")],
            [1, 2, 0, 0]
        );
    }
}
