//! Entries that are wrong, or right and not what was meant.

use expect_test::expect;

use super::*;

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
    check(
        "clusterID: c\nserver:\n  iam: {qps: 0}\n  bootstrapAdmins: ['arn:aws:iam::123456789012:role/A']\n",
        &expect![[r#"
            error[invalid-value]: must be from 1 to 1000
              --> 1.yaml:3:14 (server.iam.qps)
               |
             3 |   iam: {qps: 0}
               |              ^

            1 file: 1 error
        "#]],
    );
    check(
        "clusterID: c\nserver:\n  iam: {endpoint: 'http://iam.example.com', roles: []}\n  bootstrapAdmins: ['arn:aws:iam::123456789012:role/A']\n",
        &expect![[r#"
            error[invalid-value]: the endpoint must be https://host, or http:// on loopback, without a path
              --> 1.yaml:3:19 (server.iam.endpoint)
               |
             3 |   iam: {endpoint: 'http://iam.example.com', roles: []}
               |                   ^^^^^^^^^^^^^^^^^^^^^^^^

            error[unknown-key]: unknown key `roles`
              --> 1.yaml:3:45 (server.iam.roles)
               |
             3 |   iam: {endpoint: 'http://iam.example.com', roles: []}
               |                                             ^^^^^

            1 file: 2 errors
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
