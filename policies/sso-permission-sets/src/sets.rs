//! Permission sets, and who has one of them: the same for each policy that names people by theirs.

use herald_policy::{Caller, Decision, Fault, Glob, Key, Mapping, Rules, Template, Unfit, log};
use serde::Deserialize;

/// What people are called, and which groups they have.
#[derive(Debug)]
pub(crate) struct PermissionSets {
    username: Template,
    sets: Rules<PermissionSet>,
}

/// An entry of `permissionSets`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PermissionSet {
    name: Glob,
    #[serde(default)]
    groups: Vec<Template>,
}

/// Identity Center puts the user's name into the session's.
pub(crate) fn sso_user() -> Template {
    "sso:{{SessionNameRaw}}".parse().expect("a template")
}

/// The key of the entries for one name, or of those with a pattern.
fn key(name: Option<&str>) -> Key {
    name.map_or(Key::NONE, |name| Key::NONE.and(name))
}

impl PermissionSets {
    /// `sets` has at least one; the first whose name fits decides.
    pub(crate) fn new(username: Template, sets: Vec<PermissionSet>) -> Result<Self, String> {
        if sets.is_empty() {
            return Err("permissionSets: at least one is needed".to_owned());
        }
        Ok(Self { username, sets: Rules::new(sets, |set| vec![key(set.name.literal())]) })
    }

    /// Names `caller` by his permission set, if his account `is_ours`: anybody can have a set of any name in an account
    /// of their own. No other account is asked about than that of somebody with a set that fits.
    pub(crate) fn decide(
        &self,
        caller: &Caller,
        is_ours: impl FnOnce(&str) -> Result<bool, Fault>,
    ) -> Result<Decision, Fault> {
        let Some(name) = caller.sso_permission_set.as_deref().filter(|_| caller.provider == "aws") else {
            return Ok(Decision::Abstain);
        };
        let Some((_, set)) = self.sets.first(&[key(Some(name)), key(None)], |set| set.name.matches(name)) else {
            log::info(&["no entry fits the permission set ", name].concat());
            return Ok(Decision::Abstain);
        };
        if !is_ours(&caller.account_id)? {
            return Ok(Decision::Abstain);
        }
        Ok(self.named(set, caller).map_or_else(|why| Decision::deny(why.to_string()), Decision::Allow))
    }

    fn named(&self, set: &PermissionSet, caller: &Caller) -> Result<Mapping, Unfit> {
        let groups = set.groups.iter().map(|group| group.render(caller)).collect::<Result<Vec<_>, _>>()?;
        Ok(Mapping::named(self.username.render(caller)?).with_groups(groups))
    }
}
