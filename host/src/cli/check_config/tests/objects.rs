//! Objects of Kubernetes in files.

use expect_test::expect;

use super::*;

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

            warning[ended]: lets nobody in any more: it has ended at 2026-01-31T18:00:00Z
              --> 1.yaml:23:1
                |
             23 | spec: {arn: 'arn:aws:iam::123456789012:user/c', username: c, notAfter: '2026-01-31T18:00:00Z', team: x}
                | ^^^^
                = fix: take it out

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

            1 file: 3 errors, 4 warnings, 2 notes
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
               = fix: did you mean `mapRoles`?

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

/// A server reads none of them, and says so in these words.
#[test]
fn objects_that_no_server_reads() {
    #[track_caller]
    fn check(texts: &[&str], expected: &[&str]) {
        let (out, is_good) = run(&Command { output: Output::Json, ..command() }, texts);
        let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let rows = report["findings"].as_array().expect("a list").iter().filter(|row| row["severity"] == "error");
        let word = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let found: Vec<_> = rows.map(|row| format!("{}: {}", word(row, "key"), word(row, "message"))).collect();
        let are_expected = std::iter::zip(&found, expected).all(|(found, expected)| found.starts_with(expected));
        assert!(found.len() == expected.len() && are_expected, "{found:?}");
        assert_eq!(is_good, expected.is_empty());
    }
    let too_large = "there are more values in it than are read, or deeper ones";
    let values = |count: usize| format!("[{}]", "0,".repeat(count));
    let identity = |count: usize| {
        let spec = format!("{{arn: 'arn:aws:iam::123456789012:role/Admin', username: a, team: {}}}", values(count));
        format!(
            "apiVersion: iamauthenticator.k8s.aws/v1alpha1\nkind: IAMIdentityMapping\nmetadata: {{name: a}}\nspec: {spec}\n"
        )
    };
    check(&[&identity(9_000)], &[]);
    let beyond = "a.spec: left out: larger, deeper or with more aliases than a configuration may be";
    check(&[&identity(20_000)], &[beyond]);
    check(&[&identity(260_000)], &[&format!("a.spec: left out: {too_large}")]);
    let auth = |count: usize| format!("{}more: {}\n", aws_auth("  mapRoles: ''\n"), values(count));
    check(&[&auth(9_000)], &[]);
    check(&[&auth(260_000)], &[&format!("aws-auth: {too_large}")]);

    let table = |entries: &str| {
        let head = "apiVersion: herald.dev/v1alpha1\nkind: PolicyTable\nmetadata: {name: rota}\n";
        format!("{head}spec: {{entries: {entries}}}\n")
    };
    check(&[&table("{a: b, c: {d: 1}}")], &[]);
    check(&[&table("[a]")], &["rota: spec.entries: invalid type: sequence, expected an object"]);
    check(&[&table("{a: }")], &["rota: spec.entries: the key \"a\" has no value"]);
    check(&[&table(&format!("{{a: {}}}", values(260_000)))], &[&format!("rota: {too_large}")]);
    check(&[&table("[a]").replace("herald.dev", "example.com")], &[]);

    let config = "clusterID: c\nserver:\n  backendMode: [Policy/p]\n  policies:\n  - {name: p, kind: map, component: p.wasm, tables: {rota: {configMap: rota, key: rota.json}}}\n";
    let map = |namespace: &str, key: &str, text: &str| {
        let head = "apiVersion: v1\nkind: ConfigMap\n";
        format!("{head}metadata: {{name: rota, namespace: {namespace}}}\ndata: {{{key}: '{text}'}}\n")
    };
    let many = format!(r#"{{"a": [{}0]}}"#, "0,".repeat(250_000));
    check(&[config, &map("kube-system", "rota.json", r#"{"a": [0]}"#)], &[]);
    let no_table = "rota: no table for policies: rota.json: more than 250000 values are under one key";
    check(&[config, &map("kube-system", "rota.json", &many)], &[no_table]);
    check(&[config, &map("other", "rota.json", &many)], &[]);
    check(&[&map("kube-system", "rota.json", &many)], &[]);
    let no_key = "rota: no table for policies: it has no key rota.json";
    check(&[config, &map("kube-system", "rota.yaml", "")], &[no_key]);
    check(&[config, &map("", "rota.yaml", "").replace(", namespace: ", "")], &[no_key]);
}
