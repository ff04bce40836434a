//! Files that are asked one after the other: entries that let nobody in, each by itself as it should be.

use expect_test::expect;

use super::*;

const ADMIN: &str =
    "{rolearn: 'arn:aws:iam::123456789012:role/Admin', username: 'a:{{SessionName}}', groups: ['system:masters']}";

/// What is said of `texts` together by a command that asks for administrators.
#[track_caller]
fn check_all(texts: &[&str], expected: &Expect) {
    let command = Command { admin_groups: vec!["system:masters".to_owned()], ..command() };
    expected.assert_eq(&run(&command, texts).0);
}

/// The ids of what is said of one configuration.
#[track_caller]
fn check_ids(server: &str, expected: &[&str]) {
    let command = Command { output: Output::Json, admin_groups: vec!["system:masters".to_owned()], ..command() };
    let (out, _) = run(&command, &[&format!("clusterID: c\nserver:\n{server}")]);
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let found: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|row| row["check"].clone()).collect();
    assert_eq!(found, expected, "{server}: {out}");
}

#[test]
fn an_administrator_who_cannot_log_in_is_none() {
    let admin = |what: &str| format!("  mapRoles: [{}]\n", ADMIN.replace("{rolearn", &format!("{{{what}rolearn")));
    check_ids(&admin(""), &[]);
    check_ids(&admin("notAfter: 2999-01-01T00:00:00Z, "), &[]);
    check_ids(&admin("notAfter: 2020-01-01T00:00:00Z, "), &["no-administrator", "ended"]);
    check_ids(&admin("").replace("arn:aws:", "arn:aws-cn:"), &["no-administrator", "wrong-partition"]);
    let reserved = "  reservedPrefixConfig: [{backendMode: MountedFile, usernamePrefixReserveList: ['a:']}]\n";
    check_ids(&format!("{}{reserved}", admin("")), &["no-administrator"]);
    let other = reserved.replace("'a:'", "'b:'");
    check_ids(&format!("{}{other}", admin("")), &[]);
    // Whoever is asked first is the one who counts.
    let viewer = ADMIN.replace("system:masters", "view");
    check_ids(
        &format!("  bootstrapAdmins: ['arn:aws:iam::123456789012:role/Admin']\n  mapRoles: [{viewer}]\n"),
        &["shadowed"],
    );
}

#[test]
fn an_earlier_source_wins() {
    let viewer = ADMIN.replace("system:masters", "view").replace("a:{{", "v:{{");
    let config =
        format!("clusterID: c\nserver:\n  backendMode: [MountedFile, EKSConfigMap]\n  mapRoles:\n  - {viewer}\n");
    let map = aws_auth(&format!("  mapRoles: |\n    - {ADMIN}\n"));
    check_all(
        &[&config, &map],
        &expect![[r#"
        error[no-administrator]: nobody gets `system:masters`
          --> 1.yaml:1:1
           |
         1 | clusterID: c
           | ^^^^^^^^^

        warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
          --> 2.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

        warning[shadowed]: never counts: MountedFile, which is asked first, maps arn:aws:iam::123456789012:role/admin on line 5
          --> 2.yaml:6:7
           |
         6 |     - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: 'a:{{SessionName}}', groups: ['system:masters']}
           |       ^^^^^^^^
           = fix: keep one of the two

        2 files: 1 error, 2 warnings
    "#]],
    );
    // The other way round.
    let turned = config.replace("[MountedFile, EKSConfigMap]", "[EKSConfigMap, MountedFile]");
    check_all(
        &[&turned, &map],
        &expect![[r#"
        warning[shadowed]: never counts: EKSConfigMap, which is asked first, maps arn:aws:iam::123456789012:role/admin on line 6
          --> 1.yaml:5:5
           |
         5 |   - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: 'v:{{SessionName}}', groups: ['view']}
           |     ^^^^^^^^
           = fix: keep one of the two

        warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
          --> 2.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

        2 files: 2 warnings
    "#]],
    );
    // In a text that is not in its place.
    let quoted = aws_auth(&format!("  mapRoles: {:?}\n", format!("- {ADMIN}\n")));
    check_all(
        &[&config, &quoted],
        &expect![[r#"
        error[no-administrator]: nobody gets `system:masters`
          --> 1.yaml:1:1
           |
         1 | clusterID: c
           | ^^^^^^^^^

        warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
          --> 2.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

        warning[shadowed]: line 1 of this text: never counts: MountedFile, which is asked first, maps arn:aws:iam::123456789012:role/admin on line 5
          --> 2.yaml:5:3
           |
         5 |   mapRoles: "- {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: 'a:{{SessionName}}', groups: ['system:masters']}\n"
           |   ^^^^^^^^
           = fix: keep one of the two

        2 files: 1 error, 2 warnings
    "#]],
    );
}

#[test]
fn what_nobody_asks_is_not_in_force() {
    let config = "clusterID: c\nserver:\n  backendMode: [MountedFile]\n";
    let map = aws_auth(&format!("  mapRoles: |\n    - {ADMIN}\n"));
    check_all(
        &[config, &map],
        &expect![[r#"
        error[no-administrator]: nobody gets `system:masters`
          --> 1.yaml:1:1
           |
         1 | clusterID: c
           | ^^^^^^^^^

        warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
          --> 2.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

        warning[no-effect]: nothing of this is in force: EKSConfigMap is not in `backendMode`
          --> 2.yaml:6:7
           |
         6 |     - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: 'a:{{SessionName}}', groups: ['system:masters']}
           |       ^^^^^^^^
           = fix: put it there, or take these entries over

        2 files: 1 error, 2 warnings
    "#]],
    );
    // The server's command line may name sources that the file does not.
    let silent = config.replace("  backendMode: [MountedFile]", "  port: 21362");
    let (out, good) = run(&Command { admin_groups: vec!["system:masters".to_owned()], ..command() }, &[&silent, &map]);
    assert!(good && !out.contains("no-effect") && !out.contains("no-administrator"), "{out}");
    check_all(
        &[&map.replace("kube-system", "default")],
        &expect![[r#"
        error[no-administrator]: nobody gets `system:masters`
          --> 1.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^

        warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
          --> 1.yaml:1:1
           |
         1 | apiVersion: v1
           | ^^^^^^^^^^
           = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

        warning[no-effect]: is not read: it is not in the namespace `kube-system`
          --> 1.yaml:3:39 (metadata.namespace)
           |
         3 | metadata: {name: aws-auth, namespace: default}
           |                                       ^^^^^^^

        1 file: 1 error, 2 warnings
    "#]],
    );
}

/// The file that another program writes, in the form that a server follows.
#[test]
fn a_dynamic_file_is_checked_as_one() {
    let file = r#"{"LastUpdatedDateTime": "1700000000", "Version": "7", "mapRoles": [{"rolearn": "arn:aws:iam::123456789012:role/Admin", "username": "a", "groups": ["system:masters"], "userid": "AROAEXAMPLE"}], "mapAccounts": []}"#;
    check_all(
        &[file],
        &expect![[r#"
        note[shared-administrator]: all sessions are administrators under one username, and the cluster's audit log tells them apart by `extra` alone
          --> 1.yaml:1:68 (mapRoles[0])
           |
         1 | {"LastUpdatedDateTime": "1700000000", "Version": "7", "mapRoles": [{"rolearn": "arn:aws:iam::123456789012:role/Admin", "username": "a", "groups": ["system:maste
           |                                                                    ^^^^^^^^^^
           = fix: put {{SessionName}} into the username

        1 file: 1 note
    "#]],
    );
    let asked = "clusterID: c\nserver: {backendMode: [DynamicFile], dynamicFilePath: /etc/dynamic.json}\n";
    check_all(
        &[asked, file],
        &expect![[r#"
        note[shared-administrator]: all sessions are administrators under one username, and the cluster's audit log tells them apart by `extra` alone
          --> 2.yaml:1:68 (mapRoles[0])
           |
         1 | {"LastUpdatedDateTime": "1700000000", "Version": "7", "mapRoles": [{"rolearn": "arn:aws:iam::123456789012:role/Admin", "username": "a", "groups": ["system:maste
           |                                                                    ^^^^^^^^^^
           = fix: put {{SessionName}} into the username

        2 files: 1 note
    "#]],
    );
    check_all(
        &["clusterID: c\nserver: {}\n", &file.replace("role/Admin", "rule/Admin")],
        &expect![[r#"
        error[invalid-arn]: left out: not the ARN of a principal: bad resource
          --> 2.yaml:1:80 (mapRoles[0].roleARN)
           |
         1 | {"LastUpdatedDateTime": "1700000000", "Version": "7", "mapRoles": [{"rolearn": "arn:aws:iam::123456789012:rule/Admin", "username": "a", "groups": ["system:maste
           |                                                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

        error[no-administrator]: nobody gets `system:masters`: the entry that gives it is left out
          --> 2.yaml:1:80
           |
         1 | {"LastUpdatedDateTime": "1700000000", "Version": "7", "mapRoles": [{"rolearn": "arn:aws:iam::123456789012:rule/Admin", "username": "a", "groups": ["system:maste
           |                                                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

        2 files: 2 errors
    "#]],
    );
}
