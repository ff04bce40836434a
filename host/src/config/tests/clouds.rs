//! Clouds: whose tokens are accepted, and entries of a cloud whose are not.

use expect_test::expect;

use super::*;

#[test]
fn clouds_are_chosen_by_name() {
    #[track_caller]
    fn check(text: &str, clouds: &[Cloud], endpoint: &str) {
        let Loaded { config, warnings } = parse(text).expect("it loads");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((config.clouds(), config.alibaba.host().expect("one").as_str()), (clouds, endpoint), "{text}");
    }
    check("", &[Cloud::Aws], "sts.aliyuncs.com");
    let beijing = "sts-vpc.cn-beijing.aliyuncs.com";
    check("server: {providers: [alibaba], region: cn-beijing}", &[Cloud::Alibaba], beijing);
    let both = "server: {providers: [aws, alibaba], alibaba: {region: cn-beijing, network: public}}";
    check(both, &[Cloud::Aws, Cloud::Alibaba], "sts.cn-beijing.aliyuncs.com");
    let reached = "server: {sts: {endpoints: [{host: sts.aliyuncs.com, connectTo: '127.0.0.1:1'}]}}";
    check(reached, &[Cloud::Aws], "sts.aliyuncs.com");
    says("server: {providers: []}", &expect!["config.yaml:1:21: names no provider (server.providers)"]);
    says("server: {providers: [aws, aws]}", &expect!["config.yaml:1:21: names aws twice (server.providers)"]);
    says(
        "server: {providers: [gcp]}",
        &expect!["config.yaml:1:22: expected one of `alibaba`, `aws`, found `gcp` (server.providers[0])"],
    );
    says(
        "server: {alibaba: {network: vpc}}",
        &expect![
            "config.yaml:1:19: network vpc needs a region: its STS answers inside the region's own network (server.alibaba)"
        ],
    );
    says(
        "server: {alibaba: {region: CN}}",
        &expect!["config.yaml:1:28: not a region such as cn-hangzhou (server.alibaba.region)"],
    );
    says(
        "server: {region: us-west-2}",
        &expect![[r#"
        line 1: counts for Alibaba Cloud alone: a token of AWS names the region of its STS itself (server.region)
    "#]],
    );
    says(
        "server: {providers: [alibaba], region: Mars}",
        &expect![[r#"
        line 1: has no effect: no region of Alibaba Cloud has such a name (server.region)
    "#]],
    );
    says(
        "server: {providers: [alibaba], region: cn-beijing, alibaba: {region: cn-beijing}}",
        &expect![[r#"
        line 1: has no effect: `alibaba.region` counts (server.region)
    "#]],
    );
}

#[test]
fn a_region_counts_where_the_cloud_is_the_usual_one() {
    let checked = file::parse_for(Cloud::Alibaba, Path::new(FILE), "server: {region: cn-beijing}");
    let Loaded { config, warnings } = Loaded::of(Path::new(FILE), checked).expect("it loads");
    assert_eq!(warnings, []);
    assert_eq!(config.alibaba.host().expect("one").as_str(), "sts-vpc.cn-beijing.aliyuncs.com");
    let policy = "server: {policies: [{name: a, kind: augment, component: a.wasm, cloud: [caller-tags]}]}";
    for (usual, warnings) in [(Cloud::Aws, 0), (Cloud::Alibaba, 1)] {
        let checked = file::parse_for(usual, Path::new(FILE), policy);
        assert_eq!(Loaded::of(Path::new(FILE), checked).expect("it loads").warnings.len(), warnings, "{usual:?}");
    }
}

#[test]
fn entries_of_a_cloud_that_is_not_accepted_never_match() {
    let of = |providers: &str| {
        format!(
            "server:\n  {providers}\n  mapUsers:\n  - {{userarn: 'acs:ram::1234567890123456:user/a', username: a}}\n  - {{userarn: 'arn:aws:iam::123456789012:user/b', username: b}}\n"
        )
    };
    says(&of("port: 1"), &expect![""]);
    says(&of("providers: [aws, alibaba]"), &expect![""]);
    says(
        &of("providers: [aws]"),
        &expect![[r#"
        line 4: never matches: it is of partition acs, and tokens are accepted from aws: add its cloud to `server.providers` (server.mapUsers[0])
    "#]],
    );
    says(
        &of("providers: [alibaba]"),
        &expect![[r#"
        line 5: never matches: it is of partition aws, and tokens are accepted from acs: add its cloud to `server.providers` (server.mapUsers[1])
    "#]],
    );
}

#[test]
fn facts_are_of_callers_of_aws_alone() {
    let of = |providers: &str| {
        format!(
            "server:\n  providers: {providers}\n  policies:\n  - {{name: a, kind: augment, component: a.wasm}}\n  - {{name: b, kind: augment, component: b.wasm, cloud: [caller-tags]}}\n"
        )
    };
    says(&of("[aws]"), &expect![""]);
    says(&of("[alibaba, aws]"), &expect![""]);
    says(
        &of("[alibaba]"),
        &expect![[r#"
        line 5: `cloud` of `b` gives it nothing: of callers of Alibaba Cloud no fact is known: leave the policy out, or add aws to `server.providers` (server.policies[1])
    "#]],
    );
}
