//! Dynamic files as tables.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use super::*;
use crate::mapping::{Live, Stage as _, live, rule::tests::caller};

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
    // Of every session, as to the programs before, and told.
    check(&file(r#""rolearn": "arn:aws:sts::111122223333:assumed-role/Admin/bob""#), false, Ok((Some("admin"), 1)));
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
    check(&file(&format!(r#"{id}, "rolearn": """#)), true, Ok((Some("admin"), 0)));
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

/// Go's programs read the last of them alone.
#[test]
fn a_list_that_is_there_twice_refuses_the_file() {
    let entry = r#"{"rolearn": "arn:aws:iam::111122223333:role/Admin", "username": "admin", "groups": ["ops"]}"#;
    let twice = |key: &str, first: &str| format!("`{key}` is given already, as `{first}` on line 1");
    let roles = format!(r#"{{"mapRoles": [{entry}], "mapRoles": []}}"#);
    check(&roles, false, Err(&twice("mapRoles", "mapRoles")));
    let accounts = r#"{"mapAccounts": ["111122223333"], "MapAccounts": []}"#;
    check(accounts, false, Err(&twice("MapAccounts", "mapAccounts")));
    check(&format!(r#"{{"Version": "1", "Version": "2", "mapRoles": [{entry}]}}"#), false, Ok((Some("admin"), 0)));
}

/// What `herald check-config` takes for one.
#[test]
fn a_file_is_known_by_its_keys() {
    #[track_caller]
    fn check(text: &str, expected: bool) {
        let root = node::read(text, &mut |_, _, _| ()).expect("a tree");
        assert_eq!(is_dynamic_file(&root, text), expected, "{text}");
    }
    check(r#"{"LastUpdatedDateTime": "1"}"#, true);
    check("LastUpdatedDateTime: '1'\nmapRoles: []\n", true);
    // The files of ack-ram-authenticator have nothing else.
    check(r#"{"mapRoles": [], "mapUsers": [], "mapAccounts": []}"#, true);
    check(r#"{"maproles": [], "Version": "1", "comment": "whose it is"}"#, true);
    check("mapRoles: []\n", false);
    check(r#"{"Version": "1"}"#, false);
    // Written without `server`: no existing program reads mappings there.
    for setting in [r#""port": 1"#, r#""backendMode": "CRD""#, r#""defaultRole": "a""#, r#""scrubbedaccounts": []"#] {
        check(&format!(r#"{{"mapRoles": [], {setting}}}"#), false);
    }
}

#[tokio::test]
async fn a_mistake_in_taking_a_file_in_is_a_failure_and_not_the_end() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    fn breaks_once() -> SystemTime {
        assert_ne!(ASKED.fetch_add(1, Relaxed), 0, "as if it could not be taken in");
        SystemTime::UNIX_EPOCH
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mappings.json");
    fs::write(&path, file(r#""rolearn": "arn:aws:iam::111122223333:role/Admin""#)).expect("written");
    let live = Live::new(live::DYNAMIC_FILE);
    let keeper = Keeper::new(live::DYNAMIC_FILE, live.clone(), Arc::default(), breaks_once);
    let mut follower = Follower { path, by_user_id: false, keeper, seen: None, is_judged: false };
    assert!(follower.look(false).await);
    let missing = live.missing().expect("it is not in force");
    let words = "mappings.json: it was read, and taking it in failed: that is a mistake in Herald, please report it";
    assert!(missing.ends_with(words), "{missing}");
    assert!(!follower.look(false).await, "it looks as before");
    assert_eq!(live.mappings().map(|mappings| mappings.len()), Some(2), "and is read again");
    assert!(follower.is_judged && follower.keeper.is_well());
}

#[tokio::test]
async fn a_mistake_in_looking_after_a_file_is_a_failure_and_not_the_end() {
    static BREAKS: AtomicBool = AtomicBool::new(false);
    fn breaks_when_told() -> SystemTime {
        assert!(!BREAKS.swap(false, Relaxed), "as if it could not be looked after");
        SystemTime::UNIX_EPOCH
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mappings.json");
    fs::write(&path, file(r#""rolearn": "arn:aws:iam::111122223333:role/Admin""#)).expect("written");
    let live = Live::new(live::DYNAMIC_FILE);
    let keeper = Keeper::new(live::DYNAMIC_FILE, live.clone(), Arc::default(), breaks_when_told);
    let mut follower = Follower { path, by_user_id: false, keeper, seen: None, is_judged: false };
    assert!(follower.look(false).await && follower.keeper.is_well());
    BREAKS.store(true, Relaxed);
    assert!(!follower.look(false).await && !follower.keeper.is_well(), "it is told");
    assert_eq!(live.mappings().map(|mappings| mappings.len()), Some(2), "the last good one stays");
    assert!(!follower.look(false).await, "it looks as before");
    assert!(follower.is_judged && follower.keeper.is_well(), "and is read again");
}
