//! Which host is whose: one row a host, one column a partition.

use super::*;

use Partition::{Aws, AwsCn, AwsEusc, AwsIso, AwsIsoB, AwsIsoE, AwsIsoF, AwsUsGov};

const ALL: [Partition; 8] = [Aws, AwsCn, AwsEusc, AwsIso, AwsIsoB, AwsIsoE, AwsIsoF, AwsUsGov];

/// `host` is accepted by servers of `owner` alone, for `region`; by none if there is no owner.
#[track_caller]
fn check(host: &str, owner: Option<(Partition, &str)>) {
    for partition in ALL {
        let hosts = Hosts::new(partition, Vec::new());
        let found = hosts.find(host).ok().map(|endpoint| endpoint.scope_region);
        let expected = owner.filter(|(owner, _)| *owner == partition).map(|(_, region)| region);
        assert_eq!(found, expected, "{host} on a server of {partition}");
    }
}

#[test]
fn hosts_have_one_partition() {
    check("sts.amazonaws.com", Some((Aws, "us-east-1")));
    check("sts.us-east-1.amazonaws.com", Some((Aws, "us-east-1")));
    check("sts-fips.us-east-1.amazonaws.com", Some((Aws, "us-east-1")));
    check("sts.us-east-1.api.aws", Some((Aws, "us-east-1")));
    check("sts-fips.us-east-1.api.aws", Some((Aws, "us-east-1")));
    check("sts.mx-central-1.amazonaws.com", Some((Aws, "mx-central-1")));
    check("sts.us-gov-west-1.amazonaws.com", Some((AwsUsGov, "us-gov-west-1")));
    check("sts.us-gov-west-1.api.aws", Some((AwsUsGov, "us-gov-west-1")));
    check("sts-fips.us-gov-west-1.api.aws", Some((AwsUsGov, "us-gov-west-1")));
    check("sts.cn-north-1.amazonaws.com.cn", Some((AwsCn, "cn-north-1")));
    check("sts.cn-northwest-1.api.amazonwebservices.com.cn", Some((AwsCn, "cn-northwest-1")));
    check("sts.us-iso-east-1.c2s.ic.gov", Some((AwsIso, "us-iso-east-1")));
    check("sts.us-iso-west-1.api.aws.ic.gov", Some((AwsIso, "us-iso-west-1")));
    check("sts.us-isob-east-1.sc2s.sgov.gov", Some((AwsIsoB, "us-isob-east-1")));
    check("sts.us-isob-west-1.api.aws.scloud", Some((AwsIsoB, "us-isob-west-1")));
    check("sts.eu-isoe-west-1.cloud.adc-e.uk", Some((AwsIsoE, "eu-isoe-west-1")));
    check("sts.eu-isoe-west-1.api.cloud-aws.adc-e.uk", Some((AwsIsoE, "eu-isoe-west-1")));
    check("sts.us-isof-south-1.csp.hci.ic.gov", Some((AwsIsoF, "us-isof-south-1")));
    check("sts.us-isof-east-1.api.aws.hci.ic.gov", Some((AwsIsoF, "us-isof-east-1")));
    check("sts.eusc-de-east-1.amazonaws.eu", Some((AwsEusc, "eusc-de-east-1")));
    check("sts.eusc-de-east-1.api.amazonwebservices.eu", Some((AwsEusc, "eusc-de-east-1")));
}

#[test]
fn hosts_of_nobody() {
    for host in [
        "",
        "sts",
        "sts.",
        "sts..amazonaws.com",
        "sts.anything.amazonaws.com",
        "sts.US-EAST-1.amazonaws.com",
        "STS.us-east-1.amazonaws.com",
        "sts.us_east_1.amazonaws.com",
        "sts.aws-global.amazonaws.com",
        "sts.us-east-1.amazonaws.com.",
        "sts.us-east-1.amazonaws.com:443",
        "sts.us-east-1.amazonaws.com.evil.example",
        "sts.us-east-1.amazonaws.com.cn",
        "sts.us-east-1.vpce.amazonaws.com",
        "vpce-0a1.sts.us-east-1.vpce.amazonaws.com",
        "sts-fips.us-gov-west-1.amazonaws.com",
        "sts-fips.eu-west-1.amazonaws.com",
        "sts-fips.eu-west-1.api.aws",
        "sts-fips.cn-north-1.amazonaws.com.cn",
        "sts-fips.amazonaws.com",
        "iam.us-east-1.amazonaws.com",
        "us-east-1.amazonaws.com",
        "127.0.0.1",
        "169.254.169.254",
    ] {
        check(host, None);
    }
}

#[test]
fn refusals_say_why() {
    #[track_caller]
    fn check(host: &str, expected: Unaccepted) {
        assert_eq!(Hosts::default().find(host), Err(expected), "{host}");
    }
    check("sts.cn-north-1.amazonaws.com.cn", Unaccepted::OtherPartition(AwsCn));
    check("sts.us-gov-west-1.amazonaws.com", Unaccepted::OtherPartition(AwsUsGov));
    check("sts.eu-mars-9.amazonaws.com", Unaccepted::UnknownRegion);
    check("sts-fips.eu-west-1.amazonaws.com", Unaccepted::UnknownRegion);
    check("evil.example", Unaccepted::Unknown);
}

#[test]
fn operators_add_hosts() {
    let extra = r#"[
        {"host": "sts.eu-mars-9.amazonaws.com", "region": "eu-mars-9"},
        {"host": "vpce-0a1.sts.us-east-1.vpce.amazonaws.com", "region": "us-east-1"},
        {"host": "sts.cn-mars-1.amazonaws.com.cn", "region": "cn-mars-1", "partition": "aws-cn"}
    ]"#;
    let hosts = Hosts::new(Aws, serde_json::from_str(extra).expect("good"));
    assert_eq!(hosts.find("sts.eu-mars-9.amazonaws.com").map(|found| found.scope_region), Ok("eu-mars-9"));
    assert!(hosts.find("vpce-0a1.sts.us-east-1.vpce.amazonaws.com").is_ok());
    assert_eq!(hosts.find("sts.cn-mars-1.amazonaws.com.cn"), Err(Unaccepted::OtherPartition(AwsCn)));
}

#[test]
fn extra_hosts_are_names() {
    #[track_caller]
    fn check(json: &str, words: &str) {
        let error = serde_json::from_str::<ExtraHost>(json).expect_err(json).to_string();
        assert!(error.contains(words), "{json}: {error}");
    }
    check(r#"{"host": "STS.example", "region": "a"}"#, "not a host name");
    check(r#"{"host": "localhost", "region": "a"}"#, "not a host name");
    check(r#"{"host": "sts.example:443", "region": "a"}"#, "not a host name");
    check(r#"{"host": "sts.example.", "region": "a"}"#, "not a host name");
    check(r#"{"host": "sts.example", "region": "A"}"#, "not a region name");
    check(r#"{"host": "sts.example", "region": "a", "partition": "aws-us-govt"}"#, "not an AWS partition");
    check(r#"{"host": "sts.example", "region": "a", "port": 1}"#, "unknown field");
}

#[test]
fn signed_hosts() {
    #[track_caller]
    fn check(region: &str, flags: &str, expected: &str) {
        let target = Target::new(region, flags.contains("fips"), flags.contains("dual"));
        assert_eq!(target.as_ref().map_or_else(ToString::to_string, |found| found.host.clone()), expected);
        if let Ok(target) = target
            && TABLE.iter().any(|row| row.regions.contains(&region))
        {
            let hosts = Hosts::new(target.partition, Vec::new());
            let found = hosts.find(&target.host).map(|found| found.scope_region.to_owned());
            assert_eq!(found, Ok(target.scope_region), "what we sign for, we accept");
        }
    }
    check("us-west-2", "", "sts.us-west-2.amazonaws.com");
    check("us-west-2", "fips", "sts-fips.us-west-2.amazonaws.com");
    check("us-west-2", "dual", "sts.us-west-2.api.aws");
    check("us-west-2", "fips dual", "sts-fips.us-west-2.api.aws");
    check("us-gov-west-1", "fips", "sts.us-gov-west-1.amazonaws.com");
    check("us-gov-west-1", "fips dual", "sts-fips.us-gov-west-1.api.aws");
    check("cn-north-1", "", "sts.cn-north-1.amazonaws.com.cn");
    check("cn-north-1", "dual", "sts.cn-north-1.api.amazonwebservices.com.cn");
    check("eusc-de-east-1", "", "sts.eusc-de-east-1.amazonaws.eu");
    check("us-iso-east-1", "dual", "sts.us-iso-east-1.api.aws.ic.gov");
    check("aws-global", "", "sts.amazonaws.com");
    check("eu-mars-9", "", "sts.eu-mars-9.amazonaws.com");
    check("nz-south-1", "dual", "sts.nz-south-1.api.aws");
    check("us-mars-1", "fips", "sts-fips.us-mars-1.amazonaws.com");
    check("us-isof-mars-12", "", "sts.us-isof-mars-12.csp.hci.ic.gov");
    let no_fips = "STS has no FIPS endpoint in eu-west-1: unset AWS_USE_FIPS_ENDPOINT or choose another region";
    check("eu-west-1", "fips", no_fips);
    for region in ["", "mars", "us-east", "us--1", "us-east-", "US-EAST-1", "uss-east-1", "us-east-1.evil.example/"] {
        let told = format!("{region:?} is not an AWS region: set --region or AWS_REGION to one such as eu-west-1");
        check(region, "", &told);
    }
}

#[test]
fn the_table_is_sorted_and_complete() {
    for row in &TABLE {
        assert!(row.regions.is_sorted() && row.fips.is_sorted() && row.dual_stack_fips.is_sorted(), "{}", row.name);
        assert!(row.fips.iter().chain(row.dual_stack_fips).all(|region| row.regions.contains(region)));
        for region in row.regions {
            assert_eq!(row_of_region(region).map(|found| found.name), Some(row.name), "{region}");
        }
        assert_eq!(row.name.parse(), Ok(row.partition));
        assert_eq!(row.partition.as_str(), row.name);
        assert!(crate::caller::arn::AWS_PARTITIONS.contains(&row.name));
    }
}

#[test]
fn endpoints_of_ec2() {
    #[track_caller]
    fn check(region: &str, fips: bool, dual_stack: bool, expected: Option<(&str, Partition)>) {
        let found = Target::ec2(region, fips, dual_stack).ok();
        let found = found.as_ref().map(|target| (target.host.as_str(), target.partition));
        assert_eq!(found, expected, "{region}");
    }
    use Partition::{Aws, AwsCn, AwsEusc, AwsUsGov};
    check("eu-west-1", false, false, Some(("ec2.eu-west-1.amazonaws.com", Aws)));
    check("eu-west-1", false, true, Some(("ec2.eu-west-1.api.aws", Aws)));
    check("eu-west-1", true, false, None);
    check("us-east-1", true, false, Some(("ec2-fips.us-east-1.amazonaws.com", Aws)));
    check("us-gov-west-1", true, false, Some(("ec2.us-gov-west-1.amazonaws.com", AwsUsGov)));
    check("cn-north-1", false, false, Some(("ec2.cn-north-1.amazonaws.com.cn", AwsCn)));
    check("eusc-de-east-1", false, false, Some(("ec2.eusc-de-east-1.amazonaws.eu", AwsEusc)));
    check("xx-newplace-7", false, false, Some(("ec2.xx-newplace-7.amazonaws.com", Aws)));
    check("aws-global", false, false, None);
    check("example.com", false, false, None);
}

#[test]
fn endpoints_of_iam() {
    #[track_caller]
    fn check(partition: Partition, fips: bool, dual_stack: bool, expected: Option<(&str, &str)>) {
        let found = Target::iam(partition, fips, dual_stack).ok();
        let found = found.as_ref().map(|target| (target.host.as_str(), target.scope_region.as_str()));
        assert_eq!(found, expected, "{partition}");
        assert_eq!(row_of_region(Target::iam_region(partition)).map(|row| row.partition), Some(partition));
    }
    check(Aws, false, false, Some(("iam.amazonaws.com", "us-east-1")));
    check(Aws, true, false, Some(("iam-fips.amazonaws.com", "us-east-1")));
    check(Aws, false, true, Some(("iam.global.api.aws", "us-east-1")));
    check(Aws, true, true, Some(("iam-fips.global.api.aws", "us-east-1")));
    check(AwsCn, false, false, Some(("iam.cn-north-1.amazonaws.com.cn", "cn-north-1")));
    check(AwsCn, true, false, None);
    check(AwsCn, false, true, Some(("iam.global.api.amazonwebservices.com.cn", "cn-north-1")));
    check(AwsUsGov, false, false, Some(("iam.us-gov.amazonaws.com", "us-gov-west-1")));
    check(AwsUsGov, true, true, Some(("iam.us-gov.api.aws", "us-gov-west-1")));
    check(AwsEusc, false, false, Some(("iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1")));
    check(AwsEusc, true, false, None);
    check(AwsIso, true, false, Some(("iam-fips.us-iso-east-1.c2s.ic.gov", "us-iso-east-1")));
    check(AwsIsoB, false, true, None);
    check(AwsIsoE, false, false, Some(("iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1")));
    check(AwsIsoF, false, false, Some(("iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1")));
}
