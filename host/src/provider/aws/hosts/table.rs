//! The table of STS endpoints: one row a partition, one entry a region.
//!
//! Sources: AWS General Reference, "AWS Security Token Service endpoints and quotas", and the partition
//! metadata that AWS publishes with its SDKs. A new region is one more word here.

use super::{NoEndpoint, Partition};

/// One partition's endpoints.
pub(super) struct Row {
    pub(super) partition: Partition,
    pub(super) name: &'static str,
    /// Domain of the plain endpoints.
    pub(super) domain: &'static str,
    /// Domain of the dual-stack endpoints.
    pub(super) dual_stack: &'static str,
    /// Sorted.
    pub(super) regions: &'static [&'static str],
    /// Regions with `sts-fips` under the plain domain.
    pub(super) fips: &'static [&'static str],
    /// Regions with `sts-fips` under the dual-stack domain.
    pub(super) dual_stack_fips: &'static [&'static str],
    /// Whether the plain endpoints are FIPS endpoints themselves.
    plain_is_fips: bool,
    /// What this partition's region names start with; `None` for two letters and a hyphen.
    region_prefix: Option<&'static str>,
}

/// One partition's IAM.
pub(super) struct Iam {
    /// The region in credential scopes.
    pub(super) region: &'static str,
    plain: &'static str,
    fips: Option<&'static str>,
    dual_stack: Option<&'static str>,
    dual_stack_fips: Option<&'static str>,
}

const US_COMMERCIAL: &[&str] = &["us-east-1", "us-east-2", "us-west-1", "us-west-2"];
const US_GOV: &[&str] = &["us-gov-east-1", "us-gov-west-1"];

/// Specific region prefixes first: `us-gov-west-1` is no commercial region.
pub(super) static TABLE: [Row; 8] = [
    Row {
        partition: Partition::AwsUsGov,
        name: "aws-us-gov",
        domain: "amazonaws.com",
        dual_stack: "api.aws",
        regions: US_GOV,
        fips: &[],
        dual_stack_fips: US_GOV,
        plain_is_fips: true,
        region_prefix: Some("us-gov-"),
    },
    row(
        Partition::AwsCn,
        "aws-cn",
        "amazonaws.com.cn",
        "api.amazonwebservices.com.cn",
        "cn-",
        &["cn-north-1", "cn-northwest-1"],
    ),
    row(Partition::AwsEusc, "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-", &["eusc-de-east-1"]),
    row(Partition::AwsIso, "aws-iso", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-", &["us-iso-east-1", "us-iso-west-1"]),
    row(
        Partition::AwsIsoB,
        "aws-iso-b",
        "sc2s.sgov.gov",
        "api.aws.scloud",
        "us-isob-",
        &["us-isob-east-1", "us-isob-west-1"],
    ),
    row(Partition::AwsIsoE, "aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-", &["eu-isoe-west-1"]),
    row(
        Partition::AwsIsoF,
        "aws-iso-f",
        "csp.hci.ic.gov",
        "api.aws.hci.ic.gov",
        "us-isof-",
        &["us-isof-east-1", "us-isof-south-1"],
    ),
    Row {
        partition: Partition::Aws,
        name: "aws",
        domain: "amazonaws.com",
        dual_stack: "api.aws",
        regions: &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
        fips: US_COMMERCIAL,
        dual_stack_fips: US_COMMERCIAL,
        plain_is_fips: false,
        region_prefix: None,
    },
];

/// A partition without FIPS endpoints of STS.
const fn row(
    partition: Partition,
    name: &'static str,
    domain: &'static str,
    dual_stack: &'static str,
    region_prefix: &'static str,
    regions: &'static [&'static str],
) -> Row {
    Row {
        partition,
        name,
        domain,
        dual_stack,
        regions,
        fips: &[],
        dual_stack_fips: &[],
        plain_is_fips: false,
        region_prefix: Some(region_prefix),
    }
}

// === impl Row ===

impl Row {
    /// `sts` or `sts-fips`, for an endpoint of `region`.
    pub(super) fn service(&self, region: &str, fips: bool, dual_stack: bool) -> Result<&'static str, NoEndpoint> {
        let with_fips = if dual_stack { self.dual_stack_fips } else { self.fips };
        let is_new = !self.regions.contains(&region);
        if !fips || (self.plain_is_fips && !dual_stack) {
            Ok("sts")
        } else if with_fips.contains(&region) || (is_new && !with_fips.is_empty()) {
            Ok("sts-fips")
        } else {
            Err(NoEndpoint::NoFips(region.to_owned()))
        }
    }
}

/// The row that `region` belongs to, by its name alone.
pub(super) fn row_of_region(region: &str) -> Option<&'static Row> {
    let mut parts = region.rsplit('-');
    let number = parts.next()?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let words = parts.clone().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()));
    if !digits || !words || parts.count() < 2 || region.len() > super::MAX_LABEL {
        return None;
    }
    let geography_of_two_letters = region.as_bytes()[2] == b'-';
    TABLE.iter().find(|row| match row.region_prefix {
        Some(prefix) => region.starts_with(prefix),
        None => geography_of_two_letters,
    })
}

/// Where IAM of `partition` is (AWS General Reference, "AWS Identity and Access Management endpoints and quotas", and the endpoint
/// rules that AWS publishes with its SDKs).
pub(super) fn iam_of(partition: Partition) -> Iam {
    let plain = |region, plain| Iam { region, plain, fips: None, dual_stack: None, dual_stack_fips: None };
    match partition {
        Partition::Aws => Iam {
            fips: Some("iam-fips.amazonaws.com"),
            dual_stack: Some("iam.global.api.aws"),
            dual_stack_fips: Some("iam-fips.global.api.aws"),
            ..plain("us-east-1", "iam.amazonaws.com")
        },
        Partition::AwsCn => Iam {
            dual_stack: Some("iam.global.api.amazonwebservices.com.cn"),
            ..plain("cn-north-1", "iam.cn-north-1.amazonaws.com.cn")
        },
        Partition::AwsEusc => plain("eusc-de-east-1", "iam.eusc-de-east-1.amazonaws.eu"),
        Partition::AwsIso => Iam {
            fips: Some("iam-fips.us-iso-east-1.c2s.ic.gov"),
            ..plain("us-iso-east-1", "iam.us-iso-east-1.c2s.ic.gov")
        },
        Partition::AwsIsoB => Iam {
            fips: Some("iam-fips.us-isob-east-1.sc2s.sgov.gov"),
            ..plain("us-isob-east-1", "iam.us-isob-east-1.sc2s.sgov.gov")
        },
        Partition::AwsIsoE => plain("eu-isoe-west-1", "iam.eu-isoe-west-1.cloud.adc-e.uk"),
        Partition::AwsIsoF => plain("us-isof-south-1", "iam.us-isof-south-1.csp.hci.ic.gov"),
        Partition::AwsUsGov => Iam {
            fips: Some("iam.us-gov.amazonaws.com"),
            dual_stack: Some("iam.us-gov.api.aws"),
            dual_stack_fips: Some("iam.us-gov.api.aws"),
            ..plain("us-gov-west-1", "iam.us-gov.amazonaws.com")
        },
    }
}

// === impl Iam ===

impl Iam {
    /// Its host in the flavour asked for, if it has that.
    pub(super) fn host(&self, fips: bool, dual_stack: bool) -> Option<&'static str> {
        match (fips, dual_stack) {
            (false, false) => Some(self.plain),
            (true, false) => self.fips,
            (false, true) => self.dual_stack,
            (true, true) => self.dual_stack_fips,
        }
    }
}
