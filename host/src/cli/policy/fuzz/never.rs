//! What must never happen, and to whom it may.

use std::str::FromStr;

use clap::ValueEnum;

use crate::{
    caller::Caller,
    mapping::chain::shrunk,
    policy::{Evaluation, Fault, Mapping, Verdict, cases::OwnedRequest, name_matches},
};

/// What must never happen.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Never {
    /// A group that nobody may be given, beside `system:*`; `*` is any run of characters, and case does not count. Can be given
    /// again.
    #[arg(long = "never-group", value_name = "PATTERN")]
    groups: Vec<String>,
    /// A username that nobody may be given, beside `system:*`. Can be given again.
    #[arg(long = "never-username", value_name = "PATTERN")]
    usernames: Vec<String>,
    /// A uid that nobody may be given. Can be given again.
    #[arg(long = "never-uid", value_name = "PATTERN")]
    uids: Vec<String>,
    /// A key of `extra` under which nobody may be given anything. Can be given again.
    #[arg(long = "never-extra", value_name = "PATTERN")]
    extra: Vec<String>,
    /// Groups and usernames under `system:` may be given, but for those of --never-group and --never-username.
    #[arg(long)]
    allow_system: bool,
    /// Callers of this account may be given them all the same. Can be given again.
    #[arg(long = "unless-account", value_name = "ACCOUNT")]
    unless_accounts: Vec<String>,
    /// So may callers with this canonical ARN, which is the role's for its sessions; `*` is any run of characters. Can be given
    /// again.
    #[arg(long = "unless-arn", value_name = "PATTERN")]
    unless_arns: Vec<String>,
    /// So may callers with this permission set of this account; `*` is any run of characters. Can be given again.
    #[arg(long = "unless-permission-set", value_name = "ACCOUNT/NAME")]
    unless_permission_sets: Vec<PermissionSet>,
    /// Callers of no other accounts may be allowed anything. Can be given again.
    #[arg(long = "only-account", value_name = "ACCOUNT")]
    only_accounts: Vec<String>,
    /// A fault that the policy may declare. Default: none, since each refuses a login. Traps and broken limits never pass. Can
    /// be given again.
    #[arg(long = "accept-fault", value_enum, value_name = "FAULT")]
    accepted_faults: Vec<Declared>,
}

/// A fault that is a policy's answer and no accident.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Declared {
    /// It says that it or its settings are broken.
    Broken,
    /// It says that something outside it is missing.
    Unavailable,
}

/// Patterns of an account and of a permission set in it: sets of other accounts may have the same name.
#[derive(Clone, Debug)]
pub(super) struct PermissionSet(String, String);

/// What a finding is about; making a caller smaller keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// A fault with this reason label.
    Fault(&'static str),
    /// Something that one of the patterns forbids.
    Name {
        field: &'static str,
        pattern: String,
        /// Whether it is the group that may do everything.
        is_masters: bool,
    },
    /// A caller of an account of which nobody may be allowed anything.
    Stranger,
}

/// What nobody may be given, unless he says otherwise (Kubernetes documentation, "Using RBAC Authorization").
const SYSTEM: &str = "system:*";
const MASTERS: &str = "system:masters";

// === impl Never ===

impl Never {
    /// All that is wrong with one answer, and in what words; the worst first.
    pub(super) fn wrong(&self, request: &OwnedRequest, evaluation: &Evaluation) -> Vec<(Class, String)> {
        let (caller, before) = (&request.caller, request.current.as_ref());
        match &evaluation.verdict {
            Err(fault) if self.accepts(fault) => Vec::new(),
            Err(fault) => {
                vec![(Class::Fault(fault.reason()), format!("the policy faults: {} ({fault})", fault.reason()))]
            }
            Ok(Verdict::Abstain | Verdict::Deny(_)) => Vec::new(),
            Ok(Verdict::Allow(after)) => {
                let mut wrong = if self.is_excepted(caller) { Vec::new() } else { self.forbidden(before, after) };
                let account = caller.account_id.as_str();
                let is_stranger = !self.only_accounts.is_empty() && !is_one(&self.only_accounts, account);
                // Who keeps what he had, or less of it, is given nothing.
                let is_given = before.is_none_or(|before| shrunk(before, after).is_err());
                if is_stranger && is_given {
                    wrong.push((Class::Stranger, format!("a caller of account {account} is allowed")));
                }
                wrong
            }
        }
    }

    fn accepts(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Broken(_) => self.accepted_faults.contains(&Declared::Broken),
            Fault::Unavailable(_) => self.accepted_faults.contains(&Declared::Unavailable),
            _ => false,
        }
    }

    fn is_excepted(&self, caller: &Caller) -> bool {
        let account = caller.account_id.as_str();
        let has_set = |PermissionSet(accounts, sets): &PermissionSet| {
            name_matches(accounts, account)
                && caller.sso_permission_set.as_ref().is_some_and(|set| name_matches(sets, set))
        };
        is_one(&self.unless_accounts, account)
            || self.unless_arns.iter().any(|pattern| name_matches(pattern, &caller.canonical_arn))
            || self.unless_permission_sets.iter().any(has_set)
    }

    /// What is given that nobody may be given; what he had is not the policy's doing.
    fn forbidden(&self, before: Option<&Mapping>, after: &Mapping) -> Vec<(Class, String)> {
        let system = (!self.allow_system).then_some(SYSTEM);
        let find = |patterns: &[String], name: &str, system: Option<&str>| {
            let mut all = system.into_iter().chain(patterns.iter().map(String::as_str));
            all.find(|pattern| name_matches(&pattern.to_lowercase(), &name.to_lowercase())).map(str::to_owned)
        };
        let wrong = |field, pattern, name: &str| {
            let class = Class::Name { field, pattern, is_masters: name == MASTERS };
            (class, format!("gives the {field} {name:?}"))
        };
        let had_group = |group: &String| before.is_some_and(|before| before.groups.contains(group));
        let groups = after.groups.iter().filter(|group| !had_group(group));
        let groups = groups.filter_map(|group| Some(wrong("group", find(&self.groups, group, system)?, group)));
        let username = Some(&after.username).filter(|name| before.is_none_or(|before| before.username != **name));
        let username = username.and_then(|name| Some(wrong("username", find(&self.usernames, name, system)?, name)));
        let uid = after.uid.as_ref().filter(|_| before.is_none_or(|before| before.uid != after.uid));
        let uid = uid.and_then(|uid| Some(wrong("uid", find(&self.uids, uid, None)?, uid)));
        let had_extra = |key: &String, values: &Vec<String>| {
            let had = before.and_then(|before| before.extra.iter().find(|(name, _)| name == key));
            had.is_some_and(|(_, had)| values.iter().all(|value| had.contains(value)))
        };
        let extra = after.extra.iter().filter(|(key, values)| !had_extra(key, values));
        let extra = extra.filter_map(|(key, _)| Some(wrong("extra key", find(&self.extra, key, None)?, key)));
        let mut all: Vec<_> = groups.chain(username).chain(uid).chain(extra).collect();
        all.sort_by_key(|(class, _)| !matches!(class, Class::Name { is_masters: true, .. }));
        all
    }
}

fn is_one(accounts: &[String], account: &str) -> bool {
    accounts.iter().any(|one| one == account)
}

// === impl PermissionSet ===

impl FromStr for PermissionSet {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (account, name) =
            text.split_once('/').ok_or("write it as ACCOUNT/NAME: every account may have a set of any name")?;
        Ok(Self(account.to_owned(), name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use clap::Parser as _;

    use super::*;
    use crate::caller::made_up;

    const ROLE: &str = "arn:aws:sts::111122223333:assumed-role/Dev/alice";

    fn never(arguments: &[&str]) -> Never {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            never: Never,
        }
        Cli::parse_from([&["fuzz"], arguments].concat()).never
    }

    fn named(username: &str, groups: &[&str]) -> Mapping {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Mapping { username: username.to_owned(), groups, ..Mapping::default() }
    }

    fn wrong(arguments: &[&str], arn: &str, before: Option<Mapping>, verdict: Result<Verdict, Fault>) -> Vec<String> {
        let now = SystemTime::UNIX_EPOCH + crate::policy::cases::DEFAULT_NOW;
        let request = OwnedRequest::from(made_up::caller(&arn.parse().expect("an ARN"), now), now);
        let evaluation = Evaluation { verdict, log: Vec::new(), fuel: 0, memory: 0, node: None };
        let wrong = never(arguments).wrong(&OwnedRequest { current: before, ..request }, &evaluation);
        wrong.into_iter().map(|(_, words)| words).collect()
    }

    #[test]
    fn names_that_nobody_may_be_given() {
        #[track_caller]
        fn check(arguments: &[&str], before: Option<Mapping>, after: Mapping, expected: &[&str]) {
            assert_eq!(wrong(arguments, ROLE, before, Ok(Verdict::Allow(after))), expected, "{arguments:?}");
        }
        check(&[], None, named("alice", &["dev"]), &[]);
        check(&[], None, named("alice", &["SYSTEM:nodes"]), &["gives the group \"SYSTEM:nodes\""]);
        // The defaults stay.
        let both = || named("system:a", &["x", "system:nodes"]);
        let told = ["gives the group \"x\"", "gives the group \"system:nodes\"", "gives the username \"system:a\""];
        check(&["--never-group", "x"], None, both(), &told);
        check(&["--never-group", "x", "--allow-system"], None, both(), &told[..1]);
        check(&["--allow-system", "--never-group", "system:masters"], None, both(), &[]);
        // The worst first.
        let masters = ["gives the group \"system:masters\"", "gives the group \"dev\""];
        check(&["--never-group", "dev"], None, named("alice", &["dev", "system:masters"]), &masters);
        // What was there before.
        check(&[], Some(both()), both(), &[]);
        let extra = |values: &[&str]| Mapping {
            uid: Some("0".to_owned()),
            extra: vec![("team".to_owned(), values.iter().map(|&value| value.to_owned()).collect())],
            ..named("alice", &[])
        };
        let told = ["gives the uid \"0\"", "gives the extra key \"team\""];
        check(&["--never-uid", "0", "--never-extra", "TEAM"], None, extra(&["a"]), &told);
        check(&["--never-uid", "0", "--never-extra", "team"], Some(extra(&["a", "b"])), extra(&["a"]), &[]);
        check(&["--never-extra", "team"], Some(extra(&["a"])), extra(&["a", "b"]), &told[1..]);
    }

    #[test]
    fn who_may_be_given_them() {
        #[track_caller]
        fn check(arguments: &[&str], arn: &str, is_wrong: bool) {
            let wrong = wrong(arguments, arn, None, Ok(Verdict::Allow(named("alice", &["system:masters"]))));
            assert_eq!(!wrong.is_empty(), is_wrong, "{arguments:?} {arn}");
        }
        const ADMINS: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admins_0123456789abcdef/alice";
        check(&["--unless-account", "111122223333"], ROLE, false);
        check(&["--unless-account", "444455556666"], ROLE, true);
        check(&["--unless-arn", "arn:aws:iam::111122223333:role/D*"], ROLE, false);
        check(&["--unless-arn", "arn:aws:iam::111122223333:role/d*"], ROLE, true);
        check(&["--unless-arn", "arn:aws:iam::*:user/*"], "arn:aws:iam::111122223333:user/a", false);
        check(&["--unless-arn", ROLE], ROLE, true);
        check(&["--unless-permission-set", "111122223333/Admins"], ADMINS, false);
        check(&["--unless-permission-set", "*/Admin*"], ADMINS, false);
        check(&["--unless-permission-set", "444455556666/Admins"], ADMINS, true);
        check(&["--unless-permission-set", "111122223333/*"], ROLE, true);
        // An exception is of names, and of nothing else.
        check(&["--unless-account", "111122223333", "--only-account", "444455556666"], ROLE, true);
        assert!("Admins".parse::<PermissionSet>().is_err());
    }

    #[test]
    fn strangers_may_keep_what_they_had() {
        let only = |before: &[&str], after: &[&str]| {
            let verdict = Ok(Verdict::Allow(named("alice", after)));
            wrong(&["--only-account", "444455556666"], ROLE, Some(named("alice", before)), verdict)
        };
        assert_eq!(only(&["a", "b"], &["a"]), [""; 0]);
        assert_eq!(only(&["a"], &["a", "b"]), ["a caller of account 111122223333 is allowed"]);
    }

    #[test]
    fn faults_that_are_declared_and_others() {
        #[track_caller]
        fn check(arguments: &[&str], fault: &Fault, is_wrong: bool) {
            assert_eq!(!wrong(arguments, ROLE, None, Err(fault.clone())).is_empty(), is_wrong, "{arguments:?} {fault}");
        }
        check(&[], &Fault::Broken(String::new()), true);
        check(&["--accept-fault", "broken"], &Fault::Broken(String::new()), false);
        check(&["--accept-fault", "broken"], &Fault::Unavailable(String::new()), true);
        check(
            &["--accept-fault", "broken", "--accept-fault", "unavailable"],
            &Fault::Unavailable(String::new()),
            false,
        );
        check(&["--accept-fault", "broken", "--accept-fault", "unavailable"], &Fault::Fuel, true);
        check(&["--accept-fault", "broken"], &Fault::Trap(String::new()), true);
    }

    #[test]
    fn patterns_cover_whole_names() {
        for (pattern, name, expected) in [
            ("system:*", "system:masters", true),
            ("system:*", "systemic", false),
            ("a*c", "abc", true),
            ("a", "ab", false),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
