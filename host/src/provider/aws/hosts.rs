//! STS hosts: the one table of endpoints that a token may name and that we sign for.
//!
//! A look-up is exact and case-sensitive, keeps nothing, allocates nothing. A region that is
//! in no row is refused by the server until the table or the operator ([`ExtraHost`]) names it; the client
//! signs for it anyway, see [`Target::new`].

use std::{fmt, str::FromStr};

use serde::Deserialize;

use self::table::{Row, TABLE, row_of_region};

mod table;

/// The endpoint of the time before regions; legacy clients sign for it.
const GLOBAL_HOST: &str = "sts.amazonaws.com";
const GLOBAL_SCOPE: &str = "us-east-1";
const GLOBAL_REGION: &str = "aws-global";
/// Regions with `ec2-fips`; in GovCloud the plain endpoint is one (AWS General Reference, "Amazon EC2 endpoints and quotas").
const EC2_FIPS: [&str; 6] = ["ca-central-1", "ca-west-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"];
/// Longest DNS label (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;
/// Longest DNS name in text (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

/// A part of AWS with its own accounts, credentials and domain names.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum Partition {
    /// `aws`: the commercial regions. The default.
    #[default]
    Aws,
    /// `aws-cn`: China.
    AwsCn,
    /// `aws-eusc`: European Sovereign Cloud.
    AwsEusc,
    /// `aws-iso`: US Top Secret.
    AwsIso,
    /// `aws-iso-b`: US Secret.
    AwsIsoB,
    /// `aws-iso-e`: Europe, isolated.
    AwsIsoE,
    /// `aws-iso-f`: US, isolated, third party.
    AwsIsoF,
    /// `aws-us-gov`: GovCloud (US).
    AwsUsGov,
}

/// Not one of the eight partitions of AWS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an AWS partition: must be aws, aws-cn, aws-eusc, aws-iso, aws-iso-b, aws-iso-e, aws-iso-f or aws-us-gov")]
pub struct InvalidPartition;

/// An STS endpoint that the operator vouches for: a region newer than the table, or a PrivateLink name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExtraHost {
    /// Host name as tokens carry it, in lower case.
    pub host: HostName,
    /// Region that tokens for this host are signed for.
    pub region: RegionName,
    /// Partition it belongs to. Default: the server's own; a host of another one is not accepted.
    #[serde(default)]
    pub partition: Option<Partition>,
}

/// A DNS name of an endpoint: lower case, at least two labels, no port, no trailing dot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct HostName(String);

/// A region's name as credential scopes carry it: lower-case letters, digits and inner hyphens.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct RegionName(String);

/// Not a name of the kind told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a {0}")]
pub struct InvalidName(&'static str);

/// The endpoints one server accepts: the table's rows of its partition, and the operator's own.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    partition: Partition,
    extra: Vec<ExtraHost>,
}

/// An endpoint found in [`Hosts`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Endpoint<'a> {
    /// Host name.
    pub host: &'a str,
    /// Region in the credential scope of requests to it.
    pub scope_region: &'a str,
    /// Whether it is the global endpoint, which has no region of its own.
    pub global: bool,
}

/// Why a host is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unaccepted {
    /// An STS endpoint, but of another partition.
    OtherPartition(Partition),
    /// Written like an STS endpoint, but the table has no such region, or none with FIPS.
    UnknownRegion,
    /// No STS endpoint at all.
    Unknown,
}

/// The endpoint that a client signs for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Host name.
    pub host: String,
    /// Region in the credential scope.
    pub scope_region: String,
    /// Its partition.
    pub partition: Partition,
}

/// There is no endpoint to sign for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoEndpoint {
    /// The text names no region of any partition.
    #[error("{0:?} is not an AWS region: set --region or AWS_REGION to one such as eu-west-1")]
    NotARegion(String),
    /// FIPS was asked for where EC2 has no FIPS endpoint.
    #[error("EC2 has no FIPS endpoint in {0}: unset AWS_USE_FIPS_ENDPOINT or set `server.ec2.endpoint`")]
    NoEc2Fips(String),
    /// IAM has no endpoint of the flavour asked for in a partition.
    #[error(
        "IAM has no such endpoint in {0}: unset AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT or set `server.iam.endpoint`"
    )]
    NoIam(Partition),
    /// FIPS was asked for where STS has no FIPS endpoint.
    #[error("STS has no FIPS endpoint in {0}: unset AWS_USE_FIPS_ENDPOINT or choose another region")]
    NoFips(String),
}

// === impl Hosts ===

impl Hosts {
    /// The table's hosts of `partition`, and `extra` ones.
    #[must_use]
    pub fn new(partition: Partition, extra: Vec<ExtraHost>) -> Self {
        Self { partition, extra }
    }

    /// The partition whose hosts are accepted.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Finds `host`, exactly.
    ///
    /// # Errors
    ///
    /// [`Unaccepted`], when it is no endpoint of this server's partition.
    pub fn find<'a>(&'a self, host: &'a str) -> Result<Endpoint<'a>, Unaccepted> {
        if let Some(extra) = self.extra.iter().find(|extra| extra.host.0 == host) {
            let partition = extra.partition.unwrap_or(self.partition);
            return self.accept(partition, Endpoint { host, scope_region: &extra.region.0, global: false });
        }
        if host == GLOBAL_HOST {
            return self.accept(Partition::Aws, Endpoint { host, scope_region: GLOBAL_SCOPE, global: true });
        }
        let (row, region) = locate(host)?;
        self.accept(row.partition, Endpoint { host, scope_region: region, global: false })
    }

    fn accept<'a>(&self, partition: Partition, endpoint: Endpoint<'a>) -> Result<Endpoint<'a>, Unaccepted> {
        if partition == self.partition { Ok(endpoint) } else { Err(Unaccepted::OtherPartition(partition)) }
    }
}

/// The row and region of a host written `sts.<region>.<domain>` or `sts-fips.<region>.<domain>`.
fn locate(host: &str) -> Result<(&'static Row, &'static str), Unaccepted> {
    let (service, rest) = host.split_once('.').ok_or(Unaccepted::Unknown)?;
    let (label, domain) = rest.split_once('.').ok_or(Unaccepted::Unknown)?;
    let fips = match service {
        "sts" => false,
        "sts-fips" => true,
        _ => return Err(Unaccepted::Unknown),
    };
    if !is_label(label) {
        return Err(Unaccepted::Unknown);
    }
    let mut verdict = Unaccepted::Unknown;
    for row in &TABLE {
        let with_fips = match domain {
            _ if domain == row.domain => row.fips,
            _ if domain == row.dual_stack => row.dual_stack_fips,
            _ => continue,
        };
        verdict = Unaccepted::UnknownRegion;
        let regions = if fips { with_fips } else { row.regions };
        if let Ok(found) = regions.binary_search(&label) {
            return Ok((row, regions[found]));
        }
    }
    Err(verdict)
}

// === impl Target ===

impl Target {
    /// The endpoint of `region`, in the flavour asked for.
    ///
    /// A region that the table lacks is signed for by the form of its name, so that a client works in a
    /// region newer than itself: the partition follows from what the name starts with (two letters
    /// and a hyphen, if no other partition's prefix fits), and it must have three parts or more, the last
    /// a number. `aws-global` is the global endpoint.
    ///
    /// # Errors
    ///
    /// [`NoEndpoint`].
    pub fn new(region: &str, fips: bool, dual_stack: bool) -> Result<Self, NoEndpoint> {
        if region == GLOBAL_REGION {
            if fips {
                return Err(NoEndpoint::NoFips(region.to_owned()));
            }
            return Ok(Self {
                host: GLOBAL_HOST.to_owned(),
                scope_region: GLOBAL_SCOPE.to_owned(),
                partition: Partition::Aws,
            });
        }
        let row = row_of_region(region).ok_or_else(|| NoEndpoint::NotARegion(region.to_owned()))?;
        let service = row.service(region, fips, dual_stack)?;
        let domain = if dual_stack { row.dual_stack } else { row.domain };
        Ok(Self {
            host: format!("{service}.{region}.{domain}"),
            scope_region: region.to_owned(),
            partition: row.partition,
        })
    }
}

impl Target {
    /// The EC2 endpoint of `region`, in the flavour asked for. New regions are taken by the form of their names, as for
    /// STS.
    ///
    /// # Errors
    ///
    /// [`NoEndpoint`].
    pub fn ec2(region: &str, fips: bool, dual_stack: bool) -> Result<Self, NoEndpoint> {
        let row = row_of_region(region).ok_or_else(|| NoEndpoint::NotARegion(region.to_owned()))?;
        let service = match fips && row.partition != Partition::AwsUsGov {
            false => "ec2",
            true if EC2_FIPS.contains(&region) && !dual_stack => "ec2-fips",
            true => return Err(NoEndpoint::NoEc2Fips(region.to_owned())),
        };
        let domain = if dual_stack { row.dual_stack } else { row.domain };
        Ok(Self {
            host: format!("{service}.{region}.{domain}"),
            scope_region: region.to_owned(),
            partition: row.partition,
        })
    }
}

impl Target {
    /// The IAM endpoint of `partition`, in the flavour asked for. A partition has one IAM, in one region.
    ///
    /// # Errors
    ///
    /// [`NoEndpoint::NoIam`].
    pub fn iam(partition: Partition, fips: bool, dual_stack: bool) -> Result<Self, NoEndpoint> {
        let iam = table::iam_of(partition);
        let host = iam.host(fips, dual_stack).ok_or(NoEndpoint::NoIam(partition))?;
        Ok(Self { host: host.to_owned(), scope_region: iam.region.to_owned(), partition })
    }

    /// The region that IAM of `partition` is signed for.
    #[must_use]
    pub fn iam_region(partition: Partition) -> &'static str {
        table::iam_of(partition).region
    }
}

// === impl Partition ===

impl Partition {
    /// The name in ARNs and in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        TABLE.iter().find(|row| row.partition == self).map_or("aws", |row| row.name)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Partition {
    type Err = InvalidPartition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TABLE.iter().find(|row| row.name == text).map(|row| row.partition).ok_or(InvalidPartition)
    }
}

impl TryFrom<String> for Partition {
    type Error = InvalidPartition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

// === impl HostName ===

impl TryFrom<String> for HostName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let good = text.len() <= MAX_HOST && text.contains('.') && text.split('.').all(is_label);
        good.then_some(Self(text)).ok_or(InvalidName("host name: lower case, without port or trailing dot"))
    }
}

// === impl RegionName ===

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RegionName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_label(&text) { Ok(Self(text)) } else { Err(InvalidName("region name, such as eu-west-1")) }
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    matches!(text.len(), 1..=MAX_LABEL) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests;
