//! Near misses: entries that almost name a caller, with the one difference that keeps them from it.

use super::{
    Rules,
    rule::{ArnGlob, PermissionSet, Rule},
};
use crate::caller::{Arn, Caller};

/// An entry that almost names a caller.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NearMiss {
    /// Where the entry stands in its file.
    pub line: u32,
    /// What keeps it from naming the caller.
    pub difference: Difference,
    /// What it would have to name.
    pub fix: String,
}

/// What differs between an entry and a caller who are alike otherwise.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Difference {
    /// An entry that names the caller has ended.
    Ended,
    /// The unique id that goes with the caller's ARN.
    UniqueId,
    /// The ARN that goes with the caller's unique id.
    Arn,
    /// The end of a role's name that IAM Identity Center made up.
    SsoSuffix,
    /// The path of a user.
    Path,
    /// A role and a user of one name.
    Kind,
    /// A letter or two of the name.
    Name,
    /// The account.
    Account,
    /// The partition.
    Partition,
}

/// Most near misses that are told.
const MAX_NEAR: usize = 5;
/// How much alike two names must be, of 1.
const ALIKE: f64 = 0.8;
/// What to do about an entry that has ended.
const PROLONG: &str = "give it a later `notAfter`, or take it out";
/// What to do about an entry with another unique id. Who asks about an ARN alone does not know it.
const RENEW: &str = "write the unique id that this principal has now as its `userid`";

impl Rules {
    /// The entries that come nearest to naming `caller`, whom none names now, nearest first. Looks at every entry.
    #[must_use]
    pub fn near_misses(&self, caller: &Caller) -> Vec<NearMiss> {
        let Ok(arn) = caller.canonical_arn.parse::<Arn>() else { return Vec::new() };
        let roles = self.arns().filter_map(|(key, rule)| {
            let same = key.eq_ignore_ascii_case(&caller.canonical_arn);
            let difference = if same { ended(rule) } else { difference(&key.parse().ok()?, &arn) }?;
            Some(NearMiss { line: rule.line, difference, fix: fix(difference, caller) })
        });
        let ids = self.principal_ids().filter_map(|(id, with, rule)| {
            let difference = id_difference(id, with, rule, caller)?;
            Some(NearMiss { line: rule.line, difference, fix: fix(difference, caller) })
        });
        let sets = self.permission_sets().filter_map(|(set, rule)| {
            let difference = set_difference(set, rule, caller)?;
            let fix = if difference == Difference::Ended { PROLONG.to_owned() } else { sso(caller)? };
            Some(NearMiss { line: rule.line, difference, fix })
        });
        let globs = self.globs().filter_map(|(glob, rule)| {
            let difference = glob_difference(glob, rule, caller)?;
            Some(NearMiss { line: rule.line, difference, fix: fix(difference, caller) })
        });
        let mut near: Vec<NearMiss> = roles.chain(ids).chain(sets).chain(globs).collect();
        near.sort_by_key(|miss| (miss.difference, miss.line));
        near.truncate(MAX_NEAR);
        near
    }
}

/// An entry that names the caller and still does not count has ended.
fn ended(rule: &Rule) -> Option<Difference> {
    rule.not_after().map(|_| Difference::Ended)
}

/// What keeps an entry about `entry` from naming `caller`, if it is one thing. Keys are in lower case.
fn difference(entry: &Arn, caller: &Arn) -> Option<Difference> {
    let (name, other) = (entry.name().to_ascii_lowercase(), caller.name().to_ascii_lowercase());
    let (partition, account) = (entry.partition() == caller.partition(), entry.account_id() == caller.account_id());
    let kind = entry.kind() == caller.kind()
        || entry.canonical_without_path().eq_ignore_ascii_case(&caller.canonical_without_path());
    match (partition, account, kind, name == other) {
        (false, true, true, true) => Some(Difference::Partition),
        (true, false, true, true) => Some(Difference::Account),
        (true, true, false, true) => Some(Difference::Kind),
        (true, true, true, true) => Some(Difference::Path),
        (true, true, true, false) if set(&name).is_some() && set(&name) == set(&other) => Some(Difference::SsoSuffix),
        (true, true, true, false) if alike(&name, &other) => Some(Difference::Name),
        _ => None,
    }
}

/// The permission set behind the role `name`, which is in lower case.
fn set(name: &str) -> Option<&str> {
    name.strip_prefix("awsreservedsso_")?.rsplit_once('_').map(|(set, _)| set)
}

fn set_difference(entry: &PermissionSet, rule: &Rule, caller: &Caller) -> Option<Difference> {
    let name = caller.sso_permission_set.as_ref()?.to_ascii_lowercase();
    let (partition, account) =
        (entry.partition() == caller.partition, entry.account_id() == caller.account_id.as_str());
    match (partition, account, entry.name() == name) {
        (false, true, true) => Some(Difference::Partition),
        (true, false, true) => Some(Difference::Account),
        (true, true, false) if alike(entry.name(), &name) => Some(Difference::Name),
        (true, true, true) => ended(rule),
        _ => None,
    }
}

/// An entry by unique id counts for that id and for the ARN that goes with it, if there is one.
fn id_difference(id: &str, with: Option<&str>, rule: &Rule, caller: &Caller) -> Option<Difference> {
    let same_id = id == caller.principal_id.as_str();
    match (same_id, with.map(|arn| arn.eq_ignore_ascii_case(&caller.canonical_arn))) {
        (true, None | Some(true)) => ended(rule),
        (true, Some(false)) => Some(Difference::Arn),
        (false, Some(true)) => Some(Difference::UniqueId),
        (false, None | Some(false)) => None,
    }
}

/// A glob that fits but for the account, or but for a letter or two in front of its first wildcard.
fn glob_difference(glob: &ArnGlob, rule: &Rule, caller: &Caller) -> Option<Difference> {
    let resource = caller.canonical_arn.rsplit(':').next()?.to_ascii_lowercase();
    match (glob.fits_account(caller), glob.fits_resource(caller)) {
        (true, true) => ended(rule),
        (false, true) => Some(Difference::Account),
        (true, false) => {
            let (kind, name) = resource.split_once('/')?;
            let head = name.get(..glob.stem().len()).unwrap_or(name);
            (glob.is_of_kind(kind) && !glob.stem().is_empty() && alike(glob.stem(), head)).then_some(Difference::Name)
        }
        (false, false) => None,
    }
}

fn alike(one: &str, other: &str) -> bool {
    strsim::normalized_damerau_levenshtein(one, other) >= ALIKE
}

fn fix(difference: Difference, caller: &Caller) -> String {
    let plain = || format!("write `{}`", caller.canonical_arn);
    match difference {
        Difference::Ended => PROLONG.to_owned(),
        Difference::UniqueId => RENEW.to_owned(),
        // No permission set has a unique id.
        Difference::Arn => plain(),
        _ => sso(caller).unwrap_or_else(plain),
    }
}

fn sso(caller: &Caller) -> Option<String> {
    sso_form(caller).map(|form| format!("write `{form}`"))
}

/// How an entry names the caller's permission set.
#[must_use]
pub fn sso_form(caller: &Caller) -> Option<String> {
    let set = caller.sso_permission_set.as_ref()?;
    let partition = match caller.partition.as_str() {
        "aws" => String::new(),
        other => format!(", partition: {other}"),
    };
    Some(format!("sso: {{permissionSetName: {set}, accountID: '{}'{partition}}}", caller.account_id))
}

// === impl Difference ===

impl Difference {
    /// The stable label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::UniqueId => "unique_id",
            Self::Arn => "arn",
            Self::SsoSuffix => "sso_suffix",
            Self::Path => "path",
            Self::Kind => "kind",
            Self::Name => "name",
            Self::Account => "account",
            Self::Partition => "partition",
        }
    }

    /// The same in words, of an entry.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Ended => "names this caller, and has ended",
            Self::UniqueId => "names this caller's ARN, and counts for the principal with its unique id alone",
            Self::Arn => "names this caller's unique id, and another ARN",
            Self::SsoSuffix => "names another role of the same permission set: the end of the name has changed",
            Self::Path => "names the same user with another path",
            Self::Kind => "names a principal of another kind with the same name",
            Self::Name => "names a principal whose name is spelt almost the same",
            Self::Account => "names the same principal of another account",
            Self::Partition => "names the same principal of another partition",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use super::*;
    use crate::{
        caller::PrincipalId,
        mapping::{
            rule::{Subject, tests::caller},
            template::Template,
        },
    };

    #[track_caller]
    fn check(entry: &str, arn: &str, expected: Option<(&str, &str)>) {
        let subject = match entry.strip_prefix("sso ") {
            None => Subject::Arn(entry.parse().expect("an ARN")),
            Some(rest) => {
                let (account, name) = rest.split_once('/').expect("account/set");
                Subject::PermissionSet(PermissionSet::new("aws", &account.parse().expect("12 digits"), name))
            }
        };
        check_rule(subject, |rule| rule, arn, expected);
    }

    #[track_caller]
    fn check_rule(subject: Subject, change: fn(Rule) -> Rule, arn: &str, expected: Option<(&str, &str)>) {
        let mut rules = Rules::default();
        let rule = change(Rule::new(Template::parse("a").expect("a literal"), Arc::from([]), 7));
        rules.insert(subject, rule).expect("one entry");
        assert!(rules.find(&caller(arn), SystemTime::UNIX_EPOCH).is_none(), "what names the caller is no near miss");
        let near = rules.near_misses(&caller(arn));
        let found = near.first().map(|miss| (miss.difference.label(), miss.fix.as_str()));
        assert_eq!(found, expected, "{arn}");
    }

    #[test]
    fn an_entry_that_has_ended() {
        let ended = |rule: Rule| rule.ending(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        let expected = Some(("ended", "give it a later `notAfter`, or take it out"));
        let role = "arn:aws:iam::123456789012:role/Admin".parse().expect("an ARN");
        check_rule(Subject::Arn(role), ended, "arn:aws:sts::123456789012:assumed-role/Admin/alice", expected);
        let set = PermissionSet::new("aws", &"123456789012".parse().expect("12 digits"), "View");
        let view = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice";
        check_rule(Subject::PermissionSet(set), ended, view, expected);
    }

    #[test]
    fn one_difference_is_a_near_miss() {
        const ADMIN: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";
        let write = Some("write `arn:aws:iam::123456789012:role/Admin`");
        let with = |label| write.map(|fix| (label, fix));
        check("arn:aws:iam::210987654321:role/Admin", ADMIN, with("account"));
        check("arn:aws-cn:iam::123456789012:role/team/admin", ADMIN, with("partition"));
        check("arn:aws:iam::123456789012:user/Admin", ADMIN, with("kind"));
        check("arn:aws:iam::123456789012:role/Admins", ADMIN, with("name"));
        check("arn:aws:iam::123456789012:role/Developers", ADMIN, None);
        check("arn:aws:iam::210987654321:role/Admins", ADMIN, None);
        check(
            "arn:aws:iam::123456789012:user/ops/alice",
            "arn:aws:iam::123456789012:user/alice",
            Some(("path", "write `arn:aws:iam::123456789012:user/alice`")),
        );
        // A user's path is part of its name, whatever the difference.
        check(
            "arn:aws:iam::210987654321:user/ops/alice",
            "arn:aws:iam::123456789012:user/ops/alice",
            Some(("account", "write `arn:aws:iam::123456789012:user/ops/alice`")),
        );
    }

    #[test]
    fn unique_ids() {
        const ADMIN: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";
        #[track_caller]
        fn check(id: &str, with: Option<&str>, change: fn(Rule) -> Rule, expected: Option<(&str, &str)>) {
            let with = with.map(|arn| arn.parse().expect("an ARN"));
            check_rule(Subject::Principal(PrincipalId::new(id), with), change, ADMIN, expected);
        }
        let (other, own) = ("AROAOTHER", caller(ADMIN).principal_id);
        let renew = "write the unique id that this principal has now as its `userid`";
        let role = Some("arn:aws:iam::123456789012:role/team/Admin");
        check(other, role, |rule| rule, Some(("unique_id", renew)));
        check(other, Some("arn:aws:iam::123456789012:role/Admins"), |rule| rule, None);
        check(other, None, |rule| rule, None);
        let write = "write `arn:aws:iam::123456789012:role/Admin`";
        check(own.as_str(), Some("arn:aws:iam::123456789012:role/Old"), |rule| rule, Some(("arn", write)));
        let ended = |rule: Rule| rule.ending(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        check(own.as_str(), role, ended, Some(("ended", PROLONG)));
    }

    #[test]
    fn globs() {
        #[track_caller]
        fn check(glob: &str, change: fn(Rule) -> Rule, expected: Option<&str>) {
            const ARN: &str = "acs:ram::1234567890123456:assumed-role/dev-eu/alice";
            let fix = match expected {
                Some("ended") => "give it a later `notAfter`, or take it out",
                _ => "write `acs:ram::1234567890123456:role/dev-eu`",
            };
            let subject = Subject::Glob(ArnGlob::parse(glob).expect("a glob"));
            check_rule(subject, change, ARN, expected.map(|label| (label, fix)));
        }
        let ended = |rule: Rule| rule.ending(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        check("acs:ram::1234567890123456:role/dev-*", ended, Some("ended"));
        check("acs:ram::6543210987654321:role/dev-*", |rule| rule, Some("account"));
        check("acs:ram::1234567890123456:role/devops-*", |rule| rule, None);
        check("acs:ram::1234567890123456:role/dev-ue*", |rule| rule, Some("name"));
        check("acs:ram::1234567890123456:user/dev-*", |rule| rule, None);
        check("acs:ram::1234567890123456:role/ops-*", |rule| rule, None);
        check("acs:ram::6543210987654321:role/ops-*", |rule| rule, None);
        check("acs:ram::1234567890123456:role/*-us", |rule| rule, None);
    }

    #[test]
    fn permission_sets() {
        const VIEW: &str = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice";
        let fix = "write `sso: {permissionSetName: View, accountID: '123456789012'}`";
        check("arn:aws:iam::123456789012:role/AWSReservedSSO_View_fedcba9876543210", VIEW, Some(("sso_suffix", fix)));
        check("sso 210987654321/View", VIEW, Some(("account", fix)));
        check("sso 123456789012/Views", VIEW, Some(("name", fix)));
        check("sso 123456789012/Admin", VIEW, None);
    }
}
