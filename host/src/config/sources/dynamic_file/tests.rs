//! Dynamic files as tables.

use std::time::SystemTime;

use super::*;
use crate::mapping::rule::tests::caller;

const ADMIN: &str = "arn:aws:sts::111122223333:assumed-role/Admin/alice";

#[track_caller]
fn check(text: &str, by_user_id: bool, expected: Result<(Option<&str>, usize), &str>) {
    let caller = caller(ADMIN);
    let found = parse(text, by_user_id).map(|read| {
        let rule = read.mappings.rules.find(&caller, SystemTime::UNIX_EPOCH);
        (rule.map(|rule| rule.render(&caller, None).unwrap().username), read.warnings.len())
    });
    let words = found.as_ref().map(|(name, warnings)| (name.as_deref(), *warnings)).map_err(ToString::to_string);
    assert_eq!(words.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text), "{text}");
}

/// A role entry with more keys.
fn file(more: &str) -> String {
    format!(
        "{{\n\t\"LastUpdatedDateTime\": \"1700000000\", \"Version\": \"1\",\n\t\"mapRoles\": [\n\t\t{{{more}, \
         \"username\": \"admin\", \"groups\": [\"ops\"]}}\n\t],\n\t\"mapUsers\": [],\n\t\"mapAccounts\": \
         [\"444455556666\"]\n}}\n"
    )
}

#[test]
fn its_writer_may_say_when() {
    for (written, expected) in [
        ("\"1700000000\"", Some(1_700_000_000)),
        ("1700000000", None),
        ("\"yesterday\"", None),
        ("\"-1\"", None),
        ("\"18446744073709551615\"", None),
    ] {
        let text = format!("{{\"LastUpdatedDateTime\": {written}}}");
        let found = parse(&text, false).expect("a file").written;
        let seconds = found.map(|at| at.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs());
        assert_eq!(seconds, expected, "{written}");
    }
}

#[test]
fn entries_match_by_arn() {
    let role = r#""rolearn": "arn:aws:iam::111122223333:role/Admin""#;
    check(&file(role), false, Ok((Some("admin"), 0)));
    check(&file(&role.replace("rolearn", "roleARN")), false, Ok((Some("admin"), 0)));
    check(&file(r#""rolearn": "arn:aws:iam::111122223333:role/Other""#), false, Ok((None, 0)));
    // Said to have no effect.
    check(&file(&format!(r#"{role}, "userid": "AROAOTHER""#)), false, Ok((Some("admin"), 1)));
    check(&file(r#""rolearn": "nonsense""#), false, Ok((None, 1)));
}

#[test]
fn entries_match_by_unique_id_in_strict_mode() {
    let id = r#""userid": "AROAEXAMPLE""#;
    check(&file(id), true, Ok((Some("admin"), 0)));
    check(
        &file(&format!(r#"{id}, "rolearn": "arn:aws:iam::111122223333:role/path/Admin""#)),
        true,
        Ok((Some("admin"), 0)),
    );
    check(&file(&format!(r#"{id}, "rolearn": "arn:aws:iam::111122223333:role/Other""#)), true, Ok((None, 0)));
    // An ARN that does not parse is no missing ARN.
    check(&file(&format!(r#"{id}, "rolearn": "nonsense""#)), true, Ok((None, 1)));
    check(&file(r#""userid": "AROAOTHER", "rolearn": "arn:aws:iam::111122223333:role/Admin""#), true, Ok((None, 0)));
    check(&file(r#""rolearn": "arn:aws:iam::111122223333:role/Admin""#), true, Ok((None, 1)));
}

#[test]
fn what_is_no_such_file_is_refused_whole() {
    check("", false, Err("expected a map, found nothing"));
    check("[]", false, Err("expected a map, found a list"));
    check(r#"{"mapRoles": {}}"#, false, Err("mapRoles: expected a list, found a map"));
    check(r#"{"mapAccounts": "444455556666"}"#, false, Err("expected a list of accounts, found text"));
    assert!(parse("{\"mapRoles\": [", false).is_err());
    check("{}", false, Ok((None, 0)));
    check(r#"{"somethingElse": {"a": 1}}"#, false, Ok((None, 0)));
}
