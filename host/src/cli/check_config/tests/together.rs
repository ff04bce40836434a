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
    check_as(Name::Herald, &[&format!("clusterID: c\nserver:\n{server}")], expected);
}

/// The same of files by a program that is called `name`.
#[track_caller]
fn check_as(name: Name, texts: &[&str], expected: &[&str]) {
    let command = Command { output: Output::Json, admin_groups: vec!["system:masters".to_owned()], ..command() };
    let (out, _) = run_as(name, &command, texts);
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let found: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|row| row["check"].clone()).collect();
    assert_eq!(found, expected, "{texts:?}: {out}");
}

/// A RAMIdentityMapping or, for a role of AWS, an IAMIdentityMapping of an administrator.
fn identity(api: &str, kind: &str, arn: &str) -> String {
    format!(
        "apiVersion: {api}/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{arn: '{arn}', username: 'a:{{{{SessionName}}}}', groups: ['system:masters']}}\n"
    )
}

#[test]
fn a_file_is_read_as_the_program_of_that_name_reads_it() {
    let ram = identity("ramauthenticator.k8s.alibabacloud", "RAMIdentityMapping", "acs:ram::1234567890123456:role/A");
    let config = "clusterID: c\nserver: {backendMode: [CRD], region: cn-beijing}\n";
    check_as(Name::AckRamAuthenticator, &[config, &ram], &["no-nodes"]);
    check_as(Name::AwsIamAuthenticator, &[config, &ram], &["no-administrator", "no-effect", "no-nodes", "no-effect"]);
    let config = "clusterID: c\nserver: {backendMode: [ConfigMap]}\n";
    let acs = ADMIN.replace("arn:aws:iam::123456789012", "acs:ram::1234567890123456");
    let map = aws_auth(&format!("  mapRoles: |\n    - {acs}\n")).replace("aws-auth", "alibabacloud-auth");
    check_as(Name::AckRamAuthenticator, &[config, &map], &["no-nodes"]);
    check_as(Name::Herald, &[config, &map], &["no-administrator", "no-nodes", "no-effect"]);
    let holder = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ack-ram-authenticator}\ndata:\n  config.yaml: |\n    clusterID: c\n    server: {backendMode: [ConfigMap], region: cn-beijing}\n";
    check_as(Name::AckRamAuthenticator, &[holder, &map], &["no-nodes"]);
}

#[test]
fn crd_is_the_objects_of_the_cloud_whose_tokens_alone_are_accepted() {
    let ram = identity("ramauthenticator.k8s.alibabacloud", "RAMIdentityMapping", "acs:ram::1234567890123456:role/A");
    let iam = identity("iamauthenticator.k8s.aws", "IAMIdentityMapping", "arn:aws:iam::123456789012:role/A");
    let of = |providers: &str, modes: &str| {
        format!("clusterID: c\nserver: {{providers: [{providers}], backendMode: [{modes}]}}\n")
    };
    let unasked = &["no-administrator", "no-nodes", "no-effect"][..];
    check_as(Name::Herald, &[&of("alibaba", "CRD"), &ram], &["no-nodes"]);
    check_as(Name::Herald, &[&of("alibaba", "CRD"), &iam], unasked);
    check_as(Name::Herald, &[&of("aws, alibaba", "CRD"), &iam], &["no-nodes"]);
    check_as(Name::Herald, &[&of("aws, alibaba", "CRD"), &ram], unasked);
    check_as(Name::Herald, &[&of("aws, alibaba", "CRD, RAMIdentityMapping"), &ram], &["no-nodes"]);
    let reserved = of("alibaba", "CRD")
        .replace("}\n", ", reservedPrefixConfig: [{backendMode: CRD, usernamePrefixReserveList: ['a:']}]}\n");
    check_as(Name::Herald, &[&reserved, &ram], &["no-administrator", "no-nodes"]);
}

#[test]
fn roots_that_are_kept_out_are_no_administrators() {
    let root = "arn:aws:iam::123456789012:root";
    let user = format!("  mapUsers: [{{userarn: '{root}', username: root, groups: ['system:masters']}}]\n");
    let admin = format!("  bootstrapAdmins: ['{root}']\n");
    for entry in [user, admin] {
        check_ids(&format!("  denyRoot: false\n{entry}"), &["root-administrator"]);
        check_ids(&format!("  denyRoot: true\n{entry}"), &["no-administrator", "no-effect", "root-administrator"]);
    }
}

#[test]
fn entries_of_a_dynamic_file_match_as_the_configuration_says() {
    let config = |strict: bool| {
        format!(
            "clusterID: c\nserver: {{backendMode: [DynamicFile], dynamicFilePath: d.json, dynamicFileUserIDStrict: {strict}}}\n"
        )
    };
    let file = |who: &str| {
        format!(
            r#"{{"mapRoles": [{{{who}, "username": "a:{{{{SessionName}}}}", "groups": ["system:masters"]}}], "mapUsers": []}}"#
        )
    };
    let by_id = file(r#""rolearn": "", "userid": "AROAEXAMPLE""#);
    check_as(Name::Herald, &[&by_id], &[]);
    check_as(Name::Herald, &[&config(true), &by_id], &[]);
    check_as(Name::Herald, &[&config(false), &by_id], &["invalid-arn", "no-administrator"]);
    let by_arn = file(r#""rolearn": "arn:aws:iam::123456789012:role/Admin""#);
    check_as(Name::Herald, &[&by_arn], &[]);
    check_as(Name::Herald, &[&config(true), &by_arn], &["missing-key", "no-administrator"]);
    check_as(Name::Herald, &[&by_arn, &config(false)], &[]);
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

        warning[no-effect]: `userid` has no effect here: entries match by ARN
          --> 2.yaml:1:167 (mapRoles[0])
           |
         1 | me": "a", "groups": ["system:masters"], "userid": "AROAEXAMPLE"}], "mapAccounts": []}
           |                                         ^^^^^^^^

        2 files: 1 warning, 1 note
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
