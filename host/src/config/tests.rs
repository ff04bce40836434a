//! The file as tables: what is written, and what is in force or said about it.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::mapping::rule::tests::caller;

const FILE: &str = "config.yaml";

fn parse(text: &str) -> Result<Loaded, ConfigError> {
    Config::parse(Path::new(FILE), text)
}

/// The warnings, or the error.
#[track_caller]
fn says(text: &str, expected: &Expect) {
    let said = match parse(text) {
        Ok(loaded) => loaded.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        Err(error) => format!("{error}"),
    };
    expected.assert_eq(&said);
}

/// Who `arn` is, by the mappings in `text`.
#[track_caller]
fn maps(text: &str, arn: &str, expected: &str) {
    let loaded = parse(text).expect("the file loads");
    let caller = caller(arn);
    let found = loaded.config.rules.find(&caller, SystemTime::UNIX_EPOCH).map(|rule| rule.render(&caller, None));
    let words = match found {
        None => "nobody".to_owned(),
        Some(Ok(mapping)) => format!("{} [{}]", mapping.username, mapping.groups.join(" ")),
        Some(Err(error)) => error.to_string(),
    };
    assert_eq!(words, expected, "{arn}");
}

const KOPS_EXAMPLE: &str = "
clusterID: authenticator.abcdefghij.k8s.local
server:
  mapRoles:
  - roleARN: arn:aws:iam::123456789012:role/KubernetesAdmin
    username: kubernetes-admin
    groups:
    - system:masters
";

const ACK_EXAMPLE: &str = "
# a unique-per-cluster identifier to prevent replay attacks (see above)
clusterID: my-dev-cluster.example.com

# default RAM role to assume for `ack-ram-authenticator token`
defaultRole: acs:ram::000000000000:role/KubernetesAdmin

# server listener configuration
server:
  # localhost port where the server will serve the /authenticate endpoint
  port: 21362 # (default)

  # state directory for generated TLS certificate and private keys
  stateDir: /var/ack-ram-authenticator # (default)

  # output `path` where a generated webhook kubeconfig will be stored.
  generateKubeconfig: /etc/kubernetes/ack-ram-authenticator.kubeconfig # (default)

  # each mapRoles entry maps an RAM role to a username and set of groups
  # Each username and group can optionally contain template parameters:
  #  1) \"{{AccountID}}\" is the 16 digit ID.
  #  2) \"{{SessionName}}\" is the role session name.
  mapRoles:
  # statically map acs:ram::000000000000:role/KubernetesAdmin to cluster admin
  - roleARN: acs:ram::000000000000:role/KubernetesAdmin
    username: kubernetes-admin
    groups:
    - system:masters

  # each mapUsers entry maps an RAM role to a static username and set of groups
  mapUsers:
  # map user RAM user Alice in 000000000000 to user \"alice\" in group \"system:masters\"
  - userARN: acs:ram::000000000000:user/Alice
    username: alice
    groups:
    - system:masters
";

/// The mappings of seed S2-9, as the file has them.
const EXTENDED_EXAMPLE: &str = "
clusterID: c
server:
  mapRoles:
  - rolearn: arn:aws:iam::123456789012:role/WorkerNodes
    username: system:node:{{EC2PrivateDNSName}}
    groups:
    - system:bootstrappers
    - system:nodes
  - rolearn: arn:aws:iam::123456789012:role/Lambda
    username: lambda
    groups:
    - system:masters
  mapUsers:
  - userarn: arn:aws:iam::123456789012:user/ops/admin
    username: user
    groups:
    - system:masters
";

#[test]
fn the_documents_of_existing_guides_load() {
    says(KOPS_EXAMPLE, &expect![""]);
    maps(
        KOPS_EXAMPLE,
        "arn:aws:sts::123456789012:assumed-role/KubernetesAdmin/alice",
        "kubernetes-admin [system:masters]",
    );
    says(ACK_EXAMPLE, &expect![""]);
    maps(ACK_EXAMPLE, "acs:ram::000000000000:assumed-role/KubernetesAdmin/a", "kubernetes-admin [system:masters]");
    maps(ACK_EXAMPLE, "acs:ram::000000000000:user/alice", "alice [system:masters]");
    says(EXTENDED_EXAMPLE, &expect![""]);
    maps(
        EXTENDED_EXAMPLE,
        "arn:aws:sts::123456789012:assumed-role/WorkerNodes/i-0123456789abcdef0",
        "the mapping's template does not fit this caller: {{EC2PrivateDNSName}} asks for the name of a node, which has not been looked up",
    );
    maps(EXTENDED_EXAMPLE, "arn:aws:sts::123456789012:assumed-role/Lambda/a", "lambda [system:masters]");
    maps(EXTENDED_EXAMPLE, "arn:aws:iam::123456789012:user/ops/admin", "user [system:masters]");
}

#[test]
fn one_file_serves_server_and_client() {
    let config = parse(ACK_EXAMPLE).expect("it loads").config;
    assert_eq!(config.cluster_id.expect("given").as_str(), "my-dev-cluster.example.com");
    assert_eq!(config.client.role.as_deref(), Some("acs:ram::000000000000:role/KubernetesAdmin"));
    assert_eq!(config.server.port, 21362);
    assert_eq!(config.server.state_dir, Path::new("/var/ack-ram-authenticator"));
    assert_eq!(config.server.generate_kubeconfig, Path::new("/etc/kubernetes/ack-ram-authenticator.kubeconfig"));
    assert_eq!(config.sources, [Source::MountedFile]);
    let text = "{role: r, region: eu-west-1, externalID: x, sessionName: s, tokenOnly: true, cache: true}";
    let client = parse(text).expect("JSON and flow style are YAML").config.client;
    let expected = ClientSection {
        role: Some("r".into()),
        region: Some("eu-west-1".into()),
        external_id: Some("x".into()),
        session_name: Some("s".into()),
        token_only: true,
        cache: true,
        ..ClientSection::default()
    };
    assert_eq!(client, expected);
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "# nothing\n", "server:\n", "server: {mapRoles: , mapUsers: [], mapAccounts: }"] {
        says(text, &expect![""]);
        assert_eq!(parse(text).expect("it loads").config.sources, [Source::MountedFile]);
    }
}

#[test]
fn keys_fold_their_case() {
    let text = "
CLUSTERID: c
Server:
  PORT: 1234
  backendmode: [MountedFile]
  maproles:
  - RoleArn: arn:aws:iam::123456789012:role/Admin
    UserName: admin
    GROUPS: [ops]
";
    says(text, &expect![""]);
    assert_eq!(parse(text).expect("it loads").config.server.port, 1234);
    maps(text, "arn:aws:sts::123456789012:assumed-role/Admin/a", "admin [ops]");
    says(
        "clusterID: a\nclusterid: b\n",
        &expect!["config.yaml:2:1: `clusterid` is given already, as `clusterID` on line 1 (clusterid)"],
    );
    says(
        "server:\n  port: 1\n  Port: 2\n",
        &expect!["config.yaml:3:3: `Port` is given already, as `port` on line 2 (server.Port)"],
    );
    says(
        "server:\n  mapRoles: []\n  maproles: []\n",
        &expect!["config.yaml:3:3: `maproles` is given already, as `mapRoles` on line 2 (server.maproles)"],
    );
    says("role: a\ndefaultRole: b\n", &expect!["config.yaml:1:1: the key `role` is given twice, under two names"]);
    says(
        "server:\n  port: 1\n  port: 2\n",
        &expect!["config.yaml:3:3: `port` is given already, as `port` on line 2 (server.port)"],
    );
}

#[test]
fn a_typo_names_file_line_column_and_key() {
    says("clutserID: c\n", &expect!["config.yaml:1:1: unknown key `clutserID`, did you mean `clusterID`? (clutserID)"]);
    says(
        "server:\n  maproels: []\n",
        &expect!["config.yaml:2:3: unknown key `maproels`, did you mean `mapRoles`? (server.maproels)"],
    );
    says("server:\n  colour: red\n", &expect!["config.yaml:2:3: unknown key `colour` (server.colour)"]);
    says(
        "server:\n  policies:\n  - {name: a, kind: map, komponent: x}\n",
        &expect!["config.yaml:3:26: unknown key `komponent`, did you mean `component`? (server.policies[0].komponent)"],
    );
    says(
        "server:\n  reservedPrefixConfig:\n  - backendMode: MountedFile\n    usernamePrefixReservedList: [a]\n",
        &expect![
            "config.yaml:4:5: unknown key `usernamePrefixReservedList`, did you mean `usernamePrefixReserveList`? (server.reservedPrefixConfig[0].usernamePrefixReservedList)"
        ],
    );
}

#[test]
fn a_wrong_type_names_what_is_expected() {
    says(
        "clusterID: 123\n",
        &expect!["config.yaml:1:12: expected text, found the number `123`: write it in quotes (clusterID)"],
    );
    says(
        "clusterID: on\n",
        &expect![
            "config.yaml:1:12: expected text, found `on`, which many readers of YAML take for a boolean: write it in quotes (clusterID)"
        ],
    );
    says("clusterID: 'on'\n", &expect![""]);
    says(
        "clusterID: a b\n",
        &expect!["config.yaml:1:12: a cluster id must be 1 to 255 visible ASCII characters without spaces (clusterID)"],
    );
    says("server: 5\n", &expect!["config.yaml:1:1: expected a map, found a number (server)"]);
    says("server: [a]\n", &expect!["config.yaml:1:1: expected a map, found a list (server)"]);
    says("[a]\n", &expect!["config.yaml:1:1: expected a map, found a list"]);
    says("server:\n  port: https\n", &expect!["config.yaml:2:9: expected a whole number, found text (server.port)"]);
    says(
        "server:\n  port: 021362\n",
        &expect!["config.yaml:2:9: `021362` starts with a zero, which readers of YAML do not agree on (server.port)"],
    );
    says("server:\n  port: 70000\n", &expect!["config.yaml:2:9: the integer `70000` is out of range (server.port)"]);
    says(
        "server:\n  kubeconfigPregenerated: yes\n",
        &expect!["config.yaml:2:27: expected true or false, found text (server.kubeconfigPregenerated)"],
    );
    says(
        "server:\n  sts: {timeout: 5}\n",
        &expect!["config.yaml:2:18: `5` has no unit: write 5s, or 5ms (server.sts.timeout)"],
    );
    says(
        "server:\n  sts: {timeout: soon}\n",
        &expect!["config.yaml:2:18: not a duration such as 50ms or 2m: expected number at 0 (server.sts.timeout)"],
    );
    says(
        "server:\n  mapRoles: {a: b}\n",
        &expect!["config.yaml:2:3: expected a list of mappings, found a map (server.mapRoles)"],
    );
    says(
        "server:\n  mapRoles: text\n",
        &expect!["config.yaml:2:3: expected a list of mappings, found text (server.mapRoles)"],
    );
    says(
        "server:\n  mapAccounts: 5\n",
        &expect!["config.yaml:2:16: expected a list of accounts, found a number (server.mapAccounts)"],
    );
}

#[test]
fn what_is_no_yaml_names_its_line() {
    says("a: [1\nb: 2\n", &expect!["config.yaml:2:2: illegal placement of ':' indicator"]);
    says(
        "server:\n  - a\n  b: c\n",
        &expect![
            "config.yaml:3:3: while parsing a block collection, did not find expected '-' indicator: compare how far this line and those above it are indented"
        ],
    );
    says(
        "clusterID: a\n---\nclusterID: b\n",
        &expect!["config.yaml:3:1: a second document starts here: a file holds one"],
    );
    says("clusterID: *nowhere\n", &expect!["config.yaml:1:12: alias references unknown anchor"]);
    says(
        "server:\n  mapRoles:\n  - username: {{SessionName}}-x\n",
        &expect![
            "config.yaml:3:30: while parsing a block mapping, did not find expected key: a value that starts with {{ needs quotes"
        ],
    );
}

#[test]
fn keys_without_effect_are_warnings() {
    says(
        "feature-gates: {SSORoleMatch: true}\nserver:\n  kubeconfig: /k\n  ec2DescribeInstancesQps: 15\n  Bind: 0.0.0.0\n",
        &expect![[r#"
            line 1: has no effect: nothing here is behind a gate (feature-gates)
            line 5: has no effect: use `address` (server.Bind)
        "#]],
    );
}

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

/// One list of role entries around `entry`, which must not take its neighbours with it.
#[track_caller]
fn role(entry: &str, expected: &Expect) {
    let text = format!(
        "server:\n  mapRoles:\n  - {{rolearn: 'arn:aws:iam::123456789012:role/First', username: first}}\n  - {entry}\n  - {{rolearn: 'arn:aws:iam::123456789012:role/Last', username: last}}\n"
    );
    says(&text, expected);
    maps(&text, "arn:aws:sts::123456789012:assumed-role/First/a", "first []");
    maps(&text, "arn:aws:sts::123456789012:assumed-role/Last/a", "last []");
}

#[test]
fn a_wrong_entry_is_left_out_and_takes_nobody_with_it() {
    let arn = "rolearn: 'arn:aws:iam::123456789012:role/A'";
    let with = |rest: &str| format!("{{{arn}, {rest}}}");
    role(&with("username: a"), &expect![""]);
    role(
        &with("groups: [x]"),
        &expect![[r#"
        line 4: left out: the key `username` is missing (server.mapRoles[1])
    "#]],
    );
    role(
        &with("username: ''"),
        &expect![[r#"
        line 4: left out: the username is empty (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: n"),
        &expect![[r#"
        line 4: left out: expected text, found `n`, which many readers of YAML take for a boolean: write it in quotes (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: true"),
        &expect![[r#"
        line 4: left out: expected text, found the boolean `true`: write it in quotes (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: 007"),
        &expect![[r#"
            line 4: left out: expected text, found the number `007`, and readers of YAML do not agree on what a leading zero means: write it in quotes (server.mapRoles[1].username)
        "#]],
    );
    role(
        &with("username: {{SessionName}}"),
        &expect![[r#"
        line 4: left out: expected text, found a nested map: a text that starts with {{ needs quotes (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: 'a{{Team}}'"),
        &expect![[r#"
            line 4: left out: unknown template variable {{Team}}; known are {{AccessKeyID}}, {{AccountID}}, {{EC2PrivateDNSName}}, {{SessionName}}, {{SessionNameRaw}} (server.mapRoles[1].username)
        "#]],
    );
    role(
        &with("username: a, groups: ['{{Team']"),
        &expect![[r#"
        line 4: left out: template braces do not pair up: write {{Variable}} (server.mapRoles[1].groups[0])
    "#]],
    );
    role(
        &with("username: a, groups: [x, '']"),
        &expect![[r#"
        line 4: left out: a group is empty (server.mapRoles[1].groups[1])
    "#]],
    );
    role(
        &with("username: a, groups: [x, 7]"),
        &expect![[r#"
        line 4: left out: expected text, found the number `7`: write it in quotes (server.mapRoles[1].groups[1])
    "#]],
    );
    role(
        &with("username: a, groups: {x: y}"),
        &expect![[r#"
        line 4: left out: expected a list of groups, found a map (server.mapRoles[1].groups)
    "#]],
    );
    role(
        &with("username: a, group: [x]"),
        &expect![[r#"
        line 4: left out: unknown key `group`, did you mean `groups`? (server.mapRoles[1])
    "#]],
    );
    role(
        &with("username: a, UserName: b"),
        &expect![[r#"
        line 4: left out: `UserName` is given already, as `username` on line 4 (server.mapRoles[1])
    "#]],
    );
    role(
        &with("username: a, username: b"),
        &expect![[r#"
        line 4: left out: `username` is given already, as `username` on line 4 (server.mapRoles[1])
    "#]],
    );
    role(
        "just text",
        &expect![[r#"
        line 4: left out: expected a map, found text (server.mapRoles[1])
    "#]],
    );
}

#[test]
fn an_entry_names_exactly_one_principal() {
    role(
        "{username: a}",
        &expect![[r#"
        line 4: left out: has neither `roleARN` nor `sso`: it names nobody (server.mapRoles[1])
    "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/A', sso: {permissionSetName: A, accountID: '123456789012'}, username: a}",
        &expect![[r#"
            line 4: left out: has both `roleARN` and `sso`: keep one of them (server.mapRoles[1])
        "#]],
    );
    role(
        "{rolearn: Admin, username: a}",
        &expect![[r#"
        line 4: left out: not the ARN of a principal: bad prefix (server.mapRoles[1].roleARN)
    "#]],
    );
    role(
        "{rolearn: 'arn:aws-us-govt:iam::123456789012:role/A', username: a}",
        &expect![[r#"
        line 4: left out: not the ARN of a principal: bad partition, did you mean `aws-us-gov`? (server.mapRoles[1].roleARN)
    "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/*', username: a}",
        &expect![[r#"
        line 4: left out: wildcards are not supported in an ARN: name each role (server.mapRoles[1].roleARN)
    "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/FIRST', username: a}",
        &expect![[r#"
            line 4: left out: the same principal is mapped on line 3 already, which stays in force: keep one entry, with the groups of both (server.mapRoles[1])
        "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/team/First', username: a}",
        &expect![[r#"
            line 4: STS leaves out the path of a role: this entry matches by the role's name alone: write `arn:aws:iam::123456789012:role/First` (server.mapRoles[1])
            line 4: left out: the same principal is mapped on line 3 already, which stays in force: keep one entry, with the groups of both (server.mapRoles[1])
        "#]],
    );
    says(
        "server:\n  mapUsers: [{username: a}]\n",
        &expect![[r#"
        line 2: left out: has no `userARN`: it names nobody (server.mapUsers[0])
    "#]],
    );
}

#[test]
fn permission_sets_are_checked() {
    let sso = |set: &str| format!("{{sso: {set}, username: a}}");
    role(&sso("{permissionSetName: View, accountID: '123456789012'}"), &expect![""]);
    role(
        &sso("{permissionSetName: View, accountID: '123456789012', partition: aws-cn}"),
        &expect![[r#"
        line 4: never matches: it is of partition aws-cn, and tokens are accepted from aws: write the partition of your callers, or set `server.partition` (server.mapRoles[1])
    "#]],
    );
    role(
        &sso("{permissionSetName: View, accountID: 012345670123}"),
        &expect![[r#"
            line 4: left out: expected text, found the number `012345670123`, and readers of YAML do not agree on what a leading zero means: write it in quotes (server.mapRoles[1].sso.accountID)
        "#]],
    );
    role(
        &sso("{permissionSetName: View, accountID: '12345'}"),
        &expect![[r#"
        line 4: left out: not an account id: must be 12 or 16 decimal digits (server.mapRoles[1].sso)
    "#]],
    );
    role(
        &sso("{permissionSetName: 'View *', accountID: '123456789012'}"),
        &expect![[r#"
        line 4: left out: not the name of a permission set: 1 to 32 of A-Z a-z 0-9 _ + = , . @ - (server.mapRoles[1].sso)
    "#]],
    );
    role(
        &sso("{permissionSetName: View, accountID: '123456789012', partition: aws-us-govt}"),
        &expect![[r#"
        line 4: left out: no partition of AWS, did you mean `aws-us-gov`? (server.mapRoles[1].sso)
    "#]],
    );
    role(
        &sso("{permissionSetName: View}"),
        &expect![[r#"
        line 4: left out: the key `accountID` is missing (server.mapRoles[1].sso)
    "#]],
    );
    let text = "server: {mapRoles: [{sso: {permissionSetName: View, accountID: '123456789012', partition: aws-cn}, username: v}]}";
    maps(text, "arn:aws-cn:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a", "v []");
    maps(text, "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a", "nobody");
}

#[test]
fn entries_that_may_not_mean_what_they_say_are_remarked_on() {
    role(
        "{rolearn: 'arn:aws:sts::123456789012:assumed-role/A/alice', username: a, userid: AROA}",
        &expect![[r#"
            line 4: names one session, and is in force for every session of its role: write `arn:aws:iam::123456789012:role/A` (server.mapRoles[1])
            line 4: `userid` has no effect here: entries match by ARN (server.mapRoles[1])
        "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/A', username: a, groups: ['system:{{SessionName}}']}",
        &expect![[r#"
            line 4: whoever may assume this role chooses the rest of a `system:` name (server.mapRoles[1])
        "#]],
    );
}

#[test]
fn roles_come_before_users_wherever_they_are_written() {
    let text = "
server:
  mapUsers: [{userarn: 'arn:aws:iam::123456789012:role/A', username: by-user, groups: 'a, b'}]
  mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/A', username: by-role, groups: 'a, b'}]
";
    says(
        text,
        &expect![[r#"
            line 3: left out: the same principal is mapped on line 4 already, which stays in force: keep one entry, with the groups of both (server.mapUsers[0])
        "#]],
    );
    maps(text, "arn:aws:sts::123456789012:assumed-role/A/s", "by-role [a b]");
}

#[test]
fn accounts_are_text() {
    let text = "server:\n  mapAccounts:\n  - '012345670123'\n  - 012345670123\n  - 123456789012\n  - '12'\n  - 1234567890123456x\n";
    says(
        text,
        &expect![[r#"
            line 4: left out: expected text, found the number `012345670123`, and readers of YAML do not agree on what a leading zero means: write it in quotes (server.mapAccounts[1])
            line 5: left out: expected text, found the number `123456789012`: write it in quotes (server.mapAccounts[2])
            line 6: left out: not an account id: must be 12 or 16 decimal digits, found `12` (server.mapAccounts[3])
            line 7: left out: not an account id: must be 12 or 16 decimal digits, found `1234567890123456x` (server.mapAccounts[4])
        "#]],
    );
    let accounts = parse(text).expect("it loads").config.map_accounts;
    assert_eq!(accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(), ["012345670123"]);
    says(
        "server:\n  scrubbedAccounts: [123456789012]\n",
        &expect![
            "config.yaml:2:22: expected text, found the number `123456789012`: write it in quotes (server.scrubbedAccounts[0])"
        ],
    );
}

#[test]
fn sources_in_order() {
    #[track_caller]
    fn check(mode: &str, expected: &[&str]) {
        let policies = "[{name: a, kind: map, component: a.wasm}]";
        let text = format!("server: {{backendMode: {mode}, policies: {policies}}}");
        let config = parse(&text).expect("it loads").config;
        assert_eq!(config.sources.iter().map(Source::name).collect::<Vec<_>>(), expected, "{mode}");
    }
    check("[MountedFile, Policy/a]", &["MountedFile", "Policy/a"]);
    check("[Policy/a, File]", &["Policy/a", "MountedFile"]);
    check("'Policy/a,MountedFile'", &["Policy/a", "MountedFile"]);
    check("'Policy/a MountedFile'", &["Policy/a", "MountedFile"]);
    check("Policy/a", &["Policy/a"]);
    says("server: {backendMode: []}", &expect!["config.yaml:1:23: names no source (server.backendMode)"]);
    says(
        "server: {backendMode: [MountedFiles]}",
        &expect!["config.yaml:1:24: unknown source `MountedFiles`, did you mean `MountedFile`? (server.backendMode)"],
    );
    says(
        "server: {backendMode: [File, MountedFile]}",
        &expect!["config.yaml:1:30: names MountedFile twice (server.backendMode)"],
    );
    says(
        "server: {backendMode: [ConfigMap, EKSConfigMap]}",
        &expect!["config.yaml:1:35: names EKSConfigMap twice (server.backendMode)"],
    );
    says(
        "server: {backendMode: [DynamicFile]}",
        &expect!["config.yaml:1:24: DynamicFile needs `dynamicFilePath` (server.backendMode)"],
    );
    says(
        "server: {backendMode: [Policy/a]}",
        &expect!["config.yaml:1:24: Policy/a names no policy of `policies` (server.backendMode)"],
    );
    says(
        "server: {backendMode: 5}",
        &expect!["config.yaml:1:23: expected a list of sources, found integer `5` (server.backendMode)"],
    );
}

#[test]
fn the_command_line_may_name_other_sources() {
    let text = "server: {policies: [{name: a, kind: map, component: a}], backendMode: [Policy/a]}";
    let mut config = parse(text).expect("it loads").config;
    config.set_backend_mode(&["MountedFile".to_owned(), "Policy/a".to_owned()]).expect("good");
    assert_eq!(config.sources, [Source::MountedFile, Source::Policy("a".to_owned())]);
    let error = config.set_backend_mode(&["CRDs".to_owned()]).expect_err("no source").to_string();
    expect!["config.yaml: --backend-mode: unknown source `CRDs`, did you mean `CRD`?"].assert_eq(&error);
    assert_eq!(config.sources.len(), 2, "what was there stays");
}

#[test]
fn policies_and_sources_agree() {
    #[track_caller]
    fn check(mode: &str, policies: &[&str], expected: &Expect) {
        let entry = |text: &&str| format!("    - {{component: x.wasm, {text}}}\n");
        let policies: String = policies.iter().map(entry).collect();
        says(&format!("server:\n    backendMode: [{mode}]\n    policies:\n{policies}"), expected);
    }
    check("Policy/a", &["name: a, kind: map"], &expect![""]);
    check("MountedFile", &["name: a, kind: augment, onFault: skip", "name: b, kind: augment"], &expect![""]);
    check("MountedFile", &["name: a, kind: guard"], &expect![""]);
    check(
        "MountedFile",
        &["name: a, kind: map"],
        &expect![
            "config.yaml:4:7: `a` is of kind map and never asked: put `Policy/a` into backendMode (server.policies[0])"
        ],
    );
    check(
        "Policy/oncal",
        &["name: oncall, kind: map"],
        &expect![
            "config.yaml:2:19: Policy/oncal names no policy of `policies`, did you mean `oncall`? (server.backendMode)"
        ],
    );
    check(
        "Policy/a",
        &["name: a, kind: guard"],
        &expect![
            "config.yaml:2:19: Policy/a is not of kind map: policies of other kinds follow the list by themselves (server.backendMode)"
        ],
    );
    check(
        "Policy/a",
        &["name: a, kind: map", "name: a, kind: guard"],
        &expect!["config.yaml:5:7: another policy is called `a` already (server.policies[1])"],
    );
    check(
        "Policy/a",
        &["name: a, kind: map, onFault: skip"],
        &expect![
            "config.yaml:4:7: onFault: skip is for policies of kind augment: skipping any other could let somebody in (server.policies[0])"
        ],
    );
    check(
        "MountedFile",
        &["name: a, kind: augment, onFault: skip", "name: b, kind: guard"],
        &expect![
            "config.yaml:4:7: onFault: skip does not go with a policy of kind guard: the guard would judge less than there is (server.policies[0])"
        ],
    );
    check(
        "MountedFile",
        &["name: a, kind: mapp"],
        &expect!["config.yaml:4:42: expected one of `map`, `augment`, `guard`, found `mapp` (server.policies[0].kind)"],
    );
    check("MountedFile", &["kind: map"], &expect!["config.yaml:4:7: the key `name` is missing (server.policies[0])"]);
}

#[test]
fn policy_files_are_named_relative_to_the_configuration() {
    let text = "server: {backendMode: [Policy/a, Policy/b], policies: [{name: a, kind: map, component: a.wasm}, {name: b, kind: map, component: /b.wasm}]}";
    let config = Config::parse(Path::new("/etc/herald/config.yaml"), text).expect("it loads").config;
    let files: Vec<_> = config.files().collect();
    assert_eq!(files, ["/etc/herald/config.yaml", "/etc/herald/a.wasm", "/b.wasm"].map(Path::new));
}

#[test]
fn settings_of_a_policy_are_any_yaml() {
    let text = "server: {backendMode: [Policy/a], policies: [{name: a, kind: map, component: a, settings: {Team: [x, 1, -2, 1.5, true, no, ~, {a: b}]}}]}";
    let settings = parse(text).expect("it loads").config.policies[0].settings.clone();
    assert_eq!(settings, serde_json::json!({"Team": ["x", 1, -2, 1.5, true, "no", null, {"a": "b"}]}));
    says(
        "server:\n  policies:\n  - name: a\n    settings: {a: 1, A: 2, a: 3}\n",
        &expect!["config.yaml:4:28: `a` is given already, as `a` on line 4 (server.policies[0].settings.a)"],
    );
}

#[test]
fn reserved_prefixes_name_sources_that_are_asked() {
    let reserve = |name: &str| {
        format!("server:\n  reservedPrefixConfig:\n  - {{backendMode: {name}, usernamePrefixReserveList: [aws, '']}}\n")
    };
    says(&reserve("MountedFile"), &expect![""]);
    let reserved = parse(&reserve("File")).expect("it loads").config.reserved_prefixes;
    assert_eq!(reserved, BTreeMap::from([("MountedFile".to_owned(), vec!["aws".to_owned()])]));
    says(&reserve("mapAccounts"), &expect![""]);
    says(
        &reserve("CRD"),
        &expect![[r#"
        line 3: has no effect: CRD is not in backendMode (server.reservedPrefixConfig[0])
    "#]],
    );
    says(
        &reserve("MountedFil"),
        &expect![
            "config.yaml:3:5: `MountedFil` is not in backendMode, did you mean `MountedFile`? (server.reservedPrefixConfig[0])"
        ],
    );
}

#[test]
fn aliases_work_and_bombs_do_not() {
    let text = "
server:
  mapRoles:
  - &first {rolearn: 'arn:aws:iam::123456789012:role/A', username: a, groups: &ops [ops]}
  - {rolearn: 'arn:aws:iam::123456789012:role/B', username: b, groups: *ops}
  - {<<: *first, rolearn: 'arn:aws:iam::123456789012:role/C'}
";
    maps(text, "arn:aws:sts::123456789012:assumed-role/B/s", "b [ops]");
    maps(text, "arn:aws:sts::123456789012:assumed-role/C/s", "a [ops]");
    let mut bomb = "clusterID: c\nserver:\n  mapAccounts:\n  - &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let reference = format!("*a{}", level - 1);
        bomb.push_str(&format!("  - &a{level} [{}]\n", [reference.as_str(); 10].join(", ")));
    }
    let error = parse(&bomb).expect_err("a bomb").to_string();
    expect!["config.yaml:8:10: larger, deeper or with more aliases than a configuration may be"].assert_eq(&error);
    says(
        &format!("clusterID: {}{}", "[".repeat(200), "]".repeat(200)),
        &expect!["config.yaml:1:43: larger, deeper or with more aliases than a configuration may be"],
    );
}

#[test]
fn warnings_are_bounded() {
    let mut text = "server:\n  mapAccounts:\n".to_owned();
    text.extend(std::iter::repeat_n("  - bad\n", 1_500));
    let warnings = parse(&text).expect("it loads").warnings;
    assert_eq!(warnings.len(), 1_001);
    assert_eq!(warnings[1_000].message, "and 500 more of this kind");
    assert_eq!(warnings[1_000].severity, Severity::Error);
    text.push_str("  prot: 1\n");
    assert!(parse(&text).expect_err("a typo").to_string().contains("`prot`"), "the refusal is kept");
}

#[test]
fn the_generation_covers_every_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, component) = (folder.path().join("config.yaml"), folder.path().join("a.wasm"));
    let text = "clusterID: c\nserver: {backendMode: [Policy/a], policies: [{name: a, kind: map, component: a.wasm}]}\n";
    std::fs::write(&file, text).expect("written");
    let missing = Config::load(&file).expect_err("no component").to_string();
    assert!(missing.starts_with(&format!("{}: cannot be read: ", component.display())), "{missing}");
    let generation = |component_text: &str, text: &str| {
        std::fs::write(&component, component_text).expect("written");
        std::fs::write(&file, text).expect("written");
        Config::load(&file).expect("it loads").config.generation
    };
    let first = generation("one", text);
    assert_eq!(first.len(), 12);
    assert_eq!(generation("one", text), first);
    assert_ne!(generation("two", text), first);
    assert_ne!(generation("one", &format!("{text}# changed\n")), first);
    std::fs::write(&file, [0xff, 0xfe]).expect("written");
    let error = Config::load(&file).expect_err("no text");
    assert_eq!(error.reason(), "config_unreadable");
}

proptest! {
    /// No text makes the reader panic, and what it refuses it places in the file.
    #[test]
    fn any_text_is_read_or_refused(text in "[a-zA-Z:\\[\\]{}&*!<>|'\"#,\\n -]{0,80}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with("config.yaml:"), "{}", error);
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    /// However many entries are wrong, the right ones are in force.
    #[test]
    fn wrong_entries_take_no_neighbours(kinds in proptest::collection::vec(0..4_u8, 1..20)) {
        let mut text = "server:\n  mapRoles:\n".to_owned();
        for (index, kind) in kinds.iter().enumerate() {
            let role = format!("arn:aws:iam::123456789012:role/R{index}");
            text.push_str(&match kind {
                0 => format!("  - {{rolearn: '{role}', username: u{index}}}\n"),
                1 => format!("  - {{rolearn: '{role}'}}\n"),
                2 => "  - [1, 2]\n".to_owned(),
                _ => format!("  - {{rolearn: '{role}', username: 5}}\n"),
            });
        }
        let loaded = parse(&text).expect("the file loads");
        let good = kinds.iter().filter(|kind| **kind == 0).count();
        prop_assert_eq!(loaded.config.rules.len(), good);
        prop_assert_eq!(loaded.warnings.len(), kinds.len() - good);
    }
}

#[test]
fn sources_outside_the_file_and_where_they_are() {
    let text = "server: {backendMode: 'File ConfigMap,ACKConfigMap CRD DynamicFile', kubeconfig: kube, \
                master: https://10.0.0.1, dynamicfilepath: /run/map.json, dynamicfileUserIDStrict: true, \
                dynamicBackendModePath: mode.json}";
    let loaded = Config::parse(Path::new("/etc/herald/config.yaml"), text).expect("it loads");
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    let names: Vec<String> = config.sources.iter().map(Source::name).collect();
    assert_eq!(names, ["MountedFile", "EKSConfigMap", "ACKConfigMap", "CRD", "DynamicFile"]);
    assert_eq!(config.kubernetes.kubeconfig.as_deref(), Some(Path::new("/etc/herald/kube")));
    assert_eq!(config.kubernetes.master.as_deref(), Some("https://10.0.0.1"));
    assert_eq!(config.dynamic_file.as_deref(), Some(Path::new("/run/map.json")));
    assert!(config.dynamic_file_strict);
    assert_eq!(config.backend_mode_file.as_deref(), Some(Path::new("/etc/herald/mode.json")));
    let config = parse("server: {kubeconfig: '', master: '', dynamicFilePath: ''}").expect("it loads").config;
    assert_eq!((config.kubernetes, config.dynamic_file), (watch::Access::default(), None));
    let idle = parse("server:\n  dynamicfilepath: map.json\n  dynamicfileUserIDStrict: true\n").expect("it loads");
    let told: Vec<String> = idle.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 2: has no effect: DynamicFile is not in `backendMode` (server.dynamicFilePath)",
            "line 3: has no effect: DynamicFile is not in `backendMode` (server.dynamicFileUserIDStrict)",
        ]
    );
    let idle = parse("server: {dynamicfilepath: '', dynamicfileUserIDStrict: false}").expect("it loads");
    assert_eq!(idle.warnings, []);
}

#[test]
fn toml_is_told_as_that() {
    let toml = "clusterID = \"c\"\n[server]\nport = 1\n";
    let error = Config::parse(Path::new("config.toml"), toml).expect_err("another language").to_string();
    assert_eq!(error, "config.toml:1:1: TOML is not read: write it as YAML or JSON");
}

#[test]
fn bootstrap_admins_are_arns_or_whole_entries() {
    #[track_caller]
    fn check(list: &str, arn: &str, expected: Result<&str, &str>) {
        let found = parse(&format!("server:\n  bootstrapAdmins: {list}\n")).map(|loaded| {
            let caller = caller(arn);
            let rule = loaded.config.bootstrap_admins.find(&caller, SystemTime::UNIX_EPOCH);
            rule.map_or_else(|| "nobody".to_owned(), |rule| rule.to_string())
        });
        let words = found.map_err(|error| error.to_string());
        assert_eq!(words.as_deref().map_err(String::as_str), expected, "{list}");
    }
    let admin = "arn:aws:sts::123456789012:assumed-role/Admin/alice";
    let role = "arn:aws:iam::123456789012:role/Admin";
    check(&format!("['{role}']"), admin, Ok("bootstrap-admin [system:masters]"));
    check(&format!("['{role}']"), "arn:aws:iam::123456789012:user/Admin", Ok("nobody"));
    check(
        &format!("[{{ARN: '{role}', username: 'root:{{{{SessionName}}}}', groups: [a, b]}}]"),
        admin,
        Ok("root:{{SessionName}} [a b]"),
    );
    check(&format!("[{{arn: '{role}', groups: []}}]"), admin, Ok("bootstrap-admin []"));
    check(
        &format!("[{{arn: '{role}', notAfter: 2026-01-31T18:00:00+01:00}}]"),
        admin,
        Ok("bootstrap-admin [system:masters] until 2026-01-31T17:00:00Z"),
    );
    check("[]", admin, Ok("nobody"));
    check("", admin, Ok("nobody"));
    let wrong = [
        ("{a: b}", "config.yaml:2:20: expected a list of ARNs, found a map (server.bootstrapAdmins)"),
        ("[role/Admin]", "config.yaml:2:21: not the ARN of a principal: bad prefix (server.bootstrapAdmins[0].arn)"),
        ("[{username: a}]", "config.yaml:2:21: has no `arn`: it names nobody (server.bootstrapAdmins[0])"),
    ];
    for (list, error) in wrong {
        check(list, admin, Err(error));
    }
    check(
        &format!("['{role}', '{role}']"),
        admin,
        Err("config.yaml:2:61: the same principal is mapped on line 2 already, which stays in force: \
             keep one entry, with the groups of both (server.bootstrapAdmins[1])"),
    );
}

#[test]
fn a_file_of_its_own_goes_over_the_sources_while_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let load = || Config::load(&folder.path().join("config.yaml")).map(|loaded| loaded.config);
    let names = |config: &Config| config.sources.iter().map(Source::name).collect::<Vec<_>>();
    write("config.yaml", "server: {dynamicBackendModePath: mode.json, dynamicFilePath: map.json}");
    let first = load().expect("it loads");
    assert_eq!(names(&first), ["MountedFile"]);
    write("mode.json", r#"{"LastUpdatedDateTime": "1", "Version": "1", "backendMode": "MountedFile DynamicFile"}"#);
    let mut second = load().expect("it loads");
    assert_eq!(names(&second), ["MountedFile", "DynamicFile"]);
    assert_ne!(first.generation, second.generation);
    second.set_backend_mode(&["MountedFile".to_owned()]).expect("good");
    assert_eq!(names(&second), ["MountedFile", "DynamicFile"], "it goes over the command line too");
    for bad in ["", "{}", r#"{"backendMode": "Nobody"}"#, r#"{"backendMode": ""}"#] {
        write("mode.json", bad);
        let error = load().expect_err(bad).to_string();
        assert!(error.contains("mode.json: "), "{error}");
    }
    let policy = "policies: [{name: a, kind: map, component: /dev/null}], dynamicBackendModePath: mode.json";
    write("mode.json", r#"{"backendMode": "Policy/a"}"#);
    write("other.yaml", &format!("server: {{{policy}}}"));
    let other = Config::load(&folder.path().join("other.yaml")).expect("a list may name it later").config;
    assert_eq!(names(&other), ["Policy/a"]);
    std::fs::remove_file(folder.path().join("mode.json")).expect("it was there");
    assert_eq!(load().expect("it loads").generation, first.generation);
}

#[test]
fn a_value_out_of_bounds_names_its_place() {
    says(
        "server:\n  sts: {timeout: 5}\n",
        &expect!["config.yaml:2:18: `5` has no unit: write 5s, or 5ms (server.sts.timeout)"],
    );
    says(
        "server:\n  sts:\n    limits:\n      inFlight: 0\n",
        &expect!["config.yaml:4:17: limits.inFlight must be between 1 and 65536 (server.sts.limits.inFlight)"],
    );
    says(
        "server:\n  port: 21362\n  headTimeout: 2m\n",
        &expect!["config.yaml:3:16: server.headTimeout must be from 10ms to 1m, not 2m (server.headTimeout)"],
    );
    says(
        "server:\n  sts: {endpoints: [{host: a.example.com}, {host: a.example.com}]}\n",
        &expect![[r#"config.yaml:2:20: endpoint "a.example.com": its host is listed twice (server.sts.endpoints)"#]],
    );
}
