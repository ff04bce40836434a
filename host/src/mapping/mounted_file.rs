//! MountedFile: the mappings in Herald's own configuration file, as a stage.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::{BoxFuture, ready};

use super::{Answer, Stage, rule::Rules};
use crate::{caller::AccountId, policy::Request};

/// `server.mapRoles`, `server.mapUsers` and `server.mapAccounts`. Answers at once and never fails but for a
/// template that does not fit the caller.
#[derive(Clone, Debug, Default)]
pub struct MountedFile {
    rules: Arc<Rules>,
    accounts: BTreeSet<AccountId>,
}

/// The name in `server.backendMode`, in the trail, in logs and metrics.
pub const NAME: &str = "MountedFile";

impl MountedFile {
    /// A stage that answers from `rules`, and lists `accounts`.
    #[must_use]
    pub fn new(rules: Arc<Rules>, accounts: BTreeSet<AccountId>) -> Self {
        Self { rules, accounts }
    }
}

impl Stage for MountedFile {
    fn name(&self) -> &str {
        NAME
    }

    fn decide<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        let lists_account = self.accounts.contains(&request.caller.account_id);
        Box::pin(ready(Answer { lists_account, ..self.rules.answer(request) }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        mapping::{
            rule::{Rule, Subject, tests::caller},
            template::Template,
        },
        policy::Verdict,
    };

    #[track_caller]
    fn check(arn: &str, expected: &str) {
        let parse = |text| Template::parse(text).expect("a template");
        let groups = Arc::from([parse("team"), parse("acct-{{AccountID}}")]);
        let rule = Rule::new(parse("admin:{{SessionName}}"), groups, 1);
        let mut rules = Rules::default();
        for arn in ["arn:aws:iam::123456789012:role/Admin", "arn:aws:iam::123456789012:user/alice"] {
            rules.insert(Subject::Arn(arn.parse().expect("an ARN")), rule.clone()).expect("written once");
        }
        let stage = MountedFile::new(Arc::new(rules), BTreeSet::new());
        let caller = Arc::new(caller(arn));
        let request = Request::new(&caller, "c", SystemTime::UNIX_EPOCH);
        let answer = stage.decide(&request).now_or_never().expect("a static source answers at once");
        let words = match answer.verdict {
            Ok(Verdict::Allow(mapping)) => format!("{} {:?}", mapping.username, mapping.groups),
            Ok(verdict) => verdict.label().to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(words, expected);
    }

    #[test]
    fn answers() {
        check("arn:aws:sts::123456789012:assumed-role/Admin/a@b", r#"admin:a-b ["team", "acct-123456789012"]"#);
        check("arn:aws:sts::123456789012:assumed-role/Other/a", "abstain");
        check(
            "arn:aws:iam::123456789012:user/alice",
            "the mapping's template does not fit this caller: {{SessionName}} asks for a session name, and this caller has no session",
        );
    }
}
