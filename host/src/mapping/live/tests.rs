//! What logins see of a live source, and what is told about a new set.

use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;

use super::*;
use crate::mapping::{
    rule::{Subject, tests::caller},
    template::Template,
};

/// `Name=username` for roles of one account, and accounts.
fn mappings(roles: &[(&str, &str)], accounts: &[&str]) -> Mappings {
    let mut rules = Rules::default();
    for (name, username) in roles {
        let arn = format!("arn:aws:iam::123456789012:role/{name}").parse().expect("an ARN");
        let rule = Rule::new(Template::parse(username).expect("a template"), Arc::from([]), 1);
        rules.insert(Subject::Arn(arn), rule).expect("written once");
    }
    Mappings { rules, accounts: accounts.iter().map(|id| id.parse().expect("digits")).collect() }
}

/// The verdict, and whether the account is listed.
fn says(live: &Live) -> (&'static str, bool) {
    let caller = Arc::new(caller("arn:aws:sts::123456789012:assumed-role/Admin/alice"));
    let request = Request::new(&caller, "c", SystemTime::UNIX_EPOCH);
    let answer = live.decide(&request).now_or_never().expect("a source answers at once");
    (answer.verdict.as_ref().map_or_else(StageError::reason, crate::policy::Verdict::label), answer.lists_account)
}

#[test]
fn a_source_answers_once_it_has_been_read() {
    let live = Live::new(EKS_CONFIG_MAP);
    let now = |live: &Live| (says(live), live.missing());
    assert_eq!(now(&live), (("source_not_ready", false), Some("not read yet".to_owned())));
    live.failed("connection refused".to_owned());
    assert_eq!(now(&live), (("source_not_ready", false), Some("connection refused".to_owned())));
    live.replace(Arc::new(mappings(&[("Admin", "admin")], &["123456789012"])));
    assert_eq!(now(&live), (("allow", true), None));
    live.failed("connection refused".to_owned());
    assert_eq!(now(&live), (("allow", true), None), "an outage takes nothing away");
    live.replace(Arc::new(mappings(&[], &["123456789012"])));
    assert_eq!(now(&live), (("abstain", true), None));
    live.replace(Arc::default());
    assert_eq!(now(&live), (("abstain", false), None));
}

fn told(changes: Vec<Change>) -> Vec<String> {
    let line = |Change { who, kind, gives, .. }: Change| format!("{} {who} {gives}", kind.word());
    changes.into_iter().map(line).collect()
}

#[test]
fn what_has_changed_is_told_by_principal() {
    let before = mappings(&[("A", "a"), ("B", "b"), ("C", "c")], &["111122223333"]);
    let after = mappings(&[("D", "d:{{SessionName}}"), ("B", "other"), ("C", "c")], &["444455556666"]);
    let expected = [
        "added 444455556666 its own ARN",
        "added arn:aws:iam::123456789012:role/d d:{{SessionName}} []",
        "changed arn:aws:iam::123456789012:role/b other []",
        "removed 111122223333 its own ARN",
        "removed arn:aws:iam::123456789012:role/a a []",
    ];
    assert_eq!(told(after.changes_since(&before)), expected);
    assert_eq!(told(after.changes_since(&after)), [""; 0]);
}

/// Not every line of a large change is written, and what comes in force later is told now or never.
#[test]
fn whoever_becomes_an_administrator_is_told_first_and_whatever_stands_in_front() {
    /// The name of a role, a group, and the second in which that ends.
    type Entry = (&'static str, &'static str, Option<u64>);
    fn rules(entries: &[Entry]) -> Mappings {
        let parse = |text| Template::parse(text).expect("a template");
        let mut rules = Rules::default();
        for (name, group, end) in entries {
            let arn = format!("arn:aws:iam::123456789012:role/{name}").parse().expect("an ARN");
            let rule = Rule::new(parse("u"), Arc::from([parse(group)]), 1);
            let rule = match end {
                None => rule,
                Some(end) => rule.ending(SystemTime::UNIX_EPOCH + Duration::from_secs(*end)),
            };
            rules.insert(Subject::Arn(arn), rule).expect("the one before it ends");
        }
        Mappings { rules, ..Mappings::default() }
    }
    #[track_caller]
    fn check(before: &[Entry], after: &[Entry], expected: &[&str]) {
        let told: Vec<String> = told(rules(after).changes_since(&rules(before)));
        let told: Vec<&str> = told.iter().filter_map(|line| line.split_once("role/")).map(|(_, line)| line).collect();
        assert_eq!(told, expected);
    }
    let (a, z) = (("a", "dev", None), ("z", "dev", None));
    let masters = ("z", "system:masters", None);
    check(
        &[z],
        &[a, ("z", "dev", Some(0)), masters],
        &["z u [dev] until 1970-01-01T00:00:00Z, then u [system:masters]", "a u [dev]"],
    );
    check(&[], &[a, masters], &["z u [system:masters]", "a u [dev]"]);
    check(&[masters], &[a, z], &["z u [dev]", "a u [dev]"]);
    check(&[masters], &[a], &["z u [system:masters]", "a u [dev]"]);
    check(&[z], &[a, ("z", "system:{{SessionName}}", None)], &["z u [system:{{SessionName}}]", "a u [dev]"]);
    check(&[z], &[a, ("z", "ops", None)], &["a u [dev]", "z u [ops]"]);
}
