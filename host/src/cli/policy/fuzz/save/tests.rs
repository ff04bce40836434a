//! What a suite looks like that has got one more case, and which are left alone.

use expect_test::{Expect, expect};
use serde_json::json;

use super::{super::words::Words, *};

fn case() -> Entry {
    entry(&Draft::simplest(), "gives the group \"x\"")
}

#[track_caller]
fn check(before: &str, surroundings: &Value, expected: &Expect) {
    let told = match appended(before, surroundings, &case()) {
        Ok(Some(after)) => after,
        Ok(None) => "(there already)".to_owned(),
        Err(error) => format!("(refused) {error:#}"),
    };
    expected.assert_eq(&told);
}

#[test]
fn a_case_goes_to_the_end_and_nothing_else_moves() {
    let around = json!({"settings": {"team": "a"}});
    check(
        "# Mine.\nsettings: {team: a}   # the team\n\ncases:   # all of them\n- name: first   # why\n  caller: &a {arn: 'arn:aws:iam::111122223333:root'}\n  expect: abstain\n\n\
         - name: second\n  caller: *a\n  expect: {allow: {username: x,\n     groups: [a]}}\n  # a word about it\n\n# The end.\n",
        &around,
        &expect![[r##"
            # Mine.
            settings: {team: a}   # the team

            cases:   # all of them
            - name: first   # why
              caller: &a {arn: 'arn:aws:iam::111122223333:root'}
              expect: abstain

            - name: second
              caller: *a
              expect: {allow: {username: x,
                 groups: [a]}}

            # Found by `herald policy fuzz`. Fails until the policy denies; change `expect` if it should abstain.
            - name: "never: gives the group \"x\""
              caller: {"arn":"arn:aws:iam::999999999999:user/a"}
              expect: {"deny":""}
              # a word about it

            # The end.
        "##]],
    );
    // Indented, with something behind it, and with settings of its own.
    check(
        "cases:\n  - {name: first, caller: {arn: 'arn:aws:iam::111122223333:root'}, expect: abstain}\n\n# Of all.\nsettings: {}\ninstance: not-found",
        &around,
        &expect![[r##"
            cases:
              - {name: first, caller: {arn: 'arn:aws:iam::111122223333:root'}, expect: abstain}

              # Found by `herald policy fuzz`. Fails until the policy denies; change `expect` if it should abstain.
              - name: "never: gives the group \"x\""
                settings: {"team":"a"}
                caller: {"arn":"arn:aws:iam::999999999999:user/a"}
                expect: {"deny":""}
                instance: "not-granted"

            # Of all.
            settings: {}
            instance: not-found"##]],
    );
}

#[test]
fn lines_end_as_they_did() {
    let before = "cases:\r\n- name: a\r\n  caller: {arn: 'arn:aws:iam::111122223333:root'}\r\n  expect: abstain";
    let after = appended(before, &json!({"settings": {}}), &case()).expect("it is a suite").expect("it is new");
    assert!(after.starts_with(&format!("{before}\r\n\r\n# Found by")), "{after:?}");
    assert_eq!(after.matches('\n').count(), after.matches("\r\n").count(), "{after:?}");
}

#[test]
fn what_is_there_already_is_not_there_twice() {
    let around = json!({"settings": {"team": "a"}, "tables": {"rota": {"k": "v"}}});
    let text = alone(&around, &entry(&Draft::simplest(), "under another name"));
    check(&text, &around, &expect!["(there already)"]);
    check(&format!("limits: {{memory: 16Mi, timeout: 5s}}\n{text}"), &around, &expect!["(there already)"]);
}

#[test]
fn what_cannot_be_put_in_safely_is_left_alone() {
    let around = json!({"settings": {}});
    let item = "{name: a, caller: {arn: 'arn:aws:iam::111122223333:root'}, expect: abstain}";
    check(
        "not: cases",
        &around,
        &expect![
            "(refused) it is there, and is no suite of cases: save into a file that is not there yet: line 1 column 1: unknown field `not`, expected one of settings, tables, instance, tags, kind, ceiling, limits, cases"
        ],
    );
    let in_brackets = expect![[
        "(refused) a case cannot be put in safely, as its `cases` are no plain list in lines: save into a file that is not there yet"
    ]];
    check(&format!("cases: [{item}]"), &around, &in_brackets);
    check(&format!("cases:\n  [{item}]"), &around, &in_brackets);
    check(&format!("\"cases\":\n- {item}"), &around, &in_brackets);
    // A text in which a comment is none.
    let text =
        "cases:\n- caller: {arn: 'arn:aws:iam::111122223333:root'}\n  expect: abstain\n  name: |\n    a\n    # b\n";
    check(text, &around, &in_brackets);
    check(
        &format!("tables: {{rota: {{a: b}}}}\ncases:\n- {item}"),
        &around,
        &expect![
            "(refused) its tables are not those of --table, and a case has none of its own: save into a file that is not there yet"
        ],
    );
}

/// Each of them counts for all cases of a file.
#[test]
fn cases_of_other_terms_are_left_alone() {
    let item = "{name: a, caller: {arn: 'arn:aws:iam::111122223333:root'}, expect: abstain}";
    let other = expect![
        "(refused) its kind, ceiling and limits are not those that are given here, and a case has none of its own: save into a file that is not there yet"
    ];
    for terms in ["kind: guard", "ceiling: {}", "limits: {fuel: 1000}"] {
        check(&format!("{terms}\ncases:\n- {item}"), &json!({"settings": {}}), &other);
    }
    for (key, value) in
        [("kind", json!("guard")), ("ceiling", json!({"groups": ["a"]})), ("limits", json!({"timeout": "50ms"}))]
    {
        check(&format!("cases:\n- {item}"), &json!({"settings": {}, key: value}), &other);
    }
}

#[test]
fn a_file_is_looked_at_before_anybody_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("found.yaml");
    let around = json!({"settings": {}});
    let saved = Saved::open(&path, &around).expect("nothing is there");
    assert!(saved.add(&Draft::simplest(), "anything").expect("written"));
    let first = fs::read_to_string(&path).expect("a file");
    assert!(first.starts_with("settings: {}\ncases:\n# Found by `herald policy fuzz`."), "{first}");
    fs::write(&path, "server: {}\n").expect("written");
    let error = Saved::open(&path, &around).map(|_| ()).expect_err("a configuration");
    assert!(format!("{error:#}").contains("found.yaml: it is there, and is no suite of cases"), "{error:#}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "server: {}\n");
    // Nobody's.
    fs::write(&path, "\n").expect("written");
    assert!(Saved::open(&path, &around).expect("nothing is in it").add(&Draft::simplest(), "x").expect("written"));
    // Somebody else has written meanwhile.
    let around = json!({"settings": {"x": 1}});
    let saved = Saved::open(&path, &around).expect("a suite");
    fs::write(&path, "cases: []\n").expect("written");
    let error = format!("{:#}", saved.add(&Draft::simplest(), "x").expect_err("it has changed"));
    assert!(error.contains("somebody else has changed it meanwhile"), "{error}");
    fs::remove_file(&path).expect("removed");
    let saved = Saved::open(&path, &around).expect("nothing is there");
    fs::write(&path, "cases: []\n").expect("written");
    saved.add(&Draft::simplest(), "x").expect_err("it is there by now");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "cases: []\n");
}

/// Whatever a policy looks at, its answer to the case is the one that was found.
#[test]
fn a_case_asks_what_was_asked() {
    let words = Words::of(&json!({"until": "2026-05-04T12:00:00Z", "account": "1111222233334444"}), &Value::Null);
    for draft in Draft::of_callers(&words, None, &mut fastrand::Rng::with_seed(7)).take(500) {
        let saved = alone(&json!({"settings": {}}), &entry(&draft, "anything"));
        let suite = Suite::parse(&saved).expect("it is a file of cases");
        let asked = draft.request().expect("some cloud has him");
        assert_eq!(format!("{:?}", suite.cases[0].request), format!("{asked:?}"), "{saved}");
    }
}
