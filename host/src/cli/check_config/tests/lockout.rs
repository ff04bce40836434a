//! Administrators: too many of them, or nobody left, of them and of the nodes.

use expect_test::expect;

use super::*;

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
            warning[ended]: lets nobody in any more: it has ended at 2026-01-31T18:00:00Z
              --> 1.yaml:1:1
               |
             1 | server: {mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/Dev', username: dev, notAfter: 2026-01-31T18:00:00Z}, {rolearn: 'arn:aws:iam::123456789012:role/De
               | ^^^^^^
               = fix: take it out

            1 file: 1 warning
        "#]],
    );
}
