//! Keys: their spelling, what they take, and where each mistake is told.

use expect_test::expect;

use super::*;

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
    let both = "defaultRole: b\nrole: a\n";
    says(
        both,
        &expect![[r#"
            line 1: has no effect: `role` counts (defaultRole)
        "#]],
    );
    let role = |text: &str| parse(text).expect("it loads").config.client.role;
    assert_eq!(role(both).as_deref(), Some("a"));
    assert_eq!(role("role:\ndefaultRole: b\ntokenOnly:\n").as_deref(), Some("b"), "a key without a value says nothing");
    assert_eq!(role("role: ''\ndefaultRole: b\n").as_deref(), Some("b"), "nor does an empty one");
    says(
        "server:\n  port: 1\n  port: 2\n",
        &expect!["config.yaml:3:3: `port` is given already, as `port` on line 2 (server.port)"],
    );
}

#[test]
fn an_empty_text_is_none() {
    let text = "server: {ec2DescribeInstancesRoleARN: '', sourceARN: '', providers: [alibaba], region: ''}";
    says(text, &expect![""]);
    let config = parse(text).expect("it loads").config;
    assert_eq!((config.ec2, config.alibaba.region), (aws::ec2::Settings::default(), None));
    for wrong in ["ec2DescribeInstancesRoleARN: Nodes", "sourceARN: ' '", "sourceARN: [a]"] {
        assert!(parse(&format!("server: {{{wrong}}}")).is_err(), "{wrong}");
    }
}

#[test]
fn a_typo_names_file_line_column_and_key() {
    says("clutserID: c\n", &expect!["config.yaml:1:1: unknown key `clutserID`, did you mean `clusterID`? (clutserID)"]);
    says(
        "server:\n  maproels: []\n",
        &expect!["config.yaml:2:3: unknown key `maproels`, did you mean `mapRoles`? (server.maproels)"],
    );
    says("maproles: []\n", &expect!["config.yaml:1:1: unknown key `maproles`: put it under `server` (maproles)"]);
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
    says(
        "log-verbosity: loud\n",
        &expect!["config.yaml:1:16: must be panic, fatal, error, warning, info, debug or trace (log-verbosity)"],
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

#[test]
fn toml_is_told_as_that() {
    let toml = "clusterID = \"c\"\n[server]\nport = 1\n";
    let error = Config::parse(Path::new("config.toml"), toml).expect_err("another language").to_string();
    assert_eq!(error, "config.toml:1:1: TOML is not read: write it as YAML or JSON");
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
