//! STS endpoints of Alibaba Cloud: which host is asked is the operator's to say, never the token's (Resource Access
//! Management, "Endpoints").
//!
//! A request is good at every endpoint, so the nearest one is the best: that of the region's own network, if the
//! server runs there.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use crate::provider::ClusterId;

/// Where STS is asked, and for which clusters. Default: the global endpoint, and this cluster.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Settings {
    /// Region whose STS is asked, e.g. `cn-hangzhou`. Default none: the global endpoint.
    pub region: Option<Region>,
    /// Which of a region's endpoints. Default `vpc`, as servers stand in that network; without a region there is
    /// only `public`.
    pub network: Option<Network>,
    /// Host name of an endpoint, instead of the one of region and network. Default none.
    pub sts_endpoint: Option<Host>,
    /// Ids that this cluster had before, whose tokens are still taken; whoever runs another cluster under one of them can use
    /// its tokens here. Default none, at most 8.
    #[serde(rename = "formerClusterIDs")]
    pub former_cluster_ids: Vec<ClusterId>,
}

/// From where an endpoint can be reached.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// From the Internet.
    Public,
    /// From a VPC in the region, without a way to the Internet.
    Vpc,
}

/// A region's name: lower-case letters, digits and inner hyphens.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Region(String);

/// A DNS name in lower case, without a port.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Host(String);

/// Not what it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a {0}")]
pub struct InvalidName(&'static str);

/// What does not go together in [`Settings`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// A VPC endpoint without a region.
    #[error("network vpc needs a region: its STS answers inside the region's own network")]
    NeedsRegion,
    /// More ids than a migration has.
    #[error("formerClusterIDs must be at most 8 ids")]
    TooManyIds,
}

/// The domain of all endpoints.
const DOMAIN: &str = "aliyuncs.com";
/// Regions whose STS is another's (Resource Access Management, "Endpoints"; finance cloud).
const SHARED: [(&str, &str); 1] = [("cn-hangzhou-finance", "cn-hangzhou")];
/// Most former ids: each is compared at every login.
const MAX_FORMER_IDS: usize = 8;
/// Longest DNS label (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;
/// Longest DNS name in text (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

// === impl Settings ===

impl Settings {
    /// The endpoint's host name.
    ///
    /// # Errors
    ///
    /// [`Unusable`].
    pub fn host(&self) -> Result<Host, Unusable> {
        if self.former_cluster_ids.len() > MAX_FORMER_IDS {
            return Err(Unusable::TooManyIds);
        }
        if let Some(host) = &self.sts_endpoint {
            return Ok(host.clone());
        }
        match (&self.region, self.network) {
            (None, Some(Network::Vpc)) => Err(Unusable::NeedsRegion),
            (None, _) => Ok(Host(format!("sts.{DOMAIN}"))),
            (Some(region), Some(Network::Public)) => Ok(region.host("sts")),
            (Some(region), Some(Network::Vpc) | None) => Ok(region.host("sts-vpc")),
        }
    }
}

/// Whether `host` is an endpoint of STS by its name.
#[must_use]
pub fn is_sts(host: &str) -> bool {
    let Some(rest) = host.strip_suffix(DOMAIN).and_then(|rest| rest.strip_suffix('.')) else { return false };
    let region = rest.strip_prefix("sts.").or_else(|| rest.strip_prefix("sts-vpc."));
    rest == "sts" || region.is_some_and(is_label)
}

// === impl Region ===

impl Region {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn host(&self, service: &str) -> Host {
        let shared = SHARED.iter().find(|(region, _)| *region == self.0).map(|(_, other)| *other);
        Host(format!("{service}.{}.{DOMAIN}", shared.unwrap_or(&self.0)))
    }
}

impl FromStr for Region {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        is_label(text).then(|| Self(text.to_owned())).ok_or(InvalidName("region such as cn-hangzhou"))
    }
}

impl TryFrom<String> for Region {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

// === impl Host ===

impl Host {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let good = text.len() <= MAX_HOST && text.contains('.') && text.split('.').all(is_label);
        good.then(|| Self(text.to_owned())).ok_or(InvalidName("host name in lower case, without a port"))
    }
}

impl TryFrom<String> for Host {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(text: &str) -> bool {
    let allowed = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    allowed && (1..=MAX_LABEL).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        #[track_caller]
        fn check(yaml: &str, expected: Result<&str, &str>) {
            let settings: Settings = serde_saphyr::from_str(yaml).expect("settings");
            let host = settings.host().map_err(|error| error.to_string());
            assert_eq!(host.as_ref().map(Host::as_str).map_err(String::as_str), expected, "{yaml}");
            if let Ok(host) = host {
                assert!(yaml.contains("stsEndpoint") || is_sts(host.as_str()), "{host}");
            }
        }
        check("{}", Ok("sts.aliyuncs.com"));
        check("{network: public}", Ok("sts.aliyuncs.com"));
        check("{region: cn-hangzhou}", Ok("sts-vpc.cn-hangzhou.aliyuncs.com"));
        check("{region: cn-hangzhou, network: vpc}", Ok("sts-vpc.cn-hangzhou.aliyuncs.com"));
        check("{region: ap-southeast-1, network: public}", Ok("sts.ap-southeast-1.aliyuncs.com"));
        check("{region: cn-hangzhou-finance}", Ok("sts-vpc.cn-hangzhou.aliyuncs.com"));
        check("{region: cn-hangzhou-finance, network: public}", Ok("sts.cn-hangzhou.aliyuncs.com"));
        check("{region: cn-shanghai-finance-1}", Ok("sts-vpc.cn-shanghai-finance-1.aliyuncs.com"));
        check("{region: cn-hangzhou, stsEndpoint: sts.example.com}", Ok("sts.example.com"));
        check("{formerClusterIDs: [a, b, c, d, e, f, g, h]}", Ok("sts.aliyuncs.com"));
        check("{formerClusterIDs: [a, b, c, d, e, f, g, h, i]}", Err("formerClusterIDs must be at most 8 ids"));
        check("{network: vpc}", Err("network vpc needs a region: its STS answers inside the region's own network"));
    }

    #[test]
    fn names_that_are_none() {
        for yaml in [
            "{region: CN-Hangzhou}",
            "{region: 'cn-hangzhou.evil.example'}",
            "{region: ''}",
            "{region: '-a'}",
            "{stsEndpoint: 'sts.aliyuncs.com:443'}",
            "{stsEndpoint: 'https://sts.aliyuncs.com'}",
            "{stsEndpoint: localhost}",
            "{stsEndpoint: 'sts..com'}",
            "{network: internal}",
            "{regionId: cn-hangzhou}",
            "{formerClusterIDs: ['a b']}",
            "{formerClusterIDs: ['']}",
        ] {
            assert!(serde_saphyr::from_str::<Settings>(yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn what_an_endpoint_is_called() {
        for (host, expected) in [
            ("sts.aliyuncs.com", true),
            ("sts.cn-beijing.aliyuncs.com", true),
            ("sts-vpc.cn-beijing.aliyuncs.com", true),
            ("sts-vpc.aliyuncs.com", false),
            ("sts.a.b.aliyuncs.com", false),
            ("stsaliyuncs.com", false),
            ("sts.aliyuncs.com.example.com", false),
            ("ecs.aliyuncs.com", false),
        ] {
            assert_eq!(is_sts(host), expected, "{host}");
        }
    }
}
