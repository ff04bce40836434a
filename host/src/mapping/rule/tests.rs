//! The matcher as tables: entries in the order they are written, and which of them names a caller.

use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::caller::{PrincipalId, SessionName};

/// The caller behind a STS answer with this ARN.
pub(crate) fn caller(arn: &str) -> Caller {
    let parsed: Arn = arn.parse().expect("a principal's ARN");
    Caller {
        provider: "aws",
        partition: parsed.partition().to_owned(),
        account_id: parsed.account_id().clone(),
        kind: parsed.kind(),
        arn: arn.to_owned(),
        canonical_arn: parsed.canonical(),
        name: parsed.name().to_owned(),
        principal_id: PrincipalId::new("AROAEXAMPLE"),
        session_name: parsed.session_name().map(SessionName::new),
        sso_permission_set: parsed.permission_set().map(str::to_owned),
        access_key_id: "ASIAEXAMPLE".into(),
        sts_region: String::new(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
        uid: "aws-iam-authenticator:123456789012:AROAEXAMPLE".into(),
        extra: &[],
        attributes: vec![],
    }
}

fn subject(text: &str) -> Subject {
    match text.split_once(' ') {
        None => Subject::Arn(text.parse().expect("an ARN")),
        Some((place, name)) => {
            let (partition, account) = place.split_once('/').expect("partition/account set");
            Subject::PermissionSet(PermissionSet::new(partition, &account.parse().expect("an account"), name))
        }
    }
}

/// Rules whose usernames are their own place in the list.
fn rules(entries: &[&str]) -> (Rules, Vec<u32>) {
    let mut rules = Rules::default();
    let mut duplicates = Vec::new();
    for (line, entry) in (0..).zip(entries) {
        let rule = Rule::new(Template::parse(&line.to_string()).expect("a literal"), Arc::from([]), line);
        if let Err(duplicate) = rules.insert(subject(entry), rule) {
            duplicates.push(duplicate.first_line);
        }
    }
    (rules, duplicates)
}

#[track_caller]
fn check(entries: &[&str], arn: &str, expected: Option<u32>) {
    assert_eq!(
        rules(entries).0.find(&caller(arn), SystemTime::UNIX_EPOCH).map(|rule| rule.line),
        expected,
        "{entries:?} {arn}"
    );
}

const ADMIN: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";

#[test]
fn roles_match_by_canonical_arn() {
    check(&["arn:aws:iam::123456789012:role/Admin"], ADMIN, Some(0));
    check(&["arn:aws:iam::123456789012:role/admin"], ADMIN, Some(0));
    check(&["arn:aws:sts::123456789012:assumed-role/Admin/bob"], ADMIN, Some(0));
    check(&["arn:aws:iam::123456789012:role/Admins"], ADMIN, None);
    check(&["arn:aws:iam::123456789013:role/Admin"], ADMIN, None);
    check(&["arn:aws-cn:iam::123456789012:role/Admin"], ADMIN, None);
    check(&["arn:aws:iam::123456789012:user/Admin"], ADMIN, None);
    check(&["acs:ram::000000000000:role/Admin"], "acs:ram::000000000000:assumed-role/Admin/a", Some(0));
    check(&["arn:aws:iam::123456789012:root"], "arn:aws:iam::123456789012:root", Some(0));
}

#[test]
fn a_role_entry_may_carry_its_path() {
    let with_path = "arn:aws:iam::123456789012:role/team/a/Admin";
    check(&[with_path], ADMIN, Some(0));
    check(&[with_path], "arn:aws:iam::123456789012:role/team/a/Admin", Some(0));
    check(&[with_path], "arn:aws:iam::123456789012:role/team/b/Admin", None);
    check(&["arn:aws:iam::123456789012:role/Admin"], "arn:aws:iam::123456789012:role/team/b/Admin", None);
}

#[test]
fn users_match_with_their_path() {
    let user = "arn:aws:iam::123456789012:user/team/alice";
    check(&[user], user, Some(0));
    check(&["arn:aws:iam::123456789012:user/alice"], user, None);
    check(&["arn:aws:iam::123456789012:user/TEAM/Alice"], user, Some(0));
}

#[test]
fn permission_sets_match_exactly() {
    let role = |set: &str| format!("arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_{set}/a");
    check(&["aws/123456789012 View"], &role("View_0123456789abcdef"), Some(0));
    check(&["aws/123456789012 View"], &role("View_Only_0123456789abcdef"), None);
    check(&["aws/123456789012 View_Only"], &role("View_Only_0123456789abcdef"), Some(0));
    check(&["aws/123456789012 View"], &role("View_0123456789abcde"), None);
    check(&["aws/123456789012 View"], &role("View_0123456789abcdef0"), None);
    check(&["aws/123456789012 View"], &role("View_0123456789ABCDEF"), None);
    check(&["aws/123456789012 View"], &role("View"), None);
    check(&["aws/123456789013 View"], &role("View_0123456789abcdef"), None);
    check(&["aws-cn/123456789012 View"], &role("View_0123456789abcdef"), None);
    let gov = "arn:aws-us-gov:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a";
    check(&["aws/123456789012 View", "aws-us-gov/123456789012 View"], gov, Some(1));
    check(&["aws/123456789012 View"], "arn:aws:iam::123456789012:user/AWSReservedSSO_View_0123456789abcdef", None);
}

#[test]
fn an_exact_arn_comes_before_a_permission_set() {
    let set = "aws/123456789012 View";
    let role = "arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef";
    let session = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a";
    check(&[set, role], session, Some(1));
    check(&[role, set], session, Some(0));
}

#[test]
fn the_first_of_two_entries_stays() {
    #[track_caller]
    fn check(entries: &[&str], expected: &[u32]) {
        assert_eq!(rules(entries).1, expected, "{entries:?}");
    }
    let role = "arn:aws:iam::123456789012:role/Admin";
    check(&[role, "arn:aws:iam::123456789012:role/ADMIN"], &[0]);
    check(&[role, "arn:aws:iam::123456789012:role/team/Admin", role], &[0, 0]);
    check(&["aws/123456789012 View", role, "aws/123456789012 view"], &[0]);
    check(&[role, "arn:aws:iam::123456789012:user/Admin"], &[]);
}

/// Entries about one role with the second in which each ends, and who is in force in each second.
#[test]
fn an_entry_ends_by_itself() {
    #[track_caller]
    fn check(ends: &[Option<u64>], duplicates: usize, expected: &[Option<u32>]) {
        let second = |second| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
        let (mut rules, mut refused) = (Rules::default(), 0);
        for (line, end) in (0..).zip(ends) {
            let rule = Rule::new(Template::parse("x").expect("a literal"), Arc::from([]), line);
            let rule = end.map_or_else(|| rule.clone(), |end| rule.clone().ending(second(end)));
            refused += usize::from(rules.insert(subject("arn:aws:iam::123456789012:role/Admin"), rule).is_err());
        }
        let found = |at| rules.find(&caller(ADMIN), second(at)).map(|rule| rule.line);
        let seconds: Vec<_> = (0..expected.len() as u64).map(found).collect();
        assert_eq!((seconds.as_slice(), refused), (expected, duplicates), "{ends:?}");
        assert_eq!(rules.len(), ends.len() - duplicates);
    }
    check(&[Some(1)], 0, &[Some(0), Some(0), None]);
    check(&[Some(1), None], 0, &[Some(0), Some(0), Some(1), Some(1)]);
    check(&[None, Some(1)], 1, &[Some(0), Some(0), Some(0)]);
    check(&[Some(0), None, None], 1, &[Some(0), Some(1), Some(1)]);
    check(&[Some(2), Some(1), Some(3)], 0, &[Some(0), Some(0), Some(0), Some(2), None]);
}

#[test]
fn an_entry_that_has_ended_leaves_the_caller_to_a_permission_set() {
    let mut rules = Rules::default();
    let rule = |line| Rule::new(Template::parse("x").expect("a literal"), Arc::from([]), line);
    let role = "arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef";
    rules.insert(subject(role), rule(0).ending(SystemTime::UNIX_EPOCH)).expect("the first");
    rules.insert(subject("aws/123456789012 View"), rule(1)).expect("the first");
    let session = caller("arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a");
    let found = |at| rules.find(&session, at).map(|rule| rule.line);
    assert_eq!(found(SystemTime::UNIX_EPOCH), Some(0));
    assert_eq!(found(SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1)), Some(1));
}

#[test]
fn a_unique_id_is_one_principal_and_no_namesake() {
    #[track_caller]
    fn check(id: &str, arn: Option<&str>, found: bool) {
        let mut rules = Rules::default();
        let rule = Rule::new(Template::parse("x").expect("a literal"), Arc::from([]), 1);
        let arn = arn.map(|arn| arn.parse().expect("an ARN"));
        rules.insert(Subject::Principal(PrincipalId::new(id), arn), rule).expect("the first");
        assert_eq!(rules.find(&caller(ADMIN), SystemTime::UNIX_EPOCH).is_some(), found, "{id}");
    }
    check("AROAEXAMPLE", None, true);
    check("AROAexample", None, false);
    check("AROAOTHER", Some("arn:aws:iam::123456789012:role/Admin"), false);
    check("AROAEXAMPLE", Some("arn:aws:iam::123456789012:role/Admin"), true);
    check("AROAEXAMPLE", Some("arn:aws:iam::123456789012:role/team/Admin"), true);
    check("AROAEXAMPLE", Some("arn:aws:iam::123456789012:role/Other"), false);
    check("AROAEXAMPLE", Some("arn:aws:iam::123456789013:role/Admin"), false);
}

#[test]
fn equal_groups_are_kept_once() {
    let mut lists = GroupLists::default();
    let mut share = |group| lists.share(vec![Template::parse(group).expect("a literal")]);
    assert!(Arc::ptr_eq(&share("dev"), &share("dev")));
    assert!(!Arc::ptr_eq(&share("dev"), &share("ops")));
}

proptest! {
    /// Whatever is written around it, the first entry about a principal is the one that answers.
    #[test]
    fn precedence_is_order_of_writing(names in proptest::collection::vec("[abAB]{1,2}", 1..12)) {
        let entries: Vec<String> = names.iter().map(|name| format!("arn:aws:iam::123456789012:role/{name}")).collect();
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let (rules, _) = rules(&entries);
        for name in &names {
            let first = names.iter().position(|other| other.eq_ignore_ascii_case(name)).expect("it is there");
            let session = format!("arn:aws:sts::123456789012:assumed-role/{name}/s");
            let found = rules.find(&caller(&session), SystemTime::UNIX_EPOCH);
            prop_assert_eq!(found.map(|rule| rule.line as usize), Some(first));
        }
    }
}
