//! Files before and after, as golden texts: one entry more or less, and everything else byte for byte.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::config::edit::{Addition, NewEntry, Principal};

const ADMIN: &str = "arn:aws:iam::123456789012:role/Admin";

fn admin() -> NewEntry {
    let principal = Principal::Role(ADMIN.to_owned());
    NewEntry { principal, username: "admin".to_owned(), groups: vec!["system:masters".to_owned()] }
}

/// The file with the entry, or why not.
fn added(text: &str) -> Result<String, String> {
    let file = MapFile::parse(text.to_owned()).map_err(|error| error.to_string())?;
    match file.map.add(&admin(), false).map_err(|error| error.to_string())? {
        Addition::There(gives) => Err(format!("is there, and gives {gives}")),
        Addition::Edit(edit) => file.with(&edit).map_err(|error| error.to_string()),
    }
}

fn removed(text: &str) -> Result<String, String> {
    let file = MapFile::parse(text.to_owned()).map_err(|error| error.to_string())?;
    let edit = file.map.remove(&Principal::Role(ADMIN.to_owned())).map_err(|error| error.to_string())?;
    edit.map_or_else(|| Err("is not there".to_owned()), |edit| file.with(&edit).map_err(|error| error.to_string()))
}

/// The entry comes, and when it goes again the file is as it was.
#[track_caller]
fn check(text: &str, expected: &Expect) {
    let after = added(text);
    expected.assert_eq(after.as_ref().unwrap_or_else(|error| error));
    if let Ok(after) = after {
        assert_eq!(removed(&after).as_deref().map(str::trim_end), Ok(text.trim_end()), "{after}");
    }
}

/// A list whose last entry was taken away takes one again.
#[test]
fn a_list_that_was_emptied_takes_entries_again() {
    let empty = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: aws-auth\ndata:\n  mapUsers: |\n    - {userarn: 'arn:aws:iam::123456789012:user/a', username: a}\n";
    for text in [empty, &format!("{empty}  other: x\n"), &empty.replace(": |", ": |-")] {
        let once = added(text).unwrap();
        let gone = removed(&once).unwrap();
        assert_eq!(added(&gone), Ok(once), "{gone}");
    }
    for text in ["mapRoles: |\n", "mapRoles: |-\n\n", "mapRoles: |\n  mapAccounts: ''\n"] {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: aws-auth\ndata:\n  {text}");
        let once = added(&text).unwrap();
        assert!(once.contains(ADMIN), "{once}");
        assert_eq!(added(&removed(&once).unwrap()), Ok(once), "{text}");
    }
}

/// Only the way there.
#[track_caller]
fn check_added(text: &str, expected: &Expect) {
    expected.assert_eq(&added(text).unwrap_or_else(|error| error));
}

#[test]
fn manifests() {
    check(
        "# by eksctl\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: aws-auth\n  namespace: kube-system\ndata:\n  mapRoles: |\n    # the nodes\n    - rolearn: arn:aws:iam::123456789012:role/Nodes\n      username: system:node:{{EC2PrivateDNSName}}\n      groups: [system:nodes]  # one\n\n  mapUsers: |\n    []\n  other: |\n    text\n",
        &expect![[r#"
            # by eksctl
            apiVersion: v1
            kind: ConfigMap
            metadata:
              name: aws-auth
              namespace: kube-system
            data:
              mapRoles: |
                # the nodes
                - rolearn: arn:aws:iam::123456789012:role/Nodes
                  username: system:node:{{EC2PrivateDNSName}}
                  groups: [system:nodes]  # one
                - rolearn: arn:aws:iam::123456789012:role/Admin
                  username: admin
                  groups:
                  - system:masters

              mapUsers: |
                []
              other: |
                text
        "#]],
    );
    // Without a list, with an empty one, with none.
    check_added(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth}\ndata:\n  mapUsers: |\n    - {userarn: 'arn:aws:iam::123456789012:user/a', username: a}\n",
        &expect![[r#"
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: aws-auth}
            data:
              mapRoles: |
                - rolearn: arn:aws:iam::123456789012:role/Admin
                  username: admin
                  groups:
                  - system:masters
              mapUsers: |
                - {userarn: 'arn:aws:iam::123456789012:user/a', username: a}
        "#]],
    );
    check_added(
        "apiVersion: v1\nkind: ConfigMap\ndata:\n    mapRoles: \"\"\nmetadata: {name: aws-auth}\n",
        &expect![[r#"
            apiVersion: v1
            kind: ConfigMap
            data:
                mapRoles: |
                  - rolearn: arn:aws:iam::123456789012:role/Admin
                    username: admin
                    groups:
                    - system:masters
            metadata: {name: aws-auth}
        "#]],
    );
    check_added(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth}",
        &expect![[r#"
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: aws-auth}
        data:
          mapRoles: |
            - rolearn: arn:aws:iam::123456789012:role/Admin
              username: admin
              groups:
              - system:masters
    "#]],
    );
    // Several documents, of which one is meant.
    check(
        "kind: Role\napiVersion: rbac.authorization.k8s.io/v1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: alibabacloud-auth\ndata:\n  mapRoles: |-\n    - {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}\n---\nkind: Service\napiVersion: v1\n",
        &expect![[r#"
            kind: Role
            apiVersion: rbac.authorization.k8s.io/v1
            ---
            apiVersion: v1
            kind: ConfigMap
            metadata:
              name: alibabacloud-auth
            data:
              mapRoles: |-
                - {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}
                - rolearn: arn:aws:iam::123456789012:role/Admin
                  username: admin
                  groups:
                  - system:masters
            ---
            kind: Service
            apiVersion: v1
        "#]],
    );
}

#[test]
fn configurations() {
    check(
        "# our cluster\nclusterID: c # an id\nserver:\n  port: 21362\n  mapRoles:\n  - roleARN: arn:aws:iam::123456789012:role/A   # them\n    username: a\n\n  # people\n  mapUsers: []\n",
        &expect![[r#"
            # our cluster
            clusterID: c # an id
            server:
              port: 21362
              mapRoles:
              - roleARN: arn:aws:iam::123456789012:role/A   # them
                username: a
              - rolearn: arn:aws:iam::123456789012:role/Admin
                username: admin
                groups:
                - system:masters

              # people
              mapUsers: []
        "#]],
    );
    check(
        "clusterID: c\nserver:\n    maproles:\n        # first\n        - rolearn: arn:aws:iam::123456789012:role/A\n          username: a\n    port: 1\n",
        &expect![[r#"
            clusterID: c
            server:
                maproles:
                    # first
                    - rolearn: arn:aws:iam::123456789012:role/A
                      username: a
                    - rolearn: arn:aws:iam::123456789012:role/Admin
                      username: admin
                      groups:
                      - system:masters
                port: 1
        "#]],
    );
    check(
        "clusterID: c\nserver:\n  mapRoles:   # people\n  - {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}\n  backendMode: [MountedFile]\n",
        &expect![[r#"
            clusterID: c
            server:
              mapRoles:   # people
              - {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}
              - rolearn: arn:aws:iam::123456789012:role/Admin
                username: admin
                groups:
                - system:masters
              backendMode: [MountedFile]
        "#]],
    );
    check(
        "clusterID: c\nserver:\n  mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/A', username: a}] # short\n  port: 1\n",
        &expect![[r#"
            clusterID: c
            server:
              mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/A', username: a}, {"groups":["system:masters"],"rolearn":"arn:aws:iam::123456789012:role/Admin","username":"admin"}] # short
              port: 1
        "#]],
    );
    check_added(
        "clusterID: c\nserver:\n  mapRoles: []\n  port: 1\n",
        &expect![[r#"
        clusterID: c
        server:
          mapRoles:
          - rolearn: arn:aws:iam::123456789012:role/Admin
            username: admin
            groups:
            - system:masters
          port: 1
    "#]],
    );
    check_added(
        "clusterID: c\nserver:\n  mapRoles:\n  port: 1\n",
        &expect![[r#"
        clusterID: c
        server:
          mapRoles:
          - rolearn: arn:aws:iam::123456789012:role/Admin
            username: admin
            groups:
            - system:masters
          port: 1
    "#]],
    );
    check_added(
        "clusterID: c\nserver: # ours\n  port: 1\n",
        &expect![[r#"
        clusterID: c
        server: # ours
          mapRoles:
          - rolearn: arn:aws:iam::123456789012:role/Admin
            username: admin
            groups:
            - system:masters
          port: 1
    "#]],
    );
    check_added(
        "clusterID: c\nserver:\n",
        &expect![[r#"
        clusterID: c
        server:
          mapRoles:
          - rolearn: arn:aws:iam::123456789012:role/Admin
            username: admin
            groups:
            - system:masters
    "#]],
    );
    check_added(
        "clusterID: c",
        &expect![[r#"
        clusterID: c
        server:
          mapRoles:
          - rolearn: arn:aws:iam::123456789012:role/Admin
            username: admin
            groups:
            - system:masters
    "#]],
    );
    let crlf = added("clusterID: c\r\nserver:\r\n  port: 1\r\n").expect("added");
    let entry = format!(
        "  mapRoles:\r\n  - rolearn: {ADMIN}\r\n    username: admin\r\n    groups:\r\n    - system:masters\r\n"
    );
    assert_eq!(crlf, format!("clusterID: c\r\nserver:\r\n{entry}  port: 1\r\n"));
}

/// Whoever takes a role away believes that nobody comes by it any more.
#[test]
fn an_entry_for_a_session_counts_where_it_is_in_force() {
    let entry =
        "rolearn: 'arn:aws:sts::123456789012:assumed-role/Admin/alice', username: admin, groups: [system:masters]";
    let left_out = |text: &str| {
        let (listed, _) = MapFile::parse(text.to_owned()).expect("it is read").map.listed();
        listed.iter().map(|entry| entry.left_out.is_some()).collect::<Vec<_>>()
    };
    let in_force = format!("clusterID: c\nserver:\n  mapRoles:\n  - {{{entry}}}\n");
    assert_eq!(left_out(&in_force), [false]);
    assert_eq!(added(&in_force), Err("is there, and gives admin [system:masters]".to_owned()));
    assert!(!removed(&in_force).expect("it is taken away").contains("alice"));
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth}\ndata:\n  mapRoles: |\n";
    let in_nobodys = format!("{head}    - {{{entry}}}\n");
    assert_eq!(left_out(&in_nobodys), [true]);
    assert!(added(&in_nobodys).expect("it is added").contains("alice"));
    assert_eq!(removed(&in_nobodys), Err("is not there".to_owned()));
}

#[test]
fn what_is_written_behind_an_empty_list_stays() {
    for (empty, comment) in
        [("[] # nobody yet: see #7", " # nobody yet: see #7"), ("  # nobody yet", "  # nobody yet"), ("[]", "")]
    {
        let after = added(&format!("clusterID: c\nserver:\n  mapRoles:{}{empty}\n  port: 1\n", blank(empty)));
        let entry = format!("  - rolearn: {ADMIN}\n    username: admin\n    groups:\n    - system:masters\n");
        assert_eq!(after, Ok(format!("clusterID: c\nserver:\n  mapRoles:{comment}\n{entry}  port: 1\n")), "{empty}");
    }
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth}\ndata:\n  mapRoles:";
    for empty in ["'' # nobody yet", "| # nobody yet", " # nobody yet"] {
        let after = added(&format!("{head}{}{empty}\n", blank(empty)));
        let entry = format!("    - rolearn: {ADMIN}\n      username: admin\n      groups:\n      - system:masters\n");
        assert_eq!(after, Ok(format!("{head} | # nobody yet\n{entry}")), "{empty}");
    }
}

/// What stands between a colon and `value`.
fn blank(value: &str) -> &str {
    if value.starts_with(' ') { "" } else { " " }
}

#[test]
fn what_is_not_changed() {
    check(
        "",
        &expect!["the file is not an aws-auth ConfigMap or a configuration of Herald's with `clusterID` or `server`"],
    );
    check("a: {", &expect!["line 1:4: unclosed bracket '{'"]);
    check(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {}\n",
        &expect!["the file is not an aws-auth ConfigMap or a configuration of Herald's with `clusterID` or `server`"],
    );
    check(
        "clusterID: a\n---\nclusterID: b\n",
        &expect![
            "the file has 2 documents that could be meant: it takes one that is an aws-auth ConfigMap or a configuration of Herald's with `clusterID` or `server`"
        ],
    );
    check(
        "clusterID: c\nserver: {port: 1}\n",
        &expect![
            "mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
    let quoted = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth}\ndata:\n  mapRoles: \"- {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}\"\n";
    check(
        quoted,
        &expect![
            "mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
    check(
        &quoted.replace("role/A'", "role/Admin'"),
        &expect!["is mapped already, to a []: give --replace to have it changed"],
    );
    check(
        "clusterID: c\nserver:\n  mapRoles:\n # left\n  - {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}\n",
        &expect![
            "mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
    check(
        "clusterID: c\nserver:\n  mapRoles: &people\n  - {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}\n  backendMode: [MountedFile]\n",
        &expect![
            "mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
    let alias = "clusterID: c\nserver:\n  mapUsers: &u\n  - {userarn: 'arn:aws:iam::123456789012:user/a', username: a}\n  mapRoles: *u\n";
    check(
        alias,
        &expect![
            "mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
}

proptest! {
    /// Whatever the file is: no panic, and what comes out has what was in it.
    #[test]
    fn any_text(lines in prop::collection::vec(prop::sample::select(vec![
        "clusterID: c", "server:", "  mapRoles:", "  mapRoles: [", "  ]", "  - rolearn: arn:aws:iam::123456789012:role/A",
        "    username: a", "  port: 1", "# c", "", "---", "data:", "kind: ConfigMap", "apiVersion: v1", "metadata: {name: aws-auth}",
        "  mapRoles: |", "    - {rolearn: 'arn:aws:iam::123456789012:role/B', username: b}", "  mapRoles: ''", "\t- x", " - {", "  mapUsers: |-",
    ]), 0..12)) {
        let text = lines.join("\n");
        if let Ok(after) = added(&text) {
            for line in lines.iter().filter(|line| line.contains("role/")) {
                prop_assert!(after.contains(line.trim()), "{text}\n=>\n{after}");
            }
        }
        let _ = removed(&text);
    }
}
