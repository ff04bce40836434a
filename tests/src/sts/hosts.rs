//! Hosts under which AWS STS answers, and the region each is scoped to (AWS Security Token Service
//! endpoints and quotas; AWS PrivateLink names are not among them).

/// What a host's credential scope must say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostRegion {
    /// This host is of one region.
    Of(&'static str),
    /// Loopback: any region of the table will do, as an endpoint override has no region of its own.
    Any,
}

struct Partition {
    domain: &'static str,
    dual_stack: Option<&'static str>,
    regions: &'static [&'static str],
}

/// The host without a region; scoped to `us-east-1`.
pub const GLOBAL: &str = "sts.amazonaws.com";

#[rustfmt::skip]
const PARTITIONS: [Partition; 8] = [
    Partition {
        domain: "amazonaws.com",
        dual_stack: Some("api.aws"),
        regions: &[
            "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
            "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
            "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1",
            "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
            "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2",
            "us-west-1", "us-west-2",
        ],
    },
    Partition { domain: "amazonaws.com", dual_stack: Some("api.aws"), regions: &["us-gov-east-1", "us-gov-west-1"] },
    Partition {
        domain: "amazonaws.com.cn",
        dual_stack: Some("api.amazonwebservices.com.cn"),
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        domain: "c2s.ic.gov",
        dual_stack: Some("api.aws.ic.gov"),
        regions: &["us-iso-east-1", "us-iso-west-1"],
    },
    Partition {
        domain: "sc2s.sgov.gov",
        dual_stack: Some("api.aws.scloud"),
        regions: &["us-isob-east-1", "us-isob-west-1"],
    },
    Partition {
        domain: "cloud.adc-e.uk",
        dual_stack: Some("api.cloud-aws.adc-e.uk"),
        regions: &["eu-isoe-west-1"],
    },
    Partition {
        domain: "csp.hci.ic.gov",
        dual_stack: Some("api.aws.hci.ic.gov"),
        regions: &["us-isof-east-1", "us-isof-south-1"],
    },
    Partition {
        domain: "amazonaws.eu",
        dual_stack: Some("api.amazonwebservices.eu"),
        regions: &["eusc-de-east-1"],
    },
];

/// The region of `host`, given without a port; `None` when no STS answers under that name.
#[must_use]
pub fn region(host: &str) -> Option<HostRegion> {
    match host {
        GLOBAL => return Some(HostRegion::Of("us-east-1")),
        "localhost" | "127.0.0.1" => return Some(HostRegion::Any),
        _ => {}
    }
    let rest = host.strip_prefix("sts.").or_else(|| host.strip_prefix("sts-fips."))?;
    let (label, domain) = rest.split_once('.')?;
    let mut regions = PARTITIONS
        .iter()
        .filter(|partition| partition.domain == domain || partition.dual_stack == Some(domain))
        .flat_map(|partition| partition.regions);
    regions.find(|region| **region == label).map(|region| HostRegion::Of(region))
}

/// Whether any STS answers under `host`, of AWS or of Alibaba Cloud.
#[must_use]
pub fn is_known(host: &str) -> bool {
    region(host).is_some() || super::alibaba::is_host(host)
}

/// Whether `region` is in the table at all.
#[must_use]
pub fn is_region(region: &str) -> bool {
    PARTITIONS.iter().any(|partition| partition.regions.contains(&region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_hosts() {
        #[track_caller]
        fn check(host: &str, expected: Option<&str>) {
            let expected =
                expected.map(|region| if region == "any" { HostRegion::Any } else { HostRegion::Of(leak(region)) });
            assert_eq!(region(host), expected, "{host}");
        }
        fn leak(text: &str) -> &'static str {
            String::leak(text.to_owned())
        }
        check("sts.amazonaws.com", Some("us-east-1"));
        check("sts.us-west-2.amazonaws.com", Some("us-west-2"));
        check("sts-fips.us-east-1.amazonaws.com", Some("us-east-1"));
        check("sts.us-east-1.api.aws", Some("us-east-1"));
        check("sts.us-gov-west-1.amazonaws.com", Some("us-gov-west-1"));
        check("sts.cn-north-1.amazonaws.com.cn", Some("cn-north-1"));
        check("sts.us-iso-east-1.c2s.ic.gov", Some("us-iso-east-1"));
        check("sts.us-isob-east-1.sc2s.sgov.gov", Some("us-isob-east-1"));
        check("sts.eu-isoe-west-1.cloud.adc-e.uk", Some("eu-isoe-west-1"));
        check("sts.us-isof-south-1.csp.hci.ic.gov", Some("us-isof-south-1"));
        check("sts.eusc-de-east-1.amazonaws.eu", Some("eusc-de-east-1"));
        check("localhost", Some("any"));
        check("sts.cn-north-1.amazonaws.com", None);
        check("sts.mars-1.amazonaws.com", None);
        check("sts.us-east-1.amazonaws.com.example.com", None);
        check("STS.us-east-1.amazonaws.com", None);
        check("example.com", None);
    }
}
