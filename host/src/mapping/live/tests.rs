//! What logins see of a live source, and what is told about a new set.

use std::time::SystemTime;

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

#[test]
fn what_has_changed_is_told_by_principal() {
    let before = mappings(&[("A", "a"), ("B", "b"), ("C", "c")], &["111122223333"]);
    let after = mappings(&[("D", "d:{{SessionName}}"), ("B", "other"), ("C", "c")], &["444455556666"]);
    let told = |changes: Vec<Change>| {
        let line = |Change { who, kind, gives }: Change| format!("{} {who} {gives}", kind.word());
        changes.into_iter().map(line).collect::<Vec<_>>()
    };
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
