//! Groups of people from the AWS IAM Identity Center permission set that they came with, in every account listed.
//!
//! Identity Center gives each account another role for one permission set, so that a mapping by role is a line for
//! each account. Here it is one line for each set. What it may not do is in `README.md`.

use herald_policy::{Decision, Fault, Glob, Key, Mapping, Policy, Request, Rules, Template, log};
use serde::Deserialize;

/// The policy, configured.
#[derive(Debug)]
pub struct SsoPermissionSets {
    accounts: Vec<String>,
    username: Template,
    permission_sets: Rules<PermissionSet>,
}

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Whose sets count: anybody can have a set of any name in an account of their own.
    accounts: Vec<String>,
    /// What people are called. Default `sso:{{SessionNameRaw}}`: Identity Center puts the user's name there.
    #[serde(default = "sso_user")]
    username: Template,
    /// At least one; the first whose name fits decides.
    permission_sets: Vec<PermissionSet>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionSet {
    name: Glob,
    #[serde(default)]
    groups: Vec<Template>,
}

fn sso_user() -> Template {
    "sso:{{SessionNameRaw}}".parse().expect("a template")
}

/// The key of the entries for one name, or of those with a pattern.
fn key(name: Option<&str>) -> Key {
    name.map_or(Key::NONE, |name| Key::NONE.and(name))
}

impl Policy for SsoPermissionSets {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.accounts.is_empty() {
            return Err("accounts: at least one is needed, or anybody's permission sets would count".to_owned());
        }
        if settings.permission_sets.is_empty() {
            return Err("permissionSets: at least one is needed".to_owned());
        }
        let permission_sets = Rules::new(settings.permission_sets, |set| vec![key(set.name.literal())]);
        Ok(Self { accounts: settings.accounts, username: settings.username, permission_sets })
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let caller = &request.caller;
        let Some(name) = caller.sso_permission_set.as_deref().filter(|_| caller.provider == "aws") else {
            return Ok(Decision::Abstain);
        };
        if !self.accounts.contains(&caller.account_id) {
            return Ok(Decision::Abstain);
        }
        let Some((_, set)) = self.permission_sets.first(&[key(Some(name)), key(None)], |set| set.name.matches(name))
        else {
            log::info(&["no entry fits the permission set ", name].concat());
            return Ok(Decision::Abstain);
        };
        let named = || {
            let groups = set.groups.iter().map(|group| group.render(caller)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, herald_policy::Unfit>(Mapping::named(self.username.render(caller)?).with_groups(groups))
        };
        Ok(named().map_or_else(|why| Decision::deny(why.to_string()), Decision::Allow))
    }
}

herald_policy::export!(SsoPermissionSets);
