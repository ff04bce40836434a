//! The command over files of each kind: what it prints, and how it ends.

use std::io;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// The command's output on `texts`, called `1.yaml` and so on, and whether it is content.
fn run(command: &Command, texts: &[&str]) -> (String, bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<PathBuf> = (1..=texts.len()).map(|number| folder.path().join(format!("{number}.yaml"))).collect();
    for (file, text) in files.iter().zip(texts) {
        std::fs::write(file, text).expect("written");
    }
    let command =
        Command { files, admin_groups: command.admin_groups.clone(), cluster: Cluster::default(), ..*command };
    let mut out = Vec::new();
    let code = command.run(None, io::empty(), &mut out).expect("it runs");
    let text = String::from_utf8(out).expect("text").replace(&format!("{}/", folder.path().display()), "");
    (text, code == ExitCode::SUCCESS)
}

fn command() -> Command {
    Command {
        live: false,
        cluster: Cluster::default(),
        files: Vec::new(),
        output: Output::Text,
        deny_warnings: false,
        no_policies: true,
        admin_groups: Vec::new(),
    }
}

#[track_caller]
fn check(text: &str, expected: &Expect) {
    let (out, good) = run(&command(), &[text]);
    expected.assert_eq(&out);
    assert_eq!(good, !out.contains("error["), "the exit code says whether there is an error");
}

/// A configuration whose other entries lock nobody out, around `entries` of `mapRoles`.
fn roles(entries: &str) -> String {
    format!(
        "clusterID: c\nserver:\n  mapUsers: [{{userarn: 'arn:aws:iam::123456789012:user/a', username: a, groups: ['system:masters']}}]\n  mapRoles:\n{entries}"
    )
}

/// An `aws-auth`.
fn aws_auth(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: aws-auth, namespace: kube-system}}\ndata:\n{data}")
}

#[test]
fn a_good_file_has_nothing_to_say() {
    check(
        &roles("  - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: 'dev:{{SessionName}}'}\n"),
        &expect![[r#"
            1 file: nothing to say
        "#]],
    );
}

#[test]
fn nodes_are_looked_up_and_that_is_said() {
    check(
        &roles(
            "  - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: 'system:node:{{EC2PrivateDNSName}}', groups: [system:nodes]}\n",
        ),
        &expect![[r#"
            note[needs-ec2]: each login asks EC2 for the instance that its session is named after
              --> 1.yaml:5:5 (server.mapRoles[0])
               |
             5 |   - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: 'system:node:{{EC2PrivateDNSName}}', groups: [system:nodes]}
               |     ^^^^^^^^
               = fix: allow Herald ec2:DescribeInstances, and let nobody but EC2 assume this role: a session is named by its maker

            1 file: 1 note
        "#]],
    );
    check(
        "clusterID: c\nserver:\n  ec2DescribeInstancesQps: 0\n  ec2: {roles: ['arn:aws:iam::123456789012:user/a']}\n  sourceARN: nothing\n  bootstrapAdmins: ['arn:aws:iam::123456789012:role/A']\n",
        &expect![[r#"
            error[invalid-value]: must be from 1 to 1000
              --> 1.yaml:3:28 (server.ec2DescribeInstancesQps)
               |
             3 |   ec2DescribeInstancesQps: 0
               |                            ^

            error[invalid-value]: not the ARN of an AWS role, such as arn:aws:iam::123456789012:role/Nodes
              --> 1.yaml:4:17 (server.ec2.roles[0])
               |
             4 |   ec2: {roles: ['arn:aws:iam::123456789012:user/a']}
               |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error[invalid-value]: not an ARN with an account, such as arn:aws:eks:eu-west-1:123456789012:cluster/prod
              --> 1.yaml:5:14 (server.sourceARN)
               |
             5 |   sourceARN: nothing
               |              ^^^^^^^

            1 file: 3 errors
        "#]],
    );
}

#[test]
fn one_space_too_few() {
    check(
        &aws_auth(
            "  mapRoles: |\n    - rolearn: arn:aws:iam::123456789012:role/Admin\n      username: admin\n      groups:\n      - system:masters\n    - rolearn: arn:aws:iam::123456789012:role/Dev\n     username: dev\n",
        ),
        &expect![[r#"
            error[yaml]: the whole list is left out: while parsing a block collection, did not find expected '-' indicator
              --> 1.yaml:11:6 (data.mapRoles)
                |
             11 |      username: dev
                |      ^^^^^^^^
                = fix: compare how far this line and those above it are indented

            1 file: 1 error
        "#]],
    );
}

#[test]
fn one_principal_twice() {
    check(
        &roles(
            "  - rolearn: arn:aws:iam::123456789012:role/Admin\n    username: admin:{{SessionName}}\n    groups: [system:masters]\n  - rolearn: arn:aws:iam::123456789012:role/admin\n    username: dev\n    groups: [dev]\n",
        ),
        &expect![[r#"
            error[duplicate-principal]: left out: the same principal is mapped on line 5 already, which stays in force
              --> 1.yaml:8:14 (server.mapRoles[1])
               |
             8 |   - rolearn: arn:aws:iam::123456789012:role/admin
               |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: keep one entry, with the groups of both

            1 file: 1 error
        "#]],
    );
}

#[test]
fn a_role_and_its_permission_set() {
    check(
        &roles(
            "  - {rolearn: 'arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_0123456789abcdef', username: exact}\n  - {sso: {permissionSetName: Admin, accountID: '123456789012'}, username: 'admin:{{SessionName}}', groups: ['system:masters']}\n",
        ),
        &expect![[r#"
            warning[sso-role-arn]: the end of this role's name changes when the permission set is assigned anew
              --> 1.yaml:5:15 (server.mapRoles[0])
               |
             5 |   - {rolearn: 'arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_0123456789abcdef', username: exact}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: write `sso: {permissionSetName: Admin, accountID: '123456789012'}`

            note[shadowed]: goes before the permission set of line 6, for this one role
              --> 1.yaml:5:15 (server.mapRoles[0])
               |
             5 |   - {rolearn: 'arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_0123456789abcdef', username: exact}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: keep the permission set alone

            1 file: 1 warning, 1 note
        "#]],
    );
}

#[test]
fn partitions_of_permission_sets() {
    check(
        &roles(
            "  - {sso: {permissionSetName: View, accountID: '123456789012', partition: aws-us-govt}, username: a}\n  - {sso: {permissionSetName: View, accountID: '123456789012', partition: aws-cn}, username: a}\n  - {sso: {permissionSetName: View, accountID: '123456789012', partition: aws}, username: 'a:{{SessionName}}'}\n",
        ),
        &expect![[r#"
            error[invalid-permission-set]: left out: no partition of AWS
              --> 1.yaml:5:75 (server.mapRoles[0].sso)
               |
             5 |   - {sso: {permissionSetName: View, accountID: '123456789012', partition: aws-us-govt}, username: a}
               |                                                                           ^^^^^^^^^^^
               = fix: did you mean `aws-us-gov`?

            warning[wrong-partition]: never matches: it is of partition aws-cn, and tokens are accepted from aws
              --> 1.yaml:6:11 (server.mapRoles[1])
               |
             6 |   - {sso: {permissionSetName: View, accountID: '123456789012', partition: aws-cn}, username: a}
               |           ^^^^^^^^^^^^^^^^^^
               = fix: write the partition of your callers, or set `server.partition`

            1 file: 1 error, 1 warning
        "#]],
    );
}

#[test]
fn roles_with_a_path_and_sessions() {
    check(
        &roles(
            "  - {rolearn: 'arn:aws:iam::123456789012:role/team/a/Admin', username: 'a:{{SessionName}}'}\n  - {rolearn: 'arn:aws:sts::123456789012:assumed-role/Dev/alice', username: 'd:{{SessionName}}'}\n",
        ),
        &expect![[r#"
            warning[role-path]: STS leaves out the path of a role: this entry matches by the role's name alone
              --> 1.yaml:5:15 (server.mapRoles[0])
               |
             5 |   - {rolearn: 'arn:aws:iam::123456789012:role/team/a/Admin', username: 'a:{{SessionName}}'}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: write `arn:aws:iam::123456789012:role/Admin`

            warning[session-arn]: names one session, and is in force for every session of its role
              --> 1.yaml:6:15 (server.mapRoles[1])
               |
             6 |   - {rolearn: 'arn:aws:sts::123456789012:assumed-role/Dev/alice', username: 'd:{{SessionName}}'}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: write `arn:aws:iam::123456789012:role/Dev`

            1 file: 2 warnings
        "#]],
    );
}

#[test]
fn values_that_yaml_takes_for_something_else() {
    check(
        &aws_auth(
            "  mapUsers: |\n    - {userarn: 'arn:aws:iam::123456789012:user/n', username: n}\n    - {userarn: 'arn:aws:iam::123456789012:user/on', username: on}\n    - {userarn: 'arn:aws:iam::123456789012:user/7', username: 7}\n    - {userarn: 'arn:aws:iam::123456789012:user/e', username: ''}\n    - {userarn: 'arn:aws:iam::123456789012:user/s', username: {{SessionName}}}\n  mapAccounts: |\n    - 012345670123\n    - 123456789012\n    - '123456789012'\n    - 12345\n",
        ),
        &expect![[r#"
            warning[no-administrator]: nobody gets `system:masters`
              --> 1.yaml:1:1
               |
             1 | apiVersion: v1
               | ^^^^^^^^^^
               = fix: name another group of administrators with --admin-group

            warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
              --> 1.yaml:1:1
               |
             1 | apiVersion: v1
               | ^^^^^^^^^^
               = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

            error[yaml-trap]: left out: expected text, found `n`, which many readers of YAML take for a boolean
              --> 1.yaml:6:63 (data.mapUsers[0].username)
               |
             6 |     - {userarn: 'arn:aws:iam::123456789012:user/n', username: n}
               |                                                               ^
               = fix: write it in quotes

            error[yaml-trap]: left out: expected text, found `on`, which many readers of YAML take for a boolean
              --> 1.yaml:7:64 (data.mapUsers[1].username)
               |
             7 |     - {userarn: 'arn:aws:iam::123456789012:user/on', username: on}
               |                                                                ^^
               = fix: write it in quotes

            error[yaml-trap]: left out: expected text, found the number `7`
              --> 1.yaml:8:63 (data.mapUsers[2].username)
               |
             8 |     - {userarn: 'arn:aws:iam::123456789012:user/7', username: 7}
               |                                                               ^
               = fix: write it in quotes

            error[no-username]: left out: the username is empty
              --> 1.yaml:9:63 (data.mapUsers[3].username)
               |
             9 |     - {userarn: 'arn:aws:iam::123456789012:user/e', username: ''}
               |                                                               ^^

            error[yaml-trap]: left out: expected text, found a nested map
              --> 1.yaml:10:63 (data.mapUsers[4].username)
                |
             10 |     - {userarn: 'arn:aws:iam::123456789012:user/s', username: {{SessionName}}}
                |                                                               ^^^^^^^^^^^^^
                = fix: a text that starts with {{ needs quotes

            warning[yaml-trap]: `012345670123` is a number, which other readers of YAML write in another way
              --> 1.yaml:12:7 (data.mapAccounts[0])
                |
             12 |     - 012345670123
                |       ^^^^^^^^^^^^
                = fix: write it in quotes

            warning[yaml-trap]: `123456789012` is a number, which other readers of YAML write in another way
              --> 1.yaml:13:7 (data.mapAccounts[1])
                |
             13 |     - 123456789012
                |       ^^^^^^^^^^^^
                = fix: write it in quotes

            error[account-id]: left out: not an account id: must be 12 or 16 decimal digits, found `12345`
              --> 1.yaml:15:7 (data.mapAccounts[3])
                |
             15 |     - 12345
                |       ^^^^^

            1 file: 6 errors, 4 warnings
        "#]],
    );
    check(
        "server:\n\tmapRoles: []\n",
        &expect![[r#"
        error[yaml]: tabs disallowed within this context (block indentation)
          --> 1.yaml:2:2
           |
         2 |  mapRoles: []
           |  ^^^^^^^^
           = fix: indent with blanks, YAML allows no tabs there

        1 file: 1 error
    "#]],
    );
    check(
        "server: {mapAccounts: [012345670123]}\n",
        &expect![[r#"
        error[yaml-trap]: left out: expected text, found the number `012345670123`, and readers of YAML do not agree on what a leading zero means
          --> 1.yaml:1:24 (server.mapAccounts[0])
           |
         1 | server: {mapAccounts: [012345670123]}
           |                        ^^^^^^^^^^^^
           = fix: write it in quotes

        1 file: 1 error
    "#]],
    );
}

#[test]
fn typos_are_told_all_at_once() {
    check(
        "clutserID: c\nserver:\n  prot: 1\n  backendMode: [MountedFile, CRDS, MountedFile]\n  sts: {timeout: 5, timeouts: 3s}\n  policies:\n  - {name: a, kind: mapp, component: a.wasm}\n  - {kind: map, component: a.wasm}\n  - {name: b, kind: map, komponent: a.wasm}\n",
        &expect![[r#"
            error[unknown-key]: unknown key `clutserID`
              --> 1.yaml:1:1 (clutserID)
               |
             1 | clutserID: c
               | ^^^^^^^^^
               = fix: did you mean `clusterID`?

            error[unknown-key]: unknown key `prot`
              --> 1.yaml:3:3 (server.prot)
               |
             3 |   prot: 1
               |   ^^^^
               = fix: did you mean `port`?

            error[invalid-value]: unknown source `CRDS`
              --> 1.yaml:4:30 (server.backendMode)
               |
             4 |   backendMode: [MountedFile, CRDS, MountedFile]
               |                              ^^^^
               = fix: did you mean `CRD`?

            error[invalid-value]: names MountedFile twice
              --> 1.yaml:4:36 (server.backendMode)
               |
             4 |   backendMode: [MountedFile, CRDS, MountedFile]
               |                                    ^^^^^^^^^^^

            error[invalid-value]: `5` has no unit: write 5s, or 5ms
              --> 1.yaml:5:18 (server.sts.timeout)
               |
             5 |   sts: {timeout: 5, timeouts: 3s}
               |                  ^

            error[unknown-key]: unknown key `timeouts`
              --> 1.yaml:5:21 (server.sts.timeouts)
               |
             5 |   sts: {timeout: 5, timeouts: 3s}
               |                     ^^^^^^^^
               = fix: did you mean `timeout`?

            error[invalid-value]: expected one of `map`, `augment`, `guard`, found `mapp`
              --> 1.yaml:7:21 (server.policies[0].kind)
               |
             7 |   - {name: a, kind: mapp, component: a.wasm}
               |                     ^^^^

            error[missing-key]: the key `name` is missing
              --> 1.yaml:8:5 (server.policies[1])
               |
             8 |   - {kind: map, component: a.wasm}
               |     ^^^^^

            error[unknown-key]: unknown key `komponent`
              --> 1.yaml:9:26 (server.policies[2].komponent)
               |
             9 |   - {name: b, kind: map, komponent: a.wasm}
               |                          ^^^^^^^^^
               = fix: did you mean `component`?

            1 file: 9 errors
        "#]],
    );
}

#[test]
fn every_value_out_of_bounds_is_told() {
    check(
        "server:\n  headtimeout: 2m\n  shutdownGrace: 9h\n  sts:\n    timeout: 1ms\n    limits: {inFlight: 0}\n",
        &expect![[r#"
            error[invalid-value]: server.headTimeout must be from 10ms to 1m, not 2m
              --> 1.yaml:2:16 (server.headtimeout)
               |
             2 |   headtimeout: 2m
               |                ^^

            error[invalid-value]: server.shutdownGrace must be from 0s to 10m, not 9h
              --> 1.yaml:3:18 (server.shutdownGrace)
               |
             3 |   shutdownGrace: 9h
               |                  ^^

            error[invalid-value]: timeout must be between 100ms and 30s
              --> 1.yaml:5:14 (server.sts.timeout)
               |
             5 |     timeout: 1ms
               |              ^^^

            error[invalid-value]: limits.inFlight must be between 1 and 65536
              --> 1.yaml:6:24 (server.sts.limits.inFlight)
               |
             6 |     limits: {inFlight: 0}
               |                        ^

            1 file: 4 errors
        "#]],
    );
}

#[test]
fn arns_that_are_meant_otherwise() {
    check(
        &roles(
            "  - {rolearn: 'arn:aws:iam::123456789012:Role/Admin', username: a}\n  - {rolearn: ' arn:aws:iam::1234-5678-9012:role/Admin/', username: a}\n  - {rolearn: 'arn:aws:iam::123456789012:instance-profile/Nodes', username: a}\n  - {rolearn: 'arn:aws:iam::123456789012:group/Admins', username: a}\n  - {rolearn: 'arn:aws:iam::123456789012:role/*', username: a}\n  - {rolearn: 'arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_*', username: a}\n  - {rolearn: 'arn:aws-cn:iam::123456789012:role/Admin', username: a}\n",
        ),
        &expect![[r#"
            error[invalid-arn]: left out: not the ARN of a principal: bad resource
              --> 1.yaml:5:15 (server.mapRoles[0].roleARN)
               |
             5 |   - {rolearn: 'arn:aws:iam::123456789012:Role/Admin', username: a}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: did you mean `arn:aws:iam::123456789012:role/Admin`?

            error[invalid-arn]: left out: not the ARN of a principal: bad prefix
              --> 1.yaml:6:15 (server.mapRoles[1].roleARN)
               |
             6 |   - {rolearn: ' arn:aws:iam::1234-5678-9012:role/Admin/', username: a}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: did you mean `arn:aws:iam::123456789012:role/Admin`?

            error[invalid-arn]: left out: not the ARN of a principal: bad resource
              --> 1.yaml:7:15 (server.mapRoles[2].roleARN)
               |
             7 |   - {rolearn: 'arn:aws:iam::123456789012:instance-profile/Nodes', username: a}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: name the role of the instance profile

            error[invalid-arn]: left out: not the ARN of a principal: bad resource
              --> 1.yaml:8:15 (server.mapRoles[3].roleARN)
               |
             8 |   - {rolearn: 'arn:aws:iam::123456789012:group/Admins', username: a}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: IAM does not tell a caller's groups: name a role that the group's users may assume

            error[wildcard-arn]: left out: wildcards are not supported in an ARN
              --> 1.yaml:9:15 (server.mapRoles[4].roleARN)
               |
             9 |   - {rolearn: 'arn:aws:iam::123456789012:role/*', username: a}
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               = fix: name each role

            error[wildcard-arn]: left out: wildcards are not supported in an ARN
              --> 1.yaml:10:15 (server.mapRoles[5].roleARN)
                |
             10 |   - {rolearn: 'arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_*', username: a}
                |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                = fix: write `sso: {permissionSetName: Admin, accountID: '123456789012'}`

            warning[wrong-partition]: never matches: it is of partition aws-cn, and tokens are accepted from aws
              --> 1.yaml:11:15 (server.mapRoles[6])
                |
             11 |   - {rolearn: 'arn:aws-cn:iam::123456789012:role/Admin', username: a}
                |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                = fix: write the partition of your callers, or set `server.partition`

            1 file: 6 errors, 1 warning
        "#]],
    );
}

#[test]
fn administrators_who_are_too_many() {
    check(
        &roles(
            "  - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: 'system:node:{{SessionName}}', groups: [system:nodes, system:masters]}\n  - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: admin, groups: [system:masters]}\n  - {rolearn: 'arn:aws:iam::123456789012:root', username: 'root', groups: [system:masters]}\n  - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [System:Masters]}\n",
        ),
        &expect![[r#"
            warning[system-name]: whoever may assume this role chooses the rest of a `system:` name
              --> 1.yaml:5:5 (server.mapRoles[0])
               |
             5 |   - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: 'system:node:{{SessionName}}', groups: [system:nodes, system:masters]}
               |     ^^^^^^^^

            warning[node-administrator]: every program on these nodes can become an administrator
              --> 1.yaml:5:5 (server.mapRoles[0])
               |
             5 |   - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: 'system:node:{{SessionName}}', groups: [system:nodes, system:masters]}
               |     ^^^^^^^^
               = fix: give nodes `system:bootstrappers` and `system:nodes` alone

            note[shared-administrator]: all sessions are administrators under one username, and the cluster's audit log tells them apart by `extra` alone
              --> 1.yaml:6:5 (server.mapRoles[1])
               |
             6 |   - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: admin, groups: [system:masters]}
               |     ^^^^^^^^
               = fix: put {{SessionName}} into the username

            warning[root-administrator]: makes the account's root user an administrator, who cannot be told from other people
              --> 1.yaml:7:5 (server.mapRoles[2])
               |
             7 |   - {rolearn: 'arn:aws:iam::123456789012:root', username: 'root', groups: [system:masters]}
               |     ^^^^^^^^
               = fix: map a role that administrators assume

            warning[name-case]: the group `System:Masters` is another one than `system:masters` to Kubernetes
              --> 1.yaml:8:5 (server.mapRoles[3])
               |
             8 |   - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [System:Masters]}
               |     ^^^^^^^^
               = fix: write `system:masters`

            1 file: 4 warnings, 1 note
        "#]],
    );
    check(
        "server: {backendMode: [Policy/a], policies: [{name: a, kind: map, component: a.wasm, ceiling: {groups: ['system:masters']}}], mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev}]}\n",
        &expect![[r#"
            note[no-administrator]: nobody gets `system:masters`, unless a policy gives it
              --> 1.yaml:1:1
               |
             1 | server: {backendMode: [Policy/a], policies: [{name: a, kind: map, component: a.wasm, ceiling: {groups: ['system:masters']}}], mapRoles: [{rolearn: 'arn:aws:iam:
               | ^^^^^^
               = fix: name another group of administrators with --admin-group

            note[policy-administrator]: `a` may make anybody an administrator
              --> 1.yaml:1:46 (server.policies[0])
               |
             1 | server: {backendMode: [Policy/a], policies: [{name: a, kind: map, component: a.wasm, ceiling: {groups: ['system:masters']}}], mapRoles: [{rolearn: 'arn:aws:iam:
               |                                              ^^^^^
               = fix: take `system:masters` out of its ceiling, or map administrators by name

            warning[no-effect]: has no effect
              --> 1.yaml:1:127 (server.mapRoles)
               |
             1 | eiling: {groups: ['system:masters']}}], mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev}]}
               |                                         ^^^^^^^^
               = fix: MountedFile is not in `backendMode`

            1 file: 1 warning, 2 notes
        "#]],
    );
}

#[test]
fn an_accounts_root_is_not_the_account() {
    check(
        &roles("  - {rolearn: 'arn:aws:iam::123456789012:root', username: root}\n"),
        &expect![[r#"
        warning[root-arn]: names the account's root user alone, not everybody of the account
          --> 1.yaml:5:15 (server.mapRoles[0])
           |
         5 |   - {rolearn: 'arn:aws:iam::123456789012:root', username: root}
           |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           = fix: name a role, or list the account in `mapAccounts`

        1 file: 1 warning
    "#]],
    );
}

#[test]
fn nobody_is_left() {
    let dev = "  mapRoles: |\n    - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [dev]}\n";
    check(
        &aws_auth(dev),
        &expect![[r#"
        warning[no-administrator]: nobody gets `system:masters`
          --> 1.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: name another group of administrators with --admin-group

        warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
          --> 1.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

        1 file: 2 warnings
    "#]],
    );
    check(
        &aws_auth(
            "  mapRoles: |\n    - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: on, groups: [system:masters]}\n    - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: '', groups: [system:nodes]}\n",
        ),
        &expect![[r#"
            error[yaml-trap]: left out: expected text, found `on`, which many readers of YAML take for a boolean
              --> 1.yaml:6:67 (data.mapRoles[0].username)
               |
             6 |     - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: on, groups: [system:masters]}
               |                                                                   ^^
               = fix: write it in quotes

            error[no-administrator]: nobody gets `system:masters`: the entry that gives it is left out
              --> 1.yaml:6:67
               |
             6 |     - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: on, groups: [system:masters]}
               |                                                                   ^^

            error[no-username]: left out: the username is empty
              --> 1.yaml:7:67 (data.mapRoles[1].username)
               |
             7 |     - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: '', groups: [system:nodes]}
               |                                                                   ^^

            error[no-nodes]: no node is let in: the entry that gives `system:nodes` is left out
              --> 1.yaml:7:67
               |
             7 |     - {rolearn: 'arn:aws:iam::123456789012:role/Nodes', username: '', groups: [system:nodes]}
               |                                                                   ^^

            1 file: 4 errors
        "#]],
    );
    for nothing in ["", "  mapRoles: ''\n", "  mapRoles: |\n    # retired\n  mapUsers: '[]'\n"] {
        let (out, good) = run(&command(), &[&aws_auth(nothing)]);
        assert!(out.contains("no-administrator") && out.contains("no-nodes") && good, "{out}");
    }
    let named = |group: &str| Command { admin_groups: vec![group.to_owned()], ..command() };
    let config = "server: {mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [dev]}]}";
    let (out, good) = run(&named("ops"), &[config]);
    expect![[r#"
        error[no-administrator]: nobody gets `ops`
          --> 1.yaml:1:1
           |
         1 | server: {mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [dev]}]}
           | ^^^^^^

        1 file: 1 error
    "#]]
    .assert_eq(&out);
    assert!(!good, "a group that was asked for is missed");
    assert!(run(&named("dev"), &[config]).1);
    let (out, good) = run(&command(), &[config, &roles("")]);
    expect![[r#"
        2 files: nothing to say
    "#]]
    .assert_eq(&out);
    assert!(good);
}

#[test]
fn administrators_may_stand_elsewhere() {
    let admin = "bootstrapAdmins: ['arn:aws:iam::123456789012:role/Admin']";
    let dev = "mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [dev]}]";
    check(
        &format!("server: {{{dev}, {admin}}}"),
        &expect![[r#"
        1 file: nothing to say
    "#]],
    );
    check(
        &format!("server: {{{dev}, backendMode: [MountedFile, CRD]}}"),
        &expect![[r#"
        note[no-administrator]: nobody gets `system:masters`, unless another source of `backendMode` gives it
          --> 1.yaml:1:1
           |
         1 | server: {mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [dev]}], backendMode: [MountedFile, CRD]}
           | ^^^^^^
           = fix: name another group of administrators with --admin-group

        1 file: 1 note
    "#]],
    );
    // Mappings that nobody asks let nobody in.
    check(
        &format!("server: {{{admin}, mapRoles: [], backendMode: [EKSConfigMap]}}"),
        &expect![[r#"
        warning[no-effect]: has no effect
          --> 1.yaml:1:69 (server.mapRoles)
           |
         1 | server: {bootstrapAdmins: ['arn:aws:iam::123456789012:role/Admin'], mapRoles: [], backendMode: [EKSConfigMap]}
           |                                                                     ^^^^^^^^
           = fix: MountedFile is not in `backendMode`

        1 file: 1 warning
    "#]],
    );
    check(
        &format!("server: {{{}, backendMode: [CRD]}}", dev.replace("[dev]", "['system:masters']")),
        &expect![[r#"
        warning[no-effect]: has no effect
          --> 1.yaml:1:10 (server.mapRoles)
           |
         1 | server: {mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: ['system:masters']}], backendMode: [CRD]}
           |          ^^^^^^^^
           = fix: MountedFile is not in `backendMode`

        note[shared-administrator]: all sessions are administrators under one username, and the cluster's audit log tells them apart by `extra` alone
          --> 1.yaml:1:21 (server.mapRoles[0])
           |
         1 | server: {mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: ['system:masters']}], backendMode: [CRD]}
           |                     ^^^^^^^^
           = fix: put {{SessionName}} into the username

        1 file: 1 warning, 1 note
    "#]],
    );
    check(
        &format!("server: {{{}}}", admin.replace("role/Admin", "rule/Admin")),
        &expect![[r#"
        error[invalid-arn]: not the ARN of a principal: bad resource
          --> 1.yaml:1:28 (server.bootstrapAdmins[0].arn)
           |
         1 | server: {bootstrapAdmins: ['arn:aws:iam::123456789012:rule/Admin']}
           |                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

        1 file: 1 error
    "#]],
    );
    // What ends gives way to what comes after.
    let dev = "rolearn: 'arn:aws:iam::123456789012:role/Dev'";
    let first = format!("{{{dev}, username: dev, notAfter: 2026-01-31T18:00:00Z}}");
    let then = format!("{{{dev}, username: 'a:{{{{SessionName}}}}', groups: ['system:masters']}}");
    check(
        &format!("server: {{mapRoles: [{first}, {then}]}}"),
        &expect![[r#"
        1 file: nothing to say
    "#]],
    );
}

#[test]
fn objects_of_every_kind() {
    let mapping = |name: &str, spec: &str| {
        format!(
            "apiVersion: iamauthenticator.k8s.aws/v1alpha1\nkind: IAMIdentityMapping\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: iamauthenticator.k8s.aws/v1alpha1\n  kind: IAMIdentityMapping\n  spec:\n    arn: arn:aws:iam::123456789012:role/Admin\n    username: again\n";
    let file = [
        &mapping(
            "a",
            "{arn: 'arn:aws:iam::123456789012:role/Admin', username: 'a:{{SessionName}}', groups: [system:masters]}",
        ),
        &mapping("b", "{arn: 'arn:aws:iam::123456789012:role/Dev', usernam: b}"),
        list,
        &mapping(
            "c",
            "{arn: 'arn:aws:iam::123456789012:user/c', username: c, notAfter: '2026-01-31T18:00:00Z', team: x}",
        ),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: default}\ndata:\n  mapRoles: |\n    - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: same}\n",
        "apiVersion: ramauthenticator.k8s.alibabacloud/v1alpha1\nkind: RAMIdentityMapping\nspec: {arn: 'acs:ram::*:role/dev-*', username: d}\n",
        "apiVersion: apps/v1\nkind: DaemonSet\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: herald}\ndata:\n  other: text\n  config.yaml: |\n    clusterID: c\n    server:\n      prot: 1\n",
        "[what, is, this]\n",
    ];
    check(
        &file.join("---\n"),
        &expect![[r#"
            error[unknown-key]: left out: unknown key `usernam`
              --> 1.yaml:9:51 (b.spec)
               |
             9 | spec: {arn: 'arn:aws:iam::123456789012:role/Dev', usernam: b}
               |                                                   ^^^^^^^
               = fix: did you mean `username`?

            error[duplicate-principal]: left out: the same principal is mapped on line 4 already, which stays in force
              --> 1.yaml:17:10 (spec)
                |
             17 |     arn: arn:aws:iam::123456789012:role/Admin
                |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                = fix: keep one entry, with the groups of both

            warning[no-effect]: the key `team` is none of ours and has no effect
              --> 1.yaml:23:96 (c.spec)
                |
             23 | spec: {arn: 'arn:aws:iam::123456789012:user/c', username: c, notAfter: '2026-01-31T18:00:00Z', team: x}
                |                                                                                                ^^^^

            warning[no-effect]: is not read: it is not in the namespace `kube-system`
              --> 1.yaml:27:39 (metadata.namespace)
                |
             27 | metadata: {name: aws-auth, namespace: default}
                |                                       ^^^^^^^

            warning[wildcard-arn]: names callers of every account that fits, of strangers too
              --> 1.yaml:34:13 (spec)
                |
             34 | spec: {arn: 'acs:ram::*:role/dev-*', username: d}
                |             ^^^^^^^^^^^^^^^^^^^^^^^
                = fix: write the account's id

            note[unknown-kind]: a DaemonSet holds no mappings: not checked
              --> 1.yaml:35:1
                |
             35 | ---
                | ^^^

            error[unknown-key]: unknown key `prot`
              --> 1.yaml:47:7 (server.prot)
                |
             47 |       prot: 1
                |       ^^^^
                = fix: did you mean `port`?

            note[unknown-kind]: neither a configuration nor an object of Kubernetes: not checked
              --> 1.yaml:48:1
                |
             48 | ---
                | ^^^

            1 file: 3 errors, 3 warnings, 2 notes
        "#]],
    );
    let json = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-auth"}, "data": {"MapRoles": "", "mapRoles": "- rolearn: x\n  username: a\n", "mapUsers": ["a"], "mapAccounts": "''"}}"#;
    check(
        json,
        &expect![[r#"
            warning[no-administrator]: nobody gets `system:masters`
              --> 1.yaml:1:1
               |
             1 | {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-auth"}, "data": {"MapRoles": "", "mapRoles": "- rolearn: x\n  username: a\n", "mapUsers": ["
               | ^^^^^^^^^^^^^
               = fix: name another group of administrators with --admin-group

            warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
              --> 1.yaml:1:1
               |
             1 | {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-auth"}, "data": {"MapRoles": "", "mapRoles": "- rolearn: x\n  username: a\n", "mapUsers": ["
               | ^^^^^^^^^^^^^
               = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

            warning[no-effect]: the key `MapRoles` has no effect
              --> 1.yaml:1:86 (data.MapRoles)
               |
             1 | {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-auth"}, "data": {"MapRoles": "", "mapRoles": "- rolearn: x\n  username: a\n", "mapUsers": ["
               |                                                                                      ^^^^^^^^^^
               = fix: write `mapRoles`

            error[invalid-arn]: line 1 of this text: left out: not the ARN of a principal: bad prefix
              --> 1.yaml:1:102 (data.mapRoles[0].roleARN)
               |
             1 | {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-auth"}, "data": {"MapRoles": "", "mapRoles": "- rolearn: x\n  username: a\n", "mapUsers": ["
               |                                                                                                      ^^^^^^^^^^

            error[invalid-value]: left out: expected a text, found a list
              --> 1.yaml:1:159 (data.mapUsers)
               |
             1 | learn: x\n  username: a\n", "mapUsers": ["a"], "mapAccounts": "''"}}
               |                                         ^^^^
               = fix: write `mapUsers: |`, and the list below it

            1 file: 2 errors, 3 warnings
        "#]],
    );
}

#[test]
fn warnings_count_if_they_are_to() {
    let text = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', username: dev}\n");
    assert!(run(&command(), &[&text]).1);
    assert!(!run(&Command { deny_warnings: true, ..command() }, &[&text]).1);
    let note = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, groups: [system:masters]}\n");
    assert!(run(&Command { deny_warnings: true, ..command() }, &[&note]).1);
}

#[test]
fn for_scripts() {
    let text = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', usernam: dev}\n");
    let (out, _) = run(&Command { output: Output::Json, ..command() }, &[&text, "clusterID: [\n"]);
    expect![[r#"
        {
          "findings": [
            {
              "file": "1.yaml",
              "line": 5,
              "column": 55,
              "key": "server.mapRoles[0]",
              "check": "unknown-key",
              "severity": "error",
              "refused": false,
              "message": "left out: unknown key `usernam`",
              "fix": "did you mean `username`?"
            },
            {
              "file": "2.yaml",
              "line": 1,
              "column": 12,
              "key": "",
              "check": "yaml",
              "severity": "error",
              "refused": true,
              "message": "unclosed bracket '['",
              "fix": null
            }
          ],
          "errors": 2,
          "warnings": 0,
          "notes": 0
        }
    "#]]
    .assert_eq(&out);
}

#[test]
fn for_code_scanning() {
    let text = roles("  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', username: dev}\n");
    let (out, _) = run(&Command { output: Output::Sarif, ..command() }, &[&text]);
    let log: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let result = &run["results"][0];
    let index = result["ruleIndex"].as_u64().expect("a number") as usize;
    assert_eq!(rules[index]["id"], result["ruleId"]);
    assert!(rules.iter().all(|rule| rule["shortDescription"]["text"].as_str().is_some_and(|text| text.ends_with('.'))));
    expect![[r#"
        {
          "level": "warning",
          "locations": [
            {
              "physicalLocation": {
                "artifactLocation": {
                  "uri": "1.yaml"
                },
                "region": {
                  "startColumn": 15,
                  "startLine": 5
                }
              }
            }
          ],
          "message": {
            "text": "STS leaves out the path of a role: this entry matches by the role's name alone: write `arn:aws:iam::123456789012:role/Dev` (server.mapRoles[0])"
          },
          "ruleId": "role-path",
          "ruleIndex": 18
        }"#]].assert_eq(&serde_json::to_string_pretty(result).expect("JSON"));
}

#[test]
fn a_file_that_is_not_there_is_a_finding() {
    let command = Command { files: vec!["/nowhere/a.yaml".into()], ..command() };
    let mut out = Vec::new();
    let code = command.run(None, io::empty(), &mut out).expect("it runs");
    assert_eq!(code, ExitCode::FAILURE);
    expect![[r#"
        error[unreadable]: cannot be read: No such file or directory (os error 2)
          --> /nowhere/a.yaml:1:1

        1 file: 1 error
    "#]]
    .assert_eq(&String::from_utf8(out).expect("text"));
    assert!(Command { files: vec![], ..command }.run(None, io::empty(), &mut Vec::new()).is_err());
}

#[test]
fn a_token_in_a_file_is_not_repeated() {
    let (out, _) = run(&command(), &["token: k8s-aws-v1.secret\nserver: {token: k8s-aws-v1.secret}\n"]);
    assert!(!out.contains("secret"), "{out}");
}

/// What the server logs is what stands here, but for notes.
#[test]
fn the_server_says_the_same() {
    let text = roles(
        "  - {rolearn: 'arn:aws:iam::123456789012:role/a/Dev', username: n}\n  - {rolearn: 'arn:aws:iam::123456789012:role/b/Dev', username: b, groups: [system:masters]}\n",
    );
    let loaded = crate::config::Config::parse(Path::new("1.yaml"), &text).expect("it loads");
    let file = CheckedFile::parse(Path::new("1.yaml"), text);
    let worse = file.findings.iter().filter(|finding| finding.severity > Severity::Note);
    assert_eq!(worse.cloned().collect::<Vec<_>>(), loaded.warnings);
    assert_eq!(file.findings.len(), loaded.warnings.len() + 1);
}

proptest! {
    /// No text makes the command panic, whatever it stands in, and what it finds it places in the file.
    #[test]
    fn any_text_is_read_and_shown(text in "[a-zA-Z:\\[\\]{}&*!<>|'\"#,%ü\\t\\n -]{0,80}", kind in 0..4_u8) {
        let indented = text.replace('\n', "\n    ");
        let text = match kind {
            0 => text,
            1 => aws_auth(&format!("  mapRoles: |\n    {indented}\n")),
            2 => format!("{}---\nserver: {{}}\n---\n{text}", aws_auth(&format!("  mapUsers: \"{indented}\"\n"))),
            _ => roles(&format!("  - {indented}")),
        };
        let lines = text.lines().count() as u32 + 1;
        let file = CheckedFile::parse(Path::new("a.yaml"), text);
        prop_assert!(file.findings.iter().all(|finding| (1..=lines).contains(&finding.at.line)), "{:?}", file.findings);
        let named = [Named { name: "a.yaml".to_owned(), file }];
        text::write(&named, &mut Vec::new()).expect("written");
        sarif::write(&named, &mut Vec::new()).expect("written");
    }
}
