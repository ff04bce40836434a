//! Edits as tables: a text, what is to be done, and the text or the refusal that comes of it.

use expect_test::{Expect, expect};

use super::{verify::same, *};

const ADMIN: &str = "arn:aws:iam::123456789012:role/Admin";

fn map(roles: &str) -> AuthMap {
    AuthMap { data: BTreeMap::from([("mapRoles".to_owned(), roles.to_owned())]), ..AuthMap::default() }
}

fn role(arn: &str, username: &str, groups: &[&str]) -> NewEntry {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    NewEntry { principal: Principal::Role(arn.to_owned()), username: username.to_owned(), groups }
}

fn told(result: Result<Addition, EditError>) -> String {
    match result {
        Ok(Addition::Edit(edit)) => edit.after.replace('\r', "<CR>"),
        Ok(Addition::There(gives)) => format!("there: {gives}"),
        Err(error) => format!("refused: {error}"),
    }
}

#[track_caller]
fn check_add(roles: &str, entry: &NewEntry, replace: bool, expected: &Expect) {
    expected.assert_eq(&told(map(roles).add(entry, replace)));
}

#[track_caller]
fn check_remove(roles: &str, arn: &str, expected: &Expect) {
    expected.assert_eq(&match map(roles).remove(&Principal::Role(arn.to_owned())) {
        Ok(Some(edit)) => edit.after,
        Ok(None) => "not there".to_owned(),
        Err(error) => format!("refused: {error}"),
    });
}

const LIST: &str = "\
# the nodes
- rolearn: arn:aws:iam::123456789012:role/Nodes   # made by eksctl
  username: system:node:{{SessionName}}
  groups:
    - system:bootstrappers
    - system:nodes

# people
- groups: [developers]
  rolearn: 'arn:aws:iam::123456789012:role/Developers'
  team: payments # who to ask
  username: \"dev:{{SessionName}}\"
# - rolearn: arn:aws:iam::123456789012:role/Retired
";

#[test]
fn what_would_not_be_in_force_is_refused() {
    check_add(LIST, &role("nonsense", "x", &[]), false, &expect!["refused: not the ARN of a principal: bad prefix"]);
    check_add(
        LIST,
        &role("arn:aws:iam::123456789012:role/*", "x", &[]),
        false,
        &expect!["refused: wildcards are not supported in an ARN: name each role"],
    );
    check_add(
        LIST,
        &role("arn:aws:sts::123456789012:assumed-role/Admin/alice", "x", &[]),
        false,
        &expect![
            "refused: names one session, and an entry is in force for every session of its role: write `arn:aws:iam::123456789012:role/Admin`"
        ],
    );
    check_add(LIST, &role(ADMIN, "", &[]), false, &expect!["refused: the username is empty"]);
    check_add(
        LIST,
        &role(ADMIN, "x{{Nonsense}}", &[]),
        false,
        &expect![
            "refused: unknown template variable {{Nonsense}}; known are {{AccessKeyID}}, {{AccountID}}, {{EC2PrivateDNSName}}, {{SessionName}}, {{SessionNameRaw}}"
        ],
    );
    check_add(LIST, &role(ADMIN, "x", &[""]), false, &expect!["refused: a group is empty"]);
    check_add(
        "- rolearn: {\n",
        &role(ADMIN, "x", &[]),
        false,
        &expect!["refused: mapRoles cannot be read, line 1:12: unclosed bracket '{'"],
    );
    check_add(
        "rolearn: a\n",
        &role(ADMIN, "x", &[]),
        false,
        &expect!["refused: mapRoles cannot be read, line 1:1: expected a list, found a map"],
    );
    check_add(
        LIST,
        &role("arn:aws:iam::123456789012:role/developers", "other", &[]),
        false,
        &expect!["refused: is mapped already, to dev:{{SessionName}} [developers]: give --replace to have it changed"],
    );
    let set = |account: &str| NewEntry {
        principal: Principal::PermissionSet { name: "View".into(), account_id: account.into(), partition: None },
        ..role("", "view", &[])
    };
    check_add(LIST, &set("12345"), false, &expect!["refused: not an account id: must be 12 or 16 decimal digits"]);
    let users = "- userarn: arn:aws:iam::123456789012:role/Admin\n  username: a\n";
    let both = AuthMap { data: BTreeMap::from([("mapUsers".to_owned(), users.to_owned())]), ..AuthMap::default() };
    expect!["refused: the same principal is mapped on line 1 already, which stays in force: keep one entry, with the groups of both"].assert_eq(&told(both.add(&role(ADMIN, "x", &[]), false)));
}

#[test]
fn an_entry_goes_to_the_end_and_nothing_else_moves() {
    let admin = role(ADMIN, "admin:{{SessionName}}", &["system:masters"]);
    check_add(
        LIST,
        &admin,
        false,
        &expect![[r##"
        # the nodes
        - rolearn: arn:aws:iam::123456789012:role/Nodes   # made by eksctl
          username: system:node:{{SessionName}}
          groups:
            - system:bootstrappers
            - system:nodes

        # people
        - groups: [developers]
          rolearn: 'arn:aws:iam::123456789012:role/Developers'
          team: payments # who to ask
          username: "dev:{{SessionName}}"
        # - rolearn: arn:aws:iam::123456789012:role/Retired
        - rolearn: arn:aws:iam::123456789012:role/Admin
          username: admin:{{SessionName}}
          groups:
          - system:masters
    "##]],
    );
    check_add(
        "",
        &admin,
        false,
        &expect![[r#"
        - rolearn: arn:aws:iam::123456789012:role/Admin
          username: admin:{{SessionName}}
          groups:
          - system:masters
    "#]],
    );
    check_add(
        "``",
        &admin,
        false,
        &expect![[r#"
        - rolearn: arn:aws:iam::123456789012:role/Admin
          username: admin:{{SessionName}}
          groups:
          - system:masters
    "#]],
    );
    check_add(
        "# none yet\n",
        &admin,
        false,
        &expect![[r#"
        # none yet
        - rolearn: arn:aws:iam::123456789012:role/Admin
          username: admin:{{SessionName}}
          groups:
          - system:masters
    "#]],
    );
    check_add(
        "[]\n",
        &admin,
        false,
        &expect![[r#"
        - rolearn: arn:aws:iam::123456789012:role/Admin
          username: admin:{{SessionName}}
          groups:
          - system:masters
    "#]],
    );
    let deep = "  - rolearn: arn:aws:iam::123456789012:role/A\n    username: a";
    let admin_in = "  - rolearn: arn:aws:iam::123456789012:role/Admin\n    username: b\n    groups:\n    - g\n";
    assert_eq!(told(map(deep).add(&role(ADMIN, "b", &["g"]), false)), format!("{deep}\n{admin_in}"));
    check_add(
        "- rolearn: arn:aws:iam::123456789012:role/A\r\n  username: a\r\n",
        &role(ADMIN, "b", &[]),
        false,
        &expect![[r#"
            - rolearn: arn:aws:iam::123456789012:role/A<CR>
              username: a<CR>
            - rolearn: arn:aws:iam::123456789012:role/Admin<CR>
              username: b<CR>
        "#]],
    );
    check_add(
        r#"[{"rolearn": "arn:aws:iam::123456789012:role/A", "username": "a", "groups": []}]"#,
        &admin,
        false,
        &expect![[
            r#"[{"rolearn": "arn:aws:iam::123456789012:role/A", "username": "a", "groups": []}, {"groups":["system:masters"],"rolearn":"arn:aws:iam::123456789012:role/Admin","username":"admin:{{SessionName}}"}]"#
        ]],
    );
    check_add(
        "- rolearn: arn:aws:iam::12345:role/Broken\n  username: a\n",
        &role(ADMIN, "yes", &["012"]),
        false,
        &expect![[r#"
        - rolearn: arn:aws:iam::12345:role/Broken
          username: a
        - rolearn: arn:aws:iam::123456789012:role/Admin
          username: "yes"
          groups:
          - "012"
    "#]],
    );
}

#[test]
fn what_is_there_is_told_and_changed_only_if_it_is_to_be() {
    let same = role("arn:aws:iam::123456789012:role/team/developers", "dev:{{SessionName}}", &["developers"]);
    check_add(LIST, &same, false, &expect!["there: dev:{{SessionName}} [developers]"]);
    let other = |name: &str, groups: &[&str]| role(&format!("arn:aws:iam::123456789012:role/{name}"), "other", groups);
    check_add(
        LIST,
        &other("Developers", &["a", "b"]),
        true,
        &expect![[r#"
        # the nodes
        - rolearn: arn:aws:iam::123456789012:role/Nodes   # made by eksctl
          username: system:node:{{SessionName}}
          groups:
            - system:bootstrappers
            - system:nodes

        # people
        - groups:
          - a
          - b
          rolearn: 'arn:aws:iam::123456789012:role/Developers'
          team: payments # who to ask
          username: other
        # - rolearn: arn:aws:iam::123456789012:role/Retired
    "#]],
    );
    check_add(
        LIST,
        &other("Nodes", &["a"]),
        true,
        &expect![[r##"
        # the nodes
        - rolearn: arn:aws:iam::123456789012:role/Nodes   # made by eksctl
          username: other
          groups:
          - a

        # people
        - groups: [developers]
          rolearn: 'arn:aws:iam::123456789012:role/Developers'
          team: payments # who to ask
          username: "dev:{{SessionName}}"
        # - rolearn: arn:aws:iam::123456789012:role/Retired
    "##]],
    );
    check_add(
        LIST,
        &other("Nodes", &[]),
        true,
        &expect![[r##"
        # the nodes
        - rolearn: arn:aws:iam::123456789012:role/Nodes   # made by eksctl
          username: other
          groups: []

        # people
        - groups: [developers]
          rolearn: 'arn:aws:iam::123456789012:role/Developers'
          team: payments # who to ask
          username: "dev:{{SessionName}}"
        # - rolearn: arn:aws:iam::123456789012:role/Retired
    "##]],
    );
    let one = "- username: a\n  rolearn: arn:aws:iam::123456789012:role/A\n  notAfter: '2030-01-01T00:00:00Z'";
    check_add(
        one,
        &other("A", &["g"]),
        true,
        &expect![[r#"
        - username: other
          rolearn: arn:aws:iam::123456789012:role/A
          notAfter: '2030-01-01T00:00:00Z'
          groups:
          - g"#]],
    );
    check_add(
        one,
        &role("arn:aws:iam::123456789012:role/A", "a", &[]),
        false,
        &expect!["there: a [] until 2030-01-01T00:00:00Z"],
    );
    let flow = "- {rolearn: 'arn:aws:iam::123456789012:role/A', username: a, x: [1]} # first\n- {rolearn: 'arn:aws:iam::123456789012:role/B', username: b, x: k}\n";
    check_add(
        flow,
        &other("B", &["g"]),
        true,
        &expect![[r#"
        - {rolearn: 'arn:aws:iam::123456789012:role/A', username: a, x: [1]} # first
        - {"rolearn": "arn:aws:iam::123456789012:role/B", "username": "other", "x": "k", "groups": ["g"]}
    "#]],
    );
    check_add(
        flow,
        &other("A", &["g"]),
        true,
        &expect![
            "refused: mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
}

#[test]
fn an_entry_goes_and_nothing_else_moves() {
    check_remove(LIST, ADMIN, &expect!["not there"]);
    check_remove(
        LIST,
        "arn:aws:iam::123456789012:role/Nodes",
        &expect![[r##"
        # the nodes

        # people
        - groups: [developers]
          rolearn: 'arn:aws:iam::123456789012:role/Developers'
          team: payments # who to ask
          username: "dev:{{SessionName}}"
        # - rolearn: arn:aws:iam::123456789012:role/Retired
    "##]],
    );
    check_remove(
        LIST,
        "arn:aws:iam::123456789012:role/Developers",
        &expect![[r#"
        # the nodes
        - rolearn: arn:aws:iam::123456789012:role/Nodes   # made by eksctl
          username: system:node:{{SessionName}}
          groups:
            - system:bootstrappers
            - system:nodes

        # people
        # - rolearn: arn:aws:iam::123456789012:role/Retired
    "#]],
    );
    check_remove("- rolearn: arn:aws:iam::123456789012:role/Admin\n  username: a\n", ADMIN, &expect![[""]]);
    let flow = r#"[{"rolearn": "arn:aws:iam::123456789012:role/Admin", "username": "a"}, {"rolearn": "arn:aws:iam::123456789012:role/B", "username": "b"}]"#;
    check_remove(flow, ADMIN, &expect![[r#"[{"rolearn": "arn:aws:iam::123456789012:role/B", "username": "b"}]"#]]);
    check_remove(
        flow,
        "arn:aws:iam::123456789012:role/B",
        &expect![[r#"[{"rolearn": "arn:aws:iam::123456789012:role/Admin", "username": "a"}]"#]],
    );
    let waiting = "\
- rolearn: arn:aws:iam::123456789012:role/Admin
  username: a
  notAfter: '2030-01-01T00:00:00Z'
- rolearn: arn:aws:iam::123456789012:role/Other
  username: b
- rolearn: arn:aws:iam::123456789012:role/admin
  username: c
";
    check_remove(
        waiting,
        ADMIN,
        &expect![[r#"
        - rolearn: arn:aws:iam::123456789012:role/Other
          username: b
    "#]],
    );
}

#[test]
fn lines_are_those_of_yaml() {
    let flow = "[{rolearn: 'ar}}\n}}}\r}}n:rle/oA', username: a}]";
    let block = "- rolearn: arn:aws:iam::123456789012:role/A\r  username: a\r- rolearn: x\r";
    for roles in [flow, block, "-\n >", "-\n \n\n  >\t"] {
        let Ok(Addition::Edit(edit)) = map(roles).add(&role(ADMIN, "x", &["g"]), false) else { panic!("{roles:?}") };
        let removed = map(roles).with(&edit).remove(&Principal::Role(ADMIN.to_owned()));
        let after = removed.unwrap().unwrap().after;
        assert_eq!(after.trim_end(), roles.trim_end());
    }
    let changed = map(block).add(&role("arn:aws:iam::123456789012:role/A", "b", &["g"]), true);
    assert_eq!(
        told(changed),
        "- rolearn: arn:aws:iam::123456789012:role/A<CR>  username: b<CR>  groups:\n  - g\n- rolearn: x<CR>"
    );
}

#[test]
fn what_cannot_be_cut_is_left_alone() {
    let anchored = "\
- &first
  rolearn: arn:aws:iam::123456789012:role/Admin
  username: a
  groups: &groups [a]
- rolearn: arn:aws:iam::123456789012:role/B
  username: b
  groups: *groups
";
    check_remove(
        anchored,
        ADMIN,
        &expect![
            "refused: mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
    check_add(
        "[ # nobody yet\n]\n",
        &role(ADMIN, "x", &[]),
        false,
        &expect![
            "refused: mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
    check_add(
        "[{rolearn: a}] # see [1]\n",
        &role(ADMIN, "x", &[]),
        false,
        &expect![
            "refused: mapRoles is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
        ],
    );
    let alias = anchored.replace("*groups\n", "[]\n- *first\n");
    check_remove(
        &alias,
        "arn:aws:iam::123456789012:role/B",
        &expect![[r#"
        - &first
          rolearn: arn:aws:iam::123456789012:role/Admin
          username: a
          groups: &groups [a]
        - *first
    "#]],
    );
}

#[test]
fn listed_in_order() {
    let mut map = map(LIST);
    map.data.insert("mapUsers".to_owned(), "- userarn: arn:aws:iam::1:user/x\n  username: x\n- 7\n".to_owned());
    map.data.insert("mapAccounts".to_owned(), "- '123456789012'\n- 5\n".to_owned());
    let (listed, unread) = map.listed();
    assert!(unread.is_empty());
    let rows: Vec<String> = listed
        .iter()
        .map(|row| {
            let left_out = row.left_out.as_deref().map(|why| format!(" ! {why}")).unwrap_or_default();
            format!(
                "{}[{}]:{} {} -> {} {:?}{left_out}",
                row.list, row.index, row.line, row.principal, row.username, row.groups
            )
        })
        .collect();
    expect![[r#"
        mapRoles[0]:2 arn:aws:iam::123456789012:role/Nodes -> system:node:{{SessionName}} ["system:bootstrappers", "system:nodes"]
        mapRoles[1]:9 arn:aws:iam::123456789012:role/Developers -> dev:{{SessionName}} ["developers"]
        mapUsers[0]:1 arn:aws:iam::1:user/x -> x [] ! not the ARN of a principal: bad account
        mapUsers[1]:3  ->  [] ! expected a map, found a number
        mapAccounts[0]:1 123456789012 -> (its canonical ARN) []
        mapAccounts[1]:2 5 -> (its canonical ARN) [] ! not an account id: must be 12 or 16 decimal digits, found `5`"#]].assert_eq(&rows.join("\n"));
    map.data.insert("mapUsers".to_owned(), "- {\n".to_owned());
    expect!["line 1: the whole list is left out: unclosed bracket '{' (mapUsers)"]
        .assert_eq(&map.listed().1.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

proptest::proptest! {
    /// Whatever is added can be taken away again, and then the text says what it did.
    #[test]
    fn added_and_removed_is_what_it_was(
        name in "[A-Za-z0-9+=,.@_-]{1,20}",
        username in "[ -~]{1,20}",
        groups in proptest::collection::vec("[ -~äß:]{1,12}", 0..3),
        list in proptest::sample::select(vec![LIST, "", "[]", "# a\n", "- {rolearn: 'arn:aws:iam::123456789012:role/x/y', username: q}"]),
    ) {
        let groups = groups.iter().map(String::as_str).collect::<Vec<_>>();
        let entry = role(&format!("arn:aws:iam::123456789012:role/{name}"), &username, &groups);
        if let Ok(Addition::Edit(edit)) = map(list).add(&entry, false) {
            let next = map(list).with(&edit);
            proptest::prop_assert!(matches!(next.add(&entry, false), Ok(Addition::There(_))));
            let back = next.remove(&entry.principal).expect("it is there").expect("it is there");
            let (old, new) = (items_of(List::Roles, list).expect("a list"), items_of(List::Roles, &back.after).expect("a list"));
            proptest::prop_assert!(std::iter::zip(&old, &new).all(|(old, new)| same(old, list, new, &back.after)));
            proptest::prop_assert_eq!(old.len(), new.len());
        }
    }
}
