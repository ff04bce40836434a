//! aws-auth as tables: what the three documents say one after the other, and who is mapped then.

use std::{collections::BTreeSet, path::Path, time::SystemTime};

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    caller::AccountId,
    config::{CheckId, CheckedFile, Finding, Severity},
    mapping::{Rules, rule::tests::caller},
};

const ADMIN: &str = "arn:aws:sts::111122223333:assumed-role/Admin/alice";
const DEV: &str = "arn:aws:sts::111122223333:assumed-role/Dev/alice";
const BOB: &str = "arn:aws:iam::111122223333:user/bob";
const ROLES: &str = "
- rolearn: arn:aws:iam::111122223333:role/Admin
  username: admin:{{SessionName}}
  groups: [system:masters]
- rolearn: arn:aws:iam::111122223333:role/Dev
  username: dev
";
const USERS: &str = "- {userarn: 'arn:aws:iam::111122223333:user/bob', username: bob, groups: [ops]}";

fn names(read: &Read, arn: &str) -> String {
    let caller = caller(arn);
    match read.mappings.rules.find(&caller, SystemTime::UNIX_EPOCH).map(|rule| rule.render(&caller, None)) {
        Some(Ok(mapping)) => format!("{} [{}]", mapping.username, mapping.groups.join(" ")),
        Some(Err(error)) => error.to_string(),
        None => "nobody".to_owned(),
    }
}

/// What is said about `roles`, and whom Dev is.
#[track_caller]
fn says(roles: &str, dev: &str, expected: &Expect) {
    let read = ConfigMap::default().read(Some(&json!({ "mapRoles": roles })));
    let mut said: String = read.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    said.extend(read.refused.iter().map(|part| format!("{part}\n")));
    assert_eq!(names(&read, DEV), dev);
    expected.assert_eq(&said);
}

#[test]
fn a_whole_map_is_read() {
    let mut map = ConfigMap::default();
    let data = json!({ "mapRoles": ROLES, "mapUsers": USERS, "mapAccounts": "- \"444455556666\"\n- 012345670123\n" });
    let read = map.read(Some(&data));
    let said: Vec<String> = read.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["line 2: `012345670123` is a number, which other readers of YAML write in another way: write it in quotes \
          (mapAccounts[1])"]
    );
    assert_eq!((read.refused.len(), read.mappings.len()), (0, 5));
    assert_eq!(names(&read, ADMIN), "admin:alice [system:masters]");
    assert_eq!(names(&read, DEV), "dev []");
    assert_eq!(names(&read, BOB), "bob [ops]");
    let accounts: Vec<&str> = read.mappings.accounts.iter().map(AccountId::as_str).collect();
    assert_eq!(accounts, ["012345670123", "444455556666"]);
    assert_eq!(map.read(Some(&data)).hash, read.hash);
    assert_ne!(map.read(None).hash, read.hash);
}

#[test]
fn what_stands_for_nothing_maps_nobody() {
    for text in ["", "\n", "``", "\"\"", "''\n", "[]", "# none\n"] {
        let read = ConfigMap::default().read(Some(&json!({ "mapRoles": text })));
        assert_eq!((read.warnings.len(), read.refused.len(), read.mappings.len()), (0, 0, 0), "{text:?}");
    }
    assert_eq!(ConfigMap::default().read(None).mappings.len(), 0);
    assert_eq!(ConfigMap::default().read(Some(&serde_json::Value::Null)).mappings.len(), 0);
    let other_case = json!({ "MapRoles": ROLES });
    assert_eq!(ConfigMap::default().read(Some(&other_case)).mappings.len(), 0, "the case of these keys counts");
}

#[test]
fn a_wrong_entry_costs_itself_alone() {
    let with = |entry: &str| format!("- {entry}\n{ROLES}");
    says(
        &with("{rolearn: 'arn:aws:iam::1:role/X', username: x}"),
        "dev []",
        &expect![["line 1: left out: not the ARN of a principal: bad account (mapRoles[0].roleARN)\n"]],
    );
    says(
        &with("{rolearn: 'arn:aws:iam::111122223333:role/X'}"),
        "dev []",
        &expect![["line 1: left out: the key `username` is missing (mapRoles[0])\n"]],
    );
    says(
        &with("{rolearn: 'arn:aws:iam::111122223333:role/X', username: 12}"),
        "dev []",
        &expect![[
            "line 1: left out: expected text, found the number `12`: write it in quotes (mapRoles[0].username)\n"
        ]],
    );
    says(
        &with("{rolearn: 'arn:aws:iam::111122223333:role/X', username: x, group: [a]}"),
        "dev []",
        &expect![["line 1: left out: unknown key `group`, did you mean `groups`? (mapRoles[0])\n"]],
    );
    says(
        &with("{rolearn: 'arn:aws:iam::111122223333:role/X', username: x, managed-by: terraform}"),
        "dev []",
        &expect![["line 1: the key `managed-by` is none of ours and has no effect (mapRoles[0])\n"]],
    );
    says(
        &with("{rolearn: 'arn:aws:iam::111122223333:role/Dev', username: first}"),
        "first []",
        &expect![[r#"
            line 6: left out: the same principal is mapped on line 1 already, which stays in force: keep one entry, with the groups of both (mapRoles[2])
        "#]],
    );
    says(
        &with("{rolearn: 'arn:aws:iam::111122223333:role/X', username: x, notAfter: tomorrow}"),
        "dev []",
        &expect![["line 1: left out: not a time such as 2026-01-31T18:00:00Z (RFC 3339) (mapRoles[0].notAfter)\n"]],
    );
}

/// As the programs that read these documents before: whoever moves gets nothing that he did not have.
#[test]
fn groups_as_a_text_give_none() {
    let with = |groups: &str| {
        format!("{ROLES}- {{rolearn: 'arn:aws:iam::111122223333:role/X', username: x, groups: {groups}}}\n")
    };
    for groups in ["system:masters", "'a, b'", "''"] {
        let read = ConfigMap::default().read(Some(&json!({ "mapRoles": with(groups) })));
        assert_eq!(names(&read, "arn:aws:sts::111122223333:assumed-role/X/alice"), "x []", "{groups}");
    }
    says(
        &with("'a, b'"),
        "dev []",
        &expect![[r#"
        line 7: `groups` is a text, which gives no groups here: write a list, such as [a, b] (mapRoles[2].groups)
    "#]],
    );
}

/// The same of an entry for one session: to the programs before it named nobody, and here it would name all who assume the role.
#[test]
fn the_arn_of_a_session_lets_nobody_in() {
    says(
        "- {rolearn: 'arn:aws:sts::111122223333:assumed-role/Dev/alice', username: a, groups: [system:masters]}",
        "nobody",
        &expect![[r#"
            line 1: left out: names one session, and an entry is in force for every session of its role: write `arn:aws:iam::111122223333:role/Dev` (mapRoles[0].roleARN)
        "#]],
    );
    says(
        &format!("- {{rolearn: 'arn:aws:sts::111122223333:assumed-role/Dev/alice', username: a}}\n{ROLES}"),
        "dev []",
        &expect![[r#"
            line 1: left out: names one session, and an entry is in force for every session of its role: write `arn:aws:iam::111122223333:role/Dev` (mapRoles[0].roleARN)
        "#]],
    );
}

#[test]
fn a_document_that_does_not_parse_leaves_its_last_good_text_and_the_other_documents_alone() {
    let mut map = ConfigMap::default();
    let mut step = |roles: &str, users: &str| {
        let read = map.read(Some(&json!({ "mapRoles": roles, "mapUsers": users })));
        (names(&read, DEV), names(&read, BOB), read.refused)
    };
    let whole = |refused: &[&str]| refused.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(step(ROLES, USERS), ("dev []".into(), "bob [ops]".into(), vec![]));
    let broken = "- rolearn: a\n b: [\n";
    let (dev, bob, refused) = step(broken, "");
    assert_eq!((dev.as_str(), bob.as_str(), refused.len()), ("dev []", "nobody", 1));
    assert!(refused[0].starts_with("the last good one stays: mapRoles does not parse, line 2:"), "{refused:?}");
    let (dev, _, refused) = step("text", USERS);
    assert_eq!(
        (dev.as_str(), refused),
        ("dev []", whole(&["the last good one stays: mapRoles does not parse, line 1:1: expected a list, found text"]))
    );
    assert_eq!(step("", USERS), ("nobody".into(), "bob [ops]".into(), vec![]));
    let (dev, _, refused) = step(broken, USERS);
    assert_eq!((dev.as_str(), refused.len()), ("nobody", 1), "the last good text was an empty one");
}

/// Whatever stands in an object, `check-config` says of its manifest what the source says, and maps whom it maps.
#[test]
fn a_manifest_of_the_object_is_read_the_same() {
    let role = "arn:aws:iam::111122223333:role";
    let roles = [
        ROLES.to_owned(),
        format!(
            "- {{rolearn: '{role}/Dev', username: dev, notAfter: 2026-01-31T18:00:00Z}}\n- {{rolearn: '{role}/Dev', username: then}}"
        ),
        format!("- {{rolearn: '{role}/Dev', username: dev, notAfter: tomorrow}}"),
        format!("- {{rolearn: '{role}/Dev', username: dev, managed-by: terraform, userid: AROAEXAMPLE}}"),
        format!("- {{rolearn: '{role}/Dev', username: dev, group: [a]}}"),
        format!("- {{rolearn: '{role}/a/Dev', username: dev}}\n- {{rolearn: '{role}/b/Dev', username: dev}}"),
        format!("- {{rolearn: '{role}/Dev', username: on}}"),
        "- {rolearn: 'arn:aws:sts::111122223333:assumed-role/Dev/alice', username: dev}".to_owned(),
        format!("- {{rolearn: '{role}/Dev', username: dev, groups: system:masters}}"),
        "- {sso: {permissionSetName: Dev, accountID: '111122223333'}, username: dev}".to_owned(),
        "[]".to_owned(),
        "``".to_owned(),
        "- {a: b".to_owned(),
        "text".to_owned(),
    ];
    for roles in roles {
        let data =
            json!({ "mapRoles": roles, "mapUsers": USERS, "mapAccounts": "- 012345670123\n- '12'\n- 444455556666" });
        let live = ConfigMap::default().read(Some(&data));
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": AWS_AUTH }, "data": data });
        let file = CheckedFile::parse(Path::new("aws-auth.json"), object.to_string());
        let said: BTreeSet<(CheckId, Severity, &str, Option<&str>)> = live
            .warnings
            .iter()
            .map(|finding| (finding.id, finding.severity, finding.message.as_str(), finding.fix.as_deref()))
            .collect();
        let of_the_file = file.findings.iter().filter(|finding| finding.is_warning());
        let whole = |finding: &&Finding| finding.message.contains("the whole list is left out");
        let refused = of_the_file.clone().filter(whole).count();
        let found: BTreeSet<(CheckId, Severity, &str, Option<&str>)> = of_the_file
            .filter(|finding| !whole(finding))
            .map(|finding| {
                let text = finding.message.split_once(" of this text: ").map_or("", |(_, text)| text);
                (finding.id, finding.severity, text, finding.fix.as_deref())
            })
            .collect();
        assert_eq!((found, refused), (said, live.refused.len()), "{roles}");
        let entries = |rules: &Rules| rules.every().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(entries(&file.parts[0].config.rules), entries(&live.mappings.rules), "{roles}");
        assert_eq!(file.parts[0].config.map_accounts, live.mappings.accounts, "{roles}");
    }
}

#[test]
fn a_map_that_never_was_good_maps_nobody() {
    let read = ConfigMap::default().read(Some(&json!({ "mapRoles": "{{{" })));
    assert_eq!((read.mappings.len(), read.refused.len()), (0, 1));
}

proptest! {
    /// Whatever is written in between, good roles come back when they are written again, and a reader is never lost.
    #[test]
    fn any_text_is_read(texts in proptest::collection::vec("(?s)[-{}\\[\\]:'\"#&*|>a-z0-9 \n\t]{0,60}", 1..4)) {
        let mut map = ConfigMap::default();
        for text in &texts {
            let read = map.read(Some(&json!({ "mapRoles": text, "mapUsers": text, "mapAccounts": text })));
            prop_assert!(read.mappings.rules.is_empty(), "{text:?} names a principal");
        }
        let read = map.read(Some(&json!({ "mapRoles": ROLES })));
        prop_assert_eq!(names(&read, DEV), "dev []");
    }
}
